//! What all phases of a request know.

use std::rc::Rc;

use crate::http::message::RequestFacts;
use crate::measure::Measured;
use crate::socket::Socket;
use crate::worker::{Listener, Upstream, Worker};

/// A request on its way to a backend of HTTP/1.1, as its client is.
#[derive(Clone, Copy)]
pub(crate) struct Exchange<'a> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) client: &'a Socket,
    pub(crate) listener: &'a Listener,
    pub(crate) upstream: &'a Upstream,
    pub(crate) facts: RequestFacts,
    pub(crate) measured: &'a Measured<'a>,
}

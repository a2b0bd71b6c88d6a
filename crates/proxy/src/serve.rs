//! A client's connection, in the version of HTTP that it turns out to speak.

use std::net::IpAddr;
use std::rc::Rc;

use crate::http1::{self, Served};
use crate::socket::Socket;
use crate::worker::{Listener, Worker};
use crate::{http2, tls};

/// Serves a client's connection to its end. In TLS the two sides have agreed on a version; without
/// it HTTP/2 is known by its preface (RFC 9113 section 3.3).
pub(crate) async fn serve(
    worker: &Rc<Worker>,
    client: Socket,
    listener: &Rc<Listener>,
    peer: IpAddr,
) {
    // Room for HTTP/2 is taken only where it is spoken: most idle connections do not.
    if client.protocol().as_deref() == Some(tls::HTTP2) {
        return Box::pin(http2::serve(worker, client, None, listener, peer)).await;
    }
    match http1::serve(worker, &client, listener, peer).await {
        Served::Ended => {}
        Served::IsHttp2(read) => {
            Box::pin(http2::serve(worker, client, Some(read), listener, peer)).await;
        }
    }
}

//! What is kept of one request while it is served, where a line of the access log or a span may
//! come of it.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use super::trace_context::TraceParent;
use crate::limits::TELEMETRY_TEXT_BYTES;
use crate::routing::Asked;
use crate::upstream::{Endpoint, Upstream};

/// The version of HTTP that a request or its client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// HTTP/1.0.
    Old,
    /// HTTP/1.1.
    One,
    /// HTTP/2.
    Two,
}

impl Version {
    /// That of a client of HTTP/1.x.
    pub(crate) fn one(is_old: bool) -> Self {
        match is_old {
            true => Self::Old,
            false => Self::One,
        }
    }

    /// Its name and number.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Old => "HTTP/1.0",
            Self::One => "HTTP/1.1",
            Self::Two => "HTTP/2",
        }
    }
}

/// A place in a trace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trace {
    /// What whoever answers is told.
    pub(super) own: TraceParent,
    /// The span that this request is part of; none where the trace begins here.
    pub(super) parent: Option<[u8; 8]>,
}

/// How much is kept of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logging {
    /// No line of it is written.
    Nothing,
    /// One is, if it fails.
    Errors,
    /// One is.
    Everything,
}

/// One request.
#[derive(Debug)]
pub(crate) struct Record {
    pub(super) logging: Logging,
    pub(super) trace: Option<Trace>,
    /// When it began, since the Unix epoch.
    pub(super) began: Duration,
    /// It came from outside.
    pub(super) is_edge: bool,
    /// Who calls, where a service does.
    pub(super) caller: Option<Rc<str>>,
    pub(super) peer: IpAddr,
    pub(super) is_secure: bool,
    pub(super) version: Version,
    pub(super) route: RefCell<Option<Rc<str>>>,
    pub(super) upstream: RefCell<Option<Rc<Upstream>>>,
    /// The last endpoint that it was sent to.
    pub(super) endpoint: RefCell<Option<Rc<Endpoint>>>,
    pub(super) retries: Cell<u32>,
    /// What has become of it so far.
    pub(super) outcome: Cell<Outcome>,
    /// Bytes of content passed on to an instance.
    pub(super) received: Cell<u64>,
    /// Bytes of content passed on from an instance.
    pub(super) sent: Cell<u64>,
    /// Method, host and path without query, one behind the other.
    text: Vec<u8>,
    /// Where the first two of them end.
    ends: [usize; 2],
}

impl Record {
    /// One of which nothing is known yet.
    pub(super) fn empty() -> Self {
        Self {
            logging: Logging::Nothing,
            trace: None,
            began: Duration::ZERO,
            is_edge: false,
            caller: None,
            peer: IpAddr::from([0; 4]),
            is_secure: false,
            version: Version::One,
            route: RefCell::default(),
            upstream: RefCell::default(),
            endpoint: RefCell::default(),
            retries: Cell::default(),
            outcome: Cell::default(),
            received: Cell::default(),
            sent: Cell::default(),
            text: Vec::new(),
            ends: [0; 2],
        }
    }

    /// Forgets everything, and keeps its room.
    pub(super) fn clear(&mut self) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        *self = Self {
            text,
            ..Self::empty()
        };
    }

    /// Notes what a request asks. A query may hold secrets and is left out.
    pub(super) fn ask(&mut self, asked: &dyn Asked) {
        let target = asked.path_and_query();
        let query = memchr::memchr(b'?', target).unwrap_or(target.len());
        self.text.clear();
        self.keep(asked.method());
        self.ends[0] = self.text.len();
        self.keep(asked.host());
        self.ends[1] = self.text.len();
        self.keep(&target[..query]);
    }

    fn keep(&mut self, part: &[u8]) {
        let length = part.len().min(TELEMETRY_TEXT_BYTES);
        self.text.extend_from_slice(&part[..length]);
    }

    /// Its method; empty where there was no request that could be read.
    pub(super) fn method(&self) -> &[u8] {
        &self.text[..self.ends[0]]
    }

    /// The host that it is for.
    pub(super) fn host(&self) -> &[u8] {
        &self.text[self.ends[0]..self.ends[1]]
    }

    /// Its path, without the query.
    pub(super) fn path(&self) -> &[u8] {
        &self.text[self.ends[1]..]
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outcome {
    /// The status of its answer, if there is at least a part of one.
    pub(crate) status: Option<u16>,
    /// Its status of gRPC.
    pub(crate) grpc: Option<u8>,
    /// Why the proxy itself has answered.
    pub(crate) reason: Option<&'static str>,
    /// It got no answer, or not all of it.
    pub(crate) is_cut: bool,
    /// Its answer says that the service failed.
    pub(crate) is_failure: bool,
    /// From the end of its head to the head of its answer.
    pub(crate) head: Option<Duration>,
    /// From the end of its head to the end of its answer, or of itself.
    pub(crate) whole: Duration,
}

impl Outcome {
    /// Whether it is one that a log of errors has.
    pub(super) fn is_error(&self) -> bool {
        self.is_cut || self.is_failure || self.reason.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Ask(Vec<u8>);

    impl Asked for Ask {
        fn host(&self) -> &[u8] {
            b"a.test:8080"
        }
        fn path_and_query(&self) -> &[u8] {
            &self.0
        }
        fn method(&self) -> &[u8] {
            b"GET"
        }
        fn any_field(&self, _: &str, _: &mut dyn FnMut(&[u8]) -> bool) -> bool {
            false
        }
    }

    #[test]
    fn a_query_is_not_kept_and_a_path_only_so_far() {
        let mut record = Record::empty();
        record.ask(&Ask(b"/a?token=secret".to_vec()));
        let parts = [record.method(), record.host(), record.path()];
        assert_eq!(parts, [&b"GET"[..], b"a.test:8080", b"/a"]);
        record.ask(&Ask(vec![b'/'; TELEMETRY_TEXT_BYTES + 1]));
        assert_eq!(record.path().len(), TELEMETRY_TEXT_BYTES);
        record.clear();
        assert!(record.method().is_empty() && record.path().is_empty());
    }
}

//! What is said of single requests: a line of the access log, a span of a trace.
//!
//! A worker's [`Telemetry`] decides at a request's head whether anything may come of it, and keeps
//! a [`Record`](record::Record) only then. At the end lines and spans are put to others in a
//! [`Gathered`](queue::Gathered), and a thread of its own writes ([`files`]) or sends ([`export`])
//! what workers hand over. No worker ever waits for it.

pub(crate) mod export;
pub(crate) mod files;
mod line;
pub(crate) mod queue;
pub(crate) mod record;
mod span;
pub(crate) mod threads;
mod time;
pub mod trace_context;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use model::{AccessLog, SampledShare};

use self::queue::{Gathered, Queue};
use self::record::{Logging, Outcome, Record, Trace, Version};
use self::trace_context::{TRACEPARENT, TRACESTATE, TraceParent, TraceParentText};
use crate::balance::Random;
use crate::http::attest::Attested;
use crate::http::gateway_error::GatewayError;
use crate::http::grpc_status::is_failure;
use crate::http::route::Origin;
use crate::limits::SPARE_RECORDS;
use crate::routing::Asked;
use crate::upstream::{Endpoint, Upstream};
use crate::worker::{Listener, Worker};

/// The queues that all workers put records into.
#[derive(Debug, Clone)]
pub(crate) struct Queues {
    /// Lines of the access log.
    pub(crate) lines: Queue,
    /// Spans.
    pub(crate) spans: Queue,
}

/// What a worker says of single requests.
#[derive(Debug)]
pub(crate) struct Telemetry {
    /// Whether anything may come of any request: all that one costs otherwise is to look here.
    follows: Cell<bool>,
    access_log: Cell<AccessLog>,
    /// Which traces are sampled that begin here; none where traces are not followed.
    sampled: Cell<Option<SampledShare>>,
    random: Cell<Random>,
    lines: Rc<Gathered>,
    spans: Rc<Gathered>,
    /// Where a line or span is written first.
    scratch: RefCell<Vec<u8>>,
    #[expect(
        clippy::vec_box,
        reason = "a request takes one over without moving what is in it"
    )]
    spare: RefCell<Vec<Box<Record>>>,
}

impl Telemetry {
    /// One that says nothing yet.
    pub(crate) fn new(queues: Queues) -> Self {
        Self {
            follows: Cell::new(false),
            access_log: Cell::new(AccessLog::Off),
            sampled: Cell::new(None),
            random: Cell::new(Random::new()),
            lines: Gathered::new(queues.lines),
            spans: Gathered::new(queues.spans),
            scratch: RefCell::default(),
            spare: RefCell::default(),
        }
    }

    /// Says from now on what a snapshot wants said.
    pub(crate) fn configure(&self, wanted: &model::Telemetry) {
        let sampled = wanted.tracing.as_ref().map(|tracing| tracing.share);
        self.access_log.set(wanted.access_log);
        self.sampled.set(sampled);
        self.follows
            .set(wanted.access_log != AccessLog::Off || sampled.is_some());
    }

    /// Records that found no room: lines and spans.
    pub(crate) fn dropped(&self) -> [u64; 2] {
        [self.lines.dropped(), self.spans.dropped()]
    }

    /// Hands over what there is for the last time.
    pub(crate) fn end(&self) {
        self.lines.end();
        self.spans.end();
    }

    fn number(&self) -> u64 {
        let mut random = self.random.get();
        let number = random.number();
        self.random.set(random);
        number
    }

    fn takes(&self, share: SampledShare) -> bool {
        // The high bits are the better ones.
        share.takes((self.number() >> 32) as u32)
    }

    /// How much is kept of a request that arrives now.
    fn logging(&self) -> Logging {
        match self.access_log.get() {
            AccessLog::Errors => Logging::Errors,
            AccessLog::Sampled(share) if self.takes(share) => Logging::Everything,
            AccessLog::Sampled(_) | AccessLog::Off => Logging::Nothing,
        }
    }

    /// The place in a trace of a request, in which the fields of `asked` are trusted where it comes
    /// from a service: clients outside could name the traces of others, and have all be sampled.
    fn trace(&self, share: SampledShare, is_edge: bool, asked: Option<&dyn Asked>) -> Trace {
        let from = asked.filter(|_| !is_edge).and_then(traceparent);
        let number = || self.number().max(1).to_be_bytes();
        let own = match from {
            Some(from) => TraceParent {
                span: number(),
                ..from
            },
            None => {
                let mut trace = [0; 16];
                trace[..8].copy_from_slice(&number());
                trace[8..].copy_from_slice(&number());
                TraceParent {
                    trace,
                    span: number(),
                    is_sampled: self.takes(share),
                }
            }
        };
        Trace {
            own,
            parent: from.map(|from| from.span),
        }
    }
}

/// The one value of `traceparent` that a request has.
fn traceparent(asked: &dyn Asked) -> Option<TraceParent> {
    let (mut count, mut parent) = (0, None);
    asked.any_field(TRACEPARENT, &mut |value| {
        count += 1;
        parent = TraceParent::parse(value);
        false
    });
    parent.filter(|_| count == 1)
}

/// A request that something may come of.
#[derive(Debug)]
pub(crate) struct Kept<'a> {
    telemetry: &'a Telemetry,
    /// Present until dropped.
    record: Option<Box<Record>>,
}

/// What is said of a trace to whoever answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Onward {
    /// The value of `traceparent`.
    pub(crate) traceparent: TraceParentText,
    /// What the request says itself of a trace does not count.
    pub(crate) begins_here: bool,
}

impl Onward {
    /// Whether a field of the request is said anew, or does not count.
    pub(crate) fn replaces(&self, name: &[u8]) -> bool {
        name.eq_ignore_ascii_case(TRACEPARENT.as_bytes())
            || self.begins_here && name.eq_ignore_ascii_case(TRACESTATE.as_bytes())
    }
}

/// Begins to follow a request, if anything may come of it; `asked` is what it asks, where that
/// could be read, and `attested` what the edge says of it.
pub(crate) fn begin<'a>(
    worker: &'a Worker,
    listener: &Listener,
    (origin, attested): (&Origin, Option<&Attested<'_>>),
    version: Version,
    asked: Option<&dyn Asked>,
) -> Option<Kept<'a>> {
    match worker.telemetry.follows.get() {
        false => None,
        true => follow(worker, listener, (origin, attested), version, asked),
    }
}

fn follow<'a>(
    worker: &'a Worker,
    listener: &Listener,
    (origin, attested): (&Origin, Option<&Attested<'_>>),
    version: Version,
    asked: Option<&dyn Asked>,
) -> Option<Kept<'a>> {
    let (telemetry, is_edge) = (&worker.telemetry, listener.is_edge());
    let logging = telemetry.logging();
    let share = telemetry.sampled.get();
    let trace = share.map(|share| telemetry.trace(share, is_edge, asked));
    if logging == Logging::Nothing && trace.is_none() {
        return None;
    }
    let spare = telemetry.spare.borrow_mut().pop();
    let mut record = spare.unwrap_or_else(|| Box::new(Record::empty()));
    (record.logging, record.trace) = (logging, trace);
    (record.began, record.version) = (time::now(), version);
    (record.is_edge, record.caller) = (is_edge, listener.caller());
    record.peer = attested.map_or(origin.peer, Attested::client);
    record.is_secure = attested.map_or(origin.is_secure, Attested::is_secure);
    if let Some(asked) = asked {
        record.ask(asked);
    }
    Some(Kept {
        telemetry,
        record: Some(record),
    })
}

impl Kept<'_> {
    fn record(&self) -> &Record {
        self.record.as_ref().expect("present until dropped")
    }

    /// It is for this route.
    pub(crate) fn is_by(&self, route: &Rc<str>) {
        *self.record().route.borrow_mut() = Some(route.clone());
    }

    /// It is for this service.
    pub(crate) fn is_for(&self, upstream: &Rc<Upstream>) {
        *self.record().upstream.borrow_mut() = Some(upstream.clone());
    }

    /// It is sent to this endpoint, after so many retries.
    pub(crate) fn goes_to(&self, endpoint: &Rc<Endpoint>, retries: u32) {
        *self.record().endpoint.borrow_mut() = Some(endpoint.clone());
        self.record().retries.set(retries);
    }

    /// What whoever answers is told of the trace; none where traces are not followed.
    pub(crate) fn onward(&self) -> Option<Onward> {
        let trace = self.record().trace?;
        Some(Onward {
            traceparent: trace.own.text(),
            begins_here: trace.parent.is_none(),
        })
    }

    /// Notes what has become of it.
    pub(crate) fn note(&self, change: impl FnOnce(&mut Outcome)) {
        let mut outcome = self.record().outcome.get();
        change(&mut outcome);
        self.record().outcome.set(outcome);
    }

    /// Counts the bytes of content on their way to instances.
    pub(crate) fn received(&self) -> &Cell<u64> {
        &self.record().received
    }

    /// Counts the bytes of content on their way to clients.
    pub(crate) fn sent(&self) -> &Cell<u64> {
        &self.record().sent
    }

    /// It is refused before anything was sent to a service; `grpc` is what a call of gRPC is told.
    pub(crate) fn refused(self, error: GatewayError, grpc: Option<u8>) {
        self.note(|outcome| {
            outcome.status = Some(error.status());
            outcome.grpc = grpc;
            outcome.reason = Some(error.reason());
            outcome.is_failure = error.status() >= 500 || grpc.is_some_and(is_failure);
        });
    }

    /// It is told to ask elsewhere.
    pub(crate) fn redirected(self, status: u16) {
        self.note(|outcome| outcome.status = Some(status));
    }
}

/// It is over.
impl Drop for Kept<'_> {
    fn drop(&mut self) {
        if let Some(record) = self.record.take() {
            self.telemetry.finish(record);
        }
    }
}

impl Telemetry {
    fn finish(&self, mut record: Box<Record>) {
        let mut scratch = self.scratch.borrow_mut();
        let is_logged = match record.logging {
            Logging::Nothing => false,
            Logging::Errors => record.outcome.get().is_error(),
            Logging::Everything => true,
        };
        if is_logged {
            scratch.clear();
            line::write(&mut scratch, &record);
            self.lines.take(&scratch);
        }
        if let Some(trace) = record.trace.filter(|trace| trace.own.is_sampled) {
            scratch.clear();
            span::write(&mut scratch, &record, &trace);
            self.spans.take(&scratch);
        }
        record.clear();
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_RECORDS {
            spare.push(record);
        }
    }
}

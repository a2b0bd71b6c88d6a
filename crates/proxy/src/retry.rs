//! What a request has tried, and whether it may try once more.

use std::cell::{Cell, RefCell};
use std::time::Instant;

use crate::dial::Reuse;
use crate::hedge::Race;
use crate::http::gateway_error::GatewayError;
use crate::http::grpc_status;
use crate::http::message::{Body, RequestFacts};
use crate::http::phases::NoAnswer;
use crate::limits::Limits;
use crate::routing::rules::Rules;
use crate::upstream::{Endpoint, Left, Pass, Place, Upstream, is_gateway_failure};

mod admitted;
mod hedged;

/// What is known of the tries of one request.
#[derive(Debug)]
pub(crate) struct Tries {
    /// Which idle connections may serve it.
    pub(crate) reuse: Reuse,
    /// Where it was sent before.
    pub(crate) left: Option<Left>,
    /// What stands for the requests that go to the same endpoint.
    pub(crate) sticky: Option<u64>,
    /// Doing it twice does no harm, and there is no body that would be gone.
    is_repeatable: bool,
    /// How long it waits for its answer says something of the endpoint.
    is_measured: bool,
    is_first: bool,
    /// How often, and after what, there may be another.
    may: Retries,
    /// It has content, which may still have to come.
    has_content: bool,
    /// Its place among those that wait for their answer, until the head of one is passed on.
    place: RefCell<Option<Place>>,
    /// Its leave to be with an instance, to its end.
    pass: Option<Pass>,
    /// How many retries there were.
    retries: Cell<u32>,
    /// Which attempt may answer, where there are two at a time.
    pub(crate) race: Race,
    /// How many attempts of those that there may be were made beside another.
    hedges: Cell<u8>,
}

/// How often, and after what, a request is tried again.
#[derive(Debug, Clone, Copy)]
struct Retries {
    left: u8,
    on_reset: bool,
    on_status: bool,
}

impl Retries {
    fn of(wanted: model::Retries) -> Self {
        Self {
            left: wanted.most.get(),
            on_reset: wanted.on_reset,
            on_status: wanted.on_status,
        }
    }

    fn usual() -> Self {
        Self::of(model::Retries::default())
    }
}

/// What went wrong with an attempt, after which there may be another: nothing of an answer was
/// passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A connection that had been idle ended before any byte of an answer, as when the backend
    /// closes it at the moment that it is used.
    Stale,
    /// A connection or stream ended before any byte of an answer.
    Reset,
    /// It ended within the head of an answer; another endpoint may be asked.
    Broken,
    /// The backend says that it has not looked at the request (RFC 9113 section 8.7).
    Unprocessed,
    /// The backend has answered that it cannot serve, and another may be asked.
    Unwell,
}

/// How much of an answer there was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Heard {
    Nothing,
    /// A part of its head.
    Something,
    /// An informational answer, which the client has.
    PassedOn,
}

impl Tries {
    /// Those of a request that was not tried yet.
    pub(crate) fn of(facts: RequestFacts, rules: Option<&Rules>) -> Self {
        let may = rules.map_or_else(Retries::usual, |rules| Retries::of(rules.retries));
        let is_repeatable = facts.idempotent && facts.body == Body::None && !facts.upgrade;
        Self {
            reuse: match is_repeatable {
                true => Reuse::Any,
                false => Reuse::Safe,
            },
            left: None,
            sticky: facts.sticky,
            is_repeatable,
            is_measured: !facts.upgrade,
            is_first: true,
            may,
            has_content: facts.body != Body::None,
            place: RefCell::new(None),
            pass: None,
            retries: Cell::new(0),
            race: Race::default(),
            hedges: Cell::new(0),
        }
    }

    /// Those of a connection for bytes.
    pub(crate) fn of_connection() -> Self {
        Self {
            reuse: Reuse::Never,
            left: None,
            sticky: None,
            is_repeatable: false,
            is_measured: false,
            is_first: true,
            may: Retries::usual(),
            has_content: false,
            place: RefCell::new(None),
            pass: None,
            retries: Cell::new(0),
            race: Race::default(),
            hedges: Cell::new(0),
        }
    }

    /// Whether nothing was tried yet.
    pub(crate) fn is_first(&self) -> bool {
        self.is_first
    }

    /// How many retries there were.
    pub(crate) fn retries(&self) -> u32 {
        self.retries.get()
    }

    /// Notes a retry.
    pub(crate) fn count_retry(&self) {
        self.retries.set(self.retries.get() + 1);
    }

    /// It is sent there.
    pub(crate) fn went_to(&mut self, endpoint: *const Endpoint) {
        self.left = Some(Left {
            endpoint,
            for_good: false,
        });
    }

    /// Whether an answer of `endpoint` with this status is not passed on but asked of another.
    fn pass_over(
        &self,
        upstream: &Upstream,
        endpoint: &Endpoint,
        seen: Seen,
        now: Instant,
    ) -> bool {
        is_gateway_failure(seen.status)
            && !seen.forbids_retry
            // Another one is under way already, and may do better.
            && (self.race.has_other()
                || self.left() > 0
                    && self.may.on_status
                    && self.is_repeatable
                    && upstream.has_another(endpoint)
                    && upstream.may_retry(now, false))
    }

    /// Whether there is another try after this.
    pub(crate) fn again(&mut self, upstream: &Upstream, fault: Fault, now: Instant) -> bool {
        let is_elsewhere = matches!(fault, Fault::Broken | Fault::Unwell);
        // What was nobody's fault is tried again once, whatever a route says of failures.
        let is_free = self.is_first && matches!(fault, Fault::Unprocessed | Fault::Stale);
        let is_wanted = match fault {
            Fault::Reset | Fault::Broken => self.may.on_reset,
            Fault::Unprocessed | Fault::Stale | Fault::Unwell => true,
        };
        let may = (is_free || self.left() > 0 && is_wanted)
            && match fault {
                // It was nobody's fault, or cost nobody anything.
                Fault::Unprocessed => upstream.may_retry(now, true),
                Fault::Stale => self.is_repeatable && upstream.may_retry(now, true),
                Fault::Reset => self.is_repeatable && upstream.may_retry(now, false),
                Fault::Broken => {
                    let left = self.left.map(|left| left.endpoint);
                    self.is_repeatable
                        && left.is_some_and(|left| upstream.has_another(left))
                        && upstream.may_retry(now, false)
                }
                // It was counted when its answer was not passed on.
                Fault::Unwell => true,
            };
        if let Some(left) = &mut self.left {
            left.for_good = is_elsewhere;
        }
        (self.is_first, self.reuse) = (false, Reuse::Never);
        self.may.left = self.may.left.saturating_sub(u8::from(may));
        if may {
            self.count_retry();
        }
        may
    }
}

/// What is seen of the head of an answer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    /// How much of the answer is still to come, where its connection can be used again after that.
    pub(crate) rest: Option<u64>,
    /// It is one of gRPC, whose end says how the endpoint did.
    pub(crate) is_open: bool,
    /// It says that the request is not to be tried again. Asked of those that cannot serve only.
    pub(crate) forbids_retry: bool,
}

/// One attempt, as it looks to those who judge how its endpoint does.
#[derive(Clone, Copy)]
pub(crate) struct Attempted<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) upstream: &'a Upstream,
    pub(crate) endpoint: &'a Endpoint,
    /// Its connection had been idle.
    pub(crate) was_idle: bool,
    /// Its time was limited by whoever asked.
    pub(crate) has_deadline: bool,
}

impl Attempted<'_> {
    /// Notes how the endpoint has done, and decides whether its answer is passed on. `heard` is
    /// how much of an answer there was. With a head comes the time at which its whole request had
    /// been sent, if it had; `see` says what it says.
    pub(crate) fn judge<Head>(
        self,
        tries: &Tries,
        heard: Heard,
        head: Result<(Head, Option<Instant>), NoAnswer>,
        now: Instant,
        see: impl FnOnce(&Head) -> Seen,
    ) -> Result<Head, NoAnswer> {
        let (upstream, endpoint, limits) = (self.upstream, self.endpoint, self.limits);
        match head {
            Ok((head, ended)) => {
                let seen = see(&head);
                let measured = ended.filter(|_| tries.is_measured);
                upstream.heard(endpoint, seen, measured, now, limits);
                let may = heard < Heard::PassedOn;
                if may && tries.pass_over(upstream, endpoint, seen, now) {
                    return Err(NoAnswer::PassedOver {
                        rest: seen.rest.filter(|_| ended.is_some()),
                    });
                }
                // From here on it is no burden that would show in how long others wait.
                tries.place.take();
                Ok(head)
            }
            Err(error) => {
                let is_its_fault = match error {
                    NoAnswer::Failed(GatewayError::Timeout) => !self.has_deadline,
                    _ => matches!(self.fault(error, heard), Some(Fault::Reset | Fault::Broken)),
                };
                if is_its_fault {
                    upstream.failed(endpoint, now, limits);
                }
                if is_its_fault && error == NoAnswer::Failed(GatewayError::Timeout) {
                    upstream.took_all_its_time(now);
                }
                Err(error)
            }
        }
    }

    /// A call of gRPC whose answer had begun ended with this status. Only one of them is what a proxy
    /// of HTTP would say; all others may be the fault of one call.
    pub(crate) fn ended(self, status: u8, now: Instant) {
        match status {
            grpc_status::UNAVAILABLE => self.upstream.failed(self.endpoint, now, self.limits),
            _ => self.upstream.connected(self.endpoint),
        }
    }

    /// What was wrong, where there may be another attempt.
    pub(crate) fn fault(self, error: NoAnswer, heard: Heard) -> Option<Fault> {
        match error {
            NoAnswer::PassedOver { .. } => Some(Fault::Unwell),
            NoAnswer::Failed(GatewayError::BackendClosed) => match heard {
                Heard::Nothing if self.was_idle => Some(Fault::Stale),
                Heard::Nothing => Some(Fault::Reset),
                Heard::Something => Some(Fault::Broken),
                Heard::PassedOn => None,
            },
            NoAnswer::Failed(_) | NoAnswer::ClientGone => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Random;
    use crate::messages::Reporter;
    use std::rc::Rc;

    const GET: RequestFacts = RequestFacts::GET;
    const CLOSED: NoAnswer = NoAnswer::Failed(GatewayError::BackendClosed);

    fn upstream(count: u16) -> (Rc<Upstream>, Vec<Rc<Endpoint>>) {
        let id: model::UpstreamId = "app/web".to_owned().try_into().unwrap();
        let upstream = Upstream::with(id.clone(), Random::seeded(1));
        let (to, _) = tokio::sync::mpsc::unbounded_channel();
        let endpoints = (1..=count).map(|number| {
            let instance = format!("app.web.1.{number}").parse().unwrap();
            let wanted = model::Endpoint {
                address: ([127, 0, 0, 1], number).into(),
                protocol: model::Protocol::Http,
                tls: None,
            };
            let to = to.clone();
            Endpoint::new(id.clone(), instance, &wanted, Reporter { worker: 0, to })
        });
        let endpoints: Vec<_> = endpoints.collect();
        upstream.replace_endpoints(endpoints.clone());
        (upstream, endpoints)
    }

    fn tries(facts: RequestFacts, endpoint: &Rc<Endpoint>) -> Tries {
        let mut tries = Tries::of(facts, None);
        tries.went_to(Rc::as_ptr(endpoint));
        tries
    }

    #[test]
    fn faults_are_told_apart_by_what_was_heard_and_by_the_connection() {
        let (upstream, endpoints) = upstream(1);
        let fault = |was_idle, error, heard| {
            let attempted = Attempted {
                limits: &Limits::default(),
                upstream: &upstream,
                endpoint: &endpoints[0],
                was_idle,
                has_deadline: false,
            };
            attempted.fault(error, heard)
        };
        assert_eq!(fault(true, CLOSED, Heard::Nothing), Some(Fault::Stale));
        assert_eq!(fault(false, CLOSED, Heard::Nothing), Some(Fault::Reset));
        assert_eq!(fault(true, CLOSED, Heard::Something), Some(Fault::Broken));
        assert_eq!(fault(true, CLOSED, Heard::PassedOn), None);
        let late = NoAnswer::Failed(GatewayError::Timeout);
        assert_eq!(fault(false, late, Heard::Nothing), None);
    }

    #[test]
    fn there_is_one_more_try_where_it_is_harmless_and_never_two() {
        let post = RequestFacts {
            idempotent: false,
            ..GET
        };
        let upload = RequestFacts {
            body: Body::Chunked,
            ..GET
        };
        let now = Instant::now();
        for (facts, fault, endpoints, expected) in [
            (GET, Fault::Stale, 1, true),
            (GET, Fault::Reset, 1, true),
            (GET, Fault::Broken, 2, true),
            (GET, Fault::Broken, 1, false),
            (post, Fault::Stale, 2, false),
            (post, Fault::Broken, 2, false),
            (upload, Fault::Reset, 2, false),
            (post, Fault::Unprocessed, 1, true),
        ] {
            let (upstream, endpoints) = upstream(endpoints);
            let mut tries = tries(facts, &endpoints[0]);
            assert_eq!(tries.again(&upstream, fault, now), expected, "{fault:?}");
            assert!(!tries.again(&upstream, fault, now), "{fault:?}");
            assert_eq!(upstream.counters.read().retried, u64::from(expected));
        }
    }

    #[test]
    fn a_route_says_how_often_and_after_what() {
        let now = Instant::now();
        for (most, on_reset, on_status, resets, passed_over) in [
            (0, true, true, 0, false),
            (1, true, true, 1, true),
            (2, true, true, 2, true),
            (2, false, true, 0, true),
            (2, true, false, 2, false),
        ] {
            let (upstream, endpoints) = upstream(3);
            let mut tries = tries(GET, &endpoints[0]);
            tries.may = Retries {
                left: most,
                on_reset,
                on_status,
            };
            let seen = Seen {
                status: 503,
                rest: None,
                is_open: false,
                forbids_retry: false,
            };
            let is_passed_over = tries.pass_over(&upstream, &endpoints[0], seen, now);
            assert_eq!(is_passed_over, passed_over);
            let again = (0..4).filter(|_| tries.again(&upstream, Fault::Reset, now));
            assert_eq!(again.count(), resets, "{most} {on_reset}");
        }
        // Where a backend has just closed its connection it was no failure.
        let (upstream, endpoints) = upstream(1);
        let mut tries = tries(GET, &endpoints[0]);
        tries.may.left = 0;
        assert!(tries.again(&upstream, Fault::Stale, now));
        assert!(!tries.again(&upstream, Fault::Stale, now));
    }

    #[test]
    fn without_budget_only_what_cost_nobody_anything_is_tried_again() {
        let (upstream, endpoints) = upstream(2);
        let now = Instant::now();
        while upstream.may_retry(now, false) {}
        for (fault, expected) in [
            (Fault::Stale, true),
            (Fault::Unprocessed, true),
            (Fault::Reset, false),
            (Fault::Broken, false),
        ] {
            let again = tries(GET, &endpoints[0]).again(&upstream, fault, now);
            assert_eq!(again, expected, "{fault:?}");
        }
        let seen = Seen {
            status: 503,
            ..Seen::default()
        };
        assert!(!tries(GET, &endpoints[0]).pass_over(&upstream, &endpoints[0], seen, now));
    }

    #[test]
    fn the_timeout_of_a_caller_is_not_the_fault_of_an_endpoint() {
        let (upstream, endpoints) = upstream(2);
        let late = || Err::<((), Option<Instant>), _>(NoAnswer::Failed(GatewayError::Timeout));
        for (has_deadline, ejected) in [(true, 0), (false, 1)] {
            for _ in 0..10 {
                let attempted = Attempted {
                    limits: &Limits::default(),
                    upstream: &upstream,
                    endpoint: &endpoints[0],
                    was_idle: false,
                    has_deadline,
                };
                let tries = tries(GET, &endpoints[0]);
                let see = |&(): &()| Seen::default();
                let judged = attempted.judge(&tries, Heard::Nothing, late(), Instant::now(), see);
                assert!(judged.is_err());
            }
            assert_eq!(upstream.counters.read().ejected, ejected);
        }
    }
}

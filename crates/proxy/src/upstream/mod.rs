//! One upstream as one worker sees it. Listeners and routes hold it; changes are made inside it,
//! so a request finds the current endpoints without looking anything up.

mod admission;
mod endpoint;
mod gate;
mod hedges;
mod sticky;

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use model::{Balance, Connections, HashKey, Priority, Protocol, ServedFiles, UpstreamId};

use self::admission::Admission;
pub(crate) use self::admission::Place;
pub(crate) use self::endpoint::{Endpoint, InFlight, Kept};
use self::gate::Gate;
pub(crate) use self::gate::Pass;
use self::hedges::Hedges;
use self::sticky::number;
use crate::balance::{
    Budget, Candidates, Chooser, Entering, Fitness, Fleet, Load, Member, Policy, Random, Subset,
};
use crate::http::gateway_error::GatewayError;
use crate::http::phases::NoAnswer;
use crate::limits::{LIFETIME_JITTER, LONG_POLL, Limits};
use crate::measure::{Counters, ReleaseCounters};
use crate::retry::{Seen, Tries};
use crate::routing::Asked;

/// A service and its endpoints.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Its name.
    pub(crate) id: UpstreamId,
    protocol: Cell<Protocol>,
    timeout: Cell<Duration>,
    endpoints: RefCell<Vec<Rc<Endpoint>>>,
    /// Which of them are used, the first so many, where there are very many.
    subset: Cell<Option<Subset>>,
    /// What the proxy serves itself, in place of endpoints.
    files: RefCell<Option<Rc<ServedFiles>>>,
    /// Whether any of them speaks HTTP/2, or it has no endpoints but files: requests are values then.
    speaks_http2: Cell<bool>,
    /// Whether any of them may be ejected.
    any_ejected: Cell<bool>,
    budget: RefCell<Budget>,
    admission: Admission,
    gate: Gate,
    /// When a request that waits is sent a second time.
    pub(crate) hedges: Hedges,
    connections: Cell<Connections>,
    random: Cell<Random>,
    chooser: Cell<Chooser>,
    /// What requests are alike in that go to the same endpoint, where they do.
    sticky: RefCell<Option<HashKey>>,
    /// What became of requests to it.
    pub(crate) counters: Counters,
    /// How the instances of each release have answered.
    pub(crate) releases: RefCell<ReleaseCounters>,
}

/// The endpoint that a request was sent to before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left {
    pub(crate) endpoint: *const Endpoint,
    /// It is not asked again even if there is no other.
    pub(crate) for_good: bool,
}

impl Upstream {
    /// An upstream that the snapshot does not have (yet): it has no endpoint.
    pub(crate) fn absent(id: UpstreamId) -> Rc<Self> {
        Self::with(id, Random::new())
    }

    /// The same, where `random` decides what is chosen.
    pub(crate) fn with(id: UpstreamId, random: Random) -> Rc<Self> {
        Rc::new(Self {
            id,
            protocol: Cell::new(Protocol::Http),
            timeout: Cell::new(Duration::ZERO),
            endpoints: RefCell::default(),
            subset: Cell::default(),
            files: RefCell::default(),
            speaks_http2: Cell::new(false),
            any_ejected: Cell::new(false),
            budget: RefCell::default(),
            admission: Admission::default(),
            gate: Gate::default(),
            hedges: Hedges::default(),
            connections: Cell::default(),
            random: Cell::new(random),
            chooser: Cell::default(),
            sticky: RefCell::default(),
            counters: Counters::default(),
            releases: RefCell::default(),
        })
    }

    /// What is spoken to it.
    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol.get()
    }

    /// How long a request waits for the head of its answer.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout.get()
    }

    /// Whether any of its endpoints speaks HTTP/2, or its requests have to be values as if one did.
    pub(crate) fn speaks_http2(&self) -> bool {
        self.speaks_http2.get()
    }

    /// Sets what a snapshot says of it, for one of so many workers.
    pub(crate) fn configure(&self, wanted: &model::Upstream, workers: usize) {
        self.protocol.set(wanted.protocol);
        self.timeout.set(wanted.timeout);
        *self.files.borrow_mut() = wanted.files.clone().map(Rc::new);
        self.admission.configure(wanted, workers);
        self.gate.configure(&wanted.resilience.connections, workers);
        self.hedges.configure(wanted.resilience.hedge.as_ref());
        self.connections.set(wanted.resilience.connections);
        let (policy, sticky) = match &wanted.resilience.balance {
            Balance::LeastLatency => (Policy::LeastLatency, None),
            Balance::LeastConnections => (Policy::LeastConnections, None),
            Balance::RoundRobin => (Policy::RoundRobin, None),
            Balance::Hash { key, bounded } => {
                let bounded = *bounded;
                (Policy::Hash { bounded }, Some(key.clone()))
            }
        };
        let mut random = self.random.get();
        self.chooser.set(Chooser::new(policy, &mut random));
        self.random.set(random);
        self.sticky.replace(sticky);
    }

    /// The number that a request has in common with those that go to the same endpoint, where some
    /// do.
    pub(crate) fn sticky(&self, asked: &dyn Asked, peer: Option<IpAddr>) -> Option<u64> {
        match self.chooser.get().is_sticky() {
            true => number(self.sticky.borrow().as_ref()?, asked, peer),
            false => None,
        }
    }

    /// One more request may wait for an answer, or there are too many that do.
    pub(crate) fn admit(
        &self,
        priority: Priority,
        now: Instant,
    ) -> Result<Option<Place>, GatewayError> {
        let admitted = self.admission.admit(priority, now);
        admitted.map_err(|_| GatewayError::Overloaded)
    }

    /// Lets a request, or a connection for bytes, go on to an instance, at once or when it is its
    /// turn, unless it is `gone` before that.
    ///
    /// # Errors
    /// Too many wait, or it has waited for too long, or is gone.
    pub(crate) async fn enter(&self, gone: impl AsyncFnOnce()) -> Result<Option<Pass>, NoAnswer> {
        self.gate.enter(gone).await
    }

    /// How long a connection waits for its next request.
    pub(crate) fn idle(&self, limits: &Limits) -> Duration {
        self.connections.get().idle.min(limits.pool_idle)
    }

    /// When a connection that is opened now becomes too old, if ever: up to a tenth sooner by chance,
    /// since those that were opened in one moment should not all end in one.
    pub(crate) fn expiry(&self, now: Instant) -> Option<Instant> {
        let lifetime = self.connections.get().lifetime?;
        let mut random = self.random.get();
        let sooner = random.fraction() * LIFETIME_JITTER;
        self.random.set(random);
        Some(now + lifetime.mul_f64(1.0 - sooner))
    }

    /// A request got no answer within the service's timeout.
    pub(crate) fn took_all_its_time(&self, now: Instant) {
        let took = self.timeout().min(LONG_POLL);
        self.admission.took(&self.id, now, took);
    }

    /// What the proxy serves itself, in place of its endpoints.
    pub(crate) fn files(&self) -> Option<Rc<ServedFiles>> {
        self.files.borrow().clone()
    }

    /// Replaces its endpoints; the old ones are returned.
    pub(crate) fn replace_endpoints(&self, endpoints: Vec<Rc<Endpoint>>) -> Vec<Rc<Endpoint>> {
        let any = endpoints.iter().any(|endpoint| endpoint.speaks_http2());
        self.speaks_http2.set(any || self.files.borrow().is_some());
        self.subset.set(None);
        self.endpoints.replace(endpoints)
    }

    /// Has one of so many workers use its part of the endpoints only, where there are very many. Those
    /// that requests are bound to are found by all workers.
    pub(crate) fn spread(&self, worker: usize, workers: usize) {
        let mut endpoints = self.endpoints.borrow_mut();
        let subset = match self.chooser.get().is_sticky() {
            true => None,
            false => Subset::of(endpoints.len(), worker, workers),
        };
        if let Some(subset) = subset {
            endpoints.sort_by_key(|endpoint| endpoint.identity);
            endpoints.rotate_left(subset.start);
        }
        self.subset.set(subset);
    }

    /// Those of all endpoints that are used: all that there are, if too many of this worker's part are
    /// ejected, or would be if others were not.
    fn in_use(&self, endpoints: &[Rc<Endpoint>]) -> Option<Subset> {
        let subset = self.subset.get()?;
        let is_out = |endpoint: &&Rc<Endpoint>| {
            let member = endpoint.member.get();
            member.is_ejected() || member.is_failing()
        };
        let is_narrow = self.any_ejected.get()
            && endpoints[..subset.width].iter().filter(is_out).count() > subset.width / 2;
        (!is_narrow).then_some(subset)
    }

    /// Calls `visit` with each endpoint.
    pub(crate) fn each_endpoint(&self, visit: impl FnMut(&Rc<Endpoint>)) {
        self.endpoints.borrow().iter().for_each(visit);
    }

    /// How an endpoint begins that is one of so many.
    pub(crate) fn entering(
        &self,
        now: Instant,
        endpoints: usize,
        longest: Duration,
    ) -> Option<Entering> {
        let requests_per_second = self.budget.borrow_mut().requests_per_second(now);
        Entering::new(now, longest, endpoints, requests_per_second)
    }

    /// Chooses the endpoint of a request, passing over those in `failed`, and over the one that
    /// it has left where there is another. The request is counted as in flight there: choosing and
    /// counting are one step, so that whoever retires an endpoint sees every request that can
    /// still reach it.
    pub(crate) fn pick(
        &self,
        now: Instant,
        limits: &Limits,
        failed: &[InFlight],
        tries: &Tries,
    ) -> Option<InFlight> {
        let endpoints = &**self.endpoints.borrow();
        if self.any_ejected.get() {
            self.take_back(endpoints, now, limits);
        }
        let subset = self.in_use(endpoints);
        let candidates = Choice {
            endpoints: subset.map_or(endpoints, |subset| &endpoints[..subset.width]),
            subset,
            now,
            failed,
            left: tries.left,
        };
        let mut random = self.random.get();
        let mut chooser = self.chooser.get();
        let index = chooser.pick(&candidates, tries.sticky, &mut random);
        self.random.set(random);
        self.chooser.set(chooser);
        index.map(|index| InFlight::begin(&endpoints[index]))
    }

    /// Whether there is an endpoint other than `left` that is not ejected.
    pub(crate) fn has_another(&self, left: *const Endpoint) -> bool {
        let endpoints = self.endpoints.borrow();
        let is_other = |endpoint: &Rc<Endpoint>| {
            Rc::as_ptr(endpoint) != left && !endpoint.member.get().is_ejected()
        };
        endpoints.iter().any(is_other)
    }

    /// A request came, which earns a part of a second attempt.
    pub(crate) fn asked(&self, now: Instant) {
        self.budget.borrow_mut().request(now);
    }

    /// Whether a request may be tried a second time, which is counted. In any case, if `always`.
    pub(crate) fn may_retry(&self, now: Instant, always: bool) -> bool {
        let mut budget = self.budget.borrow_mut();
        let may = match always {
            true => {
                budget.retry_anyway(now);
                true
            }
            false => budget.retry(now),
        };
        if may {
            self.counters.retried();
        }
        may
    }

    /// Whether a request that waits for `endpoint` may be sent to another one meanwhile; with its
    /// leave to be there. Not while the service has too much to do.
    pub(crate) fn may_hedge(
        &self,
        endpoint: *const Endpoint,
        now: Instant,
    ) -> Option<Option<Pass>> {
        if self.admission.is_limited() || !self.has_another(endpoint) {
            return None;
        }
        let pass = self.gate.enter_now().ok()?;
        let may = self.budget.borrow_mut().retry(now);
        may.then_some(pass)
    }

    /// What was seen of the first of two attempts at the same time, at `endpoint`.
    pub(crate) fn saw_first(&self, endpoint: &Endpoint, took: Duration, has_lost: bool) {
        let now = Instant::now();
        self.hedges.took(now, took);
        if has_lost {
            self.counters.hedge_won();
            let mut member = endpoint.member.get();
            member.outlasted(now, took);
            endpoint.member.set(member);
        }
    }

    /// `endpoint` has begun to answer so, at `now`; `ended` is when the whole request had
    /// been sent, where how long that is ago says something.
    pub(crate) fn heard(
        &self,
        endpoint: &Endpoint,
        seen: Seen,
        ended: Option<Instant>,
        now: Instant,
        limits: &Limits,
    ) {
        let mut took = ended.map(|ended| now.saturating_duration_since(ended));
        if let Some(took) = took {
            endpoint.took(took);
        }
        let mut releases = self.releases.borrow_mut();
        releases.answered(endpoint.instance.release, seen.status, took);
        drop(releases);
        match is_gateway_failure(seen.status) {
            // It has refused what is too much for it, which says nothing else of it.
            true if seen.forbids_retry => took = None,
            true => return self.failed(endpoint, now, limits),
            false => {}
        }
        let mut member = endpoint.member.get();
        match seen.is_open {
            true => member.began(now, took),
            false => member.answered(now, took),
        }
        endpoint.member.set(member);
        if let Some(took) = took {
            self.admission.took(&self.id, now, took);
        }
    }

    /// A connection for bytes to `endpoint` was opened, or a call of gRPC has ended well.
    pub(crate) fn connected(&self, endpoint: &Endpoint) {
        let mut member = endpoint.member.get();
        member.connected();
        endpoint.member.set(member);
    }

    /// A connection or a request to `endpoint` failed. One that is being stopped is not blamed.
    pub(crate) fn failed(&self, endpoint: &Endpoint, now: Instant, limits: &Limits) {
        if endpoint.is_retired() {
            return;
        }
        endpoint.count_failure();
        let endpoints = self.endpoints.borrow();
        let fleet = || Fleet {
            endpoints: endpoints.len(),
            ejected: endpoints
                .iter()
                .filter(|e| e.member.get().is_ejected())
                .count(),
        };
        let mut random = self.random.get();
        let mut member = endpoint.member.get();
        let is_ejected = member.failed(now, limits.eject, random.fraction(), fleet);
        endpoint.member.set(member);
        self.random.set(random);
        if is_ejected {
            self.any_ejected.set(true);
            self.counters.ejected();
            let (instance, address) = (&endpoint.instance, endpoint.address);
            tracing::info!(%instance, %address, "it fails again and again: ejected for a while");
        }
    }

    /// Takes back those whose ejection is over.
    fn take_back(&self, endpoints: &[Rc<Endpoint>], now: Instant, limits: &Limits) {
        let mut any = false;
        for endpoint in endpoints {
            let mut member = endpoint.member.get();
            if member.is_ejected() {
                member.come_back(now, || {
                    self.entering(now, endpoints.len(), limits.slow_start)
                });
                any |= member.is_ejected();
                endpoint.member.set(member);
            }
        }
        self.any_ejected.set(any);
    }
}

/// Whether an answer of a backend says that it, or what is behind it, cannot serve.
pub(crate) fn is_gateway_failure(status: u16) -> bool {
    matches!(status, 502..=504)
}

/// The endpoints that one request can be sent to.
struct Choice<'a> {
    endpoints: &'a [Rc<Endpoint>],
    /// What of all endpoints they are.
    subset: Option<Subset>,
    now: Instant,
    failed: &'a [InFlight],
    left: Option<Left>,
}

impl Choice<'_> {
    fn member(&self, index: usize) -> Member {
        self.endpoints[index].member.get()
    }
}

impl Candidates for Choice<'_> {
    fn count(&self) -> usize {
        self.endpoints.len()
    }

    fn fitness(&self, index: usize) -> Fitness {
        let endpoint = Rc::as_ptr(&self.endpoints[index]);
        let is_left = self.left.is_some_and(|left| left.endpoint == endpoint);
        let is_for_good = self.left.is_some_and(|left| left.for_good);
        let mut failed = self.failed.iter();
        match () {
            () if failed.any(|failed| std::ptr::eq(failed.endpoint(), endpoint)) => Fitness::Unfit,
            () if is_left && is_for_good => Fitness::Unfit,
            () if self.member(index).is_ejected() => Fitness::Ejected,
            () if is_left => Fitness::Left,
            () => Fitness::Fit,
        }
    }

    fn share(&self, index: usize) -> f64 {
        let share = self.member(index).share(self.now);
        match &self.subset {
            None => share,
            Some(subset) => share * subset.share(index),
        }
    }

    fn is_failing(&self, index: usize) -> bool {
        self.member(index).is_failing()
    }

    fn identity(&self, index: usize) -> u64 {
        self.endpoints[index].identity
    }

    fn load(&self, index: usize) -> Load {
        Load {
            seconds: self.member(index).seconds(self.now),
            last: self.member(index).last_seconds(),
            in_flight: self.endpoints[index].in_flight(),
        }
    }
}

//! What a worker serves from: the snapshot in the form that requests need. A delta changes only
//! what it names, in one step: no request runs between its parts.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::Worker;
use super::listener::Accepting;
use super::routes::{Routed, Routes};
use crate::measure::{self, Endpoints, Releases, Totals};
use crate::messages::{Reporter, RetiredEndpoint};
use crate::rate_limit::Limiters;
use crate::routing::Asked;
use crate::routing::rules::Pages;
use crate::upstream::{Endpoint, Upstream};
use model::snapshot::ErrorPagesId;
use model::{InstanceId, ListenerId, ListenerRole, SnapshotDelta, UpstreamId};

/// A worker's view of the snapshot.
#[derive(Debug)]
pub(crate) struct View {
    upstreams: HashMap<UpstreamId, Rc<Upstream>>,
    /// Those of `upstreams` that the snapshot does not have, but a listener or route may name.
    absent: BTreeSet<UpstreamId>,
    routes: Routes,
    listeners: HashMap<ListenerId, Accepting>,
    /// How many endpoints each instance has in the snapshot.
    present: HashMap<InstanceId, usize>,
    /// Endpoints that are not in the snapshot any more and had something in flight.
    retired: Vec<Rc<Endpoint>>,
    reporter: Reporter,
    /// The limits of rates, which all workers share.
    limiters: Arc<Limiters>,
    /// What routes show in place of errors.
    pages: HashMap<ErrorPagesId, Pages>,
}

impl View {
    /// A view of nothing.
    pub(crate) fn new(reporter: Reporter, limiters: Arc<Limiters>) -> Self {
        Self {
            upstreams: HashMap::new(),
            absent: BTreeSet::new(),
            routes: Routes::default(),
            listeners: HashMap::new(),
            present: HashMap::new(),
            retired: Vec::new(),
            reporter,
            limiters,
            pages: HashMap::new(),
        }
    }

    /// What is done with a request at the edge.
    pub(crate) fn route(&self, asked: &dyn Asked) -> Option<Routed> {
        self.routes.find(asked)
    }

    /// What is shown to a request at the edge that fits no route.
    pub(crate) fn fallback(&self, asked: &dyn Asked) -> Option<Pages> {
        self.routes.fallback(asked)
    }

    /// Calls `visit` with each upstream.
    pub(crate) fn each_upstream(&self, visit: impl FnMut(&Rc<Upstream>)) {
        self.upstreams.values().for_each(visit);
    }

    /// What became of requests, by upstream.
    pub(crate) fn counts(&self) -> BTreeMap<UpstreamId, Totals> {
        let counts = self.upstreams.iter();
        counts
            .map(|(id, upstream)| (id.clone(), upstream.counters.read()))
            .collect()
    }

    /// The numbers of each endpoint, release and route.
    pub(crate) fn each_count(&self) -> (Endpoints, Releases, measure::Routes) {
        (self.endpoints(), self.releases(), self.routes.counts())
    }

    /// What each endpoint that is in use has had to do.
    fn endpoints(&self) -> Endpoints {
        let mut endpoints = Endpoints::new();
        self.each_upstream(|upstream| {
            upstream.each_endpoint(|endpoint| {
                let key = (upstream.id.clone(), endpoint.instance.clone());
                endpoints.insert(key, endpoint.totals());
            });
        });
        endpoints
    }

    /// How the instances of each release have answered.
    fn releases(&self) -> Releases {
        let mut releases = Releases::new();
        self.each_upstream(|upstream| {
            for (number, totals) in upstream.releases.borrow().read() {
                releases.insert((upstream.id.clone(), *number), totals.clone());
            }
        });
        releases
    }

    /// Gives up all listeners.
    pub(crate) fn take_listeners(&mut self) -> Vec<Accepting> {
        self.listeners
            .drain()
            .map(|(_, accepting)| accepting)
            .collect()
    }

    /// Applies `delta`; what is returned is to be stopped.
    pub(crate) fn apply(
        &mut self,
        worker: &Rc<Worker>,
        delta: &SnapshotDelta,
        sockets: &mut BTreeMap<ListenerId, std::net::TcpListener>,
    ) -> Vec<Accepting> {
        for id in &delta.upstreams.removed {
            self.remove_upstream(id);
        }
        for (id, upstream) in &delta.upstreams.set {
            self.set_upstream(id, upstream, worker);
        }
        for (id, pages) in &delta.error_pages.set {
            self.pages.insert(id.clone(), Rc::new(pages.clone()));
        }
        for key in &delta.routes.removed {
            self.routes.remove(key);
        }
        let mut routes = std::mem::take(&mut self.routes);
        let limiters = self.limiters.clone();
        let pages = std::mem::take(&mut self.pages);
        for (key, route) in &delta.routes.set {
            routes.set(key, route, &limiters, &pages, |id| self.upstream(id));
        }
        self.routes = routes;
        self.pages = pages;
        for id in &delta.error_pages.removed {
            self.pages.remove(id);
        }
        let mut stopped = Vec::new();
        for id in &delta.listeners.removed {
            stopped.extend(self.listeners.remove(id));
        }
        for (id, listener) in &delta.listeners.set {
            self.retarget(id, listener);
        }
        for (id, socket) in std::mem::take(sockets) {
            if let Some(listener) = delta.listeners.set.get(&id) {
                stopped.extend(self.listen(worker, id, socket, listener));
            }
        }
        self.forget_absent();
        stopped
    }

    /// What is in flight here to instances that are not in the snapshot any more.
    pub(crate) fn busy(&mut self) -> BTreeMap<RetiredEndpoint, u32> {
        self.retired.retain(|endpoint| endpoint.in_flight() > 0);
        let mut busy = BTreeMap::new();
        for endpoint in &self.retired {
            // An instance that has only moved to another address or left one of several upstreams
            // is still in the snapshot.
            if !self.present.contains_key(&endpoint.instance) {
                *busy.entry(endpoint.name()).or_insert(0) += endpoint.in_flight();
            }
        }
        busy
    }

    /// The upstream of that name, which the snapshot may not have yet.
    fn upstream(&mut self, id: &UpstreamId) -> Rc<Upstream> {
        if let Some(upstream) = self.upstreams.get(id) {
            return upstream.clone();
        }
        self.absent.insert(id.clone());
        let upstream = Upstream::absent(id.clone());
        self.upstreams.insert(id.clone(), upstream.clone());
        upstream
    }

    fn set_upstream(&mut self, id: &UpstreamId, wanted: &model::Upstream, worker: &Worker) {
        let slow_start = worker.limits.slow_start;
        let upstream = self.upstream(id);
        self.absent.remove(id);
        let releases = wanted.endpoints.keys().map(|instance| instance.release);
        upstream.releases.borrow_mut().lead_to(&releases.collect());
        upstream.configure(wanted, worker.workers);
        let mut old = self.replace_endpoints(&upstream, Vec::new());
        let entering = upstream.entering(Instant::now(), wanted.endpoints.len(), slow_start);
        let endpoints = wanted.endpoints.iter().map(|(instance, endpoint)| {
            let same =
                |e: &Rc<Endpoint>| e.instance == *instance && e.is(endpoint) && e.upstream == *id;
            if let Some(at) = old.iter().position(same) {
                return old.swap_remove(at);
            }
            // It may come back while requests from before are still in flight.
            if let Some(at) = self.retired.iter().position(same) {
                let endpoint = self.retired.swap_remove(at);
                endpoint.enter(entering);
                return endpoint;
            }
            let reporter = self.reporter.clone();
            let endpoint = Endpoint::new(id.clone(), instance.clone(), endpoint, reporter);
            endpoint.enter(entering);
            endpoint
        });
        let endpoints = endpoints.collect();
        self.replace_endpoints(&upstream, endpoints);
        upstream.spread(self.reporter.worker, worker.workers);
        self.retire(old);
    }

    fn remove_upstream(&mut self, id: &UpstreamId) {
        if let Some(upstream) = self.upstreams.get(id).cloned() {
            let old = self.replace_endpoints(&upstream, Vec::new());
            self.absent.insert(id.clone());
            self.retire(old);
        }
    }

    /// Gives an upstream other endpoints; those that it had. Which instances are present is counted
    /// along, since to look for one among all endpoints would take longer the more there are.
    fn replace_endpoints(
        &mut self,
        upstream: &Upstream,
        endpoints: Vec<Rc<Endpoint>>,
    ) -> Vec<Rc<Endpoint>> {
        for endpoint in &endpoints {
            *self.present.entry(endpoint.instance.clone()).or_default() += 1;
        }
        let old = upstream.replace_endpoints(endpoints);
        for endpoint in &old {
            if let Entry::Occupied(mut count) = self.present.entry(endpoint.instance.clone()) {
                match count.get() {
                    0 | 1 => drop(count.remove()),
                    more => drop(count.insert(more - 1)),
                }
            }
        }
        old
    }

    fn retire(&mut self, endpoints: Vec<Rc<Endpoint>>) {
        for endpoint in endpoints {
            endpoint.retire();
            if endpoint.in_flight() > 0 {
                self.retired.push(endpoint);
            }
        }
    }

    /// Drops what the snapshot does not have and nobody names any more.
    fn forget_absent(&mut self) {
        let Self {
            absent, upstreams, ..
        } = self;
        absent.retain(|id| match upstreams.get(id) {
            Some(upstream) if Rc::strong_count(upstream) > 1 => true,
            _ => {
                upstreams.remove(id);
                false
            }
        });
    }

    fn role_upstream(&mut self, role: &ListenerRole) -> Option<Rc<Upstream>> {
        match role {
            ListenerRole::Edge => None,
            ListenerRole::Mesh { upstream, .. } => Some(self.upstream(upstream)),
        }
    }

    fn retarget(&mut self, id: &ListenerId, wanted: &model::Listener) {
        let upstream = self.role_upstream(&wanted.role);
        if let Some(accepting) = self.listeners.get(id) {
            accepting.retarget(upstream, wanted);
        }
    }

    /// Begins to listen; what the listener listened with before is returned.
    pub(crate) fn listen(
        &mut self,
        worker: &Rc<Worker>,
        id: ListenerId,
        socket: std::net::TcpListener,
        wanted: &model::Listener,
    ) -> Option<Accepting> {
        let upstream = self.role_upstream(&wanted.role);
        let caller = match &wanted.role {
            ListenerRole::Edge => None,
            ListenerRole::Mesh { caller, .. } => Some(caller.to_string().into()),
        };
        match Accepting::start(worker, socket, wanted, (upstream, caller)) {
            Ok(accepting) => self.listeners.insert(id, accepting),
            Err(error) => {
                // The runtime has no room for another descriptor. Other workers may have.
                tracing::error!(listener = id, %error, "this worker cannot listen");
                None
            }
        }
    }
}

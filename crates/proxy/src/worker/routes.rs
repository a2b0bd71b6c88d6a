//! What the edge does with requests, by the rules of the snapshot.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::rc::Rc;

use model::snapshot::ErrorPagesId;
use model::{Action, HostPattern, Matching, PathPattern, PathPrefix, Route, UpstreamId};

use crate::http::redirect::Redirect;
use crate::limits::PAST_ROUTES;
use crate::measure::{self, RouteCounters, RouteName};
use crate::mirror::Mirror;
use crate::rate_limit::Limiters;
use crate::routing::rules::{Pages, Rules};
use crate::routing::{Asked, Table};
use crate::upstream::Upstream;

/// Where requests from outside go.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    table: Table<(Target, Option<Rc<Rules>>, Rc<RouteCounters>)>,
    /// What is shown for hosts where no route fits, by the routes that are for them.
    fallbacks: Table<Pages>,
    /// What became of the requests of each route, by its key.
    counters: HashMap<Rc<str>, Rc<RouteCounters>>,
    /// Those of routes that are gone, the last one last. They are kept for a while, since the last
    /// requests end later, and routes come back.
    past: VecDeque<Rc<RouteCounters>>,
    random: Random,
}

/// Where the requests of one rule go.
#[derive(Debug)]
enum Target {
    One(Rc<Upstream>),
    Split(Split),
    Redirect(Rc<Redirect>),
}

/// What is done with a request.
#[derive(Debug)]
pub(crate) enum Routed {
    /// It goes to this upstream, changed so; where a route has led it there, with its counters.
    To(Rc<Upstream>, Option<Rc<Rules>>, Option<Rc<RouteCounters>>),
    /// It is answered so.
    Redirect(Rc<Redirect>, Option<Rc<Rules>>, Rc<RouteCounters>),
}

/// Upstreams that share requests, each with the sum of its weight and of those before it.
#[derive(Debug)]
struct Split {
    shares: Box<[(u32, Rc<Upstream>)]>,
    total: u32,
}

impl Split {
    /// The upstream whose share has this point of all that there are.
    fn at(&self, random: u32) -> Option<&Rc<Upstream>> {
        let point = (u64::from(random) * u64::from(self.total)) >> 32;
        let index = self
            .shares
            .partition_point(|(end, _)| u64::from(*end) <= point);
        self.shares.get(index).map(|(_, upstream)| upstream)
    }
}

impl Routes {
    /// Sets the route of `key`, whose upstreams `upstream` gives.
    pub(crate) fn set(
        &mut self,
        key: &str,
        route: &Route,
        limiters: &Limiters,
        pages: &HashMap<ErrorPagesId, Pages>,
        mut upstream: impl FnMut(&UpstreamId) -> Rc<Upstream>,
    ) {
        let path = &route.matching.path;
        let target = match &route.action {
            Action::Upstream(id) => Target::One(upstream(id)),
            Action::Split(shares) => {
                let mut total = 0;
                let shares = shares.iter().filter(|share| share.weight > 0).map(|share| {
                    total += u32::from(share.weight);
                    (total, upstream(&share.service))
                });
                let shares = shares.collect();
                Target::Split(Split { shares, total })
            }
            Action::Redirect(redirect) => Target::Redirect(Rc::new(Redirect::of(path, redirect))),
        };
        let limit = route.treatment.rate_limit.as_ref();
        let limiter = limit.map(|limit| limiters.of(key, limit));
        let mirror = route.mirror.as_ref();
        let mirror = mirror.map(|mirror| Mirror::new(mirror, upstream(&mirror.service)));
        let pages = route.error_pages.as_ref().and_then(|id| pages.get(id));
        self.set_fallback(key, &route.matching.host, pages);
        let pages = pages.cloned();
        let rules = Rules::of(path, &route.treatment, (limiter, mirror), pages).map(Rc::new);
        let value = (target, rules, self.counted(RouteName::of(key, route)));
        self.table.set(key, &route.matching, route.order, value);
    }

    /// The counters of a route that is there from now on. One that only changes, or comes back before
    /// long, goes on with those that it had.
    fn counted(&mut self, name: RouteName) -> Rc<RouteCounters> {
        if let Some(counters) = self.counters.get(&*name.key)
            && counters.is_of(&name)
        {
            return counters.clone();
        }
        let back = self.past.iter().position(|counters| counters.is_of(&name));
        let back = back.and_then(|place| self.past.remove(place));
        let counters = back.unwrap_or_else(|| RouteCounters::new(name));
        let before = self.counters.insert(counters.key.clone(), counters.clone());
        self.retire(before);
        counters
    }

    /// Keeps the numbers of a route that is gone. All workers keep the same ones, whether or not they
    /// have any, so that sums do not fall but when all forget one.
    fn retire(&mut self, counters: Option<Rc<RouteCounters>>) {
        self.past.extend(counters);
        if self.past.len() > PAST_ROUTES {
            self.past.pop_front();
        }
    }

    /// Removes the route of `key`, if there is one.
    pub(crate) fn remove(&mut self, key: &str) {
        self.table.remove(key);
        self.fallbacks.remove(key);
        let counters = self.counters.remove(key);
        self.retire(counters);
    }

    /// Has requests for `host` that fit no route be shown `pages`.
    fn set_fallback(&mut self, key: &str, host: &HostPattern, pages: Option<&Pages>) {
        let Some(pages) = pages else {
            return self.fallbacks.remove(key);
        };
        let all = PathPattern::Prefix(PathPrefix::root());
        let matching = Matching::of(host.clone(), all);
        self.fallbacks.set(key, &matching, 0, pages.clone());
    }

    /// What is shown where no route fits.
    pub(crate) fn fallback(&self, asked: &dyn Asked) -> Option<Pages> {
        self.fallbacks.find(asked).cloned()
    }

    /// What became of requests, by route.
    pub(crate) fn counts(&self) -> measure::Routes {
        let mut counts = measure::Routes::new();
        for counters in self.counters.values().chain(&self.past) {
            if let Some(totals) = counters.read() {
                counts.insert(counters.name(), totals);
            }
        }
        counts
    }

    /// What is done with a request.
    pub(crate) fn find(&self, asked: &dyn Asked) -> Option<Routed> {
        let (target, rules, counters) = self.table.find(asked)?;
        let upstream = match target {
            Target::One(upstream) => upstream,
            Target::Split(split) => split.at(self.random.next())?,
            Target::Redirect(redirect) => {
                return Some(Routed::Redirect(
                    redirect.clone(),
                    rules.clone(),
                    counters.clone(),
                ));
            }
        };
        let counters = Some(counters.clone());
        Some(Routed::To(upstream.clone(), rules.clone(), counters))
    }
}

/// Numbers that are random enough to share requests by, at the cost of a few instructions
/// (SplitMix64, <https://doi.org/10.1145/2660193.2660195>).
#[derive(Debug)]
struct Random(Cell<u64>);

impl Default for Random {
    fn default() -> Self {
        // Workers and proxies must not choose alike.
        Self(Cell::new(RandomState::new().build_hasher().finish()))
    }
}

impl Random {
    fn next(&self) -> u32 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{AppName, ServiceName};

    fn route(app: &str) -> Route {
        let id: UpstreamId = format!("{app}/web").try_into().unwrap();
        let host = model::Host::new("a.test").unwrap();
        Route::exposing(host, model::PathPrefix::root(), id)
    }

    #[test]
    fn a_route_that_changes_or_comes_back_goes_on_counting_and_past_ones_are_bounded() {
        let mut routes = Routes::default();
        let limiters = Limiters::default();
        let set = |routes: &mut Routes, key: &str, app: &str| {
            routes.set(key, &route(app), &limiters, &HashMap::new(), |id| {
                Upstream::absent(id.clone())
            });
            routes.counters[key].answered_at_once(200);
        };
        let count = |routes: &Routes, key: &str, app: &str| {
            let name = RouteName::of(key, &route(app));
            routes.counts().get(&name).map(|totals| totals.by_class[1])
        };
        set(&mut routes, "one", "a");
        set(&mut routes, "one", "a");
        assert_eq!(count(&routes, "one", "a"), Some(2));
        routes.remove("one");
        assert_eq!(count(&routes, "one", "a"), Some(2));
        set(&mut routes, "one", "b");
        set(&mut routes, "one", "a");
        assert_eq!(
            (count(&routes, "one", "a"), count(&routes, "one", "b")),
            (Some(3), Some(1))
        );
        for number in 0..PAST_ROUTES {
            set(&mut routes, &number.to_string(), "a");
            routes.remove(&number.to_string());
        }
        // What went first is forgotten first, and what is there is not.
        assert_eq!(
            (count(&routes, "one", "a"), count(&routes, "one", "b")),
            (Some(3), None)
        );
        assert_eq!((routes.past.len(), routes.counters.len()), (PAST_ROUTES, 1));
        assert_eq!(count(&routes, "0", "a"), Some(1));
    }

    #[test]
    fn each_upstream_gets_its_share() {
        let upstream = |name: &str| {
            Upstream::absent(UpstreamId {
                app: AppName::new("app").unwrap(),
                service: ServiceName::new(name).unwrap(),
            })
        };
        let split = Split {
            shares: [(1, upstream("a")), (10, upstream("b"))].into(),
            total: 10,
        };
        let at = |random| split.at(random).unwrap().id.service.to_string();
        assert_eq!((at(0), at(u32::MAX / 10)), ("a".into(), "a".into()));
        assert_eq!(
            (at(u32::MAX / 10 + 1), at(u32::MAX)),
            ("b".into(), "b".into())
        );
        let random = Random(Cell::new(1));
        let first = (0..10_000).filter(|_| at(random.next()) == "a").count();
        assert!(
            (900..1_100).contains(&first),
            "{first} of 10,000 for a tenth"
        );
    }
}

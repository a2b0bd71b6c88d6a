//! What the edge does with requests, by the rules of the snapshot.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::rc::Rc;

use model::snapshot::ErrorPagesId;
use model::{Action, HostPattern, Matching, PathPattern, PathPrefix, Route, UpstreamId};

use super::upstream::Upstream;
use crate::http::redirect::Redirect;
use crate::mirror::Mirror;
use crate::rate_limit::Limiters;
use crate::routing::rules::{Pages, Rules};
use crate::routing::{Asked, Table};

/// Where requests from outside go.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    table: Table<(Target, Option<Rc<Rules>>, Rc<str>)>,
    /// What is shown for hosts where no route fits, by the routes that are for them.
    fallbacks: Table<Pages>,
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
    /// It goes to this upstream, changed so.
    To(Rc<Upstream>, Option<Rc<Rules>>),
    /// It is answered so.
    Redirect(Rc<Redirect>, Option<Rc<Rules>>),
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
        let value = (target, rules, key.into());
        self.table.set(key, &route.matching, route.order, value);
    }

    /// Removes the route of `key`, if there is one.
    pub(crate) fn remove(&mut self, key: &str) {
        self.table.remove(key);
        self.fallbacks.remove(key);
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

    /// The key of the route that a request is for.
    pub(crate) fn key(&self, asked: &dyn Asked) -> Option<Rc<str>> {
        let (.., key) = self.table.find(asked)?;
        Some(key.clone())
    }

    /// What is done with a request.
    pub(crate) fn find(&self, asked: &dyn Asked) -> Option<Routed> {
        let (target, rules, _) = self.table.find(asked)?;
        let upstream = match target {
            Target::One(upstream) => upstream,
            Target::Split(split) => split.at(self.random.next())?,
            Target::Redirect(redirect) => {
                return Some(Routed::Redirect(redirect.clone(), rules.clone()));
            }
        };
        Some(Routed::To(upstream.clone(), rules.clone()))
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

//! Copies of requests for another service. Nobody waits for them: each is served by a task of its own
//! beside the request that it is a copy of, and what is answered is read and dropped. There are never
//! more of them at a time on a worker than a fixed number; what would be more is not copied, and
//! counted.

use std::cell::Cell;
use std::rc::Rc;

use crate::balance::Random;
use crate::http::fields::MIRRORED;
use crate::http::message::{Body, RequestFacts};
use crate::limits::{MIRROR_TIME, MIRRORS_AT_ONCE};
use crate::measure::Measured;
use crate::measure::arrivals::Arrivals;
use crate::translate::client::Client;
use crate::translate::request::Request;
use crate::translate::source::{Piece, Replayable};
use crate::translate::{Exchange, exchange};
use crate::upstream::Upstream;
use crate::worker::Worker;

/// Which requests of a rule are copied, and where to.
#[derive(Debug)]
pub(crate) struct Mirror {
    to: Rc<Upstream>,
    percent: u8,
    unsafe_methods: bool,
    body_limit: u64,
}

impl Mirror {
    /// What `wanted` says of copies to `to`.
    pub(crate) fn new<S>(wanted: &model::Mirror<S>, to: Rc<Upstream>) -> Self {
        Self {
            to,
            percent: wanted.percent.get(),
            unsafe_methods: wanted.unsafe_methods,
            body_limit: wanted.body_limit.get().into(),
        }
    }

    /// Whether a request may be copied, from what is known of it before its content has come.
    fn may_copy(&self, request: &Request) -> bool {
        let facts: RequestFacts = request.facts;
        let is_safe = matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS");
        !facts.upgrade && (is_safe || self.unsafe_methods)
    }
}

/// The copies of one worker.
#[derive(Debug)]
pub(crate) struct Mirrors {
    at_once: Cell<usize>,
    random: Cell<Random>,
}

impl Default for Mirrors {
    fn default() -> Self {
        Self {
            at_once: Cell::new(0),
            random: Cell::new(Random::new()),
        }
    }
}

impl Mirrors {
    fn draws(&self, percent: u8) -> bool {
        let mut random = self.random.get();
        let drawn = random.below(100);
        self.random.set(random);
        drawn < usize::from(percent)
    }
}

/// Counts a copy as being under way until it is dropped.
struct UnderWay(Rc<Worker>);

impl UnderWay {
    fn begin(worker: &Rc<Worker>) -> Option<Self> {
        let at_once = &worker.mirrors.at_once;
        if at_once.get() >= MIRRORS_AT_ONCE {
            return None;
        }
        at_once.set(at_once.get() + 1);
        Some(Self(worker.clone()))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let at_once = &self.0.mirrors.at_once;
        at_once.set(at_once.get() - 1);
    }
}

/// A request that is to be copied once all of its content is there.
pub(crate) struct Copy {
    under_way: UnderWay,
    to: Rc<Upstream>,
    request: Request,
    body_limit: usize,
}

impl Copy {
    /// The copy of a request on its way to a backend, where its rule draws it for that.
    pub(crate) fn of(one: &Exchange<'_>) -> Option<Self> {
        let mirror = one.rules?.mirror.as_ref()?;
        if !mirror.may_copy(&one.request) || !one.worker.mirrors.draws(mirror.percent) {
            return None;
        }
        let length = match one.request.facts.body {
            Body::Length(length) => length,
            _ => 0,
        };
        let under_way = (length <= mirror.body_limit)
            .then(|| UnderWay::begin(one.worker))
            .flatten();
        let Some(under_way) = under_way else {
            mirror.to.counters.not_mirrored();
            return None;
        };
        let mut request = one.request.clone();
        request.fields.remove(b"expect");
        request.fields.push(MIRRORED, b"1");
        Some(Self {
            under_way,
            to: mirror.to.clone(),
            request,
            body_limit: mirror.body_limit as usize,
        })
    }

    /// Sends it, with this content. Without, it had more than is copied, or never came to its end.
    pub(crate) fn send(self, content: Option<Vec<Piece>>) {
        let size = |piece: &Piece| match piece {
            Piece::Data(data) => data.len(),
            Piece::Trailers(_) => 0,
        };
        let is_short =
            |pieces: &Vec<Piece>| pieces.iter().map(size).sum::<usize>() <= self.body_limit;
        let Some(content) = content.filter(is_short) else {
            return self.to.counters.not_mirrored();
        };
        self.to.counters.mirrored();
        drop(tokio::task::spawn_local(async move {
            let worker = &self.under_way.0;
            // It comes from nobody.
            let arrivals = Arrivals::default();
            let measured = &Measured::begin(&self.to.counters, &arrivals, None);
            let to = (&*self.to, None);
            let one = Exchange::new(worker, to, Client::Nobody, self.request, measured);
            let serving = Box::pin(exchange(&one, Replayable::of(content)));
            // One that takes longer is cut, which its count says.
            let _ = tokio::time::timeout(MIRROR_TIME, serving).await;
        }));
    }
}

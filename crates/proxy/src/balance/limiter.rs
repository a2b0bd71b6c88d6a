//! How many requests may wait for a service before more are refused. A service that gets more than
//! it can do answers all of it late; one that refuses the rest answers as many as ever, in time.
//!
//! How much it can do is nobody's knowledge and changes. It shows in how long answers take: in a
//! service that has enough to do, each request more makes all wait longer and none more be
//! answered. So the limit follows the ratio of the time that answers may take to the time that
//! they do take (the gradient of Netflix' concurrency-limits and of Envoy). Only answers to requests
//! that came after it was set say something of it.
//!
//! How long they may take is not the same before and after. What takes long may have to, so there is
//! no limit for it until it takes very long, or until ever more wait and no more are answered than
//! before. Under a limit it can be tried: as long as as many are answered with a lower one, it was
//! waiting and not work, and the time that answers may take goes down to a multiple of what they take
//! at best.
//!
//! There is no limit until answers take too long, and none again when they have not for a while: a
//! service that is well refuses nothing. Each worker has its own. What all of them send makes
//! answers slow for all of them, and a worker with few requests is far below its own limit: the
//! limits need not be divided.

use std::time::{Duration, Instant};

use model::Priority;

use super::waiting::{Since, Waiting};
use crate::limits::{
    OVERLOAD_ANSWERS, OVERLOAD_BASE, OVERLOAD_CALM, OVERLOAD_EARLY, OVERLOAD_EARLY_TOLERANCE,
    OVERLOAD_LEAST_LATENCY, OVERLOAD_STEEPEST, OVERLOAD_SURPLUS, OVERLOAD_TOLERANCE,
    OVERLOAD_WAITED, OVERLOAD_WINDOW,
};

/// How far the answers of a service that is limited too far fall below what they were.
const TOO_FAR: f64 = 0.7;

/// In how many windows one after the other they have to: a service may pause for a moment.
const TOO_OFTEN: u32 = 3;

/// What the most answers that there were count for, a window later: what a service can do changes.
const FADES: f64 = 0.98;

/// As many answers as the most that there were: they vary by chance.
const AS_MANY: f64 = 0.85;

/// How the time that answers may take under a limit goes down in a window, and up again.
const SHORTER: f64 = 0.8;
const LONGER: f64 = 1.5;

/// How long answers may take, and how low the limit may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowed {
    /// How long they may take on average.
    pub(crate) latency: Duration,
    /// That is declared. Otherwise they may take a multiple of what they take at best.
    pub(crate) is_declared: bool,
    /// So many may always wait.
    pub(crate) least: f64,
}

/// What waits for one upstream, and how much of it may.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    waiting: Waiting,
    limit: Option<Limit>,
    window: Window,
    base: Base,
    /// The most answers a second of the last while.
    most_answers: f64,
}

/// There are too many requests, or were a moment ago.
#[derive(Debug, Clone, Copy)]
struct Limit {
    most: f64,
    /// The most answers a second that there were under it.
    answers: f64,
    /// How many seconds they may take under it, where that is not declared.
    target: f64,
    /// For how many windows there have been far fewer.
    few: u32,
    /// Since when nothing was too much.
    calm: Option<Instant>,
}

/// What was seen since the limit was last looked at.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    began: Option<Instant>,
    came: u32,
    answers: u32,
    /// Those of them that came after the limit was set, and how long they took together: what came
    /// before says nothing of it.
    samples: u32,
    seconds: f64,
    /// The most that waited at a time.
    most: u32,
    refused: bool,
}

/// The shortest time of the last while that answers took on average, within a window.
#[derive(Debug, Clone, Copy, Default)]
struct Base {
    since: Option<Instant>,
    /// Of the present while and the one before it.
    seconds: [Option<f64>; 2],
    /// What they take whatever is refused, as it turned out.
    at_least: Option<f64>,
}

/// There are too many requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overloaded;

impl Limiter {
    /// How many requests may wait; none where nothing is refused.
    pub(crate) fn limit(&self) -> Option<f64> {
        self.limit.map(|limit| limit.most)
    }

    /// Refuses nothing until there is a reason again.
    pub(crate) fn lift(&mut self) {
        self.limit = None;
    }

    /// Whether one more may wait, or there are too many.
    pub(crate) fn admit(&mut self, now: Instant, priority: Priority) -> Result<(), Overloaded> {
        let waiting = self.waiting.count(now);
        if let Some(limit) = &self.limit
            && f64::from(waiting) >= limit.of(priority)
        {
            // They are there, and so is this one, though it is not let in.
            self.window.came += 1;
            self.window.most = self.window.most.max(waiting + 1);
            self.window.refused = true;
            return Err(Overloaded);
        }
        Ok(())
    }

    /// A request waits for its answer from now on.
    pub(crate) fn begin(&mut self, now: Instant) -> Since {
        let since = self.waiting.begin(now);
        self.window.came += 1;
        self.window.most = self.window.most.max(self.waiting.count(now));
        since
    }

    /// A request does not wait any more, and that says nothing.
    pub(crate) fn ended(&mut self, since: Since) {
        self.waiting.end(since);
    }

    /// An answer took so long to begin. What takes very long is waiting for something to happen.
    pub(crate) fn took(&mut self, now: Instant, took: Duration, allowed: Allowed) {
        if took > crate::limits::LONG_POLL {
            return;
        }
        let began = *self.window.began.get_or_insert(now);
        self.window.answers += 1;
        if self.limit.is_none() || now.saturating_duration_since(began) >= took {
            self.window.samples += 1;
            self.window.seconds += took.as_secs_f64();
        }
        let lasted = now.saturating_duration_since(began);
        if self.window.is_over(lasted) {
            self.look(now, lasted, allowed);
        }
    }

    /// How long answers may take if it is clear already that there are too many requests: as many are
    /// answered as ever, far more have come, the last of them would wait for long, also beside what
    /// answers take at best, and those that are answered have waited already. What has to take long,
    /// or comes all at once, looks another way; and so do requests that wait for something to happen,
    /// beside which others are answered as fast as ever.
    fn is_clear(&self, seen: Window, per_second: f64, allowed: Allowed) -> Option<f64> {
        let at_best = self.base.seconds(allowed.is_declared)?;
        let early = allowed.latency.as_secs_f64() * OVERLOAD_EARLY;
        let early = early.max(at_best * OVERLOAD_EARLY_TOLERANCE);
        let is_clear = !allowed.is_declared
            && seen.answers >= OVERLOAD_ANSWERS
            && per_second >= self.most_answers * AS_MANY
            && f64::from(seen.came) >= f64::from(seen.answers) * OVERLOAD_SURPLUS
            && f64::from(seen.most) >= per_second * early
            && seen.seconds >= f64::from(seen.samples) * early * OVERLOAD_WAITED;
        is_clear.then_some(early / 2.0)
    }

    /// Draws the conclusions of a window.
    fn look(&mut self, now: Instant, lasted: Duration, allowed: Allowed) {
        let seen = self.window;
        let seconds = seen.seconds / f64::from(seen.samples);
        let per_second = f64::from(seen.answers) / lasted.as_secs_f64().max(1e-6);
        let latency = allowed.latency.as_secs_f64();
        let base = self.base.seconds(allowed.is_declared);
        let at_best = base.unwrap_or(0.0) * OVERLOAD_TOLERANCE;
        let mut may = latency.max(at_best);
        // Under a limit what waits for long was there before it, or would not be let in.
        if let Some(limit) = &mut self.limit
            && !allowed.is_declared
        {
            let least = OVERLOAD_LEAST_LATENCY.as_secs_f64().max(at_best).min(may);
            let is_as_good = per_second >= limit.answers * AS_MANY;
            limit.target *= match (seen.refused, is_as_good) {
                (true, true) => SHORTER,
                (true, false) => LONGER,
                (false, _) => 1.0,
            };
            limit.target = limit.target.clamp(least, may);
            may = limit.target;
        }
        let too_long = seconds > may;
        let clear = self.is_clear(seen, per_second, allowed);
        self.most_answers = (self.most_answers * FADES).max(per_second);
        let waited = f64::from(seen.most).max(allowed.least);
        let gradient = (may / seconds.max(1e-9)).clamp(OVERLOAD_STEEPEST, 1.0);
        self.limit = match self.limit {
            None => {
                let late = too_long.then_some((waited * gradient, may));
                let begun = late.or(clear.map(|target| (per_second * target, target)));
                begun.map(|(most, target)| Limit {
                    most: most.max(allowed.least),
                    answers: per_second,
                    target,
                    few: 0,
                    calm: None,
                })
            }
            Some(mut limit) => {
                let is_many = seen.answers >= OVERLOAD_ANSWERS;
                let is_few = is_many && per_second < limit.answers * TOO_FAR;
                limit.few = match too_long && seen.refused && is_few {
                    true => limit.few + 1,
                    false => 0,
                };
                if limit.few == TOO_OFTEN {
                    // Fewer requests, and fewer answers, but none sooner: that is how long they take.
                    self.base.at_least = Some(seconds);
                    (limit.answers, limit.most) = (per_second, limit.most / gradient);
                    limit.few = 0;
                } else {
                    // Refused, and those let in were answered in half of the time: far too low.
                    let is_low = seen.refused && seconds * 2.0 <= may;
                    limit.follow(gradient, waited, (seen.refused, is_low), allowed);
                    limit.answers = (limit.answers * FADES).max(per_second);
                }
                let is_calm = !too_long && !seen.refused;
                limit.calm = is_calm.then(|| limit.calm.unwrap_or(now));
                let calm_for = |since| now.saturating_duration_since(since);
                let is_over = limit
                    .calm
                    .map(calm_for)
                    .is_some_and(|it| it >= OVERLOAD_CALM);
                (!is_over).then_some(limit)
            }
        };
        self.base.seen(now, seconds, self.limit.is_none());
        if self.limit.is_none() && seconds <= latency {
            self.base.at_least = None;
        }
        self.window = Window {
            began: Some(now),
            ..Window::default()
        };
    }
}

impl Limit {
    /// How many may wait before one of this priority is refused.
    fn of(&self, priority: Priority) -> f64 {
        self.most
            * match priority {
                Priority::Low => 0.7,
                Priority::Normal => 0.9,
                Priority::High => 1.0,
            }
    }

    /// Follows the gradient. There is room for some more than there are (the square root, as in
    /// both models), so that it rises where more are no burden; but not while nobody asks for it. One
    /// that is far too low is doubled.
    fn follow(
        &mut self,
        gradient: f64,
        waited: f64,
        (is_wanted, is_low): (bool, bool),
        allowed: Allowed,
    ) {
        let is_full = is_wanted || waited >= self.most / 2.0;
        let room = match is_full {
            true if is_low => self.most,
            true => self.most.sqrt(),
            false => 0.0,
        };
        // One that is far above all that there is says nothing.
        let from = match gradient < 1.0 {
            true => self.most.min(waited * 1.25),
            false => self.most,
        };
        self.most = (from * gradient + room).max(allowed.least);
    }
}

impl Window {
    /// Whether enough was seen: what the last change has brought, and not one answer alone.
    fn is_over(&self, lasted: Duration) -> bool {
        let least = OVERLOAD_WINDOW;
        let is_late = self.samples > 0 && lasted >= least * 4;
        lasted >= least && (self.samples >= OVERLOAD_ANSWERS || is_late)
    }
}

impl Base {
    /// What they take at best; where it is declared what they may take, only what turned out.
    fn seconds(&self, is_declared: bool) -> Option<f64> {
        let known = self.seconds.iter().flatten().copied().reduce(f64::min);
        self.at_least.or(known.filter(|_| !is_declared))
    }

    /// Answers took so long. While there are too many, what is known does not grow old: how long
    /// they take then is not how long they have to.
    fn seen(&mut self, now: Instant, seconds: f64, grows_old: bool) {
        let since = *self.since.get_or_insert(now);
        let [present, before] = &mut self.seconds;
        if !grows_old {
            self.since = Some(now);
        } else if now.saturating_duration_since(since) >= OVERLOAD_BASE {
            (*before, *present, self.since) = (*present, None, Some(now));
        }
        *present = Some(present.map_or(seconds, |least| least.min(seconds)));
    }
}

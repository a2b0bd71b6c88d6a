//! Fleets in simulated time, asked through the real `Upstream` and `Tries`. A seed gives the same
//! run again.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::rc::Rc;
use std::time::{Duration, Instant};

use model::{InstanceId, Priority, Protocol, Resilience};

use super::random::Random;
use crate::http::gateway_error::GatewayError;
use crate::http::message::RequestFacts;
use crate::http::phases::NoAnswer;
use crate::limits::{CONNECT_RETRIES, Limits};
use crate::messages::{Event as Report, Reporter};
use crate::retry::{Attempted, Fault, Heard, Seen, Tries};
use crate::upstream::{Endpoint, InFlight, Upstream};

mod comparison;
mod many;
mod overload;
mod policies;

const GET: RequestFacts = RequestFacts::GET;

/// How an instance does.
#[derive(Debug, Clone, Copy)]
struct Conduct {
    /// The mean time in which it serves a request; times vary as those of real services do.
    mean: Duration,
    /// Which part of the requests it answers with 503, faster than others.
    failing: f64,
    /// Whether it is there.
    is_up: bool,
}

const WELL: Conduct = Conduct {
    mean: Duration::from_millis(10),
    failing: 0.0,
    is_up: true,
};

/// Requests that an instance serves at a time; more wait for their turn.
const AT_A_TIME: usize = 4;

struct Instance {
    endpoint: Rc<Endpoint>,
    conduct: Conduct,
    /// When each of those that serve is free.
    free: [Instant; AT_A_TIME],
    /// How often it was stopped: what was in flight then gets no answer.
    life: u32,
    asked: u64,
}

/// A request in flight.
struct Request {
    came: Instant,
    sent: Instant,
    tries: Tries,
    at: usize,
    life: u32,
    status: u16,
    in_flight: InFlight,
}

/// What became of a request.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    came: Instant,
    took: Duration,
    failed: bool,
}

/// What a snapshot says of the service.
fn declared(resilience: Resilience) -> model::Upstream {
    model::Upstream {
        protocol: Protocol::Http,
        timeout: Duration::from_secs(30),
        resilience,
        endpoints: BTreeMap::new(),
        files: None,
    }
}

struct Simulation {
    start: Instant,
    limits: Limits,
    upstream: Rc<Upstream>,
    instances: Vec<Instance>,
    random: Random,
    in_flight: Vec<Option<Request>>,
    /// When the answers to which requests come.
    due: BinaryHeap<Reverse<(Instant, usize)>>,
    outcomes: Vec<Outcome>,
    /// Which part of the requests has a high priority, and which a low one.
    priorities: [f64; 2],
    /// Of how many users the requests are, by chance; of none where it is 0.
    users: usize,
    /// How many were refused, by priority.
    refused: [u64; 3],
    _reports: tokio::sync::mpsc::UnboundedReceiver<(usize, Report)>,
}

impl Simulation {
    fn new(count: usize, seed: u64) -> Self {
        let (to, reports) = tokio::sync::mpsc::unbounded_channel();
        let reporter = Reporter { worker: 0, to };
        let id: model::UpstreamId = "app/web".to_owned().try_into().unwrap();
        let upstream = Upstream::with(id.clone(), Random::seeded(seed));
        let start = Instant::now();
        let instances = (0..count).map(|number| {
            let instance: InstanceId = format!("app.web.1.{}", number + 1).parse().unwrap();
            let wanted = model::Endpoint {
                address: ([127, 0, 0, 1], number as u16 + 1).into(),
                protocol: Protocol::Http,
                tls: None,
            };
            Instance {
                endpoint: Endpoint::new(id.clone(), instance, &wanted, reporter.clone()),
                conduct: WELL,
                free: [start; AT_A_TIME],
                life: 0,
                asked: 0,
            }
        });
        let instances: Vec<_> = instances.collect();
        let endpoints = instances.iter().map(|instance| instance.endpoint.clone());
        upstream.replace_endpoints(endpoints.collect());
        upstream.configure(&declared(Resilience::default()), 1);
        Self {
            start,
            limits: Limits::default(),
            upstream,
            instances,
            random: Random::seeded(!seed),
            in_flight: Vec::new(),
            due: BinaryHeap::new(),
            outcomes: Vec::new(),
            priorities: [0.0; 2],
            users: 0,
            refused: [0; 3],
            _reports: reports,
        }
    }

    /// Runs on for so long, with so many requests a second that come by chance.
    fn run(&mut self, from: Duration, to: Duration, per_second: f64) {
        let (mut now, end) = (self.start + from, self.start + to);
        loop {
            now += Duration::from_secs_f64(self.vary() / per_second);
            self.answers_until(now.min(end));
            if now >= end {
                return;
            }
            self.upstream.asked(now);
            let sticky = (self.users > 0).then(|| self.random.below(self.users) as u64);
            let tries = Tries::of(RequestFacts { sticky, ..GET }, None);
            let priority = self.priority();
            match tries.admit_at(&self.upstream, priority, now) {
                Ok(()) => self.attempt(now, now, tries),
                Err(_) => self.refused[priority as usize] += 1,
            }
        }
    }

    fn priority(&mut self) -> Priority {
        let [high, low] = self.priorities;
        match self.random.fraction() {
            _ if high + low == 0.0 => Priority::Normal,
            chance if chance < high => Priority::High,
            chance if chance < high + low => Priority::Low,
            _ => Priority::Normal,
        }
    }

    /// Of mean 1, as times between independent events are.
    fn vary(&mut self) -> f64 {
        -(1.0 - self.random.fraction()).ln()
    }

    /// As `dial` does, and sends the request.
    fn attempt(&mut self, came: Instant, now: Instant, mut tries: Tries) {
        let (mut failed, upstream) = (Vec::new(), self.upstream.clone());
        while let Some(in_flight) = upstream.pick(now, &self.limits, &failed, &tries) {
            if !failed.is_empty() && !upstream.may_retry(now, true) {
                break;
            }
            let is_there =
                |instance: &Instance| std::ptr::eq(&*instance.endpoint, in_flight.endpoint());
            let at = self.instances.iter().position(is_there).unwrap();
            if self.instances[at].conduct.is_up {
                tries.went_to(in_flight.endpoint());
                return self.send(came, now, tries, at, in_flight);
            }
            upstream.failed(in_flight.endpoint(), now, &self.limits);
            failed.push(in_flight);
            if failed.len() > CONNECT_RETRIES {
                break;
            }
        }
        self.end(came, now, true);
    }

    fn send(&mut self, came: Instant, now: Instant, tries: Tries, at: usize, in_flight: InFlight) {
        let (chance, length) = (self.random.fraction(), self.vary());
        let instance = &mut self.instances[at];
        instance.asked += 1;
        let fails = chance < instance.conduct.failing;
        let serves = match fails {
            true => Duration::from_millis(1),
            false => instance.conduct.mean.mul_f64(length),
        };
        let turn = instance.free.iter_mut().min().unwrap();
        *turn = now.max(*turn) + serves;
        self.due.push(Reverse((*turn, self.in_flight.len())));
        self.in_flight.push(Some(Request {
            came,
            sent: now,
            tries,
            at,
            life: instance.life,
            status: if fails { 503 } else { 200 },
            in_flight,
        }));
    }

    fn answers_until(&mut self, limit: Instant) {
        while let Some(&Reverse((now, number))) = self.due.peek()
            && now <= limit
        {
            self.due.pop();
            if let Some(request) = self.in_flight[number].take() {
                self.answer(now, request);
            }
        }
    }

    /// As `exchange` does when the head of an answer comes or the connection ends.
    fn answer(&mut self, now: Instant, mut request: Request) {
        let is_dead = request.life != self.instances[request.at].life;
        let head = match is_dead {
            true => Err(NoAnswer::Failed(GatewayError::BackendClosed)),
            false => Ok((request.status, Some(request.sent))),
        };
        let upstream = self.upstream.clone();
        let attempted = Attempted {
            limits: &self.limits,
            upstream: &upstream,
            endpoint: request.in_flight.endpoint(),
            was_idle: false,
            has_deadline: false,
        };
        let see = |&status: &u16| Seen {
            status,
            ..Seen::default()
        };
        let judged = attempted.judge(&request.tries, Heard::Nothing, head, now, see);
        let fault = judged
            .err()
            .and_then(|error| attempted.fault(error, Heard::Nothing));
        drop(request.in_flight);
        match fault {
            Some(fault) if request.tries.again(&upstream, fault, now) => {
                assert!(matches!(fault, Fault::Unwell | Fault::Reset));
                self.attempt(request.came, now, request.tries);
            }
            Some(_) => self.end(request.came, now, true),
            None => self.end(request.came, now, request.status != 200),
        }
    }

    fn end(&mut self, came: Instant, now: Instant, failed: bool) {
        self.outcomes.push(Outcome {
            came,
            took: now - came,
            failed,
        });
    }

    /// Stops an instance in mid-work, at `now`.
    fn stop(&mut self, at: usize, now: Duration) {
        let now = self.start + now;
        let instance = &mut self.instances[at];
        (instance.conduct.is_up, instance.life) = (false, instance.life + 1);
        instance.free = [now; AT_A_TIME];
        // Whoever waits for it learns it at once.
        for number in 0..self.in_flight.len() {
            if self.in_flight[number]
                .as_ref()
                .is_some_and(|request| request.at == at)
                && let Some(request) = self.in_flight[number].take()
            {
                self.answer(now, request);
            }
        }
    }

    fn percentile(&self, percent: usize) -> Duration {
        let mut times: Vec<_> = self.outcomes.iter().map(|outcome| outcome.took).collect();
        times.sort();
        times[times.len() * percent / 100]
    }

    /// Which part of those that came after `since` failed.
    fn failed_after(&self, since: Duration) -> f64 {
        let came = self
            .outcomes
            .iter()
            .filter(|outcome| outcome.came >= self.start + since);
        let (mut all, mut failed) = (0_u32, 0_u32);
        for outcome in came {
            (all, failed) = (all + 1, failed + u32::from(outcome.failed));
        }
        f64::from(failed) / f64::from(all)
    }

    fn all_refused(&self) -> u64 {
        self.refused.iter().sum()
    }

    /// What its instances were asked.
    fn asked(&self) -> u64 {
        self.instances.iter().map(|instance| instance.asked).sum()
    }
}

const SEEDS: std::ops::Range<u64> = 0..5;
const PER_SECOND: f64 = 1000.0;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn one_slow_endpoint_hardly_shows_in_the_slowest_answers() {
    for seed in SEEDS {
        let mut healthy = Simulation::new(10, seed);
        healthy.run(seconds(0), seconds(60), PER_SECOND);
        let mut fleet = Simulation::new(10, seed);
        fleet.instances[3].conduct.mean *= 10;
        fleet.run(seconds(0), seconds(60), PER_SECOND);
        let (with, without) = (fleet.percentile(99), healthy.percentile(99));
        let asked = fleet.instances[3].asked;
        println!("seed {seed}: p99 {with:?}, healthy {without:?}; {asked} to the slow one");
        assert!(with <= without.mul_f64(1.3));
        assert!(asked > 0, "it is tried");
    }
}

#[test]
fn one_failing_endpoint_costs_nearly_no_client_anything() {
    for seed in SEEDS {
        let mut fleet = Simulation::new(10, seed);
        fleet.instances[3].conduct.failing = 0.5;
        fleet.run(seconds(0), seconds(60), PER_SECOND);
        let failed = fleet.failed_after(seconds(2));
        let asked = fleet.instances[3].asked;
        println!("seed {seed}: {failed} failed; {asked} to the failing one");
        assert!(failed < 0.001);
    }
}

#[test]
fn when_all_fail_they_are_asked_little_more_than_there_are_requests() {
    for seed in SEEDS {
        let mut fleet = Simulation::new(10, seed);
        fleet.run(seconds(0), seconds(10), PER_SECOND);
        for instance in &mut fleet.instances {
            instance.conduct.failing = 1.0;
        }
        let (asked, offered) = (fleet.asked(), fleet.outcomes.len() as u64);
        fleet.run(seconds(10), seconds(40), PER_SECOND);
        let asked = fleet.asked() - asked;
        let offered = fleet.outcomes.len() as u64 - offered;
        let ratio = asked as f64 / offered as f64;
        println!("seed {seed}: {asked} for {offered} requests, {ratio:.3}");
        assert!(ratio <= 1.3);
        let out = fleet
            .instances
            .iter()
            .filter(|i| i.endpoint.member.get().is_ejected());
        assert!(out.count() <= 1);
    }
}

#[test]
fn restarts_one_by_one_cost_no_request() {
    for seed in SEEDS {
        let mut fleet = Simulation::new(10, seed);
        fleet.run(seconds(0), seconds(5), PER_SECOND);
        for at in 0..10 {
            let down = seconds(5 + 5 * at as u64);
            fleet.stop(at, down);
            fleet.run(down, down + seconds(3), PER_SECOND);
            fleet.instances[at].conduct = WELL;
            fleet.run(down + seconds(3), down + seconds(5), PER_SECOND);
        }
        let retried = fleet.upstream.counters.read().retried;
        println!(
            "seed {seed}: {} requests, {retried} tried again",
            fleet.outcomes.len()
        );
        assert_eq!(fleet.failed_after(seconds(0)), 0.0);
        let asked = fleet.instances.iter().map(|instance| instance.asked);
        assert!(
            asked.clone().min().unwrap() > asked.max().unwrap() / 4,
            "all are in use again"
        );
    }
}

#[test]
fn an_endpoint_that_comes_back_is_not_overrun() {
    let mut fleet = Simulation::new(10, 1);
    fleet.run(seconds(0), seconds(10), PER_SECOND);
    // Nothing but failures, until it is ejected. It takes a while: it is avoided before.
    fleet.instances[0].conduct.failing = 1.0;
    let out = (10..60).find(|&at| {
        fleet.run(seconds(at), seconds(at + 1), PER_SECOND);
        fleet.instances[0].endpoint.member.get().is_ejected()
    });
    let out = out.unwrap() + 1;
    fleet.instances[0].conduct = WELL;
    let before = fleet.instances[0].asked;
    fleet.run(seconds(out), seconds(out + 22), PER_SECOND);
    assert_eq!(
        fleet.instances[0].asked, before,
        "it is out for at least 24 s"
    );
    // It comes back within 30 s of its ejection, and a second later has a small share.
    let mut back = None;
    let mut shares = Vec::new();
    for at in out + 22..out + 70 {
        let before = fleet.instances[0].asked;
        fleet.run(seconds(at), seconds(at + 1), PER_SECOND);
        let asked = fleet.instances[0].asked - before;
        if asked > 0 || back.is_some() {
            back.get_or_insert(at);
            shares.push(asked);
        }
    }
    println!("out at {out} s, back at {back:?} s, requests by second: {shares:?}");
    assert!(back.is_some_and(|at| at <= out + 30));
    assert!(shares[1] < 40, "it enters slowly");
    assert!(shares[32] > 50, "and then has its share");
}

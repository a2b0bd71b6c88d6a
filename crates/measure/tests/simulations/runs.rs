//! Runs of simulated traffic that are judged after every batch.

use measure::compare::{Arms, Batch, Comparison, Latencies, Settings, Verdict};
use measure::{Share, Threshold};

use crate::random::{Random, Shape, duration};

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) shape: Shape,
    /// How load changes latencies of both arms over time.
    pub(crate) load: Load,
    /// How the candidate's share changes.
    pub(crate) shares: Shares,
    /// How many requests are in a batch, at most.
    pub(crate) batch: u64,
    /// How many requests there are.
    pub(crate) requests: u64,
    /// What part of the baseline's requests fail.
    pub(crate) failing: f64,
    /// The candidate's latencies are the baseline's times this.
    pub(crate) slower: f64,
    /// The candidate's latencies above 50 ms are longer by this factor too.
    pub(crate) slower_tail: f64,
    /// What part of the candidate's requests fail beside those.
    pub(crate) failing_more: f64,
    pub(crate) settings: Settings,
}

/// How load changes latencies of both arms.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Load {
    Steady,
    /// By a factor of 3 up and down again, a few times.
    Waves,
    /// Each request is about as slow as the one before it was, by a random walk that returns.
    Correlated,
    /// By a factor of 10, at once, halfway.
    Jump,
}

/// How the candidate's share of requests changes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shares {
    Fixed(u32),
    /// 5, 10, 25 and 50 %.
    Steps,
    /// By steps of 5 %, up and down, each batch.
    Walk,
}

impl Scenario {
    /// Steady traffic of which each arm has half, and where they are alike.
    pub(crate) fn alike(requests: u64) -> Self {
        Self {
            shape: Shape::LogNormal(0.5),
            load: Load::Steady,
            shares: Shares::Fixed(50),
            batch: 100,
            requests,
            failing: 0.002,
            slower: 1.0,
            slower_tail: 1.0,
            failing_more: 0.0,
            settings: Settings::default(),
        }
    }
}

/// A run under way.
pub(crate) struct Run {
    scenario: Scenario,
    random: Random,
    comparison: Comparison,
    done: u64,
    percent: u32,
    walk: f64,
}

impl Run {
    pub(crate) fn new(scenario: Scenario, seed: u64) -> Self {
        Self {
            scenario,
            random: Random::of(seed),
            comparison: Comparison::new(scenario.settings, Latencies::default()),
            done: 0,
            percent: 20,
            walk: 0.0,
        }
    }

    /// Goes on for a batch; the requests that there have been, or none where there are no more.
    pub(crate) fn next(&mut self) -> Option<u64> {
        if self.done >= self.scenario.requests {
            return None;
        }
        let share = self.share();
        let mut batch = Batch::new(share);
        let left = self.scenario.requests - self.done;
        for _ in 0..(1 + self.random.below(self.scenario.batch)).min(left) {
            self.request(&mut batch);
        }
        self.comparison.observe(&batch);
        Some(self.done)
    }

    pub(crate) fn verdict(&self) -> Verdict {
        self.comparison.verdict()
    }

    /// How many deviations the candidate's part of requests above 20 ms is above the baseline's, as
    /// the usual test counts it.
    pub(crate) fn deviations(&self) -> f64 {
        let middle = Threshold::not_above(duration(0.020));
        let of = |latencies: &Latencies| [latencies.exceeding(middle), latencies.count()];
        let Arms {
            baseline,
            candidate,
        } = self
            .comparison
            .latencies()
            .map(|latencies| of(latencies).map(|n| n as f64));
        let pooled = (baseline[0] + candidate[0]) / (baseline[1] + candidate[1]);
        let variance = pooled * (1.0 - pooled) * (1.0 / baseline[1] + 1.0 / candidate[1]);
        (candidate[0] / candidate[1] - baseline[0] / baseline[1]) / variance.sqrt()
    }

    fn request(&mut self, batch: &mut Batch) {
        let scenario = self.scenario;
        let is_candidate = self.random.happens(batch.share.of_candidate());
        let (arm, slower, failing) = if is_candidate {
            let failing = scenario.failing + scenario.failing_more * (1.0 - scenario.failing);
            (&mut batch.arms.candidate, scenario.slower, failing)
        } else {
            (&mut batch.arms.baseline, 1.0, scenario.failing)
        };
        arm.arrived += 1;
        let part = self.done as f64 / scenario.requests as f64;
        self.done += 1;
        let load = match scenario.load {
            Load::Steady => 1.0,
            Load::Waves => (1.1 * (20.0 * part).sin()).exp(),
            Load::Correlated => {
                self.walk = 0.999 * self.walk + 0.03 * self.random.normal();
                self.walk.exp()
            }
            Load::Jump if part > 0.5 => 10.0,
            Load::Jump => 1.0,
        };
        // Whatever makes requests slow makes them fail too.
        if self.random.happens((failing * load).min(0.9)) {
            arm.failed += 1;
        } else {
            let mut seconds = scenario.shape.draw(&mut self.random) * load * slower;
            if is_candidate && seconds > 0.050 {
                seconds *= scenario.slower_tail;
            }
            arm.latencies.record(duration(seconds));
        }
    }

    fn share(&mut self) -> Share {
        let percent = match self.scenario.shares {
            Shares::Fixed(percent) => percent,
            Shares::Steps => [5, 10, 25, 50][(4 * self.done / self.scenario.requests) as usize],
            Shares::Walk => {
                let step = 5 * self.random.below(3) as u32;
                self.percent = (self.percent + step).saturating_sub(5).clamp(5, 60);
                self.percent
            }
        };
        Share::of_weights(percent, 100 - percent).unwrap()
    }
}

/// How many runs there are of a scenario: 300, and more where there is time.
pub(crate) fn count_of_runs() -> u64 {
    if is_long() { 2_000 } else { 300 }
}

/// Whether there is time for the long form.
pub(crate) fn is_long() -> bool {
    std::env::var_os("ROADBED_SOAK").is_some()
}

/// The middle of some numbers.
pub(crate) fn median(numbers: impl Iterator<Item = u64>) -> u64 {
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable();
    numbers[numbers.len() / 2]
}

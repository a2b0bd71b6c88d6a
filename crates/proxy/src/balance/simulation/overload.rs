//! Fleets that get more than they can do, and those that do not and might look as if they did.

use super::*;
use model::Overload;

/// What ten instances of four threads can answer in a second.
const CAPACITY: f64 = 4_000.0;

impl Simulation {
    fn with_overload(seed: u64, overload: Overload) -> Self {
        let fleet = Self::new(10, seed);
        let resilience = Resilience {
            overload,
            ..Resilience::default()
        };
        fleet.upstream.configure(&declared(resilience), 1);
        fleet
    }

    /// How many good answers came a second between the two times, and the 99th percentile of how
    /// long those took that were let in after `from`.
    fn goodput(&self, from: Duration, to: Duration) -> (f64, Duration) {
        let (from, to) = (self.start + from, self.start + to);
        let good = self.outcomes.iter().filter(|outcome| {
            let end = outcome.came + outcome.took;
            !outcome.failed && from <= end && end < to
        });
        let mut times: Vec<_> = self.outcomes.iter().filter(|o| o.came >= from).collect();
        times.sort_by_key(|outcome| outcome.took);
        let p99 = times[times.len() * 99 / 100].took;
        (good.count() as f64 / (to - from).as_secs_f64(), p99)
    }
}

#[test]
fn at_twice_its_capacity_a_service_does_what_it_can_and_answers_in_time() {
    for seed in SEEDS {
        for (overload, bound) in [
            (Overload::Usual, 600),
            (Overload::Latency(Duration::from_millis(100)), 300),
        ] {
            let mut fleet = Simulation::with_overload(seed, overload);
            fleet.run(seconds(0), seconds(10), CAPACITY / 2.0);
            assert_eq!(fleet.all_refused(), 0);
            fleet.run(seconds(10), seconds(60), CAPACITY * 2.0);
            let (goodput, p99) = fleet.goodput(seconds(20), seconds(60));
            println!("seed {seed}, {overload:?}: {goodput:.0}/s of {CAPACITY}, p99 {p99:?}");
            assert!(goodput >= 0.9 * CAPACITY);
            assert!(p99 <= Duration::from_millis(bound));
            // And those that came before it was noticed.
            let (goodput, p99) = fleet.goodput(seconds(10), seconds(20));
            println!("  the first 10 s: {goodput:.0}/s, p99 {p99:?}");
            assert!(goodput >= 0.9 * CAPACITY);
            let early = fleet.outcomes.iter().filter(|outcome| {
                outcome.came >= fleet.start + seconds(10)
                    && outcome.came < fleet.start + seconds(20)
            });
            assert!(early.map(|outcome| outcome.took).max() <= Some(seconds(2)));
            let refused = fleet.all_refused();
            // It is over, and soon forgotten.
            fleet.run(seconds(60), seconds(80), CAPACITY / 2.0);
            let after = fleet.all_refused();
            fleet.run(seconds(80), seconds(120), CAPACITY / 2.0);
            println!("  {refused} refused, {} more after it", after - refused);
            assert_eq!(fleet.all_refused(), after);
            assert!(after - refused < refused / 100);
        }
    }
}

#[test]
fn too_many_at_once_from_the_start_are_no_reason_to_refuse_nearly_all() {
    for seed in SEEDS {
        for overload in [
            Overload::Usual,
            Overload::Latency(Duration::from_millis(250)),
        ] {
            let mut fleet = Simulation::with_overload(seed, overload);
            for instance in &mut fleet.instances {
                instance.conduct.mean = WELL.mean * 4;
            }
            // Nothing was ever seen of it at its best, and all that came at first has to be answered.
            fleet.run(seconds(0), seconds(2), CAPACITY / 2.0);
            fleet.run(seconds(2), seconds(4), 1.0);
            fleet.run(seconds(4), seconds(20), CAPACITY / 2.0);
            for (from, to) in [(4, 9), (9, 14), (14, 20)] {
                let (goodput, _) = fleet.goodput(seconds(from), seconds(to));
                println!("seed {seed}, {overload:?}: from {from} s {goodput:.0}/s of 1000");
                assert!(goodput >= 900.0);
            }
        }
    }
}

#[test]
fn without_a_limit_all_wait_for_ever() {
    let mut fleet = Simulation::with_overload(1, Overload::Off);
    fleet.run(seconds(0), seconds(60), CAPACITY * 2.0);
    let (_, p99) = fleet.goodput(seconds(0), seconds(60));
    assert_eq!(fleet.all_refused(), 0);
    assert!(p99 > seconds(25), "{p99:?}");
}

#[test]
fn a_service_that_is_well_refuses_nothing() {
    for seed in SEEDS {
        // Often at its limits, for moments above them, and with instances that are slow or new.
        let overload = Overload::Usual;
        let mut fleet = Simulation::with_overload(seed, overload);
        for (at, part) in [0.1, 0.9, 0.3, 1.1, 0.5, 0.95, 0.1].into_iter().enumerate() {
            let from = seconds(10 * at as u64);
            fleet.instances[at].conduct.mean = WELL.mean * 3;
            fleet.run(from, from + seconds(10), CAPACITY * 0.9 * part);
            fleet.instances[at].conduct.mean = WELL.mean;
        }
        assert_eq!(fleet.all_refused(), 0, "seed {seed}");
        // From one moment to the next most requests take 100 times longer, and it has time for that.
        for instance in &mut fleet.instances {
            instance.conduct.mean = WELL.mean * 100;
        }
        fleet.run(seconds(70), seconds(130), CAPACITY / 100.0 * 0.8);
        assert_eq!(fleet.all_refused(), 0, "seed {seed}");
    }
}

#[test]
fn one_that_is_slow_and_asked_far_more_all_of_a_sudden_refuses_nothing() {
    for seed in SEEDS {
        let mut fleet = Simulation::with_overload(seed, Overload::Usual);
        for instance in &mut fleet.instances {
            instance.conduct.mean = WELL.mean * 20;
        }
        let capacity = CAPACITY / 20.0;
        for (at, part) in [0.1, 0.8, 0.02, 0.7, 0.01, 0.9].into_iter().enumerate() {
            let from = seconds(10 * at as u64);
            fleet.run(from, from + seconds(10), capacity * part);
        }
        assert_eq!(fleet.all_refused(), 0, "seed {seed}");
    }
}

#[test]
fn one_that_takes_longer_for_good_is_limited_no_more_than_it_must_be() {
    for seed in SEEDS {
        let overload = Overload::Latency(Duration::from_millis(50));
        let mut fleet = Simulation::with_overload(seed, overload);
        fleet.run(seconds(0), seconds(10), CAPACITY / 2.0);
        // A new release needs 20 times the time: more than was allowed, and not by waiting.
        for instance in &mut fleet.instances {
            instance.conduct.mean = WELL.mean * 20;
        }
        fleet.run(seconds(10), seconds(60), CAPACITY / 20.0 * 0.8);
        let (goodput, p99) = fleet.goodput(seconds(20), seconds(60));
        println!(
            "seed {seed}: {goodput:.0}/s of {} asked, p99 {p99:?}",
            CAPACITY / 20.0 * 0.8
        );
        assert!(goodput >= 0.9 * CAPACITY / 20.0 * 0.8);
    }
}

#[test]
fn those_of_low_priority_are_refused_first_and_those_of_high_last() {
    for seed in SEEDS {
        let overload = Overload::Latency(Duration::from_millis(100));
        let mut fleet = Simulation::with_overload(seed, overload);
        fleet.priorities = [0.1, 0.45];
        fleet.run(seconds(0), seconds(10), CAPACITY / 2.0);
        fleet.run(seconds(10), seconds(60), CAPACITY * 1.5);
        let [low, normal, high] = fleet.refused;
        let offered = CAPACITY * 1.5 * 50.0;
        let parts = [
            low as f64 / offered / 0.45,
            normal as f64 / offered / 0.45,
            high as f64 / offered / 0.1,
        ];
        println!("seed {seed}: refused of low, normal and high {parts:.3?}");
        assert!(parts[0] > 0.6 && parts[1] < 0.15 && parts[2] < 0.02);
    }
}

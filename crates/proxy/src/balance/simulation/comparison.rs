//! The ways to choose an instance side by side, in fleets of which one does not do as the others.
//! `cargo xtask bench balance` runs it too, with the seed of its `--seed`.

use super::*;
use model::Balance;

/// Where another seed is said than the usual.
const SEED: &str = "ROADBED_SIMULATION_SEED";

/// The instance that does otherwise.
const ODD: usize = 3;

const COLD: Conduct = Conduct {
    mean: Duration::from_millis(100),
    ..WELL
};

/// What happens while requests come, for a minute.
struct Scenario {
    name: &'static str,
    play: fn(&mut Simulation),
}

const ALL: [Scenario; 5] = [
    Scenario {
        name: "healthy",
        play: |fleet| fleet.run(seconds(0), seconds(60), PER_SECOND),
    },
    Scenario {
        name: "slow",
        play: |fleet| {
            fleet.instances[ODD].conduct = COLD;
            fleet.run(seconds(0), seconds(60), PER_SECOND);
        },
    },
    Scenario {
        name: "failing",
        play: |fleet| {
            fleet.instances[ODD].conduct.failing = 0.5;
            fleet.run(seconds(0), seconds(60), PER_SECOND);
        },
    },
    Scenario {
        // It serves for a second and a half, and is not there for half a second.
        name: "flapping",
        play: |fleet| {
            let half = |count: u64| Duration::from_millis(500) * count as u32;
            for at in (0..120).step_by(4) {
                fleet.instances[ODD].conduct.is_up = true;
                fleet.run(half(at), half(at + 3), PER_SECOND);
                fleet.stop(ODD, half(at + 3));
                fleet.run(half(at + 3), half(at + 4), PER_SECOND);
            }
        },
    },
    Scenario {
        // It comes after a while, and is cold for five seconds.
        name: "new",
        play: |fleet| {
            fleet.stop(ODD, seconds(0));
            fleet.run(seconds(0), seconds(20), PER_SECOND);
            fleet.instances[ODD].conduct = COLD;
            let (now, start) = (fleet.start + seconds(20), fleet.limits.slow_start);
            let entering = fleet.upstream.entering(now, 10, start);
            fleet.instances[ODD].endpoint.enter(entering);
            fleet.run(seconds(20), seconds(25), PER_SECOND);
            fleet.instances[ODD].conduct = WELL;
            fleet.run(seconds(25), seconds(60), PER_SECOND);
        },
    },
];

/// The 99th percentile, and which part failed.
fn play(scenario: &Scenario, balance: &Balance, seed: u64) -> (Duration, f64) {
    let mut fleet = Simulation::new(10, seed);
    let resilience = Resilience {
        balance: balance.clone(),
        ..Resilience::default()
    };
    fleet.upstream.configure(&declared(resilience), 1);
    (scenario.play)(&mut fleet);
    let mut times: Vec<_> = fleet.outcomes.iter().map(|outcome| outcome.took).collect();
    times.sort();
    let at = |of_thousand: usize| times[times.len() * of_thousand / 1000];
    let failed = fleet.failed_after(seconds(0));
    println!(
        "{:8}  {:17}  p50 {:7.1} ms  p99 {:8.1} ms  p99.9 {:8.1} ms  {:.3} % failed",
        scenario.name,
        format!("{balance:?}"),
        at(500).as_secs_f64() * 1e3,
        at(990).as_secs_f64() * 1e3,
        at(999).as_secs_f64() * 1e3,
        failed * 100.0,
    );
    (at(990), failed)
}

#[test]
fn the_usual_way_to_choose_is_the_best_of_them_in_front_of_any_odd_instance() {
    let seed = std::env::var(SEED).ok().map(|text| text.parse().unwrap());
    let seed = seed.unwrap_or(1);
    println!("seed {seed} ({SEED}); 10 instances of 4 threads, 1,000 requests a second for 60 s");
    for scenario in &ALL {
        let ways = [
            Balance::LeastLatency,
            Balance::LeastConnections,
            Balance::RoundRobin,
        ];
        let [latency, connections, turns] = ways.map(|way| play(scenario, &way, seed));
        assert!(latency.1 < 0.001, "{}", scenario.name);
        // In a fleet where all are well, who looks at each instance is a little better.
        let bound = turns.0.max(connections.0).mul_f64(1.1);
        assert!(latency.0 <= bound, "{}", scenario.name);
    }
}

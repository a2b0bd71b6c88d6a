//! What holds for every way to choose an endpoint that a service can declare.

use super::*;
use model::{Balance, HashKey};

fn all() -> [Balance; 5] {
    let (key, bounded) = (HashKey::Path, true);
    [
        Balance::LeastLatency,
        Balance::LeastConnections,
        Balance::RoundRobin,
        Balance::Hash {
            key: key.clone(),
            bounded: false,
        },
        Balance::Hash { key, bounded },
    ]
}

/// A fleet whose requests are of a thousand users.
fn fleet(balance: &Balance, seed: u64) -> Simulation {
    let mut fleet = Simulation::new(10, seed);
    let resilience = Resilience {
        balance: balance.clone(),
        ..Resilience::default()
    };
    fleet.upstream.configure(&declared(resilience), 1);
    fleet.users = 1_000;
    fleet
}

#[test]
fn restarts_and_one_that_fails_cost_nearly_no_request_with_any_of_them() {
    for balance in all() {
        let mut fleet = fleet(&balance, 3);
        fleet.run(seconds(0), seconds(5), PER_SECOND);
        for at in 0..10 {
            let down = seconds(5 + 5 * at as u64);
            fleet.stop(at, down);
            fleet.run(down, down + seconds(3), PER_SECOND);
            fleet.instances[at].conduct = WELL;
            fleet.run(down + seconds(3), down + seconds(5), PER_SECOND);
        }
        assert_eq!(fleet.failed_after(seconds(0)), 0.0, "{balance:?}");
        fleet.instances[3].conduct.failing = 0.5;
        fleet.run(seconds(55), seconds(85), PER_SECOND);
        let failed = fleet.failed_after(seconds(57));
        println!("{balance:?}: {failed} failed");
        assert!(failed < 0.001, "{balance:?}");
        assert_eq!(fleet.all_refused(), 0, "{balance:?}");
    }
}

#[test]
fn one_slow_endpoint_is_left_to_itself_by_those_that_look_and_not_by_those_that_do_not() {
    let slowest = |balance: &Balance| {
        let mut fleet = fleet(balance, 3);
        fleet.instances[3].conduct.mean *= 10;
        fleet.run(seconds(0), seconds(30), PER_SECOND);
        let share = fleet.instances[3].asked as f64 / fleet.asked() as f64;
        println!(
            "{balance:?}: p99 {:?}, {share:.3} to it",
            fleet.percentile(99)
        );
        (fleet.percentile(99), share)
    };
    let [latency, connections, turns, sticky, bounded] = all().each_ref().map(slowest);
    assert!(latency.1 < 0.02 && connections.1 < 0.08);
    assert!(turns.1 > 0.09 && sticky.1 > 0.07);
    assert!(bounded.1 < sticky.1, "a bound spares one that is slow");
    assert!(latency.0 < connections.0 && connections.0 < turns.0);
}

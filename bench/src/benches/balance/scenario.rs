//! What the instances do in each scenario, and what is required of the requests.

use std::time::{Duration, Instant};

use anyhow::Result;
use bench::Report;

use super::fleet::{MEMBERS, Members};
use crate::figures::{Figure, Unit};
use crate::peers::member::Conduct;

/// One of them.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// Requests a second.
    pub(super) rate: f64,
    /// How many can be under way at once.
    pub(super) connections: usize,
    /// How all instances do at first.
    pub(super) conduct: Conduct,
    /// Tells instances to do otherwise, while there is the load, until it is over.
    pub(super) play: fn(&Members, until: Instant) -> Result<()>,
    pub(super) p99: fn(Figure) -> Figure,
    pub(super) failed: fn(Figure) -> Figure,
    pub(super) special: Option<Special>,
    /// The 99th percentile is compared with that of the healthy fleet.
    pub(super) beside_healthy: bool,
}

/// A figure that one scenario alone has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Special {
    pub(super) name: &'static str,
    pub(super) unit: Unit,
    /// From what became of the requests, and how often instances were asked for each of them.
    pub(super) value: fn(&Report, f64) -> f64,
    pub(super) required: fn(Figure) -> Figure,
}

const OPEN: fn(Figure) -> Figure = |figure| figure;
const NONE: fn(Figure) -> Figure = |figure| figure.each_at_most(0.0);

const USUAL: Scenario = Scenario {
    name: "healthy",
    rate: 1000.0,
    connections: 512,
    conduct: Conduct::WELL,
    play: |_, _| Ok(()),
    p99: OPEN,
    failed: NONE,
    special: None,
    beside_healthy: false,
};

/// The instance that does otherwise.
const ODD: usize = 3;

/// One that is slow, or cold.
const SLOW: Conduct = Conduct {
    mean: Duration::from_millis(100),
    failing: 0.0,
};

/// What a service can do at 40 ms a request, in requests a second.
const NARROW: f64 = 1000.0;

/// All of them, the healthy one first: others are compared with it.
pub(super) const ALL: [Scenario; 8] = [
    USUAL,
    Scenario {
        name: "slow",
        play: |members, _| members.tell(ODD, SLOW),
        beside_healthy: true,
        ..USUAL
    },
    Scenario {
        name: "failing",
        play: |members, _| {
            let failing = Conduct {
                failing: 0.5,
                ..Conduct::WELL
            };
            members.tell(ODD, failing)
        },
        failed: |figure| figure.median_below(0.1),
        ..USUAL
    },
    Scenario {
        // It serves for a second and a half, and is not there for half a second.
        name: "flapping",
        play: |members, until| {
            while pause(Duration::from_millis(1500), until) {
                members.leave(ODD, Duration::from_millis(500))?;
                pause(Duration::from_millis(500), until);
            }
            Ok(())
        },
        failed: |figure| figure.median_below(0.1),
        ..USUAL
    },
    Scenario {
        // Each is killed in mid-work, comes back after half a second and is cold for another.
        name: "restarts",
        play: |members, until| {
            for member in 0..MEMBERS {
                members.leave(member, Duration::from_millis(500))?;
                tell_when_back(members, member, SLOW, until);
                if !pause(Duration::from_millis(500), until) {
                    break;
                }
                tell_when_back(members, member, Conduct::WELL, until);
                pause(Duration::from_millis(200), until);
            }
            Ok(())
        },
        ..USUAL
    },
    Scenario {
        // One has come after a while, and is cold for two seconds.
        name: "new",
        play: |members, until| {
            members.leave(ODD, Duration::from_secs(1))?;
            tell_when_back(members, ODD, SLOW, until);
            pause(Duration::from_secs(2), until);
            tell_when_back(members, ODD, Conduct::WELL, until);
            Ok(())
        },
        ..USUAL
    },
    Scenario {
        // All of them fail: what is tried again makes it worse.
        name: "storm",
        conduct: Conduct {
            failing: 1.0,
            ..Conduct::WELL
        },
        failed: OPEN,
        special: Some(Special {
            name: "asked / offered",
            unit: Unit::Ratio,
            value: |_, asked| asked,
            required: |figure| figure.each_at_most(1.3),
        }),
        ..USUAL
    },
    Scenario {
        name: "overload",
        rate: 2.0 * NARROW,
        connections: 7000,
        conduct: Conduct {
            mean: Duration::from_millis(40),
            failing: 0.0,
        },
        failed: OPEN,
        p99: |figure| figure.each_at_most(2000.0),
        special: Some(Special {
            name: "good answers / capacity",
            unit: Unit::Ratio,
            value: |report, _| {
                report.succeeded as f64 / report.duration.as_secs_f64().max(0.001) / NARROW
            },
            required: OPEN,
        }),
        ..USUAL
    },
];

/// Has one that is away do so as soon as it is back, if that is before the load is over.
fn tell_when_back(members: &Members, member: usize, conduct: Conduct, until: Instant) {
    while members.tell(member, conduct).is_err() && pause(Duration::from_millis(20), until) {}
}

/// Waits for so long, or until the load is over; whether it is not.
fn pause(length: Duration, until: Instant) -> bool {
    let now = Instant::now();
    let end = (now + length).min(until);
    std::thread::sleep(end.saturating_duration_since(now));
    Instant::now() < until
}

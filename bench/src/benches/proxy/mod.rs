//! What a request costs, how late answers are and what memory is held: Roadbed beside other
//! proxies, on one core, with the load and the backend on another.

mod cost;
mod latency;
mod memory;
mod scenario;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::json;

use super::{Bench, Measure, progress};
use crate::arguments::{Arguments, Common};
use crate::figures::{Figure, Results, Unit};
use crate::peers::{self, Kind, Protocol};
use crate::pinning::{LOAD_CORE, pin};
use crate::platform::{Workbench, allow_descriptors};
use crate::processes::waited;
use scenario::{ALL, Scenario, What};

pub(crate) const BENCH: Bench = Bench {
    name: "proxy",
    runs: 5,
    prepare,
};

/// Open files of a peer or of the load, on both sides of the most connections.
const DESCRIPTORS: usize = 16_500;

/// A measurement, and the load before it, take a second more for so many connections: they are
/// opened within it, and that must stay a small part.
const OPENED_IN_A_SECOND: usize = 500;

/// Seconds of the same load before it counts, with few connections.
const WARM_UP: usize = 1;

/// What was asked for.
#[derive(Debug)]
struct Settings {
    scenarios: Vec<&'static Scenario>,
    /// Of those that a scenario names, these take part.
    peers: Option<Vec<Kind>>,
    /// In place of a scenario's own.
    connections: Option<usize>,
    seconds: usize,
}

/// What a process waited for its core, as a share of the time that is watched.
struct Watch {
    pid: u32,
    since: Instant,
    waited: Duration,
}

impl Watch {
    fn start(pid: u32) -> Result<Self> {
        Ok(Self {
            pid,
            since: Instant::now(),
            waited: waited(pid)?,
        })
    }

    /// The percentage.
    fn stop(self) -> Result<f64> {
        let waited = waited(self.pid)?.saturating_sub(self.waited);
        Ok(waited.as_secs_f64() / self.since.elapsed().as_secs_f64() * 100.0)
    }
}

/// A scenario as it is run.
struct Case<'a> {
    scenario: &'a Scenario,
    kinds: Vec<Kind>,
    connections: usize,
    /// How long there is the same load before it counts.
    warm_up: usize,
    seconds: usize,
    runs: usize,
}

fn prepare(arguments: &mut Arguments) -> Result<Measure, String> {
    let settings = settings(arguments)?;
    Ok(Box::new(move |common: &Common, results: &mut Results| {
        measure(common, &settings, results)
    }))
}

fn settings(arguments: &mut Arguments) -> Result<Settings, String> {
    let named = |name: &String| {
        let scenario = ALL.iter().find(|scenario| scenario.name == name);
        scenario.ok_or_else(|| {
            let all = ALL.each_ref().map(|scenario| scenario.name).join(", ");
            format!("there is no scenario {name:?}; there are {all}")
        })
    };
    let peer = |name: &String| {
        let all = Kind::ALL.map(Kind::name).join(", ");
        name.parse()
            .map_err(|()| format!("there is no peer {name:?}; there are {all}"))
    };
    let scenarios = match arguments.list("--scenario")? {
        Some(names) => names.iter().map(named).collect::<Result<_, _>>()?,
        None => ALL.iter().collect(),
    };
    let peers = arguments.list("--peers")?;
    let peers = peers.map(|names| names.iter().map(peer).collect::<Result<_, _>>());
    Ok(Settings {
        scenarios,
        peers: peers.transpose()?,
        connections: match arguments.number("--connections", 0, 0..=5000)? {
            0 => None,
            connections => Some(connections),
        },
        seconds: arguments.number("--seconds", 5, 1..=600)?,
    })
}

impl Settings {
    fn case(&self, scenario: &'static Scenario, runs: usize) -> Case<'static> {
        let takes_part = |kind: &Kind| match &self.peers {
            Some(peers) => peers.contains(kind),
            None => true,
        };
        let kinds = scenario.kinds.iter().copied();
        let connections = self.connections.unwrap_or(scenario.connections);
        Case {
            scenario,
            kinds: kinds.filter(takes_part).collect(),
            connections,
            warm_up: WARM_UP + connections / OPENED_IN_A_SECOND,
            seconds: self.seconds + connections / OPENED_IN_A_SECOND,
            runs,
        }
    }
}

fn measure(common: &Common, settings: &Settings, results: &mut Results) -> Result<()> {
    allow_descriptors(DESCRIPTORS)?;
    let scenarios = settings.scenarios.iter();
    let cases: Vec<Case> = scenarios
        .map(|scenario| settings.case(scenario, common.runs))
        .filter(|case| !case.kinds.is_empty())
        .collect();
    let kinds: Vec<Kind> = cases.iter().flat_map(|case| case.kinds.clone()).collect();
    peers::check(&kinds)?;
    let workbench = Workbench::new(common.roadbed.as_deref())?;
    // This process is a part of the load.
    pin(std::process::id(), LOAD_CORE)?;
    let mut failed = Vec::new();
    for case in &cases {
        let name = case.scenario.name;
        progress(&format!("scenario {name}"));
        let measured = match &case.scenario.what {
            What::Cost(about) => cost::measure(case, about, &workbench, results),
            What::Latency { shares } => latency::measure(case, shares, &workbench, results),
            What::Memory(limits) => memory::measure(case, limits, &workbench, results),
        };
        // The others can be measured all the same; at the end it is said what could not be.
        if let Err(error) = measured {
            progress(&format!("scenario {name} failed: {error:#}"));
            results.detail(json!({ "scenario": name, "error": format!("{error:#}") }));
            failed.push(format!("{name}: {error:#}"));
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => bail!("not measured to the end:\n{}", failed.join("\n")),
    }
}

impl Case<'_> {
    fn name(&self) -> &'static str {
        self.scenario.name
    }

    fn protocol(&self) -> Protocol {
        self.scenario.protocol
    }

    /// The kinds in the order of a run: each time another one is first, so that none always
    /// comes after the same.
    fn order(&self, run: usize) -> impl Iterator<Item = usize> {
        let count = self.kinds.len();
        (0..count).map(move |place| (place + run) % count)
    }

    /// Adds a line for each proxy, in the order of the kinds.
    fn lines(
        &self,
        results: &mut Results,
        what: &str,
        unit: Unit,
        required: impl Fn(Kind, Figure) -> Figure,
    ) -> Vec<usize> {
        let figure = |kind: &Kind| {
            let name = format!("{}: {}: {what}", self.name(), kind.name());
            required(*kind, Figure::new(name, unit))
        };
        let figures: Vec<Figure> = self.kinds.iter().map(figure).collect();
        figures
            .into_iter()
            .map(|figure| results.add(figure))
            .collect()
    }

    /// Adds a line for Roadbed's share of each other's, if Roadbed takes part.
    fn shares(
        &self,
        results: &mut Results,
        what: &str,
        required: impl Fn(Kind, Figure) -> Figure,
    ) -> Vec<(Kind, usize)> {
        if !self.kinds.contains(&Kind::Roadbed) {
            return Vec::new();
        }
        let others = self.kinds.iter().filter(|kind| **kind != Kind::Roadbed);
        let line = |kind: &Kind| {
            let name = format!("{}: roadbed / {}: {what}", self.name(), kind.name());
            let figure = required(*kind, Figure::new(name, Unit::Ratio));
            (*kind, results.add(figure))
        };
        others.map(line).collect()
    }

    /// Adds a line for how much of the time proxies waited for their core, which others then had:
    /// by it one sees whether the machine was quiet.
    fn disturbance(&self, results: &mut Results) -> usize {
        let name = format!("{}: time that a proxy waited for its core", self.name());
        results.add(Figure::new(name, Unit::Percent))
    }

    /// Pushes Roadbed's shares of a run in which all took these values.
    fn push_shares(&self, results: &mut Results, shares: &[(Kind, usize)], values: &[f64]) {
        let of = |kind: Kind| {
            let place = self.kinds.iter().position(|candidate| *candidate == kind);
            place.map(|place| values[place])
        };
        for (kind, line) in shares {
            if let (Some(own), Some(other)) = (of(Kind::Roadbed), of(*kind)) {
                results.push(*line, own / other);
            }
        }
    }

    /// Says what all took in a run.
    fn tell(&self, run: usize, what: &str, unit: &str, values: &[f64]) {
        let each = self.kinds.iter().zip(values);
        let each = each.map(|(kind, value)| format!("{} {value:.1} {unit}", kind.name()));
        let each = each.collect::<Vec<_>>().join(", ");
        progress(&format!("run {} of {}: {what}{each}", run + 1, self.runs));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Result<Settings, String> {
        let words = text.split_whitespace().map(str::to_owned);
        settings(&mut Arguments::parse(words)?)
    }

    #[test]
    fn scenarios_and_peers_are_chosen_by_name() {
        let all = asked("").unwrap();
        assert_eq!(all.scenarios.len(), ALL.len());
        let some = asked("--scenario http1,tls --peers haproxy,relay --connections 7").unwrap();
        let kinds = |name: &str| {
            let scenario = ALL.iter().find(|scenario| scenario.name == name).unwrap();
            let case = some.case(scenario, 1);
            assert_eq!(case.connections, 7);
            case.kinds
        };
        assert_eq!(some.scenarios.len(), 2);
        assert_eq!(kinds("http1"), [Kind::Relay, Kind::Haproxy]);
        assert_eq!(kinds("tls"), [Kind::Haproxy]);
        for bad in ["--scenario http9", "--peers apache", "--peers"] {
            assert!(asked(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn everyone_is_first_once() {
        let case = asked("").unwrap().case(&ALL[0], 7);
        let firsts: Vec<usize> = (0..7).filter_map(|run| case.order(run).next()).collect();
        assert_eq!(firsts, [0, 1, 2, 3, 4, 5, 6]);
    }
}

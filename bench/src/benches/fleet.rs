//! Many services: what the platform itself uses, at rest and for a change of one endpoint.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bench::process::{self, Usage};
use proxy::protocol::{FromProxy, ToProxy};
use serde_json::json;

use super::{Bench, Measure, millis, progress};
use crate::arguments::{Arguments, Common};
use crate::client::Page;
use crate::figures::{Figure, Results, Unit};
use crate::link::{Message, Tap};
use crate::platform::{App, LONG, Platform, Workbench, apps};
use crate::processes::{self, Kind, OfHome};

pub(crate) const BENCH: Bench = Bench {
    name: "fleet",
    runs: 3,
    prepare,
};

const APP: &str = "fleet";
/// How long the platform is left alone before it is measured.
const CALM: Duration = Duration::from_secs(10);
/// Between two changes, so that one does not wait for what the last has set off.
const BETWEEN_CHANGES: Duration = Duration::from_millis(500);

#[derive(Clone, Copy)]
struct Options {
    services: usize,
    replicas: usize,
    changes: usize,
    window: Duration,
    tcp_probes: bool,
}

fn prepare(arguments: &mut Arguments) -> Result<Measure, String> {
    let options = Options {
        services: arguments.number("--services", 200, 1..=999)?,
        replicas: arguments.number("--replicas", 2, 2..=100)?,
        changes: arguments.number("--changes", 30, 1..=10_000)?,
        window: Duration::from_secs(arguments.number("--seconds", 30, 1..=3600)? as u64),
        tcp_probes: arguments.flag("--tcp-probes")?,
    };
    Ok(Box::new(move |common, results| {
        measure(options, common, results)
    }))
}

fn measure(options: Options, common: &Common, results: &mut Results) -> Result<()> {
    let workbench = Workbench::new(common.roadbed.as_deref())?;
    let app = workbench.app_folder(APP);
    let health = match options.tcp_probes {
        true => "tcp = true",
        false => "path = \"/healthz\"",
    };
    apps::make_fleet(&app, options.services, options.replicas, health)?;
    let up = results.add(Figure::new("up --detach", Unit::Seconds));
    let memory = MemoryLines::add(results);
    let idle = IdleLines::add(results);
    let changes = ChangeLines::add(results);
    let adopted = "server killed and restarted: until all is adopted and the proxy connected";
    let adopted = results.add(Figure::new(adopted, Unit::Millis));
    for run in 1..=common.runs {
        let mut platform = Platform::new(&workbench)?;
        progress(&format!("run {run} of {}: starting", common.runs));
        let took = platform.up(&app)?;
        results.push(up, took.as_secs_f64());
        progress(&format!("  up after {:.1} s", took.as_secs_f64()));
        let page = Page {
            edge: platform.edge,
            host: apps::fleet_host(0),
            path: "/".into(),
        };
        let status = page.ask().context("asking the first service")?;
        ensure!(status == 200, "the first service answers with {status}");
        std::thread::sleep(CALM);
        memory.measure(&platform, results)?;
        idle.measure(&platform, options.window, results)?;
        changes.measure(&platform, options, results)?;
        let took = restart(&mut platform)?;
        results.push(adopted, millis(took));
        progress(&format!("  restarted within {:.0} ms", millis(took)));
    }
    Ok(())
}

/// Kills the server and starts another; how long it takes until that one knows all there is.
fn restart(platform: &mut Platform) -> Result<Duration> {
    let pids = platform.status()?.ready_pids();
    let proxy = platform.pid(Kind::Proxy)?;
    platform.kill_server()?;
    let started = platform.start_server()?;
    let back = platform.until("all is adopted", |status| {
        status.ready_pids() == pids && status.follows(proxy)
    })?;
    Ok(back - started)
}

struct MemoryLines {
    server: usize,
    proxy: usize,
    shim_median: usize,
    shim_highest: usize,
    total: usize,
}

impl MemoryLines {
    fn add(results: &mut Results) -> Self {
        let mib = |name: &str| Figure::new(name, Unit::Mib);
        Self {
            server: results.add(mib("server, resident").each_below(60.0)),
            proxy: results.add(mib("proxy, resident")),
            shim_median: results.add(mib("shims, resident: median").each_below(3.0)),
            shim_highest: results.add(mib("shims, resident: highest").each_below(3.0)),
            total: results.add(mib("shims, resident: sum without what they share")),
        }
    }

    fn measure(&self, platform: &Platform, results: &mut Results) -> Result<()> {
        let resident = |pid| process::usage(pid).map(|usage| usage.resident as f64 / MIB);
        let server = resident(platform.pid(Kind::Server)?)?;
        let proxy = resident(platform.pid(Kind::Proxy)?)?;
        let shims = platform.pids(Kind::Shim);
        ensure!(!shims.is_empty(), "no shim runs");
        let mut sizes = Figure::new("", Unit::Mib);
        let mut own = 0.0;
        for pid in &shims {
            sizes.push(resident(*pid)?);
            own += processes::proportional(*pid)? as f64 / MIB;
        }
        results.push(self.server, server);
        results.push(self.proxy, proxy);
        results.push(self.shim_median, sizes.median());
        results.push(self.shim_highest, sizes.highest());
        results.push(self.total, own);
        progress(&format!(
            "  resident: server {server:.1} MiB, proxy {proxy:.1} MiB, {} shims {:.2} MiB each",
            shims.len(),
            sizes.median()
        ));
        Ok(())
    }
}

const MIB: f64 = 1024.0 * 1024.0;

struct IdleLines {
    all: usize,
    by_kind: [(Kind, usize); 3],
}

impl IdleLines {
    fn add(results: &mut Results) -> Self {
        let percent = |name: &str| Figure::new(name, Unit::Percent);
        Self {
            all: results.add(percent("idle: server, proxy and shims, of one core").each_below(1.0)),
            by_kind: [
                (Kind::Server, results.add(percent("idle: server alone"))),
                (Kind::Proxy, results.add(percent("idle: proxy alone"))),
                (Kind::Shim, results.add(percent("idle: all shims"))),
            ],
        }
    }

    fn measure(&self, platform: &Platform, window: Duration, results: &mut Results) -> Result<()> {
        let processes = platform.processes();
        let before = times(&processes)?;
        std::thread::sleep(window);
        let after = times(&processes)?;
        let mut all = 0.0;
        for (kind, line) in self.by_kind {
            let of = |times: &BTreeMap<Kind, Duration>| times.get(&kind).copied();
            let used = of(&after)
                .unwrap_or_default()
                .saturating_sub(of(&before).unwrap_or_default());
            let percent = used.as_secs_f64() / window.as_secs_f64() * 100.0;
            progress(&format!("  idle: {kind:?} {percent:.3} % of a core"));
            results.push(line, percent);
            all += percent;
        }
        results.push(self.all, all);
        Ok(())
    }
}

/// Processor time used so far, by kind. Shims have one thread, of which the kernel tells the exact
/// time; a server's threads come and go, so that only the time of the whole process is complete.
fn times(processes: &[OfHome]) -> Result<BTreeMap<Kind, Duration>> {
    let mut times: BTreeMap<Kind, Duration> = BTreeMap::new();
    for OfHome { pid, kind } in processes {
        let time = match kind {
            Kind::Shim => processes::exact_cpu(*pid)?,
            Kind::Server | Kind::Proxy => {
                let Usage { cpu, .. } = process::usage(*pid)?;
                cpu
            }
            Kind::Other => continue,
        };
        *times.entry(*kind).or_default() += time;
    }
    Ok(times)
}

/// One endpoint goes and comes back, seen from the link between server and proxy.
struct ChangeLines {
    gone_acknowledged: usize,
    back_acknowledged: usize,
    gone_sent: usize,
    proxy: usize,
    back: usize,
}

impl ChangeLines {
    fn add(results: &mut Results) -> Self {
        let ms = |name: &str| Figure::new(name, Unit::Millis);
        Self {
            gone_acknowledged: results
                .add(ms("endpoint gone: from the kill to the proxy's word").median_below(20.0)),
            back_acknowledged: results
                .add(ms("endpoint back: from the decision to the proxy's word").median_below(20.0)),
            gone_sent: results.add(ms("endpoint gone: from the kill to the message")),
            proxy: results.add(ms("any change: from the message to the proxy's word")),
            back: results.add(ms("endpoint back: from the kill to the proxy's word")),
        }
    }

    fn measure(&self, platform: &Platform, options: Options, results: &mut Results) -> Result<()> {
        let tap = Tap::insert(platform.home())?;
        // Its successor connects to the tap.
        processes::kill(platform.pid(Kind::Proxy)?)?;
        tap.wait("the proxy connects again", LONG, |message| {
            matches!(message, Message::FromProxy(FromProxy::Acknowledged { .. })).then_some(())
        })?;
        for change in 0..options.changes {
            std::thread::sleep(BETWEEN_CHANGES);
            // Far apart in the chain of services, and never the same one twice in a row.
            let service = format!("s{:03}", change * 37 % options.services);
            self.one(platform, &tap, &service, results)
                .with_context(|| format!("killing an instance of {service}"))?;
        }
        Ok(())
    }

    fn one(
        &self,
        platform: &Platform,
        tap: &Tap,
        service: &str,
        results: &mut Results,
    ) -> Result<()> {
        let before: App = platform.app(APP)?;
        let mut instances = before.instances_of(service);
        let victim = instances.next().context("it has no instance")?;
        let (name, pid) = (&victim.instance, victim.pid.context("it has no process")?);
        tap.clear();
        let killed = std::time::Instant::now();
        processes::kill(pid)?;
        let (sent, generation) = tap.wait("its endpoint goes", LONG, |message| {
            routed(message, service, name, false)
        })?;
        let (gone, ()) = tap.wait("that is acknowledged", LONG, |message| {
            acknowledged(message, generation)
        })?;
        let (sent_back, generation) = tap.wait("its endpoint comes back", LONG, |message| {
            routed(message, service, name, true)
        })?;
        let (back, ()) = tap.wait("that is acknowledged", LONG, |message| {
            acknowledged(message, generation)
        })?;
        // The status may still be the one before; it follows at once.
        let ready = platform.until("it is ready", |status| {
            status.instance(name).is_some_and(|i| i.state == "ready")
        });
        ready?;
        let after = platform.app(APP)?;
        let now = after.instances_of(service).find(|i| i.instance == *name);
        let now = now.context("it is no more")?;
        let decided = now.state_time as f64;
        results.push(self.gone_sent, millis(sent.at - killed));
        results.push(self.proxy, millis(gone.at - sent.at));
        results.push(self.proxy, millis(back.at - sent_back.at));
        results.push(self.gone_acknowledged, millis(gone.at - killed));
        results.push(self.back_acknowledged, back.wall - decided);
        results.push(self.back, millis(back.at - killed));
        results.detail(json!({
            "instance": name,
            "gone_sent_ms": millis(sent.at - killed),
            "gone_acknowledged_ms": millis(gone.at - killed),
            "exit_recorded_to_acknowledged_ms":
                now.last_exit.as_ref().map(|exit| gone.wall - exit.at as f64),
            "back_decided_to_sent_ms": sent_back.wall - decided,
            "back_decided_to_acknowledged_ms": back.wall - decided,
            "back_acknowledged_ms": millis(back.at - killed),
        }));
        Ok(())
    }
}

/// The generation of a change after which the instance is, or is not, an endpoint of its service.
fn routed(message: &Message, service: &str, instance: &str, there: bool) -> Option<u64> {
    let Message::ToProxy(said) = message else {
        return None;
    };
    let ToProxy::Delta(delta) = &**said else {
        return None;
    };
    let upstreams = delta.upstreams.set.iter();
    let mut of_service = upstreams.filter(|(id, _)| id.to_string() == format!("{APP}/{service}"));
    let (_, upstream) = of_service.next()?;
    let found = upstream
        .endpoints
        .keys()
        .any(|id| id.to_string() == instance);
    (found == there).then_some(delta.to.0)
}

/// Whether a proxy serves this generation or a later one.
fn acknowledged(message: &Message, wanted: u64) -> Option<()> {
    let Message::FromProxy(FromProxy::Acknowledged { generation, .. }) = message else {
        return None;
    };
    (generation.0 >= wanted).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(endpoints: &str) -> Message {
        let json = format!(
            r#"{{"delta":{{"from":3,"to":4,"listeners":{{"set":{{}},"removed":[]}},
            "routes":{{"set":{{}},"removed":[]}},"upstreams":{{"removed":[],"set":{{
            "fleet/s001":{{"protocol":"http","timeout":{{"secs":1,"nanos":0}},
            "endpoints":{endpoints}}}}}}}}}}}"#
        );
        Message::ToProxy(serde_json::from_str(&json).unwrap())
    }

    #[test]
    fn a_change_of_an_endpoint_is_recognised() {
        let with = delta(r#"{"fleet.s001.1.2":{"address":"127.0.0.1:20001"}}"#);
        let without = delta("{}");
        assert_eq!(routed(&with, "s001", "fleet.s001.1.2", true), Some(4));
        assert_eq!(routed(&with, "s001", "fleet.s001.1.2", false), None);
        assert_eq!(routed(&without, "s001", "fleet.s001.1.2", false), Some(4));
        assert_eq!(routed(&without, "s002", "fleet.s002.1.2", false), None);
        let json = r#"{"acknowledged":{"generation":4,"listener_failures":{},"busy":{}}}"#;
        let said = Message::FromProxy(serde_json::from_str(json).unwrap());
        assert_eq!(acknowledged(&said, 4), Some(()));
        assert_eq!(acknowledged(&said, 5), None);
    }
}

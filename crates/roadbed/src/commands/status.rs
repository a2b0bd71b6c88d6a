//! `roadbed status`: what runs, and why anything waits.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use control::status::{
    AppIntent, AppStatus, InstanceState, InstanceStatus, Latency, RequestCounts, RolloutPhase,
    ServerStatus, ServiceStatus, Status as ServerState,
};

use crate::arguments::Status;
use crate::commands::runtime;
use crate::commands::wrap::{COLUMNS, cut, wrap};
use crate::context::Context;
use crate::failure::Failure;
use crate::follow::{plural, short};
use crate::output::{print_json, print_result};
use crate::terminal::table;

/// The widest that a name is shown, so that what is said of it has room beside it.
const WIDEST_NAME: usize = 24;
/// How many routes are shown of an app.
pub(super) const MOST_ROUTES: usize = 20;
/// The widest address beside a service; a longer one, which must not be cut, is below it.
const WIDEST_ADDRESS: usize = COLUMNS - WIDEST_NAME - 19;

pub(crate) fn run(status: &Status, context: &Context) -> Result<ExitCode, Failure> {
    let all: ServerState =
        runtime()?.block_on(async { context.client().get("/v1/status").await })?;
    let Some(name) = &status.app else {
        return match status.json {
            true => print_json(&all),
            false => print_result(&render(&all)),
        };
    };
    let Some(app) = all.apps.iter().find(|app| app.app == *name) else {
        let names: Vec<&str> = all.apps.iter().map(|app| app.app.as_str()).collect();
        let failure = Failure::new(format!("no app {name:?} runs on this server"));
        return Err(match names.is_empty() {
            true => failure.hint("nothing runs; `roadbed up FOLDER` starts an app"),
            false => failure.hint(format!("there are: {}", names.join(", "))),
        });
    };
    match status.json {
        true => print_json(app),
        false => print_result(&render_app(app, now())),
    }
}

fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn render(status: &ServerState) -> String {
    let mut text = render_server(&status.server, status.has_tls_at_the_edge());
    if status.apps.is_empty() {
        text.push_str("\nno app runs; `roadbed up FOLDER` starts one\n");
    }
    for app in &status.apps {
        text.push('\n');
        text.push_str(&render_app(app, now()));
    }
    text
}

fn render_server(server: &ServerStatus, in_tls: bool) -> String {
    let edge_tls = match in_tls {
        true => format!(" and in TLS {}", server.edge_tls),
        false => String::new(),
    };
    let behind = server
        .proxies
        .iter()
        .filter(|p| p.generation != Some(server.generation))
        .count();
    let proxies = match (server.proxies.len(), behind) {
        (0, _) => "no proxy is connected".to_owned(),
        (1, 0) => "1 proxy up to date".to_owned(),
        (count, 0) => format!("{count} proxies up to date"),
        (count, behind) => format!("{behind} of {count} proxies not up to date"),
    };
    let connections = match server.connections {
        None | Some(0) => String::new(),
        Some(1) => ", 1 connection".to_owned(),
        Some(count) => format!(", {count} connections"),
    };
    let mut text = wrap(
        &format!(
            "server {} (pid {}) in {}; edge {}{edge_tls}; {proxies}, generation {}{connections}",
            server.version, server.pid, server.home, server.edge, server.generation
        ),
        0,
    );
    for metrics in &server.metrics {
        if let Some(failure) = &metrics.failure {
            let address = &metrics.address;
            text.push_str(&wrap(
                &format!("metrics: cannot listen on {address}: {failure}"),
                0,
            ));
        }
    }
    let lines = match server.access_log.as_str() {
        "" | "off" => None,
        lines => Some(format!(
            "access log: {lines}; `roadbed logs --access` shows it"
        )),
    };
    let traces = server
        .traces
        .as_ref()
        .map(|traces| format!("traces: {traces}"));
    for told in lines.iter().chain(&traces) {
        text.push_str(&wrap(told, 0));
    }
    if let Some(trouble) = &server.trouble {
        text.push_str(&wrap(&format!("trouble: {trouble}"), 0));
    }
    text
}

fn render_app(app: &AppStatus, now: u64) -> String {
    let mut text = wrap(&format!("{}: {}", app.app, headline(app)), 0);
    if let Some(failure) = &app.rollout.failure {
        for line in &failure.last_lines {
            text.push_str(&cut(&format!("  | {line}"), COLUMNS));
            text.push('\n');
        }
    }
    let mut rows = Vec::new();
    let mut below: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for service in &app.services {
        if let Some(url) = service.url.as_ref().filter(|url| !fits_beside(url)) {
            below
                .entry(rows.len())
                .or_default()
                .push(format!("at {url}"));
        }
        if let Some(counts) = service
            .requests
            .and_then(|counts| requests(counts, service.latency))
        {
            below.entry(rows.len()).or_default().push(counts);
        }
        if let Some(troubles) = service.requests.and_then(troubles) {
            below.entry(rows.len()).or_default().push(troubles);
        }
        rows.push(service_row(service));
        rows.extend(
            service
                .instances
                .iter()
                .map(|instance| instance_row(instance, &service.service, &app.app, now)),
        );
    }
    for (row, line) in table(&rows).lines().enumerate() {
        text.push_str(&cut(&format!("  {line}"), COLUMNS));
        text.push('\n');
        for fact in below.get(&row).into_iter().flatten() {
            text.push_str(&format!("    {fact}\n"));
        }
    }
    for route in app.routes.iter().take(MOST_ROUTES) {
        let at = route.url.as_ref().unwrap_or(&route.route);
        text.push_str(&cut(
            &format!("  route {at} to {}", route.leads_to),
            COLUMNS,
        ));
        text.push('\n');
    }
    if let Some(more @ 1..) = app.routes.len().checked_sub(MOST_ROUTES) {
        text.push_str(&format!("  {more} more routes; --json has all\n"));
    }
    for wait in &app.waits {
        let subject = wait
            .instance
            .as_deref()
            .or(wait.service.as_deref())
            .unwrap_or(&app.app);
        text.push_str(&wrap(
            &format!("waits: {}: {}", short(subject, &app.app), wait.reason),
            2,
        ));
    }
    text
}

/// What an app does, in a sentence.
fn headline(app: &AppStatus) -> String {
    let (release, rollout) = (app.release, &app.rollout);
    match (app.intent, rollout.state) {
        (AppIntent::Down, _) => format!("release {release} is going down"),
        (_, RolloutPhase::Progressing) => {
            format!("release {} is being rolled out", rollout.release)
        }
        (_, RolloutPhase::Complete) => format!("release {release} is up"),
        (intent, RolloutPhase::Failed) => {
            let why = rollout
                .failure
                .as_ref()
                .map_or("", |failure| &failure.message);
            let subject = rollout
                .failure
                .as_ref()
                .and_then(|failure| failure.instance.as_deref());
            let subject = subject
                .map(|id| format!("{} ", short(id, &app.app)))
                .unwrap_or_default();
            let now = match intent {
                AppIntent::Halted => "nothing runs".to_owned(),
                _ => format!("release {release} is up"),
            };
            format!("{now}; release {} failed: {subject}{why}", rollout.release)
        }
    }
}

fn service_row(service: &ServiceStatus) -> Vec<String> {
    let ready = match service.replicas == 0 && service.instances.is_empty() {
        true => "files".to_owned(),
        false => format!("{}/{} ready", service.ready, service.replicas),
    };
    let address = service.url.as_ref().filter(|url| fits_beside(url));
    let address = address.unwrap_or(&service.protocol).clone();
    vec![cut(&service.service, WIDEST_NAME), ready, address]
}

/// What became of requests and how long they took, once there were some.
fn requests(counts: RequestCounts, latency: Option<Latency>) -> Option<String> {
    let RequestCounts {
        answered,
        failed,
        cut,
        ..
    } = counts;
    let facts = [(answered, "answered"), (failed, "failed"), (cut, "cut")];
    let facts = facts.iter().filter(|(count, _)| *count > 0);
    let facts: Vec<_> = facts
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let times = latency.map(|latency| {
        let times = [latency.p50_microseconds, latency.p99_microseconds].map(microseconds);
        format!("; p50 {}, p99 {}", times[0], times[1])
    });
    (!facts.is_empty()).then(|| {
        let times = times.unwrap_or_default();
        format!("requests: {}{times}", facts.join(", "))
    })
}

/// What the proxy did about instances that fail and about too many requests, once it did.
fn troubles(counts: RequestCounts) -> Option<String> {
    let ejections = plural(counts.ejected as usize, "ejection");
    let facts = [
        (counts.retried, "tried again"),
        (counts.refused, "refused"),
        (counts.ejected, ejections.as_str()),
    ];
    let facts = facts.iter().filter(|(count, _)| *count > 0);
    let facts: Vec<_> = facts
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    (!facts.is_empty()).then(|| format!("resilience: {}", facts.join(", ")))
}

/// A time with two digits at least, in the unit that suits it.
fn microseconds(time: u64) -> String {
    match time {
        0..1000 => format!("{time} µs"),
        1000..9950 => format!("{:.1} ms", time as f64 / 1e3),
        9950..999_500 => format!("{:.0} ms", time as f64 / 1e3),
        999_500..99_950_000 => format!("{:.1} s", time as f64 / 1e6),
        _ => format!("{:.0} s", time as f64 / 1e6),
    }
}

fn fits_beside(url: &str) -> bool {
    url.chars().count() <= WIDEST_ADDRESS
}

/// An instance below its service. Of a long name the service's part is cut: the rest is what tells
/// the instances of a service apart.
fn instance_row(instance: &InstanceStatus, service: &str, app: &str, now: u64) -> Vec<String> {
    let name = short(&instance.instance, app);
    let name = match name.strip_prefix(service) {
        Some(rest) => cut(service, (WIDEST_NAME - 2).saturating_sub(rest.len())) + rest,
        None => name.to_owned(),
    };
    let mut facts = vec![instance.address.clone()];
    if let Some(pid) = instance.pid {
        facts.push(format!("pid {pid}"));
    }
    if instance.restarts > 0 {
        let count = instance.restarts as usize;
        facts.push(format!("{count} {}", plural(count, "restart")));
    }
    vec![format!("  {name}"), state(instance, now), facts.join(", ")]
}

fn state(instance: &InstanceStatus, now: u64) -> String {
    let since = seconds(now.saturating_sub(instance.state_time));
    match instance.state {
        InstanceState::Starting => format!("starting {since}"),
        InstanceState::Ready => format!("ready {since}"),
        InstanceState::Failing => format!("failing {since}"),
        InstanceState::Restarting if instance.crash_loop => "crash loop".to_owned(),
        InstanceState::Restarting => "restarting".to_owned(),
        InstanceState::Draining => format!("draining {since}"),
        InstanceState::Stopping => format!("stopping {since}"),
    }
}

/// A time in its largest whole unit.
pub(super) fn seconds(millis: u64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;

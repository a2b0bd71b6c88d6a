//! `roadbed doctor`: what keeps this machine from running apps well, and how to mend it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;

use control::ports::{INSTANCES, LISTENERS};
use control::status::Status;
use rustix::process::{Pid, PidfdFlags, Resource, getpid, getrlimit, pidfd_open};
use serde::Serialize;

use crate::api_client::{ApiClient, ApiFailure};
use crate::arguments::Doctor;
use crate::commands::runtime;
use crate::commands::wrap::wrap;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{print, print_json};
use crate::server_process::{self, Edge};

/// Below so much free space an app may soon be unable to write.
const LITTLE_SPACE: u64 = 1 << 30;
/// Below so many open files a busy proxy runs out: each request may take two.
const FEW_FILES: u64 = 4096;

/// The columns that a verdict takes.
const VERDICT: usize = 6;

/// What was found, with a shape that stays.
#[derive(Serialize)]
struct Report {
    checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Serialize)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    detail: String,
    /// What to do, where there is something.
    fix: Option<String>,
}

#[derive(Serialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Good,
    Warning,
    Bad,
}

impl Check {
    fn good(name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Good,
            detail: detail.into(),
            fix: None,
        }
    }

    fn warning(name: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Warning,
            fix: Some(fix.into()),
            ..Self::good(name, detail)
        }
    }

    fn bad(name: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Bad,
            fix: Some(fix.into()),
            ..Self::good(name, detail)
        }
    }
}

pub(crate) fn run(doctor: &Doctor, context: &Context) -> Result<ExitCode, Failure> {
    let mut checks = vec![home(context), disk(context)];
    checks.extend(runtime()?.block_on(server(&context.client(), context)));
    checks.extend([kernel(), open_files(), ports()]);
    let bad = checks.iter().any(|check| check.verdict == Verdict::Bad);
    match doctor.json {
        true => print_json(&Report { checks }).map(drop)?,
        false => print(&render(&checks)).map(drop)?,
    }
    Ok(if bad {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn render(checks: &[Check]) -> String {
    let mut text = String::new();
    for check in checks {
        let verdict = match check.verdict {
            Verdict::Good => "ok",
            Verdict::Warning => "warn",
            Verdict::Bad => "BAD",
        };
        let said = wrap(&format!("{}: {}", check.name, check.detail), VERDICT);
        text.push_str(&format!("{verdict:<VERDICT$}{}", said.trim_start()));
        if let Some(fix) = &check.fix {
            text.push_str(&wrap(&format!("fix: {fix}"), VERDICT));
        }
    }
    text
}

fn home(context: &Context) -> Check {
    let path = context.home.path();
    let shown = path.display();
    if let Err(error) = context.home.check() {
        return Check::bad(
            "home",
            error.to_string(),
            error.hint().unwrap_or("choose another with --home"),
        );
    }
    let Ok(found) = fs::metadata(path) else {
        return Check::good(
            "home",
            format!("{shown} does not exist yet; a server makes it"),
        );
    };
    let user = rustix::process::geteuid();
    if found.uid() != user.as_raw() && !user.is_root() {
        let detail = format!("{shown} belongs to user {}", found.uid());
        return Check::bad("home", detail, "choose a folder of your own with --home");
    }
    if found.mode() & 0o077 != 0 {
        let detail = format!(
            "{shown} can be entered by other users (mode {:o})",
            found.mode() & 0o777
        );
        return Check::warning("home", detail, format!("chmod 700 {shown}"));
    }
    Check::good("home", format!("{shown} is this user's alone"))
}

fn disk(context: &Context) -> Check {
    let home = context.home.path();
    let Some(existing) = home.ancestors().find(|folder| folder.is_dir()) else {
        return Check::good("disk", "there is nothing yet to look at");
    };
    match rustix::fs::statvfs(existing) {
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            let detail = format!(
                "{:.1} GiB free at {}",
                free as f64 / (1u64 << 30) as f64,
                existing.display()
            );
            match free < LITTLE_SPACE {
                true => Check::warning(
                    "disk",
                    detail,
                    "free some space, or choose another folder with --home",
                ),
                false => Check::good("disk", detail),
            }
        }
        Err(error) => Check::bad(
            "disk",
            format!("{} cannot be looked at: {error}", existing.display()),
            "choose another folder with --home",
        ),
    }
}

/// Without a server what runs runs on, but nobody looks after it.
fn no_server(context: &Context) -> Check {
    match proxy::is_running(context.home.path()) {
        false => Check::good("server", "none runs"),
        true => Check::warning(
            "server",
            "none runs, though its proxy does: no instance is probed or started again",
            "`roadbed server` takes over what an earlier one started",
        ),
    }
}

async fn server(client: &ApiClient, context: &Context) -> Vec<Check> {
    let status: Status = match client.get("/v1/status").await {
        Ok(status) => status,
        Err(ApiFailure::NoServer(_)) => {
            let address = context.edge(None, None).plain;
            let edge = edge(context, Edge::Plain(address), Check::warning);
            return vec![no_server(context), edge];
        }
        Err(failure) => {
            let detail = Failure::from(failure).in_one_line();
            let logs = context.home.server_logs();
            return vec![Check::bad(
                "server",
                detail,
                format!("its log is in {}", logs.display()),
            )];
        }
    };
    let server = &status.server;
    let mut checks = Vec::new();
    let own = env!("CARGO_PKG_VERSION");
    let detail = format!("version {} runs as process {}", server.version, server.pid);
    checks.push(match server.version == own {
        true => Check::good("server", detail),
        false => Check::warning(
            "server",
            format!("{detail}, and this program is version {own}"),
            "restart the server with this program; apps run on meanwhile",
        ),
    });
    if let Some(trouble) = &server.trouble {
        let logs = context.home.server_logs();
        checks.push(Check::bad(
            "store",
            trouble,
            format!("see the server's log in {}", logs.display()),
        ));
    }
    let behind = server
        .proxies
        .iter()
        .filter(|p| p.generation != Some(server.generation))
        .count();
    checks.push(match (server.proxies.len(), behind) {
        (0, _) => no_proxy(context),
        (_, 0) => Check::good(
            "proxy",
            format!("up to date at generation {}", server.generation),
        ),
        (count, _) => Check::warning(
            "proxy",
            format!(
                "{behind} of {count} not at generation {} yet",
                server.generation
            ),
            "look again in a moment",
        ),
    });
    if let Ok(address) = server.edge.parse() {
        checks.push(edge(context, Edge::Plain(address), Check::bad));
    }
    if let (true, Ok(address)) = (status.has_tls_at_the_edge(), server.edge_tls.parse()) {
        checks.push(edge(context, Edge::Tls(address), Check::bad));
    }
    checks
}

/// No proxy is connected: what it said last may tell why.
fn no_proxy(context: &Context) -> Check {
    let logs = context.home.proxy_logs();
    let last = runner::logs::last_lines(&logs, 1).unwrap_or_default();
    let detail = match last.first() {
        Some(line) => format!("none is connected; it last said: {line}"),
        None => "none is connected".to_owned(),
    };
    Check::bad("proxy", detail, format!("its log is in {}", logs.display()))
}

/// Whether an address of the edge can be had. Before there is a server it is only the usual one.
fn edge(
    context: &Context,
    edge: Edge,
    problem: impl Fn(&'static str, String, String) -> Check,
) -> Check {
    let (name, address) = match edge {
        Edge::Plain(address) => ("edge", address),
        Edge::Tls(address) => ("edge for TLS", address),
    };
    match server_process::check_edge(context, edge) {
        Ok(()) => Check::good(name, format!("{address} can be served")),
        Err(failure) => {
            let fix = failure.next_step().unwrap_or_default().to_owned();
            problem(name, failure.in_one_line(), fix)
        }
    }
}

fn kernel() -> Check {
    let own: Pid = getpid();
    match pidfd_open(own, PidfdFlags::empty()) {
        Ok(_) => Check::good("kernel", "processes can be held by descriptor"),
        Err(error) => Check::bad(
            "kernel",
            format!("processes cannot be held by descriptor: {error}"),
            "run Linux 5.3 or later, and let pidfd_open through where system calls are filtered",
        ),
    }
}

fn open_files() -> Check {
    let limit = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    match limit < FEW_FILES {
        true => Check::warning(
            "open files",
            format!("a process may have {limit} open"),
            "raise the hard limit, as with `ulimit -Hn 65536` or LimitNOFILE= in systemd",
        ),
        false if limit == u64::MAX => Check::good("open files", "no limit"),
        false => Check::good("open files", format!("a process may have {limit} open")),
    }
}

/// Outgoing connections must not take the ports that instances are given.
fn ports() -> Check {
    let file = "/proc/sys/net/ipv4/ip_local_port_range";
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut numbers = text.split_whitespace().map(str::parse::<u32>);
    let (Some(Ok(first)), Some(Ok(last))) = (numbers.next(), numbers.next()) else {
        return Check::warning("ports", format!("{file} cannot be read"), "mount /proc");
    };
    let detail = format!("outgoing connections use {first} to {last}");
    let own = u32::from(LISTENERS.start)..u32::from(INSTANCES.end);
    match first < own.end && last >= own.start {
        true => Check::warning(
            "ports",
            format!("{detail}, some of which Roadbed gives to instances"),
            format!(
                "sysctl -w net.ipv4.ip_local_port_range='{} {}'",
                32_768, 60_999
            ),
        ),
        false => Check::good("ports", detail),
    }
}

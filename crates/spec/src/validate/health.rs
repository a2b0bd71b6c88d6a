//! How an instance is known to be well.

use model::{Command, Health, Probe, Protocol};
use toml::Spanned;

use super::values::{duration, number};
use crate::app_file;
use crate::command::{Reach, command};
use crate::duration::text;
use crate::findings::{Findings, quoted};
use crate::limits;
use crate::written::Written;

/// The health of a service; without any, its port has to accept a connection.
pub(super) fn health(
    written: Written<app_file::Health>,
    protocol: Protocol,
    findings: &mut Findings,
) -> Health {
    let mut health = Health {
        probe: Probe::Tcp,
        interval: limits::HEALTH_INTERVAL.usual,
        timeout: limits::HEALTH_TIMEOUT.usual,
        failures: limits::HEALTH_FAILURES.usual,
        deadline: limits::HEALTH_DEADLINE.usual,
    };
    let Some(written) = findings.value("health", written) else {
        return health;
    };
    let span = written.span();
    let written = written.into_inner();

    health.failures = number(
        "health.failures",
        written.failures,
        &limits::HEALTH_FAILURES,
        findings,
    );
    let interval = duration(
        "health.interval",
        written.interval,
        &limits::HEALTH_INTERVAL,
        findings,
    );
    let timeout = duration(
        "health.timeout",
        written.timeout,
        &limits::HEALTH_TIMEOUT,
        findings,
    );
    let deadline = duration(
        "health.deadline",
        written.deadline,
        &limits::HEALTH_DEADLINE,
        findings,
    );
    if let Some(interval) = &interval {
        health.interval = *interval.get_ref();
        // The default of one key must not make a valid value of another invalid.
        health.timeout = health.timeout.min(health.interval);
    }
    if let Some(timeout) = &timeout {
        health.timeout = *timeout.get_ref();
        check_timeout(timeout, &health, findings);
    }
    if let Some(deadline) = &deadline {
        health.deadline = *deadline.get_ref();
    } else {
        health.deadline = health.deadline.max(health.timeout);
    }
    if let (Some(deadline), true) = (&deadline, health.deadline < health.timeout) {
        let message = format!(
            "`health.deadline` is shorter than one probe, which may take {}",
            text(health.timeout)
        );
        findings
            .add(deadline.span(), message)
            .hint("raise it, or lower `timeout`".to_owned());
    }
    let asked = Asked {
        path: written.path,
        tcp: written.tcp,
        grpc: written.grpc,
        command: written.command,
    };
    if let Some(probe) = probe(span, asked, protocol, findings) {
        health.probe = probe;
    }
    health
}

/// The keys of which exactly one is there.
struct Asked {
    path: Written<String>,
    tcp: Written<bool>,
    grpc: Written<String>,
    command: Written<app_file::CommandText>,
}

fn check_timeout(timeout: &Spanned<std::time::Duration>, health: &Health, findings: &mut Findings) {
    if health.timeout > health.interval {
        let message = format!(
            "`health.timeout` is longer than `health.interval`, which is {}",
            text(health.interval)
        );
        findings
            .add(timeout.span(), message)
            .hint("lower it, or raise `interval`".to_owned());
    }
}

fn probe(
    span: std::ops::Range<usize>,
    asked: Asked,
    protocol: Protocol,
    findings: &mut Findings,
) -> Option<Probe> {
    let present = [
        !matches!(asked.path, Written::Absent),
        !matches!(asked.tcp, Written::Absent),
        !matches!(asked.grpc, Written::Absent),
        !matches!(asked.command, Written::Absent),
    ];
    match present.into_iter().filter(|&present| present).count() {
        0 => {
            let message = "`health` says nothing to probe: it takes one of `path`, `tcp`, `grpc`, \
                           `command`";
            let hint = "add tcp = true for the default probe".to_owned();
            findings.add_absence(span, message.into(), Some(hint));
        }
        1 => {}
        _ => {
            let message = "`health` takes only one of `path`, `tcp`, `grpc` and `command`";
            findings
                .add(span, message)
                .hint("keep one of them".to_owned());
        }
    }
    let path = findings.value("health.path", asked.path);
    let path = path.and_then(|path| http(&path, protocol, findings));
    let tcp = findings
        .value("health.tcp", asked.tcp)
        .and_then(|tcp| connect(&tcp, findings));
    let grpc = findings.value("health.grpc", asked.grpc);
    let grpc = grpc.and_then(|service| ask_grpc(&service, protocol, findings));
    let command_text = findings.value("health.command", asked.command);
    let run = |text, findings: &mut Findings| -> Option<Command> {
        command("health.command", text, Reach::Release, findings)
    };
    let command = command_text
        .and_then(|text| run(text, findings))
        .map(Probe::Command);
    path.or(tcp).or(grpc).or(command)
}

fn ask_grpc(
    service: &Spanned<String>,
    protocol: Protocol,
    findings: &mut Findings,
) -> Option<Probe> {
    if protocol != Protocol::Grpc {
        let hint = "write protocol = \"grpc\", or another probe".to_owned();
        findings
            .add(service.span(), "`health.grpc` needs protocol \"grpc\"")
            .hint(hint);
    }
    let text = service.get_ref();
    if text.len() > limits::LONGEST_PROBE_SERVICE || !text.bytes().all(|b| b.is_ascii_graphic()) {
        let message = format!("{} names no gRPC service", quoted(text));
        let hint = "write it as \"package.Service\", or \"\" for the whole server".to_owned();
        findings.add(service.span(), message).hint(hint);
        return None;
    }
    Some(Probe::Grpc {
        service: text.clone(),
    })
}

fn http(path: &Spanned<String>, protocol: Protocol, findings: &mut Findings) -> Option<Probe> {
    if !protocol.is_http() {
        let hint = "write tcp = true, or use `command`".to_owned();
        findings
            .add(path.span(), "`health.path` needs a protocol of HTTP")
            .hint(hint);
    }
    let text = path.get_ref();
    let sendable = |b: u8| b.is_ascii_graphic() && b != b'#';
    if !text.starts_with('/') || !text.bytes().all(sendable) {
        let message = format!("{} is no path to probe", quoted(text));
        let hint = "a path begins with \"/\" and has no space, control character, fragment or \
                    letter outside ASCII (write %20 for a space)"
            .to_owned();
        findings.add(path.span(), message).hint(hint);
        return None;
    }
    if text.len() > limits::LONGEST_PROBE_PATH {
        let most = limits::LONGEST_PROBE_PATH;
        findings.add(
            path.span(),
            format!("`health.path` has more than {most} characters"),
        );
        return None;
    }
    Some(Probe::Http { path: text.clone() })
}

fn connect(tcp: &Spanned<bool>, findings: &mut Findings) -> Option<Probe> {
    if !tcp.get_ref() {
        let hint = "remove `tcp`, and name another probe instead".to_owned();
        findings
            .add(tcp.span(), "`health.tcp` can only be true")
            .hint(hint);
        return None;
    }
    Some(Probe::Tcp)
}

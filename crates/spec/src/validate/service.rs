//! One service.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{NameError, Protocol, ServiceName, VolumeName, Work};
use toml::Spanned;

use super::environment::{self, Injected};
use super::{
    Together, bad_name, connections, exposure, files, health, hedge, resilience, static_files,
    values,
};
use crate::app_file;
use crate::command::{Reach, command};
use crate::findings::{Findings, quoted};
use crate::keys::nearest;
use crate::limits;
use crate::written::Written;

/// What a service's validation knows beside the service itself.
pub(super) struct Context<'a> {
    /// The service's name as written.
    pub(super) name: &'a Spanned<String>,
    /// The names of all services as written.
    pub(super) names: &'a BTreeSet<String>,
    /// The file's text.
    pub(super) source: &'a str,
}

/// Validates one service; `None` only where something was found.
pub(super) fn service(
    written: Spanned<app_file::Service>,
    context: &Context<'_>,
    together: &mut Together,
    findings: &mut Findings,
) -> Option<model::Service> {
    let mut written = written.into_inner();
    let files = std::mem::take(&mut written.files);
    let is_static = !matches!(files, Written::Absent);
    if is_static {
        static_files::refuse_others(&written, findings);
    } else if matches!(written.run, Written::Absent) {
        let message = format!("service {} has no `run`", quoted(context.name.get_ref()));
        let hint = "say what it runs, such as: run = \"./web\"".to_owned();
        findings.add_absence(context.name.span(), message, Some(hint));
    }
    let files = findings.value("static", files);
    let files = files.and_then(|files| static_files::files(files, together, findings));
    let run = findings.value("run", written.run);
    let run = run.and_then(|run| command("run", run, Reach::Release, findings));
    let work = files.map(Work::Static).or(run.map(Work::Run));
    let build = findings.value("build", written.build);
    let build = build.and_then(|build| command("build", build, Reach::Anywhere, findings));
    let protocol = protocol(written.protocol, findings);
    let uses = uses(written.uses, context.names, findings);
    let volumes = volumes(written.volumes, findings);
    let injected = Injected::of(&uses, &volumes, findings);
    let env = environment::env(written.env, &injected, context.source, findings);
    let expose = exposure::expose(written.expose, protocol, context.name, together, findings);
    let tls = files::tls(written.tls, context.name, together, findings);
    let health = health::health(written.health, protocol, findings);
    let timeout = timeout(written.timeout, protocol, findings);
    let resilience = resilience::resilience(written.balance, written.overload, protocol, findings);
    let connections = connections::connections(written.connections, findings);
    let hedge = hedge::hedge(written.hedge, protocol, findings);
    let drain = values::duration("drain", written.drain, &limits::DRAIN, findings);
    Some(model::Service {
        work: work?,
        build,
        replicas: match is_static {
            true => 0,
            false => values::number("replicas", written.replicas, &limits::REPLICAS, findings),
        },
        uses: uses.into_iter().map(Spanned::into_inner).collect(),
        expose,
        env,
        health,
        protocol,
        tls,
        timeout,
        resilience: model::Resilience {
            connections,
            hedge,
            ..resilience
        },
        drain: drain.map_or(limits::DRAIN.usual, Spanned::into_inner),
        volumes: volumes
            .into_iter()
            .map(Spanned::into_inner)
            .collect::<BTreeSet<_>>(),
    })
}

fn protocol(written: Written<String>, findings: &mut Findings) -> Protocol {
    let Some(value) = findings.value("protocol", written) else {
        return Protocol::Http;
    };
    let text = value.get_ref().as_str();
    let all = [
        Protocol::Http,
        Protocol::Http2,
        Protocol::Grpc,
        Protocol::Tcp,
    ];
    if let Some(protocol) = all.into_iter().find(|protocol| protocol.name() == text) {
        return protocol;
    }
    let message = format!(
        "`protocol` is \"http\", \"http2\", \"grpc\" or \"tcp\", not {}",
        quoted(text)
    );
    let near = nearest(text, limits::PROTOCOLS.into_iter());
    let hint = near.map(|near| format!("did you mean {near:?}?"));
    findings.add(value.span(), message).hint(hint);
    Protocol::Http
}

fn timeout(
    written: Written<app_file::DurationText>,
    protocol: Protocol,
    findings: &mut Findings,
) -> Duration {
    let value = values::duration("timeout", written, &limits::TIMEOUT, findings);
    if let (Some(value), Protocol::Tcp) = (&value, protocol) {
        let message = "`timeout` is the limit of a request, and protocol \"tcp\" has no requests";
        findings
            .add(value.span(), message)
            .hint("remove it".to_owned());
    }
    value.map_or(limits::TIMEOUT.usual, Spanned::into_inner)
}

/// The services that are used. That a service uses itself is legal, as is any other cycle.
fn uses(
    written: Written<Vec<Written<String>>>,
    names: &BTreeSet<String>,
    findings: &mut Findings,
) -> Vec<Spanned<ServiceName>> {
    let mut used = Vec::new();
    for item in values::distinct("uses", written, findings) {
        let text = item.get_ref().as_str();
        if findings.is_full() {
            break;
        } else if names.contains(text) {
            // A name that is no valid one is reported where the service is declared.
            used.extend(
                ServiceName::new(text)
                    .ok()
                    .map(|name| Spanned::new(item.span(), name)),
            );
        } else if text.contains("://") {
            let message = format!("`uses` names the URL {}, not a service", quoted(text));
            let hint = "this version of Roadbed does not support outbound URLs yet; remove it: \
                        the service can call it directly"
                .to_owned();
            findings.add(item.span(), message).hint(hint);
        } else {
            let message = format!(
                "`uses` names {}, which is no service of this app",
                quoted(text)
            );
            let hint = match nearest(text, names.iter().map(String::as_str)) {
                Some(near) => format!("did you mean {near:?}?"),
                None => "add the service to this file, or remove it here".to_owned(),
            };
            findings.add_absence(item.span(), message, Some(hint));
        }
    }
    used
}

fn volumes(
    written: Written<Vec<Written<String>>>,
    findings: &mut Findings,
) -> Vec<Spanned<VolumeName>> {
    let mut volumes = Vec::new();
    for item in values::distinct("volumes", written, findings) {
        if findings.is_full() {
            break;
        }
        let name: Result<_, NameError> = VolumeName::new(item.get_ref().as_str());
        match name {
            Ok(name) => volumes.push(Spanned::new(item.span(), name)),
            Err(error) => bad_name("a volume", &item, &error, findings),
        }
    }
    volumes
}

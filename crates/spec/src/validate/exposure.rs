//! Where the edge serves services; no two at the same place.

use std::collections::BTreeMap;

use model::{Exposure, Host, PathPrefix, Protocol};
use toml::Spanned;

use crate::app_file::Expose;
use crate::findings::{Findings, quoted};
use crate::written::Written;

/// The places of the edge that are taken, each with the service that has it.
pub(super) type Exposures = BTreeMap<Exposure, String>;

/// The exposure of service `name`, where it has a valid one.
pub(super) fn expose(
    written: Written<Expose>,
    protocol: Protocol,
    name: &Spanned<String>,
    taken: &mut Exposures,
    findings: &mut Findings,
) -> Option<Exposure> {
    let expose = findings.value("expose", written)?;
    let span = expose.span();
    let Expose { host, path } = expose.into_inner();
    if protocol != Protocol::Http {
        let message = "`expose` needs protocol \"http\": the edge tells services apart by host";
        findings
            .add(span.clone(), message)
            .hint("remove `expose`".to_owned());
    }
    if matches!(host, Written::Absent) {
        let hint = "add one, such as host = \"shop.localhost\"".to_owned();
        findings.add_absence(span.clone(), "`expose` has no `host`".into(), Some(hint));
    }
    let host = findings
        .value("expose.host", host)
        .and_then(|host| read_host(&host, findings));
    let path = read_path(path, findings);
    let exposure = Exposure {
        host: host?,
        path: path?,
    };
    if let Some(other) = taken.get(&exposure) {
        let message = format!(
            "{}{} is where service {} is exposed already",
            exposure.host,
            exposure.path,
            quoted(other)
        );
        let hint = "give one of the two another `host` or `path`".to_owned();
        findings.add(span, message).hint(hint);
        return None;
    }
    taken.insert(exposure.clone(), name.get_ref().clone());
    Some(exposure)
}

fn read_host(written: &Spanned<String>, findings: &mut Findings) -> Option<Host> {
    let text = written.get_ref().as_str();
    match Host::new(text) {
        Ok(host) => Some(host),
        Err(error) => {
            let finding = findings.add(
                written.span(),
                format!("{} is no host: {error}", quoted(text)),
            );
            // A scheme, a port or a path around a good host is the usual mistake.
            let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
            let bare = bare.split(['/', ':']).next().unwrap_or_default();
            finding.hint(
                Host::new(bare)
                    .ok()
                    .map(|host| format!("write host = \"{host}\"")),
            );
            None
        }
    }
}

fn read_path(written: Written<String>, findings: &mut Findings) -> Option<PathPrefix> {
    if matches!(written, Written::Absent) {
        return Some(PathPrefix::root());
    }
    let written = findings.value("expose.path", written)?;
    let text = written.get_ref().as_str();
    match PathPrefix::new(text) {
        Ok(path) => Some(path),
        Err(error) => {
            let finding = findings.add(
                written.span(),
                format!("{} is no path: {error}", quoted(text)),
            );
            let rooted = format!("/{text}");
            finding.hint(
                PathPrefix::new(&rooted)
                    .ok()
                    .map(|path| format!("write path = \"{path}\"")),
            );
            None
        }
    }
}

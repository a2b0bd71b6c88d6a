//! Where the edge serves services; no two at the same place.

use std::collections::BTreeMap;
use std::ops::Range;

use model::{CertificateFiles, Exposure, Host, PathPrefix, Protocol};
use toml::Spanned;

use super::values::{self, read_host};
use super::{Together, files};
use crate::app_file::Expose;
use crate::findings::{Findings, quoted};
use crate::written::Written;

/// What is taken at the edge, each with the service that has it.
#[derive(Default)]
pub(super) struct Exposures {
    pub(super) places: BTreeMap<(Host, PathPrefix), (String, Range<usize>)>,
    certificates: BTreeMap<Host, (CertificateFiles, String)>,
}

/// The exposure of service `name`, where it has a valid one.
pub(super) fn expose(
    written: Written<Expose>,
    protocol: Protocol,
    name: &Spanned<String>,
    together: &mut Together,
    findings: &mut Findings,
) -> Option<Exposure> {
    let expose = findings.value("expose", written)?;
    let span = expose.span();
    let Expose {
        host,
        path,
        certificate,
        key,
        compress,
        security_headers,
    } = expose.into_inner();
    if !protocol.is_http() {
        let message = "`expose` needs a protocol of HTTP: the edge tells services apart by host";
        findings
            .add(span.clone(), message)
            .hint("remove `expose`, or write protocol = \"http\"".to_owned());
    }
    if matches!(host, Written::Absent) {
        let hint = "add one, such as host = \"shop.localhost\"".to_owned();
        findings.add_absence(span.clone(), "`expose` has no `host`".into(), Some(hint));
    }
    let host = findings
        .value("expose.host", host)
        .and_then(|host| read_host("expose.host", &host, findings));
    let path = read_path(path, findings);
    let place = span.clone();
    let certificate = files::certificate(certificate, key, place, &mut together.files, findings);
    let exposure = Exposure {
        host: host?,
        path: path?,
        certificate,
        compress: values::flag("expose.compress", compress, findings),
        security_headers: values::flag("expose.security_headers", security_headers, findings),
    };
    let exposures = &mut together.exposures;
    check_certificate(&exposure, &span, name, exposures, findings);
    let place = (exposure.host.clone(), exposure.path.clone());
    if let Some((other, _)) = exposures.places.get(&place) {
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
    let taken = (name.get_ref().clone(), span);
    exposures.places.insert(place, taken);
    Some(exposure)
}

/// A host has one certificate, whichever of its exposures names it.
fn check_certificate(
    exposure: &Exposure,
    span: &Range<usize>,
    name: &Spanned<String>,
    exposures: &mut Exposures,
    findings: &mut Findings,
) {
    let Some(files) = &exposure.certificate else {
        return;
    };
    let host = &exposure.host;
    match exposures.certificates.get(host) {
        Some((other, service)) if other != files => {
            let message = format!(
                "{host} has another certificate already: {} of service {}",
                quoted(other.certificate.as_str()),
                quoted(service)
            );
            let hint = "name the same files at both, or at one of the two only".to_owned();
            findings.add(span.clone(), message).hint(hint);
        }
        Some(_) => {}
        None => {
            let named = (files.clone(), name.get_ref().clone());
            exposures.certificates.insert(host.clone(), named);
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

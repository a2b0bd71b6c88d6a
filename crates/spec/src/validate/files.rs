//! Files that an app names for TLS. Only their paths are looked at here: what is in them can change
//! between now and the deploy, and is the server's to read.

use std::ops::Range;

use model::{BadFilePath, CertificateFiles, FilePath, Host, ServiceTls};
use toml::Spanned;

use super::Together;
use super::values::read_host;
use crate::app_file::Tls;
use crate::findings::{Findings, quoted};
use crate::written::Written;

/// The files that have to be there, each with its place in the source.
#[derive(Debug, Default)]
pub(crate) struct Files(Vec<(FilePath, Range<usize>)>);

impl Files {
    /// Adds a file and where it is named.
    pub(super) fn add(&mut self, path: FilePath, place: Range<usize>) {
        self.0.push((path, place));
    }

    /// Each file and where it is named.
    pub(crate) fn named(&self) -> &[(FilePath, Range<usize>)] {
        &self.0
    }
}

/// The certificate and key of an exposure that stands at `span`: both or none.
pub(super) fn certificate(
    certificate: Written<String>,
    key: Written<String>,
    span: Range<usize>,
    files: &mut Files,
    findings: &mut Findings,
) -> Option<CertificateFiles> {
    let absent = [&certificate, &key].map(|written| matches!(written, Written::Absent));
    match absent {
        [true, false] => {
            let hint = "add certificate = \"…\", or remove `key`".to_owned();
            let message = "`expose` has a `key` and no `certificate`".to_owned();
            findings.add_absence(span, message, Some(hint));
        }
        [false, true] => {
            let hint = "add key = \"…\", the file with its private key".to_owned();
            let message = "`expose` has a `certificate` and no `key`".to_owned();
            findings.add_absence(span, message, Some(hint));
        }
        _ => {}
    }
    let certificate = findings
        .value("expose.certificate", certificate)
        .and_then(|path| file("expose.certificate", &path, files, findings));
    let key = findings
        .value("expose.key", key)
        .and_then(|path| file("expose.key", &path, files, findings));
    Some(CertificateFiles {
        certificate: certificate?,
        key: key?,
    })
}

/// How the instances of service `name` are verified, where that is said.
pub(super) fn tls(
    written: Written<Tls>,
    name: &Spanned<String>,
    together: &mut Together,
    findings: &mut Findings,
) -> Option<ServiceTls> {
    let tls = findings.value("tls", written)?;
    let span = tls.span();
    let tls = tls.into_inner();
    if matches!(tls.authority, Written::Absent) {
        let hint = "add one, such as authority = \"tls/ca.pem\"".to_owned();
        findings.add_absence(span, "`tls` has no `authority`".into(), Some(hint));
    }
    let authority = findings
        .value("tls.authority", tls.authority)
        .and_then(|path| file("tls.authority", &path, &mut together.files, findings));
    let name = match tls.name {
        // A name that is no valid one is reported where the service is declared.
        Written::Absent => Host::new(name.get_ref()).ok(),
        written => findings
            .value("tls.name", written)
            .and_then(|written| read_host("tls.name", &written, findings)),
    };
    Some(ServiceTls {
        authority: authority?,
        name: name?,
    })
}

/// The file that `written` names under `key`.
fn file(
    key: &str,
    written: &Spanned<String>,
    files: &mut Files,
    findings: &mut Findings,
) -> Option<FilePath> {
    let text = written.get_ref().as_str();
    match FilePath::new(text) {
        Ok(path) => {
            files.0.push((path.clone(), written.span()));
            Some(path)
        }
        Err(error) => {
            let message = format!("{} is no file for `{key}`: {error}", quoted(text));
            let hint = match error {
                BadFilePath::Leaves => {
                    Some("move the file into the app's folder, or name it by its absolute path")
                }
                BadFilePath::Empty => Some("name a file in PEM"),
                BadFilePath::TooLong | BadFilePath::Control => None,
            };
            let hint = hint.map(str::to_owned);
            findings.add(written.span(), message).hint(hint);
            None
        }
    }
}

//! The certificate of a host and its key: whether they can be used, fit together, and hold for the
//! host and now.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::{Certificate, Host, HostPattern, Secret};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use super::pem::{self, CutShort, is_key, labels, sections};
use super::{FileProblem, NamedFile, cut_short, file};

/// How many names of a certificate are told.
const MOST_NAMES: usize = 5;
/// The end of a certificate is told this much before it; for one that lives shortly, when a fifth
/// of its life is left. Whoever renews in good time is never told.
const LONGEST_NOTICE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Reads a certificate and its key, and checks them for `host` as of `now`.
pub(super) fn read(
    host: &Host,
    certificate: &NamedFile,
    key: &NamedFile,
    now: SystemTime,
) -> Result<Certificate, FileProblem> {
    let text = file::read(certificate)?;
    let key_text = file::read(key)?;
    let chain = chain(certificate, &text)?;
    let section = key_section(key, &key_text)?;
    let ders = certificates(certificate, &chain)?;
    let leaf = parse(&ders[0]).map_err(|()| unreadable(certificate, 1))?;
    check_key(certificate, key, &ders, &section)?;
    check_host(host, certificate, &ders[0], &leaf)?;
    check_time(certificate, &leaf, now)?;
    Ok(Certificate {
        host: host.clone(),
        also: others(&leaf, host),
        chain,
        key: Secret::new(section),
    })
}

/// That a certificate which was found to be good soon expires, or has expired since, with the day.
pub(super) fn expires(chain: &str, now: SystemTime) -> Option<String> {
    let der = CertificateDer::from_pem_slice(chain.as_bytes()).ok()?;
    let validity = parse(&der).ok()?.validity().clone();
    let (begin, end) = (time(&validity.not_before), time(&validity.not_after));
    let life = end.duration_since(begin).unwrap_or_default();
    let day = day(&validity.not_after);
    match end.duration_since(now) {
        Ok(left) if left > LONGEST_NOTICE.min(life / 5) => None,
        Ok(_) => Some(format!("expires on {day}: renew it")),
        Err(_) => Some(format!("expired on {day}: renew it")),
    }
}

/// The certificates of the file, and nothing else that may be in it.
fn chain(file: &NamedFile, text: &str) -> Result<String, FileProblem> {
    let chain = pem::certificates(text).map_err(|CutShort| cut_short(file))?;
    if chain.is_empty() {
        let hint = match labels(text)
            .into_iter()
            .any(|label| label.ends_with("PRIVATE KEY"))
        {
            true => "it is a private key: are `certificate` and `key` the wrong way round?",
            false => "a certificate in PEM begins with -----BEGIN CERTIFICATE-----",
        };
        return Err(FileProblem::new(
            file,
            "there is no certificate in it",
            hint,
        ));
    }
    Ok(chain)
}

/// The first private key of the file.
fn key_section(file: &NamedFile, text: &str) -> Result<String, FileProblem> {
    if let Some(section) = sections(text, is_key).into_iter().next() {
        return Ok(section);
    }
    let is_encrypted = labels(text).contains(&"ENCRYPTED PRIVATE KEY");
    Err(match is_encrypted {
        true => FileProblem::new(
            file,
            "its private key needs a passphrase, which the server has not",
            "`openssl pkey -in FILE -out NEW` writes it without one",
        ),
        false => FileProblem::new(
            file,
            "there is no private key in it",
            "a private key in PEM begins with -----BEGIN PRIVATE KEY-----",
        ),
    })
}

fn certificates(
    file: &NamedFile,
    chain: &str,
) -> Result<Vec<CertificateDer<'static>>, FileProblem> {
    let mut ders = Vec::new();
    for der in CertificateDer::pem_slice_iter(chain.as_bytes()) {
        let number = ders.len() + 1;
        let der = der.map_err(|_| unreadable(file, number))?;
        parse(&der).map_err(|()| unreadable(file, number))?;
        ders.push(der);
    }
    Ok(ders)
}

fn unreadable(file: &NamedFile, number: usize) -> FileProblem {
    FileProblem::new(
        file,
        format!("certificate {number} in it cannot be read"),
        "`openssl x509 -in FILE -text` reads the first one; ask for it again where it came from",
    )
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, ()> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| ())?;
    Ok(certificate)
}

fn check_key(
    certificate: &NamedFile,
    key: &NamedFile,
    ders: &[CertificateDer<'static>],
    section: &str,
) -> Result<(), FileProblem> {
    let der = PrivateKeyDer::from_pem_slice(section.as_bytes()).map_err(|_| {
        let hint = "ask for it again where it came from";
        FileProblem::new(key, "its private key cannot be read", hint)
    })?;
    let signer = default_provider().key_provider.load_private_key(der);
    let signer = signer.map_err(|_| {
        FileProblem::new(
            key,
            "its private key is of no kind that TLS is spoken with here",
            "use ECDSA with P-256 or P-384, RSA with at least 2,048 bits, or Ed25519",
        )
    })?;
    match CertifiedKey::new(ders.to_vec(), signer).keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(()),
        Err(Error::InconsistentKeys(_)) => Err(FileProblem::new(
            key,
            format!(
                "it is not the key of the certificate in {}",
                certificate.named
            ),
            "name the key that the certificate was asked for with; the certificate of the host \
             comes first in its file",
        )),
        Err(error) => Err(FileProblem::new(
            certificate,
            format!("the certificate cannot be used: {error}"),
            "ask for another one, of version 3 and with subject alternative names",
        )),
    }
}

fn check_host(
    host: &Host,
    file: &NamedFile,
    der: &CertificateDer<'_>,
    leaf: &X509Certificate<'_>,
) -> Result<(), FileProblem> {
    let verified = ParsedCertificate::try_from(der).and_then(|parsed| {
        let name = ServerName::try_from(host.as_str()).map_err(|_| Error::UnsupportedNameType)?;
        rustls::client::verify_server_name(&parsed, &name)
    });
    if verified.is_ok() {
        return Ok(());
    }
    let names = names(leaf);
    let shown: Vec<&str> = names.iter().take(MOST_NAMES).map(String::as_str).collect();
    let problem = match (names.len(), names.len() - shown.len()) {
        (0, _) => format!("the certificate is not for {host}: it has no subject alternative name"),
        (_, 0) => format!(
            "the certificate is for {}, not for {host}",
            shown.join(", ")
        ),
        (_, more) => format!(
            "the certificate is for {} and {more} more, not for {host}",
            shown.join(", ")
        ),
    };
    Err(FileProblem::new(
        file,
        problem,
        format!("use one with {host} as a subject alternative name, or another `host`"),
    ))
}

/// The hosts beside `host` that a certificate is for.
fn others(leaf: &X509Certificate<'_>, host: &Host) -> BTreeSet<HostPattern> {
    let patterns = names(leaf)
        .into_iter()
        .filter_map(|name| HostPattern::new(&name).ok());
    let others =
        patterns.filter(|pattern| pattern.exact() != Some(host) && *pattern != HostPattern::Any);
    others.collect()
}

/// The names and addresses that a certificate is for, as far as they are of the usual kinds. They
/// are its author's: nothing that could confuse a terminal is passed on.
fn names(leaf: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = leaf.subject_alternative_name() else {
        return Vec::new();
    };
    let names = extension.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.escape_debug().to_string()),
            GeneralName::IPAddress(bytes) => match *bytes {
                [a, b, c, d] => Some(std::net::Ipv4Addr::from([*a, *b, *c, *d]).to_string()),
                bytes => {
                    let bytes: [u8; 16] = bytes.try_into().ok()?;
                    Some(std::net::Ipv6Addr::from(bytes).to_string())
                }
            },
            _ => None,
        })
        .collect()
}

/// Only the certificate itself is looked at: among those that follow, authorities themselves send
/// some that have expired, for the sake of old clients.
fn check_time(
    file: &NamedFile,
    leaf: &X509Certificate<'_>,
    now: SystemTime,
) -> Result<(), FileProblem> {
    let validity = leaf.validity();
    if time(&validity.not_after) < now {
        return Err(FileProblem::new(
            file,
            format!("the certificate expired on {}", day(&validity.not_after)),
            "renew it",
        ));
    }
    if now < time(&validity.not_before) {
        return Err(FileProblem::new(
            file,
            format!(
                "the certificate is not valid before {}",
                day(&validity.not_before)
            ),
            "wait until then, or use another one; is the machine's clock right?",
        ));
    }
    Ok(())
}

fn time(time: &ASN1Time) -> SystemTime {
    let seconds = u64::try_from(time.timestamp()).unwrap_or(0);
    UNIX_EPOCH
        .checked_add(Duration::from_secs(seconds))
        .unwrap_or(UNIX_EPOCH)
}

/// A day as 2026-11-25.
fn day(time: &ASN1Time) -> String {
    let seconds = u64::try_from(time.timestamp()).unwrap_or(0);
    let nanos = seconds.saturating_mul(1_000_000_000);
    let mut text = runner::logs::Timestamp(nanos).to_string();
    text.truncate("2026-11-25".len());
    text
}

//! Who may have signed the certificates of instances.

use model::Authority;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::pem::{self, CutShort};
use super::{FileProblem, NamedFile, cut_short, file};

/// Reads the certificates of authorities and checks that they can be used as such.
pub(super) fn read(roots: &NamedFile) -> Result<Authority, FileProblem> {
    let text = file::read(roots)?;
    let text = pem::certificates(&text).map_err(|CutShort| cut_short(roots))?;
    if text.is_empty() {
        return Err(FileProblem::new(
            roots,
            "there is no certificate in it",
            "a certificate in PEM begins with -----BEGIN CERTIFICATE-----",
        ));
    }
    let mut store = RootCertStore::empty();
    for (place, der) in CertificateDer::pem_slice_iter(text.as_bytes()).enumerate() {
        let added = match der {
            Ok(der) => store.add(der).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        added.map_err(|error| {
            FileProblem::new(
                roots,
                format!("certificate {} in it cannot be used: {error}", place + 1),
                "name the certificate of the authority that signs those of the instances",
            )
        })?;
    }
    Ok(Authority { roots: text })
}

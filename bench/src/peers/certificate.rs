//! A certificate for the proxies: self-signed, ECDSA on P-256, made anew each time.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// What OpenSSL is told. The certificate is no authority, so that a client can trust just it.
const REQUEST: &str = "\
[req]
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
commonName = localhost
[extensions]
subjectAltName = DNS:localhost
basicConstraints = critical, CA:FALSE
";

/// Writes `certificate.pem`, `key.pem`, and both in `both.pem`.
pub(super) fn make(folder: &Path) -> Result<()> {
    fs::write(folder.join("request.conf"), REQUEST)?;
    let words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 30 \
        -config request.conf -keyout key.pem -out certificate.pem";
    let output = Command::new("openssl")
        .args(words.split_whitespace())
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .context("starting openssl")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "openssl: {said}");
    let read = |name: &str| fs::read_to_string(folder.join(name));
    let both = read("certificate.pem")? + &read("key.pem")?;
    fs::write(folder.join("both.pem"), both)?;
    Ok(())
}

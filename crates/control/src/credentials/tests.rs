//! Certificates as they come: good ones, and each way in which one can be wrong.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use model::{FilePath, Host};
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::certificate::expires;
use super::{FileProblem, NamedFile, Read, Source};

/// A certificate for `names` that signs itself, and its key.
pub(super) fn pair(
    names: &[&str],
    change: impl FnOnce(&mut CertificateParams),
) -> (String, String) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// The certificate of `shop.example.com` in a folder.
pub(super) fn source(folder: &Path) -> Source {
    let file = |name| NamedFile::new(&FilePath::new(name).unwrap(), folder);
    Source::Certificate {
        host: Host::new("shop.example.com").unwrap(),
        certificate: file("shop.pem"),
        key: file("shop.key"),
    }
}

/// Writes both files of [`source`].
pub(super) fn write(folder: &Path, certificate: &str, key: &str) {
    fs::write(folder.join("shop.pem"), certificate).unwrap();
    fs::write(folder.join("shop.key"), key).unwrap();
}

fn read(certificate: &str, key: &str) -> Result<Read, FileProblem> {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), certificate, key);
    source(folder.path()).read(SystemTime::now())
}

/// What is wrong, as a user reads it, with the folder's name taken out.
fn problem(folder: &TempDir, source: &Source) -> String {
    let problem = source.read(SystemTime::now()).unwrap_err();
    let told = format!("{problem}; {}", problem.hint());
    told.replace(folder.path().to_str().unwrap(), "FOLDER")
}

#[test]
fn a_pair_that_fits_is_taken_without_what_else_is_in_its_files() {
    let (certificate, key) = pair(&["shop.example.com", "www.example.com"], |_| {});
    let Ok(Read::Certificate(alone)) = read(&certificate, &key) else {
        panic!("it is refused")
    };
    assert_eq!((&alone.chain, alone.key.reveal()), (&certificate, &key));
    // As some programs write it: all in one file, with remarks and Windows' ends of lines.
    let both = format!("# shop\r\n{key}\r\n{certificate}").replace('\n', "\r\n");
    let Ok(Read::Certificate(together)) = read(&both, &both) else {
        panic!("it is refused")
    };
    assert_eq!(together, alone);

    let (wildcard, key) = pair(&["*.example.com"], |_| {});
    let (other, _) = pair(&["the authority"], |_| {});
    let Ok(Read::Certificate(read)) = read(&format!("{wildcard}{other}"), &key) else {
        panic!("it is refused")
    };
    assert_eq!(read.chain, format!("{wildcard}{other}"));
}

#[test]
fn what_is_wrong_is_told_with_what_to_do() {
    let (good, good_key) = pair(&["shop.example.com"], |_| {});
    let (other, other_key) = pair(&["one.example", "*.two.example"], |_| {});
    let (nameless, nameless_key) = pair(&[], |_| {});
    let (old, old_key) = pair(&["shop.example.com"], |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 2, 3);
    });
    let (early, early_key) = pair(&["shop.example.com"], |params| {
        params.not_before = rcgen::date_time_ymd(2320, 1, 2);
        params.not_after = rcgen::date_time_ymd(2330, 1, 1);
    });
    let folder = tempfile::tempdir().unwrap();
    let source = source(folder.path());
    let mut told = String::new();
    let mut tell = |what: &str, certificate: &str, key: &str| {
        write(folder.path(), certificate, key);
        let problem = problem(&folder, &source);
        told.push_str(&format!("{what}: {problem}\n"));
    };
    tell("key of another", &good, &other_key);
    tell("for others", &other, &other_key);
    tell("for nobody", &nameless, &nameless_key);
    tell("expired", &old, &old_key);
    tell("early", &early, &early_key);
    tell("swapped", &good_key, &good);
    tell("empty", "", &good_key);
    tell("half", &good[..200], &good_key);
    tell("no key", &good, "hello");
    let encrypted = good_key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    tell("passphrase", &good, &encrypted);
    let letters = |text: &str| text.replace("MI", "!!");
    tell("broken", &letters(&good), &good_key);
    tell(
        "broken second",
        &format!("{good}{}", letters(&good)),
        &good_key,
    );
    tell("broken key", &good, &letters(&good_key));
    tell("large", &"#".repeat(64 * 1024 + 1), &good_key);
    fs::write(folder.path().join("shop.pem"), [0x30, 0x82, 0xff]).unwrap();
    told.push_str(&format!("DER: {}\n", problem(&folder, &source)));
    fs::remove_file(folder.path().join("shop.pem")).unwrap();
    told.push_str(&format!("missing: {}\n", problem(&folder, &source)));
    fs::create_dir(folder.path().join("shop.pem")).unwrap();
    told.push_str(&format!("folder: {}\n", problem(&folder, &source)));
    insta::assert_snapshot!(told);
}

#[test]
fn an_authority_is_at_least_one_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let roots = NamedFile::new(&FilePath::new("ca.pem").unwrap(), folder.path());
    let source = Source::Authority { roots };
    let path = folder.path().join("ca.pem");
    let (one, key) = pair(&["one"], |_| {});
    let (two, _) = pair(&["two"], |_| {});
    fs::write(&path, format!("{one}{key}{two}")).unwrap();
    let Ok(Read::Authority(read)) = source.read(SystemTime::now()) else {
        panic!("it is refused")
    };
    assert_eq!(read.roots, format!("{one}{two}"));

    for (text, expected) in [
        (key, "ca.pem: there is no certificate in it"),
        (
            format!("{one}{}", two.replace("MI", "!!")),
            "ca.pem: certificate 2 in it cannot be used",
        ),
    ] {
        fs::write(&path, text).unwrap();
        let told = problem(&folder, &source);
        assert!(told.starts_with(expected), "{told}");
    }
}

#[test]
fn the_end_of_a_certificate_is_told_in_time() {
    let (chain, _) = pair(&["shop.example.com"], |params| {
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 4, 1);
    });
    let day = |day: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(day * 86_400);
    // The days of 2026 begin with the 20,454th.
    let told = |number: u64| expires(&chain, day(20_454 + number));
    assert_eq!(told(70), None);
    assert_eq!(told(80).as_deref(), Some("expires on 2026-04-01: renew it"));
    assert_eq!(told(91).as_deref(), Some("expired on 2026-04-01: renew it"));
}

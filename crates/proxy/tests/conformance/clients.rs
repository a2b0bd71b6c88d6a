//! Clients and servers of HTTP that others wrote: curl, nghttp2's client, its server and its load.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use model::Protocol;

use crate::others::{is_there, origin, output};
use crate::support::client::Client;
use crate::support::http2::echo;
use crate::support::stage::Stage;
use crate::support::tls::{Signed, secure};
use crate::support::{eventually, free_address};

/// A proxy whose edge leads `localhost`, which programs know by themselves, to `backend`.
pub(crate) fn stage(
    backend: SocketAddr,
    protocol: Protocol,
    certificate: Option<&Signed>,
) -> Stage {
    Stage::prepared(&[(backend, protocol)], &[], |snapshot| {
        let mut route = snapshot.routes["a.test/"].clone();
        route.matching.host = model::HostPattern::new("localhost").unwrap();
        snapshot.routes.insert("localhost/".into(), route);
        if let Some(certificate) = certificate {
            secure(snapshot, &[("localhost", certificate)]);
        }
    })
}

/// A certificate for `localhost` that is its own authority: what these programs trust by name.
fn certificate() -> Signed {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    Signed {
        chain: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
    }
}

/// What curl says of an answer, after the answer itself.
const TOLD: &str = "|%{http_version} %{http_code}\n";

/// Runs curl with these words and returns what it says.
fn curl(words: &[&str]) -> (bool, String) {
    let mut curl = Command::new("curl");
    // No settings of whoever runs the tests.
    curl.args(["--disable", "--silent", "--show-error", "--max-time", "20"]);
    let (output, text) = output(curl.args(["--write-out", TOLD]).args(words));
    (output.status.success(), text)
}

fn said(words: &[&str]) -> String {
    let (succeeded, text) = curl(words);
    assert!(succeeded, "curl {words:?}: {text}");
    text
}

/// Many requests over one connection are tried in TLS only: without it this version of curl fails
/// at the second, also with nghttp2's own server.
#[test]
fn curl_is_answered_in_either_version_without_tls() {
    if !is_there("curl", "curl") {
        return;
    }
    let backend = origin();
    let stage = stage(backend.address, Protocol::Http, None);
    let url = |path: &str| format!("http://localhost:{}{path}", stage.edge.port());
    let (echo, knowing) = (url("/echo"), "--http2-prior-knowledge");
    assert_eq!(said(&["--http1.1", &echo]), "GET /echo |1.1 200\n");
    assert_eq!(said(&["--http1.0", &echo]), "GET /echo |1.1 200\n");
    assert_eq!(said(&[knowing, &echo]), "GET /echo |2 200\n");
    // It offers to change to HTTP/2, which is not accepted.
    assert_eq!(said(&["--http2", &echo]), "GET /echo |1.1 200\n");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("content");
    std::fs::write(&file, vec![b'c'; 3_000_000]).unwrap();
    let file = file.to_str().unwrap();
    let posted = format!("@{file}");
    let content = "c".repeat(3_000_000);
    for version in ["--http1.1", knowing] {
        let number = if version == knowing { "2" } else { "1.1" };
        // A body that waits to be continued.
        let text = said(&[version, "--data-binary", &posted, &echo]);
        assert!(
            text == format!("POST /echo {content}|{number} 200\n"),
            "POST in {number}"
        );
        let text = said(&[
            version,
            "--upload-file",
            file,
            "-H",
            "Transfer-Encoding: chunked",
            &echo,
        ]);
        assert!(
            text == format!("PUT /echo {content}|{number} 200\n"),
            "PUT in {number}"
        );
        let text = said(&[version, "--head", &url("/big/7")]).to_ascii_lowercase();
        assert!(text.contains("content-length: 7") && text.ends_with(&format!("|{number} 200\n")));
        let text = said(&[version, "--output", "/dev/null", &url("/big/20000000")]);
        assert_eq!(text, format!("|{number} 200\n"));
        if version == "--http1.1" {
            let many = format!("{}?[1-100]", url("/many"));
            let text = said(&[version, "--parallel", "--parallel-max", "50", &many]);
            assert_eq!(text.matches("|1.1 200\n").count(), 100, "{text}");
        }
    }
}

#[test]
fn curl_agrees_on_a_version_in_tls() {
    if !is_there("curl", "curl") {
        return;
    }
    let backend = origin();
    let certificate = certificate();
    let stage = stage(backend.address, Protocol::Http, Some(&certificate));
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("authority.pem");
    std::fs::write(&trusted, &certificate.chain).unwrap();
    let trusted = trusted.to_str().unwrap();
    let url = format!("https://localhost:{}/echo", stage.edge.port());
    for (words, version) in [
        (&["--http2"][..], "2"),
        (&["--http2", "--tls-max", "1.2"], "2"),
        (&["--http1.1"], "1.1"),
        (&["--http2", "--no-alpn"], "1.1"),
    ] {
        let words = [words, &["--cacert", trusted, &url]].concat();
        assert_eq!(
            said(&words),
            format!("GET /echo |{version} 200\n"),
            "{words:?}"
        );
    }
    let many = format!("{url}?[1-100]");
    let words = [
        "--parallel",
        "--parallel-max",
        "50",
        "--http2",
        "--cacert",
        trusted,
        &many,
    ];
    let text = said(&words);
    assert_eq!(text.matches("|2 200\n").count(), 100, "{text}");
    let (succeeded, text) = curl(&[&url]);
    assert!(!succeeded, "nobody has signed for it: {text}");
}

/// Runs nghttp with these words for one URL; how many answers of 200 it saw.
fn nghttp(words: &[&str], url: &str) -> usize {
    let (output, text) = output(Command::new("nghttp").arg("--verbose").args(words).arg(url));
    assert!(output.status.success(), "nghttp {words:?}: {text}");
    text.matches(":status: 200").count()
}

#[test]
fn nghttp_is_answered_in_each_of_its_ways() {
    if !is_there("nghttp2's client", "nghttp") {
        return;
    }
    let backend = origin();
    let stage = stage(backend.address, Protocol::Http, None);
    let url = format!("http://localhost:{}/echo", stage.edge.port());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("content");
    std::fs::write(&file, vec![b'c'; 300_000]).unwrap();
    let file = file.to_str().unwrap();
    for (words, count) in [
        (&[][..], 1),
        (&["--multiply=50"], 50),
        (&["--padding=200"], 1),
        (&["--no-dep", "--weight=3"], 1),
        (&["--window-bits=10", "--connection-window-bits=12"], 1),
        (&["--header-table-size=0"], 1),
        (&["--header-table-size=8192"], 1),
        (&["--encoder-header-table-size=0"], 1),
        (&["--max-concurrent-streams=1", "--multiply=5"], 5),
        (&["--data", file], 1),
        (&["--data", file, "--trailer=x-sum: 1"], 1),
        (&["--data", file, "--expect-continue"], 1),
        (&["--data", file, "--no-content-length", "--padding=255"], 1),
        (&["--header=cookie: a=1", "--header=cookie: b=2"], 1),
    ] {
        assert_eq!(nghttp(words, &url), count, "{words:?}");
    }
    assert_eq!(
        nghttp(&["--null-out"], &url.replace("echo", "big/3000000")),
        1
    );
}

/// A process that is ended with the test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// nghttp2's server with files of a folder.
fn nghttpd(folder: &std::path::Path, words: &[&str]) -> (Running, SocketAddr) {
    let address = free_address();
    let mut server = Command::new("nghttpd");
    server.args(["--no-tls", "--address=127.0.0.1", "--htdocs"]);
    server
        .arg(folder)
        .args(words)
        .arg(address.port().to_string());
    let server = Running(server.stdin(Stdio::null()).spawn().unwrap());
    let listens = || std::net::TcpStream::connect(address).is_ok();
    eventually("nghttpd listens", listens);
    (server, address)
}

#[test]
fn files_of_nghttpd_arrive_whole() {
    if !is_there("nghttp2's server", "nghttpd") || !is_there("curl", "curl") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..5_000_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    std::fs::write(folder.path().join("file"), &content).unwrap();
    std::fs::write(folder.path().join("small"), "small").unwrap();
    for words in [
        &[][..],
        &["--padding=200"],
        &["--window-bits=10", "--connection-window-bits=11"],
        &["--max-concurrent-streams=1"],
        &["--header-table-size=0", "--encoder-header-table-size=0"],
        &["--trailer=x-sum: 1"],
        &["--early-response"],
        &["--echo-upload"],
    ] {
        let (_server, address) = nghttpd(folder.path(), words);
        let stage = stage(address, Protocol::Http2, None);
        let url = |name: &str| format!("http://localhost:{}/{name}", stage.edge.port());
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            let arrived = folder.path().join("arrived");
            let told = said(&[version, "--output", arrived.to_str().unwrap(), &url("file")]);
            assert!(told.ends_with(" 200\n"), "{words:?} {version}: {told}");
            assert!(
                std::fs::read(&arrived).unwrap() == content,
                "{words:?} {version}"
            );
            let told = said(&[version, &url("small")]);
            assert!(told.starts_with("small|"), "{words:?} {version}: {told}");
        }
        let absent = Client::connect(stage.edge).get("localhost", "/absent");
        assert_eq!(absent.status, 404, "{words:?}");
    }
}

/// Runs h2load: all of so many requests must succeed.
fn h2load(count: usize, words: &[&str], url: &str) {
    let mut load = Command::new("h2load");
    load.arg(format!("--requests={count}")).args(words).arg(url);
    let (output, text) = output(&mut load);
    assert!(output.status.success(), "{text}");
    let all = format!("{count} done, {count} succeeded, 0 failed, 0 errored, 0 timeout");
    assert!(text.contains(&all), "{text}");
    assert!(
        text.contains(&format!("status codes: {count} 2xx")),
        "{text}"
    );
}

#[test]
fn all_requests_of_h2load_succeed() {
    if !is_there("nghttp2's load", "h2load") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("content");
    std::fs::write(&file, "content").unwrap();
    let data = format!("--data={}", file.display());
    // No more connections at once to a backend whose queue of them is short.
    let hundred = ["--clients=1", "--max-concurrent-streams=100"];
    let backend = origin();
    let plain = stage(backend.address, Protocol::Http, None);
    let url = format!("http://localhost:{}/echo", plain.edge.port());
    h2load(4000, &hundred, &url);
    h2load(1000, &[&hundred[..], &[&data]].concat(), &url);
    h2load(2000, &["--clients=100", "--h1"], &url);
    h2load(300, &hundred, &url.replace("echo", "big/100000"));
    let certificate = certificate();
    let secure = stage(backend.address, Protocol::Http, Some(&certificate));
    let url = format!("https://localhost:{}/echo", secure.edge.port());
    h2load(2000, &hundred, &url);
    h2load(500, &["--clients=50", "--h1"], &url);
    let hundreds = ["--clients=4", "--max-concurrent-streams=128"];
    let both = stage(echo(), Protocol::Http2, None);
    let url = format!("http://localhost:{}/echo", both.edge.port());
    h2load(4000, &hundreds, &url);
    h2load(1000, &[&hundreds[..], &[&data]].concat(), &url);
    h2load(2000, &["--clients=100", "--h1"], &url);
    if !is_there("nghttp2's server", "nghttpd") {
        return;
    }
    let (_server, address) = nghttpd(folder.path(), &[]);
    let both = stage(address, Protocol::Http2, None);
    let url = format!("http://localhost:{}/content", both.edge.port());
    h2load(4000, &hundreds, &url);
    h2load(2000, &["--clients=100", "--h1"], &url);
}

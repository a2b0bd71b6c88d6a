//! TLS at the edge and to instances, and the files that it needs: refused, renewed, and gone.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::http::{self, Answer};
use crate::support::processes::kill;
use crate::support::{AppFolder, LONG, Machine, left_out, until};

const HOST: &str = "shop.localhost";

/// A certificate that signs itself, and its key.
struct Pair {
    certificate: String,
    key: String,
}

impl Pair {
    fn new(name: &str) -> Self {
        Self::for_names(&[name])
    }

    fn for_names(names: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).unwrap();
        Self {
            certificate: params.self_signed(&key).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    fn write(&self, folder: &Path) {
        fs::create_dir_all(folder.join("tls")).unwrap();
        fs::write(folder.join("tls/shop.key"), &self.key).unwrap();
        fs::write(folder.join("tls/shop.pem"), &self.certificate).unwrap();
    }
}

/// One instance that is exposed with a certificate, and more lines of the service.
fn shop(lines: &str) -> AppFolder {
    AppFolder::new(&declaration(lines))
}

fn declaration(lines: &str) -> String {
    format!(
        r#"
app = "shop"
[services.web]
run    = "./trivial"
expose = {{ host = "{HOST}", certificate = "tls/shop.pem", key = "tls/shop.key" }}
health = {{ path = "/healthz", interval = "250ms" }}
{lines}
"#
    )
}

/// What a command printed, without the ends of lines that it was wrapped at.
fn unwrapped(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A GET in TLS of a client that trusts only this certificate; none if the handshake fails.
fn get_tls(machine: &Machine, trusted: &Pair) -> Option<Answer> {
    get_of(machine, trusted, HOST)
}

/// The same of any host.
fn get_of(machine: &Machine, trusted: &Pair, host: &str) -> Option<Answer> {
    let root = CertificateDer::from_pem_slice(trusted.certificate.as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(root).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect_timeout(&machine.edge_tls, LONG).ok()?;
    stream.set_read_timeout(Some(LONG)).unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    http::converse(StreamOwned::new(connection, stream), request.as_bytes()).ok()
}

/// Whether the edge shows this certificate, and serves.
fn serves(machine: &Machine, pair: &Pair) -> bool {
    get_tls(machine, pair).is_some_and(|answer| answer.status == 200)
}

#[test]
fn hosts_that_a_certificate_names_are_served_with_it_and_those_in_the_clear_are_led_there() {
    let machine = Machine::new();
    let routes = r#"
[[routes]]
host = "*.shop.localhost"
to   = "web"

[[routes]]
host     = "*.shop.localhost"
redirect = { https = true, status = 308 }
"#;
    let app = shop(routes);
    let pair = Pair::for_names(&[HOST, "*.shop.localhost"]);
    pair.write(app.folder());
    machine.up(&app);
    for host in [HOST, "www.shop.localhost", "other.shop.localhost"] {
        let answer = get_of(&machine, &pair, host);
        assert_eq!(answer.map(|answer| answer.status), Some(200), "{host}");
    }
    // The wildcard of a certificate is for one label.
    assert!(get_of(&machine, &pair, "a.www.shop.localhost").is_none());
    let moved = machine.get("www.shop.localhost", "/x?y");
    let there = format!("https://www.shop.localhost:{}/x?y", machine.edge_tls.port());
    assert_eq!(
        (moved.status, moved.header("location")),
        (308, Some(there.as_str()))
    );
    assert_eq!(machine.get(HOST, "/").status, 200);

    // Without its routes the other hosts are not served, in TLS as little as in the clear.
    app.declare(&declaration(""));
    machine.ok(&["deploy", app.path()]);
    assert!(get_of(&machine, &pair, "www.shop.localhost").is_none());
    assert!(serves(&machine, &pair));
}

#[test]
fn a_host_with_a_certificate_is_served_in_tls_and_in_the_clear() {
    let machine = Machine::new();
    let app = shop("");
    let pair = Pair::new(HOST);
    pair.write(app.folder());
    let url = format!("https://{HOST}:{}/", machine.edge_tls.port());
    let plan = machine.ok(&["plan", app.path()]);
    assert!(
        plan.contains("      at https://shop.localhost:8443/\n"),
        "{plan}"
    );
    let up = machine.up(&app);
    assert_eq!(up, format!("shop is up at release 1\n  web  {url}\n"));

    let answer = get_tls(&machine, &pair).unwrap();
    assert_eq!(answer.body, machine.get(HOST, "/").body);
    assert!(
        !serves(&machine, &Pair::new(HOST)),
        "a client trusts anything"
    );
    let status = machine.status();
    let edge_tls = &status["server"]["edge_tls"];
    assert_eq!(
        edge_tls.as_str(),
        Some(machine.edge_tls.to_string().as_str())
    );
    assert_eq!(
        status["apps"][0]["services"][0]["url"].as_str(),
        Some(url.as_str())
    );
    let doctor = machine.ok(&["doctor"]);
    let expected = format!("ok    edge for TLS: {} can be served\n", machine.edge_tls);
    assert!(doctor.contains(&expected), "{doctor}");

    // An address that belongs to somebody else is told before anything is started.
    let other = Machine::new();
    let (plain, tls) = (other.edge.to_string(), machine.edge_tls.to_string());
    let words = ["up", "--edge", &plain, "--edge-tls", &tls, app.path()];
    other.without_a_trace(|| {
        other.run(&words).failed(&[
            &format!("error: the edge for TLS cannot listen on {tls}"),
            "or give another address with --edge-tls",
        ]);
    });
    let words = ["up", "--edge-tls", &plain, app.path()];
    machine.run(&words).failed(&[
        &format!("error: a server runs already, with its edge for TLS on {tls}"),
        "hint: leave --edge-tls out",
    ]);
    machine.is_consistent();
}

#[test]
fn files_that_cannot_be_used_are_refused_and_nothing_changes() {
    let machine = Machine::new();
    let app = shop("");
    let tls = app.folder().join("tls");
    let missing = machine.without_a_trace(|| machine.try_up(&app));
    let expected = format!("error: there is no {}", tls.join("shop.pem").display());
    missing.invalid(&["roadbed.toml:5:", &expected]);

    let (good, other) = (Pair::new(HOST), Pair::new("other.localhost"));
    let mixed = Pair {
        certificate: good.certificate.clone(),
        key: other.key.clone(),
    };
    let cases = [
        (
            &mixed,
            "error: tls/shop.key: it is not the key of the certificate in tls/shop.pem",
            "hint: name the key that the certificate was asked for with",
        ),
        (
            &other,
            "error: tls/shop.pem: the certificate is for other.localhost, not for shop.localhost",
            "hint: use one with shop.localhost as a subject alternative name",
        ),
    ];
    for (pair, message, hint) in &cases {
        pair.write(app.folder());
        let refused = machine.without_a_trace(|| machine.try_up(&app));
        refused.failed(&[message, hint]);
        let plan = machine.without_a_trace(|| machine.ok(&["plan", app.path()]));
        let refused = message.replace("error:", "refused now:");
        assert!(unwrapped(&plan).contains(&refused), "{plan}");
    }

    good.write(app.folder());
    machine.up(&app);
    let before = machine.status();
    for (pair, message, hint) in &cases {
        // Elsewhere, since what is served is watched.
        let next = shop("");
        pair.write(next.folder());
        machine
            .run(&["deploy", next.path()])
            .failed(&[message, hint]);
        // What a build makes is known only when it is made.
        let build = shop("build = \"cp -r made/. .\"");
        pair.write(&build.folder().join("made"));
        machine
            .run(&["deploy", build.path()])
            .failed(&[message, hint]);
    }
    assert_eq!(machine.status(), before);
    assert!(serves(&machine, &good));
    machine.is_consistent();

    let build = shop("build = \"cp -r made/. .\"");
    let next = Pair::new(HOST);
    next.write(&build.folder().join("made"));
    machine.ok(&["deploy", build.path()]);
    assert!(serves(&machine, &next));
}

#[test]
fn renewed_files_are_served_without_a_deploy_and_half_of_them_is_not() {
    let machine = Machine::new();
    let app = shop("");
    let (first, second) = (Pair::new(HOST), Pair::new(HOST));
    first.write(app.folder());
    machine.up(&app);
    let page = get_tls(&machine, &first).unwrap().body;

    let tls = app.folder().join("tls");
    fs::write(tls.join("shop.pem"), &second.certificate).unwrap();
    let told = "waits: web: the certificate of shop.localhost stays as it was: tls/shop.key: it is \
                not the key of the certificate in tls/shop.pem";
    let waits = || unwrapped(&machine.ok(&["status", "shop"]));
    until("the warning", || waits().contains(told));
    assert!(serves(&machine, &first));

    fs::write(tls.join("shop.key"), &second.key).unwrap();
    until("the new certificate is served", || {
        serves(&machine, &second)
    });
    until("the warning is over", || !waits().contains("waits:"));
    // The same instance, in the same release.
    assert_eq!(get_tls(&machine, &second).unwrap().body, page);
    assert_eq!(machine.status()["apps"][0]["release"], 1);
}

#[test]
fn a_certificate_outlives_its_files_and_the_server() {
    let machine = Machine::new();
    let app = shop("");
    let pair = Pair::new(HOST);
    pair.write(app.folder());
    machine.up(&app);
    kill(machine.server_pid());
    fs::remove_dir_all(app.folder().join("tls")).unwrap();
    assert!(serves(&machine, &pair));
    for lose_everything in [false, true] {
        if lose_everything {
            machine.lose_power();
            // What is served has to come from the server.
            fs::remove_dir_all(machine.home().join("proxy")).unwrap();
        }
        let _server = machine.start_server();
        until("it is served in TLS", || serves(&machine, &pair));
        until("that they are gone is told", || {
            let status = machine.status();
            let waits = status["apps"][0]["waits"].as_array().unwrap().clone();
            let told = "the certificate of shop.localhost stays as it was: tls/shop.pem: there is";
            waits
                .iter()
                .any(|wait| wait["reason"].as_str().unwrap().starts_with(told))
        });
        assert!(serves(&machine, &pair));
    }
}

#[test]
fn a_host_of_two_apps_has_one_certificate() {
    let machine = Machine::new();
    let app = shop("");
    let pair = Pair::new(HOST);
    pair.write(app.folder());
    machine.up(&app);
    let second = |certificate: &str| {
        let app = AppFolder::new(&format!(
            "app = \"second\"\n[services.web]\nrun = \"./trivial\"\n\
             expose = {{ host = \"{HOST}\", path = \"/second\"{certificate} }}\n"
        ));
        Pair::new(HOST).write(app.folder());
        app
    };
    let own = ", certificate = \"tls/shop.pem\", key = \"tls/shop.key\"";
    machine.try_up(&second(own)).failed(&[
        &format!(
            "error: shop has a certificate for {HOST} already: {}/tls/shop.pem",
            fs::canonicalize(app.folder()).unwrap().display()
        ),
        "hint: it holds for this app too: remove `certificate` and `key`",
    ]);
    machine.up(&second(""));
    assert!(serves(&machine, &pair));
}

/// A program whose instances speak TLS, with the files of [`Pair::write`].
const SPEAKS_TLS: &str = r#"
import os, ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        # Python ends a connection without a word in TLS, which looks as if it had been cut.
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"in TLS")

server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("tls/shop.pem", "tls/shop.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"#;

#[test]
fn instances_that_speak_tls_are_verified() {
    let python = std::process::Command::new("python3")
        .arg("--version")
        .output();
    if !python.is_ok_and(|output| output.status.success()) {
        return left_out("an instance that speaks TLS: there is no python3");
    }
    let machine = Machine::new();
    let app = AppFolder::new("");
    let declare = |name: &str, deadline: u32| {
        app.declare(&format!(
            "app = \"inner\"\n[services.web]\nrun = \"python3 speaks_tls.py\"\n\
             expose = {{ host = \"{HOST}\" }}\n\
             tls = {{ authority = \"tls/ca.pem\", name = \"{name}\" }}\n\
             health = {{ path = \"/\", interval = \"500ms\", deadline = \"{deadline}s\" }}\n"
        ));
    };
    fs::write(app.folder().join("speaks_tls.py"), SPEAKS_TLS).unwrap();
    let own = Pair::new("inner.internal");
    own.write(app.folder());
    let authority = app.folder().join("tls/ca.pem");
    fs::write(&authority, &own.certificate).unwrap();
    declare("inner.internal", 30);
    machine.up(&app);
    let answer = machine.get(HOST, "/");
    assert_eq!(answer.body, "in TLS", "{answer:?}");

    // Whoever has another name, or another authority, is somebody else.
    declare("other.internal", 1);
    machine.run(&["deploy", app.path()]).failed(&[
        "release 2 of inner failed: web.2.1 not ready within 1s",
        "its last probe said: TLS with 127.0.0.1:",
        "certificate not valid for name \"other.internal\"",
        "release 1 goes on running",
    ]);
    assert_eq!(machine.get(HOST, "/").body, "in TLS");

    // The file is watched: who is trusted can change, and the other way round, without a deploy.
    let other = Pair::new("inner.internal").certificate;
    fs::write(&authority, &other).unwrap();
    until("the instance is not trusted any more", || {
        let status = machine.ok(&["status", "inner"]);
        unwrapped(&status).contains("is not signed by its authority")
            && machine.get(HOST, "/").status == 503
    });
    fs::write(&authority, format!("{other}{}", own.certificate)).unwrap();
    until("it is again", || machine.get(HOST, "/").body == "in TLS");

    fs::remove_file(&authority).unwrap();
    let missing = machine.run(&["deploy", app.path()]);
    missing.invalid(&["roadbed.toml:5:"]);
}

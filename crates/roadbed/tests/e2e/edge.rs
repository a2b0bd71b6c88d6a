//! What the edge does by itself, from the file and the options to a real client: files that are
//! served, and whom it believes where requests come from.

use std::fs;
use std::process::Command;

use crate::support::apps::repository;
use crate::support::{AppFolder, Machine};

/// What curl is told, with its exit.
fn curl(machine: &Machine, words: &[&str], host: &str, path: &str) -> String {
    let at = format!("{host}:{}:127.0.0.1", machine.edge.port());
    let url = format!("http://{host}:{}{path}", machine.edge.port());
    let output = Command::new("curl")
        .args(["-sS", "--resolve", &at, "--max-time", "30"])
        .args(words)
        .arg(url)
        .output()
        .expect("curl is there");
    assert!(output.status.success(), "curl {words:?} {path}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A folder `public` with a page in it.
fn with_page(app: &AppFolder, page: &str) {
    let folder = std::path::Path::new(app.path()).join("public");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("index.html"), page).unwrap();
}

const SITE: &str = r#"
app = "site"
[services.pages]
static = { folder = "public", fallback = "index.html" }
expose = { host = "site.localhost" }
"#;

#[test]
fn a_site_is_served_without_a_program_and_gives_way_to_one_and_comes_back() {
    let machine = Machine::new();
    let app = AppFolder::new(SITE);
    let missing = machine.try_up(&app);
    assert_eq!(missing.code, Some(2), "{missing:?}");
    assert!(missing.stderr.contains("there is no "), "{missing:?}");
    with_page(&app, "one");
    let up = machine.up(&app);
    assert!(up.contains("http://site.localhost:"), "{up}");
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        assert_eq!(curl(&machine, &[version], "site.localhost", "/"), "one");
        assert_eq!(
            curl(&machine, &[version], "site.localhost", "/users/1"),
            "one"
        );
    }
    let status = machine.ok(&["status"]);
    assert!(
        status.contains("pages  files  http://site.localhost:"),
        "{status}"
    );
    assert!(machine.instances("site").is_empty());
    // No request is without an answer while a program takes its place.
    app.declare(&SITE.replace(
        "static = { folder = \"public\", fallback = \"index.html\" }",
        "run = \"./trivial\"",
    ));
    machine.ok(&["deploy", app.path()]);
    let told = curl(&machine, &[], "site.localhost", "/env?name=ROADBED_SERVICE");
    assert_eq!(told, "pages");
    app.declare(SITE);
    with_page(&app, "two");
    machine.ok(&["deploy", app.path()]);
    assert_eq!(curl(&machine, &[], "site.localhost", "/"), "two");
    assert!(machine.instances("site").is_empty());
}

#[test]
fn the_example_site_is_a_site() {
    let machine = Machine::new();
    let folder = repository().join("examples/site");
    let edge = machine.edge.to_string();
    let words = ["up", "--detach", "--edge", &edge, folder.to_str().unwrap()];
    let metrics = machine.metrics.to_string();
    machine.ok(&[&words[..], &["--metrics", &metrics]].concat());
    let host = "static.localhost";
    assert!(curl(&machine, &["-L"], host, "/guide").contains("<h1>Guide</h1>"));
    let style = curl(&machine, &["-D", "-"], host, "/assets/site-1.css");
    assert!(
        style.contains("cache-control: max-age=31536000, immutable\r\n"),
        "{style}"
    );
    assert_eq!(style.matches("cache-control").count(), 1);
}

#[test]
fn whom_the_edge_trusts_outlives_the_server() {
    let machine = Machine::new();
    let app = AppFolder::new(
        r#"
app = "told"
[services.web]
run    = "./trivial"
expose = { host = "told.localhost" }
"#,
    );
    let claim = [
        "-H",
        "X-Forwarded-For: 192.0.2.1",
        "-H",
        "X-Request-Id: mine",
    ];
    let told = |machine: &Machine| curl(machine, &claim, "told.localhost", "/headers");
    let [edge, metrics] = [machine.edge, machine.metrics].map(|address| address.to_string());
    let words = [
        "up",
        "--detach",
        "--edge",
        &edge,
        "--metrics",
        &metrics,
        app.path(),
    ];
    let refused = machine.run(&[&words[..], &["--trusted-hops", "10.0.0.1/8"]].concat());
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(
        refused.stderr.contains("the range is 10.0.0.0/8"),
        "{refused:?}"
    );
    machine.ok(&[&words[..], &["--trusted-hops", "127.0.0.0/8,::1"]].concat());
    let headers = told(&machine);
    assert!(
        headers.contains("x-forwarded-for: 192.0.2.1, 127.0.0.1"),
        "{headers}"
    );
    assert!(headers.contains("x-request-id: mine"), "{headers}");
    let status = machine.status();
    assert_eq!(status["server"]["trusted_hops"], "127.0.0.0/8,::1");
    let other = machine.run(&["up", "--detach", "--trusted-hops", "none", app.path()]);
    assert_eq!(other.code, Some(1), "{other:?}");
    assert!(
        other
            .stderr
            .contains("with 127.0.0.0/8,::1 as trusted hops"),
        "{other:?}"
    );
    // Everything ends; the next server goes on as the last one was told.
    machine.lose_power();
    let _server = machine.start_server();
    crate::support::until("the app is back", || {
        machine.get("told.localhost", "/headers").status == 200
    });
    let headers = told(&machine);
    assert!(
        headers.contains("x-forwarded-for: 192.0.2.1, 127.0.0.1"),
        "{headers}"
    );
}

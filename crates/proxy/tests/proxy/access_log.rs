//! The access log, next to what clients know: one line for each request, or a count of those that
//! it has not.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Request;
use model::Protocol;
use serde_json::{Value, json};

use crate::metrics::{Shown, value};
use crate::routing::Edge;
use crate::support::backend::Backend;
use crate::support::client::{Client, End};
use crate::support::http2::{self, ask, connect, get, run};
use crate::support::stage::Stage;
use crate::support::{Builder, Setup, eventually, free_address};

impl Shown {
    /// A proxy that logs as `access_log` says.
    fn logging(endpoints: &[(std::net::SocketAddr, Protocol)], access_log: &str) -> Self {
        let metrics = free_address();
        let limits = [&*format!("metrics={metrics}")];
        let stage = Stage::prepared(endpoints, &limits, |snapshot| {
            snapshot.telemetry.access_log = access_log.parse().unwrap();
        });
        Self { stage, metrics }
    }

    fn folder(&self) -> PathBuf {
        self.stage.setup.home.path().join("access-logs")
    }

    /// The lines that there are.
    fn lines(&self) -> Vec<Value> {
        lines(&self.folder())
    }

    /// Waits for so many lines.
    fn wait_for(&self, count: usize) -> Vec<Value> {
        eventually("the lines are written", || self.lines().len() >= count);
        let lines = self.lines();
        assert_eq!(lines.len(), count, "{lines:#?}");
        lines
    }

    fn dropped(&self) -> u64 {
        value(&self.page(), "roadbed_access_log_dropped_lines_total") as u64
    }
}

fn lines(folder: &Path) -> Vec<Value> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let text: String = files
        .iter()
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect()
}

/// The line of the one request for `path`.
#[track_caller]
fn of<'a>(lines: &'a [Value], path: &str) -> &'a Value {
    let mut found = lines.iter().filter(|line| line["path"] == path);
    let line = found.next().unwrap_or_else(|| panic!("{path}: {lines:#?}"));
    assert!(found.next().is_none(), "{path}: {lines:#?}");
    line
}

#[track_caller]
fn expect(line: &Value, fields: Value) {
    for (name, value) in fields.as_object().unwrap() {
        assert_eq!(&line[name], value, "{name}: {line:#}");
    }
}

#[test]
fn each_request_has_a_line_with_all_that_is_known_whichever_versions_are_spoken() {
    let (old, modern) = (Backend::echo("web"), http2::echo());
    for (address, protocol, version) in [
        (old.address, Protocol::Http, "HTTP/1.1"),
        (modern, Protocol::Http2, "HTTP/2"),
    ] {
        let shown = Shown::logging(&[(address, protocol)], "all");
        let edge = shown.stage.edge;
        let mut client = Client::connect(edge);
        client.send(
            "POST /old?token=secret HTTP/1.1\r\nHost: a.test:8080\r\nCookie: secret\r\n\
             Content-Length: 3\r\n\r\nabc",
        );
        let answered = client.answer();
        assert_eq!(answered.status, 200);
        let mut modern = 0;
        run(async {
            let client = connect(edge).await;
            let request = Request::put("http://a.test/new?token=secret");
            let answer = ask(&client, request, Some(b"12345")).await.unwrap();
            modern = answer.body.len();
        });
        assert_eq!(client.get("b.test", "/nowhere").status, 404);
        let lines = shown.wait_for(3);
        let common = json!({
            "from": "edge", "client": "127.0.0.1", "tls": false, "status": 200, "route": "a.test/",
            "app": "app", "service": "web", "instance": "app.web.1.1", "release": 1,
            "endpoint": address.to_string(), "endpoint_protocol": version,
            "retries": null, "reason": null, "cut": null, "trace_id": null,
        });
        for line in [of(&lines, "/old"), of(&lines, "/new")] {
            expect(line, common.clone());
            let [head, whole] = ["head_ms", "duration_ms"].map(|of| line[of].as_f64().unwrap());
            assert!(0.0 < head && head <= whole, "{line:#}");
            let time = line["time"].as_str().unwrap();
            assert!(time.len() == 27 && time.ends_with('Z'), "{time}");
        }
        let old = json!({
            "protocol": "HTTP/1.1", "method": "POST", "host": "a.test:8080",
            "request_bytes": 3, "response_bytes": answered.body.len(),
        });
        expect(of(&lines, "/old"), old);
        let new = json!({
            "protocol": "HTTP/2", "method": "PUT", "host": "a.test",
            "request_bytes": 5, "response_bytes": modern,
        });
        expect(of(&lines, "/new"), new);
        let nowhere = json!({
            "status": 404, "reason": "no-route", "app": null, "instance": null, "route": null,
        });
        expect(of(&lines, "/nowhere"), nowhere);
        let text = format!("{lines:?}");
        assert!(!text.contains("secret"), "{text}");
        let file = std::fs::read_dir(shown.folder()).unwrap().next().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let modes = (mode(&shown.folder()), mode(&file.unwrap().path()));
        assert_eq!(modes, (0o700, 0o600));
    }
}

#[test]
fn a_line_names_the_route_that_has_redirected_or_refused() {
    let to = json!({"path": {"whole": "/"}, "status": 308});
    let mut edge = Edge::new()
        .rule("a.test", json!({"path": "/old", "redirect": to}))
        .rule(
            "a.test",
            json!({"path": "/limited", "upstream": "app/web", "body_limit": 1}),
        );
    edge.builder.0.telemetry.access_log = "all".parse().unwrap();
    let setup = edge.serve();
    edge.asked("GET a.test /old", "x");
    let mut client = Client::connect(edge.address);
    client.send("POST /limited HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\n");
    assert_eq!(client.answer().status, 413);
    let folder = setup.home.path().join("access-logs");
    eventually("the lines are written", || lines(&folder).len() == 3);
    for line in &lines(&folder) {
        let expected = match line["path"] == "/old" {
            true => json!({"status": 308, "route": "000", "service": null}),
            false => json!({"status": 413, "route": "001", "service": "web"}),
        };
        expect(line, expected);
    }
}

#[test]
fn calls_between_services_name_their_caller() {
    let (mesh, backend) = (free_address(), Backend::echo("web"));
    let mut builder = Builder::generation(1)
        .mesh(mesh, "web")
        .http("web", &[backend.address]);
    builder.0.telemetry.access_log = "all".parse().unwrap();
    let setup = Setup::serving(&builder.0, &[]);
    Client::connect(mesh).get("anything", "/x");
    let folder = setup.home.path().join("access-logs");
    eventually("the line is written", || !lines(&folder).is_empty());
    let expected = json!({
        "from": "mesh", "caller": "app/caller", "service": "web", "route": null, "status": 200,
    });
    expect(&lines(&folder)[0], expected);
}

#[test]
fn what_fails_is_told_apart() {
    let backend = Backend::start(|connection| {
        while let Some((head, _)) = connection.request() {
            match head.split(' ').nth(1).unwrap() {
                "/cut" => {
                    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
                    return;
                }
                "/500" => connection.send("HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"),
                "/404" => connection.send("HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n"),
                _ => connection.answer("fine"),
            }
        }
    });
    for log in ["errors", "all"] {
        let shown = Shown::logging(&[(backend.address, Protocol::Http)], log);
        let edge = shown.stage.edge;
        let mut client = Client::connect(edge);
        for (path, status) in [("/200", 200), ("/404", 404), ("/500", 500)] {
            assert_eq!(client.get("a.test", path).status, status);
        }
        client.send("GET /cut HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(client.rest().1, End::Reset);
        run(async {
            let client = connect(edge).await;
            assert_eq!(get(&client, "http://a.test/500").await.head.status, 500);
        });
        let mut client = Client::connect(edge);
        client.send("no request\r\n\r\n");
        assert_eq!(client.answer().status, 400);
        let lines = shown.wait_for(if log == "all" { 6 } else { 4 });
        let cut = json!({ "cut": true, "status": 200, "response_bytes": 4 });
        expect(of(&lines, "/cut"), cut);
        let protocols = lines.iter().filter(|line| line["status"] == 500);
        let protocols: BTreeSet<_> = protocols.map(|line| line["protocol"].as_str()).collect();
        assert_eq!(protocols, [Some("HTTP/1.1"), Some("HTTP/2")].into());
        let unread = lines.iter().find(|line| line["status"] == 400).unwrap();
        expect(
            unread,
            json!({ "reason": "bad-request", "method": null, "path": null }),
        );
    }
}

#[test]
fn retries_and_the_last_endpoint_are_in_the_line() {
    let (nobody, backend) = (free_address(), Backend::echo("web"));
    let endpoints = [(nobody, Protocol::Http), (backend.address, Protocol::Http)];
    let shown = Shown::logging(&endpoints, "all");
    let mut client = Client::connect(shown.stage.edge);
    let mut asked = 0;
    loop {
        asked += 1;
        assert_eq!(client.get("a.test", &format!("/{asked}")).status, 200);
        let lines = shown.wait_for(asked);
        let instance = "app.web.1.2";
        assert!(
            lines.iter().all(|line| line["instance"] == instance),
            "{lines:#?}"
        );
        if lines.iter().any(|line| line["retries"] == 1) {
            return;
        }
        assert!(asked < 100, "the first of two is never chosen: {lines:#?}");
    }
}

#[test]
fn an_opened_websocket_has_its_line_when_it_ends() {
    let backend = Backend::start(|connection| {
        connection.head();
        connection.send("HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        while connection.exactly(5).is_some() {
            connection.send("pong");
        }
    });
    let shown = Shown::logging(&[(backend.address, Protocol::Http)], "all");
    let mut client = Client::connect(shown.stage.edge);
    client.send(
        "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    client.send("pings");
    assert_eq!(client.exactly(4), b"pong");
    assert_eq!(shown.lines().len(), 0);
    client.finish();
    client.rest();
    let lines = shown.wait_for(1);
    let expected = json!({
        "status": 101, "cut": null, "request_bytes": 5, "response_bytes": 4,
    });
    expect(&lines[0], expected);
}

#[test]
fn a_log_is_switched_on_and_off_while_requests_run_and_goes_on_after_a_crash() {
    let backend = Backend::echo("web");
    let mut shown = Shown::logging(&[(backend.address, Protocol::Http)], "off");
    let edge = shown.stage.edge;
    let mut client = Client::connect(edge);
    let set = |shown: &mut Shown, log: &str| {
        shown
            .stage
            .change(|snapshot| snapshot.telemetry.access_log = log.parse().unwrap());
    };
    client.get("a.test", "/1");
    set(&mut shown, "all");
    client.get("a.test", "/2");
    shown.wait_for(1);
    set(&mut shown, "off");
    client.get("a.test", "/3");
    set(&mut shown, "all");
    client.get("a.test", "/4");
    let lines = shown.wait_for(2);
    let paths: Vec<_> = lines
        .iter()
        .map(|line| line["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["/2", "/4"]);
    drop(client);
    shown.stage.setup.crash_and_restart();
    eventually("the proxy is back", || {
        std::net::TcpStream::connect(edge).is_ok()
    });
    Client::connect(edge).get("a.test", "/5");
    of(&shown.wait_for(3), "/5");
}

#[test]
fn what_was_handed_over_is_written_when_the_proxy_ends() {
    let backend = Backend::echo("web");
    let mut shown = Shown::logging(&[(backend.address, Protocol::Http)], "all");
    Client::connect(shown.stage.edge).get("a.test", "/");
    shown.stage.setup.proxy.terminate();
    assert!(shown.stage.setup.proxy.0.wait().unwrap().success());
    assert_eq!(shown.lines().len(), 1);
}

/// Makes requests from several threads, half of them in HTTP/2, and returns how many were answered.
fn load(edge: std::net::SocketAddr, each: u64, path: &str) -> u64 {
    let answered = Arc::new(AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let answered = answered.clone();
            scope.spawn(move || match thread % 2 {
                0 => {
                    let mut client = Client::connect(edge);
                    for _ in 0..each {
                        assert_eq!(client.get("a.test", path).status, 200);
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                }
                _ => run(async {
                    let client = connect(edge).await;
                    for _ in 0..each {
                        let answer = get(&client, &format!("http://a.test{path}")).await;
                        assert_eq!(answer.head.status, 200);
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                }),
            });
        }
    });
    answered.load(Ordering::Relaxed)
}

#[test]
fn under_load_each_request_has_a_line_or_is_counted_as_dropped() {
    let backend = Backend::echo("web");
    let shown = Shown::logging(&[(backend.address, Protocol::Http)], "all");
    let answered = load(shown.stage.edge, 500, "/some/path");
    eventually("every request is accounted for", || {
        shown.lines().len() as u64 + shown.dropped() >= answered
    });
    let written = value(&shown.page(), "roadbed_access_log_lines_total");
    assert_eq!(shown.lines().len() as u64 + shown.dropped(), answered);
    assert_eq!(written as usize, shown.lines().len());
}

#[test]
fn a_writer_that_stalls_stops_no_request_and_what_it_misses_is_counted() {
    let backend = Backend::echo("web");
    let shown = Shown::logging(&[(backend.address, Protocol::Http)], "all");
    std::fs::create_dir(shown.folder()).unwrap();
    // Whoever opens this for writing waits until somebody reads it.
    let pipe = shown.folder().join("000000000001.jsonl");
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, 0o600.into(), 0).unwrap();
    // More lines than there is room for: each is longer than its path.
    let path = format!("/{}", "x".repeat(1000));
    let answered = load(shown.stage.edge, 500, &path);
    eventually("some are dropped", || shown.dropped() > 0);
    let lines = Arc::new(AtomicU64::new(0));
    let count = lines.clone();
    std::thread::spawn(move || {
        let file = std::fs::File::open(pipe).unwrap();
        for line in BufReader::new(file).lines() {
            serde_json::from_str::<Value>(&line.unwrap()).unwrap();
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    eventually("every request is accounted for", || {
        lines.load(Ordering::Relaxed) + shown.dropped() >= answered
    });
    assert_eq!(lines.load(Ordering::Relaxed) + shown.dropped(), answered);
    // And it goes on.
    assert_eq!(load(shown.stage.edge, 1, "/after"), 4);
    eventually("all of them are there", || {
        lines.load(Ordering::Relaxed) + shown.dropped() == answered + 4
    });
}

#[test]
fn a_log_that_cannot_be_written_stops_no_request_and_is_counted() {
    let backend = Backend::echo("web");
    let shown = Shown::logging(&[(backend.address, Protocol::Http)], "all");
    // In the place of the folder there is a file.
    std::fs::write(shown.folder(), "").unwrap();
    assert_eq!(load(shown.stage.edge, 5, "/"), 20);
    eventually("they are counted", || shown.dropped() == 20);
    std::fs::remove_file(shown.folder()).unwrap();
    assert_eq!(load(shown.stage.edge, 5, "/"), 20);
    eventually("they are written", || {
        let lines = shown.lines().len() as u64;
        lines > 0 && lines + shown.dropped() == 40
    });
}

#[test]
fn of_a_sampled_log_the_share_is_about_what_was_declared() {
    let backend = Backend::echo("web");
    let mut shown = Shown::logging(&[(backend.address, Protocol::Http)], "25%");
    assert_eq!(load(shown.stage.edge, 250, "/"), 1000);
    // All that there will be is written when it has ended.
    shown.stage.setup.proxy.terminate();
    assert!(shown.stage.setup.proxy.0.wait().unwrap().success());
    let written = shown.lines().len();
    // 250 of 1,000, and 7 times the standard deviation.
    assert!((154..346).contains(&written), "{written} of 1,000");
}

//! Each answer of the proxy itself, provoked through the real proxy over HTTP/1.1 and HTTP/2: its
//! status and what `roadbed-reason` says. What there has to be is the table of `docs/edge.md`, in
//! which a test of `GatewayError` looks for each of its kinds: none can be forgotten here.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol as Extended;
use http::{Request, request};
use model::{Connections, Overload, Protocol, ServedFiles, Upstream};
use serde_json::{Value, json};

use crate::overload::{Crowd, Narrow, limited};
use crate::pools;
use crate::support::backend::Backend;
use crate::support::client::Client;
use crate::support::http2::{ask, connect, echo, get, run};
use crate::support::stage::{Stage, URL};
use crate::support::tls::{self, Authority, agree, secure, trusting};
use crate::support::told::told;
use crate::support::{Builder, PATIENCE, Setup, eventually, free_address, upstream_id};

/// What cannot happen over HTTP/2: it has no version in a request, and a head that does not end is
/// no request.
const NOT_IN_HTTP2: [(u16, &str); 2] = [(408, "slow-request"), (505, "bad-request")];

/// A status, and a reason.
type Shown = (u16, String);

/// What was told over each version.
#[derive(Debug, Default)]
struct Seen {
    old: BTreeSet<Shown>,
    new: BTreeSet<Shown>,
}

impl Seen {
    #[track_caller]
    fn over_http1(&mut self, expected: (u16, &str), told: (u16, Option<&str>)) {
        note(&mut self.old, expected, told);
    }

    #[track_caller]
    fn over_http2(&mut self, expected: (u16, &str), told: (u16, Option<&str>)) {
        note(&mut self.new, expected, told);
    }

    /// Asks as [`told`] does.
    #[track_caller]
    fn asked(&mut self, edge: SocketAddr, request: &str, expected: (u16, &str)) {
        let [old, new] = told(edge, request);
        self.over_http1(expected, (old.status, Some(old.field("roadbed-reason"))));
        self.over_http2(expected, (new.status, Some(new.field("roadbed-reason"))));
    }

    /// Sends these bytes over HTTP/1.1.
    #[track_caller]
    fn sent(&mut self, edge: SocketAddr, bytes: &str, expected: (u16, &str)) {
        let mut client = Client::connect(edge);
        client.offer(bytes);
        let answer = client.answer();
        let reason = answer.field("roadbed-reason");
        self.over_http1(expected, (answer.status, reason));
    }

    /// Sends `request` over HTTP/2, with this content.
    #[track_caller]
    fn streamed(
        &mut self,
        edge: SocketAddr,
        request: request::Builder,
        body: Option<&'static [u8]>,
        expected: (u16, &str),
    ) {
        run(async {
            let answer = ask(&connect(edge).await, request, body).await.unwrap();
            let status = answer.head.status.as_u16();
            self.over_http2(expected, (status, answer.field("roadbed-reason")));
        });
    }
}

#[track_caller]
fn note(all: &mut BTreeSet<Shown>, expected: (u16, &str), told: (u16, Option<&str>)) {
    assert_eq!((told.0, told.1.unwrap_or_default()), expected);
    all.insert((expected.0, expected.1.to_owned()));
}

/// What the documents say that there is.
fn documented() -> BTreeSet<Shown> {
    let page = include_str!("../../../../docs/edge.md");
    let mut all = BTreeSet::new();
    for line in page.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, statuses, reason, ..] = cells[..] else {
            continue;
        };
        let reason = reason
            .strip_prefix('`')
            .and_then(|rest| rest.strip_suffix('`'));
        for status in statuses.split(", ") {
            if let (Ok(status), Some(reason)) = (status.parse(), reason) {
                all.insert((status, reason.to_owned()));
            }
        }
    }
    all
}

#[test]
fn each_answer_of_the_proxy_itself_has_its_status_and_reason_in_both_versions() {
    let mut seen = Seen::default();
    by_what_leads_nowhere(&mut seen);
    by_what_instances_do(&mut seen);
    by_rules_of_routes(&mut seen);
    by_requests_that_break_rules(&mut seen);
    by_files(&mut seen);
    by_a_head_that_does_not_end(&mut seen);
    by_another_certificate(&mut seen);
    by_queues(&mut seen);
    by_overload(&mut seen);
    let mut expected = documented();
    assert_eq!(seen.old, expected, "over HTTP/1.1");
    for (status, reason) in NOT_IN_HTTP2 {
        assert!(expected.remove(&(status, reason.to_owned())), "{reason}");
    }
    assert_eq!(seen.new, expected, "over HTTP/2");
}

/// A proxy with an edge at this address, whose clients are trusted.
fn edge(builder: Builder, address: SocketAddr, limits: &[&str]) -> Setup {
    let mut builder = builder.edge(address);
    let listener = builder.0.listeners.get_mut("edge").unwrap();
    listener.trusted = "127.0.0.1".parse().unwrap();
    Setup::serving(&builder.0, limits)
}

fn by_what_leads_nowhere(seen: &mut Seen) {
    let at = free_address();
    let web = Backend::echo("web");
    let builder = Builder::generation(1)
        .http("web", &[web.address])
        .http("none", &[])
        .tcp("bytes", &[web.address])
        .route("web.test", "/", "web")
        .route("none.test", "/", "none")
        .route("bytes.test", "/", "bytes");
    let _setup = edge(builder, at, &[]);
    seen.asked(at, "GET other.test /", (404, "no-route"));
    seen.asked(at, "GET none.test /", (503, "no-healthy-endpoint"));
    seen.asked(at, "GET bytes.test /", (502, "wrong-protocol"));
    let last_hop = "web.test /\nMax-Forwards: 0";
    seen.asked(at, &format!("OPTIONS {last_hop}"), (200, "max-forwards"));
    seen.asked(at, &format!("TRACE {last_hop}"), (501, "max-forwards"));
    let way = ["127.0.0.1"; 40].join(", ");
    let circle = format!("GET web.test /\nX-Forwarded-For: {way}");
    seen.asked(at, &circle, (508, "loop"));
    assert_eq!(web.received(), [""; 0], "nothing of it was passed on");
}

fn by_what_instances_do(seen: &mut Seen) {
    let at = free_address();
    let ends = Backend::start(|connection| {
        connection.request();
    });
    let breaks = Backend::start(|connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n");
    });
    let says_nothing = Backend::start(|connection| connection.drain());
    let soon = Duration::from_millis(50);
    let builder = Builder::generation(1)
        .http("dead", &[free_address()])
        .http("ends", &[ends.address])
        .http("breaks", &[breaks.address])
        .upstream("silent", Protocol::Http, soon, &[says_nothing.address])
        .upstream("modern", Protocol::Http2, PATIENCE, &[echo()])
        .route("dead.test", "/", "dead")
        .route("ends.test", "/", "ends")
        .route("breaks.test", "/", "breaks")
        .route("silent.test", "/", "silent")
        .route("modern.test", "/", "modern");
    let _setup = edge(builder, at, &[]);
    seen.asked(at, "GET dead.test /", (502, "connect-failed"));
    seen.asked(at, "GET ends.test /", (502, "backend-closed"));
    seen.asked(at, "GET breaks.test /", (502, "bad-response"));
    seen.asked(at, "GET silent.test /", (504, "timeout"));
    let expected = (502, "no-websocket");
    let opening = "GET / HTTP/1.1\r\nHost: modern.test\r\nConnection: Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    seen.sent(at, opening, expected);
    run(async {
        let client = connect(at).await;
        // Its settings have arrived with the first answer.
        get(&client, "http://modern.test/").await;
        let opening = Request::builder()
            .method("CONNECT")
            .uri("http://modern.test/")
            .extension(Extended::from_static("websocket"))
            .header("sec-websocket-version", "13");
        let mut client = client.ready().await.unwrap();
        let opened = client.send_request(opening.body(()).unwrap(), false);
        let (response, _stream) = opened.unwrap();
        let head = response.await.unwrap().into_parts().0;
        let reason = head.headers["roadbed-reason"].to_str().unwrap();
        seen.over_http2(expected, (head.status.as_u16(), Some(reason)));
    });
}

fn by_rules_of_routes(seen: &mut Seen) {
    let at = free_address();
    let says_nothing = Backend::start(|connection| connection.drain());
    let soon = json!({"secs": 0, "nanos": 50_000_000});
    let limit = json!({"requests": 1, "per": "hour", "burst": 1, "by": "route"});
    let rule = |key: &str, value: &Value| json!({"upstream": "app/web", key: value});
    let builder = Builder::generation(1)
        .upstream("web", Protocol::Http, PATIENCE, &[says_nothing.address])
        .rule("deadline.test", rule("deadline", &soon))
        .rule("idle.test", rule("idle_timeout", &soon))
        .rule("small.test", rule("body_limit", &json!(3)))
        .rule("rated.test", rule("rate_limit", &limit));
    let _setup = edge(builder, at, &[]);
    seen.asked(at, "GET deadline.test /", (504, "deadline"));
    let put = |host: &str| format!("PUT / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\n\r\n");
    seen.sent(at, &(put("idle.test") + "abc"), (408, "idle-timeout"));
    seen.sent(at, &(put("small.test") + "four"), (413, "body-too-large"));
    let put = |host: &str| Request::put(format!("http://{host}/")).header("content-length", "4");
    seen.streamed(
        at,
        put("small.test"),
        Some(b"four"),
        (413, "body-too-large"),
    );
    run(async {
        let mut client = connect(at).await.ready().await.unwrap();
        let request = put("idle.test").body(()).unwrap();
        let (response, mut stream) = client.send_request(request, false).unwrap();
        stream.send_data(Bytes::from_static(b"abc"), false).unwrap();
        let head = response.await.unwrap().into_parts().0;
        let reason = head.headers["roadbed-reason"].to_str().unwrap();
        seen.over_http2((408, "idle-timeout"), (head.status.as_u16(), Some(reason)));
    });
    // The first is let through, and waits for its answer.
    let mut first = Client::connect(at);
    first.send("GET / HTTP/1.1\r\nHost: rated.test\r\n\r\n");
    eventually("it has arrived", || {
        let received = says_nothing.received().concat();
        received.contains("Host: rated.test\r\n")
    });
    seen.asked(at, "GET rated.test /", (429, "rate-limited"));
}

fn by_requests_that_break_rules(seen: &mut Seen) {
    let at = free_address();
    let web = Backend::echo("web");
    let builder = Builder::generation(1)
        .http("web", &[web.address])
        .route("a.test", "/", "web");
    let _setup = edge(builder, at, &[]);
    let long = "a".repeat(proxy::limits::TARGET_BYTES);
    let target = format!("GET a.test /{long}");
    seen.asked(at, &target, (414, "bad-request"));
    let expectation = "GET a.test /\nExpect: miracles";
    seen.asked(at, expectation, (417, "bad-request"));
    let many = "\nX: y".repeat(proxy::limits::HEAD_FIELDS + 1);
    let many = format!("GET a.test /{many}");
    seen.asked(at, &many, (431, "bad-request"));
    let hosts = "GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n";
    seen.sent(at, hosts, (400, "bad-request"));
    let connect = "CONNECT a.test:80 HTTP/1.1\r\nHost: a.test\r\n\r\n";
    seen.sent(at, connect, (501, "bad-request"));
    let version = "GET / HTTP/1.2\r\nHost: a.test\r\n\r\n";
    seen.sent(at, version, (505, "bad-request"));
    let hosts = Request::get("http://a.test/").header("host", "b.test");
    seen.streamed(at, hosts, None, (400, "bad-request"));
    let connect = Request::connect("a.test:80");
    seen.streamed(at, connect, Some(b""), (501, "bad-request"));
    assert_eq!(web.received(), [""; 0], "nothing of it was passed on");
}

fn by_files(seen: &mut Seen) {
    let (at, folder) = (free_address(), tempfile::tempdir().unwrap());
    fs::create_dir(folder.path().join("public")).unwrap();
    fs::write(folder.path().join("public/there"), "there").unwrap();
    let files: ServedFiles = serde_json::from_value(json!({
        "app_folder": folder.path(), "folder": "public", "cache_control": "no-cache",
    }))
    .unwrap();
    let site = Upstream {
        protocol: Protocol::Http,
        timeout: PATIENCE,
        resilience: Default::default(),
        endpoints: Default::default(),
        files: Some(files),
    };
    let mut builder = Builder::generation(1).route("a.test", "/", "site");
    builder.0.upstreams.insert(upstream_id("site"), site);
    let setup = edge(builder, at, &[]);
    seen.asked(at, "GET a.test /none", (404, "no-file"));
    seen.asked(at, "DELETE a.test /there", (405, "method-not-allowed"));
    // Whoever runs this may be one to whom no permission is denied: there are no descriptors left.
    let expected = (500, "file-unreadable");
    let mut old = Client::connect(at);
    assert_eq!(old.get("a.test", "/there").text(), "there");
    setup.proxy.limit_descriptors(Some(0));
    let answer = old.get("a.test", "/there");
    let reason = answer.field("roadbed-reason");
    seen.over_http1(expected, (answer.status, reason));
    setup.proxy.limit_descriptors(None);
    run(async {
        let client: SendRequest<Bytes> = connect(at).await;
        assert_eq!(get(&client, "http://a.test/there").await.text(), "there");
        setup.proxy.limit_descriptors(Some(0));
        let answer = get(&client, "http://a.test/there").await;
        let reason = answer.field("roadbed-reason");
        seen.over_http2(expected, (answer.head.status.as_u16(), reason));
        setup.proxy.limit_descriptors(None);
        assert_eq!(get(&client, "http://a.test/there").await.text(), "there");
    });
}

fn by_a_head_that_does_not_end(seen: &mut Seen) {
    let at = free_address();
    let _setup = edge(Builder::generation(1), at, &["head=50"]);
    let half = "GET / HTTP/1.1\r\nHost: a.te";
    seen.sent(at, half, (408, "slow-request"));
}

fn by_another_certificate(seen: &mut Seen) {
    let authority = Authority::new();
    let signed = authority.sign(&["a.test"]);
    let stage = Stage::prepared(&[(echo(), Protocol::Http2)], &[], |snapshot| {
        secure(snapshot, &[("a.test", &signed)]);
    });
    let expected = (421, "misdirected");
    let config = Arc::new(trusting(&authority, &["http/1.1"]));
    let mut client = agree(stage.edge, &config, "a.test");
    write!(
        client,
        "GET / HTTP/1.1\r\nHost: b.test\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let mut lines = answer.lines().filter_map(|line| line.split_once(": "));
    let reason = lines.find(|(name, _)| *name == "roadbed-reason");
    seen.over_http1(expected, (status, reason.map(|(_, value)| value)));
    run(async {
        let config = Arc::new(trusting(&authority, &["h2"]));
        let client = tls::connect(stage.edge, &config, "a.test").await;
        let answer = get(&client, "https://b.test/").await;
        let status = answer.head.status.as_u16();
        seen.over_http2(expected, (status, answer.field("roadbed-reason")));
    });
}

fn by_queues(seen: &mut Seen) {
    let (asked, go) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
    let [(address, protocol, _backend), _] = pools::held(&asked, &go);
    for (waiting, reason) in [(0, "queue-full"), (100, "queue-timeout")] {
        asked.store(0, SeqCst);
        go.store(false, SeqCst);
        let connections = Connections {
            most: Some(1),
            waiting,
            wait: Duration::from_millis(20),
            ..Connections::default()
        };
        let stage = pools::stage((address, protocol), &[], connections);
        // One for each worker, and then nobody can be served.
        let mut first: Vec<Client> = Vec::new();
        eventually("both workers have one", || {
            let mut client = Client::connect(stage.edge);
            client.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
            first.push(client);
            asked.load(SeqCst) == 2
        });
        seen.asked(stage.edge, "GET a.test /x", (503, reason));
        go.store(true, SeqCst);
    }
}

fn by_overload(seen: &mut Seen) {
    let expected = (503, "overloaded");
    let narrow = Narrow::start(Duration::from_millis(2));
    let latency = Overload::Latency(Duration::from_millis(20));
    let stage = limited(&narrow.backend, latency);
    let crowd = Crowd::of(60, &stage, "/");
    let mut client = Client::connect(stage.edge);
    eventually("one is refused", || {
        let answer = client.get("a.test", "/x");
        let is_refused = answer.status != 200;
        if is_refused {
            let reason = answer.field("roadbed-reason");
            seen.over_http1(expected, (answer.status, reason));
        }
        is_refused
    });
    run(async {
        let client = connect(stage.edge).await;
        loop {
            let answer = get(&client, URL).await;
            let status = answer.head.status.as_u16();
            if status != 200 {
                seen.over_http2(expected, (status, answer.field("roadbed-reason")));
                break;
            }
        }
    });
    crowd.end();
}

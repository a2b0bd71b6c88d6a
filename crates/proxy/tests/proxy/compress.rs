//! Answers that are compressed on their way, for clients of HTTP/1.1 and HTTP/2, from services of
//! either and from files.

use std::io::Read;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use model::{Protocol, ServedFiles, Upstream};
use serde_json::json;

use crate::support::backend::Backend;
use crate::support::client::Client;
use crate::support::http2::{ask, backend, connect, run};
use crate::support::told::told;
use crate::support::{Builder, Setup, free_address, upstream_id};

const CODINGS: [&str; 3] = ["gzip", "br", "zstd"];

fn page() -> String {
    "<p>the same words again and again</p>\n".repeat(2000)
}

fn decoded(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    let mut reader: Box<dyn Read + '_> = match coding {
        "br" => Box::new(brotli::Decompressor::new(bytes, 4096)),
        "zstd" => Box::new(zstd::Decoder::new(bytes).unwrap()),
        "gzip" => Box::new(flate2::read::GzDecoder::new(bytes)),
        other => panic!("{other:?}"),
    };
    reader.read_to_end(&mut content).unwrap();
    content
}

/// An edge in front of `old.test` (HTTP/1.1), `new.test` (HTTP/2) and `files.test`, which compresses
/// what they answer, but for what is at `/as-it-is`.
struct Edge {
    address: SocketAddr,
    _setup: Setup,
    _folder: tempfile::TempDir,
}

impl Edge {
    fn new() -> Self {
        let old = Backend::start(|connection| {
            while let Some((head, _)) = connection.request() {
                let fields = match head.split(' ').nth(1).unwrap_or_default() {
                    "/fixed" => "Cache-Control: no-transform\r\n",
                    _ => "",
                };
                let page = page();
                let content = match head.starts_with("HEAD ") {
                    true => "",
                    false => &page,
                };
                connection.send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nETag: \"one\"\r\n{fields}\
                     Content-Length: {}\r\n\r\n{content}",
                    page.len()
                ));
            }
        });
        let new = backend(
            h2::server::Builder::new(),
            |request, mut respond| async move {
                let is_head = request.method() == http::Method::HEAD;
                let head = Response::builder().header("content-type", "text/html");
                let head = head.header("etag", "\"one\"").body(()).unwrap();
                let mut stream = respond.send_response(head, is_head).unwrap();
                if is_head {
                    return;
                }
                stream.send_data(Bytes::from(page()), false).unwrap();
                let trailers = [("x-sum".parse().unwrap(), "1".parse().unwrap())];
                let _ = stream.send_trailers(trailers.into_iter().collect());
            },
        );
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("public")).unwrap();
        std::fs::write(folder.path().join("public/x"), "").unwrap();
        std::fs::write(folder.path().join("public/index.html"), page()).unwrap();
        let files: ServedFiles = serde_json::from_value(json!({
            "app_folder": folder.path(), "folder": "public", "cache_control": "no-cache",
        }))
        .unwrap();
        let address = free_address();
        let limit = Duration::from_secs(5);
        let mut builder = Builder::generation(1)
            .edge(address)
            .http("old", &[old.address])
            .upstream("new", Protocol::Http2, limit, &[new]);
        let upstream = Upstream {
            protocol: Protocol::Http,
            timeout: limit,
            resilience: Default::default(),
            endpoints: Default::default(),
            files: Some(files),
        };
        builder.0.upstreams.insert(upstream_id("files"), upstream);
        for name in ["old", "new", "files"] {
            let mut rule = json!({"host": format!("{name}.test"), "path": "/", "upstream": format!("app/{name}")});
            rule["compress"] = true.into();
            builder
                .0
                .routes
                .insert(name.into(), serde_json::from_value(rule.clone()).unwrap());
            rule["path"] = "/as-it-is".into();
            rule["compress"] = false.into();
            let key = format!("{name} as it is");
            builder
                .0
                .routes
                .insert(key, serde_json::from_value(rule).unwrap());
        }
        Self {
            address,
            _setup: Setup::serving(&builder.0, &[]),
            _folder: folder,
        }
    }

    /// What clients of both versions are answered: coding, `Vary`, `ETag` and content.
    fn asked(
        &self,
        host: &str,
        path: &str,
        accept: &str,
    ) -> [(String, String, String, Vec<u8>); 2] {
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        let mut client = Client::connect(self.address);
        client.send(format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: {accept}\r\n\r\n"
        ));
        let answer = client.answer();
        let field = |name: &str| text(answer.field(name));
        let old = (
            field("content-encoding"),
            field("vary"),
            field("etag"),
            answer.body.clone(),
        );
        let mut new = None;
        run(async {
            let client = connect(self.address).await;
            let request = Request::get(format!("http://{host}{path}"));
            let request = request.header("accept-encoding", accept);
            let answer = ask(&client, request, None).await.unwrap();
            assert_eq!(answer.trailers.is_some(), host == "new.test", "{host}");
            let field = |name: &str| text(answer.field(name));
            let fields = (field("content-encoding"), field("vary"), field("etag"));
            new = Some((fields.0, fields.1, fields.2, answer.body.clone()));
        });
        [old, new.unwrap()]
    }
}

#[test]
fn answers_are_compressed_for_whoever_takes_that() {
    let edge = Edge::new();
    let page = page();
    for host in ["old.test", "new.test", "files.test"] {
        for coding in CODINGS {
            for (told, vary, tag, body) in edge.asked(host, "/", coding) {
                assert_eq!((&*told, &*vary), (coding, "accept-encoding"), "{host}");
                assert!(tag.starts_with("W/\""), "{host} {tag}");
                assert!(
                    body.len() < page.len() / 20,
                    "{host} {coding}: {}",
                    body.len()
                );
                assert!(decoded(coding, &body) == page.as_bytes(), "{host} {coding}");
            }
        }
        for (told, vary, tag, body) in edge.asked(host, "/", "gzip;q=0") {
            assert_eq!((&*told, &*vary), ("", "accept-encoding"), "{host}");
            assert!(tag.starts_with('"'), "{host} {tag}");
            assert!(body == page.as_bytes(), "{host}");
        }
    }
}

#[test]
fn what_should_not_be_compressed_is_passed_on_as_it_is() {
    let edge = Edge::new();
    for path in ["/as-it-is", "/fixed"] {
        for (told, vary, tag, body) in edge.asked("old.test", path, "gzip, br, zstd") {
            assert_eq!((&*told, &*vary, &*tag), ("", "", "\"one\""), "{path}");
            assert!(body == page().as_bytes(), "{path}");
        }
    }
    let mut client = Client::connect(edge.address);
    client.send(
        "GET / HTTP/1.1\r\nHost: files.test\r\nAccept-Encoding: gzip\r\nRange: bytes=0-1999\r\n\r\n",
    );
    let part = client.answer();
    assert_eq!((part.status, part.field("content-encoding")), (206, None));
    assert_eq!(part.body, page().as_bytes()[..2000]);
    client.send("GET /x HTTP/1.1\r\nHost: files.test\r\nAccept-Encoding: gzip\r\n\r\n");
    assert_eq!(client.answer().field("content-encoding"), None);
}

#[test]
fn head_is_told_what_get_would_be() {
    let edge = Edge::new();
    for host in ["old.test", "new.test", "files.test"] {
        for (path, coding) in [("/", "gzip"), ("/", "identity"), ("/as-it-is", "gzip")] {
            // The file of another name is not there.
            if (host, path) == ("files.test", "/as-it-is") {
                continue;
            }
            let about = |method: &str| {
                let request = format!("{method} {host} {path}\nAccept-Encoding: {coding}");
                told(edge.address, &request).map(|answer| {
                    let names = ["content-type", "content-encoding", "vary", "etag"];
                    (
                        answer.status,
                        names.map(|name| answer.field(name).to_owned()),
                    )
                })
            };
            assert_eq!(about("HEAD"), about("GET"), "{host}{path} {coding}");
        }
    }
}

#[test]
fn curl_reads_what_was_compressed() {
    let edge = Edge::new();
    for version in ["--http1.1", "--http1.0", "--http2-prior-knowledge"] {
        for host in ["old.test", "new.test", "files.test"] {
            let output = Command::new("curl")
                .args(["-sS", "--fail", "--compressed", version, "-H"])
                .arg(format!("Host: {host}"))
                .arg(format!("http://{}/", edge.address))
                .output()
                .expect("curl is there");
            assert!(output.status.success(), "{version} {host}: {output:?}");
            assert!(output.stdout == page().as_bytes(), "{version} {host}");
        }
    }
}

/// A service whose events come when the test says so.
fn events() -> (Backend, Sender<&'static str>) {
    let (say, said) = channel::<&'static str>();
    let said = Mutex::new(said);
    let backend = Backend::start(move |connection| {
        connection.request();
        connection.send(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        while let Ok(event) = said.lock().unwrap().recv() {
            connection.send(format!("{:x}\r\n{event}\r\n", event.len()));
        }
        connection.send("0\r\n\r\n");
    });
    (backend, say)
}

#[test]
fn each_event_arrives_before_the_next_is_sent() {
    for coding in CODINGS {
        let (backend, say) = events();
        let address = free_address();
        let mut builder = Builder::generation(1)
            .edge(address)
            .http("web", &[backend.address]);
        let rule = json!({"host": "a.test", "path": "/", "upstream": "app/web", "compress": true});
        builder
            .0
            .routes
            .insert("a".into(), serde_json::from_value(rule).unwrap());
        let _setup = Setup::serving(&builder.0, &[]);
        let mut client = Client::connect(address);
        client.send(format!(
            "GET / HTTP/1.1\r\nHost: a.test\r\nAccept-Encoding: {coding}\r\n\r\n"
        ));
        let head = client.head();
        assert!(
            head.contains(&format!("content-encoding: {coding}\r\n")),
            "{head}"
        );
        let (mut made, mut expected) = (Vec::new(), String::new());
        for event in ["data: one\n\n", "data: two\n\n", "data: three\n\n"] {
            say.send(event).unwrap();
            expected.push_str(event);
            // What is there is enough to read the event, though the next one has not been sent.
            while so_far(coding, &made) != expected.as_bytes() {
                made.extend(chunk(&mut client));
            }
        }
        drop(say);
        loop {
            let rest = chunk(&mut client);
            if rest.is_empty() {
                break;
            }
            made.extend(rest);
        }
        assert_eq!(decoded(coding, &made), expected.as_bytes());
    }
}

fn chunk(client: &mut Client) -> Vec<u8> {
    let line = String::from_utf8(client.until(b"\r\n")).unwrap();
    let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
    let chunk = client.exactly(size);
    client.exactly(2);
    chunk
}

/// What can be read of content that is not complete.
fn so_far(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let (mut content, mut piece) = (Vec::new(), [0; 1024]);
    let mut reader: Box<dyn Read + '_> = match coding {
        "br" => Box::new(brotli::Decompressor::new(bytes, 4096)),
        "zstd" => Box::new(zstd::Decoder::new(bytes).unwrap()),
        _ => Box::new(flate2::read::GzDecoder::new(bytes)),
    };
    while let Ok(count @ 1..) = reader.read(&mut piece) {
        content.extend_from_slice(&piece[..count]);
    }
    content
}

#[test]
fn an_answer_that_is_cut_short_never_looks_whole() {
    let backend = Backend::start(|connection| {
        connection.request();
        connection
            .send("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5000\r\n\r\nhalf");
    });
    let address = free_address();
    let mut builder = Builder::generation(1)
        .edge(address)
        .http("web", &[backend.address]);
    let rule = json!({"host": "a.test", "path": "/", "upstream": "app/web", "compress": true});
    builder
        .0
        .routes
        .insert("a".into(), serde_json::from_value(rule).unwrap());
    let _setup = Setup::serving(&builder.0, &[]);
    let mut client = Client::connect(address);
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\nAccept-Encoding: gzip\r\n\r\n");
    let (heard, end) = client.rest();
    assert!(!heard.ends_with(b"0\r\n\r\n"));
    assert_eq!(end, crate::support::client::End::Reset);
    run(async {
        let client = connect(address).await;
        let request = Request::get("http://a.test/").header("accept-encoding", "gzip");
        assert!(ask(&client, request, None).await.is_err());
    });
}

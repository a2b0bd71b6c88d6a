//! Bounds of requests, answers and what is done for them, through the real proxy: what is at the
//! bound passes, and what is one beyond it does not. Which test shows which bound is in
//! `tests/bounds.txt`, where none can be left out.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use h2::Reason;
use http::{Method, Request, Response, request};
use model::{Protocol, ServedFiles, Upstream};
use proxy::limits::*;
use serde_json::json;

use crate::support::backend::Backend;
use crate::support::client::Client;
use crate::support::http2::{self, ask, connect, get, read, run};
use crate::support::stage::{Stage, URL};
use crate::support::told::told;
use crate::support::{Builder, PATIENCE, Setup, edge_to, eventually, free_address, upstream_id};

/// What makes a request of which something is so long.
type Made<'a, T> = &'a dyn Fn(usize) -> T;

/// What `bytes` are answered with over HTTP/1.1.
fn status_of(address: SocketAddr, bytes: &str) -> u16 {
    let mut client = Client::connect(address);
    client.offer(bytes);
    client.answer().status
}

#[test]
fn heads_in_http1_are_as_long_as_they_may_be_and_no_longer() {
    let backend = Backend::echo("web");
    let (_setup, edge) = edge_to(&backend, &[]);
    const HOST: &str = "HTTP/1.1\r\nHost: a.test\r\n";
    let head = |length: usize| {
        let start = format!("GET / {HOST}X: ");
        format!("{start}{}\r\n\r\n", "x".repeat(length - start.len() - 4))
    };
    let fields = |count: usize| format!("GET / {HOST}{}\r\n", "X: y\r\n".repeat(count - 1));
    let target = |length: usize| format!("GET /{} {HOST}\r\n", "x".repeat(length - 1));
    let method = |length: usize| format!("{} / {HOST}\r\n", "M".repeat(length));
    let cases: [(Made<'_, String>, usize, u16); 4] = [
        (&head, HEAD_BYTES, 431),
        (&fields, HEAD_FIELDS, 431),
        (&target, TARGET_BYTES, 414),
        (&method, METHOD_BYTES, 400),
    ];
    assert_eq!(head(HEAD_BYTES).len(), HEAD_BYTES);
    for (request, bound, refused) in cases {
        assert_eq!(status_of(edge, &request(bound)), 200, "{bound}");
        assert_eq!(status_of(edge, &request(bound + 1)), refused, "{bound}");
    }
}

#[test]
fn heads_in_http2_are_as_long_as_they_may_be_and_no_longer() {
    let backend = Backend::echo("web");
    let (_setup, edge) = edge_to(&backend, &[]);
    // Each field counts for 32 bytes more than it has (RFC 9113 section 6.5.2).
    let pseudo = [":methodGET", ":schemehttp", ":authoritya.test", ":path/x"];
    let usual: usize = pseudo.iter().map(|field| field.len() + 32).sum();
    let head = |length: usize| {
        let value = "x".repeat(length - usual - "x".len() - 32);
        Request::get(URL).header("x", value)
    };
    let fields = |count: usize| {
        let all = Request::get(URL);
        (0..count).fold(all, |request, _| request.header("x", "y"))
    };
    let target = |length: usize| {
        let path = "x".repeat(length - 1);
        Request::get(format!("http://a.test/{path}"))
    };
    let method = |length: usize| {
        let method = Method::from_bytes("M".repeat(length).as_bytes()).unwrap();
        Request::builder().method(method).uri(URL)
    };
    let cases: [(Made<'_, request::Builder>, usize, u16); 4] = [
        (&head, HEAD_BYTES, 431),
        (&fields, HEAD_FIELDS, 431),
        (&target, TARGET_BYTES, 414),
        (&method, METHOD_BYTES, 400),
    ];
    run(async {
        let client = connect(edge).await;
        for (request, bound, refused) in cases {
            for (length, status) in [(bound, 200), (bound + 1, refused)] {
                let answer = ask(&client, request(length), None).await.unwrap();
                assert_eq!(answer.head.status, status, "{length}");
            }
        }
    });
}

#[test]
fn chunks_and_trailers_are_as_long_as_they_may_be_and_no_longer() {
    let backend = Backend::start(|connection| {
        // What is there of content ends as a head does.
        while connection.head().is_some() && connection.until(b"\r\n\r\n").is_some() {
            connection.answer("served");
        }
    });
    let (_setup, edge) = edge_to(&backend, &[]);
    let post = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    let line = |length: usize| {
        let extension = "e".repeat(length - "3;\r\n".len());
        format!("{post}3;{extension}\r\nabc\r\n0\r\n\r\n")
    };
    let trailers = |length: usize| {
        let value = "t".repeat(length - "X: \r\n\r\n".len());
        format!("{post}0\r\nX: {value}\r\n\r\n")
    };
    let cases: [(Made<'_, String>, usize); 2] =
        [(&line, CHUNK_LINE_BYTES), (&trailers, TRAILER_BYTES)];
    for (request, bound) in cases {
        assert_eq!(status_of(edge, &request(bound)), 200, "{bound}");
        assert_eq!(status_of(edge, &request(bound + 1)), 400, "{bound}");
    }
}

#[test]
fn so_many_informational_answers_of_http2_are_passed_on_and_more_are_a_bad_gateway() {
    let backend = http2::backend(
        h2::server::Builder::new(),
        |request, mut respond| async move {
            let count = request.uri().path()[1..].parse().unwrap();
            for _ in 0..count {
                let hints = Response::builder().status(103).body(()).unwrap();
                if respond.send_informational(hints).is_err() {
                    return;
                }
            }
            if let Ok(mut stream) = respond.send_response(Response::new(()), false) {
                http2::answer(&mut stream, "served".to_owned(), None);
            }
        },
    );
    let stage = Stage::new(&[(backend, Protocol::Http2)], &[]);
    for (count, status) in [(INTERIM_ANSWERS, 200), (INTERIM_ANSWERS + 1, 502)] {
        let mut client = Client::connect(stage.edge);
        client.send(format!("GET /{count} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        let mut informed = 0;
        let last = loop {
            let head = client.head();
            if !head.starts_with("HTTP/1.1 103 ") {
                break head;
            }
            informed += 1;
        };
        // Of those that are too many, some may have been passed on.
        assert!(
            informed == count || status == 502 && informed < count,
            "{informed}"
        );
        assert!(last.starts_with(&format!("HTTP/1.1 {status} ")), "{last}");
        run(async {
            let client = connect(stage.edge).await;
            let answer = get(&client, &format!("http://a.test/{count}")).await;
            assert_eq!(answer.head.status, status);
        });
    }
}

/// An edge whose route compresses what `backend` answers.
fn compressing(backend: &Backend) -> (Setup, SocketAddr) {
    let edge = free_address();
    let builder = Builder::generation(1)
        .edge(edge)
        .http("web", &[backend.address])
        .rule("a.test", json!({"upstream": "app/web", "compress": true}));
    (Setup::serving(&builder.0, &[]), edge)
}

#[test]
fn what_is_shorter_than_it_pays_for_is_not_compressed() {
    let backend = Backend::start(|connection| {
        while let Some((head, _)) = connection.request() {
            let length = head.split(' ').nth(1).unwrap()[1..].parse().unwrap();
            let text = "x".repeat(length);
            connection.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{text}"
            ));
        }
    });
    let (_setup, edge) = compressing(&backend);
    for (length, coding) in [(LEAST_COMPRESSED, "gzip"), (LEAST_COMPRESSED - 1, "")] {
        let request = format!("GET a.test /{length}\nAccept-Encoding: gzip");
        for answer in told(edge, &request) {
            assert_eq!(answer.field("content-encoding"), coding, "{length}");
        }
    }
}

#[test]
fn a_worker_compresses_so_many_answers_at_a_time_and_others_are_sent_as_they_are() {
    let backend = Backend::start(|connection| {
        connection.request();
        connection.send(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n\
             1\r\nx\r\n",
        );
        connection.drain();
    });
    let (_setup, edge) = compressing(&backend);
    run(async {
        // One connection is with one worker.
        let client = connect(edge).await;
        let begin = async || {
            let mut client = client.clone().ready().await.unwrap();
            let request = Request::get(URL).header("accept-encoding", "gzip");
            let (response, _) = client
                .send_request(request.body(()).unwrap(), true)
                .unwrap();
            let (head, body) = response.await.unwrap().into_parts();
            (head.headers.contains_key("content-encoding"), body)
        };
        let mut open = Vec::new();
        for _ in 0..COMPRESSED_AT_A_TIME {
            let (is_compressed, body) = begin().await;
            assert!(is_compressed, "{}", open.len());
            open.push(body);
        }
        assert!(!begin().await.0, "one more is sent as it is");
        // One that ends makes room.
        open.pop();
        while !begin().await.0 {}
    });
}

#[test]
fn paths_of_files_are_as_long_as_they_may_be_and_no_longer() {
    let (edge, folder) = (free_address(), tempfile::tempdir().unwrap());
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
    let mut builder = Builder::generation(1)
        .edge(edge)
        .route("a.test", "/", "site");
    builder.0.upstreams.insert(upstream_id("site"), site);
    let _setup = Setup::serving(&builder.0, &[]);
    let folders = format!("{}/", "f".repeat(199)).repeat(FILE_PATH_BYTES / 200 - 1);
    let below = folder.path().join("public").join(&folders);
    fs::create_dir_all(&below).unwrap();
    for (length, status) in [(FILE_PATH_BYTES, 200), (FILE_PATH_BYTES + 1, 404)] {
        let name = "n".repeat(length - folders.len());
        fs::write(below.join(&name), "there").unwrap();
        for answer in told(edge, &format!("GET a.test /{folders}{name}")) {
            assert_eq!(answer.status, status, "{length}");
        }
    }
}

#[test]
fn one_connection_to_a_backend_has_so_many_streams_and_the_next_has_another() {
    let (connections, asked) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let go = Arc::<AtomicBool>::default();
    let (counted, told) = (asked.clone(), go.clone());
    let backend = http2::backend_counting(
        h2::server::Builder::new(),
        connections.clone(),
        move |_, mut respond| {
            let (counted, told) = (counted.clone(), told.clone());
            async move {
                counted.fetch_add(1, SeqCst);
                while !told.load(SeqCst) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                drop(respond.send_response(Response::new(()), true));
            }
        },
    );
    let stage = Stage::with_timeout(&[(backend, Protocol::Http2)], &[], PATIENCE * 2);
    run(async {
        // One connection is with one worker.
        let client = connect(stage.edge).await;
        let mut all = Vec::new();
        for count in 1..=HTTP2_STREAMS_TO_BACKEND + 1 {
            let client = client.clone();
            all.push(tokio::spawn(async move { get(&client, URL).await }));
            while asked.load(SeqCst) < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let expected = 1 + usize::from(count > HTTP2_STREAMS_TO_BACKEND);
            assert_eq!(connections.load(SeqCst), expected, "{count}");
        }
        go.store(true, SeqCst);
        for answer in all {
            assert_eq!(answer.await.unwrap().head.status, 200);
        }
    });
}

#[test]
fn so_much_of_an_answer_that_a_page_replaces_is_awaited() {
    let backend = Backend::start(|connection| {
        while let Some((head, _)) = connection.request() {
            let length = head.split(' ').nth(1).unwrap()[1..].parse().unwrap();
            connection.send(format!(
                "HTTP/1.1 500 X\r\nContent-Length: {length}\r\n\r\n"
            ));
            connection.send("x".repeat(length));
        }
    });
    let stage = Stage::prepared(&[(backend.address, Protocol::Http)], &[], |snapshot| {
        let pages = json!({ "5xx": { "html": "page", "services": true } });
        let pages = serde_json::from_value(pages).unwrap();
        snapshot.error_pages.insert("shown".into(), pages);
        for route in snapshot.routes.values_mut() {
            route.error_pages = Some("shown".into());
        }
    });
    let mut client = Client::connect(stage.edge);
    for _ in 0..3 {
        let answer = client.get("a.test", &format!("/{REPLACED_BYTES}"));
        assert_eq!((answer.status, answer.text()), (500, "page"));
        assert_eq!(answer.field("connection"), None);
    }
    assert_eq!(backend.received().len(), 1, "its connection was kept");
    let answer = client.get("a.test", &format!("/{}", REPLACED_BYTES + 1));
    assert_eq!((answer.status, answer.text()), (500, "page"));
    assert_eq!(answer.field("connection"), Some("close"));
}

#[test]
fn so_much_of_an_answer_that_is_not_passed_on_is_awaited() {
    for (rest, is_kept) in [(PASSED_OVER_BYTES, true), (PASSED_OVER_BYTES + 1, false)] {
        let (kept, ended) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let (was_kept, has_ended) = (kept.clone(), ended.clone());
        let bad = Backend::start(move |connection| {
            if connection.request().is_none() {
                return;
            }
            // Alone, so that all of the content is left when the answer is passed over.
            connection.send(format!("HTTP/1.1 503 X\r\nContent-Length: {rest}\r\n\r\n"));
            if !is_kept {
                return has_ended.store(connection.ends_in_reset(), SeqCst);
            }
            connection.send("x".repeat(rest as usize));
            was_kept.fetch_or(connection.request().is_some(), SeqCst);
            connection.answer("kept");
        });
        let good = Backend::echo("good");
        let endpoints = [good.address, bad.address].map(|at| (at, Protocol::Http));
        let stage = Stage::new(&endpoints, &["linger=10000"]);
        let mut client = Client::connect(stage.edge);
        eventually("a connection is kept, or ended", || {
            assert_eq!(client.get("a.test", "/").status, 200);
            kept.load(SeqCst) || ended.load(SeqCst)
        });
        assert_eq!((kept.load(SeqCst), ended.load(SeqCst)), (is_kept, !is_kept));
    }
}

#[test]
fn so_much_of_a_request_is_kept_to_be_sent_again() {
    static LONGER: [u8; REPLAY_BYTES + 1] = [b'x'; REPLAY_BYTES + 1];
    let asked = Arc::<AtomicUsize>::default();
    // They read it all, and say of every other that they have not looked at it.
    let endpoints = [(); 2].map(|()| {
        let asked = asked.clone();
        let address = http2::backend(h2::server::Builder::new(), move |request, mut respond| {
            let asked = asked.clone();
            async move {
                let body = read(request.into_body()).await.unwrap_or_default().0;
                if asked.fetch_add(1, SeqCst).is_multiple_of(2) {
                    return respond.send_reset(Reason::REFUSED_STREAM);
                }
                if let Ok(mut stream) = respond.send_response(Response::new(()), false) {
                    http2::answer(&mut stream, body.len().to_string(), None);
                }
            }
        });
        (address, Protocol::Http2)
    });
    let stage = Stage::new(&endpoints, &[]);
    for (length, status) in [(REPLAY_BYTES, 200), (REPLAY_BYTES + 1, 502)] {
        let tries = if status == 200 { 2 } else { 1 };
        let body = &LONGER[..length];
        let mut client = Client::connect(stage.edge);
        asked.store(0, SeqCst);
        client.send(format!(
            "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\n"
        ));
        client.send(body);
        assert_eq!(client.answer().status, status, "{length}");
        assert_eq!(asked.load(SeqCst), tries);
        asked.store(0, SeqCst);
        run(async {
            let client = connect(stage.edge).await;
            let answer = ask(&client, Request::post(URL), Some(body)).await.unwrap();
            assert_eq!(answer.head.status, status, "{length}");
        });
        assert_eq!(asked.load(SeqCst), tries);
    }
}

#[test]
fn so_much_of_the_answer_to_a_copy_is_read_to_keep_its_connection() {
    let (web, ended) = (Backend::echo("web"), Arc::<AtomicUsize>::default());
    let counted = ended.clone();
    let shadow = Backend::start(move |connection| {
        while let Some((head, _)) = connection.request() {
            let length = head.split(' ').nth(1).unwrap()[1..].parse().unwrap();
            connection.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
            ));
            connection.send("x".repeat(length));
        }
        counted.fetch_add(1, SeqCst);
    });
    let edge = free_address();
    let mirror = json!({"service": "app/shadow", "percent": 100, "unsafe_methods": false,
        "body_limit": 0});
    let builder = Builder::generation(1)
        .edge(edge)
        .http("web", &[web.address])
        .http("shadow", &[shadow.address])
        .rule("a.test", json!({"upstream": "app/web", "mirror": mirror}));
    let _setup = Setup::serving(&builder.0, &[]);
    let requests = || -> Vec<usize> {
        let all = shadow.received();
        all.iter()
            .map(|text| text.matches("GET ").count())
            .collect()
    };
    // One connection is with one worker.
    let mut client = Client::connect(edge);
    let longer = format!("/{}", MIRROR_ANSWER_BYTES + 1);
    for count in 1..=3 {
        assert_eq!(client.get("a.test", &longer).status, 200);
        eventually("its connection ends", || ended.load(SeqCst) == count);
        assert_eq!(requests(), vec![1; count]);
    }
    let longest = format!("/{MIRROR_ANSWER_BYTES}");
    eventually("a connection is used again", || {
        assert_eq!(client.get("a.test", &longest).status, 200);
        requests().iter().any(|&count| count > 1)
    });
}

#[test]
fn whoever_reads_metrics_asks_briefly_and_waits_for_a_place() {
    let metrics = free_address();
    let _setup = Setup::new(&[&format!("metrics={metrics}")]);
    let head = |length: usize| {
        let start = "GET /healthz HTTP/1.1\r\nHost: a\r\nX: ";
        format!("{start}{}\r\n\r\n", "x".repeat(length - start.len() - 4))
    };
    eventually("it is there", || {
        std::net::TcpStream::connect(metrics).is_ok()
    });
    assert_eq!(status_of(metrics, &head(METRICS_HEAD_BYTES)), 200);
    assert_eq!(status_of(metrics, &head(METRICS_HEAD_BYTES + 1)), 400);
    // Whoever comes when all places are taken is served when one is free.
    let mut silent: Vec<_> = (0..METRICS_CONNECTIONS)
        .map(|_| Client::connect(metrics))
        .collect();
    let mut next = Client::connect(metrics);
    next.send(head(100));
    assert!(!next.hears_within(Duration::from_millis(100)));
    silent.pop();
    assert_eq!(next.answer().status, 200);
}

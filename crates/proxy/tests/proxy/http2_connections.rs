//! Connections of HTTP/2: how they begin, how requests share those to backends, and how they end
//! when they are idle.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use http::{Request, Response};
use model::Protocol;

use crate::support::backend::Backend;
use crate::support::client::Client;
use crate::support::frames;
use crate::support::http2::{self, ask, connect, connect_until_it_ends, echo, get, run};
use crate::support::stage::{Stage, URL};
use crate::support::{edge_to, eventually};

/// Has `count` requests at once answered.
async fn many(edge: SocketAddr, count: usize) {
    let client = connect(edge).await;
    // From here on it knows how many streams it may have.
    get(&client, "http://b.test/").await;
    let asking = (0..count).map(|n| {
        let client = client.clone();
        let url = format!("http://a.test/{n}");
        tokio::spawn(async move {
            match n % 2 {
                0 => get(&client, &url).await,
                _ => ask(&client, Request::post(url), Some(b"body"))
                    .await
                    .unwrap(),
            }
        })
    });
    for (n, answer) in asking.collect::<Vec<_>>().into_iter().enumerate() {
        let answer = answer.await.unwrap();
        assert_eq!(answer.head.status, 200, "{answer:?}");
        assert!(answer.text().contains(&format!("/{n} ")), "{answer:?}");
    }
}

#[test]
fn hundreds_of_streams_at_once_are_served_by_a_backend_of_http1() {
    let backend = Backend::echo("web");
    let mut stage = Stage::new(&[(backend.address, Protocol::Http)], &[]);
    run(many(stage.edge, 500));
    stage.nothing_is_in_flight();
}

/// Answers with its path after a while, over connections that it counts, with a limit.
fn limited(connections: &Arc<AtomicUsize>, most: u32) -> SocketAddr {
    let mut settings = h2::server::Builder::new();
    settings.max_concurrent_streams(most);
    let connections = connections.clone();
    http2::backend_counting(settings, connections, |request, mut respond| async move {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        http2::answer(&mut stream, format!("{} ", request.uri().path()), None);
    })
}

#[test]
fn more_streams_than_a_backend_allows_are_served_over_more_connections() {
    let connections = Arc::default();
    let backend = limited(&connections, 4);
    let mut stage = Stage::new(&[(backend, Protocol::Http2)], &[]);
    run(many(stage.edge, 100));
    assert!(connections.load(SeqCst) > 1);
    stage.nothing_is_in_flight();
}

#[test]
fn a_backend_that_allows_one_stream_serves_many() {
    let connections = Arc::default();
    let backend = limited(&connections, 1);
    let stage = Stage::new(&[(backend, Protocol::Http2)], &[]);
    run(many(stage.edge, 50));
}

#[test]
fn requests_share_one_connection_to_a_backend() {
    let connections = Arc::default();
    let backend = limited(&connections, 1000);
    let stage = Stage::new(&[(backend, Protocol::Http2)], &[]);
    run(async {
        many(stage.edge, 90).await;
        let client = connect(stage.edge).await;
        for _ in 0..20 {
            get(&client, URL).await;
        }
    });
    // One for each worker.
    assert!(connections.load(SeqCst) <= 2);
}

#[test]
fn idle_connections_to_a_backend_are_closed() {
    let (ended, backend) = greeting();
    let stage = Stage::new(&[(backend.address, Protocol::Http2)], &["pool-idle=50"]);
    run(async {
        let client = connect(stage.edge).await;
        assert_eq!(get(&client, URL).await.text(), "served");
    });
    eventually("it is closed", || ended.load(SeqCst) == 1);
    run(async {
        let client = connect(stage.edge).await;
        assert_eq!(get(&client, URL).await.text(), "served");
    });
}

/// A backend that counts its connections that have ended.
fn greeting() -> (Arc<AtomicUsize>, Backend) {
    let ended = Arc::new(AtomicUsize::new(0));
    let counting = ended.clone();
    let backend = Backend::start(move |connection| {
        frames::greet(connection);
        while let Some(frame) = frames::read(connection) {
            if frame.ends_stream() {
                frames::answer(connection, frame.stream, "served");
            }
        }
        counting.fetch_add(1, SeqCst);
    });
    (ended, backend)
}

#[test]
fn a_client_that_has_been_idle_for_long_is_told_to_go() {
    let limits = ["keep-alive=100", "head=100"];
    let stage = Stage::new(&[(echo(), Protocol::Http2)], &limits);
    run(async {
        let (client, connection) = connect_until_it_ends(stage.edge).await;
        get(&client, URL).await;
        connection.await.unwrap().unwrap();
        drop(client);
    });
}

#[test]
fn a_client_is_not_idle_while_it_is_served() {
    let limits = ["keep-alive=50", "head=50"];
    let settings = h2::server::Builder::new();
    let backend = http2::backend(settings, |_, mut respond| async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        drop(respond.send_response(Response::new(()), true));
    });
    let stage = Stage::new(&[(backend, Protocol::Http2)], &limits);
    run(async {
        let client = connect(stage.edge).await;
        assert_eq!(get(&client, URL).await.head.status, 200);
    });
}

#[test]
fn the_preface_may_arrive_byte_by_byte() {
    let stage = Stage::new(&[(echo(), Protocol::Http2)], &[]);
    let mut client = Client::connect(stage.edge);
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0" {
        client.send([*byte]);
        std::thread::yield_now();
    }
    // Settings of the proxy, and its word that it has seen ours.
    let settings = client.exactly(9);
    assert_eq!(settings[3..5], [4, 0]);
    client.until(&[0, 0, 0, 4, 1, 0, 0, 0, 0]);
}

#[test]
fn a_request_that_begins_like_the_preface_is_a_request() {
    let backend = Backend::echo("web");
    let (_setup, edge) = edge_to(&backend, &[]);
    for (request, cuts) in [
        (
            "POST /p HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n",
            1..5,
        ),
        ("PRI /p HTTP/1.1\r\nHost: a.test\r\n\r\n", 1..8),
        ("PRINT /p HTTP/1.1\r\nHost: a.test\r\n\r\n", 1..8),
    ] {
        for cut in cuts {
            let mut client = Client::connect(edge);
            client.send(&request[..cut]);
            // The rest comes later, or it would be one read.
            assert!(!client.hears_within(Duration::from_millis(20)));
            client.send(&request[cut..]);
            assert_eq!(
                client.answer().text(),
                "web /p ",
                "{request:?} cut at {cut}"
            );
        }
    }
    // It is one only at the beginning.
    let mut client = Client::connect(edge);
    assert_eq!(client.get("a.test", "/").status, 200);
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(client.answer().status, 505);
}

#[test]
fn a_preface_that_is_not_finished_in_time_ends_the_connection() {
    let backend = Backend::echo("web");
    let (_setup, edge) = edge_to(&backend, &["head=100"]);
    for begun in ["P", "PRI * HTTP/2.0\r\n\r\nSM"] {
        let mut client = Client::connect(edge);
        client.send(begun);
        assert_eq!(client.rest().0, b"");
    }
}

#[test]
fn requests_for_which_there_are_no_descriptors_are_refused_and_may_be_sent_again() {
    // As many as leave room for 16 clients of each worker, and what they need at backends.
    const MOST: usize = 16;
    let (release, held) = tokio::sync::watch::channel(false);
    let settings = h2::server::Builder::new();
    let backend = http2::backend(settings, move |_, mut respond| {
        let mut held = held.clone();
        async move {
            held.wait_for(|released| *released).await.unwrap();
            drop(respond.send_response(Response::new(()), true));
        }
    });
    let stage = Stage::new(&[(backend, Protocol::Http2)], &["descriptors=160"]);
    run(async {
        let client = connect(stage.edge).await;
        get(&client, "http://nobody.test/").await;
        let mut asking: Vec<_> = (0..2 * MOST)
            .map(|_| {
                let mut client = client.clone();
                let request = Request::get(URL).body(()).unwrap();
                Box::pin(client.send_request(request, true).unwrap().0)
            })
            .collect();
        // Those that have room are held, so whoever ends is refused.
        for _ in 0..MOST {
            let (ended, _, left) = futures_util::future::select_all(asking).await;
            assert_eq!(
                ended.unwrap_err().reason(),
                Some(h2::Reason::REFUSED_STREAM)
            );
            asking = left;
        }
        release.send(true).unwrap();
        for answer in asking {
            assert_eq!(answer.await.unwrap().status(), 200);
        }
        assert_eq!(get(&client, URL).await.head.status, 200);
    });
}

//! What a rollout relies on where HTTP/2 is spoken: streams are counted and finish, nothing new
//! reaches what was removed, and connections end after their last stream.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use h2::client::SendRequest;
use http::{Request, Response};
use model::Protocol;
use proxy::protocol::FromProxy;
use tokio::sync::Notify;

use crate::support::backend::Backend;
use crate::support::client::Client;
use crate::support::eventually;
use crate::support::http2::{
    self, Whole, ask, connect, connect_until_it_ends, echo, get, read, run,
};
use crate::support::stage::{Stage, URL};

/// A backend that answers once it is told to.
#[derive(Clone, Default)]
struct Held {
    go: Arc<Notify>,
    begun: Arc<AtomicUsize>,
}

impl Held {
    fn http2(&self) -> SocketAddr {
        let held = self.clone();
        http2::backend(h2::server::Builder::new(), move |request, mut respond| {
            let held = held.clone();
            async move {
                let go = held.go.notified();
                held.begun.fetch_add(1, SeqCst);
                go.await;
                let (body, _) = read(request.into_body()).await.unwrap();
                let mut stream = respond.send_response(Response::new(()), false).unwrap();
                let text = format!("held {}", String::from_utf8_lossy(&body));
                http2::answer(&mut stream, text, None);
            }
        })
    }

    fn http1(&self) -> Backend {
        let held = self.clone();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        Backend::start(move |connection| {
            while let Some((_, body)) = connection.request() {
                let go = held.go.notified();
                held.begun.fetch_add(1, SeqCst);
                runtime.block_on(go);
                connection.answer(&format!("held {}", String::from_utf8_lossy(&body)));
            }
        })
    }

    async fn has_begun(&self, count: usize) {
        while self.begun.load(SeqCst) < count {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }
}

type Asking = tokio::task::JoinHandle<Whole>;

/// Begins `count` requests.
fn asking(client: &SendRequest<Bytes>, count: usize) -> Vec<Asking> {
    let asking = (0..count).map(|_| {
        let client = client.clone();
        tokio::spawn(async move {
            let post = Request::post(URL).header("content-length", "4");
            ask(&client, post, Some(b"body")).await.unwrap()
        })
    });
    asking.collect()
}

async fn are_served(asking: Vec<Asking>) {
    for answer in asking {
        assert_eq!(answer.await.unwrap().text(), "held body");
    }
}

fn streams_of_a_removed_endpoint_finish(held: &Held, endpoint: (SocketAddr, Protocol)) {
    let mut stage = Stage::new(&[endpoint], &[]);
    let other = Backend::echo("other");
    run(async {
        let client = connect(stage.edge).await;
        let before = asking(&client, 7);
        held.has_begun(7).await;
        // The same name at another address would be the same instance.
        let mut next = stage.builder.next();
        let endpoints = &mut next
            .0
            .upstreams
            .get_mut(&crate::support::upstream_id("web"))
            .unwrap()
            .endpoints;
        let mut endpoint = endpoints.pop_first().unwrap().1;
        (endpoint.address, endpoint.protocol) = (other.address, Protocol::Http);
        endpoints.insert("app.web.2.1".parse().unwrap(), endpoint);
        let busy = stage.setup.change(&stage.builder.0, &next.0);
        assert_eq!(busy, [("app.web.1.1".to_owned(), 7)].into());
        for _ in 0..20 {
            assert_eq!(get(&client, URL).await.text(), "other /x ");
        }
        assert_eq!(held.begun.load(SeqCst), 7);
        held.go.notify_waiters();
        are_served(before).await;
    });
    let instance = "app.web.1.1".parse().unwrap();
    assert_eq!(stage.setup.receive(), FromProxy::Drained { instance });
}

#[test]
fn streams_to_a_removed_endpoint_of_http2_finish_and_no_other_reaches_it() {
    let held = Held::default();
    let backend = held.http2();
    streams_of_a_removed_endpoint_finish(&held, (backend, Protocol::Http2));
}

#[test]
fn streams_to_a_removed_endpoint_of_http1_finish_and_no_other_reaches_it() {
    let held = Held::default();
    let backend = held.http1();
    streams_of_a_removed_endpoint_finish(&held, (backend.address, Protocol::Http));
}

#[test]
fn the_connection_to_a_removed_endpoint_ends_with_its_last_stream() {
    let ended = Arc::new(AtomicBool::new(false));
    let backend = {
        use crate::support::frames;
        let ended = ended.clone();
        Backend::start(move |connection| {
            frames::greet(connection);
            while let Some(frame) = frames::read(connection) {
                if frame.ends_stream() {
                    frames::answer(connection, frame.stream, "served");
                }
            }
            ended.store(true, SeqCst);
        })
    };
    let mut stage = Stage::new(&[(backend.address, Protocol::Http2)], &[]);
    run(async {
        let client = connect(stage.edge).await;
        assert_eq!(get(&client, URL).await.text(), "served");
    });
    assert!(!ended.load(SeqCst));
    stage.nothing_is_in_flight();
    eventually("it has ended", || ended.load(SeqCst));
}

#[test]
fn streams_of_a_removed_listener_finish_and_then_their_connection_ends() {
    let held = Held::default();
    let endpoint = (held.http2(), Protocol::Http2);
    let mut stage = Stage::new(&[endpoint], &["first-request=100"]);
    run(async {
        let (client, connection) = connect_until_it_ends(stage.edge).await;
        let (idle, its_connection) = connect_until_it_ends(stage.edge).await;
        let before = asking(&client, 5);
        held.has_begun(5).await;
        stage.close_edge();
        its_connection.await.unwrap().unwrap();
        drop(idle);
        // It takes nothing new once it knows.
        let mut waiting = client.clone();
        while waiting.ready().await.is_ok() {
            waiting = client.clone();
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        held.go.notify_waiters();
        are_served(before).await;
        connection.await.unwrap().unwrap();
    });
}

#[test]
fn whoever_has_connected_before_a_listener_goes_is_served_over_http2() {
    let mut stage = Stage::new(&[(echo(), Protocol::Http2)], &["first-request=10000"]);
    let early = std::net::TcpStream::connect(stage.edge).unwrap();
    stage.close_edge();
    run(async {
        early.set_nonblocking(true).unwrap();
        let early = tokio::net::TcpStream::from_std(early).unwrap();
        let (client, connection) = h2::client::handshake(early).await.unwrap();
        tokio::spawn(connection);
        assert_eq!(get(&client, URL).await.text(), "GET http://a.test/x ");
    });
}

#[test]
fn a_proxy_told_to_stop_finishes_streams_and_exits() {
    let held = Held::default();
    let endpoint = (held.http2(), Protocol::Http2);
    let mut stage = Stage::new(&[endpoint], &["first-request=100"]);
    run(async {
        let (client, connection) = connect_until_it_ends(stage.edge).await;
        let before = asking(&client, 5);
        held.has_begun(5).await;
        stage.setup.proxy.terminate();
        let mut waiting = client.clone();
        while waiting.ready().await.is_ok() {
            waiting = client.clone();
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        held.go.notify_waiters();
        are_served(before).await;
        connection.await.unwrap().unwrap();
    });
    assert!(stage.setup.proxy.0.wait().unwrap().success());
}

#[test]
fn a_service_whose_instances_speak_different_versions_answers_everyone() {
    let (one, other) = (Backend::echo("old"), Backend::echo("old"));
    let endpoints = [
        (one.address, Protocol::Http),
        (echo(), Protocol::Http2),
        (other.address, Protocol::Http),
        (echo(), Protocol::Grpc),
    ];
    let stage = Stage::new(&endpoints, &[]);
    let mut client = Client::connect(stage.edge);
    for _ in 0..12 {
        assert!(client.get("a.test", "/x").text().contains("/x "));
        client.send("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbody");
        assert!(client.answer().text().ends_with("/x body"));
    }
    run(async {
        let client = connect(stage.edge).await;
        for _ in 0..12 {
            assert!(get(&client, URL).await.text().contains("/x "));
            let post = Request::post(URL).header("content-length", "4");
            let answer = ask(&client, post, Some(b"body")).await.unwrap();
            assert!(answer.text().ends_with("/x body"));
        }
    });
    assert!(!one.received().is_empty() && !other.received().is_empty());
}

#[test]
fn no_request_fails_while_a_service_changes_from_one_version_to_the_other() {
    let old: Vec<_> = (0..2).map(|_| Backend::echo("x")).collect();
    let new = [echo(), echo()];
    let mut stage = Stage::new(&[(old[0].address, Protocol::Http)], &[]);
    let stop = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicUsize::new(0));
    let edge = stage.edge;
    let begin = |asks: fn(SocketAddr, &AtomicBool, &AtomicUsize)| {
        let (stop, served) = (stop.clone(), served.clone());
        std::thread::spawn(move || asks(edge, &stop, &served))
    };
    let clients = [
        begin(asks_in_http1),
        begin(asks_in_http1),
        begin(asks_in_http2),
        begin(asks_in_http2),
    ];
    for round in 0..40 {
        let before = served.load(SeqCst);
        eventually("they are served", || served.load(SeqCst) > before + 40);
        let old = (old[round / 2 % 2].address, Protocol::Http);
        let new = (new[round / 2 % 2], Protocol::Http2);
        let endpoints: &[_] = match round % 4 {
            0 => &[old, new],
            1 => &[new],
            2 => &[new, old],
            _ => &[old],
        };
        // Instances are known by name, and these change their address and protocol.
        stage.lead_to(endpoints);
    }
    stop.store(true, SeqCst);
    for client in clients {
        client.join().unwrap();
    }
}

fn asks_in_http1(edge: SocketAddr, stop: &AtomicBool, served: &AtomicUsize) {
    while !stop.load(SeqCst) {
        let mut client = Client::connect(edge);
        for _ in 0..20 {
            assert_eq!(client.get("a.test", "/x").status, 200);
            client.send("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbody");
            assert_eq!(client.answer().status, 200);
            served.fetch_add(1, SeqCst);
        }
    }
}

fn asks_in_http2(edge: SocketAddr, stop: &AtomicBool, served: &AtomicUsize) {
    run(async {
        while !stop.load(SeqCst) {
            let client = connect(edge).await;
            for _ in 0..20 {
                let post = Request::post(URL);
                let (one, two) = tokio::join!(get(&client, URL), ask(&client, post, Some(b"body")));
                assert_eq!(
                    (one.head.status, two.unwrap().head.status),
                    (200.try_into().unwrap(), 200.try_into().unwrap())
                );
                served.fetch_add(1, SeqCst);
            }
        }
    });
}

#[test]
fn a_get_is_answered_though_its_service_changes_its_version_and_the_old_backend_dies() {
    let (dies, told) = std::sync::mpsc::channel::<()>();
    let told = std::sync::Mutex::new(told);
    let old = Backend::start(move |connection| {
        connection.head();
        // The connection ends when this returns.
        let _ = told.lock().unwrap().recv();
    });
    let mut stage = Stage::new(&[(old.address, Protocol::Http)], &[]);
    let mut client = Client::connect(stage.edge);
    client.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    eventually("the old backend has the request", || {
        old.received().concat().ends_with("\r\n\r\n")
    });
    stage.lead_to(&[(echo(), Protocol::Http2)]);
    dies.send(()).unwrap();
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.text()),
        (200, "GET http://a.test/x ")
    );
    assert_eq!(client.get("a.test", "/again").status, 200);
}

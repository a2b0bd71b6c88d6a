//! Requests that are sent to a second instance while the first lets them wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use model::{Hedge, HedgeAfter, Protocol};

use crate::metrics::{of_web, value};
use crate::support::backend::{Backend, Connection};
use crate::support::client::Client;
use crate::support::http2::{self, ask, connect, get, run};
use crate::support::stage::{Stage, URL};
use crate::support::{eventually, free_address, upstream_id};

const SOON: Duration = Duration::from_millis(30);
const CALL: &str = "http://a.test/shop.Catalog/Get";
const OTHER_CALL: &str = "http://a.test/shop.Catalog/Put";

/// A proxy whose requests are hedged, and where it shows what it measures.
struct Hedged {
    stage: Stage,
    metrics: std::net::SocketAddr,
}

impl Hedged {
    fn new(endpoints: &[(std::net::SocketAddr, Protocol)], hedge: Option<Hedge>) -> Self {
        let metrics = free_address();
        let limits = [&*format!("metrics={metrics}")];
        let stage = Stage::prepared(endpoints, &limits, |snapshot| {
            let web = snapshot.upstreams.get_mut(&upstream_id("web")).unwrap();
            web.timeout = Duration::from_secs(60);
            web.resilience.hedge = hedge;
        });
        Self { stage, metrics }
    }

    fn counted(&self, name: &str) -> f64 {
        value(
            crate::metrics::get(self.metrics, "/metrics").text(),
            &of_web(name),
        )
    }
}

fn after(after: Duration) -> Option<Hedge> {
    Some(Hedge {
        after: HedgeAfter::Time(after),
        calls: vec!["/shop.Catalog/Get".to_owned()],
    })
}

/// What an instance was asked, how often somebody stopped waiting for it, and whether it answers.
#[derive(Debug, Clone, Default)]
struct Told {
    asked: Arc<AtomicUsize>,
    left: Arc<AtomicUsize>,
    go: Arc<AtomicBool>,
}

/// One that answers nothing until it is told to, in HTTP/1.1.
fn stuck(told: &Told) -> Backend {
    let told = told.clone();
    Backend::start(move |connection| {
        while connection.request().is_some() {
            told.asked.fetch_add(1, SeqCst);
            let soon = Some(Duration::from_millis(5));
            connection.stream.set_read_timeout(soon).unwrap();
            while !told.go.load(SeqCst) {
                if has_ended(connection) {
                    told.left.fetch_add(1, SeqCst);
                    return;
                }
            }
            connection.stream.set_read_timeout(None).unwrap();
            connection.answer("slow");
        }
    })
}

fn has_ended(connection: &Connection) -> bool {
    match connection.stream.peek(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

/// The same in HTTP/2, with a body and trailers as gRPC has them.
fn stuck_in_http2(told: &Told) -> std::net::SocketAddr {
    let told = told.clone();
    http2::backend(h2::server::Builder::new(), move |request, mut respond| {
        let told = told.clone();
        async move {
            let (_, body) = request.into_parts();
            let (body, _) = http2::read(body).await.unwrap();
            told.asked.fetch_add(1, SeqCst);
            while !told.go.load(SeqCst) {
                let reset = std::future::poll_fn(|cx| respond.poll_reset(cx));
                let wait = Duration::from_millis(5);
                if let Ok(reason) = tokio::time::timeout(wait, reset).await {
                    assert_eq!(reason.unwrap(), h2::Reason::CANCEL);
                    told.left.fetch_add(1, SeqCst);
                    return;
                }
            }
            reply(&mut respond, "slow", &body);
        }
    })
}

fn quick_in_http2(told: &Told) -> std::net::SocketAddr {
    let told = told.clone();
    http2::backend(h2::server::Builder::new(), move |request, mut respond| {
        let told = told.clone();
        async move {
            let (_, body) = request.into_parts();
            let (body, _) = http2::read(body).await.unwrap();
            told.asked.fetch_add(1, SeqCst);
            reply(&mut respond, "quick", &body);
        }
    })
}

fn reply(respond: &mut h2::server::SendResponse<Bytes>, name: &str, body: &[u8]) {
    let response = Response::builder().header("content-type", "application/grpc");
    let mut stream = respond
        .send_response(response.body(()).unwrap(), false)
        .unwrap();
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let text = format!("{name} {}", String::from_utf8_lossy(body));
    http2::answer(&mut stream, text, Some(trailers));
}

#[test]
fn a_request_that_waits_gets_the_answer_of_another_and_the_first_is_told_to_stop() {
    for in_http2 in [false, true] {
        let (slow, quick) = (Told::default(), Told::default());
        let (a, b, _keep) = match in_http2 {
            false => {
                let (a, b) = (stuck(&slow), Backend::echo("quick"));
                let ends = ((a.address, Protocol::Http), (b.address, Protocol::Http));
                (ends.0, ends.1, Some((a, b)))
            }
            true => {
                let ends = (stuck_in_http2(&slow), quick_in_http2(&quick));
                ((ends.0, Protocol::Http2), (ends.1, Protocol::Http2), None)
            }
        };
        let mut hedged = Hedged::new(&[a, b], after(SOON));
        let mut client = Client::connect(hedged.stage.edge);
        // The one that is slow is avoided soon, and tried now and then.
        eventually("the slow one was asked", || {
            let answer = client.get("a.test", "/x");
            assert_eq!(answer.status, 200);
            assert!(answer.text().starts_with("quick"), "{}", answer.text());
            slow.asked.load(SeqCst) >= 1
        });
        run(async {
            let client = connect(hedged.stage.edge).await;
            for _ in 0..30 {
                assert!(get(&client, URL).await.text().starts_with("quick"));
            }
        });
        let asked = slow.asked.load(SeqCst);
        eventually("nobody waits for the slow one", || {
            slow.left.load(SeqCst) == asked
        });
        let hedges = hedged.counted("roadbed_service_hedges_total");
        assert!(hedges >= asked as f64, "{hedges} for {asked}");
        assert_eq!(
            hedged.counted("roadbed_service_hedges_won_total"),
            asked as f64
        );
        assert_eq!(hedged.counted("roadbed_service_retries_total"), 0.0);
        hedged.stage.soon_nothing_is_in_flight();
    }
}

#[test]
fn what_is_not_harmless_and_what_declares_nothing_waits_for_the_one_that_has_it() {
    for hedge in [after(SOON), None] {
        let (slow, other) = (Told::default(), Told::default());
        let fleet = [stuck(&slow), stuck(&other)];
        let endpoints = fleet.each_ref().map(|b| (b.address, Protocol::Http));
        let hedged = Hedged::new(&endpoints, hedge.clone());
        let mut post = Client::connect(hedged.stage.edge);
        post.send("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n");
        let all = || slow.asked.load(SeqCst) + other.asked.load(SeqCst);
        eventually("it is there", || all() == 1);
        if hedge.is_some() {
            // One that came later waits for both of them: the first would, too, by now.
            let mut get = Client::connect(hedged.stage.edge);
            get.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
            eventually("it is hedged", || all() == 3);
            slow.go.store(true, SeqCst);
            other.go.store(true, SeqCst);
            assert_eq!(get.answer().text(), "slow");
        }
        slow.go.store(true, SeqCst);
        other.go.store(true, SeqCst);
        assert_eq!(post.answer().text(), "slow");
        let hedges = hedged.counted("roadbed_service_hedges_total");
        assert_eq!(hedges, if hedge.is_some() { 1.0 } else { 0.0 });
        let posts = fleet.iter().flat_map(|backend| backend.received());
        assert_eq!(posts.filter(|all| all.contains("POST")).count(), 1);
    }
}

#[test]
fn a_call_of_grpc_is_made_twice_only_if_that_is_declared() {
    let (slow, quick) = (Told::default(), Told::default());
    let endpoints = [
        (stuck_in_http2(&slow), Protocol::Grpc),
        (quick_in_http2(&quick), Protocol::Grpc),
    ];
    let hedged = Hedged::new(&endpoints, after(SOON));
    let call = |url: &'static str| {
        let request = Request::post(url);
        let request = request.header("content-type", "application/grpc");
        (
            request.header("te", "trailers"),
            Some(&b"\0\0\0\0\x05hello"[..]),
        )
    };
    run(async {
        let client = connect(hedged.stage.edge).await;
        while slow.asked.load(SeqCst) == 0 {
            let (request, body) = call(CALL);
            let answer = ask(&client, request, body).await.unwrap();
            assert_eq!(answer.text(), "quick \0\0\0\0\u{5}hello");
            assert_eq!(answer.trailers.unwrap()["grpc-status"], "0");
        }
        while slow.left.load(SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let hedges = hedged.counted("roadbed_service_hedges_total");
        assert!(hedges >= 1.0);
        // Others wait for the one that has them: until it is told to answer.
        let (before, mut all) = (slow.asked.load(SeqCst), Vec::new());
        while slow.asked.load(SeqCst) == before {
            let (request, body) = call(OTHER_CALL);
            let client = client.clone();
            all.push(tokio::spawn(
                async move { ask(&client, request, body).await },
            ));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        slow.go.store(true, SeqCst);
        for one in all {
            let answer = one.await.unwrap().unwrap();
            assert_eq!(answer.trailers.unwrap()["grpc-status"], "0");
        }
        assert_eq!(hedged.counted("roadbed_service_hedges_total"), hedges);
    });
}

/// A backend whose answers have a long body of one letter, and begin as late as a number says that
/// it draws.
fn lettered(letter: char) -> Backend {
    let seed = Arc::new(AtomicUsize::new(letter as usize));
    Backend::start(move |connection| {
        while let Some((head, _)) = connection.request() {
            let drawn = seed.fetch_add(7_919, SeqCst).wrapping_mul(2_654_435_761) >> 7;
            std::thread::sleep(Duration::from_millis((drawn % 8) as u64));
            let path = head.split(' ').nth(1).unwrap().to_owned();
            let half = letter.to_string().repeat(30_000);
            let length = path.len() + 2 * half.len();
            let first = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{path}{half}");
            // Its reader may be gone already.
            let write = |connection: &mut Connection, text: &str| {
                std::io::Write::write_all(&mut connection.stream, text.as_bytes()).is_ok()
            };
            if !write(connection, &first) || !write(connection, &half) {
                return;
            }
        }
    })
}

#[test]
fn no_answer_is_mixed_from_two_and_each_is_its_own_requests() {
    let fleet = ['A', 'B', 'C'].map(lettered);
    let endpoints = fleet.each_ref().map(|b| (b.address, Protocol::Http));
    // In the middle of the times that answers take: either may be first, and both at once.
    let hedged = Hedged::new(&endpoints, after(Duration::from_millis(3)));
    let check = |path: &str, text: &str| {
        let body = text.strip_prefix(path).expect("it is its own request's");
        assert_eq!(body.len(), 60_000);
        let first = body.chars().next();
        assert!(
            body.chars().all(|letter| Some(letter) == first),
            "it is of one"
        );
    };
    let clients = (0..4).map(|client| {
        let edge = hedged.stage.edge;
        std::thread::spawn(move || {
            let mut connection = Client::connect(edge);
            for number in 0..150 {
                let path = format!("/{client}-{number}:");
                let answer = connection.get("a.test", &path);
                assert_eq!(answer.status, 200);
                check(&path, answer.text());
            }
        })
    });
    clients
        .collect::<Vec<_>>()
        .into_iter()
        .for_each(|client| client.join().unwrap());
    run(async {
        let client = connect(hedged.stage.edge).await;
        for round in 0..4 {
            let all = (0..50).map(|number| {
                let client = client.clone();
                tokio::spawn(async move {
                    let path = format!("/h2-{round}-{number}:");
                    let answer = get(&client, &format!("http://a.test{path}")).await;
                    (path, answer.text().to_owned())
                })
            });
            for one in all.collect::<Vec<_>>() {
                let (path, text) = one.await.unwrap();
                check(&path, &text);
            }
        }
    });
    let hedges = hedged.counted("roadbed_service_hedges_total");
    let won = hedged.counted("roadbed_service_hedges_won_total");
    assert!(won > 0.0 && won < hedges, "{won} of {hedges}");
    // As many as the budget has at most: a fifth, and 10 for each of 10 seconds on each worker.
    assert!(hedges <= 800.0 * 0.2 + 2.0 * 2.0 * 100.0, "{hedges}");
}

#[test]
fn a_first_attempt_that_fails_meanwhile_costs_nothing_and_the_budget_is_shared() {
    // Whoever is asked first hangs up or says that it cannot serve, but only when both are asked.
    let asked = Arc::<AtomicUsize>::default();
    let fleet = [false, true].map(|says| {
        let asked = asked.clone();
        Backend::start(move |connection| {
            while connection.request().is_some() {
                let number = asked.fetch_add(1, SeqCst);
                if number % 2 == 1 {
                    connection.answer("second");
                    continue;
                }
                while asked.load(SeqCst) == number + 1 {
                    std::thread::sleep(Duration::from_millis(1));
                }
                match says {
                    true => connection.send("HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n"),
                    false => return,
                }
            }
        })
    });
    let endpoints = fleet.each_ref().map(|b| (b.address, Protocol::Http));
    let hedged = Hedged::new(&endpoints, after(Duration::from_millis(5)));
    let mut client = Client::connect(hedged.stage.edge);
    for _ in 0..40 {
        let answer = client.get("a.test", "/");
        assert_eq!((answer.status, answer.text()), (200, "second"));
    }
    assert_eq!(hedged.counted("roadbed_service_hedges_total"), 40.0);
    assert_eq!(hedged.counted("roadbed_service_retries_total"), 0.0);
}

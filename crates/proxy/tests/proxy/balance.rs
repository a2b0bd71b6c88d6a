//! Which endpoint the real proxy sends requests to, which it leaves alone for a while, and what it
//! tries twice.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::{Request, Response};
use model::Protocol;
use proxy::protocol::{Counts, FromProxy, ToProxy};

use crate::support::backend::Backend;
use crate::support::client::Client;
use crate::support::http2::{self, ask, connect, get, run};
use crate::support::stage::{Stage, URL};
use crate::support::{Builder, PATIENCE, Setup, eventually, free_address, upstream_id};

/// A backend whose health can be changed and whose requests are counted.
struct Subject {
    backend: Backend,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    asked: AtomicU64,
    is_unwell: AtomicBool,
    /// How long it waits before it answers, in milliseconds.
    wait: AtomicU64,
}

impl Subject {
    fn new(name: &'static str) -> Self {
        let state = Arc::<State>::default();
        let shared = state.clone();
        let backend = Backend::start(move |connection| {
            while connection.request().is_some() {
                shared.asked.fetch_add(1, SeqCst);
                std::thread::sleep(Duration::from_millis(shared.wait.load(SeqCst)));
                match shared.is_unwell.load(SeqCst) {
                    true => connection.send("HTTP/1.1 503 X\r\nContent-Length: 6\r\n\r\nunwell"),
                    false => connection.answer(name),
                }
            }
        });
        Self { backend, state }
    }

    /// One that looks slower than any that fails. Otherwise those are avoided, and it takes long
    /// until they have failed often enough to be ejected.
    fn steady(name: &'static str) -> Self {
        let subject = Self::new(name);
        subject.state.wait.store(10, SeqCst);
        subject
    }

    fn unwell(name: &'static str) -> Self {
        let subject = Self::new(name);
        subject.state.is_unwell.store(true, SeqCst);
        subject
    }

    fn asked(&self) -> u64 {
        self.state.asked.load(SeqCst)
    }
}

fn stage(subjects: &[&Subject], limits: &[&str]) -> Stage {
    let endpoints = subjects
        .iter()
        .map(|subject| (subject.backend.address, Protocol::Http));
    Stage::new(&endpoints.collect::<Vec<_>>(), limits)
}

fn counts(stage: &mut Stage) -> Counts {
    match stage.setup.offer(ToProxy::Count) {
        FromProxy::Counted { upstreams, .. } => upstreams[&upstream_id("web")].clone(),
        other => panic!("{other:?}"),
    }
}

const POST: &str = "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi";

/// The status of the answer to a POST, which is never tried twice.
fn post(client: &mut Client) -> u16 {
    client.send(POST);
    client.answer().status
}

/// Posts until the proxy has ejected so many endpoints in all.
fn post_until_ejected(stage: &mut Stage, client: &mut Client, count: u64) {
    eventually("an endpoint is ejected", || {
        (0..10).for_each(|_| assert!([200, 503].contains(&post(client))));
        counts(stage).ejected >= count
    });
}

#[test]
fn a_slow_endpoint_gets_less_and_all_get_some() {
    let (slow, fast, quick) = (
        Subject::new("slow"),
        Subject::new("fast"),
        Subject::new("quick"),
    );
    // So much slower that a busy machine makes no other look like it.
    slow.state.wait.store(500, SeqCst);
    fast.state.wait.store(10, SeqCst);
    quick.state.wait.store(10, SeqCst);
    let stage = stage(&[&slow, &fast, &quick], &[]);
    let mut client = Client::connect(stage.edge);
    for _ in 0..200 {
        assert_eq!(client.get("a.test", "/").status, 200);
    }
    let asked = [slow.asked(), fast.asked(), quick.asked()];
    assert!(
        (1..=20).contains(&asked[0]) && asked[1] > 0 && asked[2] > 0,
        "{asked:?}"
    );
}

#[test]
fn requests_and_connections_go_where_fewer_are_in_flight() {
    const COUNT: usize = 200;
    for is_http in [true, false] {
        let asked = [(); 2].map(|()| Arc::<AtomicU64>::default());
        let backends = asked.each_ref().map(|asked| {
            let asked = asked.clone();
            Backend::start(move |connection| {
                connection.until(b"\r\n\r\n");
                asked.fetch_add(1, SeqCst);
                connection.drain();
            })
        });
        let addresses = backends.each_ref().map(|backend| backend.address);
        let mesh = free_address();
        let builder = Builder::generation(1).mesh(mesh, "web");
        let builder = match is_http {
            true => builder.http("web", &addresses),
            false => builder.tcp("web", &addresses),
        };
        let _setup = Setup::serving(&builder.0, &[]);
        let clients = (0..COUNT).map(|_| {
            let mut client = Client::connect(mesh);
            client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            client
        });
        let _clients: Vec<_> = clients.collect();
        let both = || asked.each_ref().map(|asked| asked.load(SeqCst));
        eventually("all are there", || {
            both().iter().sum::<u64>() == COUNT as u64
        });
        // Each of the two workers knows what it has in flight itself.
        assert!(both()[0].abs_diff(both()[1]) <= 2, "{:?}", both());
    }
}

#[test]
fn one_that_fails_is_ejected_and_comes_back_when_it_is_well() {
    let (good, bad) = (Subject::steady("good"), Subject::unwell("bad"));
    let mut stage = stage(&[&good, &bad], &["eject=1500"]);
    let mut client = Client::connect(stage.edge);
    post_until_ejected(&mut stage, &mut client, 1);
    let (since, asked) = (Instant::now(), bad.asked());
    assert!(asked >= 5, "five failures in a row eject, not {asked}");
    bad.state.is_unwell.store(false, SeqCst);
    // Nothing reaches it while it is out. The rest of its time may be shortened by a fifth.
    while since.elapsed() < Duration::from_millis(800) {
        assert_eq!(post(&mut client), 200);
    }
    assert_eq!(bad.asked(), asked);
    eventually("it comes back", || {
        post(&mut client) == 200 && bad.asked() > asked + 5
    });
    assert_eq!(counts(&mut stage).ejected, 1);
}

#[test]
fn one_that_refuses_connections_is_ejected_and_costs_nothing() {
    let good = Subject::steady("good");
    let endpoints = [
        (good.backend.address, Protocol::Http),
        (free_address(), Protocol::Http),
    ];
    let mut stage = Stage::new(&endpoints, &[]);
    let mut client = Client::connect(stage.edge);
    eventually("it is ejected", || {
        assert_eq!(post(&mut client), 200);
        counts(&mut stage).ejected == 1
    });
    let retried = counts(&mut stage).retried;
    assert_eq!(retried, 5);
    for _ in 0..50 {
        assert_eq!(post(&mut client), 200);
    }
    assert_eq!(
        counts(&mut stage).retried,
        retried,
        "it is not tried any more"
    );
}

#[test]
fn one_that_does_not_answer_in_time_is_ejected() {
    let (good, silent) = (Subject::steady("good"), Subject::new("silent"));
    silent.state.wait.store(1_000, SeqCst);
    let endpoints = [&good, &silent].map(|subject| (subject.backend.address, Protocol::Http));
    let mut stage = Stage::with_timeout(&endpoints, &[], Duration::from_millis(300));
    let mut client = Client::connect(stage.edge);
    eventually("it is ejected", || {
        let status = client.get("a.test", "/").status;
        assert!(status == 200 || status == 504, "{status}");
        counts(&mut stage).ejected == 1
    });
    let asked = silent.asked();
    for _ in 0..50 {
        drop(client.get("a.test", "/"));
    }
    assert_eq!(silent.asked(), asked);
}

#[test]
fn the_last_endpoint_is_never_ejected() {
    let alone = Subject::unwell("alone");
    let mut one = stage(&[&alone], &[]);
    let mut client = Client::connect(one.edge);
    for _ in 0..50 {
        assert_eq!(post(&mut client), 503);
    }
    assert_eq!((alone.asked(), counts(&mut one).ejected), (50, 0));
    // Of three, one may be out, and the other two go on.
    let fleet = [(); 3].map(|()| Subject::unwell("unwell"));
    let mut three = stage(&[&fleet[0], &fleet[1], &fleet[2]], &[]);
    let mut client = Client::connect(three.edge);
    post_until_ejected(&mut three, &mut client, 1);
    let before: Vec<_> = fleet.iter().map(Subject::asked).collect();
    for _ in 0..100 {
        assert_eq!(post(&mut client), 503);
    }
    let after = fleet.iter().map(Subject::asked);
    let silent = after.zip(before).filter(|(after, before)| after == before);
    assert_eq!((silent.count(), counts(&mut three).ejected), (1, 1));
}

#[test]
fn an_idempotent_request_that_one_cannot_serve_gets_the_answer_of_another_and_a_post_does_not() {
    let (good, bad) = (Subject::steady("good"), Subject::unwell("bad"));
    // Ejected for a moment only, so that it is asked again and again.
    let mut stage = stage(&[&good, &bad], &["eject=1"]);
    let mut client = Client::connect(stage.edge);
    let deadline = Instant::now() + PATIENCE;
    let mut retried = 0;
    while retried < 3 {
        assert_eq!(client.get("a.test", "/").text(), "good");
        retried = counts(&mut stage).retried;
        assert!(
            Instant::now() < deadline,
            "the one that is unwell is never asked"
        );
    }
    assert_eq!(bad.asked(), retried);
    // The connection on which it said so was kept.
    assert_eq!(bad.backend.received().len(), 1);
    while post(&mut client) != 503 {
        assert!(
            Instant::now() < deadline,
            "the one that is unwell is never asked"
        );
    }
    assert_eq!(counts(&mut stage).retried, retried);
    run(async {
        let client = connect(stage.edge).await;
        let asked = bad.asked();
        while bad.asked() < asked + 3 {
            assert_eq!(get(&client, URL).await.text(), "good");
            assert!(
                Instant::now() < deadline,
                "the one that is unwell is never asked"
            );
        }
        loop {
            let answer = ask(&client, Request::post(URL), Some(b"hi")).await.unwrap();
            match answer.head.status.as_u16() {
                200 => assert!(Instant::now() < deadline),
                status => break assert_eq!((status, answer.text()), (503, "unwell")),
            }
        }
    });
}

#[test]
fn streams_of_http2_are_tried_again_and_their_endpoints_ejected_alike() {
    let settings = h2::server::Builder::new;
    let unwell = http2::backend(settings(), |_, mut respond| async move {
        let answer = Response::builder().status(503).body(()).unwrap();
        drop(respond.send_response(answer, true));
    });
    let resetting = http2::backend(settings(), |_, mut respond| async move {
        respond.send_reset(h2::Reason::INTERNAL_ERROR);
    });
    for failing in [unwell, resetting] {
        let slow = http2::backend(settings(), |_, mut respond| async move {
            // It looks slower than one that fails, as `Subject::steady` does.
            tokio::time::sleep(Duration::from_millis(10)).await;
            drop(respond.send_response(Response::new(()), true));
        });
        let endpoints = [failing, slow].map(|at| (at, Protocol::Http2));
        let mut stage = Stage::new(&endpoints, &[]);
        let mut client = Client::connect(stage.edge);
        eventually("it is ejected", || {
            assert_eq!(client.get("a.test", "/").status, 200);
            counts(&mut stage).ejected == 1
        });
        assert_eq!(counts(&mut stage).retried, 5);
        assert_eq!(post(&mut client), 200);
    }
}

#[test]
fn an_answer_that_is_alone_or_has_begun_is_passed_on() {
    let alone = Subject::unwell("alone");
    let mut one = stage(&[&alone], &[]);
    let mut client = Client::connect(one.edge);
    let answer = client.get("a.test", "/");
    assert_eq!((answer.status, answer.text()), (503, "unwell"));
    assert_eq!((alone.asked(), counts(&mut one).retried), (1, 0));
    // Once the client has a part of the answer there is no way back.
    let hinting = || {
        Backend::start(|connection| {
            while connection.request().is_some() {
                connection.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
                connection.send("HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n");
            }
        })
    };
    let backends = [hinting(), hinting()];
    let endpoints = backends
        .each_ref()
        .map(|backend| (backend.address, Protocol::Http));
    let mut two = Stage::new(&endpoints, &[]);
    let mut client = Client::connect(two.edge);
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 103"));
    assert_eq!(client.answer().status, 503);
    assert_eq!(counts(&mut two).retried, 0);
}

#[test]
fn the_rest_of_an_answer_that_is_not_passed_on_is_awaited_and_its_connection_kept() {
    let good = Subject::steady("good");
    let (go, wait) = channel();
    let script = Mutex::new(Some(wait));
    let bad = Backend::start(move |connection| {
        connection.request();
        let Some(wait) = script.lock().unwrap().take() else {
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            return connection.send(head);
        };
        connection.send("HTTP/1.1 503 X\r\nContent-Length: 6\r\n\r\nun");
        wait.recv().unwrap();
        connection.send("well");
        connection.request();
        connection.answer("the same connection");
    });
    let endpoints = [good.backend.address, bad.address].map(|at| (at, Protocol::Http));
    let mut stage = Stage::new(&endpoints, &[]);
    let mut client = Client::connect(stage.edge);
    eventually("an answer is not passed on", || {
        assert_eq!(client.get("a.test", "/").text(), "good");
        counts(&mut stage).retried == 1
    });
    go.send(()).unwrap();
    eventually("the connection is used again", || {
        client.get("a.test", "/").text() == "the same connection"
    });
}

#[test]
fn an_answer_that_breaks_off_in_its_head_is_asked_of_another() {
    let good = Subject::new("good");
    let breaking = Backend::start(|connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\nConte");
        connection.reset_on_close();
    });
    let endpoints = [
        (good.backend.address, Protocol::Http),
        (breaking.address, Protocol::Http),
    ];
    let mut stage = Stage::new(&endpoints, &[]);
    let mut client = Client::connect(stage.edge);
    eventually("the one that breaks is asked", || {
        assert_eq!(client.get("a.test", "/").text(), "good");
        counts(&mut stage).retried > 0
    });
}

#[test]
fn when_all_fail_the_budget_bounds_what_they_are_asked() {
    const REQUESTS: u64 = 2_000;
    let fleet = [(); 3].map(|()| Subject::unwell("unwell"));
    let mut stage = stage(&[&fleet[0], &fleet[1], &fleet[2]], &[]);
    let mut client = Client::connect(stage.edge);
    for _ in 0..REQUESTS {
        // The answer is a backend's own, whether it was the first or the second.
        let answer = client.get("a.test", "/");
        assert_eq!((answer.status, answer.text()), (503, "unwell"));
    }
    let asked: u64 = fleet.iter().map(Subject::asked).sum();
    let counts = counts(&mut stage);
    assert_eq!(
        (counts.answered, asked),
        (REQUESTS, REQUESTS + counts.retried)
    );
    // One connection is one worker: its requests earn a fifth, and there are a few besides.
    assert!(counts.retried > 100, "{counts:?}");
    assert!(counts.retried <= REQUESTS / 5 + 100 * 2, "{counts:?}");
}

//! What a rollout relies on: while requests pour in, endpoints come and go, no request fails, and
//! none arrives at an endpoint whose removal was acknowledged and that has drained.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use proxy::protocol::FromProxy;

use crate::support::backend::Backend;
use crate::support::client::Client;
use crate::support::{Builder, Setup, eventually, free_address};

/// What a backend notes.
#[derive(Default)]
struct Notes {
    connections: AtomicUsize,
    served: AtomicUsize,
    /// The server has taken the instance for stopped.
    stopped: AtomicBool,
    too_late: AtomicUsize,
}

fn noting(notes: &Arc<Notes>) -> Backend {
    let notes = notes.clone();
    Backend::start(move |connection| {
        notes.connections.fetch_add(1, SeqCst);
        while connection.request().is_some() {
            notes.served.fetch_add(1, SeqCst);
            notes
                .too_late
                .fetch_add(notes.stopped.load(SeqCst).into(), SeqCst);
            connection.answer("served");
        }
        notes.connections.fetch_sub(1, SeqCst);
    })
}

/// Sends requests of both kinds until told to stop.
fn keep_asking(address: std::net::SocketAddr, stop: &AtomicBool) {
    while !stop.load(SeqCst) {
        let mut client = Client::connect(address);
        for _ in 0..20 {
            assert_eq!(client.get("x", "/").text(), "served");
            client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody");
            assert_eq!(client.answer().text(), "served");
        }
    }
}

#[test]
fn nothing_fails_and_nothing_reaches_an_endpoint_that_has_drained() {
    let (going, staying) = (Arc::<Notes>::default(), Arc::<Notes>::default());
    let (first, second) = (noting(&going), noting(&staying));
    let mesh = free_address();
    let endpoints = [first.address, second.address];
    let mut both = Builder::generation(1)
        .mesh(mesh, "web")
        .http("web", &endpoints);
    let mut setup = Setup::serving(&both.0, &[]);
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let stop = stop.clone();
            std::thread::spawn(move || keep_asking(mesh, &stop))
        })
        .collect();
    for _ in 0..40 {
        let before = going.served.load(SeqCst);
        eventually("it is asked", || going.served.load(SeqCst) > before + 20);
        let without = both.next().without("web", 1);
        if !setup.change(&both.0, &without.0).is_empty() {
            let instance = "app.web.1.1".parse().unwrap();
            assert_eq!(setup.receive(), FromProxy::Drained { instance });
        }
        going.stopped.store(true, SeqCst);
        eventually("idle connections to it are closed", || {
            going.connections.load(SeqCst) == 0
        });
        let before = staying.served.load(SeqCst);
        eventually("the other is asked", || {
            staying.served.load(SeqCst) > before + 20
        });
        going.stopped.store(false, SeqCst);
        both = without.next().http("web", &endpoints);
        assert!(setup.change(&without.0, &both.0).is_empty());
    }
    stop.store(true, SeqCst);
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!(going.too_late.load(SeqCst), 0);
}

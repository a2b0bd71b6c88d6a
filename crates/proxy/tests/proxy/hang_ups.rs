//! Clients that go away while their request waits for its turn.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use http::Request;
use model::{Connections, Protocol};

use crate::support::backend::Backend;
use crate::support::client::Client;
use crate::support::http2::{connect, get, run};
use crate::support::stage::{Stage, URL};
use crate::support::{eventually, upstream_id};

/// A proxy that lets each worker do one request at a time, and one more wait, for very long.
fn stage(address: SocketAddr) -> Stage {
    Stage::prepared(&[(address, Protocol::Http)], &[], |snapshot| {
        let web = snapshot.upstreams.get_mut(&upstream_id("web")).unwrap();
        web.timeout = Duration::from_secs(60);
        web.resilience.connections = Connections {
            most: Some(1),
            waiting: 1,
            wait: Duration::from_secs(60),
            ..Connections::default()
        };
    })
}

/// A backend that counts what it is asked, and answers when it is told to.
fn held() -> (Backend, Arc<AtomicUsize>, Arc<AtomicBool>) {
    let (asked, go) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
    let (counted, told) = (asked.clone(), go.clone());
    let backend = Backend::start(move |connection| {
        while connection.request().is_some() {
            counted.fetch_add(1, SeqCst);
            while !told.load(SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            connection.answer("served");
        }
    });
    (backend, asked, go)
}

/// Clients of which each worker has one that is served, and one that waits; whoever comes then is
/// refused. Each asks for its number.
fn fill(stage: &Stage) -> Vec<Client> {
    let mut clients: Vec<Client> = Vec::new();
    let mut refused = 0;
    // A new connection comes to either worker.
    while refused < 20 {
        let mut client = Client::connect(stage.edge);
        let number = clients.len();
        client.send(format!(
            "POST /{number} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n"
        ));
        match client.hears_within(Duration::from_millis(200)) {
            true => refused += 1,
            false => clients.push(client),
        }
    }
    assert_eq!(clients.len(), 4);
    clients
}

#[test]
fn a_client_of_http1_that_goes_away_makes_room_in_the_queue() {
    // One has sent more, of which nothing is read while it waits.
    for (ahead, resets) in [("", false), ("GET /next HTTP/1.1", false), ("", true)] {
        let (backend, asked, go) = held();
        let stage = stage(backend.address);
        let clients = fill(&stage);
        eventually("both workers do one", || asked.load(SeqCst) == 2);
        let served = backend.received().concat();
        let is_served = |number: usize| served.contains(&format!("POST /{number} "));
        let mut stay = Vec::new();
        for (number, mut client) in clients.into_iter().enumerate() {
            match is_served(number) {
                true => stay.push(client),
                false if resets => client.reset(),
                false => client.send(ahead),
            }
        }
        // Others have their places, though the backend has answered nothing yet.
        let waiting = fill_again(&stage);
        assert_eq!(asked.load(SeqCst), 2);
        go.store(true, SeqCst);
        for mut client in stay.into_iter().chain(waiting) {
            assert_eq!(client.answer().status, 200);
        }
        // What went away before its turn was never sent.
        let sent = backend.received().concat();
        assert_eq!(sent.matches("POST").count(), 2, "{sent}");
    }
}

/// Two clients that wait.
fn fill_again(stage: &Stage) -> Vec<Client> {
    let mut waiting: Vec<Client> = Vec::new();
    eventually("others may wait", || {
        let mut client = Client::connect(stage.edge);
        client.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
        if !client.hears_within(Duration::from_millis(100)) {
            waiting.push(client);
        }
        waiting.len() == 2
    });
    waiting
}

#[test]
fn a_stream_of_http2_that_is_reset_makes_room_in_the_queue() {
    let (backend, asked, go) = held();
    let stage = stage(backend.address);
    run(async {
        // All of a connection's streams are with one worker.
        let client = connect(stage.edge).await;
        let ask = async || {
            let mut client = client.clone().ready().await.unwrap();
            let request = Request::get(URL).body(()).unwrap();
            client.send_request(request, true).unwrap()
        };
        let (first, _) = ask().await;
        while asked.load(SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (waits, stream) = ask().await;
        let refused = get(&client, URL).await;
        assert_eq!(refused.field("roadbed-reason"), Some("queue-full"));
        drop((waits, stream));
        // Its place is another's, as soon as the proxy has heard of it.
        let next = loop {
            let (mut next, _) = ask().await;
            let soon = Duration::from_millis(100);
            match tokio::time::timeout(soon, &mut next).await {
                Err(_) => break next,
                Ok(answer) => assert_eq!(answer.unwrap().status(), 503),
            }
        };
        go.store(true, SeqCst);
        assert_eq!(first.await.unwrap().status(), 200);
        assert_eq!(next.await.unwrap().status(), 200);
        assert_eq!(
            asked.load(SeqCst),
            2,
            "the one that went away was never sent"
        );
    });
}

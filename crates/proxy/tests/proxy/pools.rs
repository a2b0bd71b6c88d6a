//! How many requests are with the instances at a time, how old connections to them become, and how
//! dead ones are found, through the real proxy.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use http::{Request, Response};
use model::{Connections, Protocol};

use crate::support::backend::Backend;
use crate::support::client::Client;
use crate::support::http2::{self, ask, connect, get, run};
use crate::support::stage::{Stage, URL};
use crate::support::{eventually, upstream_id};

const LONG: Duration = Duration::from_secs(60);

pub(crate) fn stage(
    endpoint: (SocketAddr, Protocol),
    limits: &[&str],
    connections: Connections,
) -> Stage {
    Stage::prepared(&[endpoint], limits, |snapshot| {
        let web = snapshot.upstreams.get_mut(&upstream_id("web")).unwrap();
        web.timeout = LONG;
        web.resilience.connections = connections;
    })
}

/// Backends of both versions that count what they are asked, and answer when they are told to.
pub(crate) fn held(
    asked: &Arc<AtomicUsize>,
    go: &Arc<AtomicBool>,
) -> [(SocketAddr, Protocol, Option<Backend>); 2] {
    let (counted, told) = (asked.clone(), go.clone());
    let plain = Backend::start(move |connection| {
        while connection.request().is_some() {
            counted.fetch_add(1, SeqCst);
            while !told.load(SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            connection.answer("served");
        }
    });
    let (counted, told) = (asked.clone(), go.clone());
    let shared = http2::backend(h2::server::Builder::new(), move |_, mut respond| {
        let (counted, told) = (counted.clone(), told.clone());
        async move {
            counted.fetch_add(1, SeqCst);
            while !told.load(SeqCst) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            http2::answer(&mut stream, "served".to_owned(), None);
        }
    });
    [
        (plain.address, Protocol::Http, Some(plain)),
        (shared, Protocol::Http2, None),
    ]
}

#[test]
fn so_many_are_with_the_instances_so_many_wait_and_the_rest_is_refused() {
    let (asked, go) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
    for (address, protocol, _backend) in held(&asked, &go) {
        asked.store(0, SeqCst);
        go.store(false, SeqCst);
        // Half of it is for each of the two workers; a connection of HTTP/2 is with one of them.
        let connections = Connections {
            most: Some(4),
            waiting: 6,
            wait: LONG,
            ..Connections::default()
        };
        let stage = stage((address, protocol), &[], connections);
        run(async {
            let client = connect(stage.edge).await;
            let all = (0..9).map(|_| {
                let client = client.clone();
                tokio::spawn(async move { get(&client, URL).await })
            });
            let all: Vec<_> = all.collect();
            while all.iter().filter(|one| one.is_finished()).count() < 4 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            while asked.load(SeqCst) < 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(asked.load(SeqCst), 2, "two are there, and three wait");
            go.store(true, SeqCst);
            let (mut served, mut refused) = (0, 0);
            for one in all {
                let answer = one.await.unwrap();
                match answer.head.status.as_u16() {
                    200 => served += 1,
                    status => {
                        assert_eq!((status, answer.field("roadbed-retry")), (503, Some("no")));
                        assert_eq!(answer.field("roadbed-reason"), Some("queue-full"));
                        refused += 1;
                    }
                }
            }
            assert_eq!((served, refused, asked.load(SeqCst)), (5, 4, 5));
        });
    }
}

#[test]
fn who_waits_too_long_is_refused_in_both_versions() {
    let (asked, go) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
    let [(address, protocol, _backend), _] = held(&asked, &go);
    let connections = Connections {
        most: Some(1),
        waiting: 100,
        wait: Duration::from_millis(20),
        ..Connections::default()
    };
    let stage = stage((address, protocol), &[], connections);
    // One for each worker, and then nobody can be served.
    let mut first: Vec<Client> = Vec::new();
    eventually("both workers have one", || {
        let mut client = Client::connect(stage.edge);
        client.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
        first.push(client);
        asked.load(SeqCst) == 2
    });
    let mut client = Client::connect(stage.edge);
    let answer = client.get("a.test", "/");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.field("roadbed-reason"), Some("queue-timeout"));
    run(async {
        let client = connect(stage.edge).await;
        let answer = get(&client, URL).await;
        assert_eq!(answer.field("roadbed-reason"), Some("queue-timeout"));
    });
    go.store(true, SeqCst);
    eventually("it is served again", || {
        client.get("a.test", "/").status == 200
    });
}

#[test]
fn connections_become_so_old_and_no_older() {
    let young = Connections {
        lifetime: Some(Duration::from_millis(100)),
        ..Connections::default()
    };
    let bored = Connections {
        idle: Duration::ZERO,
        ..Connections::default()
    };
    for (connections, is_kept) in [
        (young, false),
        (bored, false),
        (Connections::default(), true),
    ] {
        let backend = Backend::echo("web");
        let plain = stage((backend.address, Protocol::Http), &[], connections);
        let opened = Arc::<AtomicUsize>::default();
        let address = http2::backend_counting(
            h2::server::Builder::new(),
            opened.clone(),
            |_, mut respond| async move { drop(respond.send_response(Response::new(()), true)) },
        );
        let shared = stage((address, Protocol::Http2), &["linger=10"], connections);
        let mut clients = [&plain, &shared].map(|stage| Client::connect(stage.edge));
        let counts = || [backend.received().len(), opened.load(SeqCst)];
        let mut ask = || {
            for client in &mut clients {
                assert_eq!(client.get("a.test", "/").status, 200);
            }
        };
        match is_kept {
            true => {
                (0..200).for_each(|_| ask());
                assert_eq!(counts(), [1, 1]);
            }
            false if connections.idle.is_zero() => {
                // One that many share is given up by the sweeper, which comes now and then.
                (0..5).for_each(|_| ask());
                assert!(counts()[0] >= 4, "{:?}", counts());
            }
            false => eventually("others are opened", || {
                ask();
                counts().iter().all(|count| *count >= 3)
            }),
        }
    }
}

/// Passes bytes on both ways until it freezes, without an end of any connection.
fn line(to: SocketAddr, frozen: &Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let frozen = frozen.clone();
    std::thread::spawn(move || {
        for near in listener.incoming() {
            let (near, far) = (near.unwrap(), TcpStream::connect(to).unwrap());
            let ways = [
                (near.try_clone().unwrap(), far.try_clone().unwrap()),
                (far, near),
            ];
            for (mut from, mut to) in ways {
                let frozen = frozen.clone();
                std::thread::spawn(move || {
                    let mut bytes = [0; 4096];
                    while let Ok(count @ 1..) = from.read(&mut bytes) {
                        while frozen.load(SeqCst) {
                            std::thread::sleep(Duration::from_millis(5));
                        }
                        if to.write_all(&bytes[..count]).is_err() {
                            return;
                        }
                    }
                });
            }
        }
    });
    address
}

#[test]
fn a_backend_of_http2_that_is_dead_is_noticed_and_one_that_is_slow_is_left_in_peace() {
    let slow = http2::backend(h2::server::Builder::new(), |_, mut respond| async move {
        // As long as many pings.
        tokio::time::sleep(Duration::from_millis(500)).await;
        drop(respond.send_response(Response::new(()), true));
    });
    let frozen = Arc::<AtomicBool>::default();
    let address = line(slow, &frozen);
    let connections = Connections::default();
    let stage = stage((address, Protocol::Http2), &["ping=20"], connections);
    run(async {
        let client = connect(stage.edge).await;
        let post = || ask(&client, Request::post(URL), Some(b"hi"));
        for _ in 0..2 {
            assert_eq!(post().await.unwrap().head.status, 200);
        }
        frozen.store(true, SeqCst);
        // Its timeout is a minute.
        let answer = post().await.unwrap();
        assert_eq!(answer.head.status, 502);
        assert_eq!(answer.field("roadbed-reason"), Some("backend-closed"));
        frozen.store(false, SeqCst);
        while post().await.unwrap().head.status != 200 {}
    });
}

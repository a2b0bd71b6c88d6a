//! Snapshots as the server sees them: acknowledged, refused, drained, kept on disk.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use model::Generation;
use proxy::protocol::{FromProxy, PROTOCOL, ToProxy};

use crate::support::backend::Backend;
use crate::support::client::{Client, End};
use crate::support::{Builder, Setup, eventually, free_address};

/// A backend that answers a request when the client has sent "go" as its body.
fn waiting_backend() -> Backend {
    Backend::start(|connection| {
        while connection.request().is_some() {
            connection.answer("served");
        }
    })
}

/// Sends a request that stays in flight until "go" is sent.
fn open_request(address: std::net::SocketAddr, backend: &Backend) -> Client {
    let before = backend.received().len();
    let mut client = Client::connect(address);
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\n");
    eventually("the backend has the request", || {
        backend.received().len() > before
    });
    client
}

#[test]
fn a_first_hello_has_no_generation_and_a_later_one_the_last() {
    let mut setup = Setup::new(&[]);
    let pid = setup.proxy.0.id();
    assert_eq!(
        setup.hello,
        FromProxy::Hello {
            protocol: PROTOCOL,
            pid,
            generation: None
        }
    );
    let snapshot = Builder::generation(7).0;
    setup.offer(ToProxy::Snapshot(snapshot));
    setup.reconnect();
    let generation = Some(Generation(7));
    assert_eq!(
        setup.hello,
        FromProxy::Hello {
            protocol: PROTOCOL,
            pid,
            generation
        }
    );
}

#[test]
fn old_and_foreign_generations_are_refused_and_change_nothing() {
    let backend = Backend::echo("web");
    let mesh = free_address();
    let builder = Builder::generation(5)
        .mesh(mesh, "web")
        .http("web", &[backend.address]);
    let mut setup = Setup::serving(&builder.0, &[]);
    let current = Generation(5);
    let old = Builder::generation(4).0;
    let refused = |offered| FromProxy::Refused {
        offered: Generation(offered),
        current,
    };
    assert_eq!(setup.offer(ToProxy::Snapshot(old.clone())), refused(4));
    let foreign = old.delta_to(&Builder::generation(6).0);
    assert_eq!(setup.offer(ToProxy::Delta(foreign)), refused(6));
    assert_eq!(Client::connect(mesh).get("x", "/").text(), "web / ");
    let again = setup.offer(ToProxy::Snapshot(builder.0.clone()));
    assert!(matches!(again, FromProxy::Acknowledged { generation, .. } if generation == current));
}

#[test]
fn after_the_acknowledgement_nothing_reaches_a_removed_endpoint() {
    let (one, two) = (Backend::echo("one"), Backend::echo("two"));
    let mesh = free_address();
    let both = Builder::generation(1)
        .mesh(mesh, "web")
        .http("web", &[one.address, two.address]);
    let mut setup = Setup::serving(&both.0, &[]);
    // Clients on both workers, with idle connections to both backends behind them.
    let mut clients: Vec<_> = (0..20).map(|_| Client::connect(mesh)).collect();
    for _ in 0..2 {
        clients
            .iter_mut()
            .for_each(|client| drop(client.get("x", "/before")));
    }
    let only_two = both.next().without("web", 1);
    assert_eq!(setup.change(&both.0, &only_two.0), BTreeMap::new());
    let seen = one.received();
    for client in &mut clients {
        assert_eq!(client.get("x", "/after").text(), "two /after ");
    }
    assert_eq!(one.received(), seen);
    let neither = only_two.next().without("web", 2);
    setup.change(&only_two.0, &neither.0);
    assert_eq!(clients[0].get("x", "/").status, 503);
}

#[test]
fn what_is_in_flight_is_reported_busy_until_it_has_drained() {
    let backend = waiting_backend();
    let mesh = free_address();
    let builder = Builder::generation(1)
        .mesh(mesh, "web")
        .http("web", &[backend.address]);
    let mut setup = Setup::serving(&builder.0, &[]);
    let mut clients: Vec<_> = (0..3).map(|_| open_request(mesh, &backend)).collect();
    let gone = builder.next().without("web", 1);
    let busy: BTreeMap<_, _> = [("app.web.1.1".to_owned(), 3)].into();
    assert_eq!(setup.change(&builder.0, &gone.0), busy);
    let last = clients.pop().unwrap();
    for mut client in clients {
        client.send("go");
        assert_eq!(client.answer().text(), "served");
    }
    // A server that comes back is told again.
    setup.reconnect();
    let busy = match setup.offer(ToProxy::Snapshot(gone.0.clone())) {
        FromProxy::Acknowledged { busy, .. } => busy,
        other => panic!("{other:?}"),
    };
    assert_eq!(busy.into_values().collect::<Vec<_>>(), [1]);
    last.reset();
    let instance = "app.web.1.1".parse().unwrap();
    assert_eq!(setup.receive(), FromProxy::Drained { instance });
}

#[test]
fn an_endpoint_that_comes_back_is_not_busy_and_counts_what_it_had() {
    let backend = waiting_backend();
    let mesh = free_address();
    let with = Builder::generation(1)
        .mesh(mesh, "web")
        .http("web", &[backend.address]);
    let mut setup = Setup::serving(&with.0, &[]);
    let mut client = open_request(mesh, &backend);
    let without = with.next().without("web", 1);
    assert_eq!(setup.change(&with.0, &without.0).len(), 1);
    let back = without.next().http("web", &[backend.address]);
    assert_eq!(setup.change(&without.0, &back.0), BTreeMap::new());
    // Nothing of its absence is left: its connections are kept again.
    let (mut other, before) = (Client::connect(mesh), backend.received().len());
    for _ in 0..3 {
        assert_eq!(other.get("x", "/").text(), "served");
    }
    assert_eq!(backend.received().len(), before + 1);
    let without = back.next().without("web", 1);
    assert_eq!(
        setup
            .change(&back.0, &without.0)
            .into_values()
            .collect::<Vec<_>>(),
        [1]
    );
    client.send("go");
    assert_eq!(client.answer().text(), "served");
    assert!(matches!(setup.receive(), FromProxy::Drained { .. }));
}

#[test]
fn a_proxy_serves_from_disk_before_it_has_reached_a_server() {
    let backend = Backend::echo("web");
    let edge = free_address();
    let first = Builder::generation(1)
        .edge(edge)
        .http("web", &[backend.address]);
    let mut setup = Setup::serving(&first.0, &[]);
    let second = first.next().route("a.test", "/", "web");
    setup.change(&first.0, &second.0);
    setup.crash_and_restart();
    eventually("it accepts", || std::net::TcpStream::connect(edge).is_ok());
    assert_eq!(
        Client::connect(edge).get("a.test", "/cold").text(),
        "web /cold "
    );
    setup.accept();
    assert!(matches!(
        setup.hello,
        FromProxy::Hello {
            generation: Some(Generation(2)),
            ..
        }
    ));
}

#[test]
fn a_torn_journal_is_cut_and_a_damaged_base_waits_for_the_server() {
    let backend = Backend::echo("web");
    let mesh = free_address();
    let first = Builder::generation(1)
        .mesh(mesh, "web")
        .http("web", &[backend.address]);
    let mut setup = Setup::serving(&first.0, &[]);
    let second = first.next().without("web", 1);
    setup.change(&first.0, &second.0);
    let folder = setup.home.path().join("proxy");
    let mode = |name: &str| {
        let path = folder.join(name);
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(
        (mode(""), mode("base"), mode("journal")),
        (0o700, 0o600, 0o600)
    );
    let journal = std::fs::read(folder.join("journal")).unwrap();
    std::fs::write(folder.join("journal"), &journal[..journal.len() - 1]).unwrap();
    setup.crash_and_restart();
    setup.accept();
    assert!(matches!(
        setup.hello,
        FromProxy::Hello {
            generation: Some(Generation(1)),
            ..
        }
    ));
    assert_eq!(Client::connect(mesh).get("x", "/").text(), "web / ");
    // What was cut off is made up for, and then damaged within.
    setup.change(&first.0, &second.0);
    let mut journal = std::fs::read(folder.join("journal")).unwrap();
    let middle = journal.len() / 2;
    journal[middle] ^= 1;
    std::fs::write(folder.join("journal"), journal).unwrap();
    setup.crash_and_restart();
    setup.accept();
    assert_eq!(Client::connect(mesh).get("x", "/").text(), "web / ");
    std::fs::write(folder.join("base"), "not a snapshot").unwrap();
    setup.crash_and_restart();
    setup.accept();
    assert!(matches!(
        setup.hello,
        FromProxy::Hello {
            generation: None,
            ..
        }
    ));
    setup.offer(ToProxy::Snapshot(first.0.clone()));
    assert_eq!(Client::connect(mesh).get("x", "/").text(), "web / ");
}

#[test]
fn many_deltas_are_compacted_and_survive() {
    let edge = free_address();
    let mut builder = Builder::generation(1).edge(edge);
    let mut setup = Setup::serving(&builder.0, &[]);
    let backend = Backend::echo("web");
    let folder = setup.home.path().join("proxy");
    for round in 0..40 {
        let mut next = builder.next().http("web", &[backend.address]);
        for n in 0..100 {
            next = next.route(&format!("h{n}.test"), &format!("/r{round}"), "web");
        }
        setup.change(&builder.0, &next.0);
        builder = next;
    }
    let journal = std::fs::metadata(folder.join("journal")).unwrap().len();
    let base = std::fs::metadata(folder.join("base")).unwrap().len();
    assert!(
        journal <= base.max(proxy::limits::JOURNAL_BYTES) * 2,
        "{journal} over {base}"
    );
    setup.crash_and_restart();
    setup.accept();
    assert!(matches!(
        setup.hello,
        FromProxy::Hello {
            generation: Some(Generation(41)),
            ..
        }
    ));
    assert_eq!(
        Client::connect(edge).get("h99.test", "/r39/x").text(),
        "web /r39/x "
    );
}

#[test]
fn a_taken_port_is_reported_hinders_no_other_and_is_served_once_free() {
    let backend = Backend::echo("web");
    let (edge, mesh) = (free_address(), free_address());
    let squatter = TcpListener::bind(edge).unwrap();
    let builder = Builder::generation(1)
        .edge(edge)
        .mesh(mesh, "web")
        .http("web", &[backend.address])
        .route("a.test", "/", "web");
    let mut setup = Setup::new(&[]);
    match setup.offer(ToProxy::Snapshot(builder.0.clone())) {
        FromProxy::Acknowledged {
            listener_failures, ..
        } => {
            assert_eq!(listener_failures.keys().collect::<Vec<_>>(), ["edge"]);
            assert!(listener_failures["edge"].contains("Address already in use"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(Client::connect(mesh).get("x", "/").text(), "web / ");
    drop(squatter);
    match setup.receive() {
        FromProxy::Acknowledged {
            generation,
            listener_failures,
            ..
        } => {
            assert_eq!((generation, listener_failures.len()), (Generation(1), 0));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(Client::connect(edge).get("a.test", "/").text(), "web / ");
}

#[test]
fn a_listener_for_which_descriptors_are_short_is_reported_and_served_later() {
    let backend = Backend::echo("web");
    let (mesh, other) = (free_address(), free_address());
    let with_one = Builder::generation(1)
        .mesh(mesh, "web")
        .http("web", &[backend.address]);
    let mut setup = Setup::serving(&with_one.0, &[]);
    let mut client = Client::connect(mesh);
    assert_eq!(client.get("x", "/").text(), "web / ");
    // Enough for a socket and the duplicate of one worker.
    setup.proxy.limit_descriptors(Some(2));
    let with_two = with_one.next().mesh(other, "other");
    let delta = with_one.0.delta_to(&with_two.0);
    match setup.offer(ToProxy::Delta(delta)) {
        FromProxy::Acknowledged {
            generation,
            listener_failures,
            ..
        } => {
            assert_eq!(generation, Generation(2));
            let (id, error) = listener_failures.first_key_value().unwrap();
            assert_eq!(id, "mesh/app/caller/other");
            assert!(error.contains("Too many open files"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(client.get("x", "/").text(), "web / ");
    setup.proxy.limit_descriptors(None);
    match setup.receive() {
        FromProxy::Acknowledged {
            listener_failures, ..
        } => assert_eq!(listener_failures, BTreeMap::new()),
        other => panic!("{other:?}"),
    }
    assert_eq!(Client::connect(other).get("x", "/").status, 503);
}

#[test]
fn a_removed_listener_closes_while_requests_in_flight_finish() {
    let backend = waiting_backend();
    let (mesh, other) = (free_address(), free_address());
    let both = Builder::generation(1)
        .mesh(mesh, "web")
        .mesh(other, "other")
        .http("other", &[backend.address])
        .http("web", &[backend.address]);
    let mut setup = Setup::serving(&both.0, &[]);
    let mut busy = open_request(mesh, &backend);
    let (mut idle, mut unchanged) = (Client::connect(mesh), Client::connect(other));
    assert_eq!(unchanged.get("x", "/").text(), "served");
    assert_eq!(idle.get("x", "/").text(), "served");
    let mut without = both.next();
    without.0.listeners.remove("mesh/app/caller/web").unwrap();
    assert_eq!(setup.change(&both.0, &without.0), BTreeMap::new());
    assert!(
        std::net::TcpStream::connect(mesh).is_err(),
        "it still accepts"
    );
    assert_eq!(idle.rest(), (vec![], End::Orderly));
    busy.send("go");
    let answer = busy.answer();
    assert_eq!(
        (answer.text(), answer.field("connection")),
        ("served", Some("close"))
    );
    assert_eq!(unchanged.get("x", "/").text(), "served");
}

#[test]
fn no_connection_is_refused_half_way_when_its_listener_is_removed() {
    let backend = Backend::echo("web");
    let mesh = free_address();
    let with = Builder::generation(1)
        .mesh(mesh, "web")
        .http("web", &[backend.address]);
    let mut setup = Setup::serving(&with.0, &[]);
    // These are in the kernel's queue or accepted when the removal arrives; all are served.
    let mut clients: Vec<_> = (0..100).map(|_| Client::connect(mesh)).collect();
    for client in &mut clients {
        client.send("GET /queued HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    let mut without = with.next();
    without.0.listeners.clear();
    setup.change(&with.0, &without.0);
    for client in &mut clients {
        assert_eq!(client.answer().text(), "web /queued ");
    }
}

#[test]
fn a_second_proxy_for_the_same_home_is_refused() {
    let setup = Setup::new(&[]);
    let mut second = crate::support::Proxy::start(setup.home.path(), &[]);
    assert!(!second.0.wait().unwrap().success());
}

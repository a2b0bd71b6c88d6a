//! The ways to choose an instance that a service can declare, through the real proxy.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use http::Request;
use model::{Balance, FieldName, HashKey, Protocol, Resilience};

use crate::support::backend::Backend;
use crate::support::client::Client;
use crate::support::http2::{ask, connect, run};
use crate::support::stage::{Stage, URL};
use crate::support::upstream_id;

/// Backends that answer with their number.
fn backends(count: usize) -> Vec<Backend> {
    let one = |number: usize| {
        Backend::start(move |connection| {
            while connection.request().is_some() {
                connection.answer(&number.to_string());
            }
        })
    };
    (0..count).map(one).collect()
}

fn stage(backends: &[Backend], balance: Balance) -> Stage {
    let endpoints = backends.iter().map(|b| (b.address, Protocol::Http));
    Stage::prepared(&endpoints.collect::<Vec<_>>(), &[], |snapshot| {
        let web = snapshot.upstreams.get_mut(&upstream_id("web")).unwrap();
        web.resilience = Resilience {
            balance,
            ..Resilience::default()
        };
    })
}

fn sticky(key: HashKey) -> Balance {
    let bounded = false;
    Balance::Hash { key, bounded }
}

#[test]
fn each_has_its_turn() {
    let backends = backends(3);
    let stage = stage(&backends, Balance::RoundRobin);
    let mut client = Client::connect(stage.edge);
    let mut get = || client.get("a.test", "/").text().to_owned();
    let first = [get(), get(), get()];
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 3, "{first:?}");
    for _ in 0..5 {
        assert_eq!([get(), get(), get()], first);
    }
}

#[test]
fn requests_go_where_the_fewest_are() {
    let all = backends(2);
    let stuck = Arc::<AtomicUsize>::default();
    let shared = stuck.clone();
    let waiting = Backend::start(move |connection| {
        connection.request();
        shared.fetch_add(1, SeqCst);
        connection.drain();
    });
    let endpoints = [all[0].address, waiting.address, all[1].address];
    let endpoints = endpoints.map(|at| (at, Protocol::Http));
    let mut stage = Stage::new(&endpoints, &[]);
    stage.change(|snapshot| {
        let web = snapshot.upstreams.get_mut(&upstream_id("web")).unwrap();
        web.resilience.balance = Balance::LeastConnections;
    });
    run(async {
        // One connection of HTTP/2 is one worker, which knows all of its requests.
        let client = connect(stage.edge).await;
        let mut waits = Vec::new();
        for _ in 0..40 {
            let before = stuck.load(SeqCst);
            let mut asked = Box::pin(ask(&client, Request::get(URL), None));
            let is_stuck = async {
                while stuck.load(SeqCst) == before {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            tokio::select! {
                biased;
                answer = &mut asked => assert_eq!(answer.unwrap().head.status, 200),
                () = is_stuck => waits.push(asked),
            }
        }
        // The one that is busy is not asked again.
        assert_eq!(stuck.load(SeqCst), 1);
    });
}

#[test]
fn requests_that_are_alike_stay_together_in_both_versions_and_when_another_goes() {
    let header = HashKey::Header(FieldName::new("x-user").unwrap());
    let (cookie, path) = (HashKey::Cookie("session".to_owned()), HashKey::Path);
    for key in [header, cookie, path] {
        let backends = backends(5);
        let mut stage = stage(&backends, sticky(key.clone()));
        let of_user = |user: usize| match &key {
            HashKey::Header(_) => ("/".to_owned(), format!("X-User: u{user}")),
            HashKey::Cookie(_) => ("/".to_owned(), format!("Cookie: a=b; session=u{user}")),
            _ => (format!("/u{user}?{user}=x"), "X-Other: 1".to_owned()),
        };
        let plain = |client: &mut Client, user: usize| -> usize {
            let (path, field) = of_user(user);
            client.send(format!(
                "GET {path} HTTP/1.1\r\nHost: a.test\r\n{field}\r\n\r\n"
            ));
            client.answer().text().parse().unwrap()
        };
        let mut client = Client::connect(stage.edge);
        let at: Vec<usize> = (0..40).map(|user| plain(&mut client, user)).collect();
        assert!(at.iter().collect::<BTreeSet<_>>().len() > 2, "{at:?}");
        // Other connections, which other workers may have.
        for _ in 0..4 {
            let mut client = Client::connect(stage.edge);
            for (user, expected) in at.iter().enumerate() {
                assert_eq!(plain(&mut client, user), *expected);
            }
        }
        run(async {
            let client = connect(stage.edge).await;
            for (user, expected) in at.iter().enumerate() {
                let (path, field) = of_user(user);
                let (name, value) = field.split_once(": ").unwrap();
                let request = Request::get(format!("http://a.test{path}")).header(name, value);
                let answer = ask(&client, request, None).await.unwrap();
                assert_eq!(answer.text().parse::<usize>().unwrap(), *expected);
            }
        });
        stage.change(|snapshot| {
            let web = snapshot.upstreams.get_mut(&upstream_id("web")).unwrap();
            web.endpoints.remove(&"app.web.1.3".parse().unwrap());
        });
        for (user, before) in at.iter().enumerate() {
            let now = plain(&mut client, user);
            assert!(now != 2 && (*before == 2 || now == *before));
        }
    }
}

#[test]
fn clients_stay_by_their_address_and_who_shows_nothing_goes_anywhere() {
    let backends = backends(5);
    let by_address = stage(&backends, sticky(HashKey::ClientAddress));
    let at = (0..20).map(|_| {
        let mut client = Client::connect(by_address.edge);
        client.get("a.test", "/").text().to_owned()
    });
    assert_eq!(at.collect::<BTreeSet<_>>().len(), 1);
    let by_cookie = stage(&backends, sticky(HashKey::Cookie("session".to_owned())));
    let mut client = Client::connect(by_cookie.edge);
    let at = (0..100).map(|_| client.get("a.test", "/").text().to_owned());
    assert_eq!(at.collect::<BTreeSet<_>>().len(), 5);
}

//! What the proxy says became of requests.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use model::Protocol;
use proxy::protocol::{Counts, FromProxy, ToProxy};

use crate::support::backend::Backend;
use crate::support::client::{Client, End};
use crate::support::http2::{self, ask, connect, get, run};
use crate::support::stage::{Stage, URL};
use crate::support::{eventually, upstream_id};

/// What the proxy says now, and how many connections clients have.
fn count(stage: &mut Stage) -> (Counts, u64) {
    match stage.setup.offer(ToProxy::Count) {
        FromProxy::Counted {
            upstreams,
            connections,
        } => (upstreams[&upstream_id("web")], connections),
        other => panic!("{other:?}"),
    }
}

/// Waits until the proxy has seen what its client has done, and compares.
#[track_caller]
fn eventually_counts(stage: &mut Stage, answered: u64, failed: u64, cut: u64) {
    let expected = Counts {
        answered,
        failed,
        cut,
        ..Counts::default()
    };
    let mut last = Counts::default();
    eventually("the requests are counted", || {
        last = count(stage).0;
        last.answered + last.cut >= expected.answered + expected.cut
    });
    assert_eq!(last, expected);
}

/// A backend of HTTP/1.1 that sends the beginning of an answer as soon as it has a head.
fn begins_in_http1() -> Backend {
    Backend::start(|connection| {
        connection.head();
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n");
        connection.drain();
    })
}

/// The same in HTTP/2.
fn begins_in_http2() -> std::net::SocketAddr {
    http2::backend(h2::server::Builder::new(), |_, mut respond| async move {
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        stream
            .send_data(Bytes::from_static(b"part"), false)
            .unwrap();
        // The other side ends it.
        let _ = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
    })
}

#[test]
fn answers_are_counted_and_those_that_say_that_the_service_failed() {
    let backend = Backend::start(|connection| {
        while let Some((head, _)) = connection.request() {
            let status = head.split(['?', ' ']).nth(2).unwrap().to_owned();
            connection.send(format!(
                "HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok"
            ));
        }
    });
    let mut stage = Stage::new(&[(backend.address, Protocol::Http)], &[]);
    assert_eq!(count(&mut stage), (Counts::default(), 0));
    let mut client = Client::connect(stage.edge);
    for status in [200, 404, 500, 503] {
        assert_eq!(client.get("a.test", &format!("/?{status}")).status, status);
    }
    // No request to this service.
    assert_eq!(client.get("b.test", "/?200").status, 404);
    eventually_counts(&mut stage, 4, 2, 0);
    assert_eq!(count(&mut stage).1, 1);
    run(async {
        let client = connect(stage.edge).await;
        for status in [200, 404, 500, 503] {
            let answer = get(&client, &format!("http://a.test/?{status}")).await;
            assert_eq!(answer.head.status, status);
        }
    });
    eventually_counts(&mut stage, 8, 4, 0);
    stage.lead_to(&[]);
    assert_eq!(client.get("a.test", "/?200").status, 503);
    eventually_counts(&mut stage, 9, 5, 0);
    drop(client);
    eventually("no connection is left", || count(&mut stage).1 == 0);
}

#[test]
fn what_a_client_gives_up_is_cut_however_far_it_was() {
    let (one, two) = (begins_in_http1(), begins_in_http2());
    for endpoint in [(one.address, Protocol::Http), (two, Protocol::Http2)] {
        let mut stage = Stage::new(&[endpoint], &[]);
        let mut cut = 0;
        for half in [
            "Content-Length: 9\r\n\r\nhalf",
            "Transfer-Encoding: chunked\r\n\r\n9\r\nha",
        ] {
            for in_order in [true, false] {
                let mut client = Client::connect(stage.edge);
                client.send(format!("POST /x HTTP/1.1\r\nHost: a.test\r\n{half}"));
                client.until(b"part\r\n");
                cut += 1;
                match in_order {
                    true => {
                        client.finish();
                        // Half a request has no whole answer.
                        assert_eq!(client.rest(), (vec![], End::Reset), "{endpoint:?}");
                    }
                    false => client.reset(),
                }
                eventually_counts(&mut stage, 0, 0, cut);
            }
        }
        run(async {
            let client = connect(stage.edge).await;
            let request = ask(&client, Request::get(URL), None);
            let limit = Duration::from_millis(300);
            assert!(tokio::time::timeout(limit, request).await.is_err());
        });
        eventually_counts(&mut stage, 0, 0, cut + 1);
        stage.nothing_is_in_flight();
    }
}

//! Instances of gRPC that say that they are unavailable, in either place where a call's status is.

use http::{HeaderMap, HeaderValue, Request, Response};
use model::Protocol;
use proxy::protocol::{Counts, FromProxy, ToProxy};

use crate::support::http2::{self, Whole, ask, connect, run};
use crate::support::stage::{Stage, URL};
use crate::support::upstream_id;

/// Answers every call with this status, in its head or after some content.
fn service(status: &'static str, in_head: bool, name: &'static str) -> std::net::SocketAddr {
    http2::backend(
        h2::server::Builder::new(),
        move |_, mut respond| async move {
            let answer = Response::builder().header("content-type", "application/grpc");
            let answer = answer.header("name", name);
            if in_head {
                let answer = answer.header("grpc-status", status).body(()).unwrap();
                drop(respond.send_response(answer, true));
                return;
            }
            let mut stream = respond
                .send_response(answer.body(()).unwrap(), false)
                .unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static(status));
            http2::answer(&mut stream, "\0\0\0\0\0".to_owned(), Some(trailers));
        },
    )
}

fn counts(stage: &mut Stage) -> Counts {
    match stage.setup.offer(ToProxy::Count) {
        FromProxy::Counted { upstreams, .. } => upstreams[&upstream_id("web")].clone(),
        other => panic!("{other:?}"),
    }
}

async fn call(client: &h2::client::SendRequest<bytes::Bytes>) -> Whole {
    let request = Request::post(URL).header("content-type", "application/grpc");
    let answer = ask(
        client,
        request.header("te", "trailers"),
        Some(b"\0\0\0\0\0"),
    );
    answer.await.unwrap()
}

#[test]
fn one_that_is_unavailable_is_ejected_and_one_that_has_other_trouble_is_not() {
    for (status, in_head, ejected) in [
        ("14", true, 1),
        ("14", false, 1),
        ("13", true, 0),
        ("5", false, 0),
    ] {
        let endpoints = [
            (service("0", false, "well"), Protocol::Grpc),
            (service(status, in_head, "unwell"), Protocol::Grpc),
        ];
        let mut stage = Stage::new(&endpoints, &[]);
        // One way is as good as another to ask both again and again.
        stage.change(|snapshot| {
            let web = snapshot.upstreams.get_mut(&upstream_id("web")).unwrap();
            web.resilience.balance = model::Balance::RoundRobin;
        });
        run(async {
            let client = connect(stage.edge).await;
            let mut unwell = 0;
            for _ in 0..40 {
                let answer = call(&client).await;
                unwell += usize::from(answer.field("name") == Some("unwell"));
            }
            match ejected {
                0 => assert_eq!(unwell, 20, "{status}"),
                _ => assert_eq!(unwell, 5, "{status} in its head: {in_head}"),
            }
        });
        let counts = counts(&mut stage);
        assert_eq!((counts.ejected, counts.retried), (ejected, 0), "{status}");
    }
}

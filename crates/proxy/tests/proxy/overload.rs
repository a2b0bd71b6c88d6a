//! Services that get more than they can do: what the real proxy refuses, and how it says so.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{Request, Response};
use model::{Overload, Priority, Protocol};
use proxy::protocol::{Counts, FromProxy, ToProxy};

use crate::support::backend::Backend;
use crate::support::client::Client;
use crate::support::http2::{self, ask, connect, get, run};
use crate::support::stage::{Stage, URL};
use crate::support::{eventually, upstream_id};

/// A backend that serves one request at a time.
pub(crate) struct Narrow {
    pub(crate) backend: Backend,
    /// How many wait or are served.
    waiting: Arc<AtomicU64>,
    served: Arc<AtomicU64>,
    /// Whether none is served any more.
    stands: Arc<AtomicBool>,
}

impl Narrow {
    pub(crate) fn start(serves: Duration) -> Self {
        let (waiting, served) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let stands = Arc::<AtomicBool>::default();
        let shared = (waiting.clone(), served.clone(), stands.clone());
        let turn = Mutex::new(());
        let backend = Backend::start(move |connection| {
            let (waiting, served, stands) = &shared;
            while connection.request().is_some() {
                waiting.fetch_add(1, SeqCst);
                {
                    let _turn = turn.lock().unwrap_or_else(|error| error.into_inner());
                    std::thread::sleep(serves);
                    while stands.load(SeqCst) {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
                waiting.fetch_sub(1, SeqCst);
                served.fetch_add(1, SeqCst);
                connection.answer("served");
            }
        });
        Self {
            backend,
            waiting,
            served,
            stands,
        }
    }
}

pub(crate) fn limited(backend: &Backend, overload: Overload) -> Stage {
    let endpoints = [(backend.address, Protocol::Http)];
    Stage::prepared(&endpoints, &[], |snapshot| {
        let web = snapshot.upstreams.get_mut(&upstream_id("web")).unwrap();
        web.resilience.overload = overload;
    })
}

fn counts(stage: &mut Stage) -> Counts {
    match stage.setup.offer(ToProxy::Count) {
        FromProxy::Counted { upstreams, .. } => upstreams[&upstream_id("web")].clone(),
        other => panic!("{other:?}"),
    }
}

/// Clients that ask again as soon as they are answered, until this is dropped.
pub(crate) struct Crowd {
    ends: Arc<AtomicBool>,
    clients: Vec<std::thread::JoinHandle<()>>,
}

impl Crowd {
    pub(crate) fn of(count: usize, stage: &Stage, path: &'static str) -> Self {
        let ends = Arc::<AtomicBool>::default();
        let clients = (0..count).map(|_| {
            let (edge, ends) = (stage.edge, ends.clone());
            std::thread::spawn(move || {
                let mut client = Client::connect(edge);
                while !ends.load(SeqCst) {
                    let answer = client.get("a.test", path);
                    match answer.status {
                        200 => assert_eq!(answer.text(), "served"),
                        503 => {
                            assert_eq!(answer.field("roadbed-reason"), Some("overloaded"));
                            assert_eq!(answer.field("roadbed-retry"), Some("no"));
                            // As those do that are told to come later.
                            std::thread::sleep(Duration::from_millis(5));
                        }
                        other => panic!("{other}"),
                    }
                }
            })
        });
        let clients = clients.collect();
        Self { ends, clients }
    }

    pub(crate) fn end(self) {
        self.ends.store(true, SeqCst);
        for client in self.clients {
            client.join().unwrap();
        }
    }
}

#[test]
fn what_is_too_much_is_refused_and_the_rest_does_not_wait_for_it() {
    const CLIENTS: usize = 60;
    let narrow = Narrow::start(Duration::from_millis(2));
    let mut stage = limited(
        &narrow.backend,
        Overload::Latency(Duration::from_millis(20)),
    );
    let crowd = Crowd::of(CLIENTS, &stage, "/");
    eventually("something is refused", || counts(&mut stage).refused > 100);
    // Once the limit has come down, far fewer wait than there are clients.
    eventually("few wait", || {
        let start = narrow.served.load(SeqCst);
        let mut most = 0;
        while narrow.served.load(SeqCst) < start + 300 {
            most = most.max(narrow.waiting.load(SeqCst));
            std::thread::yield_now();
        }
        most <= CLIENTS as u64 / 2
    });
    run(async {
        // In HTTP/2 it is told the same: as many at once, until one of them is one too many.
        let client = connect(stage.edge).await;
        let mut is_refused = false;
        while !is_refused {
            let asked = (0..CLIENTS).map(|_| {
                let client = client.clone();
                tokio::spawn(async move { get(&client, URL).await })
            });
            for answer in asked.collect::<Vec<_>>() {
                let answer = answer.await.unwrap();
                if answer.head.status == 503 {
                    assert_eq!(answer.field("roadbed-reason"), Some("overloaded"));
                    assert_eq!(answer.field("roadbed-retry"), Some("no"));
                    is_refused = true;
                } else {
                    assert_eq!(answer.text(), "served");
                }
            }
        }
    });
    crowd.end();
    let counts = counts(&mut stage);
    assert_eq!((counts.retried, counts.ejected), (0, 0));
    assert_eq!(counts.failed, counts.refused);
}

#[test]
fn where_nothing_may_be_refused_and_where_nothing_is_slow_nothing_is() {
    let narrow = Narrow::start(Duration::from_millis(1));
    for overload in [Overload::Off, Overload::Usual] {
        let mut stage = limited(&narrow.backend, overload);
        let crowd = Crowd::of(60, &stage, "/");
        let served = narrow.served.load(SeqCst);
        eventually("much is served", || {
            narrow.served.load(SeqCst) > served + 2_000
        });
        crowd.end();
        assert_eq!(counts(&mut stage).refused, 0, "{overload:?}");
    }
}

/// Asks for `path` until that is refused, of a service that stands: how many of these were let in and
/// wait for it.
async fn let_in(client: &SendRequest<Bytes>, narrow: &Narrow, path: &str) -> u64 {
    let url = format!("http://a.test{path}");
    let before = narrow.waiting.load(SeqCst);
    for let_in in 0.. {
        let (client, url) = (client.clone(), url.clone());
        let asked = tokio::spawn(async move { get(&client, &url).await });
        while narrow.waiting.load(SeqCst) == before + let_in && !asked.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if asked.is_finished() {
            let answer = asked.await.unwrap();
            assert_eq!(answer.field("roadbed-reason"), Some("overloaded"));
            return let_in;
        }
    }
    unreachable!("one is refused, or the test takes too long")
}

#[test]
fn those_of_low_priority_are_refused_first() {
    let narrow = Narrow::start(Duration::from_millis(2));
    let mut stage = limited(
        &narrow.backend,
        Overload::Latency(Duration::from_millis(20)),
    );
    stage.change(|snapshot| {
        let web = snapshot.upstreams.get_mut(&upstream_id("web")).unwrap();
        web.timeout = Duration::from_secs(60);
        let route = snapshot.routes.values().next().unwrap().clone();
        for (path, priority) in [("/low", Priority::Low), ("/high", Priority::High)] {
            let mut route = route.clone();
            let prefix = model::PathPrefix::new(path).unwrap();
            route.matching.path = model::PathPattern::Prefix(prefix);
            route.treatment.priority = priority;
            snapshot.routes.insert(path.to_owned(), route);
        }
    });
    let crowd = Crowd::of(60, &stage, "/low");
    run(async {
        // One connection is with one worker. Once that has refused something it has a limit.
        let client = connect(stage.edge).await;
        while get(&client, "http://a.test/low").await.head.status == 200 {}
        crowd.end();
        // Without answers that does not change, and nobody goes who waits: no time has a part in it.
        eventually("none of the crowd waits", || {
            narrow.waiting.load(SeqCst) == 0
        });
        narrow.stands.store(true, SeqCst);
        let low = let_in(&client, &narrow, "/low").await;
        let high = let_in(&client, &narrow, "/high").await;
        assert!(low > 0 && high > 0, "{low} of low, then {high} of high");
        assert_eq!(let_in(&client, &narrow, "/low").await, 0);
        narrow.stands.store(false, SeqCst);
    });
}

#[test]
fn one_behind_us_that_refuses_is_not_asked_again_nor_ejected() {
    let asked = Arc::<AtomicU64>::default();
    let refusing = |asked: &Arc<AtomicU64>| {
        let asked = asked.clone();
        Backend::start(move |connection| {
            while connection.request().is_some() {
                asked.fetch_add(1, SeqCst);
                connection
                    .send("HTTP/1.1 503 X\r\nRoadbed-Retry:  no \r\nContent-Length: 4\r\n\r\nbusy");
            }
        })
    };
    let fleet = [refusing(&asked), refusing(&asked)];
    let endpoints = fleet.each_ref().map(|b| (b.address, Protocol::Http));
    let mut stage = Stage::new(&endpoints, &[]);
    let mut client = Client::connect(stage.edge);
    for _ in 0..20 {
        let answer = client.get("a.test", "/");
        assert_eq!((answer.status, answer.text()), (503, "busy"));
        assert_eq!(answer.field("roadbed-retry"), Some("no"));
    }
    run(async {
        let client = connect(stage.edge).await;
        for _ in 0..20 {
            assert_eq!(get(&client, URL).await.text(), "busy");
        }
    });
    let counted = counts(&mut stage);
    assert_eq!(
        (asked.load(SeqCst), counted.retried, counted.ejected),
        (40, 0, 0)
    );
    assert_eq!(counted.refused, 0, "it was not we who refused");
}

#[test]
fn one_of_http2_that_refuses_is_not_asked_again_either() {
    let asked = Arc::<AtomicU64>::default();
    let refusing = || {
        let asked = asked.clone();
        http2::backend(h2::server::Builder::new(), move |_, mut respond| {
            let asked = asked.clone();
            async move {
                asked.fetch_add(1, SeqCst);
                let answer = Response::builder()
                    .status(503)
                    .header("roadbed-retry", "no");
                drop(respond.send_response(answer.body(()).unwrap(), true));
            }
        })
    };
    let endpoints = [refusing(), refusing()].map(|at| (at, Protocol::Http2));
    let mut stage = Stage::new(&endpoints, &[]);
    let mut client = Client::connect(stage.edge);
    for _ in 0..20 {
        assert_eq!(client.get("a.test", "/").status, 503);
    }
    run(async {
        let client = connect(stage.edge).await;
        for _ in 0..20 {
            let answer = ask(&client, Request::get(URL), None).await.unwrap();
            assert_eq!(answer.head.status, 503);
        }
    });
    let counted = counts(&mut stage);
    assert_eq!(
        (asked.load(SeqCst), counted.retried, counted.ejected),
        (40, 0, 0)
    );
}

/// Asks a service that is well so often, before and after it has requests under way that `hold` makes;
/// how many were refused.
fn refused_beside(hold: impl Fn(&mut SendRequest<Bytes>) -> Held) -> u32 {
    let backend = Backend::start(|connection| {
        while let Some((head, _)) = connection.request() {
            match head.starts_with("GET /poll") {
                // Until whoever asks has had enough.
                true => while connection.fill() {},
                false => connection.answer("web"),
            }
        }
    });
    let stage = Stage::new(&[(backend.address, Protocol::Http)], &[]);
    let count = std::cell::Cell::new(0);
    run(async {
        let client = connect(stage.edge).await;
        for _ in 0..100 {
            get(&client, URL).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut held = Vec::new();
        for _ in 0..120 {
            held.push(hold(&mut client.clone().ready().await.unwrap()));
        }
        let mut refused = 0;
        for _ in 0..300 {
            refused += u32::from(get(&client, URL).await.head.status != 200);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        count.set(refused);
    });
    count.get()
}

/// A request that is under way.
type Held = (h2::client::ResponseFuture, h2::SendStream<Bytes>);

#[test]
fn uploads_that_do_not_come_have_nobody_refused() {
    let refused = refused_beside(|client| {
        let post = Request::post(URL).body(()).unwrap();
        client.send_request(post, false).unwrap()
    });
    assert_eq!(refused, 0);
}

#[test]
fn requests_that_wait_for_something_to_happen_have_nobody_refused() {
    let refused = refused_beside(|client| {
        let get = Request::get("http://a.test/poll").body(()).unwrap();
        client.send_request(get, true).unwrap()
    });
    assert_eq!(refused, 0);
}

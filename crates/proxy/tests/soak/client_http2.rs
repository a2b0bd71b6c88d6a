//! Clients that speak HTTP/2, with gRPC and WebSockets: many requests at once on a connection.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::{HeaderMap, Method, Request};
use model::Protocol;
use tokio::task::JoinSet;

use super::client::{self, Target};
use super::instance_http2::{next, send};
use super::random::Random;
use super::stage::{Ask, Stage};
use super::tally::Outcome;

/// What all requests of a connection know.
struct Shared {
    stage: Arc<Stage>,
    target: Target,
    sender: SendRequest<Bytes>,
    /// The client will reset the connection at some moment.
    is_rude: bool,
}

/// An answer, as far as it came.
#[derive(Debug, Default)]
struct Seen {
    status: u16,
    head: HeaderMap,
    content: Vec<u8>,
    trailers: HeaderMap,
    error: Option<h2::Error>,
}

/// Makes requests until the stage is stopping.
pub(crate) async fn run(stage: Arc<Stage>, who: u64, tls: bool) {
    let mut random = Random::of(stage.seed, who);
    while !stage.is_stopping() {
        let is_rude = random.one_in(4);
        let target = Target::choose(&stage, &mut random, tls, |service| {
            service.protocol != Protocol::Tcp && (service.is_wild || !is_rude)
        });
        let what = || format!("{target:?}");
        let connected = stage.in_time(what, target.connect(&stage, true)).await;
        let Some(Some(stream)) = connected else {
            continue;
        };
        if is_rude {
            stream.reset_on_close();
        }
        let mut settings = h2::client::Builder::new();
        settings.initial_connection_window_size(16 << 20);
        let agreed = settings.handshake(stream).await;
        let (sender, connection) = match agreed {
            Ok(agreed) => agreed,
            Err(error) => {
                stage.violation(format!("no HTTP/2 at {target:?}: {error}"));
                continue;
            }
        };
        let driver = tokio::spawn(connection);
        let shared = Arc::new(Shared {
            stage: stage.clone(),
            target,
            sender,
            is_rude,
        });
        let mut lanes = JoinSet::new();
        for lane in 0..=random.below(6) {
            let lane_random = Random::of(random.next(), lane);
            lanes.spawn(requests(shared.clone(), lane_random));
        }
        if is_rude {
            tokio::time::sleep(Duration::from_millis(random.below(150))).await;
            driver.abort();
        }
        while let Some(ended) = lanes.join_next().await {
            if let Err(error) = ended {
                stage.violation(format!("a client: {error}"));
            }
        }
        let target = shared.target.clone();
        drop(shared);
        if !is_rude {
            match stage
                .in_time(|| format!("the end of {target:?}"), driver)
                .await
            {
                Some(Ok(Ok(()))) | None => {}
                Some(other) => stage.violation(format!("{target:?} ended with {other:?}")),
            }
        }
    }
}

/// Makes requests one after the other.
async fn requests(shared: Arc<Shared>, mut random: Random) {
    let stage = &shared.stage;
    for _ in 0..=random.below(20) {
        if stage.is_stopping() {
            return;
        }
        let service = &shared.target.service;
        let is_grpc = service.protocol == Protocol::Grpc;
        let kind = match client::kind(&mut random, service) {
            // Not all kinds are for a stream alone, and some are for one only.
            "torn-head" => "cut-echo",
            "socket" if is_grpc => "deadline",
            kind => kind,
        };
        let what = || format!("{kind} over HTTP/2 at {:?}", shared.target);
        let doing = perform(&shared, &mut random, kind, is_grpc);
        match stage.in_time(what, doing).await {
            Some(Some(outcome)) => {
                let call = if is_grpc { "call " } else { "stream " };
                stage.count(service, &format!("{call}{kind}"), outcome);
            }
            _ => return,
        }
        tokio::time::sleep(Duration::from_millis(random.below(12))).await;
    }
}

/// Makes one request; none when the connection takes no more.
async fn perform(
    shared: &Shared,
    random: &mut Random,
    kind: &'static str,
    is_grpc: bool,
) -> Option<Outcome> {
    let Shared { stage, target, .. } = shared;
    let is_wild = target.service.is_wild;
    let asked = match kind {
        "cut-upload" => "upload",
        "cut-echo" => "echo",
        "give-up" => "get",
        "deadline" | "timeout" => "silent",
        kind => kind,
    };
    let ask = stage.ask(asked, random.size());
    let content = Bytes::from(vec![ask.letter(); ask.size]);
    let mut sender = match shared.sender.clone().ready().await {
        Ok(sender) => sender,
        Err(error) => {
            if !shared.is_rude {
                stage.violation(format!("{target:?} takes no requests: {error}"));
            }
            return None;
        }
    };
    let is_socket = kind == "socket";
    if is_socket && !sender.is_extended_connect_protocol_enabled() {
        // The proxy says so at the beginning, but perhaps not in time for the very first request.
        return Some(Outcome::Nothing);
    }
    let has_body = matches!(
        kind,
        "echo" | "upload" | "cut-upload" | "cut-echo" | "socket"
    );
    let method = match (is_socket, has_body || is_grpc) {
        (true, _) => Method::CONNECT,
        (false, true) => Method::POST,
        (false, false) => Method::GET,
    };
    let scheme = if target.tls { "https" } else { "http" };
    let uri = format!("{scheme}://{}{}", target.host, ask.path());
    let mut request = Request::builder().method(method).uri(uri);
    if is_socket {
        request = request
            .extension(h2::ext::Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13");
    }
    if is_grpc {
        request = request
            .header("content-type", "application/grpc")
            .header("te", "trailers");
    }
    if kind == "deadline" {
        request = request.header("grpc-timeout", "30m");
    }
    let arrival = matches!(kind, "silent" | "cut-upload").then(|| stage.arrival(&ask));
    let (response, mut stream) = match sender.send_request(request.body(()).unwrap(), !has_body) {
        Ok(sent) => sent,
        Err(error) => {
            if !shared.is_rude {
                stage.violation(format!("{ask:?} at {target:?} is not sent: {error}"));
            }
            return None;
        }
    };
    if let Some(arrival) = arrival {
        let working = async {
            if kind == "cut-upload" {
                send_all(&mut stream, content, false).await;
            }
            read(response, usize::MAX).await
        };
        let ended = tokio::select! {
            seen = working => Some(seen),
            told = arrival => match told {
                Ok(()) => None,
                Err(_) => unreachable!("the stage keeps it"),
            },
        };
        stream.send_reset(Reason::CANCEL);
        return match ended {
            Some(seen) => settle(shared, &ask, seen),
            None if is_wild => Some(Outcome::Unknown),
            None => Some(Outcome::Cut),
        };
    }
    match kind {
        "stall" | "cut-echo" => {
            // The service goes on for as long as this is not ended.
            let mut reading = std::pin::pin!(read(response, 1));
            let sending = async {
                if kind == "cut-echo" {
                    send_all(&mut stream, content, false).await;
                }
            };
            let seen = tokio::select! {
                seen = &mut reading => seen,
                () = sending => reading.await,
            };
            stream.send_reset(Reason::CANCEL);
            match seen.error.is_none() && seen.status == 200 && !seen.content.is_empty() {
                true => Some(Outcome::Cut),
                false => settle(shared, &ask, seen),
            }
        }
        "give-up" => {
            let wait = Duration::from_micros(random.below(10_000));
            let seen = tokio::time::timeout(wait, read(response, usize::MAX)).await;
            stream.send_reset(Reason::CANCEL);
            match seen {
                Ok(seen) => settle(shared, &ask, seen),
                Err(_) => Some(Outcome::Unknown),
            }
        }
        "socket" => {
            let ends = !random.one_in(3);
            let most = if ends { usize::MAX } else { ask.size };
            let sending = send_all(&mut stream, content, ends);
            let (_, seen) = tokio::join!(sending, read(response, most));
            stream.send_reset(Reason::CANCEL);
            match seen.status {
                200 if is_wild => Some(Outcome::Answered { failed: false }),
                _ => settle(shared, &ask, seen),
            }
        }
        _ => {
            let sending = async {
                if has_body {
                    send_all(&mut stream, content, true).await;
                }
            };
            let (_, seen) = tokio::join!(sending, read(response, usize::MAX));
            settle(shared, &ask, seen)
        }
    }
}

/// Sends content and then, with `ends`, the end. Where it is not taken, the answer will say why.
async fn send_all(stream: &mut SendStream<Bytes>, content: Bytes, ends: bool) {
    if send(stream, content).await.is_ok() && ends {
        let _ = stream.send_data(Bytes::new(), true);
    }
}

/// Reads an answer to its end, or so much of its content.
async fn read(response: ResponseFuture, most: usize) -> Seen {
    let mut seen = Seen::default();
    seen.error = read_into(&mut seen, response, most).await.err();
    seen
}

async fn read_into(
    seen: &mut Seen,
    response: ResponseFuture,
    most: usize,
) -> Result<(), h2::Error> {
    let (head, mut body) = response.await?.into_parts();
    (seen.status, seen.head) = (head.status.as_u16(), head.headers);
    while let Some(piece) = next(&mut body).await? {
        seen.content.extend_from_slice(&piece);
        if seen.content.len() >= most {
            return Ok(());
        }
    }
    if let Some(trailers) = poll_fn(|cx| body.poll_trailers(cx)).await? {
        seen.trailers = trailers;
    }
    Ok(())
}

/// What became of a request that its client saw to its end; none when the connection takes no
/// more. Those that must not fail are looked at.
fn settle(shared: &Shared, ask: &Ask, seen: Seen) -> Option<Outcome> {
    let Shared { stage, target, .. } = shared;
    let is_wild = target.service.is_wild;
    let field = |headers: &HeaderMap, name| {
        let value = headers.get(name)?;
        Some(value.to_str().unwrap().to_owned())
    };
    if let Some(error) = &seen.error {
        if shared.is_rude && !error.is_reset() {
            return match seen.status {
                0 => Some(Outcome::Unknown),
                _ => Some(Outcome::Cut),
            };
        }
        if !is_wild || !error.is_reset() {
            stage.violation(format!("{ask:?} at {target:?} broke off: {seen:?}"));
        }
        return Some(Outcome::Cut);
    }
    let in_head = field(&seen.head, "grpc-status");
    let in_trailers = field(&seen.trailers, "grpc-status");
    // The proxy tells callers of gRPC by trailers that an answer broke off.
    let message = field(&seen.trailers, "grpc-message").unwrap_or_default();
    let broke_off = message.starts_with("backend-closed: ");
    let grpc = in_trailers.or(in_head);
    let failed_call = grpc
        .as_deref()
        .is_some_and(|status| ["2", "4", "12", "13", "14", "15"].contains(&status));
    let failed = seen.status >= 500 || failed_call;
    let whole =
        seen.content.len() == ask.size && seen.content.iter().all(|byte| *byte == ask.letter());
    let fits = match (ask.kind.as_str(), failed) {
        _ if broke_off => is_wild,
        ("get" | "echo" | "upload" | "socket", false) => whole,
        ("fail", true) => true,
        // Only those who set a deadline let it pass.
        ("silent", true) => grpc.as_deref() == Some("4") || is_wild,
        (_, true) => is_wild,
        (_, false) => false,
    };
    if !fits {
        let count = seen.content.len();
        let seen = (seen.status, seen.head, seen.trailers);
        stage.violation(format!("{ask:?} at {target:?}: {count} bytes, {seen:?}"));
    }
    match broke_off {
        true => Some(Outcome::Cut),
        false => Some(Outcome::Answered { failed }),
    }
}

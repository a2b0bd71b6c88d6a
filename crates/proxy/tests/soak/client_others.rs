//! Clients of TCP services, of what comes and goes, and such as send nonsense.

use std::sync::Arc;
use std::time::Duration;

use model::Protocol;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::client::Target;
use super::client_http1::{Connection, End, sent_back};
use super::random::Random;
use super::stage::{Service, Stage};
use super::stream::Stream;
use super::tally::Outcome;

/// Opens TCP streams until the stage is stopping.
pub(crate) async fn bytes(stage: Arc<Stage>, who: u64) {
    let mut random = Random::of(stage.seed, who);
    while !stage.is_stopping() {
        let fits = |service: &Service| service.protocol == Protocol::Tcp;
        let mut target = Target::choose(&stage, &mut random, false, fits);
        target.address = stage.mesh[target.service.name];
        let is_wild = target.service.is_wild;
        let is_rude = random.one_in(4);
        let kind = if is_wild && random.one_in(5) {
            "die"
        } else {
            "echo"
        };
        let ask = stage.ask(kind, random.size());
        let doing = async {
            let mut stream = target.connect(&stage, false).await?;
            let line = ask.path() + "\n";
            let content = vec![ask.letter(); ask.size];
            // What is wrong here shows in what comes back.
            let _ = stream.write_all(line.as_bytes()).await;
            let whole = sent_back(&mut stream, &content, Vec::new(), !is_rude).await;
            if is_rude {
                stream.reset_on_close();
            }
            Some(whole)
        };
        let whole = stage
            .in_time(|| format!("{ask:?} at {target:?}"), doing)
            .await;
        if whole == Some(Some(false)) && !is_wild {
            stage.violation(format!("{ask:?} at {target:?} did not come back"));
        }
        stage.kinds.count(match whole {
            Some(Some(true)) => "bytes: whole",
            _ => "bytes: broken",
        });
        tokio::time::sleep(Duration::from_millis(random.below(15))).await;
    }
}

/// Asks the service `one` over a listener and a route that come and go.
pub(crate) async fn flapping(stage: Arc<Stage>, who: u64) {
    let mut random = Random::of(stage.seed, who);
    let service = stage.services[0];
    while !stage.is_stopping() {
        let by_route = random.one_in(2);
        let address = if by_route { stage.edge } else { stage.flapping };
        let target = Target {
            address,
            service,
            host: "extra.test".to_owned(),
            tls: false,
        };
        let Ok(stream) = TcpStream::connect(address).await else {
            stage.kinds.count("flapping: refused");
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        let mut connection = Connection::new(Stream::Plain(stream));
        for _ in 0..=random.below(30) {
            let ask = stage.ask("get", random.size());
            let request = format!("GET {} HTTP/1.1\r\nHost: extra.test\r\n\r\n", ask.path());
            let what = || format!("{ask:?} at {target:?}");
            let doing = connection.exchange(request.into_bytes(), false);
            let Some((end, _)) = stage.in_time(what, doing).await else {
                break;
            };
            let (outcome, kept) = match end {
                End::Whole(answer) => {
                    if !(answer.status == 200 || by_route && answer.status == 404) {
                        stage.violation(format!("{ask:?} at {target:?}: {answer:?}"));
                    }
                    (answer.outcome(), answer.field("connection").is_none())
                }
                // The listener was gone before the request was there.
                End::Broken { begun: false } if !by_route => (Outcome::Nothing, false),
                End::Broken { begun } => {
                    stage.violation(format!("{ask:?} at {target:?} broke off, begun: {begun}"));
                    (Outcome::Cut, false)
                }
            };
            let kind = if by_route {
                "flapping route"
            } else {
                "flapping"
            };
            stage.count(&service, kind, outcome);
            if !kept || stage.is_stopping() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(random.below(10))).await;
        }
    }
}

/// Sends what is no request, or the beginning of one.
pub(crate) async fn nonsense(stage: Arc<Stage>, who: u64) {
    let mut random = Random::of(stage.seed, who);
    let beginnings: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: one.test\r\nContent-Le",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x10\x00\x01",
        b"PRI * HTTP/2.0\r\n\r",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nHost: one.test\r\nHost: two.test\r\n\r\n",
        b"",
    ];
    while !stage.is_stopping() {
        let address = random.pick(&[stage.edge, stage.edge_tls, stage.mesh["one"]]);
        let Ok(mut tcp) = TcpStream::connect(address).await else {
            stage.violation(format!("{address} refuses connections"));
            continue;
        };
        let mut bytes = random.pick(&beginnings).to_vec();
        for _ in 0..random.below(60) {
            bytes.push(random.next() as u8);
        }
        // Fails where the proxy was faster.
        let _ = tcp.write_all(&bytes).await;
        tokio::time::sleep(Duration::from_millis(random.below(30))).await;
        if random.one_in(2) {
            Stream::Plain(tcp).reset_on_close();
        }
        stage.kinds.count("nonsense");
    }
}

//! A backend that does as it is told: how long it serves, how often it fails, and whether it is there
//! at all. Several requests are served at a time, and more wait for their turn, as in real services.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{LocalSet, spawn_local};

use super::server;

/// Requests that are served at a time.
pub(crate) const AT_A_TIME: usize = 4;

/// A failure is fast.
const FAILS_IN: Duration = Duration::from_millis(1);

/// How a member does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Conduct {
    /// The mean time in which it serves a request; times vary as those of real services do.
    pub(crate) mean: Duration,
    /// Which part of the requests it answers with 503.
    pub(crate) failing: f64,
}

impl Conduct {
    /// One that is well.
    pub(crate) const WELL: Self = Self {
        mean: Duration::from_millis(10),
        failing: 0.0,
    };

    /// The path of the request that makes a member do so.
    pub(crate) fn path(&self) -> String {
        format!("/conduct/{}/{}", self.mean.as_micros(), self.failing)
    }

    fn parse(path: &str) -> Option<Self> {
        let (mean, failing) = path.split_once('/')?;
        Some(Self {
            mean: Duration::from_micros(mean.parse().ok()?),
            failing: failing.parse().ok()?,
        })
    }
}

struct Member {
    conduct: Cell<Conduct>,
    turns: Semaphore,
    asked: Cell<u64>,
    random: Cell<u64>,
    /// Grows whenever all connections end.
    life: watch::Sender<u32>,
    /// How long it is to be away.
    away: RefCell<Option<Duration>>,
}

/// `roadbed-bench member`, which listens on `$PORT` until it is killed.
pub(crate) fn run() -> ExitCode {
    server::run("member", || {
        let port = std::env::var("PORT").context("PORT is needed")?;
        serve(SocketAddr::from(([127, 0, 0, 1], port.parse()?)))
    })
}

fn serve(address: SocketAddr) -> Result<Infallible> {
    let member = Rc::new(Member {
        conduct: Cell::new(Conduct::WELL),
        turns: Semaphore::new(AT_A_TIME),
        asked: Cell::new(0),
        random: Cell::new(u64::from(address.port()) | 1),
        life: watch::channel(0).0,
        away: RefCell::new(None),
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, async {
        let mut ends = member.life.subscribe();
        loop {
            let listener = TcpListener::bind(address).await.context("listening")?;
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let member = member.clone();
                        spawn_local(async move {
                            // A connection that breaks is the load's doing, and the load tells of it.
                            let _ = accepted.map(|(client, _)| connection(member, client))?.await;
                            Ok::<(), std::io::Error>(())
                        });
                    }
                    _ = ends.changed() => break,
                }
            }
            drop(listener);
            let away = member.away.take().unwrap_or_default();
            tokio::time::sleep(away).await;
        }
    })
}

async fn connection(member: Rc<Member>, mut client: TcpStream) -> Result<()> {
    client.set_nodelay(true)?;
    let mut ends = member.life.subscribe();
    let mut head = Vec::with_capacity(2048);
    loop {
        head.clear();
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() > 16 * 1024 {
                bail!("the head of a request is too long");
            }
            tokio::select! {
                read = client.read_buf(&mut head) => if read? == 0 {
                    return Ok(());
                },
                _ = ends.changed() => return Ok(()),
            }
        }
        let text = std::str::from_utf8(&head)?;
        let path = text.split(' ').nth(1).context("a request without path")?;
        let answer = tokio::select! {
            answer = member.answer(path) => answer,
            // As of one that is killed, and not as of one that ends.
            _ = ends.changed() => return Ok(client.set_zero_linger()?),
        };
        client.write_all(answer.as_bytes()).await?;
    }
}

impl Member {
    async fn answer(&self, path: &str) -> String {
        if let Some(conduct) = path.strip_prefix("/conduct/") {
            let told = Conduct::parse(conduct);
            told.inspect(|conduct| self.conduct.set(*conduct));
            return answer(if told.is_some() { 200 } else { 400 }, "");
        }
        if path == "/asked" {
            return answer(200, &self.asked.get().to_string());
        }
        if let Some(millis) = path.strip_prefix("/away/") {
            let away = millis.parse().map(Duration::from_millis);
            self.away.replace(away.ok());
            self.life.send_modify(|life| *life += 1);
            return answer(200, "");
        }
        self.asked.set(self.asked.get() + 1);
        let conduct = self.conduct.get();
        if self.fraction() < conduct.failing {
            tokio::time::sleep(FAILS_IN).await;
            return answer(503, "unwell");
        }
        let serves = conduct.mean.mul_f64(-(1.0 - self.fraction()).ln());
        // It is never closed.
        let _turn = self.turns.acquire().await;
        tokio::time::sleep(serves).await;
        answer(200, "served")
    }

    /// From 0 up to, but without, 1 (xorshift64*).
    fn fraction(&self) -> f64 {
        let mut number = self.random.get();
        number ^= number >> 12;
        number ^= number << 25;
        number ^= number >> 27;
        self.random.set(number);
        (number.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn answer(status: u16, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_member_is_told_it_understands() {
        let conduct = Conduct {
            mean: Duration::from_micros(12_500),
            failing: 0.25,
        };
        let path = conduct.path();
        let told = path.strip_prefix("/conduct/").and_then(Conduct::parse);
        assert_eq!(told, Some(conduct));
        assert_eq!(Conduct::parse("10"), None);
    }
}

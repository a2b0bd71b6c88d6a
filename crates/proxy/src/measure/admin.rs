//! Where the proxy shows what it measures: a listener of the control thread, for this machine
//! alone. It answers while no server runs. One request a connection, and few connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::accept::wanted;
use super::page::Form;
use crate::http1::fields::head_end;
use crate::http1::request;
use crate::limits::{ACCEPT_PAUSE, METRICS_CONNECTIONS, METRICS_HEAD_BYTES, METRICS_TIME};
use crate::protocol::MetricsListener;

/// Who wants the page for Prometheus.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) form: Form,
    pub(crate) answer: oneshot::Sender<Vec<u8>>,
}

const TEXT: &str = "text/plain; charset=utf-8";

/// The type of a page in this form.
fn kind(form: Form) -> &'static str {
    match form {
        Form::Text => "text/plain; version=0.0.4; charset=utf-8",
        Form::Binary => {
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
             encoding=delimited"
        }
    }
}

/// The listener, and the questions that come in by it.
#[derive(Debug)]
pub(crate) struct Admin {
    address: Option<SocketAddr>,
    failure: Option<String>,
    listening: Option<JoinHandle<()>>,
    asks: mpsc::Sender<Asking>,
    asked: mpsc::Receiver<Asking>,
    started: SystemTime,
}

impl Admin {
    /// One that will listen at `address`.
    pub(crate) fn new(address: Option<SocketAddr>) -> Self {
        let (asks, asked) = mpsc::channel(METRICS_CONNECTIONS);
        Self {
            address,
            failure: None,
            listening: None,
            asks,
            asked,
            started: SystemTime::now(),
        }
    }

    /// Listens, unless it does already. If the address cannot be had, everything else goes on.
    pub(crate) fn listen(&mut self) {
        let Some(address) = self.address.filter(|_| self.listening.is_none()) else {
            return;
        };
        match bind(address) {
            Ok(listener) => {
                tracing::info!(%address, "metrics are at http://{address}/metrics");
                self.listening = Some(tokio::spawn(accept(listener, self.asks.clone())));
                self.failure = None;
            }
            Err(error) => {
                if self.failure.is_none() {
                    tracing::warn!(%address, %error, "cannot show metrics; trying again");
                }
                self.failure = Some(error.to_string());
            }
        }
    }

    /// Whether the address could not be had.
    pub(crate) fn is_failing(&self) -> bool {
        self.failure.is_some()
    }

    /// Gives the address up.
    pub(crate) fn close(&mut self) {
        self.address = None;
        if let Some(listening) = self.listening.take() {
            listening.abort();
        }
    }

    /// The next who wants the page.
    pub(crate) async fn asked(&mut self) -> Option<Asking> {
        self.asked.recv().await
    }

    /// Where it listens, or why not.
    pub(crate) fn state(&self) -> Option<MetricsListener> {
        self.address.map(|address| MetricsListener {
            address,
            failure: self.failure.clone(),
        })
    }

    /// When the process began.
    pub(crate) fn started(&self) -> SystemTime {
        self.started
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    if !address.ip().is_loopback() {
        return Err(io::Error::other(
            "it is not an address of this machine alone",
        ));
    }
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

async fn accept(listener: TcpListener, asks: mpsc::Sender<Asking>) {
    let room = Arc::new(Semaphore::new(METRICS_CONNECTIONS));
    // It is never closed.
    while let Ok(place) = room.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, peer)) if peer.ip().to_canonical().is_loopback() => {
                let asks = asks.clone();
                drop(tokio::spawn(async move {
                    // How it ends is its client's affair.
                    let _ = tokio::time::timeout(METRICS_TIME, serve(stream, &asks)).await;
                    drop(place);
                }));
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections for metrics; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one request and ends the connection.
async fn serve(mut stream: TcpStream, asks: &mpsc::Sender<Asking>) -> io::Result<()> {
    let (status, kind, body) = match read(&mut stream).await? {
        Some(Asked::Metrics(form)) => match metrics(asks, form).await {
            Some(page) => ("200 OK", kind(form), page),
            None => (
                "503 Service Unavailable",
                TEXT,
                b"the proxy is ending\n".into(),
            ),
        },
        Some(Asked::Health) => ("200 OK", TEXT, b"ok\n".into()),
        Some(Asked::Other) => ("404 Not Found", TEXT, b"there is GET /metrics\n".into()),
        None => ("400 Bad Request", TEXT, b"that is no request\n".into()),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\
         vary: accept\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.shutdown().await?;
    // What else was sent is taken in, so that the answer is not lost with the connection's reset.
    let mut rest = stream.take(METRICS_HEAD_BYTES as u64);
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
    Ok(())
}

async fn metrics(asks: &mpsc::Sender<Asking>, form: Form) -> Option<Vec<u8>> {
    let (answer, answered) = oneshot::channel();
    asks.send(Asking { form, answer }).await.ok()?;
    answered.await.ok()
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Metrics(Form),
    Health,
    Other,
}

/// Reads the head of a request; none where it breaks a rule.
async fn read(stream: &mut TcpStream) -> io::Result<Option<Asked>> {
    let (mut bytes, mut scanned) = (Vec::new(), 0);
    loop {
        match head_end(&bytes, scanned) {
            Ok(Some(end)) => return Ok(understand(&bytes[..end])),
            Ok(None) => scanned = bytes.len(),
            Err(_) => return Ok(None),
        }
        // Nothing is left of a head that is too long, nor comes from whoever has gone.
        let left = METRICS_HEAD_BYTES - bytes.len();
        if stream.take(left as u64).read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
}

fn understand(head: &[u8]) -> Option<Asked> {
    let parsed = request::parse_complete(head).ok()?;
    let target = &head[parsed.path_and_query];
    let path = target.split(|byte| *byte == b'?').next();
    Some(match (&head[parsed.method], path) {
        (b"GET", Some(b"/metrics")) => Asked::Metrics(wanted(&accepted(head))),
        (b"GET", Some(b"/healthz")) => Asked::Health,
        _ => Asked::Other,
    })
}

/// The values of `Accept` in a head that is as it should be, as one list.
fn accepted(head: &[u8]) -> Vec<u8> {
    let mut values = Vec::new();
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        if let Some(colon) = memchr::memchr(b':', line)
            && line[..colon].eq_ignore_ascii_case(b"accept")
        {
            values.extend_from_slice(line[colon + 1..].trim_ascii());
            values.push(b',');
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_things_can_be_asked() {
        let asked = |line: &str| {
            understand(format!("{line} HTTP/1.1\r\nhost: 127.0.0.1:9\r\n\r\n").as_bytes())
        };
        let text = Some(Asked::Metrics(Form::Text));
        assert_eq!(asked("GET /metrics"), text);
        assert_eq!(asked("GET /metrics?x=1"), text);
        assert_eq!(asked("GET /healthz"), Some(Asked::Health));
        for line in [
            "POST /metrics",
            "GET /",
            "GET /metrics/",
            "GET /Metrics",
            "HEAD /metrics",
        ] {
            assert_eq!(asked(line), Some(Asked::Other), "{line}");
        }
        assert_eq!(asked("GET"), None);
    }

    #[test]
    fn the_form_is_what_all_fields_of_accept_say() {
        let binary = "application/vnd.google.protobuf;encoding=delimited;\
                      proto=io.prometheus.client.MetricFamily";
        let head = format!(
            "GET /metrics HTTP/1.1\r\nhost: a\r\nx-accept: {binary}\r\naccept: text/plain;q=0.5\r\n"
        );
        let asked = |more: &str| understand(format!("{head}{more}\r\n").as_bytes());
        assert_eq!(asked(""), Some(Asked::Metrics(Form::Text)));
        let more = format!("Accept:{binary};q=0.6\r\n");
        assert_eq!(asked(&more), Some(Asked::Metrics(Form::Binary)));
    }

    #[test]
    fn no_address_that_others_can_reach_is_listened_on() {
        assert!(bind(([0, 0, 0, 0], 0).into()).is_err());
    }
}

//! The server's API as the command line sees it: JSON over HTTP on a Unix socket.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{self, Poll};
use std::time::Duration;

use artifacts::transfer::Sender;
use control::{ApiError, Home};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::failure::Failure;

/// A server that does not begin to answer for so long is taken to be stuck.
const LONGEST_ANSWER: Duration = Duration::from_secs(30);
/// The largest answer that is read.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

/// Makes requests, each on a connection of its own.
#[derive(Debug, Clone)]
pub(crate) struct ApiClient {
    socket: PathBuf,
    home: Home,
}

/// Why a request has no good answer.
#[derive(Debug)]
pub(crate) enum ApiFailure {
    /// No server listens.
    NoServer(Failure),
    /// The server refused.
    Refused(ApiError),
    /// The connection or the answer is of no use.
    Broken(Failure),
}

impl From<ApiFailure> for Failure {
    fn from(failure: ApiFailure) -> Self {
        match failure {
            ApiFailure::NoServer(failure) | ApiFailure::Broken(failure) => failure,
            ApiFailure::Refused(error) => error.into(),
        }
    }
}

impl ApiClient {
    pub(crate) fn new(socket: PathBuf, home: Home) -> Self {
        Self { socket, home }
    }

    /// Whether a server listens.
    pub(crate) async fn is_up(&self) -> bool {
        UnixStream::connect(&self.socket).await.is_ok()
    }

    /// Whether a server answers.
    pub(crate) async fn answers(&self) -> bool {
        self.get::<serde::de::IgnoredAny>("/v1/status")
            .await
            .is_ok()
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiFailure> {
        let body = self.exchange(Method::GET, path, Bytes::new()).await?;
        self.read(&body)
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        request: &impl Serialize,
    ) -> Result<T, ApiFailure> {
        let body = self
            .exchange(Method::POST, path, self.write(request)?)
            .await?;
        self.read(&body)
    }

    /// A POST that the server may take so long for.
    pub(crate) async fn post_slow<T: DeserializeOwned>(
        &self,
        path: &str,
        request: &impl Serialize,
        longest: Duration,
    ) -> Result<T, ApiFailure> {
        let body = Full::new(self.write(request)?);
        let response = self.send_body(Method::POST, path, body, "application/json", longest);
        let response = self.accepted(response.await?).await?;
        self.read(&self.collect(response).await?)
    }

    /// A POST of contents, which are read while they are sent.
    pub(crate) async fn send_pieces(
        &self,
        path: &str,
        sender: Sender,
        longest: Duration,
    ) -> Result<(), ApiFailure> {
        let (body, content_type) = (Pieces(sender), "application/octet-stream");
        let response = self.send_body(Method::POST, path, body, content_type, longest);
        self.accepted(response.await?).await.map(drop)
    }

    /// A POST whose answer says nothing but that it was accepted.
    pub(crate) async fn order(
        &self,
        path: &str,
        request: &impl Serialize,
    ) -> Result<(), ApiFailure> {
        self.exchange(Method::POST, path, self.write(request)?)
            .await
            .map(drop)
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<(), ApiFailure> {
        self.exchange(Method::DELETE, path, Bytes::new())
            .await
            .map(drop)
    }

    /// A GET whose answer comes line by line.
    pub(crate) async fn lines(&self, path: &str) -> Result<Lines, ApiFailure> {
        let response = self.send(Method::GET, path, Bytes::new()).await?;
        let response = self.accepted(response).await?;
        Ok(Lines {
            body: response.into_body(),
            buffer: Vec::new(),
        })
    }

    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, ApiFailure> {
        let response = self.send(method, path, body).await?;
        let response = self.accepted(response).await?;
        self.collect(response).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, ApiFailure> {
        let body = Full::new(body);
        self.send_body(method, path, body, "application/json", LONGEST_ANSWER)
            .await
    }

    async fn send_body<B>(
        &self,
        method: Method,
        path: &str,
        body: B,
        content_type: &str,
        longest: Duration,
    ) -> Result<Response<Incoming>, ApiFailure>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| self.unreachable(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.broken(error))?;
        // Its errors are those of the request, which are looked at below.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "roadbed")
            .header("content-type", content_type)
            .body(body)
            .map_err(|error| self.broken(error))?;
        match timeout(longest, sender.send_request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_user() => Err(ApiFailure::Broken(unreadable(&error))),
            Ok(Err(error)) => Err(self.broken(error)),
            Err(_) => Err(self.broken(format!("no answer within {longest:?}"))),
        }
    }

    /// The response if the server did as it was asked.
    async fn accepted(
        &self,
        response: Response<Incoming>,
    ) -> Result<Response<Incoming>, ApiFailure> {
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = self.collect(response).await?;
        match serde_json::from_slice(&body) {
            Ok(error) => Err(ApiFailure::Refused(error)),
            Err(_) => {
                let text = String::from_utf8_lossy(&body).into_owned();
                Err(self.broken(format!("it answered {status}: {text}")))
            }
        }
    }

    async fn collect(&self, response: Response<Incoming>) -> Result<Bytes, ApiFailure> {
        let body = Limited::new(response.into_body(), LARGEST_ANSWER);
        body.collect()
            .await
            .map(|body| body.to_bytes())
            .map_err(|error| self.broken(error))
    }

    fn write(&self, request: &impl Serialize) -> Result<Bytes, ApiFailure> {
        serde_json::to_vec(request)
            .map(Bytes::from)
            .map_err(|error| self.broken(error))
    }

    fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, ApiFailure> {
        serde_json::from_slice(body).map_err(|error| self.broken(error))
    }

    /// Why nobody answers. That the home itself cannot be used says more than that its socket
    /// cannot.
    fn unreachable(&self, error: &io::Error) -> ApiFailure {
        if let Err(error) = self.home.check() {
            return ApiFailure::Broken(error.into());
        }
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ApiFailure::NoServer(self.no_server())
            }
            _ => ApiFailure::Broken(
                Failure::new(format!(
                    "cannot reach the server at {}: {error}",
                    self.socket.display()
                ))
                .hint("the socket belongs to the user who started the server"),
            ),
        }
    }

    fn no_server(&self) -> Failure {
        let home = self.home.path();
        let failure = Failure::new(format!("no server runs in {}", home.display()));
        match proxy::is_running(home) {
            true => failure
                .evidence(["what an earlier server started runs on".to_owned()])
                .hint("`roadbed server` takes it over"),
            false => failure.hint(
                "`roadbed up FOLDER` starts one with an app, `roadbed server` one alone; another \
                 folder can be named with --home",
            ),
        }
    }

    fn broken(&self, error: impl std::fmt::Display) -> ApiFailure {
        let failure = Failure::new(format!(
            "the server in {} cannot be used: {error}",
            self.home.path().display()
        ));
        ApiFailure::Broken(failure.hint("`roadbed doctor` looks for the reason"))
    }
}

/// Contents as a body. Reading them waits for the disk, and there is nothing else to do meanwhile.
struct Pieces(Sender);

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let piece = self.0.next_piece();
        Poll::Ready(
            piece
                .map(|piece| piece.map(|bytes| Frame::data(bytes.into())))
                .transpose(),
        )
    }
}

/// Why a file that was packed could not be sent.
fn unreadable(error: &hyper::Error) -> Failure {
    let why = std::error::Error::source(error).map_or_else(String::new, |why| format!(": {why}"));
    Failure::new(format!("the app's files could not be sent{why}"))
        .hint("deploy again when nothing writes to the app's folder")
}

/// Lines of JSON that come as the server has them.
pub(crate) struct Lines {
    body: Incoming,
    buffer: Vec<u8>,
}

impl Lines {
    /// The next value; none when the server has ended or what came is of no use.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Option<T> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return serde_json::from_slice(&line).ok();
            }
            if self.buffer.len() > LARGEST_ANSWER {
                return None;
            }
            let frame = self.body.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                self.buffer.extend_from_slice(&data);
            }
        }
    }
}

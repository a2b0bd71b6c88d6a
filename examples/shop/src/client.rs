//! Calling another service over HTTP, on connections that are kept.

use std::fmt;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::goods::Failure;

/// How long one call may take, from its start to the end of the answer.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The largest answer that is read, in bytes.
const LARGEST_ANSWER: usize = 1 << 20;

/// How long an unused connection is kept; shorter than most servers keep theirs.
const IDLE: Duration = Duration::from_secs(15);

/// Another service, by the address that was injected for it.
#[derive(Debug, Clone)]
pub struct Service {
    name: &'static str,
    url: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// A call that failed.
#[derive(Debug)]
pub struct CallError {
    /// The service that was called.
    pub service: &'static str,
    /// Its answer's status, when there was an answer.
    pub status: Option<StatusCode>,
    /// What it answered, or why it did not.
    pub reason: String,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => {
                write!(
                    f,
                    "{} answered {}: {}",
                    self.service,
                    status.as_u16(),
                    self.reason
                )
            }
            None => write!(f, "{} does not answer: {}", self.service, self.reason),
        }
    }
}

impl Service {
    /// The service called `name`, at a URL without path.
    pub fn new(name: &'static str, url: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(TIMEOUT));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Self {
            name,
            url: url.trim_end_matches('/').to_owned(),
            client,
        }
    }

    /// Asks for `path` and reads the JSON answer.
    ///
    /// # Errors
    /// No answer in time, one that is no success, or one that is not the JSON that was expected.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    /// Sends `content` as JSON to `path` and reads the JSON answer.
    ///
    /// # Errors
    /// As of [`Service::get`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        content: &impl Serialize,
    ) -> Result<T, CallError> {
        let content = serde_json::to_vec(content)
            .map_err(|error| self.no_answer(format!("the request is no JSON: {error}")))?;
        self.call(Method::POST, path, content.into()).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        content: Bytes,
    ) -> Result<T, CallError> {
        let (status, answer) = tokio::time::timeout(TIMEOUT, self.exchange(method, path, content))
            .await
            .unwrap_or_else(|_| {
                Err(self.no_answer(format!("nothing came within {} s", TIMEOUT.as_secs())))
            })?;
        let failed = |reason| CallError {
            service: self.name,
            status: Some(status),
            reason,
        };
        if !status.is_success() {
            return Err(failed(reason(&answer)));
        }
        serde_json::from_slice(&answer)
            .map_err(|error| failed(format!("not the JSON that was expected: {error}")))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        content: Bytes,
    ) -> Result<(StatusCode, Bytes), CallError> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(content))
            .map_err(|error| self.no_answer(format!("{}{path}: {error}", self.url)))?;
        let answer = self.client.request(request).await;
        let answer = answer.map_err(|error| self.no_answer(innermost(&error)))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LARGEST_ANSWER)
            .collect()
            .await;
        let body = body.map_err(|error| self.no_answer(error.to_string()))?;
        Ok((status, body.to_bytes()))
    }

    fn no_answer(&self, reason: String) -> CallError {
        CallError {
            service: self.name,
            status: None,
            reason,
        }
    }
}

/// The first cause of an error, which says most.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// The reason in a failed answer: of a service of the shop, or whatever text came.
fn reason(answer: &[u8]) -> String {
    match serde_json::from_slice::<Failure>(answer) {
        Ok(failure) => failure.error,
        Err(_) => String::from_utf8_lossy(answer)
            .trim()
            .chars()
            .take(200)
            .collect(),
    }
}

//! One exchange over HTTP/2, in the clear begun with prior knowledge: what probes of services need
//! that speak nothing else. It takes no more memory than a small answer does.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::client::{Builder, SendRequest};
use http::{HeaderMap, Method, Request, StatusCode, Uri, Version};

use crate::probe::{ProbeFailure, Target, connect};

/// The most that is read of a body. What a probe has to read has a few bytes.
const LARGEST_BODY: usize = 4 * 1024;
/// The most that a server may send of header fields, decoded.
const LARGEST_HEADERS: u32 = 16 * 1024;
/// How much of bodies a server may send before it has to wait.
const WINDOW: u32 = 16 * 1024;

/// What is asked.
pub(super) struct Question<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) headers: HeaderMap,
    /// Sent whole, where there is one.
    pub(super) body: Option<Bytes>,
    /// Whether the body and trailers of the answer matter too.
    pub(super) whole_answer: bool,
}

/// What was answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Nothing where only the head was asked for.
    pub(super) body: Bytes,
    pub(super) trailers: HeaderMap,
}

/// A GET of which only the status matters.
pub(super) async fn get(target: &Target, path: &str) -> Result<(), ProbeFailure> {
    let question = Question {
        method: Method::GET,
        path,
        headers: HeaderMap::new(),
        body: None,
        whole_answer: false,
    };
    let answer = ask(target, question).await?;
    match answer.status.as_u16() {
        200..400 => Ok(()),
        status => Err(ProbeFailure::Status {
            path: path.to_owned(),
            status,
        }),
    }
}

/// Asks `target`, on a connection of its own.
pub(super) async fn ask(target: &Target, question: Question<'_>) -> Result<Answer, ProbeFailure> {
    let asked = format!("{} {}", question.method, question.path);
    let failed = |error: h2::Error| explain(target.address, &asked, error);
    let request = request(target, &question)?;
    let stream = connect(target).await?;
    let (sender, connection) = Builder::new()
        .enable_push(false)
        .initial_window_size(WINDOW)
        .max_header_list_size(LARGEST_HEADERS)
        .handshake(stream)
        .await
        .map_err(failed)?;
    let exchange = exchange(sender, request, question.body, question.whole_answer);
    tokio::pin!(exchange, connection);
    let answer = tokio::select! {
        biased;
        answer = &mut exchange => answer,
        // It may have brought the answer along with its own end.
        _ = &mut connection => exchange.await,
    };
    match answer {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err(ProbeFailure::NotHttp2 {
            request: asked,
            problem: format!("its body has more than {LARGEST_BODY} bytes"),
        }),
        Err(error) => Err(failed(error)),
    }
}

fn request(target: &Target, question: &Question<'_>) -> Result<Request<()>, ProbeFailure> {
    let bad = |text: &str| ProbeFailure::BadPath(text.to_owned());
    let uri = Uri::builder()
        .scheme(match target.tls {
            Some(_) => "https",
            None => "http",
        })
        .authority(target.host.as_str())
        .path_and_query(question.path)
        .build()
        .map_err(|_| bad(question.path))?;
    let mut request = Request::new(());
    *request.method_mut() = question.method.clone();
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = uri;
    *request.headers_mut() = question.headers.clone();
    let agent = http::HeaderValue::from_static("roadbed-probe");
    request
        .headers_mut()
        .insert(http::header::USER_AGENT, agent);
    Ok(request)
}

/// The answer, or none if its body is larger than any that is meant.
async fn exchange(
    sender: SendRequest<Bytes>,
    request: Request<()>,
    body: Option<Bytes>,
    whole_answer: bool,
) -> Result<Option<Answer>, h2::Error> {
    let mut sender = sender.ready().await?;
    let (response, mut sending) = sender.send_request(request, body.is_none())?;
    if let Some(body) = body {
        sending.send_data(body, true)?;
    }
    let (head, stream) = response.await?.into_parts();
    let mut answer = Answer {
        status: head.status,
        headers: head.headers,
        body: Bytes::new(),
        trailers: HeaderMap::new(),
    };
    if whole_answer {
        let Some((body, trailers)) = read(stream).await? else {
            return Ok(None);
        };
        (answer.body, answer.trailers) = (body, trailers);
    }
    Ok(Some(answer))
}

async fn read(mut stream: RecvStream) -> Result<Option<(Bytes, HeaderMap)>, h2::Error> {
    let mut body = BytesMut::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        if body.len() + data.len() > LARGEST_BODY {
            return Ok(None);
        }
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let trailers = stream.trailers().await?.unwrap_or_default();
    Ok(Some((body.freeze(), trailers)))
}

fn explain(address: SocketAddr, request: &str, error: h2::Error) -> ProbeFailure {
    let not_http2 = |problem: String| ProbeFailure::NotHttp2 {
        request: request.to_owned(),
        problem,
    };
    if error.is_io() {
        return match error.into_io() {
            // How the end of a connection is told that had not been announced.
            Some(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                not_http2("the connection was closed without an answer".to_owned())
            }
            Some(error) => ProbeFailure::Connection { address, error },
            None => not_http2("the connection broke".to_owned()),
        };
    }
    // Letters where a frame should begin are read as a length that no frame has.
    if error.reason() == Some(h2::Reason::FRAME_SIZE_ERROR) {
        return not_http2("what came is no frame; does it speak HTTP/1.1?".to_owned());
    }
    not_http2(error.to_string())
}

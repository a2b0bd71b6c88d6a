//! An instance that speaks HTTP/2, with gRPC.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::sync::Notify;

use super::instance::Shared;
use super::stage::Ask;
use super::stream::Stream;

/// What is sent or read at a time, at most.
const PIECE: usize = 16 * 1024;

/// Serves a connection to its end.
pub(crate) async fn serve(shared: &Arc<Shared>, stream: Stream) {
    let mut settings = h2::server::Builder::new();
    settings
        .enable_connect_protocol()
        .max_concurrent_streams(50);
    let Ok(mut connection) = settings.handshake::<_, Bytes>(stream).await else {
        return;
    };
    let dies = Arc::new(Notify::new());
    loop {
        tokio::select! {
            accepted = connection.accept() => {
                let Some(Ok((request, respond))) = accepted else { return };
                let (shared, dies) = (shared.clone(), dies.clone());
                tokio::spawn(async move {
                    // An error is the stream's end, which the proxy may make at any time.
                    let _ = answer(&shared, request, respond, &dies).await;
                });
            }
            () = dies.notified() => return,
        }
    }
}

async fn answer(
    shared: &Shared,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    dies: &Notify,
) -> Result<(), h2::Error> {
    let path = request.uri().path_and_query().unwrap().as_str();
    let ask = Ask::read(path).expect("a path as clients send it");
    shared.arrived(&ask);
    let kind = request.headers().get("content-type");
    let is_grpc = kind.is_some_and(|kind| kind == "application/grpc");
    let mut body = request.into_body();
    let content = Bytes::from(vec![ask.letter(); ask.size]);
    match ask.kind.as_str() {
        "get" => {
            let mut stream = respond.send_response(head(200, is_grpc), false)?;
            send(&mut stream, content).await?;
            end(&mut stream, is_grpc.then_some("0"))
        }
        "fail" if is_grpc => {
            let mut stream = respond.send_response(head(200, true), false)?;
            end(&mut stream, Some("13"))
        }
        "fail" => {
            let mut stream = respond.send_response(head(500, false), false)?;
            send(&mut stream, content).await?;
            end(&mut stream, None)
        }
        // A WebSocket is bytes both ways too.
        "echo" | "socket" => {
            let mut stream = respond.send_response(head(200, is_grpc), false)?;
            while let Some(piece) = next(&mut body).await? {
                send(&mut stream, piece).await?;
            }
            end(&mut stream, is_grpc.then_some("0"))
        }
        "upload" => {
            let mut count = 0;
            while let Some(piece) = next(&mut body).await? {
                count += piece.len();
            }
            let mut stream = respond.send_response(head(200, is_grpc), false)?;
            send(&mut stream, vec![ask.letter(); count].into()).await?;
            end(&mut stream, is_grpc.then_some("0"))
        }
        "die" => {
            // With all other requests on the connection, or alone.
            match ask.number.is_multiple_of(2) {
                true => dies.notify_one(),
                false => respond.send_reset(Reason::INTERNAL_ERROR),
            }
            Ok(())
        }
        "half" => {
            let mut stream = respond.send_response(head(200, is_grpc), false)?;
            send(&mut stream, content).await?;
            stream.send_reset(Reason::INTERNAL_ERROR);
            Ok(())
        }
        "stall" => {
            let mut stream = respond.send_response(head(200, is_grpc), false)?;
            send(&mut stream, content).await?;
            poll_fn(|cx| stream.poll_reset(cx)).await.map(drop)
        }
        "silent" => poll_fn(|cx| respond.poll_reset(cx)).await.map(drop),
        other => panic!("nobody asks for {other}"),
    }
}

fn head(status: u16, is_grpc: bool) -> Response<()> {
    let mut response = Response::builder().status(status);
    if is_grpc {
        response = response.header("content-type", "application/grpc");
    }
    response.body(()).unwrap()
}

/// Ends an answer, with the status of gRPC where it is one.
fn end(stream: &mut SendStream<Bytes>, status: Option<&'static str>) -> Result<(), h2::Error> {
    match status {
        None => stream.send_data(Bytes::new(), true),
        Some(status) => {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static(status));
            stream.send_trailers(trailers)
        }
    }
}

/// Sends content as the other side opens its window.
pub(crate) async fn send(
    stream: &mut SendStream<Bytes>,
    mut content: Bytes,
) -> Result<(), h2::Error> {
    while !content.is_empty() {
        stream.reserve_capacity(content.len().min(PIECE));
        let room = poll_fn(|cx| stream.poll_capacity(cx)).await;
        let room = room.ok_or(h2::Error::from(Reason::CANCEL))??;
        let piece = content.split_to(room.min(content.len()).min(PIECE));
        stream.send_data(piece, false)?;
    }
    Ok(())
}

/// The next piece of a body; none at its end.
pub(crate) async fn next(body: &mut RecvStream) -> Result<Option<Bytes>, h2::Error> {
    match body.data().await {
        None => Ok(None),
        Some(data) => {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            Ok(Some(data))
        }
    }
}

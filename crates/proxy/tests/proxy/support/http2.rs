//! Clients and backends that speak HTTP/2, by the library that the proxy uses too; what breaks its
//! rules is sent by raw frames elsewhere.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::PATIENCE;

/// Runs what a test does, on one thread and with a limit.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let limit = PATIENCE * 3;
        tokio::time::timeout(limit, test)
            .await
            .expect("the test hangs");
    });
}

/// A connection to `address` in HTTP/2 with prior knowledge.
pub(crate) async fn connect(address: SocketAddr) -> SendRequest<Bytes> {
    connect_until_it_ends(address).await.0
}

/// As [`connect`]; what is returned too ends with the connection.
pub(crate) async fn connect_until_it_ends(
    address: SocketAddr,
) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    // A stream that is not read leaves room for others.
    let (sender, connection) = h2::client::Builder::new()
        .initial_connection_window_size(16 << 20)
        .handshake(stream)
        .await
        .unwrap();
    (sender, tokio::spawn(connection))
}

/// What was answered, read to its end.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) head: http::response::Parts,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Whole {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head
            .headers
            .get(name)
            .map(|value| value.to_str().unwrap())
    }
}

/// Sends a request with its whole body, and reads the answer.
pub(crate) async fn ask(
    sender: &SendRequest<Bytes>,
    request: http::request::Builder,
    body: Option<&'static [u8]>,
) -> Result<Whole, h2::Error> {
    let mut sender = sender.clone().ready().await?;
    let request = request.body(()).unwrap();
    let (response, mut stream) = sender.send_request(request, body.is_none())?;
    if let Some(body) = body {
        stream.send_data(Bytes::from_static(body), true)?;
    }
    let (head, stream) = response.await?.into_parts();
    let (body, trailers) = read(stream).await?;
    Ok(Whole {
        head,
        body,
        trailers,
    })
}

/// A GET of `url`.
pub(crate) async fn get(sender: &SendRequest<Bytes>, url: &str) -> Whole {
    ask(sender, Request::get(url), None).await.unwrap()
}

/// Sends `count` bytes and then the end, as fast as they are taken.
pub(crate) async fn upload(stream: &mut SendStream<Bytes>, count: usize) -> Result<(), h2::Error> {
    let piece = Bytes::from(vec![b'x'; 16 * 1024]);
    let mut left = count;
    while left > 0 {
        stream.reserve_capacity(left.min(piece.len()));
        let room = poll_fn(|cx| stream.poll_capacity(cx)).await;
        let room = room.ok_or(h2::Error::from(h2::Reason::CANCEL))??;
        let size = room.min(left).min(piece.len());
        left -= size;
        stream.send_data(piece.slice(..size), left == 0)?;
    }
    Ok(())
}

/// Waits until so many bytes may be sent; false when the stream is over.
pub(crate) async fn has_room(stream: &mut SendStream<Bytes>, count: usize) -> bool {
    stream.reserve_capacity(count);
    while stream.capacity() < count {
        match poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(Ok(_)) => {}
            _ => return false,
        }
    }
    true
}

/// Sends bytes until no more are taken for a while; how many were.
pub(crate) async fn upload_until_it_stalls(stream: &mut SendStream<Bytes>) -> usize {
    const STALL: Duration = Duration::from_millis(300);
    let piece = Bytes::from(vec![b'x'; 16 * 1024]);
    let mut taken = 0;
    loop {
        stream.reserve_capacity(piece.len());
        let room = poll_fn(|cx| stream.poll_capacity(cx));
        let Ok(Some(Ok(room))) = tokio::time::timeout(STALL, room).await else {
            return taken;
        };
        let size = room.min(piece.len());
        if stream.send_data(piece.slice(..size), false).is_err() {
            return taken;
        }
        taken += size;
    }
}

/// Reads a body to its end; how long it was.
pub(crate) async fn skip(stream: &mut RecvStream) -> Result<usize, h2::Error> {
    let mut count = 0;
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        count += data.len();
    }
    Ok(count)
}

/// The next piece of a body that goes on.
pub(crate) async fn next(stream: &mut RecvStream) -> Result<Bytes, h2::Error> {
    let data = stream.data().await.expect("the body goes on")?;
    stream.flow_control().release_capacity(data.len())?;
    Ok(data)
}

/// Reads a body to its end.
pub(crate) async fn read(
    mut stream: RecvStream,
) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let trailers = stream.trailers().await?;
    Ok((body, trailers))
}

/// Starts a backend in HTTP/2 that serves each request with `serve`, in a thread of its own.
pub(crate) fn backend<Served: Future<Output = ()> + 'static>(
    settings: h2::server::Builder,
    serve: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> Served + Clone + Send + 'static,
) -> SocketAddr {
    backend_counting(settings, Arc::default(), serve)
}

/// The same, counting its connections.
pub(crate) fn backend_counting<Served: Future<Output = ()> + 'static>(
    settings: h2::server::Builder,
    connections: Arc<AtomicUsize>,
    serve: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> Served + Clone + Send + 'static,
) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(tokio::runtime::LocalOptions::default())
            .unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                connections.fetch_add(1, SeqCst);
                let (settings, serve) = (settings.clone(), serve.clone());
                tokio::task::spawn_local(async move {
                    let Ok(mut connection) = settings.handshake::<_, Bytes>(stream).await else {
                        return;
                    };
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        tokio::task::spawn_local(serve(request, respond));
                    }
                });
            }
        });
    });
    address
}

/// A backend that answers with the method, path and body of what it is asked, and with trailers
/// where it was sent some.
pub(crate) fn echo() -> SocketAddr {
    backend(
        h2::server::Builder::new(),
        |request, mut respond| async move {
            let (head, body) = request.into_parts();
            let (body, trailers) = read(body).await.unwrap_or_default();
            let text = format!(
                "{} {} {}",
                head.method,
                head.uri,
                String::from_utf8_lossy(&body)
            );
            let mut response = Response::new(());
            *response.headers_mut() = head.headers;
            response.headers_mut().remove("content-length");
            let Ok(mut stream) = respond.send_response(response, false) else {
                return;
            };
            answer(&mut stream, text, trailers);
        },
    )
}

/// Sends a body and trailers, if any.
pub(crate) fn answer(stream: &mut SendStream<Bytes>, body: String, trailers: Option<HeaderMap>) {
    // The other side may be gone.
    let _ = stream.send_data(body.into(), trailers.is_none());
    if let Some(trailers) = trailers {
        let _ = stream.send_trailers(trailers);
    }
}

//! An instance of a service: it does what a request's path says, and can be killed as by SIGKILL,
//! which closes all its sockets at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;

use model::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use super::instance_http1;
use super::instance_http2;
use super::stage::{Ask, Stage, own_address};
use super::stream::Stream;

/// What all connections of an instance know.
pub(crate) struct Shared {
    pub(crate) stage: Arc<Stage>,
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
    pub(crate) acceptor: Option<TlsAcceptor>,
    /// The generation with which it left the snapshot; 0 while it is in it.
    pub(crate) left: AtomicU64,
}

impl Shared {
    /// Notes that a request is here.
    pub(crate) fn arrived(&self, ask: &Ask) {
        self.stage.arrived(ask, &self.name, &self.left);
    }
}

/// An instance, which ends when this is dropped.
pub(crate) struct Instance {
    pub(crate) shared: Arc<Shared>,
    pub(crate) address: SocketAddr,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Instance {
    pub(crate) fn start(shared: Arc<Shared>) -> Self {
        let mut instance = Self {
            shared,
            address: own_address(),
            running: None,
        };
        instance.run();
        instance
    }

    /// Starts it again at its address.
    pub(crate) fn run(&mut self) {
        let listener = std::net::TcpListener::bind(self.address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (kill, killed) = oneshot::channel();
        let shared = self.shared.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = accept(&shared, listener) => {}
                    _ = killed => {}
                }
            });
            // With the runtime all connections are dropped.
        });
        self.running = Some((kill, thread));
    }

    pub(crate) fn kill(&mut self) {
        if let Some((kill, thread)) = self.running.take() {
            // It may have ended by a panic, of which the thread tells.
            let _ = kill.send(());
            if thread.join().is_err() {
                let name = &self.shared.name;
                self.shared.stage.violation(format!("{name} panicked"));
            }
        }
    }

    pub(crate) fn runs(&self) -> bool {
        self.running.is_some()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn accept(shared: &Arc<Shared>, listener: std::net::TcpListener) {
    let listener = TcpListener::from_std(listener).unwrap();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            stream.set_nodelay(true).unwrap();
            if let Some(stream) = agree(&shared, stream).await {
                serve(&shared, stream).await;
            }
        });
    }
}

async fn agree(shared: &Shared, stream: TcpStream) -> Option<Stream> {
    match &shared.acceptor {
        None => Some(Stream::Plain(stream)),
        Some(acceptor) => {
            let stream = acceptor.accept(stream).await.ok()?;
            Some(Stream::Tls(Box::new(stream.into())))
        }
    }
}

async fn serve(shared: &Arc<Shared>, stream: Stream) {
    match shared.protocol {
        Protocol::Http => instance_http1::serve(shared, stream).await,
        Protocol::Http2 | Protocol::Grpc => instance_http2::serve(shared, stream).await,
        Protocol::Tcp => bytes(shared, stream).await,
    }
}

/// Sends back what comes after a first line that says what is asked.
async fn bytes(shared: &Shared, mut stream: Stream) {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        match stream.read_u8().await {
            Ok(byte) => line.push(byte),
            Err(_) => return,
        }
    }
    let line = String::from_utf8(line).unwrap();
    let ask = Ask::read(line.trim_end()).expect("a first line as clients send it");
    shared.arrived(&ask);
    if ask.kind == "die" {
        stream.reset_on_close();
        return;
    }
    echo(&mut stream).await;
}

/// Sends back what comes until it ends.
pub(crate) async fn echo(stream: &mut Stream) {
    let mut piece = vec![0; 16 * 1024];
    loop {
        match stream.read(&mut piece).await {
            Ok(0) => break,
            Ok(count) => {
                if stream.write_all(&piece[..count]).await.is_err() {
                    return;
                }
                if stream.flush().await.is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
    // The other side may be gone.
    let _ = stream.shutdown().await;
}

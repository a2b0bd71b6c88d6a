//! Whether whoever waits at the other end of a socket is still there, without reading from it.

use std::time::Duration;

use tokio::io::Interest;

use super::Socket;

/// How often is looked at a connection whose client has sent ahead: only what was read makes room
/// for the kernel to tell more.
const LOOKS: Duration = Duration::from_millis(50);

impl Socket {
    /// Returns when the other side has ended its side of the connection, or reset it. What it has
    /// sent before that is still there to be read.
    pub(crate) async fn hung_up(&self) {
        loop {
            match self.tcp.ready(Interest::READABLE | Interest::ERROR).await {
                Ok(ready) if !ready.is_read_closed() && !ready.is_error() => {}
                _ => return,
            }
            tokio::time::sleep(LOOKS).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{Shutdown, TcpListener, TcpStream};

    #[test]
    fn an_end_is_noticed_also_behind_what_is_not_read() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            for (ahead, is_reset) in [("", false), ("more", false), ("", true)] {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                let (stream, _) = listener.accept().unwrap();
                stream.set_nonblocking(true).unwrap();
                let socket = Socket::new(tokio::net::TcpStream::from_std(stream).unwrap());
                client.write_all(ahead.as_bytes()).unwrap();
                let mut hung_up = std::pin::pin!(socket.hung_up());
                let soon = Duration::from_millis(20);
                let early = tokio::time::timeout(soon, &mut hung_up).await;
                assert!(early.is_err(), "it is still there");
                match is_reset {
                    true => rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO))
                        .unwrap(),
                    false => client.shutdown(Shutdown::Write).unwrap(),
                }
                let _open = (!is_reset).then_some(client);
                hung_up.await;
                let mut free = [0; 8];
                if !is_reset {
                    assert_eq!(socket.tcp.try_read(&mut free).unwrap(), ahead.len());
                }
            }
        });
    }
}

//! A client far away: what it may send ahead grows to what its line holds.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use proxy::limits::HTTP2_STREAM_WINDOW;

use crate::support::backend::Backend;
use crate::support::edge_to;
use crate::support::http2::{connect, run};

/// How long a byte takes each way.
const DELAY: Duration = Duration::from_millis(20);

/// A line to `address` on which every byte takes its time, and as many as like are on their way.
fn long_line(address: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for near in listener.incoming() {
            let (near, far) = (near.unwrap(), TcpStream::connect(address).unwrap());
            for stream in [&near, &far] {
                stream.set_nodelay(true).unwrap();
            }
            one_way(near.try_clone().unwrap(), far.try_clone().unwrap());
            one_way(far, near);
        }
    });
    near
}

fn one_way(mut from: TcpStream, to: TcpStream) {
    let (sender, receiver) = channel();
    std::thread::spawn(move || deliver(&receiver, to));
    std::thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(count) = from.read(&mut bytes) {
            let piece = bytes[..count].to_vec();
            if count == 0 || sender.send((Instant::now() + DELAY, piece)).is_err() {
                return;
            }
        }
    });
}

fn deliver(pieces: &Receiver<(Instant, Vec<u8>)>, mut to: TcpStream) {
    for (at, piece) in pieces {
        // The line's length is what is tested, not something that is waited for.
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        if to.write_all(&piece).is_err() {
            return;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[test]
fn a_window_grows_to_what_a_long_line_holds() {
    const BYTES: usize = 16 << 20;
    let backend = Backend::start(|connection| {
        connection.head();
        connection.skip(BYTES);
        connection.answer("taken");
    });
    let (_setup, edge) = edge_to(&backend, &[]);
    let line = long_line(edge);
    run(async {
        let client = connect(line).await;
        let request = Request::post("http://a.test/").header("content-length", BYTES);
        let mut client = client.ready().await.unwrap();
        let (answer, mut stream) = client
            .send_request(request.body(()).unwrap(), false)
            .unwrap();
        let (mut left, mut widest) = (BYTES, 0);
        while left > 0 {
            stream.reserve_capacity(left);
            let room = poll_fn(|cx| stream.poll_capacity(cx)).await;
            let room = room.unwrap().unwrap();
            widest = widest.max(room);
            left -= room;
            stream
                .send_data(Bytes::from(vec![b'x'; room]), left == 0)
                .unwrap();
        }
        assert_eq!(answer.await.unwrap().status().as_u16(), 200);
        assert!(widest > HTTP2_STREAM_WINDOW as usize, "{widest}");
    });
}

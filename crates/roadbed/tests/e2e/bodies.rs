//! Bodies larger than any buffer, through edge and mesh, while the proxy's memory stays as it is.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bench::process::usage;

use crate::support::apps::HOST;
use crate::support::{AppFolder, Machine, soak};

/// What is sent and received at a time.
const PIECE: usize = 64 * 1024;
/// What the proxy may take on top, whatever goes through it: buffers of two connections a hop.
const MOST_GROWTH: u64 = 16 << 20;

/// How large the bodies are: past 32 bits in the long form, as far as a number of bytes goes.
fn size() -> u64 {
    if soak() { 5 << 30 } else { 2 << 30 }
}

fn connect(machine: &Machine, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(machine.edge).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// Reads to the end of the head, which is all in the first bytes; what follows it of the body.
fn read_head(stream: &mut TcpStream) -> (String, u64) {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&piece[..count]);
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            return (head, (bytes.len() - end - 4) as u64);
        }
    }
}

#[test]
fn two_gibibytes_go_up_and_down_and_the_proxy_stays_small() {
    let machine = Machine::new();
    let app = AppFolder::pair();
    machine.up(&app);
    let proxy = machine.proxy_pid().unwrap();
    assert_eq!(
        machine.get(HOST, "/via/back/bytes?n=1000000").body.len(),
        1_000_000
    );
    let before = usage(proxy).unwrap().peak_resident;
    let size = size();

    let mut upload = connect(
        &machine,
        &format!("POST /via/back/sink HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {size}\r\n\r\n"),
    );
    let piece = vec![b'x'; PIECE];
    for _ in 0..size / PIECE as u64 {
        upload.write_all(&piece).unwrap();
    }
    let (head, _) = read_head(&mut upload);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    drop(upload);

    let mut download = connect(
        &machine,
        &format!("GET /via/back/bytes?n={size} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
    );
    let (head, mut received) = read_head(&mut download);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let mut piece = vec![0; PIECE];
    while received < size {
        let count = download.read(&mut piece).unwrap();
        assert!(count > 0, "ended after {received} of {size} bytes");
        received += count as u64;
    }
    assert_eq!(received, size);

    let after = usage(proxy).unwrap().peak_resident;
    println!(
        "peak of the proxy: {} KiB before, {} KiB after",
        before >> 10,
        after >> 10
    );
    assert!(after < before + MOST_GROWTH, "{before} {after}");
}

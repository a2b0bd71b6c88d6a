//! Raw exchanges see what the server does, byte for byte.

use std::time::Duration;

use super::support::{Action, Request, Server, answer, ok};
use bench::raw::{exchange, exchange_slowly};

const LONG: Duration = Duration::from_secs(20);

#[test]
fn a_close_a_reset_and_neither_are_told_apart() {
    let server = Server::start(|request: Request| match request.number {
        1 => Action::SendAndClose(answer(400, "", "no")),
        2 => Action::Reset,
        _ => Action::Send(ok()),
    });
    let request = b"GET / HTTP/1.1\r\n\r\n";
    let closed = exchange(server.address, request, LONG).unwrap();
    assert_eq!(
        (closed.status(), closed.closed, closed.reset),
        (Some(400), true, false)
    );
    assert!(closed.text().ends_with("\r\n\r\nno") && closed.duration < LONG);

    let reset = exchange(server.address, request, LONG).unwrap();
    assert_eq!(
        (reset.status(), reset.closed, reset.reset),
        (None, false, true)
    );

    let limit = Duration::from_millis(200);
    let open = exchange(server.address, request, limit).unwrap();
    assert_eq!(
        (open.status(), open.closed, open.reset),
        (Some(200), false, false)
    );
    assert!(open.duration >= limit);
}

#[test]
fn a_slow_sender_is_read_while_it_sends() {
    let server = Server::start(|_| Action::SendAndClose(ok()));
    let (pieces, pause) = (
        [&b"GET / HT"[..], b"TP/1.1\r\n", b"\r\n"],
        Duration::from_millis(50),
    );
    let slow = exchange_slowly(server.address, &pieces, pause, LONG).unwrap();
    assert_eq!((slow.status(), slow.closed), (Some(200), true));
    assert!(slow.duration >= 2 * pause);
}

#[test]
fn an_answer_before_the_end_of_a_large_request_is_seen() {
    let server = Server::start(|_| Action::Delay(Duration::ZERO, answer(413, "", "")));
    let mut request = b"GET / HTTP/1.1\r\n\r\n".to_vec();
    request.resize(64 << 20, b'x');
    let limit = Duration::from_secs(2);
    let early = exchange(server.address, &request, limit).unwrap();
    assert_eq!(early.status(), Some(413));
}

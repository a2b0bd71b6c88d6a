//! Two connections that are each other's peer, without sockets between them.

use std::task::{Context, Poll, Waker};

use proptest::prelude::*;

use super::stream::Failure;
use super::taking::Received;
use super::{Connection, Role};
use crate::http2::frame::PREFACE;
use crate::http2::reason::Reason;
use crate::limits::{
    HTTP2_CONNECTION_WINDOW, HTTP2_SEND_BUFFER, HTTP2_STREAM_WINDOW, HTTP2_STREAMS,
};

type Field = (&'static [u8], &'static [u8]);

const POST: [Field; 4] = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":authority", b"a.test"),
    (b":path", b"/"),
];
const OK: [Field; 2] = [(b":status", b"200"), (b"a", b"b")];

fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// A client and a server.
struct Pair {
    client: Connection,
    server: Connection,
}

impl Pair {
    fn new() -> Self {
        let mut pair = Self {
            client: Connection::new(Role::Client),
            server: Connection::new(Role::Server),
        };
        pair.exchange();
        pair
    }

    /// Moves bytes until both have nothing to say.
    fn exchange(&mut self) {
        while carry(&mut self.client, &mut self.server) | carry(&mut self.server, &mut self.client)
        {
        }
    }

    /// Opens a stream with `fields` after those of [`POST`], and has it arrive.
    fn open(&mut self, fields: &[Field], ends: bool) -> u32 {
        let all = POST.iter().chain(fields).copied();
        let id = self.client.open(all, ends, false).unwrap();
        self.exchange();
        id
    }
}

fn carry(from: &mut Connection, to: &mut Connection) -> bool {
    let output = from.output().to_vec();
    from.sent(output.len());
    assert_eq!(to.receive(&output), output.len(), "a frame was cut");
    !output.is_empty()
}

fn send(connection: &mut Connection, id: u32, content: &[u8], ends: bool) -> usize {
    match connection.poll_send(&cx(), id, content, ends) {
        Poll::Ready(sent) => sent.unwrap(),
        Poll::Pending => 0,
    }
}

fn receive(connection: &mut Connection, id: u32) -> Option<Result<Received, Failure>> {
    match connection.poll_receive(&cx(), id) {
        Poll::Ready(received) => Some(received),
        Poll::Pending => None,
    }
}

fn content(connection: &mut Connection, id: u32) -> Vec<u8> {
    match receive(connection, id) {
        Some(Ok(Received::Content(content))) => content.to_vec(),
        other => panic!("{other:?}"),
    }
}

fn reason(received: Option<Result<Received, Failure>>) -> Reason {
    match received {
        Some(Err(failure)) => failure.reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_and_its_answer_arrive_with_content_and_trailers() {
    let mut pair = Pair::new();
    let id = pair.open(&[], false);
    let arrived = pair.server.take_arrived().unwrap();
    assert_eq!(arrived.head.unwrap().authority.as_deref(), Some("a.test"));
    assert!(!arrived.ends);
    assert_eq!(send(&mut pair.client, id, b"question", true), 8);
    pair.exchange();
    assert_eq!(content(&mut pair.server, id), b"question");
    assert!(pair.server.is_at_end(id));
    pair.server.send_fields(id, OK.into_iter(), false).unwrap();
    send(&mut pair.server, id, b"answer", false);
    let trailers = [(&b"t"[..], &b"1"[..])].into_iter().collect();
    pair.server.send_trailers(id, &trailers).unwrap();
    pair.server.release(id);
    pair.exchange();
    let Poll::Ready(Ok(head)) = pair.client.poll_head(&cx(), id) else {
        panic!("no head");
    };
    assert_eq!(
        (head.status.as_u16(), head.fields.get(b"a")),
        (200, Some(&b"b"[..]))
    );
    assert_eq!(content(&mut pair.client, id), b"answer");
    assert!(matches!(
        receive(&mut pair.client, id),
        Some(Ok(Received::Trailers(received))) if received == trailers
    ));
    assert!(matches!(
        receive(&mut pair.client, id),
        Some(Ok(Received::End))
    ));
    pair.client.release(id);
    assert_eq!((pair.client.open, pair.server.open), (0, 0));
    assert!(pair.client.streams.is_empty() && pair.server.streams.is_empty());
}

#[test]
fn no_more_is_sent_than_the_window_allows_and_more_once_it_was_passed_on() {
    let mut pair = Pair::new();
    let id = pair.open(&[], false);
    let (body, mut sent) = (vec![7; 2 * HTTP2_STREAM_WINDOW as usize], 0);
    loop {
        match send(&mut pair.client, id, &body[sent..], true) {
            0 => break,
            count => sent += count,
        }
        pair.exchange();
    }
    assert_eq!(sent, HTTP2_STREAM_WINDOW as usize);
    assert_eq!(content(&mut pair.server, id).len(), sent);
    pair.exchange();
    assert_eq!(
        send(&mut pair.client, id, &body[sent..], true),
        0,
        "nothing was passed on"
    );
    pair.server.passed_on(id, sent);
    pair.exchange();
    assert!(send(&mut pair.client, id, &body[sent..], true) > 0);
}

#[test]
fn what_nobody_reads_of_a_stream_does_not_use_up_the_connection() {
    let mut pair = Pair::new();
    let body = vec![7; HTTP2_STREAM_WINDOW as usize];
    for round in 0..2 * HTTP2_CONNECTION_WINDOW / HTTP2_STREAM_WINDOW {
        let id = pair.open(&[], false);
        let mut sent = 0;
        while sent < body.len() {
            let count = send(&mut pair.client, id, &body[sent..], false);
            assert!(count > 0, "stuck in round {round}");
            sent += count;
            pair.exchange();
        }
        match round % 3 {
            0 => pair.server.ignore(id),
            1 => drop(content(&mut pair.server, id)),
            _ => {}
        }
        pair.server.release(id);
        pair.exchange();
        pair.client.release(id);
    }
}

#[test]
fn those_that_wait_to_send_take_turns() {
    let mut pair = Pair::new();
    let ids = [pair.open(&[], false), pair.open(&[], false)];
    let body = vec![7; 2 * HTTP2_SEND_BUFFER];
    while send(&mut pair.client, ids[0], &body, false) > 0 {}
    for id in ids {
        assert_eq!(send(&mut pair.client, id, &body, false), 0);
    }
    assert_eq!(pair.client.waiting, ids);
    pair.exchange();
    assert!(pair.client.waiting.is_empty());
}

#[test]
fn a_length_that_is_not_kept_ends_the_stream() {
    for (length, sent) in [(b"5", &b"four"[..]), (b"3", b"four")] {
        let mut pair = Pair::new();
        let id = pair.open(&[(b"content-length", length)], false);
        send(&mut pair.client, id, sent, true);
        pair.exchange();
        let received = receive(&mut pair.server, id);
        let failed = match received {
            // What came before the failure is there.
            Some(Ok(Received::Content(_))) => receive(&mut pair.server, id),
            other => other,
        };
        assert_eq!(reason(failed), Reason::PROTOCOL_ERROR);
        assert_eq!(
            reason(receive(&mut pair.client, id)),
            Reason::PROTOCOL_ERROR
        );
    }
}

#[test]
fn what_is_on_its_way_to_a_stream_that_was_reset_is_dropped() {
    let mut pair = Pair::new();
    let id = pair.open(&[], false);
    send(&mut pair.client, id, b"content", false);
    pair.client.send_trailers(id, &Default::default()).unwrap();
    pair.server.cancel(id, Reason::CANCEL);
    pair.server.release(id);
    pair.exchange();
    assert_eq!(reason(receive(&mut pair.client, id)), Reason::CANCEL);
    let another = pair.open(&[], true);
    assert!(pair.server.streams.contains_key(&another));
}

#[test]
fn streams_beyond_the_limit_are_refused_and_may_be_sent_again() {
    let mut pair = Pair::new();
    let ids: Vec<_> = (0..HTTP2_STREAMS).map(|_| pair.open(&[], true)).collect();
    assert!(pair.client.open(POST.into_iter(), true, false).is_err());
    // A client that does not mind.
    pair.client.peer.streams = u32::MAX;
    let id = pair.open(&[], true);
    let failed = receive(&mut pair.client, id);
    assert!(matches!(failed, Some(Err(failure)) if failure.is_unprocessed));
    pair.server
        .send_fields(ids[0], OK.into_iter(), true)
        .unwrap();
    let id = pair.open(&[], true);
    assert!(pair.server.streams.contains_key(&id));
}

#[test]
fn who_goes_away_serves_what_was_on_its_way_and_says_what_was_not() {
    let mut pair = Pair::new();
    let first = pair.open(&[], true);
    pair.server.shut_down();
    // The client does not know yet.
    let second = pair.client.open(POST.into_iter(), true, false).unwrap();
    pair.exchange();
    assert!(pair.client.is_closed_to_more());
    assert!(pair.client.open(POST.into_iter(), true, false).is_err());
    for id in [first, second] {
        assert!(!pair.server.is_over());
        pair.server.take_arrived().unwrap();
        pair.server.send_fields(id, OK.into_iter(), true).unwrap();
    }
    assert!(pair.server.is_over());
    // One whose request was not looked at is told so.
    let mut pair = Pair::new();
    let id = pair.client.open(POST.into_iter(), true, false).unwrap();
    pair.server.fail(Reason::ENHANCE_YOUR_CALM);
    pair.exchange();
    let failed = receive(&mut pair.client, id);
    assert!(matches!(failed, Some(Err(failure)) if failure.is_unprocessed));
}

#[test]
fn windows_grow_for_streams_that_are_open_too() {
    let mut pair = Pair::new();
    let id = pair.open(&[], false);
    let (stream, connection) = (2 * HTTP2_STREAM_WINDOW, 2 * HTTP2_CONNECTION_WINDOW);
    pair.server.grow_windows(stream, connection);
    pair.exchange();
    assert_eq!(pair.client.streams[&id].send_window, i64::from(stream));
    assert_eq!(pair.client.send_window, i64::from(connection));
}

#[test]
fn a_window_that_is_too_large_ends_its_stream_and_nothing_else() {
    let mut pair = Pair::new();
    let id = pair.open(&[], false);
    let update = [0, 0, 4, 8, 0, 0, 0, 0, id as u8, 0x7f, 0xff, 0xff, 0xff];
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    pair.server.receive(&[&update[..], &settings].concat());
    let failed = receive(&mut pair.server, id);
    assert_eq!(reason(failed), Reason::FLOW_CONTROL_ERROR);
    assert!(!pair.server.is_over());
}

#[test]
fn a_stream_that_was_reset_has_no_window_whoever_holds_it() {
    let mut pair = Pair::new();
    let id = pair.open(&[], false);
    let update = |by: u32| {
        let by = by.to_be_bytes();
        [&[0, 0, 4, 8, 0, 0, 0, 0, id as u8][..], &by].concat()
    };
    // It is reset by the first of these; the second would fit, and then the settings would not.
    let window = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0x44, 0, 0, 0];
    let bytes = [
        &update(0x7fff_ffff)[..],
        &update(0x4400_0000),
        &window,
        &update(0),
    ]
    .concat();
    pair.server.receive(&bytes);
    let resets = pair
        .server
        .output()
        .windows(4)
        .filter(|bytes| bytes == &[0, 0, 4, 3]);
    assert_eq!(resets.count(), 1, "{:?}", pair.server.output());
    assert!(!pair.server.is_over());
    let failed = receive(&mut pair.server, id);
    assert_eq!(reason(failed), Reason::FLOW_CONTROL_ERROR);
}

#[test]
fn a_client_begins_with_its_preface_and_settings() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxxxxxxxxx",
    ] {
        let mut server = Connection::new(Role::Server);
        server.receive(bytes);
        assert!(server.is_over());
    }
}

proptest! {
    #[test]
    fn what_arrives_in_pieces_is_what_arrives_at_once(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..8),
        mut cuts in prop::collection::vec(0..3000usize, 0..40),
    ) {
        let mut client = Connection::new(Role::Client);
        for body in &bodies {
            let id = client.open(POST.into_iter(), body.is_empty(), false).unwrap();
            if !body.is_empty() {
                send(&mut client, id, body, true);
            }
        }
        let bytes = client.output().to_vec();
        prop_assert!(bytes.starts_with(PREFACE));
        cuts.retain(|&cut| cut < bytes.len());
        cuts.sort_unstable();
        let mut server = Connection::new(Role::Server);
        let (mut kept, mut from) = (Vec::new(), 0);
        for to in cuts.into_iter().chain([bytes.len()]) {
            kept.extend_from_slice(&bytes[from..to]);
            let used = server.receive(&kept);
            kept.drain(..used);
            from = to;
        }
        prop_assert!(kept.is_empty() && !server.is_over());
        for body in &bodies {
            let arrived = server.take_arrived().unwrap();
            let mut whole = Vec::new();
            while let Some(Ok(Received::Content(content))) = receive(&mut server, arrived.stream) {
                whole.extend_from_slice(&content);
            }
            prop_assert_eq!(&whole, body);
        }
    }

    #[test]
    fn no_bytes_are_too_much_for_it(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut server = Connection::new(Role::Server);
        server.receive(PREFACE);
        server.receive(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
        server.receive(&bytes);
    }
}

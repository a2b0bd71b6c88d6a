//! A backend's head that is accepted means the same however it arrived, and means the same to the
//! client that is sent the rewritten head: status, body and change of protocol.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy::http::message::Body;
use proxy::http1::whole::{Answer, forward_answer};

fuzz_target!(|bytes: &[u8]| {
    for to_head in [false, true] {
        prefixes_agree(bytes, to_head);
        for old_client in [false, true] {
            if let Ok(Some((answer, forwarded))) = forward_answer(bytes, to_head, old_client) {
                check(&answer, &forwarded, to_head, old_client);
            }
        }
    }
});

fn prefixes_agree(bytes: &[u8], to_head: bool) {
    let read = |bytes| forward_answer(bytes, to_head, false);
    let whole = read(bytes);
    let step = 1 + bytes.len() / 300;
    for length in (0..bytes.len()).step_by(step) {
        match (read(&bytes[..length]), &whole) {
            (Ok(None), Ok(Some((answer, _)))) => assert!(length < answer.length),
            (Ok(None), _) => {}
            (early, late) => assert_eq!(early, *late, "at {length}"),
        }
    }
}

fn check(answer: &Answer, forwarded: &[u8], to_head: bool, old_client: bool) {
    let lines = forwarded
        .strip_suffix(b"\r\n\r\n")
        .expect("an empty line ends it");
    assert!(
        !lines.windows(4).any(|four| four == b"\r\n\r\n"),
        "two heads in one"
    );
    let status_line = format!("HTTP/1.1 {}", answer.status);
    assert!(forwarded.starts_with(status_line.as_bytes()));
    let Ok(Some((again, twice))) = forward_answer(forwarded, to_head, old_client) else {
        // `transfer-encoding` may be one field more than a head of ours may have.
        assert!(
            lines.iter().filter(|&&b| b == b'\n').count() > 90,
            "refused once rewritten"
        );
        return;
    };
    assert_eq!(again.length, forwarded.len());
    assert_eq!(
        (again.status, again.upgrade),
        (answer.status, answer.upgrade)
    );
    let body = match answer.body {
        Body::Chunked | Body::UntilClose if old_client => Body::UntilClose,
        Body::UntilClose => Body::Chunked,
        body => body,
    };
    assert_eq!(
        again.body, body,
        "the client reads another body than we send"
    );
    assert_eq!(twice, forwarded, "rewriting twice is not rewriting once");
}

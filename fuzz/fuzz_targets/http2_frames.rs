//! Whatever frames a client sends, the connection comes to an end, and each request that is
//! accepted reaches a backend of HTTP/1.1 as one request that is framed in one way, whether its
//! frames arrived at once or in pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy::http::Refusal;
use proxy::http::message::Body;
use proxy::http1::request::parse;
use proxy::http2::whole::{Answers, serve};

fuzz_target!(|bytes: &[u8]| {
    serve(bytes, 1 + bytes.len() / 5, Answers::AtOnce);
    let whole = serve(bytes, usize::MAX, Answers::AtTheEnd);
    let pieces = serve(bytes, 1 + bytes.len() / 7, Answers::AtTheEnd);
    // A request that is given up in the same breath is not begun.
    let mut begun = pieces.requests.iter();
    let is_among = |request| begun.any(|other| other == request);
    assert!(whole.requests.iter().all(is_among));
    // What is too much depends on time, too.
    if !whole.is_excessive && !pieces.is_excessive {
        assert_eq!(whole.is_over, pieces.is_over);
    }
    for head in whole.requests.iter().flatten() {
        let parsed = match parse(head) {
            Ok(Some(parsed)) => parsed,
            // What is written out in full may exceed the limits of a head that arrives.
            Err(Refusal::HeadTooLong | Refusal::TargetTooLong | Refusal::TooManyFields) => continue,
            other => panic!("the head gave {other:?}"),
        };
        assert_eq!(parsed.length, head.len(), "something follows the head");
        let text = String::from_utf8_lossy(head).to_ascii_lowercase();
        let framings = ["\r\ncontent-length: ", "\r\ntransfer-encoding: "];
        let count: usize = framings
            .iter()
            .map(|field| text.matches(field).count())
            .sum();
        assert!(count <= 1, "framed twice");
        assert!(count == 1 || parsed.facts.body == Body::None);
    }
});

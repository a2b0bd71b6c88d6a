//! A request's head that is accepted follows the rules when read naively, means the same however
//! it arrived, and means the same to the backend that is sent the rewritten head.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use libfuzzer_sys::fuzz_target;
use proxy::http::Refusal;
use proxy::http::message::Body;
use proxy::http1::request::{RequestHead, parse};
use proxy::http1::whole::forward_request;
use proxy::limits::HEAD_FIELDS;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

fuzz_target!(|bytes: &[u8]| {
    let parsed = parse(bytes);
    prefixes_agree(bytes, &parsed);
    let Ok(Some(head)) = parsed else { return };
    let naive = Naive::read(&bytes[..head.length]);
    naive.check(&head);
    for client in [None, Some(CLIENT)] {
        let (_, forwarded) = forward_request(bytes, client).unwrap().unwrap();
        check_forwarded(bytes, &head, naive.fields.len(), client, &forwarded);
    }
});

/// What arrives byte by byte is never accepted with other content, nor refused for another reason.
fn prefixes_agree(bytes: &[u8], whole: &Result<Option<RequestHead>, Refusal>) {
    let step = 1 + bytes.len() / 600;
    for length in (0..bytes.len()).step_by(step) {
        match (parse(&bytes[..length]), whole) {
            (Ok(None), Ok(Some(head))) => assert!(length < head.length),
            (Ok(None), _) => {}
            (Ok(Some(part)), Ok(Some(head))) => {
                assert!(length >= head.length && part.length == head.length);
                assert_eq!((part.facts, part.host), (head.facts, head.host.clone()));
            }
            (Err(early), Err(late)) => assert_eq!(early, *late, "at {length}"),
            (prefix, whole) => panic!("{prefix:?} at {length}, then {whole:?}"),
        }
    }
}

/// A head as the simplest reader takes it.
struct Naive<'a> {
    request_line: &'a [u8],
    fields: Vec<(Vec<u8>, &'a [u8])>,
}

impl<'a> Naive<'a> {
    fn read(head: &'a [u8]) -> Self {
        // One empty line before a request is forgiven.
        let head = head.strip_prefix(b"\r\n").unwrap_or(head);
        let head = head
            .strip_suffix(b"\r\n\r\n")
            .expect("an empty line ends it");
        let mut lines = Vec::new();
        let mut rest = head;
        while let Some(at) = rest.windows(2).position(|two| two == b"\r\n") {
            lines.push(&rest[..at]);
            rest = &rest[at + 2..];
        }
        lines.push(rest);
        for line in &lines {
            let clean = line.iter().all(|&b| b == b'\t' || b >= 0x20 && b != 0x7f);
            assert!(clean, "a CR, LF, NUL or other control character in a line");
        }
        let fields = lines[1..].iter().map(|line| {
            let colon = line.iter().position(|&b| b == b':').expect("a colon");
            let (name, value) = line.split_at(colon);
            assert!(
                !name.is_empty() && name.iter().all(u8::is_ascii_graphic),
                "folded or spaced"
            );
            (name.to_ascii_lowercase(), value[1..].trim_ascii())
        });
        Self {
            request_line: lines[0],
            fields: fields.collect(),
        }
    }

    fn values(&self, name: &str) -> Vec<&'a [u8]> {
        let named = self
            .fields
            .iter()
            .filter(|(field, _)| field == name.as_bytes());
        named.map(|(_, value)| *value).collect()
    }

    fn check(&self, head: &RequestHead) {
        let parts: Vec<_> = self.request_line.split(|&b| b == b' ').collect();
        assert_eq!(parts.len(), 3, "a request line has three parts");
        assert_eq!(parts[2] == b"HTTP/1.0", head.facts.old_version);
        let hosts = self.values("host").len();
        assert!(
            hosts == 1 || hosts == 0 && head.facts.old_version,
            "{hosts} hosts"
        );
        let lengths = self.values("content-length");
        let codings = self.values("transfer-encoding");
        let body = match (&lengths[..], &codings[..]) {
            ([], []) => Body::None,
            ([length], []) => match std::str::from_utf8(length).unwrap().parse().unwrap() {
                0 => Body::None,
                length => Body::Length(length),
            },
            ([], [coding]) => {
                assert!(coding.eq_ignore_ascii_case(b"chunked") && !head.facts.old_version);
                Body::Chunked
            }
            _ => panic!("framed twice and accepted"),
        };
        assert_eq!(body, head.facts.body);
    }
}

/// The backend reads what the proxy read, and nothing that was for the proxy alone.
fn check_forwarded(
    bytes: &[u8],
    head: &RequestHead,
    fields: usize,
    client: Option<IpAddr>,
    forwarded: &[u8],
) {
    let naive = Naive::read(forwarded);
    let again = match parse(forwarded) {
        Ok(Some(again)) => again,
        // What the proxy adds may exceed its own limit, which is no backend's.
        Err(Refusal::TooManyFields) if fields + 8 > HEAD_FIELDS => return,
        other => panic!("the rewritten head gave {other:?}"),
    };
    naive.check(&again);
    assert_eq!(
        again.length,
        forwarded.len(),
        "something follows the rewritten head"
    );
    assert_eq!(forwarded[again.method.clone()], bytes[head.method.clone()]);
    let (target, target_again) = (head.path_and_query.clone(), again.path_and_query.clone());
    assert_eq!(forwarded[target_again], bytes[target]);
    if head.host.is_empty() {
        assert_eq!(&forwarded[again.host.clone()], b"service");
    } else {
        assert_eq!(forwarded[again.host.clone()], bytes[head.host.clone()]);
    }
    let (before, after) = (head.facts, again.facts);
    assert_eq!(
        (
            before.body,
            before.upgrade,
            before.expects_continue,
            before.idempotent
        ),
        (
            after.body,
            after.upgrade,
            after.expects_continue,
            after.idempotent
        ),
    );
    assert!(!after.old_version && after.keep_alive && !again.absolute);
    for hop in ["te", "keep-alive", "proxy-connection"] {
        assert!(naive.values(hop).is_empty(), "{hop} was passed on");
    }
    let upgrade: &[&[u8]] = if before.upgrade { &[b"upgrade"] } else { &[] };
    assert_eq!(naive.values("connection"), upgrade);
    assert_eq!(naive.values("upgrade").len(), upgrade.len());
    assert_eq!(
        naive.values("expect").len(),
        usize::from(before.expects_continue)
    );
    if let Some(client) = client {
        assert_eq!(
            naive.values("x-forwarded-for"),
            [client.to_string().as_bytes()]
        );
        assert_eq!(naive.values("x-forwarded-proto"), [b"http"]);
        let said = format!("for={client};proto=http");
        assert_eq!(naive.values("forwarded"), [said.as_bytes()]);
        assert_eq!(naive.values("x-request-id").len(), 1);
        assert_eq!(naive.values("x-forwarded-port").len(), 1);
    }
    if client.is_some() && head.host.is_empty() {
        // Of a host that the client did not name, the edge does not say that it did.
        assert!(naive.values("x-forwarded-host").is_empty());
        return;
    }
    let (_, twice) = forward_request(forwarded, client).unwrap().unwrap();
    assert_eq!(twice, forwarded, "rewriting twice is not rewriting once");
}

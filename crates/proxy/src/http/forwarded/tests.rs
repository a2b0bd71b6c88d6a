//! What is believed of a request's way.

use super::*;
use proptest::prelude::*;

/// A request with these fields.
struct Fields(Vec<(&'static str, String)>);

impl Asked for Fields {
    fn host(&self) -> &[u8] {
        b"a.test"
    }
    fn path_and_query(&self) -> &[u8] {
        b"/"
    }
    fn method(&self) -> &[u8] {
        b"GET"
    }
    fn any_field(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let named = self.0.iter().filter(|(other, _)| *other == name);
        named.into_iter().any(|(_, value)| test(value.as_bytes()))
    }
}

fn trusted() -> TrustedHops {
    "10.0.0.0/8,2001:db8::/32".parse().unwrap()
}

fn way(fields: &[(&'static str, &str)]) -> Way {
    let fields = fields
        .iter()
        .map(|(name, value)| (*name, value.to_string()));
    let peer = "::ffff:10.0.0.1".parse().unwrap();
    Way::read(peer, &trusted(), &Fields(fields.collect())).unwrap()
}

#[track_caller]
fn expect(fields: &[(&'static str, &str)], addresses: &[&str]) {
    let expected: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
    assert_eq!(way(fields).addresses, expected);
}

#[test]
fn the_client_is_the_first_from_the_end_that_is_not_trusted() {
    let family = "x-forwarded-for";
    expect(&[], &["10.0.0.1"]);
    expect(&[(family, "192.0.2.1")], &["192.0.2.1", "10.0.0.1"]);
    // What the client itself has claimed is left out, on one line or another.
    expect(
        &[(family, "6.6.6.6, 192.0.2.1")],
        &["192.0.2.1", "10.0.0.1"],
    );
    let lines = [(family, "6.6.6.6"), (family, "192.0.2.1,10.0.0.2")];
    expect(&lines, &["192.0.2.1", "10.0.0.2", "10.0.0.1"]);
    // All are trusted: the client is the one that is furthest away.
    expect(
        &[(family, "10.0.0.3, 10.0.0.2")],
        &["10.0.0.3", "10.0.0.2", "10.0.0.1"],
    );
    // What is no address ends what is known.
    expect(
        &[(family, "192.0.2.1, unknown, 10.0.0.2")],
        &["10.0.0.2", "10.0.0.1"],
    );
    expect(
        &[(family, "192.0.2.1, , 10.0.0.2")],
        &["10.0.0.2", "10.0.0.1"],
    );
    expect(
        &[(family, "[2001:db8::1]:80,10.0.0.2:5")],
        &["2001:db8::1", "10.0.0.2", "10.0.0.1"],
    );
    expect(&[(family, "::ffff:192.0.2.1")], &["192.0.2.1", "10.0.0.1"]);
}

#[test]
fn forwarded_says_the_same_in_its_own_grammar() {
    let field = "forwarded";
    expect(
        &[(
            field,
            r#"for=6.6.6.6;proto=https, For="[2001:db8::7]:1", for=10.0.0.2;by=_x"#,
        )],
        &["6.6.6.6", "2001:db8::7", "10.0.0.2", "10.0.0.1"],
    );
    let seen = way(&[(field, r#"for=192.0.2.1;PROTO=https;host="a.test:8443""#)]);
    assert_eq!(
        (seen.is_secure, seen.host.as_deref()),
        (Some(true), Some("a.test:8443"))
    );
    // What a client says of itself counts for nothing, nor what is not known whose it is.
    let seen = way(&[(
        field,
        "for=1.1.1.1;proto=https;host=evil, for=192.0.2.1;proto=http",
    )]);
    assert_eq!((seen.is_secure, seen.host), (Some(false), None));
    expect(&[(field, "for=192.0.2.1, for=_hidden")], &["10.0.0.1"]);
    expect(&[(field, "for=192.0.2.1, proto=http")], &["10.0.0.1"]);
    for broken in [
        "for",
        "for=",
        "for=1.1.1.1 x",
        "for=\"1.1.1.1",
        "for=1.1.1.1;for=2.2.2.2",
        "=1",
    ] {
        expect(&[(field, broken)], &["10.0.0.1"]);
    }
    // A hop that writes one of the two may pass the other on as its client wrote it.
    let both = [
        ("x-forwarded-for", "192.0.2.1"),
        (field, "for=6.6.6.6;proto=https"),
    ];
    expect(&both, &["192.0.2.1", "10.0.0.1"]);
    assert_eq!(way(&both).is_secure, None);
    let both = [("x-forwarded-proto", "https"), (field, "for=192.0.2.1")];
    assert_eq!(way(&both).is_secure, None);
}

#[test]
fn what_was_asked_is_believed_where_there_is_one_word_of_it() {
    let said = |name, value| way(&[(name, value)]);
    assert_eq!(said("x-forwarded-proto", "HTTPS").is_secure, Some(true));
    assert_eq!(said("x-forwarded-proto", "http").is_secure, Some(false));
    for bad in ["https, http", "ftp", ""] {
        assert_eq!(said("x-forwarded-proto", bad).is_secure, None, "{bad:?}");
    }
    assert_eq!(
        said("x-forwarded-host", "b.test:1").host.as_deref(),
        Some("b.test:1")
    );
    for bad in ["a b", "a\"b", "a, b", "http://a", ""] {
        assert_eq!(said("x-forwarded-host", bad).host, None, "{bad:?}");
    }
    assert_eq!(said("x-forwarded-port", "8443").port, Some(8443));
    for bad in ["0", "+1", "65536", "80, 81", ""] {
        assert_eq!(said("x-forwarded-port", bad).port, None, "{bad:?}");
    }
}

#[test]
fn a_request_that_goes_in_a_circle_is_known_by_its_way() {
    let read = |hops: usize, client: &str| {
        let value = format!("{client}{}", ", 10.0.0.2".repeat(hops));
        let fields = Fields(vec![("x-forwarded-for", value)]);
        Way::read("10.0.0.1".parse().unwrap(), &trusted(), &fields)
    };
    assert!(read(MOST_HOPS - 1, "192.0.2.1").is_ok());
    assert_eq!(read(MOST_HOPS, "192.0.2.1"), Err(InCircle));
    // However much a client claims, it is not looked at.
    assert!(read(0, &"6.6.6.6, ".repeat(500)).is_ok());
}

proptest! {
    /// Whatever a client claims, nothing changes in what a trusted hop has said of it.
    #[test]
    fn no_claim_of_a_client_moves_what_is_believed(claim in "[ -~]{0,60}") {
        let told = way(&[("x-forwarded-for", "192.0.2.1, 10.0.0.2")]);
        let value = format!("{claim}, 192.0.2.1, 10.0.0.2");
        prop_assert_eq!(&way(&[("x-forwarded-for", &value)]), &told);
        prop_assert_eq!(&way(&[("x-forwarded-for", "192.0.2.1, 10.0.0.2"), ("forwarded", &claim)]), &told);
    }

    /// Any bytes are read or not; what is read is what was written.
    #[test]
    fn what_is_written_is_read(elements in prop::collection::vec(("[!-~]{1,8}", "[ -~]{0,8}"), 1..5)) {
        let quote = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let written: Vec<_> = elements
            .iter()
            .map(|(node, host)| format!("for=\"{}\" ; host=\"{}\"", quote(node), quote(host)))
            .collect();
        let read = parse(written.join(" , ").as_bytes()).unwrap();
        let expected: Vec<_> = elements
            .iter()
            .map(|(node, host)| Element {
                node: Some(node.clone().into_bytes()),
                host: Some(host.clone().into_bytes()),
                scheme: None,
            })
            .collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
    }
}

//! Answers: informational, early, without content, without length, and those that break the rules.

use crate::support::client::{Client, End};
use crate::support::edge_with;

#[test]
fn bad_answers_are_bad_gateways_and_never_reach_the_client() {
    for bad in [
        "garbage\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ] {
        let (_setup, address, _backend) = edge_with(move |connection| {
            connection.head();
            connection.send(bad);
            connection.drain();
        });
        let answer = Client::connect(address).get("a.test", "/");
        assert_eq!(
            (answer.status, answer.field("roadbed-reason")),
            (502, Some("bad-response"))
        );
    }
}

#[test]
fn continue_is_relayed_between_the_two_who_wait_for_it() {
    let (_setup, address, _backend) = edge_with(|connection| {
        connection.head();
        connection.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
        connection.until(b"body");
        connection.answer("done");
    });
    let mut client = Client::connect(address);
    client.send(
        "POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
    );
    assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.head(), "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
    client.send("body");
    let answer = client.answer();
    assert_eq!((answer.text(), answer.field("connection")), ("done", None));
}

#[test]
fn an_early_answer_arrives_whole_although_the_body_is_still_being_sent() {
    let (_setup, address, _backend) = edge_with(|connection| {
        connection.head();
        connection.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
    });
    let mut client = Client::connect(address);
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000000\r\n\r\n");
    client.send(vec![0; 100_000]);
    let answer = client.answer();
    assert_eq!((answer.status, answer.text()), (413, "big"));
    assert_eq!(answer.field("connection"), Some("close"));
}

#[test]
fn an_expectation_that_the_backend_refuses_is_answered_before_the_body() {
    let (_setup, address, backend) = edge_with(|connection| {
        connection.head();
        connection.send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno");
        connection.drain();
    });
    let mut client = Client::connect(address);
    client.send(
        "POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
    );
    let answer = client.answer();
    assert_eq!((answer.status, answer.text()), (417, "no"));
    // Whether the client sends the body now nobody can tell, so there is no next request.
    assert_eq!(answer.field("connection"), Some("close"));
    client.offer("GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.rest().0, b"");
    assert!(!backend.received().concat().contains("smuggled"));
}

#[test]
fn head_and_statuses_without_content_have_no_body_whatever_they_announce() {
    let (_setup, address, _backend) = edge_with(|connection| {
        while let Some(head) = connection.head() {
            let status = match head.split(' ').nth(1) {
                Some("/204") => "204 No Content",
                Some("/304") => "304 Not Modified",
                _ => "200 OK",
            };
            connection.send(format!("HTTP/1.1 {status}\r\nContent-Length: 10\r\n\r\n"));
        }
    });
    let mut client = Client::connect(address);
    for request in [
        "HEAD /200",
        "GET /304",
        "HEAD /304",
        "GET /204",
        "HEAD /204",
        "HEAD /200",
    ] {
        client.send(format!("{request} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        let head = client.head();
        // RFC 9110 section 8.6: 204 cannot have the field, the others may.
        let announced = !request.ends_with("/204");
        assert_eq!(head.contains("Content-Length: 10\r\n"), announced, "{head}");
        assert!(
            !head.contains("ransfer-") && !head.contains("connection: close"),
            "{head}"
        );
    }
}

#[test]
fn an_answer_without_length_is_chunked_so_that_its_end_can_be_told() {
    let (_setup, address, _backend) = edge_with(|connection| {
        connection.head();
        connection.send("HTTP/1.0 200 OK\r\n\r\nuntil the end");
    });
    let mut client = Client::connect(address);
    let answer = client.get("a.test", "/");
    assert_eq!(answer.text(), "until the end");
    client.send("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n");
    let (old, end) = client.rest();
    let old = String::from_utf8(old).unwrap();
    assert!(
        old.ends_with("\r\n\r\nuntil the end") && !old.contains("chunked"),
        "{old}"
    );
    assert_eq!(end, End::Orderly);
}

#[test]
fn a_connection_with_half_a_request_or_half_an_answer_on_it_serves_no_other() {
    let half_an_answer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndoneHTTP/1.1 200";
    let half_a_request = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";
    for (request, answer) in [
        ("Content-Length: 0\r\n\r\n", half_an_answer),
        ("Content-Length: 9\r\n\r\nhalf", half_a_request),
        (
            "Transfer-Encoding: chunked\r\n\r\n9\r\nhalf",
            half_a_request,
        ),
    ] {
        let (_setup, address, backend) = edge_with(move |connection| {
            while let Some(head) = connection.head() {
                match head.starts_with("POST") {
                    true => connection.send(answer),
                    false => connection.answer("well"),
                }
            }
        });
        let mut client = Client::connect(address);
        client.send(format!("POST / HTTP/1.1\r\nHost: a.test\r\n{request}"));
        assert_eq!(client.answer().text(), "done");
        let mut other = Client::connect(address);
        assert_eq!(other.get("a.test", "/other").text(), "well", "{request:?}");
        let received = backend.received();
        assert!(received.len() == 2 && !received[0].contains("/other"));
    }
}

#[test]
fn an_answer_says_when_it_was_made_once_whoever_made_it() {
    use std::time::SystemTime;
    let (_setup, address, _backend) = edge_with(|connection| {
        while let Some((head, _)) = connection.request() {
            match head.starts_with("GET /dated") {
                true => connection.send(
                    "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
                     Content-Length: 0\r\n\r\n",
                ),
                false => connection.answer("undated"),
            }
        }
    });
    let mut client = Client::connect(address);
    let dated = client.get("a.test", "/dated");
    assert_eq!(dated.field("date"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    assert_eq!(
        dated.head.to_ascii_lowercase().matches("\r\ndate:").count(),
        1
    );
    for host in ["a.test", "nobody.test"] {
        let before = SystemTime::now();
        let answer = client.get(host, "/undated");
        let made = httpdate::parse_http_date(answer.field("date").unwrap()).unwrap();
        let apart = before.duration_since(made).unwrap_or_default();
        assert!(
            apart.as_secs() < 2 && made <= SystemTime::now(),
            "{answer:?}"
        );
    }
}

//! One question in both versions of HTTP, and all that is told in answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use http::Request;

use super::client::Client;
use super::http2::{ask, connect, run};

/// An answer, whichever version it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) status: u16,
    /// By name in lower case; values of one name are joined by commas.
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Told {
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields
            .get(name)
            .map(String::as_str)
            .unwrap_or_default()
    }
}

fn joined<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (name, value) in fields {
        let joined: &mut String = all.entry(name.to_ascii_lowercase()).or_default();
        if !joined.is_empty() {
            joined.push_str(", ");
        }
        joined.push_str(value);
    }
    all
}

/// What `request` is answered, such as `GET a.test /x` with lines of fields after it: over HTTP/1.1
/// and over HTTP/2.
pub(crate) fn told(edge: SocketAddr, request: &str) -> [Told; 2] {
    let (line, fields) = request.split_once('\n').unwrap_or((request, ""));
    let [method, host, path] = line.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{line}");
    };
    let fields: Vec<_> = fields
        .lines()
        .map(|line| line.trim().split_once(": ").unwrap())
        .collect();

    let mut client = Client::connect(edge);
    let lines = fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"));
    let lines: String = lines.collect();
    client.send(format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{lines}\r\n"
    ));
    let (head, body) = match method {
        "HEAD" => (client.head(), String::new()),
        _ => {
            let answer = client.answer();
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            (answer.head, body)
        }
    };
    // Nothing follows, in particular no content where none was announced.
    assert_eq!(client.rest().0, b"", "{request}");
    let lines = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "));
    let old = Told {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        fields: joined(lines.filter(|(name, _)| !name.eq_ignore_ascii_case("connection"))),
        body,
    };

    let mut new = None;
    run(async {
        let client = connect(edge).await;
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{host}{path}"));
        for (name, value) in fields {
            request = request.header(name.to_ascii_lowercase(), value);
        }
        let answer = ask(&client, request, None).await.unwrap();
        let headers = answer.head.headers.iter();
        let lines = headers.map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
        new = Some(Told {
            status: answer.head.status.as_u16(),
            fields: joined(lines),
            body: String::from_utf8_lossy(&answer.body).into_owned(),
        });
    });
    [old, new.unwrap()]
}

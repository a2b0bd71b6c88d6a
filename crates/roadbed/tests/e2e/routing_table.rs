//! Each rule and each refusal of routes, from the file to what a client of the real binary is
//! answered. One app has them all; one line of the table is one request.

use std::net::TcpStream;

use crate::support::http::{Answer, converse};
use crate::support::{AppFolder, LONG, Machine};

const APP: &str = r#"
app = "table"

[services.web]
run    = "./trivial"
expose = { host = "t.localhost" }

[services.api]
run = "./trivial"

# Hosts, from the exact one to any.
[[routes]]
host = "one.t.localhost"
to   = "web"
[[routes]]
host = "*.t.localhost"
to   = "api"
[[routes]]
host = "*"
path = "/any"
to   = "api"
rewrite = { path = "/env" }

# Paths, from the exact one to the longest prefix.
[[routes]]
host    = "t.localhost"
exact   = "/p/exact"
to      = "api"
rewrite = { path = "/env" }
[[routes]]
host     = "t.localhost"
template = "/p/{any}"
to       = "web"
rewrite  = { path = "/env" }
[[routes]]
host    = "t.localhost"
path    = "/p"
to      = "api"
rewrite = { path = "/env" }

# Conditions.
[[routes]]
host    = "t.localhost"
path    = "/c"
to      = "web"
rewrite = { path = "/env" }
[[routes]]
host    = "t.localhost"
path    = "/c"
methods = ["PUT"]
to      = "api"
rewrite = { path = "/env" }
[[routes]]
host    = "t.localhost"
path    = "/c"
headers = { X-Beta = { prefix = "o" } }
to      = "api"
rewrite = { path = "/env" }
[[routes]]
host    = "t.localhost"
path    = "/c"
query   = { v = "2" }
to      = "api"
rewrite = { path = "/env" }
[[routes]]
host    = "t.localhost"
path    = "/c"
cookies = { beta = { present = true } }
to      = "api"
rewrite = { path = "/env" }

# Shares: all of them to one.
[[routes]]
host    = "t.localhost"
path    = "/share"
to      = [{ service = "web", weight = 0 }, { service = "api", weight = 1 }]
rewrite = { path = "/env" }

# Redirects.
[[routes]]
host     = "t.localhost"
path     = "/old"
redirect = { prefix = "/new", status = 301 }
[[routes]]
host     = "t.localhost"
template = "/u/{id}/{rest...}"
redirect = { path = "/users/{id}/{rest...}", status = 308 }
[[routes]]
host     = "t.localhost"
path     = "/away"
redirect = { host = "other.localhost", port = 81, path = "/" }

# What is changed on the way.
[[routes]]
host             = "t.localhost"
path             = "/strip"
to               = "web"
rewrite          = { prefix = "/" }
request_headers  = { set = { X-Set = "s" }, add = { X-Add = "a" }, remove = ["X-Remove"] }
response_headers = { set = { X-Answer = "edge" } }
[[routes]]
host     = "t.localhost"
template = "/users/{id}/{what}"
to       = "web"
rewrite  = { path = "/{what}" }

# Limits.
[[routes]]
host       = "t.localhost"
path       = "/small"
to         = "web"
rewrite    = { path = "/sink" }
body_limit = "4B"
[[routes]]
host    = "t.localhost"
path    = "/first"
to      = "web"
rewrite = { path = "/slow" }
timeout = "50ms"
[[routes]]
host     = "t.localhost"
path     = "/whole"
to       = "web"
rewrite  = { path = "/slow" }
deadline = "50ms"
[[routes]]
host         = "t.localhost"
path         = "/silent"
to           = "web"
rewrite      = { path = "/sink" }
idle_timeout = "50ms"
[[routes]]
host       = "t.localhost"
path       = "/rate"
to         = "web"
rewrite    = { path = "/env" }
rate_limit = { requests = 1, per = "hour" }
[[routes]]
host       = "t.localhost"
path       = "/keyed"
to         = "web"
rewrite    = { path = "/env" }
rate_limit = { requests = 1, per = "hour", header = "X-Key" }
retries    = 0
mirror     = { service = "api", percent = 100 }
"#;

/// A request, and what is expected: the status, and a part of the answer's head or content.
type Row = (&'static str, &'static str, &'static str, u16, &'static str);

/// Host, what is asked, further fields and content, and what comes.
const TABLE: &[Row] = &[
    (
        "one.t.localhost",
        "GET /env?name=ROADBED_SERVICE",
        "",
        200,
        "web",
    ),
    (
        "two.t.localhost",
        "GET /env?name=ROADBED_SERVICE",
        "",
        200,
        "api",
    ),
    (
        "a.two.t.localhost:80",
        "GET /env?name=ROADBED_SERVICE",
        "",
        200,
        "api",
    ),
    ("else.localhost", "GET /any", "", 200, "api"),
    (
        "else.localhost",
        "GET /",
        "",
        404,
        "roadbed-reason: no-route",
    ),
    ("t.localhost", "GET /p/exact", "", 200, "api"),
    ("t.localhost", "GET /p/other", "", 200, "web"),
    ("t.localhost", "GET /p/other/more", "", 200, "api"),
    ("t.localhost", "GET /p", "", 200, "api"),
    ("t.localhost", "GET /c", "", 200, "web"),
    ("t.localhost", "PUT /c", "content-length: 0\r\n", 200, "api"),
    ("t.localhost", "GET /c", "x-beta: on\r\n", 200, "api"),
    ("t.localhost", "GET /c", "x-beta: no\r\n", 200, "web"),
    ("t.localhost", "GET /c?v=2", "", 200, "api"),
    (
        "t.localhost",
        "GET /c",
        "cookie: a=b; beta=1\r\n",
        200,
        "api",
    ),
    ("t.localhost", "GET /share", "", 200, "api"),
    ("t.localhost", "GET /old/a?b", "", 301, "location: /new/a?b"),
    (
        "t.localhost",
        "GET /u/7/a/b",
        "",
        308,
        "location: /users/7/a/b",
    ),
    (
        "t.localhost",
        "GET /away/x",
        "",
        302,
        "location: http://other.localhost:81/",
    ),
    (
        "t.localhost",
        "GET /strip/headers",
        "x-remove: 1\r\n",
        200,
        "x-set: s",
    ),
    (
        "t.localhost",
        "GET /strip/headers",
        "",
        200,
        "x-answer: edge",
    ),
    (
        "t.localhost",
        "GET /strip/headers",
        "",
        200,
        "GET /headers HTTP/1.1",
    ),
    (
        "t.localhost",
        "GET /users/7/headers",
        "",
        200,
        "GET /headers HTTP/1.1",
    ),
    (
        "t.localhost",
        "POST /small",
        "content-length: 4\r\n\r\nfour",
        200,
        "4",
    ),
    (
        "t.localhost",
        "POST /small",
        "content-length: 5\r\n",
        413,
        "roadbed-reason: body-too-large",
    ),
    (
        "t.localhost",
        "GET /first?ms=30000",
        "",
        504,
        "roadbed-reason: timeout",
    ),
    (
        "t.localhost",
        "GET /whole?ms=30000",
        "",
        504,
        "roadbed-reason: deadline",
    ),
    (
        "t.localhost",
        "POST /silent",
        "content-length: 5\r\n\r\nabc",
        408,
        "roadbed-reason: idle-timeout",
    ),
    ("t.localhost", "GET /rate", "", 200, "web"),
    (
        "t.localhost",
        "GET /rate",
        "",
        429,
        "roadbed-reason: rate-limited",
    ),
    ("t.localhost", "GET /rate", "", 429, "retry-after: 3"),
    ("t.localhost", "GET /keyed", "x-key: one\r\n", 200, "web"),
    ("t.localhost", "GET /keyed", "x-key: two\r\n", 200, "web"),
    (
        "t.localhost",
        "GET /keyed",
        "x-key: one\r\n",
        429,
        "roadbed-reason: rate-limited",
    ),
    (
        "t.localhost",
        "GET /%2e%2e/p",
        "",
        400,
        "roadbed-reason: bad-request",
    ),
];

/// Asks as a row says. Where content follows that is shorter than it was said to be, the client
/// waits.
fn asked(machine: &Machine, (host, line, rest, ..): &Row) -> Answer {
    let (method, target) = line.split_once(' ').unwrap();
    // Rules that lead to `/env` ask for the name of the service.
    let asks_for_name = ["/any", "/p", "/c", "/share", "/rate", "/keyed"];
    let asks_for_name = asks_for_name.iter().any(|path| target.starts_with(path));
    let separator = if target.contains('?') { '&' } else { '?' };
    let target = match asks_for_name {
        true => format!("{target}{separator}name=ROADBED_SERVICE"),
        false => target.to_owned(),
    };
    let head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    let end = if rest.contains("\r\n\r\n") {
        ""
    } else {
        "\r\n"
    };
    let stream = TcpStream::connect_timeout(&machine.edge, LONG).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    converse(stream, format!("{head}{rest}{end}").as_bytes()).unwrap()
}

#[test]
fn every_rule_and_every_refusal_is_as_the_table_says() {
    let machine = Machine::new();
    machine.up(&AppFolder::new(APP));
    for row in TABLE {
        let (host, line, rest, status, expected) = row;
        let answer = asked(&machine, row);
        let request = format!("{host} {line} {rest}");
        assert_eq!(answer.status, *status, "{request}: {answer:?}");
        let head = answer.head.to_ascii_lowercase();
        let body = answer.body.to_ascii_lowercase();
        let expected = expected.to_ascii_lowercase();
        let is_there = match expected.contains(": ") {
            true => head.contains(&expected) || body.contains(&expected),
            false => body.contains(&expected),
        };
        assert!(is_there, "{request}: no {expected:?} in {answer:?}");
    }
    // What was to be left out is, and what was to come beside it is there.
    let row = (
        "t.localhost",
        "GET /strip/headers",
        "x-remove: 1\r\nx-add: b\r\n",
        200,
        "",
    );
    let told = asked(&machine, &row).body.to_ascii_lowercase();
    assert!(!told.contains("x-remove"), "{told}");
    assert!(
        told.contains("x-add: a") && told.contains("x-add: b"),
        "{told}"
    );
}

#[test]
fn what_the_documents_say_of_refusals_is_tried_here() {
    let page = include_str!("../../../../docs/edge.md");
    let table = page.split("## Errors of the gateway").nth(1).unwrap();
    let reasons = table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split('`').nth(1));
    // Those of routes; the others have tests of their own.
    let of_routes = [
        "no-route",
        "timeout",
        "deadline",
        "idle-timeout",
        "body-too-large",
        "rate-limited",
    ];
    let reasons: Vec<&str> = reasons.collect();
    for reason in of_routes {
        assert!(reasons.contains(&reason), "docs/edge.md has no {reason}");
        let tried = TABLE
            .iter()
            .any(|row| row.4 == format!("roadbed-reason: {reason}"));
        assert!(tried, "no row tries {reason}");
    }
}

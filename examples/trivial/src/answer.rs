//! What each path does.
//!
//! | path | what happens |
//! |---|---|
//! | `/slow?ms=N` | the answer comes after N milliseconds |
//! | `/echo` | the request's body comes back as it streams in |
//! | `/sink` | the body is read to its end, its size is the answer |
//! | `/bytes?n=N` | N bytes come |
//! | `/exit?code=N` | the program ends with this code after its answer |
//! | `/env?name=NAME` | the variable NAME of the program's environment, or 404 |
//! | `/headers` | the request's first line and headers, as they arrived |
//! | `/via/NAME/REST` | the request goes on as `/REST` to the address in `NAME_URL` |
//! | `/ws` | a WebSocket that sends back what it gets |
//! | `/healthz` | 200, or 503 with `--unhealthy` |
//! | any other | 200 and the number of the process |

use std::io::{self, BufRead, Read, Write};
use std::thread;
use std::time::Duration;

use crate::body::{self, Body};
use crate::head::{Framing, Head};
use crate::options::Options;
use crate::via::{self, Onward};
use crate::{say, websocket};

/// Answers one request; says whether another may follow on the connection.
pub(crate) fn answer(
    head: &Head,
    reader: &mut impl BufRead,
    writer: &mut impl Write,
    onward: &mut Onward,
    options: &Options,
) -> io::Result<bool> {
    let [method, target, version] = &head.first;
    let framing = match head.framing() {
        Ok(framing) => framing,
        Err(error) => return bad_request(writer, &error).map(|()| false),
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if path == "/ws" && head.has_token("upgrade", "websocket") {
        return websocket::serve(head, reader, writer).map(|()| false);
    }
    if head.has_token("expect", "100-continue") {
        writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let last = head.has_token("connection", "close") || version != "HTTP/1.1";
    let mut body = Body::new(reader, framing);
    let mut reply = Reply {
        writer,
        with_body: method != "HEAD",
        last,
    };
    match path {
        "/echo" => reply.stream("200 OK", body.framing(), &mut body)?,
        "/sink" => {
            let size = io::copy(&mut body, &mut io::sink())?;
            reply.text("200 OK", &format!("{size}\n"))?;
        }
        "/bytes" => {
            let size: u64 = number(query, "n").unwrap_or(0);
            reply.stream(
                "200 OK",
                Framing::Length(size),
                &mut io::repeat(b'x').take(size),
            )?;
        }
        "/slow" => {
            thread::sleep(Duration::from_millis(number(query, "ms").unwrap_or(0)));
            reply.text("200 OK", &process())?;
        }
        "/exit" => {
            let code: u8 = number(query, "code").unwrap_or(0);
            reply.text("200 OK", &format!("exiting with code {code}\n"))?;
            say(&format!("exiting with code {code}, as told by a request"));
            std::process::exit(code.into());
        }
        "/env" => match value(query, "name").and_then(|name| std::env::var(name).ok()) {
            Some(found) => reply.text("200 OK", &found)?,
            None => reply.text("404 Not Found", "that variable is not set\n")?,
        },
        "/headers" => reply.text("200 OK", &head.to_string())?,
        "/healthz" if options.unhealthy => {
            reply.text(
                "503 Service Unavailable",
                "unhealthy, as told at the start\n",
            )?;
        }
        _ => match path.strip_prefix("/via/") {
            Some(_) => via::forward(head, &mut body, &mut reply, onward)?,
            None => reply.text("200 OK", &process())?,
        },
    }
    // What the answer left unread of the body stands before the next request.
    io::copy(&mut body, &mut io::sink())?;
    Ok(!last)
}

fn process() -> String {
    format!("{}\n", std::process::id())
}

/// Refuses what cannot be understood; the connection ends.
pub(crate) fn bad_request(writer: &mut impl Write, problem: &io::Error) -> io::Result<()> {
    let mut reply = Reply {
        writer,
        with_body: true,
        last: true,
    };
    reply.text("400 Bad Request", &format!("{problem}\n"))
}

/// Where an answer goes, and what the request allows it to be.
pub(crate) struct Reply<'a, W> {
    writer: &'a mut W,
    with_body: bool,
    last: bool,
}

impl<W: Write> Reply<'_, W> {
    /// Answers with a short text, in one write.
    pub(crate) fn text(&mut self, status: &str, text: &str) -> io::Result<()> {
        let mut whole = self.head(status, Framing::Length(text.len() as u64));
        if self.with_body {
            whole.push_str(text);
        }
        self.writer.write_all(whole.as_bytes())
    }

    /// Answers with a body of any size.
    pub(crate) fn stream(
        &mut self,
        status: &str,
        framing: Framing,
        content: &mut impl Read,
    ) -> io::Result<()> {
        // A body that ends with its connection is passed on in chunks.
        let framing = if framing == Framing::UntilClose {
            Framing::Chunked
        } else {
            framing
        };
        let head = self.head(status, framing);
        self.writer.write_all(head.as_bytes())?;
        if !self.with_body {
            return Ok(());
        }
        body::copy(content, framing == Framing::Chunked, self.writer)
    }

    fn head(&self, status: &str, framing: Framing) -> String {
        let length = match framing {
            Framing::Empty => "Content-Length: 0".to_owned(),
            Framing::Length(length) => format!("Content-Length: {length}"),
            Framing::Chunked | Framing::UntilClose => "Transfer-Encoding: chunked".to_owned(),
        };
        let end = if self.last {
            "Connection: close\r\n"
        } else {
            ""
        };
        format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\n{length}\r\n{end}\r\n")
    }
}

fn value<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query
        .split('&')
        .find_map(|pair| pair.split_once('=').filter(|(n, _)| *n == name))
        .map(|p| p.1)
}

fn number<N: std::str::FromStr>(query: &str, name: &str) -> Option<N> {
    value(query, name)?.parse().ok()
}

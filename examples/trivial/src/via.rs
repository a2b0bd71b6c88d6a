//! Passing a request on to another service, over a connection that is kept for the next one.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;

use crate::answer::Reply;
use crate::body::{self, Body};
use crate::head::{self, Framing, Head};

/// The connection to the service that this client's requests went on to last.
#[derive(Default)]
pub(crate) struct Onward(Option<(String, BufReader<TcpStream>)>);

/// Sends the request for `/via/NAME/REST` on and its answer back. When that fails the answer is a
/// 502 that says why, for as long as no part of another answer has gone out.
pub(crate) fn forward<R: BufRead, W: Write>(
    head: &Head,
    body: &mut Body<'_, R>,
    reply: &mut Reply<'_, W>,
    onward: &mut Onward,
) -> io::Result<()> {
    let (service, rest) = split(&head.first[1]);
    let bad_gateway = |problem: String| (format!("{service}: {problem}\n"), "502 Bad Gateway");
    let variable = format!("{}_URL", service.to_ascii_uppercase().replace('-', "_"));
    let Ok(url) = std::env::var(&variable) else {
        let (text, status) = bad_gateway(format!("{variable} is not set in the environment"));
        return reply.text(status, &text);
    };
    let address = url
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .to_owned();
    match exchange(head, rest, body, &address, onward) {
        Ok((answer, mut connection)) => {
            let framing = answer_framing(&head.first[0], &answer)?;
            let status = format!("{} {}", answer.first[1], answer.first[2]);
            reply.stream(&status, framing, &mut Body::new(&mut connection, framing))?;
            if framing != Framing::UntilClose && !answer.has_token("connection", "close") {
                onward.0 = Some((address, connection));
            }
            Ok(())
        }
        Err(error) => {
            let (text, status) = bad_gateway(format!("{url}: {error}"));
            reply.text(status, &text)
        }
    }
}

/// Sends the request and reads the head of its answer. A kept connection may have been closed by
/// the other side meanwhile, so a request without body is tried once more on a new one.
fn exchange<R: BufRead>(
    head: &Head,
    rest: &str,
    body: &mut Body<'_, R>,
    address: &str,
    onward: &mut Onward,
) -> io::Result<(Head, BufReader<TcpStream>)> {
    let kept = onward
        .0
        .take()
        .filter(|(to, _)| to == address)
        .map(|(_, connection)| connection);
    let repeatable = body.framing() == Framing::Empty;
    if let Some(connection) = kept {
        match attempt(head, rest, body, address, connection) {
            Err(_) if repeatable => {}
            done => return done,
        }
    }
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    attempt(
        head,
        rest,
        body,
        address,
        BufReader::with_capacity(4096, stream),
    )
}

fn attempt<R: BufRead>(
    head: &Head,
    rest: &str,
    body: &mut Body<'_, R>,
    address: &str,
    mut connection: BufReader<TcpStream>,
) -> io::Result<(Head, BufReader<TcpStream>)> {
    let length = match body.framing() {
        Framing::Length(length) => format!("Content-Length: {length}\r\n"),
        Framing::Chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
        Framing::Empty | Framing::UntilClose => String::new(),
    };
    let request = format!(
        "{} {rest} HTTP/1.1\r\nHost: {address}\r\n{length}\r\n",
        head.first[0]
    );
    connection.get_mut().write_all(request.as_bytes())?;
    if body.framing() != Framing::Empty {
        body::copy(
            body,
            body.framing() == Framing::Chunked,
            connection.get_mut(),
        )?;
    }
    let answer = head::read(&mut connection)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok((answer, connection))
}

/// Some answers have no body whatever their headers say, and one without length ends with its
/// connection.
fn answer_framing(method: &str, answer: &Head) -> io::Result<Framing> {
    let bodiless = method == "HEAD" || matches!(answer.first[1].as_str(), "204" | "304");
    match answer.framing()? {
        _ if bodiless => Ok(Framing::Empty),
        Framing::Empty if answer.header("content-length").is_none() => Ok(Framing::UntilClose),
        framing => Ok(framing),
    }
}

/// Takes `/via/NAME/REST` apart into `NAME` and `/REST`.
fn split(target: &str) -> (&str, &str) {
    let path = target.strip_prefix("/via/").unwrap_or(target);
    match path.find('/') {
        Some(slash) => (&path[..slash], &path[slash..]),
        None => (path, "/"),
    }
}

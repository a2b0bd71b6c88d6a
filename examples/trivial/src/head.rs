//! The head of a message: its first line and the few headers that matter here.

use std::fmt;
use std::io::{self, BufRead, Read};

/// The longest head that is read, in bytes.
const LONGEST_HEAD: u64 = 32 << 10;

/// How a message's body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    Empty,
    /// It has this many bytes.
    Length(u64),
    /// It comes in chunks.
    Chunked,
    /// It ends with the connection: answers only.
    UntilClose,
}

/// The head of a request or of an answer.
#[derive(Debug)]
pub(crate) struct Head {
    /// The three parts of the first line: method, target and version, or version, status, reason.
    pub(crate) first: [String; 3],
    /// Names in lower case, and values.
    headers: Vec<(String, String)>,
}

/// Reads a head; nothing when the connection ends before its first byte.
///
/// # Errors
/// `InvalidData` says what is wrong with the head; other kinds are the connection's.
pub(crate) fn read(reader: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut limited = reader.take(LONGEST_HEAD);
    let mut lines = Vec::new();
    loop {
        let mut line = Vec::new();
        limited.read_until(b'\n', &mut line)?;
        if line.is_empty() && lines.is_empty() && limited.limit() > 0 {
            return Ok(None);
        }
        let line = line
            .strip_suffix(b"\r\n")
            .ok_or_else(|| invalid("the head is too long, cut off, or has a line without CR LF"))?;
        if line.is_empty() {
            return parse(&lines).map(Some);
        }
        let line = std::str::from_utf8(line).map_err(|_| invalid("the head is not text"))?;
        lines.push(line.to_owned());
    }
}

fn parse(lines: &[String]) -> io::Result<Head> {
    let (first, rest) = lines
        .split_first()
        .ok_or_else(|| invalid("the first line is empty"))?;
    let mut parts = first.splitn(3, ' ').map(str::to_owned);
    let (Some(one), Some(two)) = (parts.next(), parts.next()) else {
        return Err(invalid("the first line has not three parts"));
    };
    let header = |line: &String| {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| invalid("a header has no colon"))?;
        Ok((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers = rest.iter().map(header).collect::<io::Result<_>>()?;
    Ok(Head {
        first: [one, two, parts.next().unwrap_or_default()],
        headers,
    })
}

impl Head {
    /// The value of the first header with this name, given in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether the list in header `name` has `token`.
    pub(crate) fn has_token(&self, name: &str, token: &str) -> bool {
        self.header(name).is_some_and(|list| {
            list.split(',')
                .any(|t| t.trim().eq_ignore_ascii_case(token))
        })
    }

    /// How the body is delimited, by this head alone.
    pub(crate) fn framing(&self) -> io::Result<Framing> {
        match (
            self.header("transfer-encoding"),
            self.header("content-length"),
        ) {
            (None, None) => Ok(Framing::Empty),
            (None, Some(length)) => match length.parse() {
                Ok(0) => Ok(Framing::Empty),
                Ok(length) => Ok(Framing::Length(length)),
                Err(_) => Err(invalid("Content-Length is not a number")),
            },
            (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
            _ => Err(invalid(
                "the length of the body is given twice or in an unknown coding",
            )),
        }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.first.join(" "))?;
        self.headers
            .iter()
            .try_for_each(|(name, value)| writeln!(f, "{name}: {value}"))
    }
}

/// An error of the sender's making.
pub(crate) fn invalid(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> io::Result<Option<Head>> {
        read(&mut text.as_bytes())
    }

    #[test]
    fn a_head_is_read() {
        let head = parsed("GET /a HTTP/1.1\r\nHost: x\r\nConnection: a, Close\r\n\r\n")
            .unwrap()
            .unwrap();
        assert_eq!(head.first, ["GET", "/a", "HTTP/1.1"]);
        assert_eq!(head.header("host"), Some("x"));
        assert!(head.has_token("connection", "close"));
        assert_eq!(head.framing().unwrap(), Framing::Empty);
        assert!(parsed("").unwrap().is_none());
    }

    #[test]
    fn a_bad_head_is_refused() {
        let long = format!(
            "GET / HTTP/1.1\r\nA: {}\r\n\r\n",
            "x".repeat(LONGEST_HEAD as usize)
        );
        for bad in [
            "\r\n",
            "GET\r\n\r\n",
            "GET / HTTP/1.1\n\n",
            "GET / HTTP/1.1\r\nA\r\n\r\n",
            &long,
        ] {
            assert!(parsed(bad).is_err());
        }
    }

    #[test]
    fn a_body_has_one_length() {
        let both = "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(parsed(both).unwrap().unwrap().framing().is_err());
    }
}

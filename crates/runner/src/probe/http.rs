//! The smallest GET that is a correct one: the status is read, the rest is not.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::probe::{ProbeFailure, Target, connect};

/// No status line that anyone means is longer.
const LONGEST_STATUS_LINE: usize = 1024;

pub(super) async fn get(target: &Target, path: &str) -> Result<(), ProbeFailure> {
    let request = request(&target.host, path)?;
    let address = target.address;
    let failed = |error| ProbeFailure::Connection { address, error };
    let mut stream = connect(target).await?;
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    stream.flush().await.map_err(failed)?;
    // Room for a whole small answer: what is read does not make the kernel reset the connection.
    let mut buffer = [0; 4 * LONGEST_STATUS_LINE];
    let mut length = 0;
    loop {
        let read = stream.read(&mut buffer[length..]).await.map_err(failed)?;
        length += read;
        let ended = read == 0 || length == buffer.len();
        match judge(&buffer[..length], ended) {
            Verdict::More => {}
            Verdict::Status(200..400) => return Ok(()),
            Verdict::Status(status) => {
                return Err(ProbeFailure::Status {
                    path: path.to_owned(),
                    status,
                });
            }
            Verdict::Bad(problem) => {
                return Err(ProbeFailure::NotHttp {
                    path: path.to_owned(),
                    problem,
                });
            }
        }
    }
}

fn request(host: &str, path: &str) -> Result<String, ProbeFailure> {
    let clean = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    for text in [path, host] {
        if !clean(text) {
            return Err(ProbeFailure::BadPath(text.to_owned()));
        }
    }
    if !path.starts_with('/') {
        return Err(ProbeFailure::BadPath(path.to_owned()));
    }
    Ok(format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: roadbed-probe\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n"
    ))
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    More,
    Status(u16),
    Bad(&'static str),
}

/// Reads what has arrived, of which no more will come if it has `ended`. Informational answers go
/// before the one that counts (RFC 9110 section 15.2).
fn judge(mut arrived: &[u8], ended: bool) -> Verdict {
    loop {
        match first_answer(arrived, ended) {
            Verdict::Status(101) => return Verdict::Bad("it switches protocols unasked"),
            Verdict::Status(100..200) => {}
            verdict => return verdict,
        }
        match arrived.windows(4).position(|end| end == b"\r\n\r\n") {
            Some(end) => arrived = &arrived[end + 4..],
            None if ended => return Verdict::Bad("no answer follows an informational one"),
            None => return Verdict::More,
        }
    }
}

/// Reads the status line at the start of an answer.
fn first_answer(answer: &[u8], ended: bool) -> Verdict {
    let line = &answer[..answer.len().min(LONGEST_STATUS_LINE)];
    let Some(end) = line.windows(2).position(|pair| pair == b"\r\n") else {
        return match (line.len() == LONGEST_STATUS_LINE, ended, line.is_empty()) {
            (true, _, _) => Verdict::Bad("its first line is too long"),
            (_, true, true) => Verdict::Bad("the connection was closed without an answer"),
            (_, true, false) => Verdict::Bad("the connection was closed within the first line"),
            (_, false, _) => Verdict::More,
        };
    };
    let status = match &line[..end] {
        [
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'1',
            b'.',
            b'0' | b'1',
            b' ',
            status @ ..,
        ] => status,
        _ => return Verdict::Bad("its first line is not a status line"),
    };
    match status {
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9']
        | [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ', ..] => {
            let digit = |byte: &u8| u16::from(byte - b'0');
            Verdict::Status(100 * digit(a) + 10 * digit(b) + digit(c))
        }
        _ => Verdict::Bad("its status is not a number of three digits"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_is_read_strictly() {
        let read = |text: &str| judge(text.as_bytes(), true);
        assert_eq!(read("HTTP/1.1 200 OK\r\n"), Verdict::Status(200));
        assert_eq!(read("HTTP/1.0 503\r\nA: b"), Verdict::Status(503));
        assert_eq!(read("HTTP/1.1 399 \r\n"), Verdict::Status(399));
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        let answer = format!("{hints}{hints}HTTP/1.1 503 No\r\n");
        assert_eq!(read(&answer), Verdict::Status(503));
        assert_eq!(judge(hints.as_bytes(), false), Verdict::More);
        for bad in [
            "HTTP/1.1 200 OK\n",
            "HTTP/2 200\r\n",
            "http/1.1 200 OK\r\n",
            "HTTP/1.1  200\r\n",
            "HTTP/1.1 2000\r\n",
            "HTTP/1.1 20\r\n",
            "HTTP/1.1 +20\r\n",
            "HTTP/1.1 099\r\n",
            "SSH-2.0-x\r\n",
            "",
            "HTTP/1.1 200",
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n",
            hints,
        ] {
            assert!(matches!(read(bad), Verdict::Bad(_)), "{bad:?}");
        }
    }

    #[test]
    fn an_answer_may_come_in_pieces_but_not_without_end() {
        assert_eq!(judge(b"HTTP/1.1 2", false), Verdict::More);
        assert_eq!(judge(b"HTTP/1.1 200\r", false), Verdict::More);
        assert!(matches!(
            judge(&[b'a'; LONGEST_STATUS_LINE], false),
            Verdict::Bad(_)
        ));
    }

    #[test]
    fn a_request_cannot_be_split() {
        assert!(
            request("a", "/x?y=1")
                .unwrap()
                .starts_with("GET /x?y=1 HTTP/1.1\r\nHost: a\r\n")
        );
        for (host, path) in [
            ("a", "/x y"),
            ("a", "/\r\nX: y"),
            ("a\r\n", "/"),
            ("", "/"),
            ("a", "x"),
        ] {
            assert!(request(host, path).is_err(), "{host:?} {path:?}");
        }
    }
}

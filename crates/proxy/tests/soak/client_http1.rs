//! Clients that speak HTTP/1.1.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use model::Protocol;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::client::{self, Target};
use super::random::Random;
use super::stage::{Ask, Stage};
use super::stream::Stream;
use super::tally::Outcome;

/// A connection and what was read from it beyond what was used.
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    pending: Vec<u8>,
}

/// How the wait for an answer ended.
#[derive(Debug)]
pub(crate) enum End {
    Whole(Answer),
    /// It broke off; whether any byte of it had come.
    Broken {
        begun: bool,
    },
}

/// An answer.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    content: Vec<u8>,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = fields.find(|(field, _)| field.eq_ignore_ascii_case(name))?;
        Some(value.trim())
    }

    pub(crate) fn outcome(&self) -> Outcome {
        match self.field("roadbed-reason") {
            Some("no-route" | "misdirected" | "bad-request" | "slow-request") => Outcome::Nothing,
            _ => Outcome::Answered {
                failed: self.status >= 500,
            },
        }
    }
}

/// Makes requests until the stage is stopping.
pub(crate) async fn run(stage: Arc<Stage>, who: u64, tls: bool) {
    let mut random = Random::of(stage.seed, who);
    while !stage.is_stopping() {
        let target = Target::choose(&stage, &mut random, tls, |service| {
            service.protocol != Protocol::Tcp
        });
        let connected = stage.in_time(|| format!("{target:?}"), target.connect(&stage, false));
        let Some(Some(stream)) = connected.await else {
            continue;
        };
        let mut connection = Connection::new(stream);
        let mut kept = true;
        for _ in 0..=random.below(20) {
            if !kept || stage.is_stopping() {
                break;
            }
            let kind = client::kind(&mut random, &target.service);
            let what = || format!("{kind} over HTTP/1.1 at {target:?}");
            let doing = perform(&stage, &mut random, &target, &mut connection, kind);
            kept = match stage.in_time(what, doing).await {
                Some((outcome, kept)) => {
                    stage.count(&target.service, kind, outcome);
                    kept
                }
                None => false,
            };
            tokio::time::sleep(Duration::from_millis(random.below(8))).await;
        }
        if random.one_in(3) {
            connection.stream.reset_on_close();
        }
    }
}

/// Makes one request; what became of it, and whether the connection can be used further.
async fn perform(
    stage: &Stage,
    random: &mut Random,
    target: &Target,
    connection: &mut Connection,
    kind: &'static str,
) -> (Outcome, bool) {
    let is_wild = target.service.is_wild;
    let asked = match kind {
        "cut-upload" => "upload",
        "cut-echo" => "echo",
        "timeout" => "silent",
        "give-up" | "torn-head" => "get",
        kind => kind,
    };
    let ask = stage.ask(asked, random.size());
    let content = vec![ask.letter(); ask.size];
    let start = |method: &str| {
        format!(
            "{method} {} HTTP/1.1\r\nHost: {}\r\n",
            ask.path(),
            target.host
        )
    };
    let get = start("GET") + "\r\n";
    match kind {
        "get" | "fail" | "half" | "timeout" => {
            let end = connection.exchange(get.into_bytes(), false).await;
            settle(stage, target, &ask, end)
        }
        "die" if random.one_in(2) => {
            let end = connection.exchange(get.into_bytes(), false).await;
            settle(stage, target, &ask, end)
        }
        "echo" | "upload" | "die" => {
            let mut request = start("POST").into_bytes();
            if random.one_in(2) {
                request.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                for piece in content.chunks(5_000) {
                    request.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                    request.extend_from_slice(piece);
                    request.extend_from_slice(b"\r\n");
                }
                request.extend_from_slice(b"0\r\n\r\n");
            } else {
                let length = format!("Content-Length: {}\r\n\r\n", content.len());
                request.extend_from_slice(length.as_bytes());
                request.extend_from_slice(&content);
            }
            let end = connection.exchange(request, false).await;
            settle(stage, target, &ask, end)
        }
        "stall" => {
            let end = connection.exchange(get.into_bytes(), true).await;
            connection.stream.reset_on_close();
            match end.0 {
                End::Whole(answer) if answer.status == 200 => (Outcome::Cut, false),
                _ => (settle(stage, target, &ask, end).0, false),
            }
        }
        "silent" | "cut-upload" => {
            let request = match kind {
                "silent" => get.into_bytes(),
                _ => {
                    let more = ask.size + 1 + random.below(100_000) as usize;
                    let head = start("POST") + &format!("Content-Length: {more}\r\n\r\n");
                    [head.as_bytes(), &content].concat()
                }
            };
            let arrival = stage.arrival(&ask);
            let ended = tokio::select! {
                end = connection.exchange(request, false) => Some(end),
                _ = arrival => None,
            };
            connection.stream.reset_on_close();
            match ended {
                Some(end) => (settle(stage, target, &ask, end).0, false),
                None if is_wild => (Outcome::Unknown, false),
                None => (Outcome::Cut, false),
            }
        }
        "cut-echo" => {
            let more = ask.size + 1 + random.below(100_000) as usize;
            let head = start("POST") + &format!("Content-Length: {more}\r\n\r\n");
            let request = [head.as_bytes(), &content].concat();
            let end = connection.exchange(request, true).await;
            let has_begun = matches!(&end.0, End::Whole(answer) if answer.status == 200);
            if !has_begun {
                connection.stream.reset_on_close();
                return (settle(stage, target, &ask, end).0, false);
            }
            match random.one_in(2) {
                true => connection.stream.reset_on_close(),
                false => connection.end_early(stage, target).await,
            }
            (Outcome::Cut, false)
        }
        "torn-head" => {
            let count = 1 + random.below(get.len() as u64 - 3) as usize;
            // Fails where the proxy was faster.
            let _ = connection.stream.write_all(&get.as_bytes()[..count]).await;
            connection.stream.reset_on_close();
            (Outcome::Nothing, false)
        }
        "give-up" => {
            let wait = Duration::from_micros(random.below(10_000));
            let giving_up =
                tokio::time::timeout(wait, connection.exchange(get.into_bytes(), false));
            let ended = giving_up.await;
            connection.stream.reset_on_close();
            match ended {
                Ok(end) => (settle(stage, target, &ask, end).0, false),
                Err(_) => (Outcome::Unknown, false),
            }
        }
        "socket" => {
            let head = start("GET")
                + "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
            let end = connection.exchange(head.into_bytes(), false).await;
            match end.0 {
                End::Whole(answer) if answer.status == 101 => {
                    let told = answer.field("sec-websocket-accept");
                    if told != Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") {
                        stage.violation(format!("a WebSocket is accepted with {told:?}"));
                    }
                    converse(stage, random, target, connection, &content).await;
                    (Outcome::Answered { failed: false }, false)
                }
                _ => (settle(stage, target, &ask, end).0, false),
            }
        }
        other => panic!("nobody does {other}"),
    }
}

/// Has bytes sent back over an open WebSocket, and ends it in an order or not.
async fn converse(
    stage: &Stage,
    random: &mut Random,
    target: &Target,
    connection: &mut Connection,
    content: &[u8],
) {
    let is_rude = random.one_in(3);
    let pending = std::mem::take(&mut connection.pending);
    let whole = sent_back(&mut connection.stream, content, pending, !is_rude).await;
    if !whole && !target.service.is_wild {
        stage.violation(format!("a WebSocket at {target:?} broke off"));
    }
    connection.stream.reset_on_close();
}

/// Sends content and reads it back; whether it came, and then, with `ends`, an orderly end.
pub(crate) async fn sent_back(
    stream: &mut Stream,
    content: &[u8],
    mut received: Vec<u8>,
    ends: bool,
) -> bool {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let writing = async {
        for piece in content.chunks(10_000) {
            writer.write_all(piece).await?;
            writer.flush().await?;
        }
        match ends {
            true => writer.shutdown().await,
            false => Ok(()),
        }
    };
    let reading = async {
        let mut piece = [0; 16 * 1024];
        while ends || received.len() < content.len() {
            match reader.read(&mut piece).await? {
                0 => break,
                count => received.extend_from_slice(&piece[..count]),
            }
        }
        io::Result::Ok(())
    };
    tokio::try_join!(writing, reading).is_ok() && received == content
}

/// What became of a request that its client saw to its end. Those that must not fail are looked at.
pub(crate) fn settle(
    stage: &Stage,
    target: &Target,
    ask: &Ask,
    (end, sent): (End, bool),
) -> (Outcome, bool) {
    let is_wild = target.service.is_wild;
    match end {
        End::Whole(answer) => {
            let content_expected = matches!(ask.kind.as_str(), "get" | "echo" | "upload");
            let whole = answer.content.len() == ask.size
                && answer.content.iter().all(|byte| *byte == ask.letter());
            let wrong = match answer.status {
                200 => !(content_expected && whole),
                500 => ask.kind != "fail" || !whole,
                _ => !is_wild,
            };
            if wrong {
                let (head, count) = (&answer.head, answer.content.len());
                stage.violation(format!("{ask:?} at {target:?}: {count} bytes, {head:?}"));
            }
            let closes = answer
                .field("connection")
                .is_some_and(|v| v.contains("close"));
            (answer.outcome(), sent && !closes)
        }
        End::Broken { begun } => {
            if !is_wild {
                stage.violation(format!("{ask:?} at {target:?} broke off, begun: {begun}"));
            }
            (Outcome::Cut, false)
        }
    }
}

impl Connection {
    pub(crate) fn new(stream: Stream) -> Self {
        Self {
            stream,
            pending: Vec::new(),
        }
    }

    /// Ends the connection within a request, whose answer then cannot come to its end either.
    async fn end_early(&mut self, stage: &Stage, target: &Target) {
        let mut rest = std::mem::take(&mut self.pending);
        // Both fail where the proxy was faster.
        let _ = self.stream.shutdown().await;
        let _ = self.stream.read_to_end(&mut rest).await;
        if rest.ends_with(b"0\r\n\r\n") {
            stage.violation(format!("half a request has a whole answer at {target:?}"));
        }
    }

    /// Sends a request and reads the answer, or with `begins` only its first content; whether all
    /// of the request was sent by then.
    pub(crate) async fn exchange(&mut self, request: Vec<u8>, begins: bool) -> (End, bool) {
        let (mut reader, writer) = tokio::io::split(&mut self.stream);
        let (mut begun, mut sent) = (false, false);
        let pending = &mut self.pending;
        // The borrows of both directions end with this block.
        let answer = {
            let mut writing = std::pin::pin!(write(writer, request));
            let mut reading = std::pin::pin!(read(&mut reader, pending, &mut begun, begins));
            loop {
                tokio::select! {
                    written = &mut writing, if !sent => match written {
                        Ok(()) => sent = true,
                        // There may be an answer all the same.
                        Err(_) => break reading.await,
                    },
                    answer = &mut reading => break answer,
                }
            }
        };
        match answer {
            Ok(answer) => (End::Whole(answer), sent),
            Err(_) => (End::Broken { begun }, sent),
        }
    }
}

async fn write(mut writer: impl AsyncWrite + Unpin, bytes: Vec<u8>) -> io::Result<()> {
    for piece in bytes.chunks(16 * 1024) {
        writer.write_all(piece).await?;
    }
    writer.flush().await
}

/// Reads an answer, or its beginning.
async fn read(
    reader: &mut (impl AsyncRead + Unpin),
    pending: &mut Vec<u8>,
    begun: &mut bool,
    begins: bool,
) -> io::Result<Answer> {
    *begun = !pending.is_empty();
    let head = until(reader, pending, b"\r\n\r\n", begun).await?;
    let head = String::from_utf8(head).unwrap();
    let mut answer = Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head,
        content: Vec::new(),
    };
    if answer.status == 101 {
        return Ok(answer);
    }
    if let Some(length) = answer.field("content-length") {
        let length: usize = length.parse().unwrap();
        answer.content = exactly(reader, pending, length, begun).await?;
        return Ok(answer);
    }
    assert_eq!(
        answer.field("transfer-encoding"),
        Some("chunked"),
        "{answer:?}"
    );
    loop {
        let line = until(reader, pending, b"\r\n", begun).await?;
        let size = usize::from_str_radix(String::from_utf8(line).unwrap().trim_end(), 16).unwrap();
        if size == 0 {
            while until(reader, pending, b"\r\n", begun).await? != b"\r\n" {}
            return Ok(answer);
        }
        let mut piece = exactly(reader, pending, size + 2, begun).await?;
        piece.truncate(size);
        answer.content.extend_from_slice(&piece);
        if begins {
            return Ok(answer);
        }
    }
}

async fn fill(
    reader: &mut (impl AsyncRead + Unpin),
    pending: &mut Vec<u8>,
    begun: &mut bool,
) -> io::Result<()> {
    let mut piece = [0; 16 * 1024];
    let count = reader.read(&mut piece).await?;
    if count == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    *begun = true;
    pending.extend_from_slice(&piece[..count]);
    Ok(())
}

async fn until(
    reader: &mut (impl AsyncRead + Unpin),
    pending: &mut Vec<u8>,
    end: &[u8],
    begun: &mut bool,
) -> io::Result<Vec<u8>> {
    loop {
        if let Some(at) = pending.windows(end.len()).position(|w| w == end) {
            return Ok(pending.drain(..at + end.len()).collect());
        }
        fill(reader, pending, begun).await?;
    }
}

async fn exactly(
    reader: &mut (impl AsyncRead + Unpin),
    pending: &mut Vec<u8>,
    count: usize,
    begun: &mut bool,
) -> io::Result<Vec<u8>> {
    while pending.len() < count {
        fill(reader, pending, begun).await?;
    }
    Ok(pending.drain(..count).collect())
}

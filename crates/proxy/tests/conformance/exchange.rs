//! One row of a table: what a client sends, what of it reaches the backend, what the backend
//! answers, and what of that reaches the client; byte by byte.

use std::io::Read;
use std::net::{Shutdown, SocketAddr};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

pub(crate) use crate::support::attested::SEEN;
use crate::support::attested::pinned;
use crate::support::backend::{Backend, Connection};
use crate::support::client::{Client, End};
use crate::support::{PATIENCE, Setup, edge_to};

/// What the backend answers where a row does not say otherwise.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

/// A row. `what` begins with the section of the RFC that the table is about.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    what: &'static str,
    sent: String,
    /// What reaches the backend; none where nothing may.
    received: Option<String>,
    answered: String,
    heard: Heard,
    /// Of what reaches the backend there may be less, and it does not answer.
    is_cut: bool,
}

#[derive(Debug, Clone)]
enum Heard {
    Status(u16),
    Exactly(String),
    /// A part of an answer, and that the connection was reset.
    Part(String),
}

impl Row {
    /// `sent` reaches the backend as `received`, where `SEEN` stands for what the edge adds, and
    /// the client hears of 200.
    pub(crate) fn passes(what: &'static str, sent: &str, received: &str) -> Self {
        Self {
            what,
            sent: sent.to_owned(),
            received: Some(received.replace("SEEN", SEEN)),
            answered: OK.to_owned(),
            heard: Heard::Status(200),
            is_cut: false,
        }
    }

    /// A GET with these fields reaches the backend with those.
    pub(crate) fn fields(what: &'static str, sent: &str, received: &str) -> Self {
        let head = "GET / HTTP/1.1\r\nHost: a.test\r\n";
        Self::passes(
            what,
            &format!("{head}{sent}\r\n"),
            &format!("{head}{received}SEEN\r\n"),
        )
    }

    /// Nothing of `sent` reaches the backend; the client hears of this status.
    pub(crate) fn refused(what: &'static str, sent: &str, status: u16) -> Self {
        Self {
            what,
            sent: sent.to_owned(),
            received: None,
            answered: OK.to_owned(),
            heard: Heard::Status(status),
            is_cut: false,
        }
    }

    /// `sent` breaks a rule after some of it may have reached the backend: nothing, or `head` and
    /// chunks without the last one.
    pub(crate) fn begins(what: &'static str, sent: &str, head: &str, status: u16) -> Self {
        let mut row = Self::passes(what, sent, head);
        row.is_cut = true;
        row.status(status)
    }

    /// A GET that is answered with `answered`, which reaches the client as `heard`, up to the end
    /// of the connection.
    pub(crate) fn answer(what: &'static str, answered: &str, heard: &str) -> Self {
        Self::answer_to("GET", what, answered, heard)
    }

    /// The same for another method.
    pub(crate) fn answer_to(method: &str, what: &'static str, answered: &str, heard: &str) -> Self {
        let head = format!("{method} / HTTP/1.1\r\nHost: a.test\r\n");
        Self {
            what,
            sent: format!("{head}\r\n"),
            received: Some(format!("{head}{SEEN}\r\n")),
            answered: answered.to_owned(),
            heard: Heard::Exactly(heard.to_owned()),
            is_cut: false,
        }
    }

    /// A GET whose answer breaks a rule: the client hears of a bad gateway.
    pub(crate) fn bad_answer(what: &'static str, answered: &str) -> Self {
        let mut row = Self::answer(what, answered, "");
        row.heard = Heard::Status(502);
        row
    }

    /// The client hears the beginning of what was said, and then a reset.
    pub(crate) fn or_less(mut self) -> Self {
        if let Heard::Exactly(heard) = &self.heard {
            self.heard = Heard::Part(heard.clone());
        }
        self
    }

    /// The backend answers this.
    pub(crate) fn answered(mut self, answered: &str) -> Self {
        self.answered = answered.to_owned();
        self
    }

    /// The client hears of this status.
    pub(crate) fn status(mut self, status: u16) -> Self {
        self.heard = Heard::Status(status);
        self
    }

    /// The client hears exactly this.
    pub(crate) fn heard(mut self, heard: &str) -> Self {
        self.heard = Heard::Exactly(heard.to_owned());
        self
    }
}

/// What the backend is to wait for and to answer.
type Script = Arc<Mutex<(usize, Option<String>)>>;

/// A proxy, and a backend that serves rows one after the other.
pub(crate) struct Stage {
    _setup: Setup,
    pub(crate) edge: SocketAddr,
    script: Script,
    /// What arrived over each of the backend's connections, once it has ended.
    received: Receiver<Vec<u8>>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let script = Script::default();
        let (told, received) = channel();
        let scripted = script.clone();
        let backend = Backend::start(move |connection| serve(connection, &scripted, &told));
        let (setup, edge) = edge_to(&backend, &["linger=200"]);
        Self {
            _setup: setup,
            edge,
            script,
            received,
        }
    }

    /// Has the backend answer with `answer` once it has received so many bytes. Without an answer
    /// it tells what it has received by then, and at the end what it has received since.
    pub(crate) fn prepare(&self, length: usize, answer: Option<&str>) {
        *self.script.lock().unwrap() = (length, answer.map(str::to_owned));
    }

    /// What reached the backend, which is waited for if something is expected.
    pub(crate) fn received(&self, is_expected: bool) -> Option<String> {
        let received = match is_expected {
            true => self.received.recv_timeout(PATIENCE).ok(),
            false => self.received.try_recv().ok(),
        };
        received.map(|bytes| pinned(&String::from_utf8_lossy(&bytes)))
    }

    /// What is wrong with a row, if anything.
    fn problem(&self, row: &Row) -> Option<String> {
        let expected = row.received.as_deref();
        let length = match row.is_cut {
            true => usize::MAX,
            false => expected.map_or(0, str::len),
        };
        self.prepare(length, Some(&row.answered));
        let mut client = Client::connect(self.edge);
        client.offer(&row.sent);
        client.finish();
        let (heard, end) = client.rest();
        let heard = without_additions(&String::from_utf8_lossy(&heard));
        let received = self.received(expected.is_some());
        let as_expected = match (&received, expected) {
            (Some(received), Some(head)) if row.is_cut => is_beginning(received, head),
            (received, expected) => received.as_deref() == expected,
        };
        if !as_expected {
            return Some(format!(
                "the backend received\n  {received:?}\ninstead of\n  {expected:?}\nand the client \
                 heard\n  {heard:?}"
            ));
        }
        match &row.heard {
            Heard::Exactly(expected) => (heard != *expected)
                .then(|| format!("the client heard\n  {heard:?}\ninstead of\n  {expected:?}")),
            Heard::Part(most) => {
                let good = most.starts_with(&heard) && end == End::Reset;
                (!good).then(|| format!("the client heard {heard:?} and then {end:?}"))
            }
            Heard::Status(status) => {
                let begins = format!("HTTP/1.1 {status} ");
                let once = heard.matches("HTTP/1.1 ").count() == 1;
                let good = heard.starts_with(&begins) && once;
                (!good).then(|| format!("the client heard {heard:?} instead of one {status}"))
            }
        }
    }
}

/// Whether a backend that received this knows that it has not received a whole request.
fn is_beginning(received: &str, head: &str) -> bool {
    let chunks = received.strip_prefix(head);
    received.is_empty() || chunks.is_some_and(|chunks| !format!("\r\n{chunks}").contains("\r\n0"))
}

fn serve(connection: &mut Connection, script: &Script, told: &Sender<Vec<u8>>) {
    let (length, answer) = script.lock().unwrap().clone();
    let stream = &mut connection.stream;
    let (mut received, mut bytes) = (Vec::new(), [0; 4096]);
    let mut read = |received: &mut Vec<u8>| {
        let count = stream.read(&mut bytes).unwrap_or(0);
        received.extend_from_slice(&bytes[..count]);
        count > 0
    };
    while received.len() < length && read(&mut received) {}
    match answer {
        Some(answer) => {
            connection.send(answer);
            // What is sent beyond what was expected is an error, too.
            let _ = connection.stream.shutdown(Shutdown::Write);
        }
        None => drop(told.send(std::mem::take(&mut received))),
    }
    let _ = connection.stream.read_to_end(&mut received);
    let _ = told.send(received);
}

/// What was heard without the request's name and the date that the proxy adds to an answer that has
/// none (RFC 9110 section 6.6.1), which tests of their own look at.
fn without_additions(heard: &str) -> String {
    let added = [("\r\nx-request-id: ", 32), ("\r\ndate: ", 29)];
    added
        .iter()
        .fold(heard.to_owned(), |heard, (start, length)| {
            match heard.find(start) {
                Some(at) => {
                    let end = (at + start.len() + length).min(heard.len());
                    format!("{}{}", &heard[..at], &heard[end..])
                }
                None => heard,
            }
        })
}

/// Runs all rows of a table and shows those that fail.
pub(crate) fn run(rfc: &str, rows: &[Row]) {
    let stage = Stage::new();
    // A request that was refused may not reach the backend late, either.
    let last = Row::fields("at the end all is well", "", "");
    let failures: Vec<String> = rows
        .iter()
        .chain([&last])
        .filter_map(|row| {
            let problem = stage.problem(row)?;
            Some(format!(
                "RFC {rfc} section {}: {problem}\nfor {:?}",
                row.what, row.sent
            ))
        })
        .collect();
    eprintln!("RFC {rfc}: {} rows, {} failed", rows.len(), failures.len());
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
}

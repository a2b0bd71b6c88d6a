//! Suites and clients that others wrote, as processes; and a backend for them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::backend::{Backend, Connection};

/// The checkout.
fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A script or a list beside this file.
pub(crate) fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/conformance")
        .join(name)
}

/// A program that `cargo xtask setup` installs into `target/conformance`; none, and a line that
/// says so, where it is not there.
pub(crate) fn installed(what: &str, program: &str) -> Option<PathBuf> {
    let path = repository().join("target/conformance").join(program);
    if !path.is_file() {
        eprintln!("LEFT OUT: {what}, since target/conformance/{program} is not installed");
        return None;
    }
    Some(path)
}

/// Whether a program of the machine is there; a line says so where it is not.
pub(crate) fn is_there(what: &str, program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path);
    let found = folders.any(|folder| folder.join(program).is_file());
    if !found {
        eprintln!("LEFT OUT: {what}, since {program} is not installed");
    }
    found
}

/// Runs a command to its end and shows what it says.
pub(crate) fn output(command: &mut Command) -> (Output, String) {
    let output = command.output().unwrap();
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text += &String::from_utf8_lossy(&output.stderr);
    eprintln!("{text}");
    (output, text)
}

/// Runs a script beside this file whose lines end in "... ok" or say what has FAILED; so many
/// must be well.
pub(crate) fn run(
    python: &Path,
    script: &str,
    edge: SocketAddr,
    arguments: &[String],
    count: usize,
) {
    let mut suite = Command::new(python);
    suite.arg("-B").arg(beside(script)).arg(edge.to_string());
    let (output, text) = output(suite.args(arguments));
    let failed: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("FAILED"))
        .collect();
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
    assert!(output.status.success());
    let passed = text.lines().filter(|line| line.ends_with("... ok"));
    assert_eq!(passed.count(), count, "so many are well");
}

/// What long answers are made of.
const PIECE: [u8; 16 * 1024] = [b'x'; 16 * 1024];

/// A backend that echoes method, path and content; `/big/COUNT` has so many bytes, and `/unread`
/// is never read.
pub(crate) fn origin() -> Backend {
    Backend::start(|connection| while serve(connection).is_some() {})
}

fn serve(connection: &mut Connection) -> Option<()> {
    let head = connection.head()?;
    let mut words = head.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    if path == "/unread" {
        // Until the test is over.
        std::thread::park();
    }
    let content = content(connection, &head.to_ascii_lowercase())?;
    let (length, body) = match path.strip_prefix("/big/") {
        Some(count) => (count.parse().unwrap(), Vec::new()),
        None => {
            let body = [format!("{method} {path} ").as_bytes(), &content].concat();
            (body.len(), body)
        }
    };
    connection.send(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
    ));
    if method == "HEAD" {
        return Some(());
    }
    connection.send(&body);
    let mut left = length - body.len();
    while left > 0 {
        let piece = left.min(PIECE.len());
        // Whoever asked may be gone.
        connection.try_send(&PIECE[..piece]).then_some(())?;
        left -= piece;
    }
    Some(())
}

/// What follows a head in lower case.
fn content(connection: &mut Connection, head: &str) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    if head.contains("transfer-encoding: chunked") {
        loop {
            let size = String::from_utf8(connection.until(b"\r\n")?).unwrap();
            let size = usize::from_str_radix(size.trim_end(), 16).unwrap();
            if size == 0 {
                while connection.until(b"\r\n")? != b"\r\n" {}
                return Some(content);
            }
            content.extend(connection.exactly(size)?);
            connection.exactly(2)?;
        }
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    if let Some(length) = length {
        content = connection.exactly(length.trim().parse().unwrap())?;
    }
    Some(content)
}

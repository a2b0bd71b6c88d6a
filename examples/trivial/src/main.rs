//! A very small HTTP/1.1 server that does as each request tells it, for tests and benches.
//!
//! It listens on `127.0.0.1:$PORT` and serves each connection on a thread with a small stack. What
//! its paths do is in `answer.rs`, what its arguments do in `options.rs`. A signal ends it at once.

mod answer;
mod body;
mod head;
mod options;
mod signals;
mod via;
mod websocket;

use std::io::{BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use options::Options;

/// How many connections are served at a time; one more is closed unanswered.
const MOST_CONNECTIONS: usize = 4096;

/// Enough for the deepest call here, with much to spare.
const STACK_BYTES: usize = 64 << 10;

fn main() -> ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("trivial: {problem}");
            return ExitCode::from(2);
        }
    };
    if let Some(code) = options.exit_code {
        say(&format!("exiting with code {code}, as told at the start"));
        return ExitCode::from(code);
    }
    thread::sleep(options.start_delay);
    match run(options) {
        Ok(never) => match never {},
        Err(problem) => {
            eprintln!("trivial: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<std::convert::Infallible, String> {
    // Before the first thread starts, since threads inherit what is blocked.
    let signals = signals::block().map_err(|error| format!("cannot block signals: {error}"))?;
    let port = options.port;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .map_err(|error| format!("cannot listen on 127.0.0.1:{port}: {error}"))?;
    say(&format!(
        "started on port {port} as process {}",
        std::process::id()
    ));
    let ignore = options.ignore_signals;
    thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(move || accept(&listener, &Arc::new(options)))
        .map_err(|error| format!("cannot start a thread: {error}"))?;
    loop {
        let signal = signals.wait();
        if !ignore {
            say(&format!("stopped by signal {signal}"));
            std::process::exit(0);
        }
        say(&format!("ignored signal {signal}, as told at the start"));
    }
}

fn accept(listener: &TcpListener, options: &Arc<Options>) {
    let open = Arc::new(AtomicUsize::new(0));
    for connection in listener.incoming() {
        let stream = match connection {
            Ok(stream) => stream,
            Err(error) => {
                // Most often too many open files: ended connections make room again.
                eprintln!("trivial: cannot accept a connection: {error}");
                thread::sleep(std::time::Duration::from_millis(50));
                continue;
            }
        };
        if open.fetch_add(1, Ordering::Relaxed) >= MOST_CONNECTIONS {
            open.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (counter, options) = (Arc::clone(&open), Arc::clone(options));
        let started = thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn(move || {
                // A connection that breaks is the client's doing and no news.
                let _ = serve(stream, &options);
                counter.fetch_sub(1, Ordering::Relaxed);
            });
        if let Err(error) = started {
            open.fetch_sub(1, Ordering::Relaxed);
            eprintln!("trivial: cannot start a thread for a connection: {error}");
        }
    }
}

/// Answers request after request until the client ends the connection or asks for its end.
fn serve(stream: TcpStream, options: &Options) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::with_capacity(4096, stream);
    let mut onward = via::Onward::default();
    loop {
        let head = match head::read(&mut reader) {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                return answer::bad_request(&mut writer, &error);
            }
            Err(error) => return Err(error),
        };
        if !answer::answer(&head, &mut reader, &mut writer, &mut onward, options)? {
            return Ok(());
        }
    }
}

/// Prints one line at once. Nothing is done when nobody reads it any more.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

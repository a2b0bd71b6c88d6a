//! One client's connection: requests in lines, answers in lines.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::table::{Table, TableError};

/// The longest request, in bytes: every name that is allowed fits.
const LONGEST_LINE: usize = 128;

/// How much is read before it is answered.
const BUFFER: usize = 4096;

/// Answers requests until the client ends the connection or `stopped` has no sender any more. A
/// connection that breaks is the client's doing and ends in silence.
pub(crate) async fn serve(
    mut stream: TcpStream,
    table: Arc<Mutex<Table>>,
    mut stopped: watch::Receiver<()>,
) {
    let mut buffer = Vec::with_capacity(BUFFER);
    // Where it fails the connection is broken, which the first read finds.
    let _ = stream.set_nodelay(true);
    loop {
        tokio::select! {
            read = stream.read_buf(&mut buffer) => match read {
                Ok(1..) => {}
                Ok(0) | Err(_) => return,
            },
            _ = stopped.changed() => {
                // What has arrived by now is still answered, if the client is still there.
                let _ = stream.try_read_buf(&mut buffer);
                let _ = answer_lines(&mut stream, &mut buffer, &table).await;
                return;
            }
        }
        if answer_lines(&mut stream, &mut buffer, &table)
            .await
            .is_err()
        {
            return;
        }
        if buffer.len() > LONGEST_LINE {
            // It ends here in any case, whether or not the client hears why.
            let _ = stream.write_all(b"ERR the request is too long\n").await;
            return;
        }
    }
}

/// Answers the whole lines in `buffer` with one write and leaves the rest in it.
async fn answer_lines(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    table: &Mutex<Table>,
) -> io::Result<()> {
    let Some(end) = buffer.iter().rposition(|&byte| byte == b'\n') else {
        return Ok(());
    };
    let mut answers = String::new();
    for line in buffer[..end].split(|&byte| byte == b'\n') {
        // The table is its file and holds nothing that a panic could leave half done.
        let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
        match answer(line, &mut table) {
            Ok(count) => answers.push_str(&format!("OK {count}\n")),
            Err(reason) => answers.push_str(&format!("ERR {reason}\n")),
        }
    }
    buffer.drain(..=end);
    stream.write_all(answers.as_bytes()).await
}

fn answer(line: &[u8], table: &mut Table) -> Result<u64, String> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = std::str::from_utf8(line).map_err(|_| "the request is not text")?;
    let failed = |error: TableError| error.to_string();
    match line.split_once(' ') {
        Some(("INCR", name)) => table.increment(name).map_err(failed),
        Some(("GET", name)) => table.get(name).map_err(failed),
        _ => Err("a request is INCR or GET and a name".to_owned()),
    }
}

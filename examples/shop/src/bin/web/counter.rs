//! Asking the counter over TCP, on connections that are kept.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// How long all answers may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// How many unused connections are kept.
const MOST_IDLE: usize = 32;

/// The longest answer to one question, in bytes.
const LONGEST_ANSWER: u64 = 256;

/// The counter, by the address that was injected for it.
#[derive(Debug)]
pub(crate) struct Counter {
    address: String,
    idle: Mutex<Vec<BufReader<TcpStream>>>,
}

impl Counter {
    /// The counter at an address, `HOST:PORT`.
    pub(crate) fn new(address: String) -> Self {
        Self {
            address,
            idle: Mutex::default(),
        }
    }

    /// Sends questions together and reads an answer to each, in their order. The error is a
    /// sentence.
    pub(crate) async fn ask(&self, questions: &[String]) -> Result<Vec<u64>, String> {
        let answers = tokio::time::timeout(TIMEOUT, self.ask_kept_or_new(questions)).await;
        let answers = answers.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        answers.map_err(|error| format!("counter does not answer: {error}"))
    }

    async fn ask_kept_or_new(&self, questions: &[String]) -> io::Result<Vec<u64>> {
        let kept = self.idle().pop();
        if let Some(connection) = kept {
            match self.ask_on(connection, questions).await {
                // The other side closed it while it was not used: a new one may do.
                Err(error) if is_closed(&error) => {}
                done => return done,
            }
        }
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        self.ask_on(BufReader::with_capacity(1024, stream), questions)
            .await
    }

    async fn ask_on(
        &self,
        mut connection: BufReader<TcpStream>,
        questions: &[String],
    ) -> io::Result<Vec<u64>> {
        let mut request = questions.join("\n");
        request.push('\n');
        connection.write_all(request.as_bytes()).await?;
        let mut counts = Vec::with_capacity(questions.len());
        for _ in questions {
            let mut line = String::new();
            (&mut connection)
                .take(LONGEST_ANSWER)
                .read_line(&mut line)
                .await?;
            if line.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let count = line
                .trim_end()
                .strip_prefix("OK ")
                .and_then(|count| count.parse().ok());
            counts.push(count.ok_or_else(|| io::Error::other(line.trim_end().to_owned()))?);
        }
        let mut idle = self.idle();
        if idle.len() < MOST_IDLE {
            idle.push(connection);
        }
        Ok(counts)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<BufReader<TcpStream>>> {
        // A list of connections cannot be left half changed.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
    )
}

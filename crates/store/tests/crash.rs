//! A process that writes is killed at random moments, over and over, and nothing it acknowledged
//! is ever lost or half there.
//!
//! 60 kills by default, 600 with `ROADBED_SOAK=1`. `ROADBED_SEED` repeats a run's moments.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime};

use store::{Acquired, EmbeddedStore, Entry, Expected, Outcome, Revision, Store, Transaction};

/// How many tasks write at a time, each to keys of its own.
const WRITERS: u64 = 4;
/// How many keys a transaction sets.
const KEYS: u64 = 3;
const TIME: Duration = Duration::from_secs(60);
/// How long a child may take to say what is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the parent knows that the child has been told.
#[derive(Default)]
struct Acknowledged {
    /// By writer, its last count.
    counts: BTreeMap<u64, u64>,
    revision: Revision,
    token: u64,
}

#[test]
fn no_kill_loses_or_halves_a_transaction() {
    let soak = std::env::var("ROADBED_SOAK").is_ok_and(|value| value == "1");
    let kills = if soak { 600 } else { 60 };
    let seed = seed();
    let mut random = Random(seed | 1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut acknowledged = Acknowledged::default();
    for kill in 0..kills {
        let context = format!("kill {kill} of {kills}, ROADBED_SEED={seed}");
        // Some die while they open and repair the file, most while they write: those are counted
        // by what they said, so that a busy machine does not make the test an empty one.
        let moment = match kill % 4 {
            0 => Moment {
                lines: 0,
                later: Duration::from_micros(random.below(12_000)),
            },
            _ => Moment {
                lines: 1 + random.below(40),
                later: Duration::from_micros(random.below(3_000)),
            },
        };
        run_and_kill(&path, moment, &mut acknowledged, &context);
        check(&path, &mut acknowledged, &context);
    }
    let counts: u64 = acknowledged.counts.values().sum();
    assert!(
        counts > kills,
        "only {counts} transactions in {kills} lives: nothing was tested"
    );
}

#[test]
fn a_kill_while_the_store_is_created_leaves_one_that_opens() {
    let seed = seed();
    let mut random = Random(seed | 1);
    for kill in 0..25 {
        let context = format!("creation {kill}, ROADBED_SEED={seed}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let mut acknowledged = Acknowledged::default();
        let later = Duration::from_micros(1_000 + random.below(12_000));
        run_and_kill(
            &path,
            Moment { lines: 0, later },
            &mut acknowledged,
            &context,
        );
        check(&path, &mut acknowledged, &context);
    }
}

fn seed() -> u64 {
    match std::env::var("ROADBED_SEED") {
        Ok(seed) => seed.parse().expect("ROADBED_SEED is a number"),
        Err(_) => SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64,
    }
}

/// When a child is killed.
struct Moment {
    /// After it has acknowledged this much,
    lines: u64,
    /// and then this much later.
    later: Duration,
}

/// Lets a child write for a while, kills it and notes what it had acknowledged.
fn run_and_kill(path: &Path, moment: Moment, known: &mut Acknowledged, context: &str) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child_that_writes", "--exact", "--ignored", "--nocapture"])
        .env("ROADBED_CRASH_STORE", path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = lines(&mut child);
    let mut heard = 0;
    let mut deadline = if moment.lines == 0 {
        moment.later
    } else {
        PATIENCE
    };
    let mut since = Instant::now();
    while let Some(left) = deadline.checked_sub(since.elapsed()) {
        match lines.recv_timeout(left) {
            Ok(line) => heard += u64::from(note(&line, known, context)),
            Err(RecvTimeoutError::Timeout) => break,
            Err(RecvTimeoutError::Disconnected) => {
                panic!("the child ended by itself: {:?} ({context})", child.wait())
            }
        }
        if heard == moment.lines && moment.lines > 0 {
            (since, deadline) = (Instant::now(), moment.later);
            heard += 1;
        }
    }
    assert!(
        heard >= moment.lines,
        "the child says nothing any more ({context})"
    );
    child.kill().unwrap();
    child.wait().unwrap();
    // What it had said before it died was acknowledged too.
    for line in lines {
        note(&line, known, context);
    }
}

/// The whole lines that a child says.
fn lines(child: &mut Child) -> Receiver<String> {
    let mut output: BufReader<ChildStdout> = BufReader::new(child.stdout.take().unwrap());
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        while output.read_line(&mut line).unwrap() > 0 && line.ends_with('\n') {
            if sender.send(line.trim_end().to_owned()).is_err() {
                return;
            }
            line.clear();
        }
    });
    receiver
}

/// Takes in what a child says, and tells whether it was an acknowledgement.
fn note(line: &str, known: &mut Acknowledged, context: &str) -> bool {
    let words: Vec<&str> = line.split(' ').collect();
    let number = |text: &str| text.parse::<u64>().unwrap();
    match words[..] {
        ["wrote", writer, count, revision] => {
            let before = known.counts.insert(number(writer), number(count));
            assert!(
                before < Some(number(count)),
                "{line} after {before:?} ({context})"
            );
            known.revision = known.revision.max(Revision(number(revision)));
        }
        ["token", token] => {
            assert!(
                number(token) > known.token,
                "{line} after {} ({context})",
                known.token
            );
            known.token = number(token);
        }
        // The test harness of the child talks as well.
        _ => return false,
    }
    true
}

/// Opens what the dead child left behind and compares it with what it acknowledged.
fn check(path: &Path, known: &mut Acknowledged, context: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = EmbeddedStore::open(path).unwrap_or_else(|e| panic!("{e:?} ({context})"));
        let listing = store.list("").await.unwrap();
        assert!(
            listing.revision >= known.revision,
            "the revision went back ({context})"
        );
        known.revision = listing.revision;
        for writer in 0..WRITERS {
            let prefix = format!("{writer}/");
            let entries: Vec<&Entry> = listing
                .entries
                .iter()
                .filter(|entry| entry.key.starts_with(&prefix))
                .collect();
            let last = known.counts.get(&writer).copied().unwrap_or(0);
            let Some(first) = entries.first() else {
                assert_eq!(last, 0, "acknowledged writes are lost ({context})");
                continue;
            };
            assert_eq!(entries.len() as u64, KEYS, "half a transaction ({context})");
            for entry in &entries {
                assert_eq!(entry.value, first.value, "half a transaction ({context})");
                assert_eq!(
                    entry.modified, first.modified,
                    "half a transaction ({context})"
                );
                assert_eq!(
                    entry.version,
                    count_of(entry),
                    "a write is missing ({context})"
                );
                assert!(entry.modified <= listing.revision, "{entry:?} ({context})");
            }
            let count = count_of(first);
            // One more may have been written without the child living to say so.
            assert!(
                count == last || count == last + 1,
                "{count}, said {last} ({context})"
            );
            known.counts.insert(writer, count);
        }
        let Acquired::Lease(lease) = store.acquire("crash", "writer", TIME).await.unwrap() else {
            panic!("somebody else holds the lease ({context})");
        };
        assert!(lease.token.0 > known.token, "a token repeats ({context})");
        known.token = lease.token.0;
    });
}

fn count_of(entry: &Entry) -> u64 {
    let text = str::from_utf8(&entry.value).unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

#[test]
#[ignore = "run by the other tests, which kill it"]
fn child_that_writes() {
    let path = std::env::var("ROADBED_CRASH_STORE").expect("ROADBED_CRASH_STORE is a path");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = Arc::new(EmbeddedStore::open(Path::new(&path)).unwrap());
        let tasks: Vec<_> = (0..WRITERS)
            .map(|writer| tokio::spawn(write_forever(store.clone(), writer)))
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

async fn write_forever(store: Arc<EmbeddedStore>, writer: u64) {
    let stored = store.get(&format!("{writer}/0")).await.unwrap();
    let mut count = stored.as_ref().map_or(0, count_of);
    let mut expected = match stored {
        Some(entry) => Expected::Modified(entry.modified),
        None => Expected::Absent,
    };
    loop {
        count += 1;
        let mut transaction = Transaction::new();
        // Now and then values over several pages, so that the file grows and shrinks.
        let size = if count % 16 == 0 { 100_000 } else { 100 };
        for key in 0..KEYS {
            let key = format!("{writer}/{key}");
            let value = format!("{count} {}", "x".repeat(size)).into_bytes();
            transaction = transaction.expect(key.as_str(), expected).put(key, value);
        }
        match store.transact(transaction).await.unwrap() {
            Outcome::Committed(revision) => {
                expected = Expected::Modified(revision);
                say(format!("wrote {writer} {count} {}\n", revision.0));
            }
            Outcome::Conflict(conflict) => panic!("{conflict}"),
        }
        if writer == 0 && count % 3 == 0 {
            let acquired = store.acquire("crash", "writer", TIME).await.unwrap();
            let Acquired::Lease(lease) = acquired else {
                panic!("somebody else has the lease")
            };
            say(format!("token {}\n", lease.token.0));
        }
    }
}

/// Says a line in one write, so that a kill cannot cut it.
fn say(line: String) {
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

/// A small generator of numbers that look random (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

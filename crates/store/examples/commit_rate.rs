//! Measures an embedded store: single durable commits, concurrent writers, reads and memory.
//!
//! `cargo run --release -p roadbed-store --example commit_rate [FOLDER]`: the file is made in
//! FOLDER, by default the system's folder for temporary files. A folder in memory shows the
//! store's own cost, one on a disk that of its fsync.

#![allow(clippy::print_stdout, reason = "a command whose output is its purpose")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use store::{EmbeddedStore, Store, Transaction};

const SINGLE: usize = 500;
const EACH: usize = 100;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args()
        .nth(1)
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let path = folder.join(format!("commit-rate-{}", std::process::id()));
    let store = Arc::new(EmbeddedStore::open(&path)?);

    // As many entries of a usual size as a server of 200 services has.
    for number in 0..1000 {
        put(&store, &format!("filled/{number}")).await?;
    }
    let mut times = Vec::new();
    for number in 0..SINGLE {
        let start = Instant::now();
        put(&store, &format!("single/{}", number % 50)).await?;
        times.push(start.elapsed());
    }
    report("one writer, a commit", times);

    for writers in [16, 64] {
        let start = Instant::now();
        let tasks: Vec<_> = (0..writers)
            .map(|writer| {
                let store = store.clone();
                tokio::spawn(async move {
                    let mut times = Vec::new();
                    for number in 0..EACH {
                        let start = Instant::now();
                        put(&store, &format!("many/{writer}/{}", number % 10)).await?;
                        times.push(start.elapsed());
                    }
                    Ok::<_, store::StoreError>(times)
                })
            })
            .collect();
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await??);
        }
        let rate = times.len() as f64 / start.elapsed().as_secs_f64();
        report(&format!("{writers} writers, a commit"), times);
        println!("{writers} writers together: {rate:.0} transactions/s");
    }

    let mut times = Vec::new();
    for number in 0..2000 {
        let start = Instant::now();
        store.get(&format!("filled/{}", number % 1000)).await?;
        times.push(start.elapsed());
    }
    report("a get", times);
    let start = Instant::now();
    let entries = store.list("").await?.entries.len();
    println!("a list of {entries} entries: {:?}", start.elapsed());
    for line in std::fs::read_to_string("/proc/self/status")?.lines() {
        if line.starts_with("VmRSS") || line.starts_with("VmHWM") {
            println!("{line}");
        }
    }
    println!("file: {} KiB", std::fs::metadata(&path)?.len() / 1024);
    drop(store);
    std::fs::remove_file(path.with_added_extension("lock"))?;
    std::fs::remove_file(path)?;
    Ok(())
}

async fn put(store: &EmbeddedStore, key: &str) -> Result<(), store::StoreError> {
    store
        .transact(Transaction::new().put(key, vec![7; 600]))
        .await?;
    Ok(())
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let (median, high) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("{what}: median {median:?}, p99 {high:?}");
}

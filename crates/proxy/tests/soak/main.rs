//! The real proxy under everything at once, for a long time: clients over every protocol, of whom
//! many give up at random, instances that are killed, and snapshots that change all the while. At
//! the end nothing may be left behind, and the proxy's counts have to be those of its clients.
//!
//! 20 s by default, 30 minutes with `ROADBED_SOAK=1`, and as long as `ROADBED_SOAK_SECONDS` says.
//! `ROADBED_SEED` repeats a run's choices, though not what the machine makes of them.

mod certificates;
mod client;
mod client_http1;
mod client_http2;
mod client_others;
mod fleet;
mod instance;
mod instance_http1;
mod instance_http2;
mod memory;
mod random;
#[allow(dead_code, reason = "the tests that this is from use the rest")]
#[path = "../proxy"]
mod shared {
    pub(crate) mod support;
}
mod stage;
mod stream;
mod tally;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use proxy::protocol::Counts;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use self::fleet::Fleet;
use self::memory::Samples;
use self::random::Random;
use self::shared::support;
use self::stage::{LONG, Stage};

/// The most that memory may grow in 10 minutes, in KiB.
const STEEPEST: f64 = 1024.0;
/// The most that it may grow after the warm-up of a run that is too short for a slope, in KiB.
const MOST_GROWTH: u64 = 8 * 1024;
/// A run of at least this length shows a slope.
const LONG_RUN: Duration = Duration::from_secs(540);

fn length() -> Duration {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    match (
        number("ROADBED_SOAK_SECONDS"),
        std::env::var_os("ROADBED_SOAK"),
    ) {
        (Some(seconds), _) => Duration::from_secs(seconds),
        (None, Some(_)) => Duration::from_secs(30 * 60),
        (None, None) => Duration::from_secs(20),
    }
}

#[test]
fn nothing_is_left_behind_and_counts_are_those_of_the_clients() {
    let (seed, length) = (random::seed(), length());
    eprintln!("ROADBED_SEED={seed}, {length:?}");
    let mut fleet = Fleet::start(seed);
    let stage = fleet.stage.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let descriptors = fleet.setup.proxy.descriptors();
    let mut clients = start_clients(&runtime, &stage);
    let samples = run(&mut fleet, length);

    stage.stopping.store(true, Ordering::SeqCst);
    let ended = runtime.block_on(async {
        let all = async {
            while let Some(ended) = clients.join_next().await {
                ended.expect("no client panics");
            }
        };
        tokio::time::timeout(LONG * 2, all).await
    });
    ended.expect("all clients end");
    drop(runtime);
    fleet.settle();

    let counted = await_the_end(&mut fleet);
    report(&stage, &samples);
    let mut wrong = stage.violations();
    for service in &stage.services {
        let counts = counted.get(service.name).cloned().unwrap_or_default();
        let contradiction = stage.tallies[service.name].contradicts(&counts);
        wrong.extend(contradiction.map(|what| format!("{}: {what}", service.name)));
    }
    wrong.extend(leaks(&mut fleet, descriptors));
    wrong.extend(growth(&samples, length));
    wrong.extend(untouched(&stage));
    assert!(
        wrong.is_empty(),
        "ROADBED_SEED={seed}:\n{}",
        wrong.join("\n")
    );
}

fn start_clients(runtime: &Runtime, stage: &Arc<Stage>) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    let handle = runtime.handle();
    for who in 0..6 {
        let tls = who % 3 == 2;
        clients.spawn_on(client_http1::run(stage.clone(), 100 + who, tls), handle);
        clients.spawn_on(client_http2::run(stage.clone(), 200 + who, tls), handle);
    }
    for who in 0..2 {
        clients.spawn_on(client_others::bytes(stage.clone(), 300 + who), handle);
        clients.spawn_on(client_others::flapping(stage.clone(), 400 + who), handle);
    }
    clients.spawn_on(client_others::nonsense(stage.clone(), 500), handle);
    clients
}

/// Changes the fleet for so long, and looks at the proxy's memory.
fn run(fleet: &mut Fleet, length: Duration) -> Samples {
    let start = Instant::now();
    let interval = (length / 100).min(Duration::from_secs(5));
    let mut samples = Samples::default();
    let mut random = Random::of(fleet.stage.seed, 1);
    let mut next = Duration::ZERO;
    let is_over = |stage: &Stage| {
        // On a busy machine it takes longer until everything has happened.
        let all_done = || untouched(stage).is_none() || start.elapsed() > length + LONG;
        stage.violations().len() >= 20 || (start.elapsed() >= length && all_done())
    };
    while !is_over(&fleet.stage) {
        if start.elapsed() >= next {
            samples.add(start.elapsed(), fleet.setup.proxy.resident());
            next += interval;
        }
        fleet.change();
        std::thread::sleep(Duration::from_millis(random.below(60)));
    }
    samples
}

/// Waits until the proxy has noticed that no client is there any more; what it counted then.
fn await_the_end(fleet: &mut Fleet) -> std::collections::BTreeMap<String, Counts> {
    let start = Instant::now();
    let mut before = None;
    loop {
        let counted = fleet.count().clone();
        // What is cut is counted when the proxy sees it, which is over when nothing changes.
        let is_over = fleet.connections == 0 && before.as_ref() == Some(&counted);
        if is_over || start.elapsed() > LONG {
            return counted;
        }
        before = Some(counted);
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn leaks(fleet: &mut Fleet, before: usize) -> Vec<String> {
    let start = Instant::now();
    // Idle connections to instances are looked for every few seconds.
    while fleet.setup.proxy.descriptors() != before && start.elapsed() < LONG / 2 {
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut found = Vec::new();
    let after = fleet.setup.proxy.descriptors();
    if after != before {
        found.push(format!(
            "{before} descriptors at the start, {after} at the end"
        ));
    }
    fleet.count();
    if fleet.connections != 0 {
        found.push(format!("{} connections without clients", fleet.connections));
    }
    found
}

fn growth(samples: &Samples, length: Duration) -> Option<String> {
    let warm = samples.since(length / 3);
    let ((least, most), slope) = (warm.range(), warm.slope());
    let grows = match length >= LONG_RUN {
        true => slope >= STEEPEST,
        false => most - least > MOST_GROWTH,
    };
    grows.then(|| format!("memory: {least} to {most} KiB, {slope:.0} KiB in 10 minutes"))
}

/// What this run did not do, though it is what it is for.
fn untouched(stage: &Stage) -> Option<String> {
    let kinds = stage.kinds.all();
    let expected = [
        "get: answered",
        "echo: answered",
        "upload: answered",
        "fail: failed",
        "stall: cut",
        "silent: cut",
        "cut-upload: cut",
        "cut-echo: cut",
        "half: cut",
        "die: failed",
        "timeout: failed",
        "socket: answered",
        "stream get: answered",
        "stream echo: answered",
        "stream stall: cut",
        "stream cut-echo: cut",
        "stream half: cut",
        "stream timeout: failed",
        "stream socket: answered",
        "call get: answered",
        "call echo: answered",
        "call cut-echo: cut",
        "call fail: failed",
        "call deadline: failed",
        "bytes: whole",
        "bytes: broken",
        "flapping: answered",
        "flapping: refused",
        "flapping route: answered",
        "flapping route: nothing",
        "fleet: instances replaced",
        "fleet: instances killed",
        "fleet: instances lost",
        "fleet: certificates changed",
        "fleet: servers replaced",
        "nonsense",
    ];
    let missing = expected.iter().filter(|kind| !kinds.contains_key(**kind));
    let missing: Vec<_> = missing.copied().collect();
    (!missing.is_empty()).then(|| format!("never happened: {}", missing.join(", ")))
}

fn report(stage: &Stage, samples: &Samples) {
    for (kind, count) in stage.kinds.all() {
        eprintln!("{count:>9}  {kind}");
    }
    for (service, tally) in &stage.tallies {
        eprintln!("{service}: {}", tally.line());
    }
    eprintln!("memory in KiB: {}", samples.outline());
    let (least, most) = samples.range();
    let slope = samples.since(length() / 3).slope();
    eprintln!(
        "memory: {least} to {most} KiB, {} at the end, {slope:.0} KiB in 10 minutes",
        samples.last()
    );
}

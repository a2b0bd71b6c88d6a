//! Starting a server in the background, where none runs.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use control::EdgeAddresses;
use model::{Telemetry, TrustedHops};

use crate::context::Context;
use crate::failure::Failure;
use crate::port_holder::{self, Holder};

/// How long a server may take from its start to its first answer. It reads its store first.
const LONGEST_START: Duration = Duration::from_secs(20);
/// The pause between two looks. Short, because a user waits.
const PAUSE: Duration = Duration::from_millis(3);
/// How often an address that is taken is tried again, and the pause in between.
const EDGE_ATTEMPTS: u32 = 10;
const EDGE_PAUSE: Duration = Duration::from_millis(10);
/// How much of what a failed server printed is shown.
const MOST_PRINTED: u64 = 16 * 1024;

/// One of the edge's addresses.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Edge {
    /// For HTTP in the clear.
    Plain(SocketAddr),
    /// For HTTP in TLS.
    Tls(SocketAddr),
}

impl Edge {
    fn address(self) -> SocketAddr {
        match self {
            Self::Plain(address) | Self::Tls(address) => address,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plain(_) => "the edge",
            Self::Tls(_) => "the edge for TLS",
        }
    }

    fn option(self) -> &'static str {
        match self {
            Self::Plain(_) => "--edge",
            Self::Tls(_) => "--edge-tls",
        }
    }

    fn usual_port(self) -> u16 {
        match self {
            Self::Plain(_) => 8080,
            Self::Tls(_) => 8443,
        }
    }
}

/// Starts a server and waits until it answers. Says whether the one that answers is this one: at
/// the same moment another user may have started one too.
pub(crate) async fn start(
    context: &Context,
    edge: EdgeAddresses,
    trusted: &TrustedHops,
    metrics: SocketAddr,
    telemetry: &Telemetry,
) -> Result<bool, Failure> {
    let mut child = spawn(context, edge, trusted, metrics, telemetry)?;
    let client = context.client();
    let started = Instant::now();
    let mut ended = None;
    while started.elapsed() < LONGEST_START {
        if client.answers().await {
            return Ok(ended.is_none());
        }
        if ended.is_none() {
            ended = child
                .try_wait()
                .map_err(|error| Failure::new(format!("cannot await the server: {error}")))?;
        }
        // One that ended because another server holds the folder is as good: that one answers soon.
        if ended.is_some() && !context.home.is_taken() {
            return Err(did_not_start(&mut child).await);
        }
        sleep(PAUSE).await;
    }
    Err(Failure::new(format!(
        "the server in {} does not answer",
        context.home.path().display()
    ))
    .hint("`roadbed doctor` looks for the reason"))
}

fn spawn(
    context: &Context,
    edge: EdgeAddresses,
    trusted: &TrustedHops,
    metrics: SocketAddr,
    telemetry: &Telemetry,
) -> Result<Child, Failure> {
    let problem = |error: std::io::Error| Failure::new(format!("cannot start a server: {error}"));
    let program = std::env::current_exe().map_err(problem)?;
    Command::new(program)
        .arg("server")
        .arg("--background")
        .arg("--home")
        .arg(context.home.path())
        .args(["--edge", &edge.plain.to_string()])
        .args(["--edge-tls", &edge.tls.to_string()])
        .args(["--trusted-hops", &trusted.to_string()])
        .args(["--metrics", &metrics.to_string()])
        .args(telemetry_words(telemetry))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .current_dir("/")
        .spawn()
        .map_err(problem)
}

/// The options that say as much.
fn telemetry_words(telemetry: &Telemetry) -> Vec<String> {
    let access_log = telemetry.access_log.to_string();
    let mut words = vec!["--access-log".to_owned(), access_log, "--traces".to_owned()];
    match &telemetry.tracing {
        None => words.push("off".to_owned()),
        Some(tracing) => words.extend([
            tracing.collector.to_string(),
            "--trace-share".to_owned(),
            tracing.share.to_string(),
        ]),
    }
    words
}

/// The reason that a server gave before it ended.
async fn did_not_start(child: &mut Child) -> Failure {
    let mut printed = String::new();
    if let Some(pipe) = child.stderr.take() {
        // What cannot be read of it is not shown.
        let _ = pipe.take(MOST_PRINTED).read_to_string(&mut printed).await;
    }
    let mut lines = printed.lines();
    let first = lines.next().unwrap_or("it ended without a word");
    let first = first.strip_prefix("error: ").unwrap_or(first);
    let failure = Failure::new(format!("no server could be started: {first}"));
    let (hints, evidence): (Vec<&str>, Vec<&str>) =
        lines.partition(|line| line.starts_with("hint: "));
    let failure = failure.evidence(evidence.into_iter().map(str::to_owned));
    match hints.first().and_then(|hint| hint.strip_prefix("hint: ")) {
        Some(hint) => failure.hint(hint),
        None => failure.hint("`roadbed doctor` looks for the reason"),
    }
}

/// The same, for somebody who is about to start a server. Another `up` may be at the same point: it
/// tries the address for an instant too, and may then be the first to start a server, to which the
/// address belongs.
pub(crate) async fn check_edge_before_start(context: &Context, edge: Edge) -> Result<(), Failure> {
    for _ in 0..EDGE_ATTEMPTS {
        if check_edge(context, edge).is_ok() || context.home.is_taken() {
            return Ok(());
        }
        sleep(EDGE_PAUSE).await;
    }
    check_edge(context, edge)
}

/// Looks, before anything is started, whether the edge's address can be had. One that this home's
/// own proxy holds is fine: it outlives servers.
pub(crate) fn check_edge(context: &Context, edge: Edge) -> Result<(), Failure> {
    let address = edge.address();
    let Err(error) = TcpListener::bind(address) else {
        return Ok(());
    };
    let holder = port_holder::find(address.port());
    let may_be_own = match &holder {
        Some(holder) => holder.is_proxy_of(context.home.path()),
        None => true,
    };
    if may_be_own && proxy::is_running(context.home.path()) {
        return Ok(());
    }
    Err(edge_taken(edge, &error, holder))
}

fn edge_taken(edge: Edge, error: &std::io::Error, holder: Option<Holder>) -> Failure {
    let (address, option) = (edge.address(), edge.option());
    let failure = Failure::new(format!(
        "{} cannot listen on {address}: {error}",
        edge.name()
    ));
    match (error.kind(), holder) {
        (ErrorKind::AddrInUse, Some(holder)) => failure
            .evidence([format!("{holder} listens on port {}", address.port())])
            .hint(format!("stop it, or give another address with {option}")),
        (ErrorKind::AddrInUse, None) => failure.hint(format!(
            "`ss -ltnp 'sport = :{}'` shows what holds it; another address can be given with \
             {option}",
            address.port()
        )),
        (ErrorKind::PermissionDenied, _) => failure.hint(format!(
            "ports below 1024 are for root; give another with {option} 127.0.0.1:{}",
            edge.usual_port()
        )),
        _ => failure.hint(format!("give an address of this machine with {option}")),
    }
}

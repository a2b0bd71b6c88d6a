//! The command line as it is typed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use control::KeptReleases;
use model::{AccessLog, Collector, SampledShare, TrustedHops};

/// Runs your services: deploys them, connects them, serves them.
///
/// A file roadbed.toml declares an app. `roadbed up FOLDER` starts it; docs/spec.md says what can
/// be in the file.
#[derive(Debug, Parser)]
#[command(
    name = "roadbed",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 done; 1 refused or failed; 2 bad usage or an invalid roadbed.toml."
)]
pub(crate) struct Arguments {
    /// The folder that the server keeps everything in [default: $ROADBED_HOME, else
    /// /var/lib/roadbed as root, else $XDG_DATA_HOME/roadbed]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(crate) home: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read a roadbed.toml and report everything that is wrong with it
    Check(Check),
    /// Show what a deploy would do, and why
    Plan(Plan),
    /// Build and start an app, with a server if none runs, and follow its logs; Ctrl-C stops what
    /// this started
    Up(Up),
    /// Build an app and replace its running instances by a new release, one by one
    Deploy(Deploy),
    /// List an app's releases that are kept, or show what differs between two
    Releases(Releases),
    /// Go back to an earlier release, its files and its settings together
    Rollback(Rollback),
    /// Show what runs, and why anything waits
    Status(Status),
    /// Show how many requests services get right now, how many fail, and how long they take
    Top(Top),
    /// Show what instances have written, also when no server runs
    Logs(Logs),
    /// Stop an app, or everything
    Down(Down),
    /// Look for what keeps this machine from running apps well
    Doctor(Doctor),
    /// Run the server in the foreground; `up` starts one by itself
    Server(Server),
    /// Run a proxy in the foreground; the server starts one by itself
    Proxy(Proxy),
}

/// An app on disk.
#[derive(Debug, Args)]
pub(crate) struct AppPath {
    /// The app's folder, or its roadbed.toml
    #[arg(default_value = ".")]
    pub(crate) path: PathBuf,
}

/// `roadbed check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) app: AppPath,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `roadbed plan`.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) app: AppPath,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `roadbed up`.
#[derive(Debug, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) app: AppPath,
    /// Return when all is healthy, and let it run on
    #[arg(long, short)]
    pub(crate) detach: bool,
    /// Where a server that is started here serves the edge [default: where the last one
    /// did, else 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = edge)]
    pub(crate) edge: Option<SocketAddr>,
    /// Where such a server serves the edge in TLS, to hosts that have a certificate [default: where
    /// the last one did, else port 8443 beside the edge, or 443 beside port 80]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = edge)]
    pub(crate) edge_tls: Option<SocketAddr>,
    /// Whose word such a server takes on where requests come from: ranges such as 10.0.0.0/8 with
    /// commas between them, or none [default: whose the last one took, else none]
    #[arg(long, value_name = "RANGES")]
    pub(crate) trusted_hops: Option<TrustedHops>,
    /// Where the proxy of such a server shows what it measures, an address of this machine alone
    /// [default: where the last one did, else 127.0.0.1:9700]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = loopback)]
    pub(crate) metrics: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) telemetry: Telemetry,
}

/// What the proxy of a server that is started says of single requests.
#[derive(Debug, Clone, Args)]
pub(crate) struct Telemetry {
    /// Of which requests the access log has a line: off, errors, all, or a share such as 5%
    /// [default: as the last server had it, else off]
    #[arg(long, value_name = "REQUESTS")]
    pub(crate) access_log: Option<AccessLog>,
    /// Where spans of traces are sent by OTLP over HTTP, such as http://127.0.0.1:4318, or off
    /// [default: as the last server had it, else off]
    #[arg(long, value_name = "URL", value_parser = traces)]
    pub(crate) traces: Option<Traces>,
    /// Of the traces that begin at the proxy, how many are sampled, such as 5% [default: as the last
    /// server had it, else 100%]
    #[arg(long, value_name = "SHARE")]
    pub(crate) trace_share: Option<SampledShare>,
}

/// Where spans are sent, or that they are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Traces {
    Off,
    To(Collector),
}

/// `roadbed deploy`.
#[derive(Debug, Args)]
pub(crate) struct Deploy {
    #[command(flatten)]
    pub(crate) app: AppPath,
    /// Give up the app's rollout that goes on, and stay with what ran before
    #[arg(long)]
    pub(crate) cancel: bool,
}

/// `roadbed releases`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Releases {
    /// The app
    #[arg(required = true)]
    pub(crate) app: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// What else to show.
    #[command(subcommand)]
    pub(crate) command: Option<ReleasesCommand>,
}

/// What else to show of releases.
#[derive(Debug, Subcommand)]
pub(crate) enum ReleasesCommand {
    /// Show what differs between two releases: settings by key, and files
    Diff(ReleasesDiff),
}

/// `roadbed releases diff`.
#[derive(Debug, Args)]
pub(crate) struct ReleasesDiff {
    /// The app
    pub(crate) app: String,
    /// The number of the first release
    pub(crate) before: u64,
    /// The number of the second release
    pub(crate) after: u64,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `roadbed rollback`.
#[derive(Debug, Args)]
pub(crate) struct Rollback {
    /// The app
    pub(crate) app: String,
    /// The release to go back to [default: the one that ran before]
    #[arg(long, value_name = "N")]
    pub(crate) to: Option<u64>,
}

/// How much a server keeps of releases that do not run.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Kept {
    /// How many releases of an app are kept, from 1 to 25 [default: as many as the last server kept,
    /// else 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=25))]
    pub(crate) keep_releases: Option<u16>,
    /// How much of the disk releases may take, such as 10GiB; what runs and what ran before always
    /// stays [default: as the last server had it, else 10GiB]
    #[arg(long, value_name = "SIZE", value_parser = spec::parse_size)]
    pub(crate) releases_disk: Option<u64>,
}

impl Kept {
    /// What is kept where `remembered` was before, which is not asked for if all is said.
    ///
    /// # Errors
    /// It is asked for, and fails.
    pub(crate) fn or_else<E>(
        self,
        remembered: impl FnOnce() -> Result<KeptReleases, E>,
    ) -> Result<KeptReleases, E> {
        if let (Some(count), Some(bytes)) = (self.keep_releases, self.releases_disk) {
            return Ok(KeptReleases { count, bytes });
        }
        let remembered = remembered()?;
        Ok(KeptReleases {
            count: self.keep_releases.unwrap_or(remembered.count),
            bytes: self.releases_disk.unwrap_or(remembered.bytes),
        })
    }
}

/// `roadbed status`.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Only this app
    pub(crate) app: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `roadbed top`.
#[derive(Debug, Args)]
pub(crate) struct Top {
    /// How long each picture looks back, from 100ms to 1h
    #[arg(long, short, value_name = "TIME", default_value = "2s", value_parser = interval)]
    pub(crate) interval: Duration,
    /// Show one picture and end; so it is without a terminal
    #[arg(long)]
    pub(crate) once: bool,
    /// Print one JSON object for each interval
    #[arg(long)]
    pub(crate) json: bool,
}

/// `roadbed logs`.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The app, or one service of it
    #[arg(value_name = "APP[/SERVICE]", required_unless_present = "access")]
    pub(crate) of: Option<String>,
    /// Show the access log instead: a line for each request, also those that no service got
    #[arg(long)]
    pub(crate) access: bool,
    /// Go on with what is written from now on
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only the last N lines of what is there already
    #[arg(long, short = 'n', value_name = "N")]
    pub(crate) tail: Option<usize>,
    /// Only lines that are not older than this, such as 90s, 15m or 2h
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub(crate) since: Option<Duration>,
    /// Begin each line with its time
    #[arg(long, short)]
    pub(crate) timestamps: bool,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// `roadbed down`.
#[derive(Debug, Args)]
#[command(override_usage = "roadbed down [OPTIONS] <APP | --all>")]
pub(crate) struct Down {
    /// The app to stop
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub(crate) app: Option<String>,
    /// Stop every app, and then the server and its proxy
    #[arg(long)]
    pub(crate) all: bool,
}

/// `roadbed doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `roadbed server`.
#[derive(Debug, Args)]
pub(crate) struct Server {
    /// Where the edge listens; others than this machine can reach it only if it is another address
    /// than 127.0.0.1 [default: where the last server had it, else 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = edge)]
    pub(crate) edge: Option<SocketAddr>,
    /// Where the edge listens for TLS, to serve hosts that have a certificate [default: where the
    /// last server had it, else port 8443 beside the edge, or 443 beside port 80]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = edge)]
    pub(crate) edge_tls: Option<SocketAddr>,
    /// Whose word is taken on where requests come from, of those in front of the edge: ranges such
    /// as 10.0.0.0/8 with commas between them, or none [default: as the last server, else none]
    #[arg(long, value_name = "RANGES")]
    pub(crate) trusted_hops: Option<TrustedHops>,
    /// Where the proxy shows what it measures, an address of this machine alone [default: where the
    /// last server had it, else 127.0.0.1:9700]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = loopback)]
    pub(crate) metrics: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) telemetry: Telemetry,
    #[command(flatten)]
    pub(crate) kept: Kept,
    /// Leave the terminal of whoever started it
    #[arg(long, hide = true)]
    pub(crate) background: bool,
}

/// `roadbed proxy`.
#[derive(Debug, Args)]
pub(crate) struct Proxy {
    /// Worker threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) workers: Option<u16>,
    /// Where it shows what it measures [default: nowhere]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = loopback)]
    pub(crate) metrics: Option<SocketAddr>,
}

/// Reads an address with a port that can be told to others.
fn edge(text: &str) -> Result<SocketAddr, String> {
    let edge: SocketAddr = text
        .parse()
        .map_err(|_| "an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080".to_owned())?;
    match edge.port() {
        0 => Err("port 0 is none that others could know".to_owned()),
        _ => Ok(edge),
    }
}

/// Reads an address with a port that only this machine can reach.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address = edge(text)?;
    match address.ip().is_loopback() {
        true => Ok(address),
        false => Err("it is for this machine alone, as 127.0.0.1 is".to_owned()),
    }
}

/// Reads where spans are sent.
fn traces(text: &str) -> Result<Traces, String> {
    match text {
        "off" => Ok(Traces::Off),
        url => url
            .parse()
            .map(Traces::To)
            .map_err(|error: model::telemetry::BadCollector| error.to_string()),
    }
}

/// Reads a time such as 500ms, 2s or 1m.
fn interval(text: &str) -> Result<Duration, String> {
    let milliseconds = match text.strip_suffix("ms") {
        Some(number) => number.parse().ok().map(Duration::from_millis),
        None => age(text).ok(),
    };
    let bounds = Duration::from_millis(100)..=Duration::from_secs(3600);
    milliseconds
        .filter(|time| bounds.contains(time))
        .ok_or_else(|| "a time from 100ms to 1h, such as 2s".to_owned())
}

/// Reads `90s`, `15m`, `2h` or `3d`.
fn age(text: &str) -> Result<Duration, String> {
    let problem = || "a whole number with s, m, h or d, such as 15m".to_owned();
    let unit = text.chars().next_back().ok_or_else(problem)?;
    let number: u64 = text[..text.len() - unit.len_utf8()]
        .parse()
        .map_err(|_| problem())?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(problem()),
    };
    number
        .checked_mul(seconds)
        .map(Duration::from_secs)
        .ok_or_else(problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn an_edge_has_an_address_and_a_port() {
        assert!(edge("0.0.0.0:80").is_ok() && edge("[::1]:80").is_ok());
        for bad in [
            "",
            "8080",
            ":8080",
            "localhost:8080",
            "127.0.0.1",
            "127.0.0.1:0",
        ] {
            assert!(edge(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn spans_go_to_a_collector_or_nowhere() {
        assert_eq!(traces("off"), Ok(Traces::Off));
        assert!(traces("http://127.0.0.1:4318").is_ok());
        assert!(traces("https://example.com").is_err());
    }

    #[test]
    fn an_interval_is_neither_none_nor_for_ever() {
        assert_eq!(interval("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(interval("2s"), Ok(Duration::from_secs(2)));
        for bad in ["0s", "99ms", "2h", "2", "ms", "-1s", ""] {
            assert!(interval(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ages_are_read() {
        assert_eq!(age("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(age("2h"), Ok(Duration::from_secs(7200)));
        for bad in ["", "s", "15", "-1m", "1.5h", "15é", "99999999999999999999d"] {
            assert!(age(bad).is_err(), "{bad:?}");
        }
    }
}

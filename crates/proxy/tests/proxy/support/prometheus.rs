//! The real Prometheus, which reads what the proxy shows.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::Client;
use super::{PATIENCE, Proxy, free_address};

/// A Prometheus that reads one proxy; it is killed when this is dropped.
pub(crate) struct Prometheus {
    address: SocketAddr,
    _folder: tempfile::TempDir,
    _process: Proxy,
}

impl Prometheus {
    /// One that reads what is shown at `metrics`; none, and a line that says so, where it is not
    /// installed.
    pub(crate) fn reading(metrics: SocketAddr, arguments: &[&str]) -> Option<Self> {
        let mut command = program("reading metrics", "prometheus")?;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("prometheus.yml");
        let config = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\nscrape_configs:\n\
             - job_name: roadbed\n  static_configs: [{{ targets: ['{metrics}'] }}]\n"
        );
        std::fs::write(&file, config).unwrap();
        let address = free_address();
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.path().display()));
        command.arg(format!("--web.listen-address={address}"));
        let command = command.args(arguments).stderr(Stdio::null());
        let child = command.stdout(Stdio::null()).spawn().unwrap();
        Some(Self {
            address,
            _folder: folder,
            _process: Proxy(child),
        })
    }

    /// What it answers to a query: labels and value of each series, as its API has them.
    pub(crate) fn query(&self, query: &str) -> Vec<Value> {
        let mut encoded = String::new();
        for byte in query.bytes() {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        if std::net::TcpStream::connect(self.address).is_err() {
            return Vec::new();
        }
        let mut client = Client::connect(self.address);
        let address = self.address;
        client.send(format!(
            "GET /api/v1/query?query={encoded} HTTP/1.0\r\nHost: {address}\r\n\r\n"
        ));
        let said = String::from_utf8_lossy(&client.rest().0).into_owned();
        let body = said.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        // While it starts it answers in words.
        let answer: Value = serde_json::from_str(body).unwrap_or_default();
        answer["data"]["result"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    }

    /// The one number that it answers to a query; none while it has none.
    pub(crate) fn number(&self, query: &str) -> Option<f64> {
        let found = self.query(query);
        assert!(found.len() <= 1, "{query}: {found:?}");
        found.first()?["value"][1].as_str()?.parse().ok()
    }

    /// Waits until a query is answered with this number.
    #[track_caller]
    pub(crate) fn expect(&self, query: &str, number: f64) {
        let deadline = Instant::now() + PATIENCE * 3;
        while self.number(query) != Some(number) {
            assert!(
                Instant::now() < deadline,
                "{query} is not {number}: {:?}",
                self.query(query)
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// A command of the machine; none, and a line that says so, where it is not there.
pub(crate) fn program(what: &str, name: &str) -> Option<Command> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    if !found {
        eprintln!("LEFT OUT: {what}, since {name} is not installed");
    }
    found.then(|| Command::new(name))
}

//! The contenders and the instances behind each, all running.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bench::Report;

use super::contender::{self, Contender};
use super::scenario::Scenario;
use super::{WARM_UP, load};
use crate::client::Connection;
use crate::peers::member::Conduct;
use crate::peers::{HOST, Kind, Process, program};
use crate::pinning::{LOAD_CORE, PROXY_CORE, pinned};
use crate::platform::{LONG, Platform, Workbench, free_address};

/// How many instances there are.
pub(super) const MEMBERS: usize = 10;

/// The instances that one contender has.
#[derive(Debug, Clone)]
pub(super) struct Members(Vec<SocketAddr>);

/// All that runs. It ends when this is dropped.
pub(super) struct Fleets {
    ports: BTreeMap<&'static str, (u16, Members)>,
    _processes: Vec<Process>,
    _platforms: Vec<Platform>,
    _folder: tempfile::TempDir,
}

impl Members {
    /// Has one do so from now on.
    pub(super) fn tell(&self, member: usize, conduct: Conduct) -> Result<()> {
        self.ask(member, &conduct.path()).map(drop)
    }

    /// Has one go away at once, with all that it does, and come back after a while.
    pub(super) fn leave(&self, member: usize, away: Duration) -> Result<()> {
        let path = format!("/away/{}", away.as_millis());
        // It may be gone before it has said so.
        let _ = self.ask(member, &path);
        let start = Instant::now();
        while self.ask(member, "/asked").is_ok() {
            ensure!(start.elapsed() < LONG, "an instance does not go away");
        }
        Ok(())
    }

    /// How many requests all of them have been asked.
    fn asked(&self) -> Result<u64> {
        let each = (0..self.0.len()).map(|member| {
            let asked = String::from_utf8(self.ask(member, "/asked")?)?;
            asked.parse::<u64>().context("no number")
        });
        each.sum()
    }

    fn ask(&self, member: usize, path: &str) -> Result<Vec<u8>> {
        let mut connection = Connection::open(self.0[member], Duration::from_secs(2))?;
        let (head, body) = connection.get(HOST, path)?;
        ensure!(
            head.status == 200,
            "{path} is answered with {}",
            head.status
        );
        Ok(body)
    }

    /// Waits until all are there, and has all do so.
    fn reset(&self, conduct: Conduct) -> Result<()> {
        let start = Instant::now();
        for member in 0..self.0.len() {
            while let Err(error) = self.tell(member, conduct) {
                ensure!(start.elapsed() < LONG, "an instance is away: {error:#}");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }
}

impl Fleets {
    /// Starts everything. Other proxies have the instances of the first Roadbed, which is always
    /// started: it starts them.
    pub(super) fn start(workbench: &Workbench, contenders: &[&'static Contender]) -> Result<Self> {
        let folder = workbench.temporary_folder()?;
        let mut fleets = Self {
            ports: BTreeMap::new(),
            _processes: Vec::new(),
            _platforms: Vec::new(),
            _folder: folder,
        };
        let usual = &contender::ALL[0];
        let shared = fleets.start_roadbed(workbench, usual)?;
        for contender in contenders {
            match contender.kind {
                Kind::Roadbed if contender.name == usual.name => {}
                Kind::Roadbed => drop(fleets.start_roadbed(workbench, contender)?),
                _ => fleets.start_peer(contender, &shared)?,
            }
        }
        Ok(fleets)
    }

    fn start_roadbed(
        &mut self,
        workbench: &Workbench,
        contender: &'static Contender,
    ) -> Result<Members> {
        let app = self._folder.path().join(contender.name);
        fs::create_dir(&app)?;
        let own = std::env::current_exe().context("finding this program")?;
        let own = own.display();
        let declares = contender.declares;
        fs::write(
            app.join("roadbed.toml"),
            format!(
                "app = \"fleet\"\n\n[services.member]\n\
                 run = \"taskset -c {LOAD_CORE} {own} member\"\nreplicas = {MEMBERS}\n{declares}\
                 health = {{ tcp = true, interval = \"1s\", timeout = \"900ms\" }}\n\
                 expose = {{ host = \"{HOST}\" }}\n"
            ),
        )?;
        let platform = Platform::new(workbench)?.on_core(PROXY_CORE);
        platform.up(&app)?;
        let status = platform.status()?;
        let addresses = status.instances().map(|instance| instance.address.parse());
        let members = Members(addresses.collect::<Result<_, _>>()?);
        ensure!(
            members.0.len() == MEMBERS,
            "there are not {MEMBERS} instances"
        );
        let port = platform.edge.port();
        self.ports.insert(contender.name, (port, members.clone()));
        self._platforms.push(platform);
        Ok(members)
    }

    fn start_peer(&mut self, contender: &'static Contender, members: &Members) -> Result<()> {
        let listen = free_address()?;
        let folder: &Path = self._folder.path();
        let (file, text) = match contender.kind {
            Kind::Haproxy => ("haproxy.cfg", contender::haproxy(listen, &members.0)),
            _ => (
                "envoy.json",
                contender::envoy(listen, &members.0).to_string(),
            ),
        };
        let file = folder.join(file);
        fs::write(&file, text)?;
        let mut command = pinned(PROXY_CORE);
        command.arg(program(contender.kind)?);
        command.args(contender::words(contender.kind, &file));
        let process = Process::start(&mut command, listen, folder)
            .with_context(|| format!("starting {}", contender.name))?;
        let members = members.clone();
        self.ports.insert(contender.name, (listen.port(), members));
        self._processes.push(process);
        Ok(())
    }

    /// Plays a scenario for so many seconds to a contender: what became of the requests, and how often
    /// its instances were asked.
    pub(super) fn run(
        &self,
        contender: &Contender,
        scenario: &Scenario,
        seconds: usize,
    ) -> Result<(Report, u64)> {
        let (port, members) = &self.ports[contender.name];
        members.reset(scenario.conduct)?;
        let warm = load(*port, scenario).start()?;
        std::thread::sleep(WARM_UP);
        let asked = members.asked()?;
        drop(warm.stop());
        let between = members.asked()?;
        let measured = load(*port, scenario).start()?;
        let end = Instant::now() + Duration::from_secs(seconds as u64);
        (scenario.play)(members, end)?;
        std::thread::sleep(end.saturating_duration_since(Instant::now()));
        let report = measured.stop();
        members.reset(Conduct::WELL)?;
        ensure!(
            between >= asked,
            "instances have forgotten what they were asked"
        );
        Ok((report, members.asked()? - between))
    }
}

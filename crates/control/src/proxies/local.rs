//! This node's own proxy as a process: found if it runs, started if not.
//!
//! Its shim starts it again whenever it ends, also while no server runs. So all that is left to
//! do here is to see that there is such a shim.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::{Command, Exit};
use runner::{AdoptError, Adopted, Launch, Process, Processes, Restart, UnitName};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use crate::instances::base_environment;
use crate::settings::{LOG_FILTER_VARIABLE, Settings};

/// Its only attempt: restarts are its shim's.
const ATTEMPT: u32 = 1;
/// How long it may finish what is in flight when it is told to stop.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// How long it is waited for: its shim ends it by force after [`STOP_LIMIT`], unless the shim hangs
/// itself.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// The pause before another look for one of which nothing could be said.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long to wait before starting it again when even its shim is gone.
const PAUSE: Duration = Duration::from_millis(200);

/// The proxy of this node.
pub(crate) struct LocalProxy {
    runs: Arc<AtomicBool>,
    stop: watch::Sender<bool>,
}

impl LocalProxy {
    /// The unit under which it runs, and its attempt.
    pub(crate) fn unit() -> (UnitName, u32) {
        (
            UnitName::new("proxy").expect("a constant that is a unit's name"),
            ATTEMPT,
        )
    }

    /// Sees to it that a proxy runs, now and as long as the server does.
    pub(crate) fn start(processes: Arc<Processes>, settings: &Settings, wake: Arc<Notify>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let runs = Arc::new(AtomicBool::new(true));
        let launch = launch(settings);
        tokio::spawn(keep(processes, launch, Arc::clone(&runs), stopped, wake));
        Self { runs, stop }
    }

    /// Whether it has a process, as far as is known.
    pub(crate) fn runs(&self) -> bool {
        self.runs.load(Ordering::Relaxed)
    }

    /// Has it finish what is in flight and end, and waits until it has, or for as long as that should
    /// take at most: who waits for the server must not do so for ever.
    pub(crate) async fn stop(&self) {
        self.stop.send_replace(true);
        if timeout(STOP_PATIENCE, self.stop.closed()).await.is_err() {
            tracing::error!(limit = ?STOP_PATIENCE, "the proxy has not ended; it is left behind");
        }
    }
}

/// That of every process, and how much is logged, which is asked of server and proxy alike.
fn environment() -> BTreeMap<String, String> {
    let mut environment = base_environment();
    if let Ok(filter) = std::env::var(LOG_FILTER_VARIABLE) {
        environment.insert(LOG_FILTER_VARIABLE.to_owned(), filter);
    }
    environment
}

fn launch(settings: &Settings) -> Launch {
    let home = settings.home.path();
    let words = vec![
        settings.program.display().to_string(),
        "proxy".into(),
        "--home".into(),
        home.display().to_string(),
        "--metrics".into(),
        settings.metrics.to_string(),
    ];
    // Words are expanded from the environment; a dollar sign in a path is meant as one.
    let words = words
        .into_iter()
        .map(|word| word.replace('$', "$$"))
        .collect();
    let (unit, attempt) = LocalProxy::unit();
    Launch {
        unit,
        attempt,
        command: Command::new(words).expect("the program's path is not empty"),
        folder: home.to_owned(),
        environment: environment(),
        stop_limit: STOP_LIMIT,
        logs: settings.home.proxy_logs(),
        restart: Restart::Always,
    }
}

/// Holds `stopped` until the proxy has ended for good, by which [`LocalProxy::stop`] knows.
async fn keep(
    processes: Arc<Processes>,
    launch: Launch,
    runs: Arc<AtomicBool>,
    mut stopped: watch::Receiver<bool>,
    wake: Arc<Notify>,
) {
    while !*stopped.borrow() {
        match find_or_launch(&processes, &launch).await {
            Ok(process) => {
                runs.store(true, Ordering::Relaxed);
                let exit = tokio::select! {
                    exit = process.exited() => exit,
                    () = told_to_stop(&mut stopped) => {
                        end(&process).await
                    }
                };
                tracing::warn!(cause = %exit.cause, "the proxy and its shim ended");
            }
            Err(error) => {
                tracing::error!(%error, "the proxy cannot be started");
                // One of which nothing could be said may serve all the same.
                if error.may_run {
                    sleep(LOOK_AGAIN).await;
                    continue;
                }
            }
        }
        runs.store(false, Ordering::Relaxed);
        wake.notify_one();
        if let Err(error) = processes.forget(&launch.unit, launch.attempt).await {
            tracing::warn!(%error, "the proxy's unit folder is left behind");
        }
        if !*stopped.borrow() {
            sleep(PAUSE).await;
        }
    }
}

/// Tells the proxy to stop, again and again where the system refuses that, until it has ended.
async fn end(process: &Process) -> Exit {
    while let Err(error) = process.stop() {
        tracing::error!(%error, "the proxy cannot be told to stop; trying on");
        tokio::select! {
            exit = process.exited() => return exit,
            () = sleep(LOOK_AGAIN) => {}
        }
    }
    process.exited().await
}

async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    if stopped.wait_for(|stop| *stop).await.is_err() {
        // The server is ending without its proxy; nobody can give the word any more.
        std::future::pending().await
    }
}

/// Why there is no proxy.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
struct NoProxy {
    error: String,
    /// It may run all the same.
    may_run: bool,
}

impl NoProxy {
    fn certain(error: impl ToString) -> Self {
        Self {
            error: error.to_string(),
            may_run: false,
        }
    }
}

async fn find_or_launch(processes: &Processes, launch: &Launch) -> Result<Process, NoProxy> {
    match processes.adopt(&launch.unit, launch.attempt).await {
        Ok(Adopted::Running(process)) => return Ok(process),
        Ok(Adopted::Ended(_) | Adopted::Lost(_)) => {
            let forgotten = processes.forget(&launch.unit, launch.attempt).await;
            forgotten.map_err(NoProxy::certain)?;
        }
        // Of the first one there is nothing yet.
        Err(AdoptError::Unknown(_)) => {}
        Err(error) => {
            return Err(NoProxy {
                error: error.to_string(),
                may_run: true,
            });
        }
    }
    processes.launch(launch).await.map_err(NoProxy::certain)
}

//! The server from its start to its end: takes its home, opens the store, finds what runs,
//! serves the API and reconciles.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use runner::{Processes, UnitName};
use store::{EmbeddedStore, Revision, Store, StoreError};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::timeout;

use crate::api::{self, Context, Peer, ShutdownRequest};
use crate::clock::Clock;
use crate::credentials::Watcher;
use crate::home::{HomeError, HomeLock};
use crate::instances::Instances;
use crate::proxies::{self, LocalProxy, Proxies, bind_private};
use crate::reconcile::Reconciler;
use crate::releases::{Collector, ReleaseFiles, restore};
use crate::settings::Settings;
use crate::state::{State, StateError, keys};
use crate::status::Status;

/// How long the API waits for a first status. A slow disk must not keep it from answering at all.
const LONGEST_FIRST_STATUS: Duration = Duration::from_secs(5);

/// Why a server did not start or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its home cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Its store cannot be opened or read.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A record in the store cannot be read.
    #[error("{0}")]
    State(String),
    /// The files of releases cannot be kept.
    #[error("the files of releases cannot be kept: {0}")]
    Contents(#[from] artifacts::ContentError),
    /// A socket cannot be opened.
    #[error("cannot listen on {path}: {source}")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The task that does the work ended, which it never should; its panic is in the log.
    #[error("the server can do no more work; its log has the reason")]
    ReconcilerLost,
    /// The operating system refused something that every server needs.
    #[error("cannot {doing}: {source}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// Its answer.
        source: io::Error,
    },
}

impl StartError {
    /// What to do next, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Home(error) => error.hint(),
            Self::Store(StoreError::NoSpace { .. }) => {
                Some("free some space on that disk, or choose another folder with --home")
            }
            Self::Store(_) | Self::State(_) => {
                Some("apps run on without it; keep a copy of the home before you try to mend it")
            }
            Self::Contents(_) | Self::Socket { .. } => {
                Some("look at the folder's permissions and free space")
            }
            Self::ReconcilerLost => {
                Some("start it again with `roadbed server`; apps run on meanwhile")
            }
            Self::System { .. } => None,
        }
    }
}

impl From<StateError> for StartError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Store(error) => Self::Store(error),
            other => Self::State(other.to_string()),
        }
    }
}

/// Runs a server until it is told to end by a signal (apps and proxy run on) or by the API.
///
/// # Errors
/// Something that a server needs cannot be had. What ran before runs on.
pub async fn run(settings: Settings, lock: HomeLock) -> Result<(), StartError> {
    let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(&settings.home.store_file())?);
    let mut state = State::new(Arc::clone(&store), settings.home.clone());
    let files = ReleaseFiles::open(settings.home.clone())?;
    state.load().await?;

    let wake = Arc::new(Notify::new());
    let processes =
        Processes::new(settings.home.path(), settings.program.clone()).map_err(|source| {
            StartError::System {
                doing: "use the folder of processes",
                source,
            }
        })?;
    let processes = Arc::new(processes);
    // Before anything is started: what cannot be reached should not begin.
    let api_listener = listen_for_clients(&settings)?;
    sweep(&processes, &state).await;
    restore(&files, state.in_use());
    let local_proxy = Arc::new(LocalProxy::start(
        Arc::clone(&processes),
        &settings,
        Arc::clone(&wake),
    ));
    let instances = Instances::new(
        Arc::clone(&processes),
        settings.home.clone(),
        Arc::clone(&wake),
    );
    let proxies = Proxies::new(state.generation, Arc::clone(&wake));
    let (published, registry) = proxies.share();
    let (status, status_seen) = watch::channel(Arc::new(Status::default()));
    let clock = Clock::start();
    let watcher = Watcher::start(Arc::clone(&wake)).map_err(|source| StartError::System {
        doing: "start a thread",
        source,
    })?;
    let mut reconciler = Reconciler {
        state,
        instances,
        proxies,
        local_proxy: Arc::clone(&local_proxy),
        files: Arc::clone(&files),
        watcher,
        settings: settings.clone(),
        clock,
        desired_changed: watch_desired(Arc::clone(&store), Arc::clone(&wake)).await?,
        wake,
        status,
        listeners_failing: Default::default(),
        proxy_absent_since: None,
        without_proxy_since: None,
        waits: Default::default(),
        trouble: None,
    };
    // A proxy that connected before the first snapshot is known would be sent an empty one.
    reconciler.resume().await?;
    let socket = settings.home.proxies_socket();
    proxies::listen(&socket, published, Arc::clone(&registry)).map_err(|source| {
        StartError::Socket {
            path: socket,
            source,
        }
    })?;

    let collector = Collector {
        files: Arc::clone(&files),
        store: Arc::clone(&store),
        kept: settings.kept,
        wake: Arc::clone(&reconciler.wake),
        before: Default::default(),
    };
    tokio::spawn(collector.run());
    let (shutdown, mut ended) = mpsc::channel(1);
    let mut reconciling = tokio::spawn(reconciler.run());
    let mut first_status = status_seen.clone();
    // The API answers with a status, so there should be one.
    match timeout(LONGEST_FIRST_STATUS, first_status.changed()).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => return Err(StartError::ReconcilerLost),
        Err(_) => tracing::warn!("there is no status yet; until there is, no app is shown"),
    }
    let context = Context {
        store,
        status: status_seen,
        settings: Arc::new(settings.clone()),
        clock,
        deploying: Default::default(),
        registry,
        files: Arc::clone(&files),
        shutdown,
    };
    serve_api(api_listener, context);
    let request = tokio::select! {
        request = until_told(&mut ended) => request?,
        // It runs for ever: it panicked, and the log has why. Whoever started this server starts
        // another, which finds everything as it is.
        _ = &mut reconciling => return Err(StartError::ReconcilerLost),
    };
    reconciling.abort();
    if request.with_proxy {
        local_proxy.stop().await;
        settings.home.forget_addresses();
    }
    for socket in [settings.socket, settings.home.proxies_socket()] {
        if let Err(error) = std::fs::remove_file(&socket) {
            tracing::warn!(%error, socket = %socket.display(), "a socket is left behind");
        }
    }
    tracing::info!("the server ends");
    drop(lock);
    Ok(())
}

/// Ends processes and removes folders of units that no record speaks of.
async fn sweep(processes: &Processes, state: &State) {
    let instances = state.instances.values();
    let keep = instances
        .map(|record| (UnitName::from(&record.id), record.attempt))
        .chain([LocalProxy::unit()])
        .collect();
    match processes.sweep(&keep).await {
        Ok(swept) => tracing::info!(?swept, "swept what an earlier server left behind"),
        Err(error) => tracing::error!(%error, "cannot sweep what an earlier server left behind"),
    }
}

/// Wakes the reconciler whenever something that the API writes has changed.
async fn watch_desired(
    store: Arc<dyn Store>,
    wake: Arc<Notify>,
) -> Result<watch::Receiver<()>, StoreError> {
    let (changed, seen) = watch::channel(());
    let after = store.list(keys::DESIRED).await?.revision;
    let mut watch = store.watch(keys::DESIRED, after).await?;
    tokio::spawn(async move {
        loop {
            if watch.next().await.is_err() {
                // Fell behind: everything is read again anyway, so begin anew from now.
                match begin_anew(&*store).await {
                    Ok(anew) => watch = anew,
                    Err(error) => {
                        tracing::error!(%error, "cannot watch the store; trying again");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        continue;
                    }
                }
            }
            changed.send_replace(());
            wake.notify_one();
        }
    });
    Ok(seen)
}

async fn begin_anew(store: &dyn Store) -> Result<store::Watch, StoreError> {
    let after: Revision = store.list(keys::DESIRED).await?.revision;
    store.watch(keys::DESIRED, after).await
}

fn listen_for_clients(settings: &Settings) -> Result<UnixListener, StartError> {
    let path = settings.socket.clone();
    bind_private(&path).map_err(|source| StartError::Socket { path, source })
}

fn serve_api(listener: UnixListener, context: Context) {
    let service = api::router(context).into_make_service_with_connect_info::<Peer>();
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, service).await {
            tracing::error!(%error, "the API ended");
        }
    });
}

/// Waits for a signal, by which apps and proxy run on, or for a request.
async fn until_told(
    requests: &mut mpsc::Receiver<ShutdownRequest>,
) -> Result<ShutdownRequest, StartError> {
    let on = |kind, doing| signal(kind).map_err(|source| StartError::System { doing, source });
    let mut terminate = on(SignalKind::terminate(), "await SIGTERM")?;
    let mut interrupt = on(SignalKind::interrupt(), "await SIGINT")?;
    let alone = ShutdownRequest { with_proxy: false };
    Ok(tokio::select! {
        _ = terminate.recv() => alone,
        _ = interrupt.recv() => alone,
        request = requests.recv() => request.unwrap_or(alone),
    })
}

//! The control thread: takes snapshots from the server, binds listeners, has every worker follow,
//! saves, and only then acknowledges. It serves no request.

mod busy;
mod link;
mod listening;
mod measuring;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::snapshot::Changes;
use model::{Generation, ListenerId, Snapshot, SnapshotDelta};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender};
use tokio::time::MissedTickBehavior;

use self::busy::Busy;
use self::link::{LinkEvent, Writer};
use self::listening::{Listening, Opened};
use crate::failure::StartError;
use crate::limits::REBIND_INTERVAL;
use crate::measure::admin::Admin;
use crate::messages::{Command, Event};
use crate::persist::SnapshotFiles;
use crate::protocol::{FromProxy, PROTOCOL, ToProxy};
use crate::settings::Settings;
use crate::telemetry::threads::FarEnd;
use crate::tls::{self, Trust};

/// Everything that the control thread holds.
pub(crate) struct Control {
    files: SnapshotFiles,
    snapshot: Snapshot,
    /// Whether `snapshot` is one that was loaded or received.
    has_snapshot: bool,
    /// `snapshot` could not be saved; nothing is acknowledged before it is.
    unsaved: bool,
    listening: Listening,
    tls: tls::Keeper,
    busy: Busy,
    workers: Vec<UnboundedSender<Command>>,
    events: UnboundedReceiver<(usize, Event)>,
    server: Option<Writer>,
    /// Where is shown what is measured.
    admin: Admin,
    /// The threads that write and send what is said of single requests.
    far_end: FarEnd,
}

impl Control {
    /// Control of `workers`, which report to `events`, beginning with what was saved.
    pub(crate) fn new(
        files: SnapshotFiles,
        workers: Vec<UnboundedSender<Command>>,
        events: UnboundedReceiver<(usize, Event)>,
        tls: tls::Keeper,
        (metrics, far_end): (Option<SocketAddr>, FarEnd),
    ) -> Self {
        Self {
            files,
            snapshot: Snapshot::default(),
            has_snapshot: false,
            unsaved: false,
            listening: Listening::new(workers.len()),
            tls,
            busy: Busy::new(workers.len()),
            workers,
            events,
            server: None,
            admin: Admin::new(metrics),
            far_end,
        }
    }

    /// Serves from `saved` at once, then follows the server, until the process is told to stop.
    /// `on_drain` is called when nothing is accepted any more.
    pub(crate) async fn run(
        mut self,
        settings: &Settings,
        saved: Option<Snapshot>,
        on_drain: impl FnOnce(),
    ) -> Result<(), StartError> {
        let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Runtime)?;
        self.admin.listen();
        if let Some(saved) = saved {
            let generation = saved.generation;
            let delta = self.snapshot.delta_to(&saved);
            (self.snapshot, self.has_snapshot) = (saved, true);
            self.distribute(delta).await?;
            tracing::info!(%generation, "serving from the saved snapshot");
        }
        let mut link = link::start(settings.server_socket());
        self.follow(&mut link, &mut terminate).await?;
        drop(link);
        self.drain(settings.limits.drain, on_drain).await;
        Ok(())
    }

    /// Returns when the process is told to stop.
    async fn follow(
        &mut self,
        link: &mut Receiver<LinkEvent>,
        terminate: &mut Signal,
    ) -> Result<(), StartError> {
        let mut retry = tokio::time::interval(REBIND_INTERVAL);
        retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let failing = self.listening.has_failures() || self.admin.is_failing();
            let retrying = self.unsaved || failing;
            tokio::select! {
                _ = terminate.recv() => return Ok(()),
                Some(event) = link.recv() => self.on_link(event).await?,
                Some((worker, event)) = self.events.recv() => self.on_event(worker, event).await?,
                Some(page) = self.admin.asked() => self.show(page).await?,
                _ = retry.tick(), if retrying => self.retry().await?,
            }
        }
    }

    async fn on_link(&mut self, event: LinkEvent) -> Result<(), StartError> {
        match event {
            LinkEvent::Connected(writer) => {
                self.server = Some(writer);
                let generation = self.has_snapshot.then_some(self.snapshot.generation);
                let pid = std::process::id();
                self.tell(FromProxy::Hello {
                    protocol: PROTOCOL,
                    pid,
                    generation,
                })
                .await;
            }
            LinkEvent::Message(message) => match *message {
                ToProxy::Snapshot(snapshot) => self.take_snapshot(snapshot).await?,
                ToProxy::Delta(delta) => self.take_delta(delta).await?,
                ToProxy::Count => self.count().await?,
            },
            LinkEvent::Lost => self.server = None,
        }
        Ok(())
    }

    async fn take_snapshot(&mut self, snapshot: Snapshot) -> Result<(), StartError> {
        let offered = snapshot.generation;
        if self.has_snapshot && offered < self.snapshot.generation {
            self.refuse(offered).await;
            return Ok(());
        }
        // What the server acknowledged once under this number is what it still means.
        if self.has_snapshot && offered == self.snapshot.generation {
            return self.acknowledge_again().await;
        }
        let delta = self.snapshot.delta_to(&snapshot);
        (self.snapshot, self.has_snapshot) = (snapshot, true);
        self.unsaved = true;
        self.distribute(delta).await?;
        self.save_whole();
        self.acknowledge().await;
        Ok(())
    }

    async fn take_delta(&mut self, delta: SnapshotDelta) -> Result<(), StartError> {
        if self.has_snapshot && delta.is_empty() && delta.to == self.snapshot.generation {
            return self.acknowledge_again().await;
        }
        if self.snapshot.apply(&delta).is_err() {
            self.refuse(delta.to).await;
            return Ok(());
        }
        let may_append = self.has_snapshot && !self.unsaved && !self.files.journal_is_long();
        (self.has_snapshot, self.unsaved) = (true, true);
        // It is live before it is on disk, where it takes longer to be.
        self.distribute(delta.clone()).await?;
        self.unsaved = !(may_append && self.append(&delta));
        if self.unsaved {
            self.save_whole();
        }
        self.acknowledge().await;
        Ok(())
    }

    fn append(&mut self, delta: &SnapshotDelta) -> bool {
        let appended = self.files.append(delta);
        if let Err(error) = &appended {
            tracing::warn!(%error, "cannot append to the journal; writing the snapshot whole");
        }
        appended.is_ok()
    }

    fn save_whole(&mut self) {
        match self.files.replace(&self.snapshot) {
            Ok(()) => self.unsaved = false,
            Err(error) => tracing::error!(
                %error, generation = %self.snapshot.generation,
                "cannot save the snapshot; it is served but not acknowledged until it is saved"
            ),
        }
    }

    /// Has every worker follow `delta`, and returns when all do.
    async fn distribute(&mut self, mut delta: SnapshotDelta) -> Result<(), StartError> {
        let trust = self.tls.follow(&delta);
        let opened = self.listening.follow(&mut delta);
        if let Some(telemetry) = &delta.telemetry {
            self.far_end.target.follow(telemetry);
        }
        self.command(delta, opened, trust).await
    }

    async fn command(
        &mut self,
        delta: SnapshotDelta,
        opened: Opened,
        trust: Option<Trust>,
    ) -> Result<(), StartError> {
        let mut shares: Vec<_> = self.workers.iter().map(|_| BTreeMap::new()).collect();
        for (id, duplicates) in opened {
            for (share, duplicate) in shares.iter_mut().zip(duplicates) {
                share.insert(id.clone(), duplicate);
            }
        }
        let delta = Arc::new(delta);
        for (worker, sockets) in self.workers.iter().zip(shares) {
            let command = Command::Apply {
                delta: delta.clone(),
                sockets,
                trust: trust.clone(),
            };
            worker.send(command).map_err(|_| StartError::WorkerLost)?;
        }
        let mut waiting = self.workers.len();
        while waiting > 0 {
            match self.events.recv().await {
                Some((worker, Event::Applied { busy })) => {
                    self.busy.applied(worker, busy);
                    waiting -= 1;
                }
                Some((worker, event)) => self.on_event(worker, event).await?,
                None => return Err(StartError::WorkerLost),
            }
        }
        Ok(())
    }

    async fn on_event(&mut self, worker: usize, event: Event) -> Result<(), StartError> {
        match event {
            // Counted where it was asked for.
            Event::Applied { .. } | Event::Counted { .. } => Ok(()),
            Event::Idle { endpoint } => {
                if let Some(instance) = self.busy.idle(worker, &endpoint) {
                    self.tell(FromProxy::Drained { instance }).await;
                }
                Ok(())
            }
            Event::Ended => Err(StartError::WorkerLost),
        }
    }

    /// Tries again what has failed, and tells the server of what has changed with that.
    async fn retry(&mut self) -> Result<(), StartError> {
        self.admin.listen();
        let was_unsaved = self.unsaved;
        if was_unsaved {
            self.save_whole();
        }
        let opened = self.listening.retry();
        let any_opened = !opened.is_empty();
        if any_opened {
            let listeners = &self.snapshot.listeners;
            let set = opened.keys().filter_map(|id| listeners.get_key_value(id));
            let set = set
                .map(|(id, listener)| (id.clone(), listener.clone()))
                .collect();
            self.command(self.unchanged(set), opened, None).await?;
        }
        if was_unsaved || any_opened {
            self.acknowledge().await;
        }
        Ok(())
    }

    /// Acknowledges the snapshot once more, with what is busy now.
    async fn acknowledge_again(&mut self) -> Result<(), StartError> {
        let nothing = self.unchanged(BTreeMap::new());
        self.command(nothing, Opened::new(), None).await?;
        self.acknowledge().await;
        Ok(())
    }

    /// A delta for the workers that changes nothing but what is done for `listeners`.
    fn unchanged(&self, listeners: BTreeMap<ListenerId, model::Listener>) -> SnapshotDelta {
        let nothing = self.snapshot.generation;
        SnapshotDelta {
            from: nothing,
            to: nothing,
            listeners: Changes {
                set: listeners,
                removed: Default::default(),
            },
            routes: Changes::default(),
            upstreams: Changes::default(),
            certificates: Changes::default(),
            authorities: Changes::default(),
            error_pages: Changes::default(),
            telemetry: None,
        }
    }

    async fn acknowledge(&mut self) {
        if self.unsaved || !self.has_snapshot {
            return;
        }
        let (busy, drained) = self.busy.report(&self.snapshot);
        self.tell(FromProxy::Acknowledged {
            generation: self.snapshot.generation,
            listener_failures: self.listening.failures(),
            busy,
        })
        .await;
        for instance in drained {
            self.tell(FromProxy::Drained { instance }).await;
        }
    }

    async fn refuse(&mut self, offered: Generation) {
        let current = self.snapshot.generation;
        tracing::warn!(%offered, %current, "refused a generation that does not follow");
        self.tell(FromProxy::Refused { offered, current }).await;
    }

    /// Says something to the server if it is there. If not, it learns it with the next
    /// acknowledgement.
    async fn tell(&mut self, message: FromProxy) {
        if let Some(server) = &mut self.server
            && let Err(error) = server.send(&message).await
        {
            tracing::warn!(%error, "cannot tell the server; waiting for it to come back");
            self.server = None;
        }
    }

    /// Accepts nothing more and waits, up to `limit`, for what is in flight.
    async fn drain(mut self, limit: Duration, on_drain: impl FnOnce()) {
        tracing::info!(?limit, "stopping: finishing what is in flight");
        self.listening.clear();
        self.admin.close();
        for worker in &self.workers {
            // A worker that has ended has nothing to drain.
            let _ = worker.send(Command::Drain);
        }
        on_drain();
        let mut running = self.workers.len();
        let ended = async {
            while running > 0 {
                match self.events.recv().await {
                    Some((_, Event::Ended)) => running -= 1,
                    Some((worker, event)) => {
                        // Nothing but `Ended` fails.
                        let _ = self.on_event(worker, event).await;
                    }
                    None => return,
                }
            }
        };
        // Workers keep the limit themselves; this is for one that hangs.
        let grace = Duration::from_secs(1);
        if tokio::time::timeout(limit + grace, ended).await.is_err() {
            tracing::error!("a worker did not end in time");
        }
    }
}

/// Blocks this thread in the control loop.
pub(crate) fn run(
    control: Control,
    settings: &Settings,
    saved: Option<Snapshot>,
    on_drain: impl FnOnce(),
) -> Result<(), StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(StartError::Runtime)?;
    runtime.block_on(control.run(settings, saved, on_drain))
}

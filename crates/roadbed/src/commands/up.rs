//! `roadbed up`: from an app's folder to a running app, and back when told to.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use control::file_obstacle;
use control::status::Status;
use runner::logs::{Merged, Selection, Timestamp};
use spec::Loaded;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::api_client::ApiClient;
use crate::arguments::Up;
use crate::commands::log_lines::Form;
use crate::commands::send::send;
use crate::commands::{build, down, request, runtime, watched};
use crate::context::Context;
use crate::failure::Failure;
use crate::follow::{self, AppWatch, plural};
use crate::output::print;
use crate::server_process::{self, Edge};
use crate::terminal::{pass_on, progress};

/// How long the last lines of logs may take to be printed.
const LONGEST_FAREWELL: Duration = Duration::from_secs(2);
/// How often the thread that prints logs looks whether it should end.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) fn run(up: &Up, context: &Context) -> Result<ExitCode, Failure> {
    let app = spec::load(&up.app.path)?;
    let count = app.app.services.len();
    progress(&format!(
        "{}: {count} {} from {}",
        app.app.name,
        plural(count, "service"),
        app.folder.display()
    ));
    runtime()?.block_on(async {
        let mut interrupts = Interrupts::listen()?;
        let mut session = Session {
            client: context.client(),
            context,
            name: app.app.name.to_string(),
            owns_app: false,
            owns_server: false,
            logs: None,
        };
        let outcome = session.bring_up(up, &app, &mut interrupts).await;
        if let (Ok(()), true) = (&outcome, up.detach) {
            return Ok(());
        }
        let outcome = match outcome {
            Ok(()) => session.stay_up(&mut interrupts).await,
            Err(failure) => Err(failure),
        };
        let stopped = tokio::select! {
            stopped = session.stop() => stopped,
            () = interrupts.next() => {
                Err(Failure::new("interrupted again; what is left stops without being watched")
                    .hint("`roadbed status` shows what is left"))
            }
        };
        outcome.and(stopped)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What this command has started, and so has to stop.
struct Session<'a> {
    client: ApiClient,
    context: &'a Context,
    name: String,
    owns_app: bool,
    owns_server: bool,
    /// Prints until all that was started here has stopped.
    logs: Option<LogPrinter>,
}

impl Session<'_> {
    /// An interrupt ends what may take long. What is short is finished, so that it is known what has
    /// been started and is to be stopped again.
    async fn bring_up(
        &mut self,
        up: &Up,
        app: &Loaded,
        interrupts: &mut Interrupts,
    ) -> Result<(), Failure> {
        let edge = self.context.edge(up.edge, up.edge_tls);
        let running = self.client.is_up().await;
        if running {
            self.check_edge_of_running(up).await?;
            request::refuse_early(&self.client, app, true).await?;
        } else {
            self.context.home.check()?;
            let needed = [
                (app.app.is_exposed(), Edge::Plain(edge.plain)),
                (!app.app.certificates().is_empty(), Edge::Tls(edge.tls)),
            ];
            for (_, edge) in needed.into_iter().filter(|(is_needed, _)| *is_needed) {
                server_process::check_edge_before_start(self.context, edge).await?;
            }
            if let Some(error) = file_obstacle(&app.app, &app.folder) {
                return Err(error.into());
            }
        }
        interrupts.or(build::run(app)).await?;
        if !running {
            let metrics = self.context.metrics(up.metrics);
            let trusted = self.context.trusted_hops(up.trusted_hops.as_ref());
            let telemetry = self.context.telemetry(&up.telemetry);
            let start = server_process::start(self.context, edge, &trusted, metrics, &telemetry);
            self.owns_server = start.await?;
        }
        let begun = Timestamp::now();
        let files = interrupts.or(send(&self.client, self.context, app)).await?;
        let answer = request::deploy(&self.client, self.context, app, files, true).await?;
        self.owns_app = true;
        self.logs = (!up.detach).then(|| LogPrinter::start(self.context, &app.app.name, begun));
        let following =
            follow::rollout(&self.client, &self.context.home, &self.name, answer.release);
        let status = interrupts.or(following).await?;
        print(&watched::summary(&status)).map(drop)
    }

    /// An address that was asked for and cannot be given is no detail to pass over.
    async fn check_edge_of_running(&self, up: &Up) -> Result<(), Failure> {
        let wanted = [up.edge, up.edge_tls, up.metrics].map(|wanted| wanted.is_some());
        let names_nothing = !wanted.contains(&true) && up.trusted_hops.is_none();
        if names_nothing && up.telemetry.says_nothing() {
            return Ok(());
        }
        let Status { server, .. } = self.client.get("/v1/status").await?;
        up.telemetry.check_running(&server)?;
        // A proxy that does not say where it is may be where it should be.
        let metrics = server
            .metrics
            .first()
            .map(|metrics| metrics.address.clone());
        let wanted = || up.metrics.map(|address| address.to_string());
        let metrics = metrics.or_else(wanted).unwrap_or_default();
        let addresses = [
            (up.edge, &server.edge, "its edge", "--edge"),
            (
                up.edge_tls,
                &server.edge_tls,
                "its edge for TLS",
                "--edge-tls",
            ),
            (up.metrics, &metrics, "its metrics", "--metrics"),
        ];
        for (wanted, present, name, option) in addresses {
            if wanted.is_some_and(|wanted| wanted.to_string() != *present) {
                let message = format!("a server runs already, with {name} on {present}");
                return Err(Failure::new(message).hint(format!(
                    "leave {option} out, or stop it with `roadbed down --all`"
                )));
            }
        }
        match &up.trusted_hops {
            Some(wanted) if wanted.to_string() != server.trusted_hops => {
                let present = &server.trusted_hops;
                let message = format!("a server runs already, with {present} as trusted hops");
                Err(Failure::new(message).hint(
                    "leave --trusted-hops out, or stop the server and start it with them: apps run on \
                     meanwhile",
                ))
            }
            _ => Ok(()),
        }
    }

    /// Waits for the word to stop, or for somebody else to stop the app.
    async fn stay_up(&mut self, interrupts: &mut Interrupts) -> Result<(), Failure> {
        progress("Ctrl-C stops it");
        let mut watch = AppWatch::new(self.client.clone(), &self.name);
        let taken_down = async {
            loop {
                match watch.next().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return Ok(()),
                    Err(failure) => return Err(failure),
                }
            }
        };
        tokio::select! {
            () = interrupts.next() => Ok(()),
            ended = taken_down => {
                self.owns_app = false;
                ended?;
                progress(&format!("{} was taken down by someone else", self.name));
                Ok(())
            }
        }
    }

    /// Stops what was started here: the app, and the server unless it has other apps by now.
    async fn stop(&self) -> Result<(), Failure> {
        if self.owns_app {
            down::stop_app(&self.client, &self.name).await?;
        }
        if self.owns_server && !down::stop_server(&self.client).await? {
            progress("the server runs on: it has other apps");
        }
        Ok(())
    }
}

/// The user's words to stop: Ctrl-C, or SIGTERM.
struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Interrupts {
    fn listen() -> Result<Self, Failure> {
        let on = |kind| {
            signal(kind).map_err(|error| Failure::new(format!("cannot await signals: {error}")))
        };
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    /// Does something unless a word to stop comes before it is done.
    async fn or<T>(
        &mut self,
        doing: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            done = doing => done,
            () = self.next() => {
                let failure = Failure::new("interrupted before the app was up");
                Err(failure.hint("what this had started is stopped; start it again with `roadbed up`"))
            }
        }
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

/// Prints an app's logs on a thread of its own, since reading them waits for the disk. It ends
/// when dropped, after it has printed what was there by then.
struct LogPrinter {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl LogPrinter {
    fn start(context: &Context, app: &model::AppName, since: Timestamp) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let (root, app, told) = (context.home.logs(), app.clone(), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            if let Err(error) = print_logs(&root, &app, since, &told) {
                progress(&format!("the logs cannot be shown any more: {error}"));
            }
        });
        Self {
            ended,
            thread: Some(thread),
        }
    }
}

impl Drop for LogPrinter {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.ended.store(true, Ordering::Relaxed);
            // It ends by itself, unless whoever should read does not.
            let begun = Instant::now();
            while !thread.is_finished() && begun.elapsed() < LONGEST_FAREWELL {
                std::thread::sleep(LOOK / 10);
            }
        }
    }
}

fn print_logs(
    root: &std::path::Path,
    app: &model::AppName,
    since: Timestamp,
    ended: &AtomicBool,
) -> Result<(), String> {
    let selection = Selection {
        tail: None,
        since: Some(since),
        follow: true,
    };
    let form = Form::beside_progress();
    let mut merged = Merged::open(root, app, None, selection).map_err(|error| error.to_string())?;
    loop {
        let was_ended = ended.load(Ordering::Relaxed);
        if was_ended {
            merged
                .look_everywhere()
                .map_err(|error| error.to_string())?;
        }
        let next = merged.next(Some(LOOK));
        let Some(record) = next.map_err(|error| error.to_string())? else {
            if was_ended {
                return Ok(());
            }
            continue;
        };
        if !pass_on(&form.line(&record, app.as_str())) {
            return Ok(());
        }
    }
}

//! Follows what the server does with an app, and tells it as it happens.

use std::collections::BTreeMap;
use std::time::Duration;

use control::Home;
use control::status::{
    AppIntent, AppStatus, ExitStatus, FailureStatus, InstanceStatus, RolloutPhase, Status,
};
use model::{Exit, InstanceId};
use tokio::time::{Instant, sleep, timeout};

use crate::api_client::{ApiClient, ApiFailure, Lines};
use crate::failure::Failure;
use crate::terminal::progress;

/// How long a server that has gone may take to come back.
const LONGEST_ABSENCE: Duration = Duration::from_secs(30);
/// How long a status may take to show a release that was deployed.
const LONGEST_PUBLICATION: Duration = Duration::from_secs(10);
/// The pause between two attempts to reach it.
const PAUSE: Duration = Duration::from_millis(50);
/// After so long without progress what waits is told.
const QUIET: Duration = Duration::from_secs(2);
/// How many of an instance's last lines are shown when it ends in the middle of a rollout.
const EXCERPT: usize = 5;

/// An app as it changes, across restarts of the server.
pub(crate) struct AppWatch {
    client: ApiClient,
    app: String,
    lines: Option<Lines>,
    /// Since when no server has answered. It outlasts a call that is given up.
    absent_since: Option<Instant>,
}

impl AppWatch {
    pub(crate) fn new(client: ApiClient, app: &str) -> Self {
        Self {
            client,
            app: app.to_owned(),
            lines: None,
            absent_since: None,
        }
    }

    /// The app when it next differs, beginning with how it is now; none if it is not there.
    pub(crate) async fn next(&mut self) -> Result<Option<AppStatus>, Failure> {
        loop {
            if self.lines.is_none() {
                match self
                    .client
                    .lines(&format!("/v1/apps/{}/watch", self.app))
                    .await
                {
                    Ok(lines) => self.lines = Some(lines),
                    Err(ApiFailure::Refused(error)) => return Err(error.into()),
                    Err(failure) => {
                        let since = self.absent_since.get_or_insert_with(|| {
                            progress("the server is away; waiting for it to come back");
                            Instant::now()
                        });
                        if since.elapsed() > LONGEST_ABSENCE {
                            return Err(failure.into());
                        }
                        sleep(PAUSE).await;
                        continue;
                    }
                }
            }
            if let Some(lines) = &mut self.lines
                && let Some(status) = lines.next::<Option<AppStatus>>().await
            {
                self.absent_since = None;
                return Ok(status);
            }
            self.lines = None;
        }
    }
}

/// Follows the rollout of a release to its end. It is a failure if the release fails.
pub(crate) async fn rollout(
    client: &ApiClient,
    home: &Home,
    app: &str,
    release: u64,
) -> Result<AppStatus, Failure> {
    let mut watch = AppWatch::new(client.clone(), app);
    let mut teller = Teller::new(release);
    let mut trouble = Trouble::new();
    let mut last: Option<AppStatus> = None;
    let begun = Instant::now();
    loop {
        trouble.tell(client).await;
        let Ok(next) = timeout(QUIET, watch.next()).await else {
            if let Some(status) = &last {
                teller.tell_waits(status);
            }
            continue;
        };
        let next = next?;
        // A status may be older than the release, for a moment.
        let is_older = next
            .as_ref()
            .is_none_or(|status| status.rollout.release < release);
        if last.is_none() && is_older && begun.elapsed() < LONGEST_PUBLICATION {
            continue;
        }
        let Some(status) = next else {
            let message = format!("{app} was taken down while release {release} was rolled out");
            return Err(Failure::new(message).hint("`roadbed status` lists what runs"));
        };
        if status.rollout.release != release {
            let newer = status.rollout.release;
            let message = format!("release {newer} of {app} has taken the place of {release}");
            return Err(Failure::new(message).hint(format!("`roadbed status {app}` shows it")));
        }
        teller.tell(&status);
        match status.rollout.state {
            RolloutPhase::Progressing => last = Some(status),
            RolloutPhase::Complete => return Ok(status),
            RolloutPhase::Failed => return Err(failed(home, &status)),
        }
    }
}

/// Follows an app until all that should run of it runs, and nothing else; none if it is gone.
pub(crate) async fn settled(client: &ApiClient, app: &str) -> Result<Option<AppStatus>, Failure> {
    let mut watch = AppWatch::new(client.clone(), app);
    let mut teller = Teller::new(0);
    let mut last: Option<AppStatus> = None;
    loop {
        let Ok(next) = timeout(QUIET, watch.next()).await else {
            if let Some(status) = &last {
                teller.tell_waits(status);
            }
            continue;
        };
        let Some(status) = next? else {
            return Ok(None);
        };
        if is_settled(&status) {
            return Ok(Some(status).filter(|status| status.intent == AppIntent::Run));
        }
        last = Some(status);
    }
}

/// Whether all that should run of an app is ready, and nothing else is there.
fn is_settled(status: &AppStatus) -> bool {
    let of_target = format!(".{}.", status.release);
    let runs = status.intent == AppIntent::Run;
    status.services.iter().all(|service| {
        let wanted = if runs {
            usize::from(service.replicas)
        } else {
            0
        };
        let mut instances = service.instances.iter();
        usize::from(service.ready) == wanted
            && service.instances.len() == wanted
            && instances.all(|instance| instance.instance.contains(&of_target))
    })
}

/// Follows an app until it is gone.
pub(crate) async fn gone(client: &ApiClient, app: &str) -> Result<(), Failure> {
    let mut watch = AppWatch::new(client.clone(), app);
    let mut told = 0;
    let mut trouble = Trouble::new();
    let mut last: Option<AppStatus> = None;
    loop {
        trouble.tell(client).await;
        let Ok(next) = timeout(QUIET, watch.next()).await else {
            for wait in last.iter().flat_map(|status| &status.waits) {
                let subject = wait
                    .instance
                    .as_deref()
                    .or(wait.service.as_deref())
                    .unwrap_or(app);
                progress(&format!("  {}: {}", short(subject, app), wait.reason));
            }
            last = None;
            continue;
        };
        let Some(status) = next? else { return Ok(()) };
        let left = status
            .services
            .iter()
            .map(|service| service.instances.len())
            .sum();
        if left != told && left > 0 {
            progress(&format!("  {left} {} left", plural(left, "instance")));
            told = left;
        }
        last = Some(status);
    }
}

/// Why a rollout failed, with all that is known of it.
fn failed(home: &Home, status: &AppStatus) -> Failure {
    let (app, release) = (&status.app, status.rollout.release);
    let unknown = FailureStatus {
        service: None,
        instance: None,
        message: "the server gave no reason".into(),
        last_lines: Vec::new(),
    };
    let why = status.rollout.failure.as_ref().unwrap_or(&unknown);
    let subject = why.instance.as_deref().or(why.service.as_deref());
    let subject = subject
        .map(|subject| format!("{} ", short(subject, app)))
        .unwrap_or_default();
    let after = match status.rollout.reverted_to {
        Some(number) => format!("release {number} goes on running"),
        None => "nothing of it runs any more".to_owned(),
    };
    let message = format!(
        "release {release} of {app} failed: {subject}{}; {after}",
        why.message
    );
    let lines = last_lines(home, why);
    let hint = hint(app, why, !lines.is_empty());
    Failure::new(message).evidence(lines).hint(hint)
}

/// What to do about a rollout that failed.
fn hint(app: &str, why: &FailureStatus, wrote: bool) -> String {
    match (&why.service, &why.instance) {
        (Some(service), Some(_)) if why.last_lines.is_empty() && wrote => format!(
            "`roadbed logs {app}/{service}` shows more; it is called at 127.0.0.1:$PORT, and has to \
             listen there"
        ),
        (Some(service), Some(_)) if wrote => {
            format!("`roadbed logs {app}/{service}` shows what it wrote")
        }
        (Some(service), Some(_)) => {
            format!(
                "it wrote nothing; see `run` of {service} in roadbed.toml, and `roadbed doctor`"
            )
        }
        _ => "`roadbed doctor` looks for the reason".to_owned(),
    }
}

/// The last lines of the instance that failed: the server's, or where its process still ran and
/// so had left none, those of its log.
fn last_lines(home: &Home, why: &FailureStatus) -> Vec<String> {
    if !why.last_lines.is_empty() {
        return why.last_lines.clone();
    }
    let id = why
        .instance
        .as_ref()
        .and_then(|id| id.parse::<InstanceId>().ok());
    let lines = id.map(|id| runner::logs::last_lines(&home.instance_logs(&id), Exit::MOST_LINES));
    // Evidence that cannot be read is no reason to hide the failure itself.
    lines.and_then(Result::ok).unwrap_or_default()
}

/// Tells why the server itself cannot go on, once for each reason. It may write down nothing of
/// what it does then, and try again and again, so this does not wait for it to be quiet.
struct Trouble {
    told: Option<String>,
    looked: Instant,
}

impl Trouble {
    fn new() -> Self {
        Self {
            told: None,
            looked: Instant::now(),
        }
    }

    async fn tell(&mut self, client: &ApiClient) {
        if self.looked.elapsed() < QUIET {
            return;
        }
        self.looked = Instant::now();
        // One that cannot be asked is away, which is told elsewhere.
        let Ok(status) = client.get::<Status>("/v1/status").await else {
            return;
        };
        let trouble = status.server.trouble;
        if let Some(trouble) = trouble.as_ref().filter(|_| trouble != self.told) {
            progress(&format!("  the server is in trouble: {trouble}"));
        }
        self.told = trouble;
    }
}

/// Tells what is new in the statuses of one rollout.
struct Teller {
    release: u64,
    ready: BTreeMap<String, usize>,
    exits: BTreeMap<String, u64>,
    waits: Vec<String>,
}

impl Teller {
    fn new(release: u64) -> Self {
        Self {
            release,
            ready: BTreeMap::new(),
            exits: BTreeMap::new(),
            waits: Vec::new(),
        }
    }

    fn tell(&mut self, status: &AppStatus) {
        use control::status::InstanceState::Ready;
        for service in &status.services {
            let fresh = service
                .instances
                .iter()
                .filter(|i| i.release == self.release);
            let ready = fresh.filter(|instance| instance.state == Ready).count();
            let before = self
                .ready
                .insert(service.service.clone(), ready)
                .unwrap_or(0);
            if ready > before && service.replicas > 0 {
                progress(&format!(
                    "  {}: {ready} of {} ready",
                    service.service, service.replicas
                ));
            }
            for instance in &service.instances {
                self.tell_exit(instance, &status.app);
            }
        }
    }

    fn tell_exit(&mut self, instance: &InstanceStatus, app: &str) {
        let Some(exit) = instance
            .last_exit
            .as_ref()
            .filter(|_| instance.release == self.release)
        else {
            return;
        };
        if self.exits.insert(instance.instance.clone(), exit.at) != Some(exit.at) {
            progress(&format!(
                "  {}: {}",
                short(&instance.instance, app),
                exit.message
            ));
            for line in excerpt(exit) {
                progress(&format!("    | {line}"));
            }
        }
    }

    /// Tells what waits, unless it waited for the same when it was last told.
    fn tell_waits(&mut self, status: &AppStatus) {
        let line = |wait: &control::status::WaitStatus| {
            let subject = wait.instance.as_deref().or(wait.service.as_deref());
            let subject = subject.unwrap_or(&status.app);
            format!("  {}: {}", short(subject, &status.app), wait.reason)
        };
        let waits: Vec<String> = status.waits.iter().map(line).collect();
        for wait in waits.iter().filter(|wait| !self.waits.contains(wait)) {
            progress(wait);
        }
        self.waits = waits;
    }
}

fn excerpt(exit: &ExitStatus) -> &[String] {
    &exit.last_lines[exit.last_lines.len().saturating_sub(EXCERPT)..]
}

/// An instance's name without that of its app, where the app is known.
pub(crate) fn short<'a>(name: &'a str, app: &str) -> &'a str {
    name.strip_prefix(app)
        .and_then(|rest| rest.strip_prefix('.'))
        .unwrap_or(name)
}

/// A word for so many things.
pub(crate) fn plural(count: usize, word: &str) -> String {
    if count == 1 {
        word.to_owned()
    } else {
        format!("{word}s")
    }
}

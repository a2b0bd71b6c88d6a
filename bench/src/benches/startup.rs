//! From the command to the first page: `roadbed up --detach` of the shop in a fresh home.

use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Bench, Measure, millis, progress};
use crate::arguments::{Arguments, Common};
use crate::client::Page;
use crate::figures::{Figure, Results, Unit};
use crate::interrupts;
use crate::platform::{LONG, Platform, Workbench, apps};

pub(crate) const BENCH: Bench = Bench {
    name: "startup",
    runs: 10,
    prepare,
};

fn prepare(_: &mut Arguments) -> Result<Measure, String> {
    Ok(Box::new(measure))
}

fn measure(common: &Common, results: &mut Results) -> Result<()> {
    let workbench = Workbench::new(common.roadbed.as_deref())?;
    let bare = workbench.app_folder("shop");
    apps::copy_without_builds("shop", &bare)?;
    let healthy = Figure::new("all healthy, command returned", Unit::Millis);
    let healthy = results.add(healthy.median_at_most(1000.0));
    let answer = Figure::new("first page through the edge", Unit::Millis);
    let answer = results.add(answer.median_at_most(1000.0));
    let output = Figure::new("first output", Unit::Millis);
    let output = results.add(output.each_at_most(100.0));
    let bare_healthy = "all healthy, without the app's build steps";
    let bare_healthy = results.add(Figure::new(bare_healthy, Unit::Millis));
    let bare_answer = "first page, without the app's build steps";
    let bare_answer = results.add(Figure::new(bare_answer, Unit::Millis));
    for run in 1..=common.runs {
        let whole = once(&workbench, &apps::example("shop"))?;
        results.push(healthy, millis(whole.healthy));
        results.push(answer, millis(whole.answer));
        results.push(output, millis(whole.output()?));
        let without = once(&workbench, &bare)?;
        results.push(bare_healthy, millis(without.healthy));
        results.push(bare_answer, millis(without.answer));
        progress(&format!(
            "run {run} of {}: healthy after {:.0} ms, first page after {:.0} ms; \
             without builds {:.0} and {:.0} ms",
            common.runs,
            millis(whole.healthy),
            millis(whole.answer),
            millis(without.healthy),
            millis(without.answer)
        ));
        results.detail(json!({"whole": whole.as_json(), "without_builds": without.as_json()}));
    }
    Ok(())
}

/// What happened when, from the command's start.
struct Started {
    healthy: Duration,
    answer: Duration,
    printed: Vec<(Duration, String)>,
}

impl Started {
    fn output(&self) -> Result<Duration> {
        let first = self.printed.iter().map(|(at, _)| *at).min();
        first.context("the command printed nothing")
    }

    fn as_json(&self) -> Value {
        let printed = self.printed.iter();
        let printed = printed.map(|(at, text)| json!({"at_ms": millis(*at), "text": text}));
        json!({
            "healthy_ms": millis(self.healthy),
            "first_answer_ms": millis(self.answer),
            "printed": printed.collect::<Vec<_>>(),
        })
    }
}

fn once(workbench: &Workbench, app: &Path) -> Result<Started> {
    let platform = Platform::new(workbench)?;
    let page = Page {
        edge: platform.edge,
        host: "shop.localhost".into(),
        path: "/".into(),
    };
    let (edge, app) = (platform.edge.to_string(), app.display().to_string());
    let mut command = platform.command(&["up", "--detach", "--edge", &edge, &app]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let start = Instant::now();
    let mut child = interrupts::spawn(&mut command)?;
    let asking = thread::spawn(move || page.first_success(LONG));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let stdout = stdout.map(|pipe| thread::spawn(move || timed(pipe, start)));
    let stderr = stderr.map(|pipe| thread::spawn(move || timed(pipe, start)));
    let status = child.wait()?;
    let healthy = start.elapsed();
    let mut printed = Vec::new();
    for reader in [stdout, stderr].into_iter().flatten() {
        printed.extend(reader.join().expect("reading a pipe does not panic"));
    }
    printed.sort();
    ensure!(
        status.success(),
        "`roadbed up --detach {app}` ended with {status}: {}",
        printed
            .iter()
            .map(|(_, text)| text.as_str())
            .collect::<String>()
    );
    let answered = asking.join().expect("asking does not panic");
    let answered = answered.with_context(|| format!("no page within {LONG:?}"))?;
    Ok(Started {
        healthy,
        answer: answered.saturating_duration_since(start),
        printed,
    })
}

/// All that comes out of a pipe, with its times.
fn timed(mut pipe: impl Read, start: Instant) -> Vec<(Duration, String)> {
    let mut pieces = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = pipe.read(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
        pieces.push((start.elapsed(), text));
    }
    pieces
}

//! A shim that starts its program again by itself, as the proxy's does.

mod support;

use std::time::{Duration, Instant};

use model::ExitCause;
use runner::{Adopted, Restart};
use rustix::process::Signal;
use support::{Home, kill, lives, unit, until};

#[tokio::test]
async fn a_killed_program_is_back_at_once() {
    let home = Home::new();
    let mut launch = home.script("proxy", "exec sleep 618");
    launch.restart = Restart::Always;
    let process = home.launch(&launch).await;
    let (shim, first) = (process.shim_pid(), process.child_pid().unwrap());
    let mut before = first;
    for _ in 0..3 {
        let killed = Instant::now();
        kill(before, Signal::KILL);
        until("it runs again", || {
            process.child_pid().is_some_and(|pid| pid != before)
        })
        .await;
        assert!(
            killed.elapsed() < Duration::from_millis(300),
            "{:?}",
            killed.elapsed()
        );
        before = process.child_pid().unwrap();
    }
    assert_eq!(process.shim_pid(), shim);
    // A server that comes later finds the present one.
    let adopted = home.processes.adopt(&unit("proxy"), 1).await.unwrap();
    let Adopted::Running(adopted) = adopted else {
        panic!("{adopted:?}")
    };
    assert_eq!(adopted.child_pid(), Some(before));

    process.stop().unwrap();
    let exit = process.exited().await;
    assert_eq!(exit.cause, ExitCause::Signal(libc::SIGTERM));
    assert!(!lives(before));
    let told = "roadbed: killed by signal 9 (SIGKILL); starts again in 10ms";
    assert!(
        exit.last_lines.contains(&told.to_owned()),
        "{:?}",
        exit.last_lines
    );
}

#[tokio::test]
async fn a_program_that_keeps_dying_is_started_ever_less_often() {
    let home = Home::new();
    let mut launch = home.script("proxy", "echo x >> $HOME_FOLDER/starts; exit 1");
    launch.restart = Restart::Always;
    let begun = Instant::now();
    let process = home.launch(&launch).await;
    let starts = || std::fs::read(home.path().join("starts")).map_or(0, |text| text.len() / 2);
    // 10 + 20 + 40 + 80 + 160 + 200 ms lie between seven starts.
    until("it has started seven times", || starts() >= 7).await;
    assert!(
        begun.elapsed() >= Duration::from_millis(510),
        "{:?}",
        begun.elapsed()
    );
    process.stop().unwrap();
    assert_eq!(process.exited().await.cause, ExitCause::Code(1));
    let after = starts();
    assert!(after <= 10, "{after}");
}

/// Its file is gone for a moment while it is replaced by its next version.
#[tokio::test]
async fn a_program_that_is_being_replaced_comes_back() {
    let home = Home::new();
    let (program, away) = (home.path().join("program"), home.path().join("away"));
    std::fs::copy("/bin/sleep", &program).unwrap();
    let mut launch = home.command("proxy", &["./program", "619"], &[]);
    launch.restart = Restart::Always;
    let process = home.launch(&launch).await;
    std::fs::rename(&program, &away).unwrap();
    kill(process.child_pid().unwrap(), Signal::KILL);
    let logs = home.logs("proxy");
    until("a start has failed", || {
        runner::logs::last_lines(&logs, 20).is_ok_and(|lines| {
            lines
                .iter()
                .any(|line| line.starts_with("roadbed: could not be started"))
        })
    })
    .await;
    std::fs::rename(&away, &program).unwrap();
    until("it runs again", || process.child_pid().is_some()).await;
    process.stop().unwrap();
    process.exited().await;
}

//! From a start to an end: what a program gets, how it is stopped, and what is told about its end.

mod support;

use std::time::{Duration, Instant};

use model::ExitCause;
use rustix::process::Signal;
use support::{Home, kill, lives, until};

#[tokio::test]
async fn an_exit_carries_the_code_and_the_last_lines() {
    let home = Home::new();
    let exit = home
        .run("web", "for i in $(seq 1 30); do echo line $i; done; exit 7")
        .await;
    assert_eq!(exit.cause, ExitCause::Code(7));
    let expected: Vec<String> = (11..=30).map(|i| format!("line {i}")).collect();
    assert_eq!(exit.last_lines, expected);
    assert!(exit.at > 1_700_000_000_000, "{}", exit.at);
    // What is asked again is answered again, and so it is after the server's restart.
    let adopted = home
        .processes
        .adopt(&support::unit("web"), 1)
        .await
        .unwrap();
    assert!(matches!(adopted, runner::Adopted::Ended(again) if again == exit));
}

#[tokio::test]
async fn an_exit_names_the_signal() {
    let home = Home::new();
    assert_eq!(
        home.run("a", "kill -SEGV $$").await.cause,
        ExitCause::Signal(libc::SIGSEGV)
    );
    assert_eq!(
        home.run("b", "kill -KILL $$").await.cause,
        ExitCause::Signal(libc::SIGKILL)
    );
    assert_eq!(home.run("c", "exit 0").await.cause, ExitCause::Code(0));
}

#[tokio::test]
async fn a_program_gets_exactly_its_environment() {
    let home = Home::new();
    let launch = home.command("web", &["/usr/bin/env"], &[("A", "x y"), ("EMPTY", "")]);
    let exit = home.launch(&launch).await.exited().await;
    let here = home.path().to_str().unwrap();
    let mut expected = vec![
        "A=x y".to_owned(),
        "EMPTY=".to_owned(),
        format!("HOME_FOLDER={here}"),
        "PATH=/usr/bin:/bin".to_owned(),
        "ROADBED_UNIT=web".to_owned(),
    ];
    let id = std::fs::read_to_string(home.path().join("units/home-id")).unwrap();
    expected.push(format!("ROADBED_MARK={id}/web.1"));
    assert_eq!(exit.last_lines, expected);
}

/// Everything else that a process inherits.
#[tokio::test]
async fn a_program_begins_with_a_clean_slate() {
    let home = Home::new();
    let script = "pwd; ls -l /proc/$$/fd | sed 's/.* \\([0-9]* -> \\)/\\1/' | grep -e '->' \
        | grep -v pipe; grep -E '^Sig(Blk|Ign)' /proc/self/status; \
        cut -d' ' -f1,5,6 /proc/$$/stat; cat";
    let process = home.launch(&home.script("web", script)).await;
    let exit = process.exited().await;
    let lines = &exit.last_lines;
    assert_eq!(lines[0], home.path().to_str().unwrap());
    assert_eq!(
        lines[1], "0 -> /dev/null",
        "and only pipes besides: {lines:?}"
    );
    assert_eq!(lines[2], "SigBlk:\t0000000000000000");
    assert_eq!(lines[3], "SigIgn:\t0000000000000000");
    let ids: Vec<&str> = lines[4].split(' ').collect();
    assert_eq!(
        (ids[0], ids[0]),
        (ids[1], ids[2]),
        "a group and a session of its own"
    );
    assert_eq!(lines.len(), 5);
}

#[tokio::test]
async fn a_stop_lets_the_program_finish() {
    let home = Home::new();
    let script = "trap 'echo finishing; exit 3' TERM; echo ready > $HOME_FOLDER/ready; \
        while :; do sleep 600 & wait $!; done";
    let process = home.launch(&home.script("web", script)).await;
    home.file("ready").await;
    process.stop().unwrap();
    let exit = process.exited().await;
    assert_eq!(exit.cause, ExitCause::Code(3));
    // Some shells also tell of what they waited for.
    assert!(exit.last_lines.contains(&"finishing".to_owned()));
}

#[tokio::test]
async fn a_program_that_ignores_a_stop_is_killed_at_its_limit() {
    let home = Home::new();
    let script = "trap '' TERM; echo ready > $HOME_FOLDER/ready; \
        while :; do sleep 600; done";
    let mut launch = home.script("web", script);
    launch.stop_limit = Duration::from_millis(300);
    let process = home.launch(&launch).await;
    home.file("ready").await;
    let asked = Instant::now();
    process.stop().unwrap();
    assert_eq!(
        process.exited().await.cause,
        ExitCause::Signal(libc::SIGKILL)
    );
    assert!(
        asked.elapsed() >= launch.stop_limit,
        "{:?}",
        asked.elapsed()
    );
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
}

#[tokio::test]
async fn a_kill_waits_for_nothing() {
    let home = Home::new();
    let script = "trap '' TERM; echo ready > $HOME_FOLDER/ready; while :; do sleep 600; done";
    let process = home.launch(&home.script("web", script)).await;
    home.file("ready").await;
    process.stop().unwrap();
    process.kill().unwrap();
    let exit = tokio::time::timeout(Duration::from_secs(10), process.exited())
        .await
        .unwrap();
    assert_eq!(exit.cause, ExitCause::Signal(libc::SIGKILL));
}

/// A daemon: a session of its own, adopted by nobody it knows, deaf to SIGTERM, and holding on to
/// the pipes.
const DAEMON: &str = "trap '' TERM; setsid sh -c '(setsid sleep 601 & echo $! > \
    $HOME_FOLDER/inner) ; echo $$ > $HOME_FOLDER/outer; exec sleep 602' & ";

#[tokio::test]
async fn a_stop_reaches_who_left_the_group_and_the_session() {
    let home = Home::new();
    let mut launch = home.script("web", &format!("{DAEMON} sleep 603"));
    launch.stop_limit = Duration::from_millis(200);
    let process = home.launch(&launch).await;
    let (inner, outer) = (home.pid("inner").await, home.pid("outer").await);
    assert!(lives(inner) && lives(outer));
    process.stop().unwrap();
    process.exited().await;
    assert!(!lives(inner) && !lives(outer));
}

#[tokio::test]
async fn nothing_is_left_when_the_program_ends_by_itself() {
    let home = Home::new();
    let wait = "while [ ! -s $HOME_FOLDER/outer ]; do sleep 0.01; done; exit 5";
    let process = home
        .launch(&home.script("web", &format!("{DAEMON} {wait}")))
        .await;
    assert_eq!(process.exited().await.cause, ExitCause::Code(5));
    assert!(!lives(home.pid("inner").await) && !lives(home.pid("outer").await));
}

#[tokio::test]
async fn a_wrapped_program_may_finish_after_its_wrapper() {
    let home = Home::new();
    // The wrapper dies of the SIGTERM; what it wraps takes a while.
    let inner = "trap 'sleep 0.3; echo done > $HOME_FOLDER/done; exit' TERM; \
        echo ready > $HOME_FOLDER/ready; while :; do sleep 600 & wait $!; done";
    let mut launch = home.script("web", "sh -c \"$INNER\"; echo never");
    launch.environment.insert("INNER".into(), inner.into());
    let process = home.launch(&launch).await;
    home.file("ready").await;
    process.stop().unwrap();
    process.exited().await;
    assert!(home.path().join("done").exists());
}

#[tokio::test]
async fn output_is_complete_to_the_last_byte() {
    let home = Home::new();
    let exit = home
        .run(
            "web",
            "seq 1 20000; echo oops >&2; printf last; kill -KILL $$",
        )
        .await;
    assert_eq!(exit.cause, ExitCause::Signal(libc::SIGKILL));
    assert!(
        exit.last_lines.contains(&"last".to_owned()),
        "{:?}",
        exit.last_lines
    );
    let kept = runner::logs::last_lines(&home.logs("web"), 30_000).unwrap();
    assert_eq!(
        kept.iter()
            .filter(|line| line.parse::<u32>().is_ok())
            .count(),
        20_000
    );
    assert!(kept.contains(&"oops".to_owned()));
}

#[tokio::test]
async fn a_program_dies_with_its_shim() {
    let home = Home::new();
    let process = home
        .launch(&home.script("web", "echo said; exec sleep 604"))
        .await;
    let child = process.child_pid().unwrap();
    let logs = home.logs("web");
    until("the line is logged", || {
        runner::logs::last_lines(&logs, 1).is_ok_and(|lines| lines == ["said"])
    })
    .await;
    kill(process.shim_pid().unwrap(), Signal::KILL);
    let exit = process.exited().await;
    assert_eq!(exit.cause, ExitCause::Lost);
    assert_eq!(exit.last_lines, ["said"]);
    assert!(!lives(child));
    assert_eq!((process.child_pid(), process.shim_pid()), (None, None));
}

#[tokio::test]
async fn a_loss_that_cannot_be_recorded_is_told_with_its_evidence() {
    let home = Home::new();
    let process = home
        .launch(&home.script("web", "echo said; exec sleep 604"))
        .await;
    // As on a full disk, where no record can be written.
    std::fs::create_dir(home.path().join("units/web.1/exit.json.new")).unwrap();
    let line = home.logs("web").join("0000000001.log");
    until("it has said something", || {
        std::fs::read_to_string(&line).is_ok_and(|text| text.contains("said"))
    })
    .await;
    kill(process.shim_pid().unwrap(), Signal::KILL);
    let exit = process.exited().await;
    assert_eq!(exit.cause, ExitCause::Lost);
    assert_eq!(exit.last_lines[0], "said");
    let told = "roadbed: its end cannot be recorded: ";
    assert!(exit.last_lines[1].starts_with(told), "{exit:?}");
}

#[tokio::test]
async fn what_a_killed_shim_leaves_is_ended() {
    let home = Home::new();
    let process = home
        .launch(&home.script("web", &format!("{DAEMON} sleep 605")))
        .await;
    let (inner, outer) = (home.pid("inner").await, home.pid("outer").await);
    kill(process.shim_pid().unwrap(), Signal::KILL);
    assert_eq!(process.exited().await.cause, ExitCause::Lost);
    assert!(!lives(inner) && !lives(outer));
}

#[tokio::test]
async fn waiting_may_be_given_up_and_begun_again() {
    let home = Home::new();
    let process = home.launch(&home.script("web", "exec sleep 606")).await;
    for _ in 0..3 {
        let wait = tokio::time::timeout(Duration::from_millis(20), process.exited());
        assert!(wait.await.is_err());
    }
    process.kill().unwrap();
    let exit = process.exited().await;
    assert_eq!(process.exited().await, exit);
}

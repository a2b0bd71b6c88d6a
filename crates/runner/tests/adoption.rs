//! What a server finds that comes after one that was killed, at whatever instant.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use model::ExitCause;
use runner::{AdoptError, Adopted, MARK_VARIABLE, Process, Processes};
use rustix::process::Signal;
use support::{Home, LONG, PROGRAM, kill, lives, unit, until};

/// A process that launches a script and is to be killed.
fn server(home: &Home, unit: &str, script: &str) -> Child {
    let script = format!(
        "HOME_FOLDER={}; export HOME_FOLDER; {script}",
        home.path().display()
    );
    let mut command = Command::new(PROGRAM);
    command.args(["server", home.path().to_str().unwrap(), unit, &script]);
    command
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

async fn adopt_running(home: &Home, name: &str) -> Process {
    match home.processes.adopt(&unit(name), 1).await.unwrap() {
        Adopted::Running(process) => process,
        other => panic!("{other:?}"),
    }
}

fn keep(names: &[&str]) -> BTreeSet<(runner::UnitName, u32)> {
    names.iter().map(|name| (unit(name), 1)).collect()
}

#[tokio::test]
async fn a_unit_outlives_its_server_and_is_found_again() {
    let home = Home::new();
    let script = "trap 'exit 4' TERM; echo $$ > $HOME_FOLDER/pid; \
        while :; do sleep 600 & wait $!; done";
    let mut server = server(&home, "web", script);
    let pid = home.pid("pid").await;
    server.kill().unwrap();
    server.wait().unwrap();

    let process = adopt_running(&home, "web").await;
    assert_eq!(process.child_pid(), Some(pid));
    // As often as one likes, by as many as there are.
    let again = adopt_running(&home, "web").await;
    assert_eq!(
        home.processes.sweep(&keep(&["web"])).await.unwrap(),
        Default::default()
    );
    assert!(lives(pid));
    process.stop().unwrap();
    assert_eq!(process.exited().await.cause, ExitCause::Code(4));
    assert_eq!(again.exited().await.cause, ExitCause::Code(4));
}

/// The server dies at every stage of a launch; its successor must be right about each.
#[tokio::test]
async fn a_server_may_die_at_any_instant_of_a_launch() {
    let home = Home::new();
    let mut seen = BTreeSet::new();
    let begun = Instant::now();
    for round in 0.. {
        // On a loaded machine it may take longer until one dies that has launched.
        let all_seen = seen.contains("unknown") && seen.contains("running");
        if round >= 60 && (all_seen || begun.elapsed() > LONG) {
            break;
        }
        let name = format!("web{round}");
        let mut server = server(&home, &name, "exec sleep 600");
        // No wait for anything: it dies at any instant from before its first system call to after
        // the launch.
        std::thread::sleep(Duration::from_micros(round * 400));
        server.kill().unwrap();
        server.wait().unwrap();
        let fresh = Processes::new(home.path(), PROGRAM.into()).unwrap();
        let what = match fresh.adopt(&unit(&name), 1).await {
            Err(AdoptError::Unknown(_)) => "unknown",
            Ok(Adopted::Lost(exit)) => {
                assert_eq!(exit.cause, ExitCause::Lost);
                "lost"
            }
            Ok(Adopted::Running(process)) => {
                let (shim, child) = (process.shim_pid().unwrap(), process.child_pid().unwrap());
                assert!(lives(child));
                process.kill().unwrap();
                assert_eq!(
                    process.exited().await.cause,
                    ExitCause::Signal(libc::SIGKILL)
                );
                assert!(!lives(shim) && !lives(child));
                "running"
            }
            other => panic!("{other:?}"),
        };
        seen.insert(what);
        // Whatever it was, now nothing of it runs.
        let swept = fresh.sweep(&BTreeSet::new()).await.unwrap();
        assert_eq!(swept.killed, [0; 0], "{what}");
    }
    assert!(
        seen.contains("unknown") && seen.contains("running"),
        "{seen:?}"
    );
}

#[tokio::test]
async fn an_end_that_nobody_saw_is_told_afterwards() {
    let home = Home::new();
    let script = "echo $$ > $HOME_FOLDER/pid; \
        while [ ! -e $HOME_FOLDER/go ]; do sleep 0.01; done; echo bye; exit 9";
    let mut server = server(&home, "web", script);
    let pid = home.pid("pid").await;
    server.kill().unwrap();
    server.wait().unwrap();
    fs::write(home.path().join("go"), "").unwrap();
    until("it has ended", || !lives(pid)).await;
    let exit = match home.processes.adopt(&unit("web"), 1).await.unwrap() {
        Adopted::Ended(exit) => exit,
        Adopted::Running(process) => process.exited().await,
        lost => panic!("{lost:?}"),
    };
    assert_eq!(
        (exit.cause, exit.last_lines),
        (ExitCause::Code(9), vec!["bye".to_owned()])
    );
}

/// As in a power loss, but on a machine that goes on: everything dies at once, except a daemon.
#[tokio::test]
async fn nothing_is_left_over_after_everything_was_killed() {
    let home = Home::new();
    let script = "(setsid sleep 607 & echo $! > $HOME_FOLDER/daemon); echo said; \
        echo $$ > $HOME_FOLDER/pid; exec sleep 608";
    let mut server = server(&home, "web", script);
    let (pid, daemon) = (home.pid("pid").await, home.pid("daemon").await);
    let shim = adopt_running(&home, "web").await.shim_pid().unwrap();
    let logs = home.logs("web");
    until("the line is logged", || {
        runner::logs::last_lines(&logs, 1).is_ok_and(|lines| lines == ["said"])
    })
    .await;
    server.kill().unwrap();
    server.wait().unwrap();
    kill(shim, Signal::KILL);
    until("the program has died with its shim", || !lives(pid)).await;
    assert!(lives(daemon));

    let lost = home.processes.adopt(&unit("web"), 1).await.unwrap();
    assert!(!lives(daemon));
    let Adopted::Lost(exit) = lost else {
        panic!("{lost:?}")
    };
    assert_eq!(exit.last_lines, ["said"]);
    // The same answer the second time.
    let again = home.processes.adopt(&unit("web"), 1).await.unwrap();
    assert!(matches!(again, Adopted::Lost(same) if same == exit));
}

#[tokio::test]
async fn a_sweep_clears_what_nobody_claims_and_nothing_else() {
    let (home, other) = (Home::new(), Home::new());
    let script = "(setsid sleep 609 & echo $! > $HOME_FOLDER/daemon); exec sleep 610";
    let claimed = home.launch(&home.script("claimed", "exec sleep 611")).await;
    let stranger = other.launch(&other.script("web", "exec sleep 612")).await;
    let unclaimed = home.launch(&home.script("web", script)).await;
    let pids = [
        unclaimed.shim_pid().unwrap(),
        unclaimed.child_pid().unwrap(),
        home.pid("daemon").await,
    ];
    // What an earlier server ran for itself, and what this one does.
    let own = |mark: (&str, String)| {
        let process = Command::new("/bin/sleep")
            .arg("613")
            .env_clear()
            .env(mark.0, mark.1)
            .spawn()
            .unwrap();
        // One that is just being started shows no environment for an instant.
        let environment = format!("/proc/{}/environ", process.id());
        let begun = Instant::now();
        while fs::read(&environment).unwrap().is_empty() {
            assert!(begun.elapsed() < LONG, "{environment} stays empty");
            std::thread::yield_now();
        }
        process
    };
    let earlier = Processes::new(home.path(), PROGRAM.into()).unwrap();
    let (mut old_probe, mut probe) = (own(earlier.mark()), own(home.processes.mark()));
    assert_eq!(earlier.mark().0, MARK_VARIABLE);

    let swept = home.processes.sweep(&keep(&["claimed"])).await.unwrap();
    for pid in pids {
        assert!(!lives(pid), "{pid}");
        assert!(swept.killed.contains(&pid), "{pid} in {swept:?}");
    }
    assert!(swept.killed.contains(&old_probe.id()) && lives(probe.id()));
    assert_eq!(swept.removed, [(unit("web"), 1)]);
    assert!(lives(claimed.child_pid().unwrap()) && lives(stranger.child_pid().unwrap()));
    assert!(!home.path().join("units/web.1").exists());
    assert_eq!(
        home.processes.sweep(&keep(&["claimed"])).await.unwrap(),
        Default::default()
    );
    probe.kill().unwrap();
    probe.wait().unwrap();
    // The sweep has taken note of its end already if it was the first to.
    let _ = old_probe.wait();
}

/// A program that shows its state in `ps` writes over its environment, and with it the mark.
#[tokio::test]
async fn a_process_without_a_mark_is_found_by_its_session() {
    let home = Home::new();
    let script = "env -i sleep 614 & echo $! > $HOME_FOLDER/unmarked; exec sleep 615";
    let process = home.launch(&home.script("web", script)).await;
    let unmarked = home.pid("unmarked").await;
    kill(process.shim_pid().unwrap(), Signal::KILL);
    assert_eq!(process.exited().await.cause, ExitCause::Lost);
    assert!(!lives(unmarked));
}

/// A record of another boot, or of a process whose id is another's by now, is about nobody.
#[tokio::test]
async fn a_record_about_the_past_ends_no_process_of_the_present() {
    let home = Home::new();
    let mut stranger = Command::new("/bin/sleep").arg("616").spawn().unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", stranger.id())).unwrap();
    let started: u64 = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split(' ')
        .nth(20)
        .unwrap()
        .parse()
        .unwrap();
    let pid = stranger.id();
    for (attempt, boot, started) in [
        (1, "00000000-0000-0000-0000-000000000000", started),
        (2, boot.trim_end(), started + 1),
        (3, boot.trim_end(), started - 1),
    ] {
        let folder = home.path().join(format!("units/web.{attempt}"));
        fs::create_dir(&folder).unwrap();
        let identity = format!("{{\"pid\":{pid},\"started\":{started}}}");
        let running = format!("{{\"boot\":{boot:?},\"shim\":{identity},\"child\":{identity}}}");
        fs::write(folder.join("running.json"), running).unwrap();
        let adopted = home.processes.adopt(&unit("web"), attempt).await.unwrap();
        assert!(matches!(adopted, Adopted::Lost(_)), "{adopted:?}");
        assert!(lives(pid));
    }
    let swept = home.processes.sweep(&BTreeSet::new()).await.unwrap();
    assert_eq!((swept.killed.len(), swept.removed.len()), (0, 3));
    assert!(lives(pid));
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

/// Neither the server nor process 1 is left with entries of processes that are long gone, for as
/// long as process 1 does its duty: a shim is not a child of the server.
#[tokio::test]
async fn a_shim_is_not_the_servers_child() {
    let home = Home::new();
    let process = home.launch(&home.script("web", "exec sleep 617")).await;
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.shim_pid().unwrap())).unwrap();
    let parent: u32 = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split(' ')
        .nth(2)
        .unwrap()
        .parse()
        .unwrap();
    assert_ne!(parent, std::process::id());
    process.kill().unwrap();
    process.exited().await;
}

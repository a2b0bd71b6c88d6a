//! What a server, or the state of a home, does not allow: refused with the reason and the next
//! step, and with everything as it was.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use crate::support::apps::{HOST, SOLO, VIA};
use crate::support::processes::kill;
use crate::support::{AppFolder, Finished, Machine, free_address, left_out, until};

/// Commands that need a home that can be used, with `APP` for an app's folder.
const USERS: [&[&str]; 9] = [
    &["up", "--detach", "APP"],
    &["deploy", "APP"],
    &["plan", "APP"],
    &["status"],
    &["logs", "solo"],
    &["down", "solo"],
    &["down", "--all"],
    &["server"],
    &["proxy"],
];

/// Has every command of [`USERS`] fail with `texts`, and doctor find the same.
fn unusable(machine: &Machine, home: &Path, texts: &[&str]) {
    let app = AppFolder::solo("\"./trivial\"\nbuild = \"touch was-built\"");
    let run = |words: &[&str]| {
        let mut command = machine.command(words);
        command.env("ROADBED_HOME", home);
        machine.without_a_trace(|| Finished::from(command.output().unwrap()))
    };
    for words in USERS {
        let words: Vec<&str> = words
            .iter()
            .map(|word| if *word == "APP" { app.path() } else { word })
            .collect();
        run(&words).failed(texts);
    }
    assert!(!app.folder().join("was-built").exists());
    let doctor = run(&["doctor"]);
    assert_eq!(doctor.code, Some(1), "{doctor:?}");
    assert!(doctor.stdout.contains("BAD   home: "), "{doctor:?}");
}

#[test]
fn a_home_that_is_of_another_version_or_none_is_left_alone() {
    let machine = Machine::new();
    let home = machine.home();
    let other = "or choose another folder with --home or ROADBED_HOME";
    for (format, said, hint) in [
        ("2\n", "was written by a newer Roadbed (format 2", other),
        (
            "hello",
            "does not hold a format number but \"hello\"",
            "hint: ",
        ),
    ] {
        fs::write(home.join("format"), format).unwrap();
        unusable(&machine, home, &[said, hint, home.to_str().unwrap()]);
    }
    fs::remove_file(home.join("format")).unwrap();

    let file = home.join("file");
    fs::write(&file, "precious").unwrap();
    for path in [file.clone(), file.join("below")] {
        let said = format!("{} is not a folder", path.display());
        unusable(
            &machine,
            &path,
            &[&said, "hint: choose a folder with --home"],
        );
    }
    let long = home.join("x".repeat(100));
    unusable(
        &machine,
        &long,
        &["too long for a socket", "hint: choose a shorter folder"],
    );
}

#[test]
fn a_home_of_another_user_is_left_alone() {
    if !rustix::process::geteuid().is_root() {
        return left_out("a home of another user: only root can become one");
    }
    let machine = Machine::new();
    let app = AppFolder::solo("\"./trivial\"");
    fs::set_permissions(app.folder(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(machine.home(), Permissions::from_mode(0o700)).unwrap();
    machine.up(&app);
    let before = machine.status();
    for words in USERS.iter().chain([&["doctor"][..]].iter()) {
        let words: Vec<&str> = words
            .iter()
            .map(|word| if *word == "APP" { app.path() } else { word })
            .collect();
        let mut command = machine.command(&words);
        command.uid(65534).gid(65534);
        let finished = Finished::from(command.output().unwrap());
        if words == ["doctor"] {
            assert_eq!(finished.code, Some(1), "{finished:?}");
            continue;
        }
        finished.failed(&["Permission denied", machine.home().to_str().unwrap()]);
    }
    assert_eq!(machine.status(), before);
    machine.is_consistent();
}

#[test]
fn commands_that_need_a_server_say_so_and_how_to_get_one() {
    let machine = Machine::new();
    let app = AppFolder::solo("\"./trivial\"");
    let none = format!("error: no server runs in {}", machine.home().display());
    let commands: [&[&str]; 5] = [
        &["deploy", app.path()],
        &["status"],
        &["status", "solo"],
        &["down", "solo"],
        &["down", "--all"],
    ];
    for words in commands {
        let finished = machine.without_a_trace(|| machine.run(words));
        finished.failed(&[&none, "hint: `roadbed up FOLDER` starts one with an app"]);
    }
    // What would be done can be told without one.
    let plan = machine.without_a_trace(|| machine.ok(&["plan", app.path()]));
    assert!(plan.starts_with("solo does not run; a deploy would\n  start web (1)"));

    // One that ended leaves everything running, and whoever looks for it is told.
    machine.up(&app);
    kill(machine.server_pid());
    until("the server has gone", || {
        machine.run(&["status"]).code == Some(1)
    });
    for words in commands {
        let texts = [
            &none,
            "what an earlier server started runs on",
            "hint: `roadbed server`",
        ];
        machine.run(words).failed(&texts);
    }
    assert_eq!(machine.get(SOLO, "/").status, 200);
    machine.up(&AppFolder::pair());
    assert_eq!(machine.get(SOLO, "/").status, 200);
    machine.ok(&["down", "--all"]);
    until("all processes have ended", || {
        machine.processes().is_empty()
    });
}

#[test]
fn what_is_up_or_unknown_is_refused_and_nothing_changes() {
    let machine = Machine::new();
    let app = AppFolder::solo("\"./trivial\"\nbuild = \"touch was-built\"");
    machine.up(&app);
    fs::remove_file(app.folder().join("was-built")).unwrap();
    let before = machine.status();

    let edge = machine.edge;
    machine.run(&["up", app.path()]).failed(&[
        "error: solo is up already, at release 1",
        "hint: `roadbed deploy` replaces it by a new release",
    ]);
    assert!(!app.folder().join("was-built").exists(), "before a build");
    let other = free_address().to_string();
    machine
        .run(&["up", "--edge", &other, AppFolder::pair().path()])
        .failed(&[
            &format!("a server runs already, with its edge on {edge}"),
            "hint: leave --edge out",
        ]);
    machine.run(&["down", "shop"]).failed(&[
        "error: no app \"shop\" runs on this server",
        "hint: `roadbed status` lists the apps",
    ]);
    machine
        .run(&["status", "shop"])
        .failed(&["error: no app \"shop\" runs", "hint: there are: solo"]);
    let server = machine.run(&["server", "--edge", &other]);
    server.failed(&[
        &format!("a server already runs in {}", machine.home().display()),
        &format!("(pid {})", machine.server_pid()),
        "hint: `roadbed status` shows what runs there",
    ]);
    machine.run(&["proxy"]).failed(&["hint: "]);

    let same = AppFolder::new(&format!(
        "app = \"other\"\n[services.web]\nrun = \"./trivial\"\nexpose = {{ host = \"{SOLO}\" }}\n"
    ));
    for command in ["up", "deploy"] {
        machine.run(&[command, same.path()]).failed(&[
            &format!("error: solo is exposed at {SOLO}/ already"),
            "hint: choose another host or path, or `roadbed down solo`",
        ]);
    }
    let plan = machine.ok(&["plan", same.path()]);
    let refused = format!("refused now: solo is exposed at {SOLO}/ already\nhint: choose ");
    assert!(plan.contains(&refused), "{plan}");
    assert_eq!(machine.status(), before);
    machine.is_consistent();
    // Another path of the same host is no conflict.
    same.declare(&format!(
        "app = \"other\"\n[services.web]\nrun = \"./trivial\"\n\
         expose = {{ host = \"{SOLO}\", path = \"/other\" }}\n"
    ));
    machine.ok(&["up", "--detach", same.path()]);
    assert_ne!(
        machine.get(SOLO, "/other").body,
        machine.get(SOLO, "/").body
    );
}

#[test]
fn while_a_rollout_is_in_progress_another_is_refused_and_down_ends_it() {
    let machine = Machine::new();
    let app = AppFolder::solo("\"./trivial\"");
    machine.up(&app);
    let before = machine.get(SOLO, "/").body;
    app.declare(
        "app = \"solo\"\n[services.web]\nrun = \"./trivial --start-delay-ms 60000\"\n\
         expose = { host = \"solo.localhost\" }\n",
    );
    let deploy = machine.spawn(&["deploy", app.path()]);
    until("the rollout is in progress", || {
        machine.instances("solo").len() == 2
    });
    for words in [&["deploy", app.path()], &["up", app.path()]] {
        machine.run(words).failed(&[
            "error: release 2 of solo is being rolled out",
            "hint: `roadbed status solo` shows how far it is",
        ]);
    }
    let status = machine.ok(&["status", "solo"]);
    assert!(
        status.starts_with("solo: release 2 is being rolled out\n"),
        "{status}"
    );
    until("what waits is told", || {
        let status = machine.ok(&["status", "solo"]);
        status.contains("  waits: web.2.1: not ready: connection refused at 127.0.0.1:")
    });
    assert_eq!(machine.get(SOLO, "/").body, before);

    assert_eq!(machine.ok(&["down", "solo"]), "solo is down\n");
    deploy.finish().failed(&[
        "error: solo was taken down while release 2 was rolled out",
        "hint: `roadbed status` lists what runs",
    ]);
    assert_eq!(machine.get(SOLO, "/").status, 0);
    machine.is_consistent();
}

#[test]
fn of_two_ups_of_the_same_app_one_wins_and_the_other_leaves_it_alone() {
    let machine = Machine::new();
    let app = AppFolder::pair();
    let edge = machine.edge.to_string();
    let words = ["up", "--detach", "--edge", &edge, app.path()];
    for round in 0..3 {
        let both = [machine.spawn(&words), machine.spawn(&words)];
        let both = both.map(crate::support::Background::finish);
        let (won, lost): (Vec<_>, Vec<_>) = both.into_iter().partition(|up| up.code == Some(0));
        assert_eq!((won.len(), lost.len()), (1, 1), "{won:?} {lost:?}");
        assert!(won[0].stdout.starts_with("pair is up at release "));
        // It depends on how far the winner has come.
        lost[0].failed(&["pair", "hint: "]);
        assert_eq!(machine.get(HOST, VIA).status, 200, "round {round}");
        machine.is_consistent();
        machine.ok(&["down", "pair"]);
    }
    machine.ok(&["down", "--all"]);
}

#[test]
fn two_apps_that_come_up_at_once_in_a_new_home_share_one_server() {
    let machine = Machine::new();
    let (pair, solo) = (AppFolder::pair(), AppFolder::solo("\"./trivial\""));
    let edge = machine.edge.to_string();
    let both = [&pair, &solo]
        .map(|app| machine.spawn(&["up", "--detach", "--edge", &edge, app.path()]))
        .map(crate::support::Background::finish);
    assert!(both.iter().all(|up| up.code == Some(0)), "{both:?}");
    assert_eq!(machine.get(SOLO, "/").status, 200);
    assert_eq!(machine.get(HOST, VIA).status, 200);
    machine.is_consistent();
}

#[test]
fn the_loser_of_two_ups_stops_no_server_that_the_winner_needs() {
    use rustix::process::Signal;
    let machine = Machine::new();
    let (pair, solo) = (AppFolder::pair(), AppFolder::solo("\"./trivial\""));
    let edge = machine.edge.to_string();
    let [first, second] =
        [&pair, &solo].map(|app| machine.spawn(&["up", "--edge", &edge, app.path()]));
    until("both are up", || {
        [&first, &second].map(|up| up.stdout().contains(" is up at release 1\n")) == [true; 2]
    });
    first.signal(Signal::INT);
    let first = first.finish();
    assert_eq!(first.code, Some(0), "{first:?}");
    assert_eq!(machine.get(SOLO, "/").status, 200);
    second.signal(Signal::INT);
    let second = second.finish();
    assert_eq!(second.code, Some(0), "{second:?}");
    // Whichever of them had started the server; the last one to end may not be that one.
    if machine.run(&["status"]).code == Some(0) {
        machine.is_consistent();
        machine.ok(&["down", "--all"]);
    }
    until("all processes have ended", || {
        machine.processes().is_empty()
    });
}

#[test]
fn a_store_that_is_damaged_is_left_as_it_is_and_what_runs_runs_on() {
    let machine = Machine::new();
    let app = AppFolder::solo("\"./trivial\"");
    machine.up(&app);
    kill(machine.server_pid());
    until("the server has gone", || {
        machine.run(&["status"]).code == Some(1)
    });
    let store = machine.home().join("store.redb");
    fs::rename(&store, machine.home().join("kept")).unwrap();
    let damaged = "no store at all";
    fs::write(&store, damaged).unwrap();
    let before = machine.processes();
    let pair = AppFolder::pair();
    let edge = machine.edge.to_string();
    let up = ["up", "--detach", "--edge", &edge, pair.path()];
    for words in [&["server", "--edge", &edge][..], &up] {
        machine.run(words).failed(&[
            &format!("{} is damaged", store.display()),
            "hint: apps run on without it; keep a copy of the home",
        ]);
        assert_eq!(fs::read_to_string(&store).unwrap(), damaged);
        assert_eq!(machine.processes(), before);
        assert_eq!(machine.get(SOLO, "/").status, 200);
    }
    fs::rename(machine.home().join("kept"), &store).unwrap();
    machine.ok(&up);
    assert_eq!(machine.get(SOLO, "/").status, 200);
    machine.is_consistent();
}

//! Apps that cannot be brought up: the reason comes when it is known and with its evidence, and
//! what ran before goes on.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::apps::SOLO;
use crate::support::{AppFolder, Finished, Machine, free_address, left_out, until};

/// What may pass between a failure and its report, on a machine that runs other tests as well.
const SOON: Duration = Duration::from_secs(8);

/// A way not to start, and what is said of it.
struct Obstacle {
    run: &'static str,
    said: &'static str,
}

/// Programs that are found out not to be startable only when they are started.
const OBSTACLES: [Obstacle; 6] = [
    Obstacle {
        run: r#""no-such-program --fast""#,
        said: "\"no-such-program\" was not found in PATH, which is ",
    },
    Obstacle {
        run: r#""./absent-$PORT""#,
        said: " does not exist",
    },
    Obstacle {
        run: r#""$NOWHERE/web""#,
        said: "$NOWHERE in \"$NOWHERE/web\" is not set",
    },
    Obstacle {
        run: r#""./plain-$ROADBED_RELEASE""#,
        said: " is not executable; chmod +x it",
    },
    Obstacle {
        run: r#""./script""#,
        said: "begins with #!/no/such/interpreter, and /no/such/interpreter does not exist",
    },
    Obstacle {
        run: r#""./garbage""#,
        said: "is neither a program for this machine nor a script",
    },
];

/// Puts the files of [`OBSTACLES`] into an app's folder.
fn add_obstacles(app: &AppFolder) {
    let put = |name: &str, content: &str, mode| {
        let path = app.folder().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    };
    for release in 1..=20 {
        put(&format!("plain-{release}"), "", 0o644);
    }
    put("script", "#!/no/such/interpreter\n", 0o755);
    put("garbage", "neither this nor that", 0o755);
}

/// Nothing of an app is left, and `up` has stopped the server that it started.
fn nothing_is_left(machine: &Machine) {
    until("all processes have ended", || {
        machine.processes().is_empty()
    });
    for folder in ["run", "units"] {
        let names = fs::read_dir(machine.home().join(folder)).unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        assert!(names.iter().all(|name| name == "home-id"), "{names:?}");
    }
}

#[test]
fn a_port_that_is_taken_is_found_before_anything_is_done() {
    let machine = Machine::new();
    let app = AppFolder::solo("\"./trivial\"\nbuild = \"touch was-built\"");
    let _taken = TcpListener::bind(machine.edge).unwrap();
    let up = machine.without_a_trace(|| machine.try_up(&app));
    let (edge, own) = (machine.edge, std::process::id());
    up.failed(&[
        &format!("the edge cannot listen on {edge}: Address already in use"),
        &format!("(pid {own}) listens on port {}", edge.port()),
        "hint: stop it, or give another address with --edge",
    ]);
    let elsewhere = ["up", "--detach", "--edge", "192.0.2.1:8080", app.path()];
    let up = machine.without_a_trace(|| machine.run(&elsewhere));
    up.failed(&[
        "cannot listen on 192.0.2.1:8080",
        "an address of this machine",
    ]);
    assert!(!app.folder().join("was-built").exists());
}

#[test]
fn a_port_for_which_one_has_to_be_root_is_found_before_anything_is_done() {
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    let root = rustix::process::geteuid().is_root();
    if !root || first.trim().parse::<u16>().unwrap() <= 80 {
        return left_out("ports for root alone: needs root, and a system that has such ports");
    }
    let machine = Machine::new();
    let app = AppFolder::solo("\"./trivial\"");
    fs::set_permissions(app.folder(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(machine.home(), Permissions::from_mode(0o755)).unwrap();
    let mut up = machine.command(&["up", "--edge", "127.0.0.1:80", app.path()]);
    up.uid(65534).gid(65534);
    let up = machine.without_a_trace(|| Finished::from(up.output().unwrap()));
    up.failed(&[
        "the edge cannot listen on 127.0.0.1:80: Permission denied",
        "hint: ports below 1024 are for root; give another with --edge",
    ]);
}

#[test]
fn a_port_that_a_running_server_cannot_have_fails_the_rollout_with_the_reason() {
    let machine = Machine::new();
    let taken = TcpListener::bind(machine.edge).unwrap();
    let _server = machine.start_server();
    let doctor = machine.run(&["doctor"]);
    assert_eq!(doctor.code, Some(1));
    let bad = format!(
        "BAD   edge: the edge cannot listen on {}: Address already in use",
        machine.edge
    );
    assert!(doctor.stdout.contains(&bad), "{doctor:?}");
    let app = AppFolder::solo("\"./trivial\"");
    for command in [&["up", "--detach"][..], &["deploy"]] {
        let finished = machine.run(&[command, &[app.path()]].concat());
        finished.failed(&[
            &format!("cannot listen on {}", machine.edge),
            "nothing of it runs any more",
            "hint: `roadbed doctor` looks for the reason",
        ]);
        until("nothing of it runs", || {
            let status = machine.status();
            let apps = status["apps"].as_array().unwrap().clone();
            apps.iter().all(|app| app["services"][0]["ready"] == 0)
        });
    }
    let status = machine.ok(&["status", "solo"]);
    assert!(
        status.starts_with("solo: nothing runs; release 2 failed: the edge"),
        "{status}"
    );
    drop(taken);
    machine.ok(&["deploy", app.path()]);
    assert_eq!(machine.get(SOLO, "/").status, 200);
    machine.ok(&["doctor"]);
    machine.is_consistent();
}

#[test]
fn a_program_that_is_not_there_is_an_invalid_spec_unless_a_build_makes_it() {
    let machine = Machine::new();
    let app = AppFolder::solo("\"./absent\"");
    let file = app.folder().join("roadbed.toml");
    let invalid = [
        "error: there is no \"./absent\" in ",
        &format!("--> {}:4:10", file.display()),
        "hint: build it first, or say how with `build`",
    ];
    machine
        .without_a_trace(|| machine.try_up(&app))
        .invalid(&invalid);
    app.solo_runs("\"./plain\"");
    fs::write(app.folder().join("plain"), "").unwrap();
    let up = machine.without_a_trace(|| machine.try_up(&app));
    up.invalid(&[
        "\"./plain\" is not executable",
        &format!("hint: run: chmod +x {}/plain", app.folder().display()),
    ]);
    app.solo_runs("\"./absent\"\nbuild = \"cp trivial absent\"");
    machine.up(&app);
    assert_eq!(machine.get(SOLO, "/").status, 200);
}

#[test]
fn a_program_that_cannot_be_started_is_reported_at_once() {
    let machine = Machine::new();
    let app = AppFolder::solo("\"./trivial\"");
    add_obstacles(&app);
    for obstacle in OBSTACLES {
        app.solo_runs(obstacle.run);
        let started = Instant::now();
        let up = machine.try_up(&app);
        up.failed(&[
            "of solo failed: web.",
            " could not be started: ",
            obstacle.said,
            "; nothing of it runs any more",
            "hint: it wrote nothing; see `run` of web in roadbed.toml",
        ]);
        // Nothing waits for the deadline of its health.
        within_soon(obstacle.run, started);
        nothing_is_left(&machine);
    }
}

fn within_soon(what: &str, started: Instant) {
    let took = started.elapsed();
    assert!(took < SOON, "{what} took {took:?}");
}

#[test]
fn a_release_that_cannot_be_started_leaves_the_one_before_in_its_place() {
    let machine = Machine::new();
    let app = AppFolder::solo("\"./trivial\"");
    add_obstacles(&app);
    machine.up(&app);
    let before = machine.get(SOLO, "/").body;
    let crashes = Obstacle {
        run: r#""./trivial --exit-code 3""#,
        said: "exited with code 3, 3 times in a row",
    };
    let unhealthy = Obstacle {
        run: r#""./trivial --unhealthy""#,
        said: "not ready within 1s; its last probe said: GET /healthz answered 503",
    };
    let mut release = 1;
    for obstacle in OBSTACLES.into_iter().chain([crashes, unhealthy]) {
        release += 1;
        app.solo_runs_within(obstacle.run, "1s");
        let deploy = machine.run(&["deploy", app.path()]);
        deploy.failed(&[
            &format!("release {release} of solo failed: web.{release}.1 "),
            obstacle.said,
            "; release 1 goes on running",
        ]);
        assert_eq!(machine.get(SOLO, "/").body, before);
        let status: serde_json::Value =
            serde_json::from_str(&machine.ok(&["status", "solo", "--json"])).unwrap();
        assert_eq!(status["release"], 1);
        assert_eq!(status["rollout"]["release"], release);
        assert_eq!(status["rollout"]["state"], "failed");
        assert_eq!(status["rollout"]["reverted_to"], 1);
        let told = machine.ok(&["status", "solo"]);
        let headline = format!("solo: release 1 is up; release {release} failed: web.{release}.1");
        assert!(told.starts_with(&headline), "{told}");
    }
    app.solo_runs("\"./trivial\"");
    let said = machine.ok(&["deploy", app.path()]);
    release += 1;
    assert!(
        said.starts_with(&format!("solo is up at release {release}\n")),
        "{said}"
    );
    assert_ne!(machine.get(SOLO, "/").body, before);
    machine.is_consistent();
}

#[test]
fn a_build_that_fails_is_shown_and_nothing_is_deployed() {
    let machine = Machine::new();
    let app = AppFolder::solo(
        r#""./trivial"
build = ["sh", "-c", "echo to stdout; echo to stderr >&2; exit 7"]"#,
    );
    let up = machine.without_a_trace(|| machine.try_up(&app));
    up.failed(&[
        "building web: ",
        "\nto stdout\n",
        "\nto stderr\n",
        "error: the build of web failed: ",
        " exited with code 7",
        "hint: nothing was deployed; mend the build and try again",
    ]);
    app.solo_runs("\"./trivial\"\nbuild = \"no-such-builder\"");
    let up = machine.without_a_trace(|| machine.try_up(&app));
    up.failed(&[
        "the build of web failed: ",
        "\"no-such-builder\" was not found",
    ]);

    // Over a running release too.
    app.solo_runs("\"./trivial\"");
    machine.up(&app);
    app.solo_runs("\"./trivial\"\nbuild = [\"sh\", \"-c\", \"kill -9 $$$$\"]");
    let before = machine.status();
    let deploy = machine.run(&["deploy", app.path()]);
    deploy.failed(&[
        "the build of web failed: ",
        "signal: 9",
        "nothing was deployed",
    ]);
    assert_eq!(machine.status(), before);
    machine.is_consistent();
}

#[test]
fn what_never_gets_ready_is_given_up_at_its_deadline() {
    let machine = Machine::new();
    let app = AppFolder::new("");
    let elsewhere = free_address().port();
    let cases = [
        (
            "\"./trivial --unhealthy\"".to_owned(),
            "GET /healthz answered 503",
            "  | started on port ".to_owned(),
        ),
        (
            format!(
                "[\"sh\", \"-c\", \"exec 2>&1; echo this; echo that >&2; PORT={elsewhere} exec ./trivial\"]"
            ),
            "connection refused at 127.0.0.1:",
            format!("  | this\n  | that\n  | started on port {elsewhere} "),
        ),
    ];
    for (run, probe, wrote) in cases {
        app.solo_runs_within(&run, "1s");
        let started = Instant::now();
        let up = machine.try_up(&app);
        within_soon(&run, started);
        assert!(started.elapsed() >= Duration::from_secs(1));
        up.failed(&[
            ".1 not ready within 1s; its last probe said: ",
            probe,
            &wrote,
            "hint: `roadbed logs solo/web` shows more; it is called at 127.0.0.1:$PORT",
        ]);
        nothing_is_left(&machine);
    }
}

#[test]
fn a_crash_is_reported_as_it_happens_with_the_last_words() {
    let machine = Machine::new();
    let app = AppFolder::new(
        r#"
app = "solo"
[services.web]
run    = ["sh", "-c", "exec 2>&1; echo one; echo two >&2; exec ./trivial --exit-code 3"]
health = { path = "/healthz", deadline = "1h" }
"#,
    );
    let started = Instant::now();
    let up = machine.try_up(&app);
    within_soon("a crash", started);
    up.failed(&[
        "  web.1.1: exited with code 3\n    | one\n    | two\n    | exiting with code 3",
        "error: release 1 of solo failed: web.1.1 exited with code 3, 3 times in a row",
        "  | one\n  | two\n  | exiting with code 3, as told at the start\n",
        "hint: `roadbed logs solo/web` shows what it wrote",
    ]);
    nothing_is_left(&machine);
    // The hint holds.
    let logs = machine.ok(&["logs", "solo/web"]);
    assert_eq!(logs.matches("web.1.1 | exiting with code 3").count(), 3);
}

#[test]
fn an_up_that_is_interrupted_on_its_way_leaves_nothing() {
    let machine = Machine::new();
    let edge = machine.edge.to_string();
    // A build whose program starts others, and a program that takes its time.
    let building = AppFolder::solo(
        r#""./trivial"
build = ["sh", "-c", "echo building now; sleep 1000; echo never"]"#,
    );
    let starting = AppFolder::new(
        "app = \"solo\"\n[services.web]\nrun = \"./trivial --start-delay-ms 60000\"\n",
    );
    for signal in [Signal::INT, Signal::TERM] {
        let up = machine.spawn(&["up", "--edge", &edge, building.path()]);
        until("it builds", || {
            up.stderr().contains("\nbuilding now\n") && machine.processes().len() == 3
        });
        up.signal(signal);
        up.finish().failed(&["interrupted before the app was up"]);
        until("the build has ended", || machine.processes().is_empty());
        assert_eq!(fs::read_dir(machine.home()).unwrap().count(), 0);
    }
    for signal in [Signal::INT, Signal::TERM] {
        let up = machine.spawn(&["up", "--edge", &edge, starting.path()]);
        until("it starts", || {
            let status = machine.run(&["status", "solo"]);
            status.stdout.contains("web.") && status.stdout.contains("starting")
        });
        up.signal(signal);
        up.finish().failed(&[
            "stopping solo",
            "error: interrupted before the app was up",
            "hint: what this had started is stopped",
        ]);
        nothing_is_left(&machine);
    }
}

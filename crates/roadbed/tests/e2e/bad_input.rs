//! What is typed or written wrongly: refused at once, with the place and a remedy, and with
//! nothing done.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{AppFolder, Finished, Machine, left_out};

/// The commands that read an app.
const READERS: [&str; 4] = ["check", "plan", "up", "deploy"];

/// Every command with every option and argument that it has besides those of all commands.
const COMMANDS: [(&str, &[&str]); 13] = [
    ("check", &["[PATH]", "--json"]),
    ("plan", &["[PATH]", "--json"]),
    (
        "up",
        &[
            "[PATH]",
            "-d, --detach",
            "--edge <ADDRESS:PORT>",
            "--edge-tls <ADDRESS:PORT>",
            "--trusted-hops <RANGES>",
            "--metrics <ADDRESS:PORT>",
            "--access-log <REQUESTS>",
            "--traces <URL>",
            "--trace-share <SHARE>",
        ],
    ),
    ("deploy", &["[PATH]", "--cancel"]),
    ("releases", &["<APP>", "--json"]),
    ("rollback", &["<APP>", "--to <N>"]),
    ("status", &["[APP]", "--json"]),
    ("top", &["-i, --interval <TIME>", "--once", "--json"]),
    (
        "logs",
        &[
            "[APP[/SERVICE]]",
            "--access",
            "-f, --follow",
            "-n, --tail <N>",
            "--since <AGE>",
            "-t, --timestamps",
            "--json",
        ],
    ),
    ("down", &["[APP]", "--all"]),
    ("doctor", &["--json"]),
    (
        "server",
        &[
            "--edge <ADDRESS:PORT>",
            "--edge-tls <ADDRESS:PORT>",
            "--trusted-hops <RANGES>",
            "--metrics <ADDRESS:PORT>",
            "--access-log <REQUESTS>",
            "--traces <URL>",
            "--trace-share <SHARE>",
            "--keep-releases <N>",
            "--releases-disk <SIZE>",
        ],
    ),
    ("proxy", &["--workers <N>", "--metrics <ADDRESS:PORT>"]),
];

/// Four mistakes, each in a place of its own.
const MISTAKES: &str = r#"app = "shop"

[services.web]
run     = 5
replica = 2

[services.api]
uses = ["nope"]
"#;

/// Has every command that reads an app read the one at `path`.
fn each_reader(machine: &Machine, path: &Path, texts: &[&str]) {
    for reader in READERS {
        let path = path.to_str().unwrap();
        let finished = machine.without_a_trace(|| machine.run(&[reader, path]));
        finished.invalid(texts);
    }
}

#[test]
fn what_is_not_there_or_no_app_is_refused_by_every_command_that_reads_one() {
    let machine = Machine::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let remedy = "hint: name the folder of an app, or its roadbed.toml";

    each_reader(&machine, &path.join("absent"), &["absent", remedy]);
    let missing = format!("error: there is no {}/roadbed.toml", path.display());
    each_reader(&machine, path, &[&missing, remedy]);

    let file = path.join("roadbed.toml");
    fs::create_dir(&file).unwrap();
    each_reader(&machine, path, &["is no", "roadbed.toml", "hint: "]);
    fs::remove_dir(&file).unwrap();

    fs::write(&file, "app = \"shop\"\n\nthis is no TOML").unwrap();
    let place = format!("{}:3:6", file.display());
    each_reader(&machine, path, &["error: ", &place, "3 | this is no TOML"]);

    fs::write(&file, b"app = \"shop\"\n# \xff\n").unwrap();
    let place = format!("{}:2: not UTF-8", file.display());
    each_reader(&machine, path, &["error: ", &place, "hint: save the file"]);

    fs::write(&file, vec![b'#'; 8 << 20]).unwrap();
    each_reader(&machine, path, &["error: ", "is larger than", "hint: "]);
}

#[test]
fn every_mistake_is_reported_with_its_place() {
    let machine = Machine::new();
    let app = AppFolder::new(MISTAKES);
    let file = app.folder().join("roadbed.toml");
    let at = |place: &str| format!("--> {}:{place}", file.display());
    let texts = [
        "error: `run` takes a string or a list of strings",
        &at("4:11"),
        "error: unknown key \"replica\" in service \"web\"",
        &at("5:1"),
        "hint: did you mean `replicas`?",
        "error: service \"api\" has no `run`",
        &at("7:11"),
        "error: `uses` names \"nope\", which is no service of this app",
        &at("8:9"),
        "8 | uses = [\"nope\"]",
        &format!("4 problems in {}", file.display()),
    ];
    each_reader(&machine, app.folder(), &texts);
    // The file itself may be named too, and nothing in it be run: not even a build.
    each_reader(&machine, &file, &texts);
}

#[test]
fn the_problems_of_a_file_have_a_shape_for_programs() {
    let machine = Machine::new();
    let app = AppFolder::new(MISTAKES);
    let checked = machine.run(&["check", "--json", app.path()]);
    assert_eq!(
        (checked.code, checked.stderr.as_str()),
        (Some(2), ""),
        "{checked:?}"
    );
    let report: Value = serde_json::from_str(&checked.stdout).unwrap();
    assert_eq!(report["file"], format!("{}/roadbed.toml", app.path()));
    assert_eq!(report["more"], false);
    assert_eq!(report["problems"].as_array().unwrap().len(), 4);
    assert_eq!(
        report["problems"][1],
        json!({
            "message": "unknown key \"replica\" in service \"web\"",
            "line": 5,
            "column": 1,
            "hint": "did you mean `replicas`?",
        })
    );
    assert_eq!(report["problems"][0]["hint"], Value::Null);
    assert_eq!(report.as_object().unwrap().len(), 3);

    app.solo_runs("\"./trivial\"");
    let valid: Value = serde_json::from_str(&machine.ok(&["check", "--json", app.path()])).unwrap();
    let file = fs::canonicalize(app.folder()).unwrap().join("roadbed.toml");
    assert_eq!(
        valid,
        json!({
            "file": file, "app": "solo", "services": ["web"], "problems": [], "more": false,
        })
    );
    let said = machine.ok(&["check", app.path()]);
    let expected = format!("{} is valid: app solo, 1 service\n", file.display());
    assert_eq!(said, expected);
}

#[test]
fn a_file_that_may_not_be_read_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return left_out("a file that may not be read: only root can become another user");
    }
    let machine = Machine::new();
    let app = AppFolder::pair();
    fs::set_permissions(app.folder(), Permissions::from_mode(0o755)).unwrap();
    let file = app.folder().join("roadbed.toml");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    for reader in READERS {
        let mut command = machine.command(&[reader, app.path()]);
        command.uid(65534).gid(65534);
        let finished = machine.without_a_trace(|| Finished::from(command.output().unwrap()));
        let wrong = format!("cannot read {}: Permission denied", file.display());
        finished.invalid(&[&wrong, "hint: check the permissions"]);
    }
}

#[test]
fn bad_usage_is_refused_with_the_way_to_do_it() {
    let machine = Machine::new();
    let cases: [(&[&str], &str); 20] = [
        (&[], "Usage: roadbed [OPTIONS] <COMMAND>"),
        (&["frobnicate"], "unrecognized subcommand 'frobnicate'"),
        (&["statsu"], "a similar subcommand exists: 'status'"),
        (&["status", "--jsno"], "a similar argument exists: '--json'"),
        (&["status", "a", "b"], "unexpected argument 'b'"),
        (&["up", "--edge", "8080"], "such as 127.0.0.1:8080"),
        (&["up", "--edge", "localhost:80"], "such as 127.0.0.1:8080"),
        (&["server", "--edge", "127.0.0.1:0"], "port 0"),
        (&["up", "--edge-tls", "8443"], "such as 127.0.0.1:8080"),
        (&["server", "--edge-tls", "127.0.0.1:0"], "port 0"),
        (
            &["server", "--metrics", "0.0.0.0:9700"],
            "this machine alone",
        ),
        (&["down"], "Usage: roadbed down [OPTIONS] <APP | --all>"),
        (&["down", "--all", "shop"], "'--all' cannot be used with"),
        (&["down", "no name"], "does not name an app"),
        (&["logs"], "<APP[/SERVICE]>"),
        (&["logs", "shop", "-n", "few"], "'few' for '--tail <N>'"),
        (&["logs", "shop", "--since", "90"], "such as 15m"),
        (&["logs", "Shop"], "write `roadbed logs APP` or"),
        (&["logs", "shop/web/1"], "write `roadbed logs APP` or"),
        (&["proxy", "--workers", "0"], "0 is not in 1..=256"),
    ];
    for (words, text) in cases {
        let finished = machine.without_a_trace(|| machine.run(words));
        finished.invalid(&[text]);
    }
    let mut command = machine.command(&["server"]);
    command.env("ROADBED_LOG", "what=ever=this");
    Finished::from(command.output().unwrap()).invalid(&["error: ROADBED_LOG is "]);
}

#[test]
fn help_is_complete_and_is_no_error() {
    let machine = Machine::new();
    let all = machine.ok(&["--help"]);
    let listed = all
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        // What continues a line above is further in.
        .filter(|line| !line.starts_with("   "))
        .map(|line| line.split_whitespace().next().unwrap());
    let commands: Vec<&str> = COMMANDS.iter().map(|(command, _)| *command).collect();
    assert_eq!(listed.collect::<Vec<_>>(), commands);
    for text in ["Exit codes: 0 ", "--home <FOLDER>", "-V, --version"] {
        assert!(all.contains(text), "{text:?} is not in {all}");
    }
    for (command, options) in COMMANDS {
        let help = machine.ok(&[command, "--help"]);
        for text in [
            options,
            &[
                &format!("Usage: roadbed {command} "),
                "--home <FOLDER>",
                "-h, --help",
            ],
        ]
        .concat()
        {
            assert!(help.contains(text), "{text:?} is not in {help}");
        }
        // None is missing from the list above.
        let shown = help.lines().filter(|line| {
            let line = line.trim_start();
            line.starts_with(['-', '[', '<'])
        });
        assert_eq!(shown.count(), options.len() + 2, "{help}");
        assert!(help.lines().all(|line| line.len() <= 100), "{help}");
        assert!(!machine.ok(&[command, "-h"]).is_empty());
    }
    let version = machine.ok(&["--version"]);
    assert!(version.starts_with("roadbed "), "{version}");
}

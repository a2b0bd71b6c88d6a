//! Pages of errors, from the file to what clients are shown.

use std::fs;
use std::path::Path;

use crate::support::{AppFolder, Machine};

const APP: &str = r#"
app = "shown"

[services.web]
run    = "./trivial"
expose = { host = "shown.localhost", path = "/app" }

[error_pages]
404 = "errors/404.html"
5xx = { html = "errors/5xx.html", json = "errors/5xx.json", services = true }
"#;

fn write(app: &AppFolder, name: &str, bytes: impl AsRef<[u8]>) {
    let folder = Path::new(app.path()).join("errors");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), bytes).unwrap();
}

#[test]
fn pages_that_cannot_be_used_are_told_of_with_their_place() {
    let machine = Machine::new();
    let app = AppFolder::new(APP);
    write(&app, "404.html", vec![b'x'; 64 * 1024 + 1]);
    write(&app, "5xx.html", b"caf\xe9");
    let check = machine.run(&["check", "--json", app.path()]);
    assert_eq!(check.code, Some(2), "{check:?}");
    let told: serde_json::Value = serde_json::from_str(&check.stdout).unwrap();
    let problems: Vec<_> = told["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| {
            let message = problem["message"].as_str().unwrap();
            (
                problem["line"].as_u64(),
                problem["column"].as_u64(),
                message,
            )
        })
        .collect();
    let missing = Path::new(app.path()).canonicalize().unwrap();
    let missing = format!("there is no {}/errors/5xx.json", missing.display());
    assert_eq!(
        problems,
        [
            (
                Some(9),
                Some(7),
                "\"errors/404.html\" has more than 64 KiB, the most that a page can have"
            ),
            (Some(10), Some(16), "\"errors/5xx.html\" is not UTF-8 text"),
            (Some(10), Some(42), &missing[..]),
        ]
    );
}

#[test]
fn what_the_files_said_when_they_were_deployed_is_shown() {
    let machine = Machine::new();
    let app = AppFolder::new(APP);
    write(&app, "404.html", "nothing here: {{reason}}");
    write(&app, "5xx.html", "<p>{{status}}</p>");
    write(&app, "5xx.json", "{\"status\": {{status}}}");
    machine.up(&app);
    let shown = || machine.get("shown.localhost", "/none");
    assert_eq!(shown().body, "nothing here: no-route");
    assert_eq!(
        shown().header("content-type"),
        Some("text/html; charset=utf-8")
    );
    // A file that changes, or goes, changes nothing.
    fs::remove_dir_all(Path::new(app.path()).join("errors")).unwrap();
    machine.lose_power();
    let _server = machine.start_server();
    crate::support::until("the edge is back", || shown().status == 404);
    assert_eq!(shown().body, "nothing here: no-route");
    let refused = machine.run(&["deploy", app.path()]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    write(&app, "404.html", "other: {{reason}}");
    write(&app, "5xx.html", "other");
    write(&app, "5xx.json", "{}");
    assert_eq!(shown().body, "nothing here: no-route");
    machine.ok(&["deploy", app.path()]);
    assert_eq!(shown().body, "other: no-route");
}

#[test]
fn pages_are_so_many_and_have_so_much_together() {
    const KIB: usize = 1024;
    let machine = Machine::new();
    let app = AppFolder::new(APP);
    let declare = |count: usize, bytes: usize| {
        let (head, _) = APP.split_once("[error_pages]").unwrap();
        let pages = (0..count).map(|n| format!("{} = \"errors/{n}.html\"\n", 404 + n));
        app.declare(&format!(
            "{head}[error_pages]\n{}",
            pages.collect::<String>()
        ));
        for n in 0..count {
            write(&app, &format!("{n}.html"), vec![b'x'; bytes]);
        }
    };
    declare(16, 16 * KIB);
    machine.ok(&["check", app.path()]);
    machine.up(&app);
    let shown = || machine.get("shown.localhost", "/none").body.len();
    assert_eq!(shown(), 16 * KIB);
    for (count, bytes, problem) in [
        (17, 1, "`error_pages` has pages for at most 16 statuses"),
        (16, 16 * KIB + 1, "256 KiB together"),
        (5, 64 * KIB, "256 KiB together"),
    ] {
        declare(count, bytes);
        for command in ["check", "deploy"] {
            let refused = machine.run(&[command, app.path()]);
            assert_eq!(refused.code, Some(2), "{command}: {refused:?}");
            assert!(refused.stderr.contains(problem), "{command}: {refused:?}");
        }
        assert_eq!(shown(), 16 * KIB);
    }
    declare(4, 64 * KIB);
    machine.ok(&["deploy", app.path()]);
    assert_eq!(shown(), 64 * KIB);
}

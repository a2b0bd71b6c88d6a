//! A disk that is too small or fills up: said clearly, nothing that runs is disturbed, and all is
//! well once there is space again.

use crate::support::apps::SOLO;
use crate::support::{AppFolder, Machine, until};

/// One service at the edge, one that counts aloud, and one whose instances end with many words as soon
/// as the file `loud` is there: what is written down of them is long.
const APP: &str = r#"
app = "full"

[services.loud]
run      = ["sh", "-c", "until [ -e FOLDER/loud ]; do sleep 0.3; done; yes $$(printf %01000d 7) | head -n 40; exit 1"]
replicas = 24
health   = { command = "true", interval = "60s" }

[services.web]
run    = "./trivial"
expose = { host = "solo.localhost" }
health = { path = "/healthz", interval = "250ms" }

[services.counter]
run    = ["sh", "-c", "i=0; while sleep 0.01; do i=$$((i + 1)); echo number $$i; done"]
health = { command = "true" }
"#;

fn trouble(machine: &Machine) -> Option<String> {
    machine.status()["server"]["trouble"]
        .as_str()
        .map(str::to_owned)
}

#[test]
fn a_disk_that_is_too_small_is_said_to_be() {
    // Too small for a home at all, for the store in it, and for an instance.
    for kibibytes in [4, 48, 92] {
        let Some(machine) = Machine::with_small_disk(kibibytes) else {
            return;
        };
        let app = AppFolder::solo("\"./trivial\"");
        let up = machine.try_up(&app);
        up.failed(&["hint: "]);
        let said = up.stderr.to_lowercase();
        assert!(said.contains("no space left"), "{kibibytes} KiB: {up:?}");
        until("all processes have ended", || {
            machine.processes().is_empty()
        });
    }
}

#[test]
fn an_app_runs_on_while_the_disk_is_full_and_all_is_well_afterwards() {
    let Some(machine) = Machine::with_small_disk(5000) else {
        return;
    };
    let disk = machine.disk.as_ref().unwrap();
    let app = AppFolder::new("");
    app.declare(&APP.replace("FOLDER", app.path()));
    machine.up(&app);
    let served = machine.get(SOLO, "/").body;
    let numbers = || machine.ok(&["logs", "full/counter"]).lines().count();
    until("the counter has counted", || numbers() >= 5);

    disk.fill();
    let quiet = || {
        let mut instances = machine.instances("full");
        instances.retain(|instance| !instance["instance"].as_str().unwrap().contains("loud"));
        instances
    };
    let before = quiet();
    let refused = [
        "error: no space left for the release: it needs ",
        "hint: free some space on that disk, or have the server keep fewer releases, and try again; \
         nothing was changed",
    ];
    machine.run(&["deploy", app.path()]).failed(&refused);
    assert_eq!(quiet(), before);

    // What becomes of instances has room within the store, until the server cannot write it down any
    // more.
    let loud = app.folder().join("loud");
    std::fs::write(&loud, "").unwrap();
    until("the server is in trouble", || trouble(&machine).is_some());
    let said = machine.ok(&["status"]);
    assert!(
        said.contains("\ntrouble: no space left to write "),
        "{said}"
    );
    let doctor = machine.run(&["doctor"]);
    assert_eq!(doctor.code, Some(1), "{doctor:?}");
    assert!(
        doctor.stdout.contains("BAD   store: no space left"),
        "{doctor:?}"
    );
    assert_eq!(
        machine.get(SOLO, "/").body,
        served,
        "it serves all the same"
    );
    assert_eq!(quiet(), before);
    std::fs::remove_file(&loud).unwrap();
    let (mut last, mut same) = (0, 0);
    until("lines of the counter find no room", || {
        let now = numbers();
        same = if now == last { same + 1 } else { 0 };
        last = now;
        same >= 10
    });

    disk.free();
    until("there is no trouble any more", || {
        trouble(&machine).is_none()
    });
    until("lines are written again", || {
        let logs = machine.ok(&["logs", "full/counter"]);
        logs.contains(" lost: no space left\n")
    });
    machine.ok(&["deploy", app.path()]);
    assert_ne!(machine.get(SOLO, "/").body, served);
    every_number_is_there_or_counted_as_lost(&machine.ok(&["logs", "full/counter"]));
    assert!(machine.run(&["status"]).stdout.contains("full: release "));
}

/// Every number of the first counter is in its log, or said to be lost.
fn every_number_is_there_or_counted_as_lost(logs: &str) {
    let (mut next, mut lost) = (1, 0);
    for line in logs
        .lines()
        .filter_map(|line| line.strip_prefix("counter.1.1 | "))
    {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["number", number] => {
                assert_eq!(number, next.to_string(), "{line}");
                next += 1;
            }
            ["roadbed:", count, ..] => {
                let count: u32 = count.parse().unwrap();
                (next, lost) = (next + count, lost + count);
            }
            _ => panic!("{line}"),
        }
    }
    assert!(lost > 0 && next > lost + 5, "{logs}");
}

//! A disk that is too small or fills up: said clearly, nothing that runs is disturbed, and all is
//! well once there is space again.

use crate::support::apps::SOLO;
use crate::support::{AppFolder, Machine, until};

/// One service at the edge, and one that counts aloud.
const APP: &str = r#"
app = "full"

[services.web]
run    = "./trivial"
expose = { host = "solo.localhost" }
health = { path = "/healthz", interval = "250ms" }

[services.counter]
run    = ["sh", "-c", "i=0; while sleep 0.01; do i=$$((i + 1)); echo number $$i; done"]
health = { command = "true" }
"#;

/// An app with a record of so many thousand bytes.
fn large(name: &str, kilobytes: u32) -> AppFolder {
    let variables: String = (0..kilobytes)
        .map(|number| format!("V{number} = \"{}\"\n", "x".repeat(1000)))
        .collect();
    AppFolder::new(&format!(
        "app = \"{name}\"\n[services.web]\nrun = \"./trivial\"\n[services.web.env]\n{variables}"
    ))
}

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
    let Some(machine) = Machine::with_small_disk(2000) else {
        return;
    };
    let disk = machine.disk.as_ref().unwrap();
    let app = AppFolder::new(APP);
    machine.up(&app);
    let served = machine.get(SOLO, "/").body;
    let numbers = || machine.ok(&["logs", "full/counter"]).lines().count();
    until("the counter has counted", || numbers() >= 5);

    disk.fill();
    let before = machine.instances("full");
    let started = [
        "error: release 2 of full failed: ",
        "No space left on device",
        "; release 1 goes on running",
        "hint: ",
    ];
    machine.run(&["deploy", app.path()]).failed(&started);
    // Not even the record of this one has room within the store.
    machine
        .run(&["deploy", large("large", 200).path()])
        .failed(&[
            "error: no space left to write ",
            "hint: free some space on that disk and try again; nothing was changed",
        ]);
    assert_eq!(machine.instances("full"), before);

    // Small ones have, until the server cannot write down any more what becomes of them.
    let mut last = None;
    for number in 1.. {
        assert!(number < 100, "the store never fills up");
        let app = large(&format!("small-{number}"), 1);
        let mut deploy = machine.spawn(&["deploy", app.path()]);
        until("the deploy ends or the server is in trouble", || {
            deploy.has_ended() || trouble(&machine).is_some()
        });
        if trouble(&machine).is_some() {
            last = Some((app, deploy));
            break;
        }
        deploy.finish().failed(&["o space left"]);
    }
    let (_small, mut deploy) = last.unwrap();
    until("the deploy is refused or tells of the trouble", || {
        let told = "  the server is in trouble: no space left to write ";
        deploy.has_ended() || deploy.stderr().contains(told)
    });
    let goes_on = !deploy.has_ended();
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
    assert_eq!(machine.instances("full"), before);

    disk.free();
    until("there is no trouble any more", || {
        trouble(&machine).is_none()
    });
    let deploy = deploy.finish();
    match goes_on {
        true => assert_eq!(deploy.code, Some(0), "{deploy:?}"),
        false => drop(deploy.failed(&["no space left to write "])),
    }
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

//! Going back: files and settings together, from a rollout that goes on too, and one at a time.

use serde_json::Value;

use crate::releases::{Kept, all, releases, told};
use crate::support::{Machine, until};

/// A program that never becomes ready.
const NEVER_READY: &str = "[\"sleep\", \"1000\"]";

fn states(machine: &Machine) -> Vec<(u64, String)> {
    let state = |release: &Value| {
        let number = release["release"].as_u64().unwrap();
        (number, release["state"].as_str().unwrap().to_owned())
    };
    releases(machine).iter().map(state).collect()
}

fn names(machine: &Machine) -> Vec<String> {
    let instances = machine.instances("kept");
    let name = |instance: &Value| instance["instance"].as_str().unwrap().to_owned();
    instances.iter().map(name).collect()
}

#[test]
fn files_and_settings_go_back_together_and_forth_again() {
    let machine = Machine::new();
    let app = Kept::new();
    machine.up(&app.0);
    machine.run(&["rollback", "kept"]).failed(&[
        "error: there is nothing to go back to: no release of kept that is kept ran before",
        "hint: `roadbed releases kept` lists those that are kept",
    ]);
    app.put("two");
    machine.ok(&["deploy", app.0.path()]);
    assert_eq!(told(&machine), all("two"));

    let said = machine.ok(&["rollback", "kept"]);
    assert!(said.starts_with("kept is up at release 3\n"), "{said}");
    assert_eq!(told(&machine), all("one"));
    assert_eq!(releases(&machine)[0]["restores"], 1);
    // Of a rollback too: what it went back from.
    machine.ok(&["rollback", "kept"]);
    assert_eq!(told(&machine), all("two"));
    assert_eq!(releases(&machine)[0]["restores"], 2);
    machine.ok(&["rollback", "kept", "--to", "1"]);
    assert_eq!(told(&machine), all("one"));

    machine
        .run(&["rollback", "kept", "--to", "5"])
        .failed(&["error: release 5 of kept is what runs"]);
    machine
        .run(&["rollback", "kept", "--to", "77"])
        .failed(&["error: release 77 of kept is not kept any more, or never was"]);
    machine
        .run(&["rollback", "other"])
        .failed(&["no app \"other\""]);
    machine
        .run(&["deploy", "--cancel", app.0.path()])
        .failed(&["error: no rollout of kept goes on"]);
    let live = (5, "live".to_owned());
    let replaced = (1..=4).rev().map(|number| (number, "replaced".to_owned()));
    assert_eq!(
        states(&machine),
        [live].into_iter().chain(replaced).collect::<Vec<_>>()
    );
}

#[test]
fn a_rollout_that_goes_on_is_given_up_when_told_to() {
    let machine = Machine::new();
    let app = Kept::new();
    machine.up(&app.0);
    let runs = names(&machine);
    for (round, command) in [
        &["deploy", "--cancel", app.0.path()][..],
        &["rollback", "kept"][..],
    ]
    .into_iter()
    .enumerate()
    {
        app.put_run("two", NEVER_READY);
        let deploy = machine.spawn(&["deploy", app.0.path()]);
        until("it is being rolled out", || names(&machine).len() == 2);
        let other = machine.run(&["deploy", app.0.path()]);
        other.failed(&[
            "is being rolled out",
            "`roadbed status kept` shows how far it is, `roadbed deploy --cancel` gives it up, and \
             `roadbed rollback kept` goes back",
        ]);
        let said = machine.ok(command);
        assert!(said.starts_with("kept is up at release 1\n"), "{said}");
        assert_eq!(
            (names(&machine), told(&machine)),
            (runs.clone(), all("one"))
        );
        let deploy = deploy.finish();
        let word = ["cancelled by ", "rolled back by "][round];
        deploy.failed(&[word, "; release 1 goes on running"]);
    }
    let expected = [(3, "reverted"), (2, "reverted"), (1, "live")];
    assert_eq!(
        states(&machine),
        expected.map(|(number, state)| (number, state.to_owned()))
    );
}

#[test]
fn a_rollback_takes_the_place_of_a_rollout() {
    let machine = Machine::new();
    let app = Kept::new();
    machine.up(&app.0);
    app.put("two");
    machine.ok(&["deploy", app.0.path()]);
    app.put_run("three", NEVER_READY);
    let deploy = machine.spawn(&["deploy", app.0.path()]);
    until("it is being rolled out", || names(&machine).len() == 2);
    machine.ok(&["rollback", "kept", "--to", "1"]);
    assert_eq!(told(&machine), all("one"));
    deploy
        .finish()
        .failed(&["release 4 of kept has taken the place of 3"]);
    let expected = [
        (4, "live"),
        (3, "superseded"),
        (2, "replaced"),
        (1, "replaced"),
    ];
    assert_eq!(
        states(&machine),
        expected.map(|(number, state)| (number, state.to_owned()))
    );
}

#[test]
fn the_first_rollout_can_be_given_up_and_there_is_nothing_then() {
    let machine = Machine::new();
    let _server = machine.start_server();
    let app = Kept::new();
    app.put_run("one", NEVER_READY);
    let deploy = machine.spawn(&["deploy", app.0.path()]);
    until("it is being rolled out", || {
        machine.run(&["status", "kept"]).code == Some(0) && names(&machine).len() == 1
    });
    machine.run(&["rollback", "kept"]).failed(&[
        "error: there is nothing to go back to: no release of kept ran before release 1",
        "hint: `roadbed down kept` stops it",
    ]);
    let said = machine.ok(&["deploy", "--cancel", app.0.path()]);
    assert_eq!(said, "nothing of kept runs\n");
    deploy
        .finish()
        .failed(&["cancelled by ", "; nothing of it runs any more"]);
    assert_eq!(states(&machine), [(1, "halted".to_owned())]);
    app.put("two");
    machine.ok(&["deploy", app.0.path()]);
    assert_eq!(told(&machine), all("two"));
}

#[test]
fn of_two_deploys_at_once_one_is_refused_or_both_are_done_in_turn() {
    let machine = Machine::new();
    let app = Kept::new();
    machine.up(&app.0);
    for round in 0..3 {
        app.put(&format!("round {round}"));
        let deploys = [(); 3].map(|()| machine.spawn(&["deploy", app.0.path()]));
        let mut done = 0;
        for deploy in deploys {
            let deploy = deploy.finish();
            if deploy.code == Some(0) {
                done += 1;
                continue;
            }
            let said = &deploy.stderr;
            let is_refused = ["is being rolled out", "at the same moment"]
                .iter()
                .any(|text| said.contains(text));
            assert!(is_refused, "{deploy:?}");
        }
        assert!(done >= 1);
        assert_eq!(told(&machine), all(&format!("round {round}")));
        assert_eq!(names(&machine).len(), 1);
    }
    let live = states(&machine)
        .into_iter()
        .filter(|(_, state)| state == "live");
    assert_eq!(live.count(), 1);
}

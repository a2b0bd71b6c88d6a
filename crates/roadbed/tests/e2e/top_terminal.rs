//! `roadbed top` on a terminal: keys, sizes, and what is left behind.

use rustix::process::Signal;

use crate::support::apps::{HOST, PAIR};
use crate::support::processes::kill;
use crate::support::terminal::Terminal;
use crate::support::{AppFolder, Machine};

const CTRL_C: &str = "\x03";
const UP: &str = "\x1b[A";
const DOWN: &str = "\x1b[B";

fn top(machine: &Machine) -> Terminal {
    let command = machine.command(&["top", "--interval", "100ms"]);
    let terminal = Terminal::run(&command, (80, 24));
    terminal.expect("services", |lines| {
        lines.len() > 3 && lines[2].starts_with("SERVICE ")
    });
    assert!(terminal.is_taken());
    terminal
}

fn starts(lines: &[String], line: usize, start: &str) -> bool {
    lines.get(line).is_some_and(|line| line.starts_with(start))
}

#[test]
fn services_are_shown_at_any_size_and_keys_move_among_them() {
    let machine = Machine::new();
    let folder = AppFolder::pair();
    let more = ["one", "two", "three"].map(|name| {
        format!("[services.{name}]\nrun = \"./trivial\"\nhealth = {{ path = \"/healthz\" }}\n")
    });
    folder.declare(&format!("{PAIR}\n{}", more.concat()));
    machine.up(&folder);
    let mut terminal = top(&machine);
    terminal.expect("all five", |lines| {
        lines.len() == 9 && lines[8] == "q ends" && lines[0].contains(" requests/s, ")
    });
    terminal.expect("requests", |lines| {
        machine.get(HOST, "/");
        let cells: Vec<&str> = lines[3].split_whitespace().collect();
        cells[0] == "pair/front" && cells[1] != "0" && cells[2] == "0.0%"
    });
    // It is told of its new size, and has room for three services.
    terminal.resize(60, 7);
    let shows =
        |first: &'static str| move |lines: &[String]| lines.len() == 7 && starts(lines, 6, first);
    terminal.expect("three of them", shows("1 to 3 of 5, up and down"));
    let fit = |line: &String| line.chars().count() <= 60;
    assert!(terminal.lines().iter().all(fit), "{:?}", terminal.lines());
    terminal.press(DOWN);
    terminal.expect("the next", shows("2 to 4 of 5, "));
    terminal.press("G");
    terminal.expect("the last", shows("3 to 5 of 5, "));
    terminal.press(UP);
    terminal.expect("one before", shows("2 to 4 of 5, "));
    terminal.press("\x1b[5~?");
    terminal.expect("the first", shows("1 to 3 of 5, "));
    terminal.resize(39, 7);
    terminal.expect("that it is too small", |lines| {
        lines == ["39x7: smaller than 40x6"]
    });
    terminal.resize(4, 1);
    terminal.expect("a part of that", |lines| lines == ["4x1…"]);
    terminal.resize(100, 30);
    terminal.expect("all again", |lines| {
        lines.len() == 9 && lines[8] == "q ends"
    });
    terminal.press("q");
    assert_eq!(terminal.finish(), Some(0));
}

#[test]
fn the_terminal_is_left_as_it_was_whatever_ends_it_also_without_a_server() {
    let machine = Machine::new();
    machine.up(&AppFolder::pair());
    let mut by_key = top(&machine);
    by_key.press(CTRL_C);
    assert_eq!(by_key.finish(), Some(0));
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let terminal = top(&machine);
        terminal.signal(signal);
        assert_eq!(terminal.finish(), Some(0), "{signal:?}");
    }
    let [mut stays, mut ends] = [top(&machine), top(&machine)];
    kill(machine.server_pid());
    for terminal in [&stays, &ends] {
        terminal.expect("that no server answers, and what was before", |lines| {
            lines[0].contains("no server") && starts(lines, 3, "pair/")
        });
    }
    ends.press(CTRL_C);
    assert_eq!(ends.finish(), Some(0));
    let _server = machine.start_server();
    stays.expect("what happens now", |lines| {
        lines[0].contains(" requests/s, ") && starts(lines, 3, "pair/")
    });
    // What was counted before is no request of the moment that the server came back.
    assert!(
        starts(&stays.lines(), 0, "0.0 requests/s, "),
        "{:?}",
        stays.lines()
    );
    stays.press("q");
    assert_eq!(stays.finish(), Some(0));
}

#[test]
fn without_a_server_a_terminal_is_not_taken() {
    let machine = Machine::new();
    let terminal = Terminal::run(&machine.command(&["top"]), (80, 24));
    terminal.expect("the reason", |lines| {
        lines.iter().any(|line| line.contains("no server"))
    });
    assert!(!terminal.is_taken());
    assert_eq!(terminal.finish(), Some(1));
}

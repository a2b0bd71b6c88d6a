//! `roadbed top` next to what a client knows.

use serde_json::Value;

use crate::support::apps::HOST;
use crate::support::processes::kill;
use crate::support::{AppFolder, Machine, until};

/// The row of a service in what is printed for an interval.
fn row_of(line: &str, service: &str) -> Value {
    let interval: Value = serde_json::from_str(line).unwrap();
    let services = interval["services"].as_array().unwrap();
    let found = services.iter().find(|row| row["service"] == service);
    found.unwrap_or_else(|| panic!("{line}")).clone()
}

#[test]
fn what_happens_in_an_interval_is_shown_and_nothing_else() {
    let machine = Machine::new();
    machine.up(&AppFolder::pair());
    // What was before is in no picture.
    for _ in 0..5 {
        assert_eq!(machine.get(HOST, "/via/nobody/").status, 502);
    }
    until("they are counted", || {
        let services = &machine.status()["apps"][0]["services"];
        let services = services.as_array().unwrap().iter();
        let answered = services.map(|service| service["requests"]["answered"].as_u64());
        answered.flatten().sum::<u64>() == 5
    });
    let top = machine.ok(&["top", "--once", "--interval", "100ms"]);
    let head = "SERVICE     REQ/S  ERRORS  P50  P99  IN FLIGHT  RETRIES  READY  RESTARTS\n";
    assert!(top.contains(head), "{top}");
    assert!(
        top.contains("pair/front  0      -       -    -    0          0        2/2    0\n"),
        "{top}"
    );

    let quiet = machine.ok(&["top", "--json", "--once", "--interval", "100ms"]);
    assert_eq!(quiet.lines().count(), 1, "{quiet}");
    let front = row_of(quiet.trim_end(), "front");
    assert_eq!(
        (&front["requests_per_second"], &front["error_share"]),
        (&0.0.into(), &Value::Null)
    );

    let (mut over, mut failed) = (0.0, 0.0);
    let background = machine.spawn(&["top", "--json", "--interval", "300ms"]);
    let mut asked = 0;
    until("all requests were in some interval", || {
        let lines = background.stdout();
        if lines.lines().count() >= 1 && asked < 20 {
            // The first look was taken: from here on all is counted.
            asked += 1;
            let path = if asked % 4 == 0 {
                "/via/nobody/"
            } else {
                "/via/back/"
            };
            machine.get(HOST, path);
        }
        (over, failed) = (0.0, 0.0);
        for line in lines.lines().filter(|line| line.ends_with('}')) {
            let (row, interval) = (
                row_of(line, "front"),
                serde_json::from_str::<Value>(line).unwrap(),
            );
            let requests = row["requests_per_second"].as_f64().unwrap()
                * interval["seconds"].as_f64().unwrap();
            over += requests;
            failed += row["error_share"].as_f64().unwrap_or_default() * requests;
            if requests > 0.0 {
                let [p50, p99] =
                    ["p50", "p99"].map(|name| row[format!("{name}_milliseconds")].as_f64());
                assert!(p50.unwrap() > 0.0 && p50 <= p99, "{row}");
            }
        }
        asked == 20 && over > 19.5
    });
    // Rates are rounded, and intervals are multiplied out of them.
    assert!(
        (over - 20.0).abs() < 0.1 && (failed - 5.0).abs() < 0.1,
        "{over} {failed}"
    );

    kill(machine.server_pid());
    let finished = machine.run(&["top", "--once"]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
}

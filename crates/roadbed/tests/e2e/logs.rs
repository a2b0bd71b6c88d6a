//! `roadbed logs`: every line of every instance, in order, now and as it comes, whatever happens
//! to instances and server.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use runner::logs::Timestamp;
use serde_json::{Value, json};

use crate::support::processes::kill;
use crate::support::{AppFolder, Machine, until};

/// An app that is never probed to its port.
fn talker(name: &str, script: &str) -> AppFolder {
    AppFolder::new(&format!(
        r#"
app = "{name}"
[services.web]
run    = ["sh", "-c", '''{script}''']
health = {{ command = "true" }}
"#
    ))
}

/// A record as it stands on disk.
fn record(at: u64, text: &str) -> String {
    format!("{} stdout F {text}\n", Timestamp(at))
}

/// Puts a log into a home in which nothing has ever run.
fn put(machine: &Machine, instance: &str, records: &str) {
    let [app, service, ..] = instance.split('.').collect::<Vec<_>>()[..] else {
        panic!("{instance}")
    };
    let folder = machine.home().join("logs").join(app).join(service);
    fs::create_dir_all(folder.join(instance)).unwrap();
    fs::write(machine.home().join("format"), "1").unwrap();
    fs::write(folder.join(instance).join("0000000001.log"), records).unwrap();
}

const SECOND: u64 = 1_000_000_000;

/// The process of the one instance of an app.
fn pid(machine: &Machine, app: &str) -> Option<u32> {
    let pid = machine.instances(app).first()?["pid"].as_u64()?;
    pid.try_into().ok()
}

#[test]
fn the_logs_of_several_instances_are_one_in_the_order_of_their_times() {
    let machine = Machine::new();
    let now = Timestamp::now().0;
    let ago = |seconds: u64| now - seconds * SECOND;
    let of = |times: &[u64]| -> String {
        times
            .iter()
            .map(|seconds| record(ago(*seconds), &format!("{seconds} s ago")))
            .collect()
    };
    put(&machine, "shop.web.1.1", &of(&[9000, 5000, 100, 20]));
    put(&machine, "shop.web.1.2", &of(&[7000, 90, 10]));
    put(&machine, "shop.orders.2.1", &of(&[8000, 80, 30]));
    let lines = |words: &[&str]| -> Vec<String> {
        let printed = machine.without_a_trace(|| machine.ok(&[&["logs"], words].concat()));
        printed.lines().map(str::to_owned).collect()
    };
    let all = [
        "web.1.1 | 9000 s ago",
        "orders.2.1 | 8000 s ago",
        "web.1.2 | 7000 s ago",
        "web.1.1 | 5000 s ago",
        "web.1.1 | 100 s ago",
        "web.1.2 | 90 s ago",
        "orders.2.1 | 80 s ago",
        "orders.2.1 | 30 s ago",
        "web.1.1 | 20 s ago",
        "web.1.2 | 10 s ago",
    ];
    assert_eq!(lines(&["shop"]), all);
    let web: Vec<_> = all
        .into_iter()
        .filter(|line| line.starts_with("web"))
        .collect();
    assert_eq!(lines(&["shop/web"]), web);
    for count in [0, 1, 4, 10, 1000] {
        let last = &all[all.len().saturating_sub(count)..];
        assert_eq!(lines(&["shop", "-n", &count.to_string()]), last);
    }
    assert_eq!(lines(&["shop", "--since", "1h"]), all[4..]);
    assert_eq!(lines(&["shop", "--since", "2h", "--tail", "9"]), all[2..]);
    assert_eq!(
        lines(&["shop/orders", "--since", "1h", "-n", "1"]),
        all[7..8]
    );
    assert!(lines(&["shop", "--since", "0s"]).is_empty());
    let first = lines(&["shop", "--timestamps"]).swap_remove(0);
    let time = &Timestamp(ago(9000)).to_string()[..23];
    assert_eq!(first, format!("{time}Z {}", all[0]));
}

#[test]
fn what_has_no_log_is_refused_with_the_names_of_what_has() {
    let machine = Machine::new();
    machine
        .without_a_trace(|| machine.run(&["logs", "shop"]))
        .failed(&[
            "error: no app \"shop\" has a log in ",
            "hint: nothing has been started with this home yet; see --home",
        ]);
    put(&machine, "shop.web.1.1", "");
    put(&machine, "blog.web.1.1", "");
    machine.run(&["logs", "shap"]).failed(&[
        "error: no app \"shap\" has a log",
        "hint: there are: blog, shop",
    ]);
    machine.run(&["logs", "shop/wbe"]).failed(&[
        "error: no service \"wbe\" has a log",
        "hint: there are: web",
    ]);
    assert_eq!(machine.ok(&["logs", "shop"]), "", "nothing was written yet");
    // A follower may come first, and says that it waits.
    let follower = machine.spawn(&["logs", "-f", "later"]);
    until("it says that it waits", || {
        follower
            .stderr()
            .starts_with("no app \"later\" has a log in ")
    });
    put(&machine, "later.web.1.1", &record(1, "at last"));
    until("it sees the first line", || {
        follower.stdout() == "web.1.1 | at last\n"
    });
}

#[test]
fn programs_get_every_line_as_json_whatever_is_in_it() {
    let machine = Machine::new();
    let app = talker(
        "talk",
        r"
printf 'bell \a, escape \033[2J, tab \t, quote \042\n'
printf 'no text \377\376\n' >&2
printf '\n'
head -c 40000 /dev/zero | tr '\000' x
printf '\nno end'
exec sleep 1000",
    );
    machine.up(&app);
    until("all is written", || {
        machine.ok(&["logs", "talk"]).matches('\n').count() >= 5
    });
    machine.ok(&["down", "talk"]);
    let printed = machine.ok(&["logs", "talk", "--json"]);
    let records: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for record in &records {
        let keys: Vec<_> = record.as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["at", "instance", "partial", "stream", "text"]);
        assert_eq!(record["instance"], "talk.web.1.1");
        assert!(Timestamp::parse(record["at"].as_str().unwrap().as_bytes()).is_some());
    }
    let (errors, out): (Vec<_>, Vec<_>) = records
        .into_iter()
        .partition(|record| record["stream"] == "stderr");
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0]["text"], "no text \u{fffd}\u{fffd}");
    assert_eq!(
        out[0]["text"],
        "bell \u{7}, escape \u{1b}[2J, tab \t, quote \""
    );
    assert_eq!(out[1]["text"], "");
    let pieces: Vec<(usize, Value)> = out[2..5]
        .iter()
        .map(|piece| {
            (
                piece["text"].as_str().unwrap().len(),
                piece["partial"].clone(),
            )
        })
        .collect();
    assert_eq!(
        pieces,
        [
            (16_384, json!(true)),
            (16_384, json!(true)),
            (7_232, json!(false))
        ]
    );
    assert_eq!((&out[5]["text"], out.len()), (&json!("no end"), 6));
    // What is not a terminal gets what was written; there is no server to ask for any of it.
    machine.ok(&["down", "--all"]);
    let plain = machine.ok(&["logs", "talk"]);
    assert!(plain.contains("web.1.1 | bell \u{7}, escape \u{1b}[2J, tab \t, quote \"\n"));
}

#[test]
fn a_follower_sees_every_line_once_across_restarts_of_instance_and_server() {
    let machine = Machine::new();
    let app = talker(
        "count",
        "i=0; while sleep 0.005; do i=$$((i + 1)); echo $$$$ $$i; done",
    );
    machine.up(&app);
    let follower = machine.spawn(&["logs", "-f", "count/web"]);
    let lines = || follower.stdout().matches('\n').count();
    let more = || {
        let before = lines();
        until("more lines come", || lines() >= before + 20);
    };
    more();
    let late = machine.spawn(&["logs", "-f", "-n", "0", "count"]);
    let mut processes = Vec::new();
    for round in 0..3 {
        more();
        let victim = pid(&machine, "count").unwrap();
        processes.push(victim);
        if round == 1 {
            kill(machine.server_pid());
            more();
            std::mem::forget(machine.start_server());
        }
        kill(victim);
        until("it is back", || {
            pid(&machine, "count").is_some_and(|pid| pid != victim)
        });
    }
    more();
    processes.push(pid(&machine, "count").unwrap());
    machine.ok(&["down", "count"]);
    let all = machine.ok(&["logs", "count"]);
    until("the follower has all", || follower.stdout() == all);
    assert!(late.stdout().len() < all.len());
    let last = processes[processes.len() - 1];
    until("the other one has the end of it", || {
        let seen = late.stdout();
        seen.contains(&format!("web.1.1 | {last} ")) && all.ends_with(&seen)
    });
    // Each process counts from 1 without a gap.
    let mut counts: Vec<(u32, u32)> = Vec::new();
    for line in all.lines() {
        let numbers = line.strip_prefix("web.1.1 | ").unwrap();
        let (process, number) = numbers.split_once(' ').unwrap();
        let (process, number): (u32, u32) = (process.parse().unwrap(), number.parse().unwrap());
        match counts.last_mut() {
            Some((last, count)) if *last == process => {
                *count += 1;
                assert_eq!(number, *count, "{line}");
            }
            _ => {
                assert_eq!(number, 1, "{line}");
                counts.push((process, 1));
            }
        }
    }
    let counted: Vec<u32> = counts.iter().map(|(process, _)| *process).collect();
    assert_eq!(counted, processes);
}

#[test]
fn nothing_is_lost_where_one_file_ends_and_the_next_begins() {
    const LINES: usize = 60_000;
    let machine = Machine::new();
    // A hundred bytes a line and more, with its time: two files of 4 MiB.
    let script = format!(
        "seq -f 'line %.0f {}' 1 {LINES}; echo the end; exec sleep 1000",
        "-".repeat(80)
    );
    let app = talker("long", &script);
    machine.up(&app);
    let follower = machine.spawn(&["logs", "-f", "long"]);
    until("all is written", || {
        machine.ok(&["logs", "long", "-n", "1"]) == "web.1.1 | the end\n"
    });
    let folder = machine.home().join("logs/long/web/long.web.1.1");
    assert!(fs::read_dir(folder).unwrap().count() >= 2);
    let all = machine.ok(&["logs", "long"]);
    let mut lines = all.lines();
    for number in 1..=LINES {
        let line = lines.next().unwrap();
        let start = format!("web.1.1 | line {number} -");
        assert!(line.starts_with(&start), "{line} is not line {number}");
    }
    assert_eq!(lines.collect::<Vec<_>>(), ["web.1.1 | the end"]);
    until("the follower has all", || {
        follower.stdout().len() >= all.len()
    });
    assert!(follower.stdout() == all);
    let tail = machine.ok(&["logs", "long", "-n", "59999"]);
    assert!(all.ends_with(&tail));
    assert_eq!(tail.matches('\n').count(), 59_999);
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_without_a_word() {
    let machine = Machine::new();
    let records: String = (0..5000).map(|at| record(at, &"x".repeat(100))).collect();
    put(&machine, "shop.web.1.1", &records);
    let mut child = machine
        .command(&["logs", "shop"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
}

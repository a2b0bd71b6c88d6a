//! The logs of several instances as one sequence.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use model::{AppName, ServiceName};
use runner::logs::{LogLimits, LogWriter, Merged, Record, Selection, Stream, Timestamp};

const SOON: Option<Duration> = Some(Duration::from_secs(20));

fn app() -> AppName {
    AppName::new("shop").unwrap()
}

fn service(name: &str) -> ServiceName {
    ServiceName::new(name).unwrap()
}

fn text(record: &Record) -> String {
    String::from_utf8(record.text.clone()).unwrap()
}

/// Writes a segment with a line at each of `times`.
fn segment(logs: &Path, instance: &str, number: u64, times: &[u64]) {
    let service = instance.split('.').nth(1).unwrap();
    let folder = logs.join("shop").join(service).join(instance);
    fs::create_dir_all(&folder).unwrap();
    let lines: String = times
        .iter()
        .map(|&time| format!("{} stdout F {instance} at {time}\n", Timestamp(time)))
        .collect();
    fs::write(folder.join(format!("{number:010}.log")), lines).unwrap();
}

fn sample(logs: &Path) {
    segment(logs, "shop.web.1.1", 3, &[10, 40]);
    segment(logs, "shop.web.1.1", 4, &[50, 90]);
    segment(logs, "shop.web.1.2", 1, &[20, 30, 60, 95]);
    segment(logs, "shop.orders.1.1", 1, &[5, 35, 70]);
    segment(logs, "shop.orders.1.1", 2, &[]);
}

fn times(logs: &Path, service: Option<&ServiceName>, selection: Selection) -> Vec<u64> {
    let mut merged = Merged::open(logs, &app(), service, selection).unwrap();
    std::iter::from_fn(|| merged.next(Some(Duration::ZERO)).unwrap())
        .map(|record| {
            assert_eq!(
                text(&record),
                format!("{} at {}", record.instance, record.at.0)
            );
            record.at.0
        })
        .collect()
}

#[test]
fn what_is_on_disk_comes_in_the_order_of_its_times() {
    let home = tempfile::tempdir().unwrap();
    sample(home.path());
    for follow in [false, true] {
        let all = Selection {
            follow,
            ..Selection::default()
        };
        assert_eq!(
            times(home.path(), None, all),
            [5, 10, 20, 30, 35, 40, 50, 60, 70, 90, 95]
        );
        let web = service("web");
        assert_eq!(
            times(home.path(), Some(&web), all),
            [10, 20, 30, 40, 50, 60, 90, 95]
        );
        assert_eq!(times(home.path(), Some(&service("absent")), all), [0u64; 0]);
    }
}

#[test]
fn the_tail_and_the_beginning_are_those_of_the_whole() {
    let home = tempfile::tempdir().unwrap();
    sample(home.path());
    let all = [5, 10, 20, 30, 35, 40, 50, 60, 70, 90, 95];
    for follow in [false, true] {
        for tail in 0..=12 {
            let expected = &all[all.len().saturating_sub(tail)..];
            let selection = Selection {
                tail: Some(tail),
                follow,
                since: None,
            };
            assert_eq!(times(home.path(), None, selection), expected, "tail {tail}");
        }
        for since in 0..=100 {
            let expected: Vec<u64> = all.into_iter().filter(|&time| time >= since).collect();
            let mut selection = Selection {
                since: Some(Timestamp(since)),
                follow,
                tail: None,
            };
            assert_eq!(
                times(home.path(), None, selection),
                expected,
                "since {since}"
            );
            selection.tail = Some(3);
            let expected = &expected[expected.len().saturating_sub(3)..];
            assert_eq!(
                times(home.path(), None, selection),
                expected,
                "3 since {since}"
            );
        }
    }
}

#[test]
fn thousands_of_instances_take_no_open_file_each() {
    let home = tempfile::tempdir().unwrap();
    for release in 0..2_000 {
        segment(
            home.path(),
            &format!("shop.web.{release}.1"),
            1,
            &[release, 10_000 + release],
        );
    }
    let open_files = || fs::read_dir("/proc/self/fd").unwrap().count();
    let selection = Selection {
        follow: true,
        tail: Some(3_000),
        since: None,
    };
    let mut merged = Merged::open(home.path(), &app(), None, selection).unwrap();
    for place in 0..3_000 {
        let record = merged.next(SOON).unwrap().unwrap();
        assert_eq!(
            record.at.0,
            if place < 1_000 {
                1_000 + place
            } else {
                9_000 + place
            }
        );
        // Other tests of this process have theirs.
        assert!(open_files() < 500);
    }
    assert_eq!(merged.next(Some(Duration::ZERO)).unwrap(), None);
}

#[test]
fn a_tail_is_found_in_a_large_log() {
    let home = tempfile::tempdir().unwrap();
    for (instance, first) in [("shop.web.1.1", 0), ("shop.web.1.2", 1)] {
        for number in 0..4 {
            let from = first + number * 10_000;
            let times: Vec<u64> = (from..from + 10_000).step_by(2).collect();
            segment(home.path(), instance, number + 1, &times);
        }
    }
    for tail in [1, 1_000, 9_999, 20_000, 39_999, 40_000, 50_000] {
        let selection = Selection {
            tail: Some(tail),
            ..Selection::default()
        };
        let expected: Vec<u64> = (40_000u64.saturating_sub(tail as u64)..40_000).collect();
        assert_eq!(times(home.path(), None, selection), expected);
    }
}

#[test]
fn a_follower_gets_every_line_once_across_rotation_restarts_and_new_instances() {
    const LINES: usize = 5_000;
    let home = tempfile::tempdir().unwrap();
    let follow = Selection {
        follow: true,
        ..Selection::default()
    };
    // It begins before there is anything at all.
    let mut merged = Merged::open(home.path(), &app(), None, follow).unwrap();
    let write = |instance: &'static str| {
        let service = instance.split('.').nth(1).unwrap();
        let folder = home.path().join("shop").join(service).join(instance);
        thread::spawn(move || {
            let limits = LogLimits {
                segment_bytes: 5_000,
                segments: usize::MAX,
            };
            let mut writer = LogWriter::open(&folder, limits).unwrap();
            for number in 0..LINES {
                let line = format!("{instance} {number}\n");
                let (first, second) = line.split_at(number % line.len());
                writer.write(Stream::Stdout, first.as_bytes());
                writer.write(Stream::Stdout, second.as_bytes());
                if number % 700 == 699 {
                    writer.finish();
                    writer = LogWriter::open(&folder, limits).unwrap();
                }
            }
        })
    };
    let mut writers = vec![write("shop.web.1.1"), write("shop.orders.1.1")];
    let mut next: HashMap<String, usize> = HashMap::new();
    for place in 0..4 * LINES {
        let record = merged.next(SOON).unwrap().expect("a line is missing");
        let number = next.entry(record.instance.to_string()).or_default();
        assert_eq!(text(&record), format!("{} {number}", record.instance));
        *number += 1;
        if place == LINES {
            writers.extend([write("shop.web.2.1"), write("shop.mail.2.1")]);
        }
    }
    assert!(
        next.len() == 4 && next.values().all(|&lines| lines == LINES),
        "{next:?}"
    );
    for writer in writers {
        writer.join().unwrap();
    }
    assert_eq!(merged.next(Some(Duration::ZERO)).unwrap(), None);
}

#[test]
fn a_follower_is_woken_by_a_line_and_by_the_end_of_its_patience() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("shop/web/shop.web.1.1");
    let mut writer = LogWriter::open(&folder, LogLimits::default()).unwrap();
    writer.write(Stream::Stdout, b"old\n");
    let selection = Selection {
        tail: Some(0),
        follow: true,
        since: None,
    };
    let mut merged = Merged::open(home.path(), &app(), Some(&service("web")), selection).unwrap();
    let start = Instant::now();
    assert_eq!(merged.next(Some(Duration::from_millis(50))).unwrap(), None);
    assert!(start.elapsed() >= Duration::from_millis(50));

    let mut delays = Vec::new();
    for number in 0..20 {
        writer.write(Stream::Stderr, format!("line {number}\n").as_bytes());
        let start = Instant::now();
        let record = merged.next(SOON).unwrap().unwrap();
        delays.push(start.elapsed());
        assert_eq!(text(&record), format!("line {number}"));
        assert_eq!(record.stream, Stream::Stderr);
    }
    delays.sort();
    assert!(
        delays[10] < Duration::from_millis(100),
        "not woken, but found by polling: {delays:?}"
    );
}

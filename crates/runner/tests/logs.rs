//! The log of one instance: what a writer is given is what a reader gets, whatever happens to
//! either in between.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use proptest::prelude::*;
use runner::logs::{LogLimits, LogWriter, Record, Records, Stream, Timestamp, last_lines};

const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

/// Puts records together to lines, per stream.
#[derive(Default)]
struct Lines {
    whole: [Vec<Vec<u8>>; 2],
    begun: [Option<Vec<u8>>; 2],
    time: Timestamp,
}

impl Lines {
    fn push(&mut self, record: Record) {
        assert!(
            record.at >= self.time,
            "time went from {} back to {}",
            self.time,
            record.at
        );
        self.time = record.at;
        let stream = record.stream as usize;
        let begun = self.begun[stream].get_or_insert_default();
        begun.extend(record.text);
        if !record.partial {
            self.whole[stream].extend(self.begun[stream].take());
        }
    }

    fn drain(&mut self, records: &mut Records) {
        while let Some(record) = records.try_next().unwrap() {
            self.push(record);
        }
    }
}

fn read(folder: &Path) -> Vec<Record> {
    let mut records = Records::open(folder).unwrap();
    std::iter::from_fn(|| records.try_next().unwrap()).collect()
}

fn texts(folder: &Path) -> Vec<String> {
    read(folder)
        .iter()
        .map(|r| String::from_utf8_lossy(&r.text).into_owned())
        .collect()
}

fn segments(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[derive(Debug, Clone)]
enum Step {
    Write(Stream, Vec<u8>),
    /// The instance ends and another writer takes over.
    Restart,
    /// The writer is killed in the middle of a record, and another takes over.
    Kill,
    /// The follower takes at most so many records.
    Follow(usize),
    /// The follower is replaced by another that goes on at its cursor.
    Resume,
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let short = prop::collection::vec(
        prop_oneof![4 => any::<u8>(), 2 => Just(b'\n'), 1 => Just(0), 1 => Just(b'\r')],
        0..200,
    );
    let long = (16_000..50_000usize, b'a'..=b'z', any::<bool>()).prop_map(|(length, fill, end)| {
        let mut bytes = vec![fill; length];
        bytes.extend(end.then_some(b'\n'));
        bytes
    });
    prop_oneof![12 => short, 1 => long]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (prop::sample::select(&STREAMS[..]), bytes()).prop_map(|(s, b)| Step::Write(s, b)),
        1 => Just(Step::Restart),
        1 => Just(Step::Kill),
        3 => (0..40usize).prop_map(Step::Follow),
        1 => Just(Step::Resume),
    ]
}

/// What the lines should be.
#[derive(Default)]
struct Expected {
    whole: [Vec<Vec<u8>>; 2],
    begun: [Vec<u8>; 2],
}

impl Expected {
    fn write(&mut self, stream: Stream, bytes: &[u8]) {
        for &byte in bytes {
            let begun = &mut self.begun[stream as usize];
            match byte {
                b'\n' => self.whole[stream as usize].push(std::mem::take(begun)),
                _ => begun.push(byte),
            }
        }
    }

    fn finish(&mut self) {
        for (whole, begun) in self.whole.iter_mut().zip(&mut self.begun) {
            if !begun.is_empty() {
                whole.push(std::mem::take(begun));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_follower_sees_every_line_exactly_once_and_in_order(
        segment_bytes in prop_oneof![50..2_000u64, 2_000..100_000u64],
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("shop.web.1.1");
        let limits = LogLimits { segment_bytes, segments: usize::MAX };
        let (mut expected, mut seen) = (Expected::default(), Lines::default());
        let mut records = Records::open(&folder).unwrap();
        let mut writer = LogWriter::open(&folder, limits).unwrap();
        for step in steps {
            match step {
                Step::Write(stream, bytes) => {
                    writer.write(stream, &bytes);
                    expected.write(stream, &bytes);
                }
                Step::Restart => {
                    writer.finish();
                    expected.finish();
                    drop(writer);
                    writer = LogWriter::open(&folder, limits).unwrap();
                }
                Step::Kill => {
                    // What such a kill leaves: a record that ends anywhere after its head. The
                    // unfinished lines are ended first, for the model would lose them.
                    writer.finish();
                    expected.finish();
                    drop(writer);
                    writer = LogWriter::open(&folder, limits).unwrap();
                    writer.write(Stream::Stdout, b"torn\n");
                    drop(writer);
                    let last = folder.join(segments(&folder).pop().unwrap());
                    let file = fs::File::options().write(true).open(last).unwrap();
                    file.set_len(file.metadata().unwrap().len() - 3).unwrap();
                    expected.write(Stream::Stdout, b"to\n");
                    writer = LogWriter::open(&folder, limits).unwrap();
                    writer.write(Stream::Stdout, b"again\n");
                    expected.write(Stream::Stdout, b"again\n");
                }
                Step::Follow(most) => {
                    for _ in 0..most {
                        let Some(record) = records.try_next().unwrap() else { break };
                        seen.push(record);
                    }
                }
                Step::Resume => {
                    let cursor = records.cursor();
                    records = Records::open(&folder).unwrap();
                    records.seek(cursor);
                }
            }
        }
        writer.finish();
        expected.finish();
        seen.drain(&mut records);
        prop_assert_eq!(&seen.whole, &expected.whole);
        let mut again = Lines::default();
        again.drain(&mut Records::open(&folder).unwrap());
        prop_assert_eq!(&again.whole, &expected.whole);
    }
}

#[test]
fn a_record_that_a_kill_tore_is_ended_by_the_next_writer() {
    let home = tempfile::tempdir().unwrap();
    let whole = "1999-01-01T00:00:00.000000000Z stdout F whole\n".replace("1999", "2001");
    for (torn, seen) in [
        (
            "2001-01-01T00:00:00.000000001Z stdout F half a li",
            "half a li",
        ),
        (
            "2001-01-01T00:00:00.0000000",
            "roadbed: damaged record: 2001-01-01T00:00:00.0000000",
        ),
    ] {
        fs::write(home.path().join("0000000001.log"), format!("{whole}{torn}")).unwrap();
        assert_eq!(
            texts(home.path()),
            ["whole"],
            "no reader takes it before it is ended"
        );
        let mut writer = LogWriter::open(home.path(), LogLimits::default()).unwrap();
        writer.write(Stream::Stderr, b"next\n");
        assert_eq!(texts(home.path()), ["whole", seen, "next"]);
    }
}

#[test]
fn a_segment_that_lost_its_end_is_read_to_what_is_left() {
    let home = tempfile::tempdir().unwrap();
    let line = "2001-01-01T00:00:00.000000000Z stdout F";
    fs::write(
        home.path().join("0000000001.log"),
        format!("{line} one\n{line} tw"),
    )
    .unwrap();
    fs::write(
        home.path().join("0000000002.log"),
        format!("{line} three\n"),
    )
    .unwrap();
    assert_eq!(texts(home.path()), ["one", "tw", "three"]);
}

#[test]
fn a_file_full_of_zeros_is_shown_in_bounded_pieces() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("0000000001.log"), vec![0; 100_000]).unwrap();
    let mut writer = LogWriter::open(home.path(), LogLimits::default()).unwrap();
    writer.write(Stream::Stdout, b"after\n");
    let records = read(home.path());
    assert!(records.iter().all(|record| record.text.len() < 40_000));
    let (last, damaged) = records.split_last().unwrap();
    assert_eq!(last.text, b"after");
    let zeros: usize = damaged
        .iter()
        .map(|r| r.text.len() - b"roadbed: damaged record: ".len())
        .sum();
    assert_eq!(zeros, 100_000);
}

#[test]
fn time_never_goes_backwards_also_across_writers() {
    let home = tempfile::tempdir().unwrap();
    let future = "2300-01-01T00:00:00.000000000Z";
    fs::write(
        home.path().join("0000000001.log"),
        format!("{future} stdout F a\n"),
    )
    .unwrap();
    // Killed right after it began a segment.
    fs::write(home.path().join("0000000002.log"), "").unwrap();
    for text in ["b\n", "c\n"] {
        let mut writer = LogWriter::open(home.path(), LogLimits::default()).unwrap();
        writer.write(Stream::Stdout, text.as_bytes());
    }
    let times: Vec<String> = read(home.path()).iter().map(|r| r.at.to_string()).collect();
    assert_eq!(times, [future; 3]);
}

#[test]
fn a_huge_line_is_split_at_16_kib_and_one_that_just_fits_is_not() {
    let home = tempfile::tempdir().unwrap();
    let mut writer = LogWriter::open(home.path(), LogLimits::default()).unwrap();
    let huge = vec![b'x'; 1_000_000];
    for chunk in huge.chunks(4_000) {
        writer.write(Stream::Stdout, chunk);
    }
    writer.write(Stream::Stdout, b"\n");
    writer.write(Stream::Stderr, &vec![b'y'; 16_384]);
    writer.write(Stream::Stderr, b"\n");
    let records = read(home.path());
    let sizes: Vec<_> = records
        .iter()
        .map(|r| (r.stream, r.text.len(), r.partial))
        .collect();
    let mut expected = vec![(Stream::Stdout, 16_384, true); 61];
    expected.push((Stream::Stdout, 1_000_000 - 61 * 16_384, false));
    expected.push((Stream::Stderr, 16_384, false));
    assert_eq!(sizes, expected);
}

#[test]
fn the_log_stays_within_its_bounds_and_keeps_the_newest() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("shop/web/shop.web.1.1");
    let limits = LogLimits {
        segment_bytes: 10_000,
        segments: 4,
    };
    let mut writer = LogWriter::open(&folder, limits).unwrap();
    for number in 0..5_000 {
        writer.write(Stream::Stdout, format!("line {number}\n").as_bytes());
        if number % 100 == 0 {
            let sizes: Vec<u64> = segments(&folder)
                .iter()
                .map(|name| fs::metadata(folder.join(name)).unwrap().size())
                .collect();
            assert!(
                sizes.len() <= 4 && sizes.iter().all(|&size| size <= 10_000),
                "{sizes:?}"
            );
        }
    }
    let texts = texts(&folder);
    let first = 5_000 - texts.len();
    assert!(texts.len() > 400, "{}", texts.len());
    for (place, text) in texts.iter().enumerate() {
        assert_eq!(*text, format!("line {}", first + place));
    }
    for (path, mode) in [
        (folder.clone(), 0o700),
        (folder.join(&segments(&folder)[0]), 0o600),
    ] {
        assert_eq!(
            fs::metadata(path).unwrap().permissions().mode() & 0o777,
            mode
        );
    }
}

#[test]
fn a_follower_that_lags_is_told_what_it_missed() {
    let home = tempfile::tempdir().unwrap();
    let limits = LogLimits {
        segment_bytes: 1_000,
        segments: 3,
    };
    let mut writer = LogWriter::open(home.path(), limits).unwrap();
    writer.write(Stream::Stdout, b"first\n");
    let mut records = Records::open(home.path()).unwrap();
    assert_eq!(records.try_next().unwrap().unwrap().text, b"first");
    while segments(home.path()).last().unwrap() != "0000000010.log" {
        writer.write(Stream::Stdout, b"more\n");
    }
    let note = records.try_next().unwrap().unwrap();
    assert_eq!(
        String::from_utf8(note.text).unwrap(),
        "roadbed: 7 segments were rotated away before they were read"
    );
    let mut rest = 0;
    while let Some(record) = records.try_next().unwrap() {
        assert_eq!(record.text, b"more");
        rest += 1;
    }
    assert_eq!(rest, texts(home.path()).len());
}

#[test]
fn the_last_lines_are_evidence() {
    let home = tempfile::tempdir().unwrap();
    let limits = LogLimits {
        segment_bytes: 300,
        segments: 8,
    };
    let mut writer = LogWriter::open(home.path(), limits).unwrap();
    for number in 1..=30 {
        writer.write(Stream::Stdout, format!("line {number}\n").as_bytes());
    }
    writer.write(Stream::Stderr, b"panicked at \xff");
    writer.finish();
    let mut expected: Vec<String> = (12..=30).map(|number| format!("line {number}")).collect();
    expected.push("panicked at \u{fffd}".into());
    assert_eq!(writer.last_lines(), expected);
    assert_eq!(last_lines(home.path(), 20).unwrap(), expected);
    assert_eq!(last_lines(home.path(), 2).unwrap(), expected[18..]);
    assert_eq!(last_lines(home.path(), 0).unwrap(), [""; 0]);
    assert_eq!(last_lines(&home.path().join("absent"), 5).unwrap(), [""; 0]);
    assert_eq!(
        last_lines(home.path(), 1_000).unwrap().len(),
        texts(home.path()).len()
    );
}

/// A file system of 256 KiB; unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Result<Self, String> {
        let folder = tempfile::tempdir().unwrap();
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
            .arg(folder.path())
            .output()
            .map_err(|error| format!("mount: {error}"))?;
        if !mount.status.success() {
            return Err(String::from_utf8_lossy(&mount.stderr).trim().to_owned());
        }
        Ok(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let status = std::process::Command::new("umount")
            .arg(self.0.path())
            .status();
        assert!(status.is_ok_and(|status| status.success()));
    }
}

#[test]
fn a_full_disk_costs_lines_that_are_counted_and_nothing_else() {
    let disk = match SmallDisk::mount() {
        Ok(disk) => disk,
        Err(reason) => {
            writeln!(std::io::stderr(), "LEFT OUT: logs on a full disk: {reason}").unwrap();
            return;
        }
    };
    let filler = disk.0.path().join("filler");
    for segment_bytes in [4_000, 4 * 1024 * 1024] {
        let folder = disk.0.path().join(format!("web.{segment_bytes}"));
        let limits = LogLimits {
            segment_bytes,
            segments: 1_000,
        };
        let mut writer = LogWriter::open(&folder, limits).unwrap();
        let mut written = 0;
        for round in 0..3 {
            let line = |number: usize| format!("{number} of round {round} {}\n", "-".repeat(700));
            for _ in 0..20 {
                writer.write(Stream::Stdout, line(written).as_bytes());
                written += 1;
            }
            // An error from the filling write is the point: it fills what is left.
            let _full = fs::File::create(&filler)
                .unwrap()
                .write_all(&[b'#'; 1 << 20]);
            for _ in 0..100 {
                writer.write(Stream::Stdout, line(written).as_bytes());
                written += 1;
            }
            let last = writer.last_lines();
            assert!(
                last[19].starts_with(&(written - 1).to_string()),
                "{}",
                last[19]
            );
            fs::remove_file(&filler).unwrap();
        }
        writer.finish();
        writer.write(Stream::Stdout, b"the end\n");
        let (mut next, mut lost) = (0, 0);
        for text in texts(&folder) {
            let words: Vec<&str> = text.split(' ').collect();
            if words[0] == "roadbed:" {
                assert!(text.ends_with(" lines lost: no space left"), "{text}");
                next += words[1].parse::<usize>().unwrap();
                lost += 1;
            } else if text != "the end" {
                assert_eq!(words[0], next.to_string(), "{text}");
                assert_eq!(words[4].len(), 700, "no record is torn");
                next += 1;
            }
        }
        assert_eq!((next, lost), (written, 3));
        fs::remove_dir_all(&folder).unwrap();
    }
}

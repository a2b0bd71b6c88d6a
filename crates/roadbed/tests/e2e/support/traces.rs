//! What is on a machine: whether a command that was refused has left anything behind, and whether
//! what runs is what the server says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{LONG, Machine};

/// Everything that a home holds and runs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Traces {
    processes: BTreeSet<u32>,
    /// Every file and folder; the content where it is a file.
    files: BTreeMap<PathBuf, Option<Vec<u8>>>,
}

impl Machine {
    /// Everything that this machine's home holds and runs at this moment.
    pub(crate) fn traces(&self) -> Traces {
        let mut files = BTreeMap::new();
        walk(self.home(), &mut files);
        Traces {
            processes: self.processes(),
            files,
        }
    }

    /// Runs `command`, which has to leave home and processes exactly as they are.
    #[track_caller]
    pub(crate) fn without_a_trace<T>(&self, command: impl FnOnce() -> T) -> T {
        let before = self.traces();
        let result = command();
        let after = self.traces();
        assert!(
            before == after,
            "before: {:?}\nafter: {:?}",
            before.summary(),
            after.summary()
        );
        result
    }

    /// Waits until what is on this machine is what the server says, and nothing else: its
    /// processes, a folder of each unit that lives, and the server's sockets. The instances must
    /// be processes that start no others.
    #[track_caller]
    pub(crate) fn is_consistent(&self) {
        let started = Instant::now();
        loop {
            let (said, found) = (self.said(), self.found());
            if said == found {
                return;
            }
            assert!(
                started.elapsed() < LONG,
                "the status says {said:#?}\nthere is {found:#?}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn said(&self) -> BTreeSet<String> {
        let status = self.status();
        let mut said = BTreeSet::from(["socket api.sock".into(), "socket proxies.sock".into()]);
        said.insert(format!("process {}", status["server"]["pid"]));
        said.insert(format!("process {}", status["server"]["proxies"][0]["pid"]));
        said.extend(["unit proxy".into(), "shim proxy".into()]);
        for app in status["apps"].as_array().unwrap() {
            for service in app["services"].as_array().unwrap() {
                for instance in service["instances"].as_array().unwrap() {
                    let name = instance["instance"].as_str().unwrap();
                    said.insert(format!("process {}", instance["pid"]));
                    said.extend([format!("unit {name}"), format!("shim {name}")]);
                }
            }
        }
        said
    }

    fn found(&self) -> BTreeSet<String> {
        let names = |folder: &str| -> Vec<String> {
            let entries = fs::read_dir(self.home().join(folder)).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names.filter(|name| name != "home-id").collect()
        };
        // The attempt is the last part of a unit's folder.
        let unit = |name: &str| name.rsplit_once('.').unwrap().0.to_owned();
        let mut found: BTreeSet<String> = names("units")
            .iter()
            .map(|name| format!("unit {}", unit(name)))
            .collect();
        found.extend(names("run").iter().map(|name| format!("socket {name}")));
        for pid in self.processes() {
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<String> = arguments
                .split(|byte| *byte == 0)
                .map(|word| String::from_utf8_lossy(word).into_owned())
                .collect();
            found.insert(match words.get(1).map(String::as_str) {
                Some("shim") => format!("shim {}", unit(words[2].rsplit('/').next().unwrap())),
                _ => format!("process {pid}"),
            });
        }
        found
    }
}

impl Traces {
    fn summary(&self) -> (&BTreeSet<u32>, BTreeMap<&Path, Option<usize>>) {
        let files = self.files.iter();
        let sizes = files.map(|(path, content)| (path.as_path(), content.as_ref().map(Vec::len)));
        (&self.processes, sizes.collect())
    }
}

fn walk(folder: &Path, files: &mut BTreeMap<PathBuf, Option<Vec<u8>>>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        let content = kind.is_file().then(|| fs::read(entry.path()).unwrap());
        files.insert(entry.path(), content);
        if kind.is_dir() {
            walk(&entry.path(), files);
        }
    }
}

//! Releases: what was deployed is what runs, whatever becomes of the folder that it came from, and
//! what the disk has of releases is bounded.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{AppFolder, Machine, until};

/// The host of the program, and that of the files.
const HOST: &str = "kept.localhost";
const PAGES: &str = "pages.localhost";

/// A program that tells a file of its folder and a variable of its declaration, and files that the
/// edge serves.
pub(crate) struct Kept(pub(crate) AppFolder);

impl Kept {
    pub(crate) fn new() -> Self {
        let app = Self(AppFolder::new(""));
        app.put("one");
        app
    }

    /// Has it tell and serve `text` from the next deploy on.
    pub(crate) fn put(&self, text: &str) {
        self.put_run(
            text,
            r#"["sh", "-c", "MESSAGE=$$(cat message) exec ./trivial"]"#,
        );
    }

    /// The same with another command.
    pub(crate) fn put_run(&self, text: &str, run: &str) {
        let folder = self.0.folder();
        fs::create_dir_all(folder.join("public")).unwrap();
        fs::write(folder.join("message"), text).unwrap();
        fs::write(folder.join("public/page.txt"), text).unwrap();
        self.0.declare(&format!(
            r#"
app = "kept"
[services.web]
run    = {run}
expose = {{ host = "{HOST}" }}
health = {{ path = "/healthz", interval = "250ms" }}
env    = {{ SETTING = "{text}" }}
[services.pages]
static = "public"
expose = {{ host = "{PAGES}" }}
"#
        ));
    }
}

/// What the app tells: its file, its setting, and the page.
pub(crate) fn told(machine: &Machine) -> [String; 3] {
    [
        machine.get(HOST, "/env?name=MESSAGE").body,
        machine.get(HOST, "/env?name=SETTING").body,
        machine.get(PAGES, "/page.txt").body,
    ]
}

pub(crate) fn all(text: &str) -> [String; 3] {
    [text, text, text].map(str::to_owned)
}

pub(crate) fn releases(machine: &Machine) -> Vec<Value> {
    let list = machine.ok(&["releases", "kept", "--json"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    list["releases"].as_array().unwrap().clone()
}

#[test]
fn what_was_deployed_runs_on_whatever_becomes_of_its_folder() {
    let machine = Machine::new();
    let app = Kept::new();
    machine.up(&app.0);
    assert_eq!(told(&machine), all("one"));
    let page = machine.get(PAGES, "/page.txt");

    app.put("two");
    fs::remove_file(app.0.folder().join("trivial")).unwrap();
    // The instance is started again, by this server and by the next.
    let instance = || machine.instances("kept")[0].clone();
    let kill_instance = || {
        let pid = i32::try_from(instance()["pid"].as_u64().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        until("another process serves", || {
            let now = instance();
            let is_another = now["pid"].as_u64() != u64::try_from(pid).ok();
            is_another && machine.get(HOST, "/healthz").status == 200
        });
    };
    kill_instance();
    assert_eq!(told(&machine), all("one"));
    let server = i32::try_from(machine.server_pid()).unwrap();
    kill_process(Pid::from_raw(server).unwrap(), Signal::KILL).unwrap();
    // Not even without the working directories.
    fs::remove_dir_all(machine.home().join("releases")).unwrap();
    let _server = machine.start_server();
    kill_instance();
    assert_eq!(told(&machine), all("one"));
    let same = machine.get(PAGES, "/page.txt");
    assert_eq!(same.header("etag"), page.header("etag"));

    // And whatever the program does to its own folder, the next release of the same is as it was.
    let unpacked = machine.home().join("releases/kept/1/message");
    fs::write(&unpacked, "spoilt").unwrap();
    app.put("one");
    fs::copy(
        crate::support::apps::trivial(),
        app.0.folder().join("trivial"),
    )
    .unwrap();
    machine.ok(&["deploy", app.0.path()]);
    assert_eq!(told(&machine), all("one"));
}

#[test]
fn releases_are_listed_and_compared() {
    let machine = Machine::new();
    let app = Kept::new();
    machine.up(&app.0);
    app.put("three");
    fs::write(app.0.folder().join("more"), "").unwrap();
    machine.ok(&["deploy", app.0.path()]);
    let list = releases(&machine);
    let state = |number: usize| list[number]["state"].as_str().unwrap();
    assert_eq!((list.len(), state(0), state(1)), (2, "live", "replaced"));
    let [new, old] = [&list[0], &list[1]];
    assert_eq!(new["changes"]["before"], 1);
    assert_eq!(
        new["changes"]["keys"],
        serde_json::json!(["services.web.env.SETTING"])
    );
    assert_eq!(new["changes"]["files_added"], 1);
    assert_eq!(new["changes"]["files_changed"], 3, "{new}");
    assert_eq!(old["changes"]["before"], Value::Null);
    assert!(new["by"].as_str().is_some_and(|by| !by.is_empty()), "{new}");
    let shown = machine.ok(&["releases", "kept"]);
    assert!(
        shown.contains("services.web.env.SETTING, 1 file new, 3 files changed"),
        "{shown}"
    );

    let difference = machine.ok(&["releases", "diff", "kept", "1", "2"]);
    for line in [
        "  ~ services.web.env.SETTING  \"one\" -> \"three\"\n",
        "  + more             0 bytes\n",
        "  ~ public/page.txt  3 bytes -> 5 bytes\n",
    ] {
        assert!(difference.contains(line), "{line:?} is not in {difference}");
    }
    let same = machine.ok(&["releases", "diff", "kept", "2", "2"]);
    assert_eq!(same, "releases 2 and 2 of kept are the same\n");
    machine
        .run(&["releases", "diff", "kept", "1", "9"])
        .failed(&["release 9 of kept is not kept any more, or never was"]);
    machine
        .run(&["releases", "other"])
        .failed(&["no app \"other\""]);
    machine.run(&["releases"]).invalid(&["<APP>"]);
}

#[test]
fn what_git_ignores_is_left_out_and_a_program_that_is_missing_is_said_to_be() {
    let machine = Machine::new();
    let app = AppFolder::solo("\"made/web\"\nbuild = \"./make.sh\"");
    let put = |name: &str, text: &str| fs::write(app.folder().join(name), text).unwrap();
    put(".gitignore", "/made\n/junk\n");
    put("junk", "x");
    put(
        "make.sh",
        "#!/bin/sh\nmkdir -p made && cp trivial made/web && touch made/other\n",
    );
    let make = app.folder().join("make.sh");
    fs::set_permissions(&make, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    machine.up(&app);
    let unpacked = machine.home().join("releases/solo/1");
    let is_there = |name: &str| unpacked.join(name).exists();
    assert_eq!(
        ["made/web", "made/other", "junk"].map(is_there),
        [true, false, false]
    );

    put("make.sh", "#!/bin/sh\nrm -r made\n");
    machine.run(&["deploy", app.path()]).failed(&[
        "error: web runs made/web, and there is no such file in ",
        "hint: have `build` make it, or name another program",
    ]);
    assert_eq!(machine.status()["apps"][0]["release"], 1);
}

/// Files below a folder, with what they take on disk in bytes.
fn usage(folder: &Path) -> (usize, u64) {
    use std::os::unix::fs::MetadataExt;
    let (mut count, mut bytes) = (0, 0);
    for path in files(folder) {
        count += 1;
        bytes += fs::symlink_metadata(path).map_or(0, |found| found.blocks() * 512);
    }
    (count, bytes)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            true => found.extend(files(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}

/// Bytes that nothing makes smaller, and that differ each time.
fn noise(length: usize) -> Vec<u8> {
    use std::io::Read;
    let mut bytes = vec![0; length];
    let mut random = fs::File::open("/dev/urandom").unwrap();
    random.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn what_the_disk_has_of_releases_is_bounded_by_count_and_by_bytes() {
    const MEGABYTE: usize = 1 << 20;
    let machine = Machine::new();
    let _server = machine.start_server_with(&["--keep-releases", "3"]);
    let app = Kept::new();
    let data = app.0.folder().join("data");
    let deploy = || {
        fs::write(&data, noise(MEGABYTE)).unwrap();
        machine.ok(&["deploy", app.0.path()]);
    };
    (0..6).for_each(|_| deploy());
    let numbers = || -> Vec<u64> {
        let list = releases(&machine);
        list.iter()
            .map(|release| release["release"].as_u64().unwrap())
            .collect()
    };
    until("older releases are gone", || numbers() == [6, 5, 4]);
    let once = u64::try_from(MEGABYTE).unwrap() + usage(&machine.home().join("releases/kept/6")).1;
    let bound = 3 * u64::try_from(MEGABYTE).unwrap() + once;
    until("their files are gone", || {
        let [contents, unpacked] =
            ["artifacts", "releases"].map(|name| usage(&machine.home().join(name)).1);
        contents < bound && unpacked < 2 * once
    });
    until("only what runs is unpacked", || {
        !machine.home().join("releases/kept/5").exists()
    });

    // A server that may take less of the disk keeps fewer, but always one to go back to.
    drop(_server);
    let _server = machine.start_server_with(&["--releases-disk", "1MiB"]);
    until("what is beyond the budget is gone", || numbers() == [6, 5]);
    machine.ok(&["rollback", "kept"]);
    until("what ran before is kept", || numbers() == [7, 6]);
    assert_eq!(told(&machine), all("one"));
}

#[test]
fn a_release_for_which_the_disk_has_no_room_is_refused_before_anything_is_touched() {
    let Some(machine) = Machine::with_small_disk(20 << 10) else {
        return;
    };
    let app = Kept::new();
    let data = app.0.folder().join("data");
    fs::write(&data, noise(5 << 20)).unwrap();
    machine.up(&app.0);
    let before = ["artifacts", "releases"].map(|name| files(&machine.home().join(name)));
    fs::write(&data, noise(5 << 20)).unwrap();
    app.put("two");
    machine.run(&["deploy", app.0.path()]).failed(&[
        "error: no space left for the release: it needs 1",
        "MiB on the disk of ",
        "; nothing was changed",
    ]);
    let after = ["artifacts", "releases"].map(|name| files(&machine.home().join(name)));
    assert_eq!(before, after);
    assert_eq!((told(&machine), releases(&machine).len()), (all("one"), 1));
}

#[test]
fn a_server_that_is_killed_while_files_are_sent_has_none_that_is_half() {
    let machine = Machine::new();
    let app = Kept::new();
    let mut server = machine.start_server();
    let home = machine.home().to_owned();
    let incoming = home.join("artifacts/incoming");
    for round in 0..4 {
        for number in 0..40 {
            let data = app.0.folder().join(format!("data-{number}"));
            fs::write(data, noise(1 << 20)).unwrap();
        }
        let mut deploy = machine.spawn(&["deploy", app.0.path()]);
        // Later each time.
        until("files come", || {
            files(&incoming).len() > round * 9 || deploy.has_ended()
        });
        drop(server);
        let deploy = deploy.finish();
        assert_ne!(deploy.code, Some(0), "{deploy:?}");
        for path in files(&home.join("artifacts/contents")) {
            let name = path.strip_prefix(home.join("artifacts/contents")).unwrap();
            let name = name.to_str().unwrap().replace('/', "");
            let digest = artifacts::digest_of(&fs::read(&path).unwrap());
            assert_eq!(digest.to_string(), name);
        }
        server = machine.start_server();
        assert!(files(&incoming).is_empty());
    }
    machine.ok(&["deploy", app.0.path()]);
    assert_eq!(told(&machine), all("one"));
    drop(server);
}

#[test]
fn a_server_that_is_killed_while_a_release_is_unpacked_has_none_that_is_half() {
    let machine = Machine::new();
    let app = Kept::new();
    let mut server = machine.start_server();
    for number in 0..300 {
        let data = app.0.folder().join(format!("data-{number}"));
        fs::write(data, noise(10_000)).unwrap();
    }
    machine.ok(&["deploy", app.0.path()]);
    let home = machine.home().to_owned();
    let (new, second) = (home.join("releases/.new"), home.join("releases/kept/2"));
    for round in 0..5 {
        app.put(&format!("round {round}"));
        let mut deploy = machine.spawn(&["deploy", app.0.path()]);
        until("files are unpacked", || {
            files(&new).len() > round * 70 || second.exists() || deploy.has_ended()
        });
        drop(server);
        server = machine.start_server();
        deploy.finish();
        let deployed = machine.status()["apps"][0]["release"].as_u64().unwrap();
        let unpacked = files(&home.join(format!("releases/kept/{deployed}"))).len();
        assert_eq!(unpacked, files(app.0.folder()).len());
        until("what was half is gone", || files(&new).is_empty());
        if deployed > 1 {
            break;
        }
        assert_eq!(told(&machine), all("one"));
    }
    app.put("last");
    until("no rollout goes on", || {
        machine.status()["apps"][0]["rollout"]["state"] != "progressing"
    });
    machine.ok(&["deploy", app.0.path()]);
    assert_eq!(told(&machine), all("last"));
    drop(server);
}

//! Folders as users have them: what of them becomes a release, and what it is refused for.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, SystemTime};

use artifacts::{Contents, Pack, PackError, Packed, Places, pack, transfer, unpack};
use model::{App, FilePath, ServiceName, Work};
use tempfile::TempDir;

/// An app with one service for each command, and one for each folder of files.
fn app(commands: &[&str], folders: &[&str], include: &[&str]) -> App {
    let commands = commands.iter().enumerate();
    let services = commands.map(|(number, command)| format!(r#""run-{number}": {}"#, run(command)));
    let folders = folders.iter().enumerate().map(|(number, folder)| {
        format!(
            r#""files-{number}": {}"#,
            run("x").replace(
                r#""run": ["x"]"#,
                &format!(r#""static": {{ "folder": "{folder}", "cache_control": "no-cache" }}"#),
            )
        )
    });
    let services: Vec<String> = services.chain(folders).collect();
    let text = format!(
        r#"{{ "name": "shop", "services": {{ {} }}, "include": {} }}"#,
        services.join(", "),
        serde_json::to_string(include).unwrap(),
    );
    serde_json::from_str(&text).unwrap()
}

fn run(command: &str) -> String {
    let words: Vec<&str> = command.split(' ').collect();
    format!(
        r#"{{ "run": {}, "build": null, "replicas": 1, "uses": [], "expose": null, "env": {{}},
            "health": {{ "probe": "tcp", "interval": {second}, "timeout": {second}, "failures": 3,
            "deadline": {second} }}, "protocol": "http", "timeout": {second}, "drain": {second},
            "volumes": [] }}"#,
        serde_json::to_string(&words).unwrap(),
        second = r#"{ "secs": 1, "nanos": 0 }"#,
    )
}

/// A folder with these files, executable where the name ends so.
fn folder(files: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        put(folder.path(), file, &format!("this is {file}"));
    }
    folder
}

fn put(folder: &Path, file: &str, content: &str) {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    if file.ends_with("web") {
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }
}

fn packed(folder: &Path, app: &App) -> Result<Pack, PackError> {
    let folder = fs::canonicalize(folder).unwrap();
    let places = Places {
        apart: &folder.join("home"),
        caches: None,
    };
    pack(&folder, app, &places)
}

fn paths(pack: &Pack) -> Vec<String> {
    pack.manifest
        .entries()
        .keys()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn what_is_ignored_is_left_out_and_what_the_app_names_is_not() {
    let folder = folder(&[
        "target/release/web",
        "target/release/deps/junk",
        "public/dist/page.html",
        "venv/lib/a.py",
        "venv/lib/b.py",
        "src/main.rs",
        "src/notes.txt",
        ".env",
        "home/store.redb",
        ".git/HEAD",
        "tests/big.bin",
        "roadbed.toml",
    ]);
    put(folder.path(), ".gitignore", "target/\n/venv\ndist\n*.txt\n");
    put(folder.path(), ".roadbedignore", "tests/\n");
    let app = app(
        &["./target/release/web --port 1"],
        &["public"],
        &["./venv/lib"],
    );
    let found = paths(&packed(folder.path(), &app).unwrap());
    assert_eq!(
        found,
        [
            ".env",
            ".gitignore",
            ".roadbedignore",
            "public/dist/page.html",
            "roadbed.toml",
            "src/main.rs",
            "target/release/web",
            "venv/lib/a.py",
            "venv/lib/b.py",
        ]
    );
}

#[test]
fn rules_above_the_folder_count_within_a_repository_and_not_without() {
    let above = folder(&["shop/web", "shop/built/x", "shop/src/y"]);
    put(above.path(), ".gitignore", "built\n");
    let app = app(&["./web"], &[], &[]);
    let shop = above.path().join("shop");
    let found = paths(&packed(&shop, &app).unwrap());
    assert_eq!(found, ["built/x", "src/y", "web"]);
    fs::create_dir(above.path().join(".git")).unwrap();
    assert_eq!(paths(&packed(&shop, &app).unwrap()), ["src/y", "web"]);
}

#[test]
fn links_stay_links_and_are_not_followed_out() {
    let folder = folder(&["builds/5/web", "static/page.html", "empty/ignored"]);
    let outside = self::folder(&["secret"]);
    put(folder.path(), ".gitignore", "builds\nbin\nignored\n");
    symlink("builds/5", folder.path().join("current")).unwrap();
    symlink(outside.path(), folder.path().join("out")).unwrap();
    symlink("nowhere", folder.path().join("dangling")).unwrap();
    let app = app(&["current/web"], &["static"], &[]);
    let pack = packed(folder.path(), &app).unwrap();
    assert_eq!(
        paths(&pack),
        [
            ".gitignore",
            "builds/5/web",
            "current",
            "dangling",
            "empty",
            "out",
            "static/page.html"
        ]
    );
    let entry = |path: &str| pack.manifest.entries()[path].clone();
    assert!(
        matches!(entry("out"), Packed::Link { target } if Path::new(&target) == outside.path())
    );
    assert_eq!(entry("empty"), Packed::Folder);
    let included = self::app(&["current/web"], &[], &["out"]);
    let error = packed(folder.path(), &included).unwrap_err();
    assert!(matches!(error, PackError::Outside { .. }), "{error}");
}

#[test]
fn what_is_no_file_is_left_out_and_told() {
    let folder = folder(&["web"]);
    let _socket = UnixListener::bind(folder.path().join("app.sock")).unwrap();
    let pack = packed(folder.path(), &app(&["./web"], &[], &[])).unwrap();
    assert_eq!(paths(&pack), ["web"]);
    assert_eq!(pack.notes, ["app.sock is a socket and is left out"]);
}

#[test]
fn a_program_that_would_not_be_there_is_said_to_be_missing() {
    let folder = folder(&["web", "notes"]);
    let refused = |command: &str| {
        let error = packed(folder.path(), &app(&[command], &[], &[])).unwrap_err();
        (error.to_string(), error.hint())
    };
    let real = fs::canonicalize(folder.path()).unwrap();
    let (message, hint) = refused("bin/server");
    assert_eq!(
        message,
        format!(
            "run-0 runs bin/server, and there is no such file in {}",
            real.display()
        )
    );
    assert_eq!(hint, "have `build` make it, or name another program");
    assert!(
        refused("../shop/web")
            .0
            .ends_with("which is not in the app's folder")
    );
    let (message, hint) = refused("./notes");
    assert!(
        message.ends_with("/notes, which is not executable"),
        "{message}"
    );
    assert!(hint.starts_with("run: chmod +x /"), "{hint}");
    for fine in ["./web", "python3 notes", "/bin/true", "./$NAME", "web"] {
        packed(folder.path(), &app(&[fine], &[], &[])).unwrap();
    }
    let error = packed(folder.path(), &app(&["./web"], &[], &["gone"])).unwrap_err();
    assert!(
        error.to_string().starts_with("there is no gone in "),
        "{error}"
    );
}

#[test]
fn names_that_cannot_be_kept_are_refused() {
    use std::os::unix::ffi::OsStrExt;
    let app = app(&["./web"], &[], &[]);
    for name in [&b"caf\xe9"[..], b"two\nlines"] {
        let folder = folder(&["web"]);
        fs::write(folder.path().join(std::ffi::OsStr::from_bytes(name)), "").unwrap();
        let error = packed(folder.path(), &app).unwrap_err();
        assert!(error.hint().starts_with("rename it"), "{error}");
    }
}

#[test]
fn what_has_not_changed_is_not_read_again_and_what_has_is() {
    let folder = folder(&["web", "other"]);
    let caches = folder.path().join("home/caches");
    let long_ago = SystemTime::now() - Duration::from_secs(1000);
    let real = fs::canonicalize(folder.path()).unwrap();
    let places = Places {
        apart: &real.join("home"),
        caches: Some(&caches),
    };
    let app = app(&["./web"], &[], &[]);
    let first = pack(&real, &app, &places).unwrap();
    // The same length, and the same time of the last change as far as users can set it.
    let web = real.join("web");
    let before = fs::metadata(&web).unwrap().modified().unwrap();
    fs::write(&web, "that is web").unwrap();
    let file = fs::File::options().write(true).open(&web).unwrap();
    file.set_modified(before).unwrap();
    fs::File::options()
        .write(true)
        .open(real.join("other"))
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    let second = pack(&real, &app, &places).unwrap();
    assert_ne!(
        first.manifest.entries()["web"],
        second.manifest.entries()["web"]
    );
    let again = pack(&real, &app, &places).unwrap();
    assert_eq!(second.manifest.digest(), again.manifest.digest());
}

#[test]
fn a_folder_comes_back_as_it_was() {
    let folder = folder(&["bin/web", "data/a", "data/b"]);
    fs::create_dir_all(folder.path().join("empty/inner")).unwrap();
    symlink("bin/web", folder.path().join("start")).unwrap();
    put(folder.path(), "data/a", "twice");
    put(folder.path(), "data/b", "twice");
    let app = app(&["bin/web"], &[], &[]);
    let pack = packed(folder.path(), &app).unwrap();
    assert_eq!(pack.sources.len(), 2, "what is the same is there once");

    let home = tempfile::tempdir().unwrap();
    let contents = Contents::open_folder(home.path()).unwrap();
    send(&contents, &pack);
    assert!(
        contents
            .missing(pack.sources.keys().copied())
            .unwrap()
            .is_empty()
    );
    let into = home.path().join("releases/1");
    unpack(&contents, &pack.manifest, &into).unwrap();
    let back = packed(&into, &app).unwrap();
    assert_eq!(back.manifest, pack.manifest, "modes, links and times too");
    let mode = |path: &str| fs::metadata(into.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        [mode("bin/web"), mode("data/a"), mode("data")],
        [0o700, 0o600, 0o700]
    );
    // Whatever a program does to its folder, another one is as it was.
    fs::write(into.join("data/a"), "changed").unwrap();
    let other = home.path().join("releases/2");
    unpack(&contents, &pack.manifest, &other).unwrap();
    assert_eq!(packed(&other, &app).unwrap().manifest, pack.manifest);
}

fn send(contents: &Contents, pack: &Pack) {
    let sources = pack.sources.iter().map(|(digest, path)| transfer::Source {
        digest: *digest,
        size: fs::metadata(path).unwrap().len(),
        path: path.clone(),
    });
    for batch in transfer::batches(sources.collect()) {
        let mut receiving = contents.batch().unwrap();
        for source in batch {
            receiving.begin(source.digest).unwrap();
            receiving.write(&fs::read(&source.path).unwrap()).unwrap();
            receiving.end().unwrap();
        }
        receiving.commit().unwrap();
    }
}

#[test]
fn what_is_spoilt_or_something_else_is_found_out() {
    let folder = folder(&["web"]);
    let pack = packed(folder.path(), &app(&["./web"], &[], &[])).unwrap();
    let home = tempfile::tempdir().unwrap();
    let contents = Contents::open_folder(home.path()).unwrap();
    let digest = *pack.sources.keys().next().unwrap();
    let mut batch = contents.batch().unwrap();
    batch.begin(digest).unwrap();
    batch.write(b"something else").unwrap();
    assert!(batch.end().is_err());
    drop(batch);
    assert!(contents.open(digest).is_err(), "nothing half is ever there");
    let into = home.path().join("1");
    assert!(unpack(&contents, &pack.manifest, &into).is_err());

    send(&contents, &pack);
    let name = digest.to_string();
    let file = home
        .path()
        .join("contents")
        .join(&name[..2])
        .join(&name[2..]);
    fs::write(&file, "this is wEb").unwrap();
    let into = home.path().join("2");
    let error = unpack(&contents, &pack.manifest, &into).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the content {digest} has been spoilt")
    );
}

#[test]
fn what_no_release_has_goes_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let contents = Contents::open_folder(home.path()).unwrap();
    contents.add(&[b"kept", b"unused", b"young"]).unwrap();
    let foreign = home.path().join("contents/README");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("text"), "mine").unwrap();
    let digest = |text: &[u8]| artifacts::digest_of(text);
    let [kept, unused, young] = [&b"kept"[..], b"unused", b"young"].map(digest);
    let hour = Duration::from_secs(3600);
    contents
        .collect(&[kept].into(), &[unused, kept].into(), hour)
        .unwrap();
    assert!(contents.open(kept).is_ok() && contents.open(young).is_ok());
    assert!(contents.open(unused).is_err());
    contents
        .collect(&[kept].into(), &[].into(), Duration::ZERO)
        .unwrap();
    assert!(contents.open(kept).is_ok() && contents.open(young).is_err());
    assert_eq!(fs::read_to_string(foreign.join("text")).unwrap(), "mine");
}

#[test]
fn what_was_being_received_when_the_server_ended_is_gone() {
    let home = tempfile::tempdir().unwrap();
    let contents = Contents::open_folder(home.path()).unwrap();
    let mut batch = contents.batch().unwrap();
    batch.begin(artifacts::digest_of(b"x")).unwrap();
    batch.write(b"x").unwrap();
    // As when it is killed: nothing is tidied up.
    std::mem::forget(batch);
    assert_eq!(
        fs::read_dir(home.path().join("incoming")).unwrap().count(),
        1
    );
    let contents = Contents::open_folder(home.path()).unwrap();
    assert_eq!(
        fs::read_dir(home.path().join("incoming")).unwrap().count(),
        0
    );
    assert!(contents.open(artifacts::digest_of(b"x")).is_err());
}

#[test]
fn names_are_checked_where_the_app_is() {
    // What `app` above makes is what the spec makes.
    let app = app(&["./web"], &["public"], &["x"]);
    let service = |name: &str| &app.services[&ServiceName::new(name).unwrap()];
    assert!(matches!(service("run-0").work, Work::Run(_)));
    assert!(matches!(service("files-0").work, Work::Static(_)));
    assert_eq!(app.include, [FilePath::new("x").unwrap()].into());
}

//! What is particular to a store in a file: its format, its lock, its disk, its restarts.

mod clock;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use redb::{Database, TableDefinition};
use store::{
    Acquired, EmbeddedStore, Expected, Lease, MonotonicClock, Options, Outcome, Renewed, Revision,
    Store, StoreError, Transaction, WatchError,
};

use clock::ManualClock;

const TIME: Duration = Duration::from_secs(10);

async fn put(store: &EmbeddedStore, key: &str, value: Vec<u8>) -> Result<Outcome, StoreError> {
    store.transact(Transaction::new().put(key, value)).await
}

async fn lease(store: &EmbeddedStore, holder: &str) -> Option<Lease> {
    match store.acquire("leader", holder, TIME).await.unwrap() {
        Acquired::Lease(lease) => Some(lease),
        Acquired::HeldBy { .. } => None,
    }
}

#[tokio::test]
async fn only_its_owner_can_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let _store = EmbeddedStore::open(&path).unwrap();
    let mut names = Vec::new();
    for file in fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(
            file.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{file:?}"
        );
        names.push(file.file_name());
    }
    names.sort();
    assert_eq!(names, ["store", "store.lock"]);
}

#[tokio::test]
async fn a_second_process_is_told_who_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let first = EmbeddedStore::open(&path).unwrap();
    let error = EmbeddedStore::open(&path).err().unwrap();
    assert!(matches!(error, StoreError::Locked { .. }), "{error:?}");
    let process = format!("process {}", std::process::id());
    assert!(error.to_string().contains(&process), "{error}");
    drop(first);
    EmbeddedStore::open(&path).unwrap();
}

#[tokio::test]
async fn a_newer_format_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    drop(EmbeddedStore::open(&path).unwrap());
    set_format(&path, 2);
    match EmbeddedStore::open(&path).err().unwrap() {
        StoreError::NewerFormat {
            found: 2, known: 1, ..
        } => {}
        other => panic!("{other:?}"),
    }
    set_format(&path, 1);
    EmbeddedStore::open(&path).unwrap();
}

fn set_format(path: &Path, format: u64) {
    const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
    let database = Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction
        .open_table(META)
        .unwrap()
        .insert("format", format)
        .unwrap();
    transaction.commit().unwrap();
}

#[tokio::test]
async fn damage_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = EmbeddedStore::open(&path).unwrap();
    for number in 0..300u32 {
        put(&store, &format!("key/{number}"), vec![number as u8; 400])
            .await
            .unwrap();
    }
    drop(store);
    let whole = fs::read(&path).unwrap();
    let overwritten = |from: usize, to: usize| {
        let mut bytes = whole.clone();
        bytes[from..to].fill(0xA5);
        bytes
    };
    let text = b"not a store at all".to_vec();
    let half = whole[..whole.len() / 2].to_vec();
    let middle = overwritten(8192, whole.len());
    for (what, bytes) in [
        ("empty", vec![]),
        ("a text", text),
        ("cut in half", half),
        ("a bad header", overwritten(0, 4096)),
        ("bad pages", middle),
    ] {
        fs::write(&path, bytes).unwrap();
        let error = EmbeddedStore::open(&path).err();
        assert!(
            matches!(error, Some(StoreError::Corrupt { .. })),
            "{what}: {error:?}"
        );
    }
    fs::write(&path, whole).unwrap();
    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(store.list("key/").await.unwrap().entries.len(), 300);
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let error = EmbeddedStore::open(Path::new("/nonexistent/folder/store"))
        .err()
        .unwrap();
    assert!(matches!(error, StoreError::Io { .. }), "{error:?}");
    assert!(
        error.to_string().contains("/nonexistent/folder/store"),
        "{error}"
    );
}

#[tokio::test]
async fn an_unfinished_creation_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    fs::write(folder.path().join("store.new"), b"half a database").unwrap();
    let store = EmbeddedStore::open(&path).unwrap();
    put(&store, "a", vec![1]).await.unwrap();
    assert!(!folder.path().join("store.new").exists());
}

#[tokio::test]
async fn a_watch_from_before_a_restart_relists() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = EmbeddedStore::open(&path).unwrap();
    for _ in 0..3 {
        put(&store, "a", vec![]).await.unwrap();
    }
    let last = store.list("").await.unwrap().revision;
    drop(store);
    let store = EmbeddedStore::open(&path).unwrap();
    let mut behind = store.watch("", Revision(last.0 - 1)).await.unwrap();
    assert_eq!(behind.next().await, Err(WatchError::FellBehind));
    let mut current = store.watch("", last).await.unwrap();
    put(&store, "b", vec![]).await.unwrap();
    assert_eq!(current.next().await.unwrap().events[0].key(), "b");
}

#[tokio::test]
async fn a_restart_gives_leases_their_whole_time_but_revives_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let clock = Arc::new(ManualClock::default());
    let options = Options {
        clock: clock.clone(),
        ..Options::default()
    };
    let open = || EmbeddedStore::open_with(&path, options.clone()).unwrap();

    let store = open();
    let held = lease(&store, "one").await.unwrap();
    clock.advance(TIME * 9 / 10);
    drop(store);
    let store = open();
    clock.advance(TIME * 9 / 10);
    assert!(
        lease(&store, "two").await.is_none(),
        "taken too early after a restart"
    );
    assert_eq!(store.renew(&held).await.unwrap(), Renewed::Held);

    clock.advance(TIME);
    assert_eq!(store.renew(&held).await.unwrap(), Renewed::Lost);
    drop(store);
    let store = open();
    assert_eq!(
        store.renew(&held).await.unwrap(),
        Renewed::Lost,
        "revived by a restart"
    );
    assert!(lease(&store, "two").await.unwrap().token > held.token);
}

#[tokio::test]
async fn the_real_clock_ends_leases_too() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        clock: Arc::new(MonotonicClock::new()),
        ..Options::default()
    };
    let store = EmbeddedStore::open_with(&folder.path().join("store"), options).unwrap();
    let time = Duration::from_millis(100);
    store.acquire("leader", "one", time).await.unwrap();
    // Polled until it is free: each refusal says how long that can take at most.
    let taken = tokio::time::timeout(Duration::from_secs(10), async {
        while let Acquired::HeldBy { remaining, .. } =
            store.acquire("leader", "two", time).await.unwrap()
        {
            assert!(remaining <= time);
            tokio::time::sleep(remaining).await;
        }
    });
    taken.await.expect("the lease never ends");
}

/// The full disk is a small tmpfs in a mount namespace of its own: this test runs itself again in
/// there.
#[test]
fn a_full_disk_fails_the_write_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
    let script = r#"mount -t tmpfs -o size=6m tmpfs "$SMALL_DISK" && exec "$0" "$@""#;
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .args(["on_a_small_disk", "--exact", "--ignored", "--nocapture"])
        .env("SMALL_DISK", folder.path())
        .output()
        .expect("unshare (util-linux) cannot be run");
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    assert!(said.contains("1 passed"), "{said}\n{complained}");
}

#[tokio::test]
#[ignore = "run by a_full_disk_fails_the_write_and_nothing_else"]
async fn on_a_small_disk() {
    let disk = std::env::var("SMALL_DISK").expect("SMALL_DISK is the folder of a small tmpfs");
    let disk = Path::new(&disk);
    let path = disk.join("store");
    let store = EmbeddedStore::open(&path).unwrap();
    let mut written = Vec::new();
    for round in 0..3u8 {
        let key = format!("key/{round}");
        put(&store, &key, vec![round; 1000]).await.unwrap();
        written.push(key);
    }
    let held = lease(&store, "one").await.unwrap();
    let ballast = disk.join("ballast");
    fs::write(&ballast, vec![1; 2 * 1024 * 1024]).unwrap();

    let mut refused = false;
    for round in 0..64u8 {
        let key = format!("big/{round}");
        let pair = Transaction::new()
            .expect(key.as_str(), Expected::Absent)
            .put(key.as_str(), vec![round; 300_000])
            .put(format!("{key}/also"), vec![round]);
        match store.transact(pair).await {
            Ok(Outcome::Committed(_)) => written.extend([key.clone(), format!("{key}/also")]),
            Ok(Outcome::Conflict(conflict)) => panic!("{conflict}"),
            Err(StoreError::NoSpace { .. }) => {
                refused = true;
                break;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(refused, "the disk never filled up");
    written.sort();
    let keys = async |store: &EmbeddedStore| -> Vec<String> {
        let listing = store.list("").await.unwrap();
        listing.entries.into_iter().map(|entry| entry.key).collect()
    };
    // Everything is still there to read, nothing of the refused write is, and leases live on.
    assert_eq!(keys(&store).await, written);
    assert_eq!(store.renew(&held).await.unwrap(), Renewed::Held);
    let revision = store.list("").await.unwrap().revision;
    let mut watch = store.watch("", revision).await.unwrap();
    // A write that is small enough still succeeds, and a watch that was current hears of it.
    put(&store, "small", vec![1]).await.unwrap();
    written.push("small".to_owned());
    written.sort();
    assert_eq!(watch.next().await.unwrap().events[0].key(), "small");
    let revision = store.list("").await.unwrap().revision;

    // A full disk does not keep the store from being opened.
    let filler = disk.join("filler");
    let mut rest = vec![1; 6 * 1024 * 1024];
    while fs::write(&filler, &rest).is_err() && rest.len() > 1 {
        rest.truncate(rest.len() / 2);
    }
    assert!(matches!(
        put(&store, "c", vec![1; 1_000_000]).await,
        Err(StoreError::NoSpace { .. })
    ));
    assert_eq!(keys(&store).await, written);
    drop(store);
    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(keys(&store).await, written);
    let mut watch = store.watch("", revision).await.unwrap();

    fs::remove_file(&ballast).unwrap();
    fs::remove_file(&filler).unwrap();
    put(&store, "after", vec![7; 300_000]).await.unwrap();
    written.push("after".to_owned());
    written.sort();
    assert_eq!(watch.next().await.unwrap().events[0].key(), "after");
    assert_eq!(keys(&store).await, written);

    drop(store);
    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(keys(&store).await, written);
}

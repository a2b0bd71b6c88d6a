//! What a look at the files finds, as they change.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use super::*;
use crate::credentials::tests::{pair, source, write};

fn watched(folder: &Path, kept: Option<Read>) -> Watched {
    Watched {
        app: AppName::new("shop").unwrap(),
        release: 3,
        service: ServiceName::new("web").unwrap(),
        source: source(folder),
        kept,
    }
}

/// One look: what is new and good, and what is wrong.
fn look_once(
    watched: &Watched,
    good: &mut BTreeMap<Key, Vec<Option<Fingerprint>>>,
) -> (Option<Read>, Option<String>) {
    let looked = look(std::slice::from_ref(watched), good, SystemTime::now());
    let found = looked.seen.found.into_values().next();
    let warning = looked.seen.warnings.into_values().next();
    (found.map(|found| found.read), warning)
}

#[test]
fn a_new_pair_is_found_and_a_half_written_one_is_only_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (first, first_key) = pair(&["shop.example.com"], |_| {});
    let (second, second_key) = pair(&["shop.example.com"], |_| {});
    let mut good = BTreeMap::new();

    write(path, &first, &first_key);
    let (found, warning) = look_once(&watched(path, None), &mut good);
    let kept = found.unwrap();
    assert_eq!(warning, None);
    // Whoever did not keep it is told again.
    let (again, _) = look_once(&watched(path, None), &mut good);
    assert_eq!(again.as_ref(), Some(&kept));

    let with_first = watched(path, Some(kept));
    assert_eq!(look_once(&with_first, &mut good), (None, None));
    assert_eq!(good.len(), 1);

    write(path, &second, &first_key);
    let (found, warning) = look_once(&with_first, &mut good);
    assert_eq!(found, None);
    let expected = "the certificate of shop.example.com stays as it was: shop.key: it is not the \
                    key of the certificate in shop.pem";
    assert_eq!(warning.as_deref(), Some(expected));

    write(path, &second, &second_key);
    let (found, warning) = look_once(&with_first, &mut good);
    assert_eq!(warning, None);
    let with_second = watched(path, found);
    assert!(with_second.kept.is_some() && with_second.kept != with_first.kept);
    assert_eq!(look_once(&with_second, &mut good), (None, None));
}

#[test]
fn files_that_are_gone_are_told_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (certificate, key) = pair(&["shop.example.com"], |_| {});
    let mut good = BTreeMap::new();
    write(path, &certificate, &key);
    let (kept, _) = look_once(&watched(path, None), &mut good);
    let watched = watched(path, kept);
    look_once(&watched, &mut good);
    fs::remove_file(path.join("shop.key")).unwrap();
    let (found, warning) = look_once(&watched, &mut good);
    assert_eq!(found, None);
    let warning = warning.unwrap();
    let expected = "the certificate of shop.example.com stays as it was: shop.key: there is no /";
    assert!(warning.starts_with(expected), "{warning}");
}

#[test]
fn the_thread_tells_what_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = pair(&["shop.example.com"], |_| {});
    write(folder.path(), &certificate, &key);
    let wake = Arc::new(Notify::new());
    let mut watcher = Watcher::start(Arc::clone(&wake)).unwrap();
    watcher.watch(vec![watched(folder.path(), None)]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let limit = Duration::from_secs(30);
    runtime
        .block_on(async { tokio::time::timeout(limit, wake.notified()).await })
        .unwrap();
    let found = watcher.take_found();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].release, found[0].service.as_str()), (3, "web"));
}

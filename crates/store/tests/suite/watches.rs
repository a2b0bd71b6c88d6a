//! Watches.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use store::{Event, Revision, StoreError, Transaction, Watch, WatchError, limits};

use super::{Harness, committed, put};

fn keys(changes: &store::Changes) -> Vec<&str> {
    changes.events.iter().map(Event::key).collect()
}

/// Whether a watch has nothing to tell now. It is asked once and then dropped.
async fn is_quiet(watch: &mut Watch) -> bool {
    let mut next = pin!(watch.next());
    poll_fn(|context| Poll::Ready(next.as_mut().poll(context).is_pending())).await
}

pub(crate) async fn each_change_once_and_in_order(harness: &mut impl Harness) {
    let store = harness.store();
    let start = put(&*store, "a", "before").await;
    let mut early = store.watch("", start).await.unwrap();
    let mut revisions = Vec::new();
    for round in 0..10 {
        revisions.push(put(&*store, "a", &round.to_string()).await);
    }
    let mut late = store.watch("", revisions[4]).await.unwrap();
    for (round, revision) in revisions.iter().enumerate() {
        let changes = early.next().await.unwrap();
        assert_eq!(changes.revision, *revision);
        let [Event::Put(entry)] = &changes.events[..] else {
            panic!("{changes:?}")
        };
        assert_eq!(entry.value, round.to_string().into_bytes());
        assert_eq!(
            (entry.modified, entry.version),
            (*revision, round as u64 + 2)
        );
        if round > 4 {
            assert_eq!(late.next().await.unwrap(), changes);
        }
    }
    assert!(is_quiet(&mut early).await && is_quiet(&mut late).await);
}

pub(crate) async fn a_transaction_is_a_unit(harness: &mut impl Harness) {
    let store = harness.store();
    let start = put(&*store, "w/gone", "").await;
    let mut watch = store.watch("w/", start).await.unwrap();
    let unit = Transaction::new()
        .put("w/b", vec![])
        .put("elsewhere", vec![])
        .delete("w/gone")
        .delete("w/never")
        .put("w/a", vec![]);
    let revision = committed(store.transact(unit).await.unwrap());
    let changes = watch.next().await.unwrap();
    assert_eq!(changes.revision, revision);
    assert_eq!(keys(&changes), ["w/b", "w/gone", "w/a"]);
    assert_eq!(
        changes.events[1],
        Event::Deleted {
            key: "w/gone".into()
        }
    );
    assert!(is_quiet(&mut watch).await);
}

pub(crate) async fn only_its_prefix(harness: &mut impl Harness) {
    let store = harness.store();
    let mut watch = store.watch("app/", Revision(0)).await.unwrap();
    for key in ["apple", "ap", "b"] {
        put(&*store, key, "").await;
    }
    assert!(is_quiet(&mut watch).await);
    put(&*store, "app/x", "").await;
    assert_eq!(keys(&watch.next().await.unwrap()), ["app/x"]);
}

pub(crate) async fn waits_for_the_next_change(harness: &mut impl Harness) {
    let store = harness.store();
    let mut watch = store.watch("", Revision(0)).await.unwrap();
    let waiting = tokio::spawn(async move { watch.next().await });
    tokio::task::yield_now().await;
    let revision = put(&*store, "a", "").await;
    assert_eq!(waiting.await.unwrap().unwrap().revision, revision);
}

pub(crate) async fn list_then_watch_misses_nothing(harness: &mut impl Harness) {
    const LAST: u32 = 150;
    let store = harness.store();
    let writer = store.clone();
    let writing = tokio::spawn(async move {
        for round in 0..=LAST {
            put(&*writer, "a", &round.to_string()).await;
        }
    });
    loop {
        let listing = store.list("a").await.unwrap();
        let value = |bytes: &[u8]| str::from_utf8(bytes).unwrap().parse::<u32>().unwrap();
        let listed = listing.entries.first().map(|entry| value(&entry.value));
        if listed == Some(LAST) {
            break;
        }
        let mut watch = store.watch("a", listing.revision).await.unwrap();
        let changes = watch.next().await.unwrap();
        let [Event::Put(entry)] = &changes.events[..] else {
            panic!("{changes:?}")
        };
        assert_eq!(value(&entry.value), listed.map_or(0, |listed| listed + 1));
    }
    writing.await.unwrap();
}

pub(crate) async fn behind_is_told_and_relists(harness: &mut impl Harness) {
    let store = harness.store();
    let start = put(&*store, "a", "").await;
    let mut watch = store.watch("", start).await.unwrap();
    for _ in 0..harness.more_than_kept() {
        put(&*store, "a", "").await;
    }
    assert_eq!(watch.next().await, Err(WatchError::FellBehind));
    assert!(
        watch.next().await.is_err(),
        "a watch that fell behind goes on"
    );
    let mut old = store.watch("", start).await.unwrap();
    assert_eq!(old.next().await, Err(WatchError::FellBehind));

    let listing = store.list("").await.unwrap();
    let mut watch = store.watch("", listing.revision).await.unwrap();
    let revision = put(&*store, "b", "").await;
    assert_eq!(watch.next().await.unwrap().revision, revision);
}

pub(crate) async fn unreached_revision_is_told(harness: &mut impl Harness) {
    let store = harness.store();
    let now = put(&*store, "a", "").await;
    let mut watch = store.watch("", Revision(now.0 + 1000)).await.unwrap();
    assert_eq!(watch.next().await, Err(WatchError::FellBehind));
}

pub(crate) async fn cancelling_next_loses_nothing(harness: &mut impl Harness) {
    let store = harness.store();
    let mut watch = store.watch("", Revision(0)).await.unwrap();
    for round in 0..50 {
        let writer = store.clone();
        let writing = tokio::spawn(async move { put(&*writer, "a", &round.to_string()).await });
        // Asked and dropped over and over while the change comes in.
        let changes = loop {
            let mut next = pin!(watch.next());
            let polled = poll_fn(|context| Poll::Ready(next.as_mut().poll(context))).await;
            match polled {
                Poll::Ready(changes) => break changes.unwrap(),
                Poll::Pending => tokio::task::yield_now().await,
            }
        };
        assert_eq!(changes.revision, writing.await.unwrap());
    }
}

pub(crate) async fn ends_with_the_store(harness: &mut impl Harness) {
    let store = harness.store();
    let mut watch = store.watch("", Revision(0)).await.unwrap();
    let revision = put(&*store, "a", "").await;
    drop(store);
    harness.reopen();
    assert_eq!(watch.next().await.unwrap().revision, revision);
    assert_eq!(watch.next().await, Err(WatchError::Closed));
}

pub(crate) async fn are_limited(harness: &mut impl Harness) {
    let store = harness.store();
    let mut watches = Vec::new();
    for _ in 0..limits::WATCHES {
        watches.push(store.watch("", Revision(0)).await.unwrap());
    }
    let refused = store.watch("", Revision(0)).await;
    assert!(
        matches!(
            refused,
            Err(StoreError::TooMany {
                what: "watches",
                ..
            })
        ),
        "{refused:?}"
    );
    watches.pop();
    store.watch("", Revision(0)).await.unwrap();
}

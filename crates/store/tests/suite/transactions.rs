//! Transactions: conditions, atomicity, concurrency.

use std::sync::Arc;

use store::{Conflict, Expected, Outcome, Revision, Store, StoreError, Transaction};

use super::{Harness, committed, conflict, put};

pub(crate) async fn all_or_nothing(harness: &mut impl Harness) {
    let store = harness.store();
    let b = put(&*store, "b", "old").await;
    let change = || Transaction::new().put("a", b"new".to_vec()).delete("b");
    let refused = change()
        .expect("b", Expected::Modified(b))
        .expect("b", Expected::Absent);
    assert_eq!(
        conflict(store.transact(refused).await.unwrap()),
        Conflict::Key {
            key: "b".into(),
            expected: Expected::Absent,
            found: Some(b)
        }
    );
    assert_eq!(store.list("").await.unwrap().revision, b);
    assert!(store.get("a").await.unwrap().is_none());

    let made = change()
        .expect("b", Expected::Modified(b))
        .expect("a", Expected::Absent);
    let made = committed(store.transact(made).await.unwrap());
    let listing = store.list("").await.unwrap();
    assert_eq!((listing.entries.len(), listing.revision), (1, made));
    assert_eq!(listing.entries[0].modified, made);
}

pub(crate) async fn conditions(harness: &mut impl Harness) {
    let store = harness.store();
    let set = async |expected, value: &str| {
        store
            .compare_and_set("a", expected, value.as_bytes().to_vec())
            .await
            .unwrap()
    };
    let unseen = Expected::Modified(Revision(1));
    assert!(matches!(
        set(unseen, "x").await,
        Outcome::Conflict(Conflict::Key { found: None, .. })
    ));
    let first = committed(set(Expected::Absent, "1").await);
    conflict(set(Expected::Absent, "x").await);
    let second = committed(set(Expected::Modified(first), "2").await);
    conflict(set(Expected::Modified(first), "x").await);
    assert_eq!(store.get("a").await.unwrap().unwrap().value, b"2");

    // A key that was removed and set again is not what it was.
    committed(
        store
            .transact(Transaction::new().delete("a"))
            .await
            .unwrap(),
    );
    committed(set(Expected::Absent, "3").await);
    conflict(set(Expected::Modified(second), "x").await);
}

pub(crate) async fn no_change_takes_no_revision(harness: &mut impl Harness) {
    let store = harness.store();
    let a = put(&*store, "a", "").await;
    let mut watch = store.watch("", a).await.unwrap();
    for nothing in [
        Transaction::new(),
        Transaction::new().expect("a", Expected::Modified(a)),
        Transaction::new().delete("b").delete("c"),
    ] {
        assert_eq!(
            store.transact(nothing).await.unwrap(),
            Outcome::Committed(a)
        );
    }
    let next = put(&*store, "a", "").await;
    assert!(next > a, "setting the same value is a change");
    assert_eq!(watch.next().await.unwrap().revision, next);
}

pub(crate) async fn a_key_only_once(harness: &mut impl Harness) {
    let store = harness.store();
    let twice = Transaction::new().put("a", vec![1]).delete("a");
    assert!(matches!(
        store.transact(twice).await,
        Err(StoreError::Invalid(_))
    ));
    assert!(store.get("a").await.unwrap().is_none());
}

async fn increment(store: &dyn Store, key: &str) {
    loop {
        let (expected, count) = match store.get(key).await.unwrap() {
            None => (Expected::Absent, 0),
            Some(entry) => {
                let count: u32 = String::from_utf8(entry.value).unwrap().parse().unwrap();
                (Expected::Modified(entry.modified), count)
            }
        };
        let value = (count + 1).to_string().into_bytes();
        if let Outcome::Committed(_) = store.compare_and_set(key, expected, value).await.unwrap() {
            return;
        }
    }
}

pub(crate) async fn concurrent_increments_are_not_lost(harness: &mut impl Harness) {
    const TASKS: u32 = 8;
    const TIMES: u32 = 20;
    let store = harness.store();
    let mut tasks = Vec::new();
    for _ in 0..TASKS {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            for _ in 0..TIMES {
                increment(&*store, "count").await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let entry = store.get("count").await.unwrap().unwrap();
    assert_eq!(entry.value, (TASKS * TIMES).to_string().into_bytes());
    assert_eq!(entry.version, u64::from(TASKS * TIMES));
}

pub(crate) async fn readers_see_no_half(harness: &mut impl Harness) {
    let store = harness.store();
    let writer: Arc<dyn Store> = store.clone();
    let writing = tokio::spawn(async move {
        for round in 0..60u8 {
            let both = Transaction::new()
                .put("half/a", vec![round])
                .put("half/b", vec![round]);
            committed(writer.transact(both).await.unwrap());
        }
    });
    let mut revision = Revision(0);
    while !writing.is_finished() {
        let listing = store.list("half/").await.unwrap();
        assert!(listing.revision >= revision, "a listing goes back in time");
        revision = listing.revision;
        if let [a, b] = &listing.entries[..] {
            assert_eq!((&a.value, a.modified), (&b.value, b.modified));
            assert!(a.modified <= listing.revision);
        } else {
            assert!(
                listing.entries.is_empty(),
                "half a transaction: {listing:?}"
            );
        }
    }
    writing.await.unwrap();
}

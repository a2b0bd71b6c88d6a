//! Single entries and listings.

use store::{Entry, Expected, StoreError, Transaction, limits};

use super::{Harness, committed, put};

pub(crate) async fn absent_until_set(harness: &mut impl Harness) {
    let store = harness.store();
    assert_eq!(store.get("a").await.unwrap(), None);
    assert!(store.list("").await.unwrap().entries.is_empty());
}

pub(crate) async fn versions_and_revisions(harness: &mut impl Harness) {
    let store = harness.store();
    let first = put(&*store, "a", "one").await;
    put(&*store, "b", "other").await;
    let second = put(&*store, "a", "two").await;
    assert!(second > first);
    let expected = Entry {
        key: "a".into(),
        value: b"two".to_vec(),
        created: first,
        modified: second,
        version: 2,
    };
    assert_eq!(store.get("a").await.unwrap(), Some(expected));

    committed(
        store
            .transact(Transaction::new().delete("a"))
            .await
            .unwrap(),
    );
    assert_eq!(store.get("a").await.unwrap(), None);
    let again = put(&*store, "a", "three").await;
    let entry = store.get("a").await.unwrap().unwrap();
    assert_eq!(
        (entry.created, entry.modified, entry.version),
        (again, again, 1)
    );
}

pub(crate) async fn listing_is_by_prefix_in_order(harness: &mut impl Harness) {
    let store = harness.store();
    for key in ["app/b", "app/a", "apple", "app/", "ap", "b"] {
        put(&*store, key, key).await;
    }
    let keys = async |prefix: &str| -> Vec<String> {
        let listing = store.list(prefix).await.unwrap();
        listing.entries.into_iter().map(|entry| entry.key).collect()
    };
    assert_eq!(keys("app/").await, ["app/", "app/a", "app/b"]);
    assert_eq!(keys("app").await, ["app/", "app/a", "app/b", "apple"]);
    assert_eq!(keys("").await.len(), 6);
    assert!(keys("c").await.is_empty());
    let last = put(&*store, "z", "").await;
    assert_eq!(store.list("app/").await.unwrap().revision, last);
}

pub(crate) async fn lives_through_reopening(harness: &mut impl Harness) {
    let store = harness.store();
    put(&*store, "a", "one").await;
    put(&*store, "b", "two").await;
    let before = store.list("").await.unwrap();
    drop(store);
    harness.reopen();
    let store = harness.store();
    assert_eq!(store.list("").await.unwrap(), before);
    assert!(put(&*store, "a", "three").await > before.revision);
}

pub(crate) async fn refuses_what_is_over_a_limit(harness: &mut impl Harness) {
    let store = harness.store();
    let largest = vec![7; limits::VALUE_BYTES];
    let set = store.compare_and_set("largest", Expected::Absent, largest.clone());
    committed(set.await.unwrap());
    assert_eq!(store.get("largest").await.unwrap().unwrap().value, largest);

    let longest = "k".repeat(limits::KEY_BYTES);
    put(&*store, &longest, "").await;
    let revision = store.list("").await.unwrap().revision;
    let mut many = Transaction::new();
    for number in 0..=limits::OPERATIONS {
        many = many.put(format!("many/{number}"), vec![]);
    }
    for transaction in [
        Transaction::new().put("a", vec![0; limits::VALUE_BYTES + 1]),
        Transaction::new().put(format!("{longest}k"), vec![]),
        many.clone(),
    ] {
        let refused = store.transact(transaction).await;
        assert!(
            matches!(refused, Err(StoreError::TooLarge { .. })),
            "{refused:?}"
        );
    }
    for key in ["", "a\nb", "a\0"] {
        let refused = store.transact(Transaction::new().put(key, vec![])).await;
        assert!(
            matches!(refused, Err(StoreError::Invalid(_))),
            "{refused:?}"
        );
        assert!(store.get(key).await.is_err());
    }
    many.operations.pop();
    assert_eq!(store.list("").await.unwrap().revision, revision);
    committed(store.transact(many).await.unwrap());
}

pub(crate) async fn a_listing_is_limited(harness: &mut impl Harness) {
    let store = harness.store();
    for number in 0..limits::LISTING_BYTES / limits::VALUE_BYTES {
        let key = format!("large/{number:02}");
        let value = vec![0; limits::VALUE_BYTES];
        committed(
            store
                .compare_and_set(&key, Expected::Absent, value)
                .await
                .unwrap(),
        );
    }
    // The values alone fill it, so the keys are too much.
    let refused = store.list("large/").await;
    assert!(matches!(
        refused,
        Err(StoreError::TooLarge { unit: "bytes", .. })
    ));
    assert_eq!(store.list("large/0").await.unwrap().entries.len(), 10);
}

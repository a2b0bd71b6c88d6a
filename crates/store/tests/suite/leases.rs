//! Leases and fencing.

use std::time::Duration;

use store::{Acquired, Conflict, Renewed, Store, StoreError, Transaction, limits};

use super::{Harness, committed, conflict, lease};

const TIME: Duration = Duration::from_secs(10);

async fn acquire(store: &dyn Store, holder: &str) -> Acquired {
    store.acquire("leader", holder, TIME).await.unwrap()
}

fn fenced(lease: &store::Lease) -> Transaction {
    Transaction::new()
        .put("guarded", lease.holder.clone().into_bytes())
        .fenced(lease)
}

pub(crate) async fn one_holder(harness: &mut impl Harness) {
    let store = harness.store();
    let held = lease(acquire(&*store, "one").await);
    assert_eq!(
        (held.name.as_str(), held.holder.as_str()),
        ("leader", "one")
    );
    assert_eq!(held.time_to_live, TIME);
    let Acquired::HeldBy { holder, remaining } = acquire(&*store, "two").await else {
        panic!("two hold one lease");
    };
    assert_eq!(holder, "one");
    assert!(remaining > TIME / 2 && remaining <= TIME, "{remaining:?}");
    lease(store.acquire("other", "two", TIME).await.unwrap());
}

pub(crate) async fn expires(harness: &mut impl Harness) {
    let store = harness.store();
    lease(acquire(&*store, "one").await);
    harness.advance(TIME * 9 / 10);
    assert!(matches!(
        acquire(&*store, "two").await,
        Acquired::HeldBy { .. }
    ));
    harness.advance(TIME / 5);
    assert_eq!(lease(acquire(&*store, "two").await).holder, "two");
}

pub(crate) async fn a_late_holder_is_refused(harness: &mut impl Harness) {
    let store = harness.store();
    let late = lease(acquire(&*store, "one").await);
    harness.advance(TIME * 2);
    // Nobody else took it: it is lost nevertheless.
    let refused = conflict(store.transact(fenced(&late)).await.unwrap());
    assert_eq!(
        refused,
        Conflict::Fence {
            fence: late.fence(),
            current: None
        }
    );
    assert_eq!(store.renew(&late).await.unwrap(), Renewed::Lost);
    assert!(store.get("guarded").await.unwrap().is_none());
    let again = lease(acquire(&*store, "one").await);
    assert!(again.token > late.token);
    committed(store.transact(fenced(&again)).await.unwrap());
}

pub(crate) async fn renewal_prolongs(harness: &mut impl Harness) {
    let store = harness.store();
    let held = lease(acquire(&*store, "one").await);
    for _ in 0..5 {
        harness.advance(TIME * 3 / 4);
        assert_eq!(store.renew(&held).await.unwrap(), Renewed::Held);
    }
    committed(store.transact(fenced(&held)).await.unwrap());
    assert!(matches!(
        acquire(&*store, "two").await,
        Acquired::HeldBy { .. }
    ));
}

pub(crate) async fn release_frees(harness: &mut impl Harness) {
    let store = harness.store();
    let first = lease(acquire(&*store, "one").await);
    store.release(&first).await.unwrap();
    assert_eq!(store.renew(&first).await.unwrap(), Renewed::Lost);
    conflict(store.transact(fenced(&first)).await.unwrap());
    let second = lease(acquire(&*store, "two").await);
    // A release that comes late, or twice, ends nobody else's lease.
    store.release(&first).await.unwrap();
    assert_eq!(store.renew(&second).await.unwrap(), Renewed::Held);
}

pub(crate) async fn fences(harness: &mut impl Harness) {
    let store = harness.store();
    let first = lease(acquire(&*store, "one").await);
    committed(store.transact(fenced(&first)).await.unwrap());
    harness.advance(TIME * 2);
    let second = lease(acquire(&*store, "two").await);
    committed(store.transact(fenced(&second)).await.unwrap());
    let refused = conflict(store.transact(fenced(&first)).await.unwrap());
    let current = Some(second.token);
    assert_eq!(
        refused,
        Conflict::Fence {
            fence: first.fence(),
            current
        }
    );
    assert_eq!(store.get("guarded").await.unwrap().unwrap().value, b"two");
}

pub(crate) async fn tokens_grow(harness: &mut impl Harness) {
    let mut last = None;
    for round in 0..12 {
        let store = harness.store();
        let held = lease(acquire(&*store, "one").await);
        assert!(Some(held.token) > last, "{:?} after {last:?}", held.token);
        last = Some(held.token);
        match round % 3 {
            0 => store.release(&held).await.unwrap(),
            1 => harness.advance(TIME * 2),
            _ => {
                drop(store);
                harness.reopen();
            }
        }
    }
}

pub(crate) async fn same_holder_supersedes_itself(harness: &mut impl Harness) {
    let store = harness.store();
    let before = lease(acquire(&*store, "one").await);
    let after = lease(acquire(&*store, "one").await);
    assert!(after.token > before.token);
    conflict(store.transact(fenced(&before)).await.unwrap());
    assert_eq!(store.renew(&before).await.unwrap(), Renewed::Lost);
    committed(store.transact(fenced(&after)).await.unwrap());
}

pub(crate) async fn refuses_bad_times(harness: &mut impl Harness) {
    let store = harness.store();
    for time in [
        Duration::ZERO,
        Duration::from_millis(1),
        Duration::from_secs(100_000),
    ] {
        let refused = store.acquire("leader", "one", time).await;
        assert!(
            matches!(refused, Err(StoreError::Invalid(_))),
            "{refused:?}"
        );
    }
}

pub(crate) async fn one_of_many_wins(harness: &mut impl Harness) {
    let store = harness.store();
    let mut tasks = Vec::new();
    for number in 0..16 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            acquire(&*store, &format!("h{number}")).await
        }));
    }
    let mut winners = 0;
    for task in tasks {
        winners += usize::from(matches!(task.await.unwrap(), Acquired::Lease(_)));
    }
    assert_eq!(winners, 1);
}

pub(crate) async fn are_limited(harness: &mut impl Harness) {
    let store = harness.store();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..limits::LEASES {
        let store = store.clone();
        tasks.spawn(async move {
            let name = format!("lease/{number}");
            lease(store.acquire(&name, "one", TIME).await.unwrap());
        });
    }
    tasks.join_all().await;
    let refused = store.acquire("one-more", "one", TIME).await;
    assert!(
        matches!(refused, Err(StoreError::TooMany { what: "leases", .. })),
        "{refused:?}"
    );
    // Those that are held already can be taken again, and ones that expired make room.
    lease(store.acquire("lease/0", "one", TIME).await.unwrap());
    harness.advance(TIME * 2);
    lease(store.acquire("one-more", "one", TIME).await.unwrap());
}

//! What every store must do, whoever implements it. Each test is a function of a [`Harness`];
//! [`contract!`] turns them all into tests of one implementation.

pub(crate) mod entries;
pub(crate) mod leases;
pub(crate) mod model;
pub(crate) mod transactions;
pub(crate) mod watches;

use std::sync::Arc;
use std::time::Duration;

use store::{Acquired, Conflict, Lease, Outcome, Revision, Store};

/// An empty store of one implementation, and what surrounds it.
pub(crate) trait Harness: Send {
    /// A handle to the store.
    fn store(&self) -> Arc<dyn Store>;
    /// Closes the store, as if its user had been restarted, and opens it again. All handles are
    /// gone before.
    fn reopen(&mut self);
    /// Lets time pass for leases.
    fn advance(&self, time: Duration);
    /// More transactions than a watch can be behind.
    fn more_than_kept(&self) -> usize;
}

/// Makes tests of all functions of the suite, with a harness from `$harness` each.
macro_rules! contract {
    ($harness:expr) => {
        contract!(@tests $harness;
            entries: absent_until_set, versions_and_revisions, listing_is_by_prefix_in_order,
                lives_through_reopening, refuses_what_is_over_a_limit,
                a_listing_is_limited;
            transactions: all_or_nothing, conditions, no_change_takes_no_revision,
                a_key_only_once, concurrent_increments_are_not_lost, readers_see_no_half;
            watches: each_change_once_and_in_order, a_transaction_is_a_unit, only_its_prefix,
                waits_for_the_next_change, list_then_watch_misses_nothing,
                behind_is_told_and_relists, unreached_revision_is_told,
                cancelling_next_loses_nothing, ends_with_the_store, are_limited;
            leases: one_holder, expires, a_late_holder_is_refused, renewal_prolongs,
                release_frees, fences, tokens_grow, same_holder_supersedes_itself,
                refuses_bad_times, one_of_many_wins, are_limited;
        );
        proptest::proptest! {
            #![proptest_config(proptest::test_runner::Config::with_cases(48))]
            #[test]
            fn behaves_as_the_model(steps in suite::model::steps()) {
                suite::run(suite::model::behaves(&mut $harness, steps));
            }
        }
    };
    (@tests $harness:expr; $($module:ident: $($test:ident),+;)+) => {
        $(mod $module {
            $(#[test]
            fn $test() {
                crate::suite::run(crate::suite::$module::$test(&mut $harness));
            })+
        })+
    };
}
pub(crate) use contract;

/// Runs a test on threads enough for real concurrency, and ends it where it hangs.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime
        .block_on(async { tokio::time::timeout(Duration::from_secs(60), test).await })
        .expect("the test hangs");
}

/// The revision of a transaction that must succeed.
pub(crate) fn committed(outcome: Outcome) -> Revision {
    match outcome {
        Outcome::Committed(revision) => revision,
        Outcome::Conflict(conflict) => panic!("unexpected conflict: {conflict}"),
    }
}

/// The conflict of a transaction that must be refused.
pub(crate) fn conflict(outcome: Outcome) -> Conflict {
    match outcome {
        Outcome::Conflict(conflict) => conflict,
        Outcome::Committed(revision) => panic!("unexpectedly committed at {revision}"),
    }
}

/// The lease of an acquisition that must succeed.
pub(crate) fn lease(acquired: Acquired) -> Lease {
    match acquired {
        Acquired::Lease(lease) => lease,
        Acquired::HeldBy { holder, .. } => panic!("unexpectedly held by {holder}"),
    }
}

/// Sets a key, whatever it was.
pub(crate) async fn put(store: &dyn Store, key: &str, value: &str) -> Revision {
    let transaction = store::Transaction::new().put(key, value.as_bytes().to_vec());
    committed(store.transact(transaction).await.unwrap())
}

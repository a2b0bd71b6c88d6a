//! How large anything in a store can get. Every implementation keeps to these, so that what one
//! accepts the others accept too; those of a transaction are within etcd's own defaults.

use std::time::Duration;

use crate::error::StoreError;
use crate::types::{Operation, Transaction};

/// The longest key, lease name or holder, in bytes.
pub const KEY_BYTES: usize = 512;
/// The largest value, in bytes.
pub const VALUE_BYTES: usize = 1024 * 1024;
/// The most operations in a transaction, and the most conditions.
pub const OPERATIONS: usize = 128;
/// All keys and values of a transaction together, in bytes.
pub const TRANSACTION_BYTES: usize = VALUE_BYTES + 256 * 1024;
/// All keys and values of a listing together, in bytes.
pub const LISTING_BYTES: usize = 32 * 1024 * 1024;
/// The most watches at a time.
pub const WATCHES: usize = 1024;
/// The most leases held at a time.
pub const LEASES: usize = 4096;
/// The shortest time to live of a lease.
pub const SHORTEST_LEASE: Duration = Duration::from_millis(100);
/// The longest time to live of a lease.
pub const LONGEST_LEASE: Duration = Duration::from_secs(24 * 60 * 60);

/// Checks a key, a lease's name or a holder, called `what` in the error.
pub(crate) fn check_key(what: &'static str, key: &str) -> Result<(), StoreError> {
    if key.is_empty() {
        return Err(StoreError::Invalid(format!("{what} is empty")));
    }
    check_prefix(what, key)
}

/// Checks a prefix, which unlike a key may be empty.
pub(crate) fn check_prefix(what: &'static str, prefix: &str) -> Result<(), StoreError> {
    within(what, prefix.len(), KEY_BYTES, "bytes")?;
    if prefix.chars().any(char::is_control) {
        let problem = format!("{what} {prefix:?} contains a control character");
        return Err(StoreError::Invalid(problem));
    }
    Ok(())
}

/// Checks how long a lease may live.
pub(crate) fn check_time_to_live(time: Duration) -> Result<(), StoreError> {
    if (SHORTEST_LEASE..=LONGEST_LEASE).contains(&time) {
        return Ok(());
    }
    Err(StoreError::Invalid(format!(
        "a lease lives from {SHORTEST_LEASE:?} to {LONGEST_LEASE:?}, not {time:?}"
    )))
}

/// Checks everything about a transaction that does not depend on what is stored.
pub(crate) fn check_transaction(transaction: &Transaction) -> Result<(), StoreError> {
    let Transaction {
        conditions,
        operations,
        fence,
    } = transaction;
    within("a transaction", operations.len(), OPERATIONS, "operations")?;
    within("a transaction", conditions.len(), OPERATIONS, "conditions")?;
    let mut total = 0;
    for condition in conditions {
        check_key("a key", &condition.key)?;
        total += condition.key.len();
    }
    for operation in operations {
        check_key("a key", operation.key())?;
        total += operation.key().len();
        if let Operation::Put { value, .. } = operation {
            within("a value", value.len(), VALUE_BYTES, "bytes")?;
            total += value.len();
        }
    }
    within("a transaction", total, TRANSACTION_BYTES, "bytes")?;
    if let Some(fence) = fence {
        check_key("a lease's name", &fence.name)?;
    }
    let mut keys: Vec<&str> = operations.iter().map(Operation::key).collect();
    keys.sort_unstable();
    match keys.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => {
            let problem = format!("a transaction changes the key {:?} more than once", pair[0]);
            Err(StoreError::Invalid(problem))
        }
        None => Ok(()),
    }
}

fn within(
    what: &'static str,
    size: usize,
    limit: usize,
    unit: &'static str,
) -> Result<(), StoreError> {
    if size <= limit {
        Ok(())
    } else {
        Err(StoreError::TooLarge {
            what,
            size,
            limit,
            unit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_bounded_as_a_whole() {
        let half = vec![0; VALUE_BYTES / 2 + 200 * 1024];
        let both = Transaction::new().put("a", half.clone()).put("b", half);
        assert!(matches!(
            check_transaction(&both),
            Err(StoreError::TooLarge {
                what: "a transaction",
                unit: "bytes",
                ..
            })
        ));
    }

    #[test]
    fn a_key_is_changed_once() {
        let twice = Transaction::new()
            .put("a", vec![])
            .put("b", vec![])
            .delete("a");
        let error = check_transaction(&twice).unwrap_err().to_string();
        assert!(error.contains("\"a\" more than once"), "{error}");
    }
}

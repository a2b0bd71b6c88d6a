//! What is stored, and what can be asked of a store.

use std::fmt;
use std::time::Duration;

/// The number of a state of the whole store. Every change takes the next one; numbers are never
/// used twice, but some may be skipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Vec<u8>,
    /// When the key was last set while it was absent.
    pub created: Revision,
    /// When the key was last set.
    pub modified: Revision,
    /// How often it was set since it was created, that time included.
    pub version: u64,
}

/// The entries under a prefix, all as they were at one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The entries in the order of their keys.
    pub entries: Vec<Entry>,
    /// The store's revision: a watch after it misses nothing.
    pub revision: Revision,
}

/// What a key must be for a transaction to go ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// The key is not set.
    Absent,
    /// The key was last set at this revision.
    Modified(Revision),
}

/// A comparison that a transaction depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The key to look at.
    pub key: String,
    /// What it must be.
    pub expected: Expected,
}

/// A change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Sets it.
    Put {
        /// The key.
        key: String,
        /// Its new value.
        value: Vec<u8>,
    },
    /// Removes it; nothing happens where it is not set.
    Delete {
        /// The key.
        key: String,
    },
}

impl Operation {
    /// The key that is changed.
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

/// Changes that are made together, or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// What must hold; looked at in order, before any change.
    pub conditions: Vec<Condition>,
    /// The changes, each of another key.
    pub operations: Vec<Operation>,
    /// The lease that must still be held, where one guards what is changed.
    pub fence: Option<Fence>,
}

impl Transaction {
    /// A transaction that does nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition.
    pub fn expect(mut self, key: impl Into<String>, expected: Expected) -> Self {
        self.conditions.push(Condition {
            key: key.into(),
            expected,
        });
        self
    }

    /// Adds the setting of a key.
    pub fn put(mut self, key: impl Into<String>, value: Vec<u8>) -> Self {
        self.operations.push(Operation::Put {
            key: key.into(),
            value,
        });
        self
    }

    /// Adds the removal of a key.
    pub fn delete(mut self, key: impl Into<String>) -> Self {
        self.operations.push(Operation::Delete { key: key.into() });
        self
    }

    /// Makes it depend on `lease` still being held.
    pub fn fenced(mut self, lease: &Lease) -> Self {
        self.fence = Some(lease.fence());
        self
    }
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was made, and survives a crash. This is its revision, or the store's where it changed
    /// nothing.
    Committed(Revision),
    /// Nothing was changed, for this reason.
    Conflict(Conflict),
}

/// Why a transaction was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// A key is not as expected: the first such condition.
    Key {
        /// The key.
        key: String,
        /// What it should have been.
        expected: Expected,
        /// When it was last set, where it is set.
        found: Option<Revision>,
    },
    /// The lease of the fence is no longer held with that token.
    Fence {
        /// What the transaction was fenced with.
        fence: Fence,
        /// The token with which the lease is held now, where it is.
        current: Option<Token>,
    },
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key {
                key,
                expected,
                found,
            } => {
                write!(f, "{key} was expected ")?;
                match expected {
                    Expected::Absent => f.write_str("to be absent")?,
                    Expected::Modified(revision) => write!(f, "at revision {revision}")?,
                }
                match found {
                    None => f.write_str(", but it is absent"),
                    Some(revision) => write!(f, ", but it is at revision {revision}"),
                }
            }
            Self::Fence {
                fence: Fence { name, token },
                current,
            } => {
                write!(f, "the lease {name} is no longer held with token {token}")?;
                match current {
                    None => f.write_str(" (nobody holds it)"),
                    Some(current) => write!(f, " (its token now is {current})"),
                }
            }
        }
    }
}

/// Tells the holders of a lease apart. Every acquisition in a store gets a token above all before
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The lease and token that a transaction depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// The lease's name.
    pub name: String,
    /// The token with which it must be held.
    pub token: Token,
}

/// A lease as it was acquired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Its name.
    pub name: String,
    /// Who holds it.
    pub holder: String,
    /// Proves that it is held; to be sent along as a [`Fence`].
    pub token: Token,
    /// How long it lasts without renewal. Count from before it was acquired or renewed: the store
    /// counts from a moment in between.
    pub time_to_live: Duration,
}

impl Lease {
    /// What a transaction is to be fenced with.
    pub fn fence(&self) -> Fence {
        Fence {
            name: self.name.clone(),
            token: self.token,
        }
    }
}

/// What became of the wish for a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acquired {
    /// It is held.
    Lease(Lease),
    /// Someone else holds it.
    HeldBy {
        /// Who.
        holder: String,
        /// When it ends unless it is renewed, from now.
        remaining: Duration,
    },
}

/// What became of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// The lease is held for its whole time to live again.
    Held,
    /// The lease had expired, was released or was acquired anew; it has to be acquired again.
    Lost,
}

//! What workers of a proxy hand over.

use serde::{Deserialize, Serialize};

use super::Arms;
use crate::{Histogram, Share};

/// Latencies as they are compared: a bucket is 0.8 % wide at most, from 8 µs on.
pub type Latencies = Histogram<128>;

/// Requests of a short interval that were shared between the arms in one way.
///
/// Batches of workers, and of proxies, are merged before they are given to a comparison. A batch
/// that is lost takes nothing from the guarantee. One that is counted twice does, so whoever keeps a
/// comparison writes it down together with how far it has read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// How requests were shared when they *arrived*: one that ends after the share has changed still
    /// counts under the one by which its arm was drawn.
    pub share: Share,
    /// What became of them.
    pub arms: Arms<ArmBatch>,
}

/// What an arm did in an interval.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmBatch {
    /// Requests that were given to the arm. They show whether the arms get what the share says, and
    /// what has not ended; 0 in both arms if that is not known.
    pub arrived: u64,
    /// Requests that ended in an error that is the arm's: by status, or without an answer.
    pub failed: u64,
    /// How long the others took. One whose client has left counts with its time until then: not to
    /// count it would hide what made the client leave.
    pub latencies: Latencies,
}

impl Batch {
    /// A batch without requests.
    pub fn new(share: Share) -> Self {
        Self {
            share,
            arms: Arms::default(),
        }
    }

    /// Counts what another worker has counted in the same interval, if it was shared in the same
    /// way; otherwise gives it back.
    ///
    /// # Errors
    ///
    /// The shares differ: these are two batches.
    pub fn merge(&mut self, other: Self) -> Result<(), Self> {
        if self.share != other.share {
            return Err(other);
        }
        self.arms.baseline.merge(&other.arms.baseline);
        self.arms.candidate.merge(&other.arms.candidate);
        Ok(())
    }
}

impl ArmBatch {
    /// Requests that ended.
    pub fn ended(&self) -> u64 {
        self.failed.saturating_add(self.latencies.count())
    }

    fn merge(&mut self, other: &Self) {
        self.arrived = self.arrived.saturating_add(other.arrived);
        self.failed = self.failed.saturating_add(other.failed);
        self.latencies.merge(&other.latencies);
    }
}

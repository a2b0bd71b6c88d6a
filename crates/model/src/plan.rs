//! The steps from what is to what should be, and why each thing that is not yet so waits.

use serde::{Deserialize, Serialize};

use crate::desired::Failure;
use crate::instance::{Exit, InstanceId};
use crate::names::ServiceName;
use crate::observed::Phase;
use crate::time::Timestamp;

/// What to do now for one app, in order, and what everything else waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to do now.
    pub steps: Vec<Step>,
    /// What waits, and for what.
    pub waits: Vec<Wait>,
    /// When to plan again even if nothing is seen to change.
    pub wake: Option<Timestamp>,
}

/// One thing to do. Each can be done twice without harm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "step")]
pub enum Step {
    /// Create an instance and start its process.
    Launch {
        /// The new instance.
        instance: InstanceId,
    },
    /// Start the next attempt of an instance whose process ended.
    Relaunch {
        /// The instance.
        instance: InstanceId,
    },
    /// Write down that an instance's process ended unasked, and when to try again.
    RecordExit {
        /// The instance.
        instance: InstanceId,
        /// How it ended.
        exit: Exit,
        /// How many ends came in a row now.
        streak: u32,
        /// When the next attempt is due.
        until: Timestamp,
    },
    /// Write down that an instance is in another phase. The routes follow.
    Enter {
        /// The instance.
        instance: InstanceId,
        /// Its new phase.
        phase: Phase,
    },
    /// Ask an instance's process to stop, and kill it at its limit.
    Terminate {
        /// The instance.
        instance: InstanceId,
    },
    /// Kill an instance's process at once, because it is of no use as it is.
    Kill {
        /// The instance.
        instance: InstanceId,
    },
    /// Forget an instance whose process is gone.
    Forget {
        /// The instance.
        instance: InstanceId,
    },
    /// The rollout ended well.
    Confirm {
        /// The release.
        release: u64,
    },
    /// Give the rollout up and go back to what ran before, or halt if nothing did.
    Abandon {
        /// The release that failed.
        release: u64,
        /// Why.
        failure: Failure,
    },
    /// Forget the app: it should not run and no instance of it is left.
    ForgetApp,
}

/// Something that is not yet as it should be, and what it waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// The service concerned.
    pub service: Option<ServiceName>,
    /// The instance concerned.
    pub instance: Option<InstanceId>,
    /// What it waits for, in words for the user.
    pub reason: String,
}

//! What should be: releases, and which of them an app is meant to run.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::error_pages::{ErrorPages, PageText};
use crate::instance::{Exit, InstanceId};
use crate::names::ServiceName;
use crate::time::Timestamp;

/// An immutable, numbered whole that an app runs or ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Its number, from 1, never given twice to one app.
    pub number: u64,
    /// What it declares.
    pub app: App,
    /// The app's folder, absolute: the working directory of its instances.
    pub folder: PathBuf,
    /// When it was deployed.
    pub created: Timestamp,
    /// What the files said that `app` names as pages of errors.
    #[serde(default, skip_serializing_if = "ErrorPages::is_empty")]
    pub error_pages: ErrorPages<PageText>,
}

/// What an app is meant to run, and how far the journey there has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// Whether the app should run at all.
    pub intent: Intent,
    /// The release that should run.
    pub target: u64,
    /// The last release whose rollout ended well: what a failed rollout goes back to.
    pub confirmed: Option<u64>,
    /// The rollout of the newest release.
    pub rollout: Rollout,
}

impl Desired {
    /// The rollout of `release` ended well.
    pub fn confirm(&mut self, release: u64, now: Timestamp) {
        self.confirmed = Some(release);
        self.rollout.state = RolloutState::Complete { at: now };
    }

    /// The rollout is given up: back to what ran before, or to nothing if nothing did.
    pub fn abandon(&mut self, failure: Failure, now: Timestamp) {
        match self.confirmed {
            Some(confirmed) => self.target = confirmed,
            None => self.intent = Intent::Halted,
        }
        self.rollout.state = RolloutState::Failed {
            at: now,
            failure,
            reverted_to: self.confirmed,
        };
    }
}

/// Whether an app should run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Intent {
    /// It should run its target release.
    Run,
    /// Its instances should stop, dependents first; then it is forgotten.
    Down,
    /// Its first rollout failed and there is nothing to go back to: its instances should stop,
    /// and what became of it is kept until its user deploys it again or takes it down.
    Halted,
}

/// The journey to one release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// The release that is or was rolled out.
    pub release: u64,
    /// When the rollout began.
    pub started: Timestamp,
    /// Where it stands.
    pub state: RolloutState,
}

/// Where a rollout stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum RolloutState {
    /// Instances are being replaced.
    Progressing,
    /// Every instance of the release is ready and no older one is left.
    Complete {
        /// When that was first so.
        at: Timestamp,
    },
    /// It was given up, and the app went back to what ran before, or down if nothing did.
    Failed {
        /// When it was given up.
        at: Timestamp,
        /// Why.
        failure: Failure,
        /// The release that the app went back to.
        reverted_to: Option<u64>,
    },
}

/// Why a rollout was given up, with the evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The service that failed, where one did.
    pub service: Option<ServiceName>,
    /// The instance that failed, where one did.
    pub instance: Option<InstanceId>,
    /// What happened, in one sentence.
    pub message: String,
    /// How the instance's process ended, where it did.
    pub exit: Option<Exit>,
}

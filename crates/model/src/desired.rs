//! What should be: releases, and which of them an app is meant to run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::digest::Digest;
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
    /// The app's folder, absolute, from which it was packed. Files for TLS are read there.
    pub folder: PathBuf,
    /// When it was deployed.
    pub created: Timestamp,
    /// What the files said that `app` names as pages of errors.
    #[serde(default, skip_serializing_if = "ErrorPages::is_empty")]
    pub error_pages: ErrorPages<PageText>,
    /// Its files. One without was deployed by a Roadbed that did not pack, and runs in its folder.
    #[serde(default)]
    pub files: Option<ReleaseFiles>,
    /// The user who deployed it, where that is known.
    #[serde(default)]
    pub by: Option<String>,
    /// The earlier release that it brings back, where it is a rollback.
    #[serde(default)]
    pub restores: Option<u64>,
    /// The version of each secret that it uses. There is no secret store yet, so there is none.
    #[serde(default)]
    pub secrets: BTreeMap<String, u64>,
    /// What is different from the release before.
    #[serde(default)]
    pub changes: Changes,
    /// Where its files are unpacked, absolute. It is no part of the record, as it follows from where
    /// the server's home is: whoever reads the record sets it.
    #[serde(skip)]
    pub root: PathBuf,
}

impl Release {
    /// Sets where its files are: unpacked in `unpacked`, or in its own folder if they are not packed.
    pub fn at(mut self, unpacked: &Path) -> Self {
        self.root = match self.files {
            Some(_) => unpacked.to_owned(),
            None => self.folder.clone(),
        };
        self
    }
}

/// The packed files of a release, by the digests of what is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseFiles {
    /// The manifest, which has the digest of each file.
    pub manifest: Digest,
    /// The text of its `roadbed.toml`.
    pub source: Digest,
    /// How many files and links there are.
    pub count: u64,
    /// How long they are together, in bytes.
    pub bytes: u64,
}

/// What is different from the release before, in short.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// The release before: the one that ran.
    pub before: Option<u64>,
    /// The keys of the declaration that differ, as `services.web.env`.
    pub keys: Vec<String>,
    /// How many files are new.
    pub added: u64,
    /// How many have other content.
    pub changed: u64,
    /// How many are not there any more.
    pub removed: u64,
}

/// How the rollout of a release ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Ended {
    /// Well: it ran.
    Confirmed {
        /// When that was so.
        at: Timestamp,
    },
    /// It was given up.
    Reverted {
        /// When.
        at: Timestamp,
        /// Why, in one sentence.
        reason: String,
        /// The release that the app went back to; nothing runs if there was none.
        to: Option<u64>,
    },
    /// Another one took its place before it had ended.
    Superseded {
        /// When.
        at: Timestamp,
        /// By which.
        by: u64,
    },
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
    /// The newest rollout.
    pub rollout: Rollout,
    /// How the rollouts of earlier releases ended, and of this one when it has.
    #[serde(default)]
    pub ended: BTreeMap<u64, Ended>,
}

impl Desired {
    /// Release `number` is to be rolled out, in place of what is desired `before`.
    pub fn rolling_out(before: Option<&Self>, number: u64, now: Timestamp) -> Self {
        let mut ended = before.map(|b| b.ended.clone()).unwrap_or_default();
        if let Some(Self { rollout, .. }) = before
            && rollout.state == RolloutState::Progressing
        {
            let superseded = Ended::Superseded {
                at: now,
                by: number,
            };
            ended.insert(rollout.release, superseded);
        }
        Self {
            intent: Intent::Run,
            target: number,
            confirmed: before.and_then(|before| before.confirmed),
            rollout: Rollout {
                release: number,
                started: now,
                state: RolloutState::Progressing,
            },
            ended,
        }
    }

    /// The release that ran before the one that should run: what a rollback goes back to. Of a
    /// rollback that is what it went back from.
    pub fn ran_before(&self) -> Option<u64> {
        let earlier = self.ended.range(..self.target).rev();
        let mut ran = earlier.filter(|(_, ended)| matches!(ended, Ended::Confirmed { .. }));
        ran.next().map(|(number, _)| *number)
    }

    /// The rollout of `release` ended well.
    pub fn confirm(&mut self, release: u64, now: Timestamp) {
        self.ended.insert(release, Ended::Confirmed { at: now });
        self.confirmed = Some(release);
        self.rollout.state = RolloutState::Complete { at: now };
    }

    /// The rollout is given up: back to what ran before, or to nothing if nothing did.
    pub fn abandon(&mut self, failure: Failure, now: Timestamp) {
        let reverted = Ended::Reverted {
            at: now,
            reason: failure.message.clone(),
            to: self.confirmed,
        };
        self.ended.insert(self.rollout.release, reverted);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp(milliseconds)
    }

    fn cancelled() -> Failure {
        Failure {
            service: None,
            instance: None,
            message: "cancelled".into(),
            exit: None,
        }
    }

    #[test]
    fn a_rollback_goes_back_to_what_ran_before_and_so_does_one_of_a_rollback() {
        let mut desired = Desired::rolling_out(None, 1, at(1));
        assert_eq!(desired.ran_before(), None);
        desired.confirm(1, at(2));
        assert_eq!(desired.ran_before(), None);
        for number in 2..=3 {
            desired = Desired::rolling_out(Some(&desired), number, at(3));
            desired.confirm(number, at(4));
        }
        assert_eq!(desired.ran_before(), Some(2));
        // One that failed never ran.
        desired = Desired::rolling_out(Some(&desired), 4, at(5));
        desired.abandon(cancelled(), at(6));
        assert_eq!((desired.target, desired.ran_before()), (3, Some(2)));
        // What brings release 2 back is release 5.
        desired = Desired::rolling_out(Some(&desired), 5, at(7));
        desired.confirm(5, at(8));
        assert_eq!(desired.ran_before(), Some(3));
    }

    #[test]
    fn how_each_rollout_ended_is_remembered() {
        let mut desired = Desired::rolling_out(None, 1, at(1));
        desired = Desired::rolling_out(Some(&desired), 2, at(2));
        desired.confirm(2, at(3));
        desired = Desired::rolling_out(Some(&desired), 3, at(4));
        desired.abandon(cancelled(), at(5));
        let expected = [
            (1, Ended::Superseded { at: at(2), by: 2 }),
            (2, Ended::Confirmed { at: at(3) }),
            (
                3,
                Ended::Reverted {
                    at: at(5),
                    reason: "cancelled".into(),
                    to: Some(2),
                },
            ),
        ];
        assert_eq!(desired.ended, expected.into());
    }
}

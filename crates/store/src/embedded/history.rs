//! The latest changes, kept in memory for watches.
//!
//! Watches have no buffers of their own. Each has a position in this one history and is behind
//! when that is no longer in it, so a slow watch costs nothing and their number does not matter
//! to the writer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::error::StoreError;
use crate::limits::WATCHES;
use crate::types::Revision;
use crate::watch::{ChangeSource, Changes, Event, NextChanges, WatchError};

/// The latest changes.
pub(super) struct History {
    kept: Mutex<Kept>,
    /// Where new watches learn to listen for news.
    news: watch::Receiver<()>,
    most_transactions: usize,
    most_bytes: usize,
}

struct Kept {
    changes: VecDeque<Changes>,
    bytes: usize,
    /// Everything after this revision is kept.
    base: Revision,
    /// Everything up to this revision was published.
    published: Revision,
    /// The last revision that may already be seen in the file. It is ahead of what was published
    /// for as long as that is being written: who lists then and watches from there is not mistaken.
    visible: Revision,
}

/// The writer's side of a [`History`]. Watches end when it is dropped.
pub(super) struct Publisher {
    history: Arc<History>,
    news: watch::Sender<()>,
}

impl History {
    /// A history that begins after `revision`.
    pub(super) fn new(
        revision: Revision,
        most_transactions: usize,
        most_bytes: usize,
    ) -> (Arc<Self>, Publisher) {
        let (sender, news) = watch::channel(());
        let kept = Mutex::new(Kept {
            changes: VecDeque::new(),
            bytes: 0,
            base: revision,
            published: revision,
            visible: revision,
        });
        let history = Arc::new(Self {
            kept,
            news,
            most_transactions,
            most_bytes,
        });
        (
            history.clone(),
            Publisher {
                history,
                news: sender,
            },
        )
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Publisher {
    /// Notes that the file may show `revision` from now on, though it is not published yet.
    pub(super) fn announce(&self, revision: Revision) {
        self.history.kept().visible = revision;
    }

    /// Publishes what the file has taken up to the announced revision.
    pub(super) fn publish(&self, changes: Vec<Changes>) {
        {
            let mut kept = self.history.kept();
            kept.published = kept.visible;
            for change in changes {
                kept.bytes += size(&change);
                kept.changes.push_back(change);
            }
            while kept.changes.len() > self.history.most_transactions
                || kept.bytes > self.history.most_bytes
            {
                let Some(oldest) = kept.changes.pop_front() else {
                    break;
                };
                kept.bytes -= size(&oldest);
                kept.base = oldest.revision;
            }
        }
        self.news.send_replace(());
    }

    /// Says that the file is at `revision`, after a write that failed. If that is more than was
    /// published, nobody knows what lies between, and watches must begin anew.
    pub(super) fn recover(&self, revision: Revision) {
        let mut kept = self.history.kept();
        kept.visible = revision;
        if revision > kept.published {
            kept.published = revision;
            kept.changes.clear();
            kept.bytes = 0;
            kept.base = revision;
        }
        drop(kept);
        self.news.send_replace(());
    }
}

fn size(changes: &Changes) -> usize {
    let event = |event: &Event| match event {
        Event::Put(entry) => entry.key.len() + entry.value.len(),
        Event::Deleted { key } => key.len(),
    };
    changes.events.iter().map(event).sum()
}

/// A watch's place in a [`History`].
pub(super) struct Following {
    history: Arc<History>,
    news: watch::Receiver<()>,
    prefix: String,
    /// What it has told up to; none once it has fallen behind.
    position: Option<Revision>,
}

impl Following {
    /// Follows the changes under `prefix` after revision `after`.
    pub(super) fn new(
        history: &Arc<History>,
        prefix: &str,
        after: Revision,
    ) -> Result<Self, StoreError> {
        // Beside the watches, the store and the publisher have a reference each.
        if Arc::strong_count(history) >= WATCHES + 2 {
            return Err(StoreError::TooMany {
                what: "watches",
                limit: WATCHES,
            });
        }
        let news = history.news.clone();
        let history = history.clone();
        // A revision that was not reached here is one of another store, or of a lost file.
        let position = (after <= history.kept().visible).then_some(after);
        Ok(Self {
            history,
            news,
            prefix: prefix.to_owned(),
            position,
        })
    }

    /// The next changes that are kept already.
    fn advance(&mut self) -> Result<Option<Changes>, WatchError> {
        let kept = self.history.kept();
        self.position = self.position.filter(|position| *position >= kept.base);
        let position = self.position.ok_or(WatchError::FellBehind)?;
        let begin = kept
            .changes
            .partition_point(|changes| changes.revision <= position);
        for changes in kept.changes.range(begin..) {
            self.position = Some(changes.revision);
            let under = |event: &&Event| event.key().starts_with(&self.prefix);
            let events: Vec<Event> = changes.events.iter().filter(under).cloned().collect();
            if !events.is_empty() {
                return Ok(Some(Changes {
                    revision: changes.revision,
                    events,
                }));
            }
        }
        Ok(None)
    }
}

impl ChangeSource for Following {
    fn next(&mut self) -> NextChanges<'_> {
        Box::pin(async move {
            loop {
                if let Some(changes) = self.advance()? {
                    return Ok(changes);
                }
                if self.news.changed().await.is_err() {
                    // The last changes may have come just before the end.
                    return self.advance()?.ok_or(WatchError::Closed);
                }
            }
        })
    }
}

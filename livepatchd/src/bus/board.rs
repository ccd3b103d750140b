// SPDX-License-Identifier: GPL-2.0-only
//! The snapshot that the bus serves: posted by the daemon's loop, taken up by the publisher, read by the interfaces.
//!
//! Invariant: readers see exactly what has been announced or is being announced, never more; so no property has a value
//! whose change was not told. Posting never waits: what the publisher has not yet taken is replaced by what is newer.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::model::{
    change::Change,
    job::{JobId, JobResult},
    patch::PatchName,
    snapshot::Snapshot,
};

/// More signals than this waiting means that the bus takes none: a thousand jobs ended without one being told.
const MAX_NOTICES: usize = 1024;

/// How long a reply waits for its job's object to be announced. Longer only if the bus itself is stuck.
const ANNOUNCED: Duration = Duration::from_secs(2);

/// Something told once, by a signal of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// `JobRemoved`.
    JobRemoved {
        /// Which.
        id: JobId,
        /// Its patch.
        patch: PatchName,
        /// How it ended.
        result: JobResult,
    },
    /// `Stalled`.
    Stalled {
        /// The patch.
        patch: PatchName,
        /// How many are pending.
        pending: u32,
    },
}

/// What the loop posted and the publisher has not taken yet.
#[derive(Debug, Default)]
pub(super) struct Posted {
    version: u64,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) notices: Vec<Notice>,
}

/// The board itself.
#[derive(Debug)]
pub(super) struct Board {
    posted: watch::Sender<Posted>,
    shown: watch::Sender<Arc<Snapshot>>,
    announced: watch::Sender<u64>,
}

impl Board {
    pub(super) fn new() -> Self {
        Self {
            posted: watch::Sender::new(Posted::default()),
            shown: watch::Sender::new(Arc::default()),
            announced: watch::Sender::new(0),
        }
    }

    /// Posts a new snapshot and what is to be told with it.
    pub(super) fn post(&self, changes: &[Change], snapshot: Arc<Snapshot>) {
        self.posted.send_modify(|posted| {
            posted.version += 1;
            posted.snapshot = snapshot;
            posted.notices.extend(changes.iter().filter_map(notice));
        });
    }

    /// Waits until there is something to take, and takes it. The number goes to [`Board::announced`] afterwards.
    pub(super) async fn take(&self) -> (u64, Arc<Snapshot>, Vec<Notice>) {
        let mut posted = self.posted.subscribe();
        let done = *self.announced.borrow();
        // the sender is ours, so this cannot end otherwise
        let _ = posted.wait_for(|posted| posted.version > done).await;
        let mut taken = (0, Arc::default(), Vec::new());
        self.posted.send_if_modified(|posted| {
            taken = (
                posted.version,
                Arc::clone(&posted.snapshot),
                std::mem::take(&mut posted.notices),
            );
            false
        });
        taken
    }

    /// Makes a snapshot the one that readers see.
    pub(super) fn show(&self, snapshot: Arc<Snapshot>) {
        self.shown.send_replace(snapshot);
    }

    /// The snapshot that readers see.
    pub(super) fn shown(&self) -> Arc<Snapshot> {
        Arc::clone(&self.shown.borrow())
    }

    /// Everything up to this number has been told.
    pub(super) fn announced(&self, version: u64) {
        self.announced.send_replace(version);
    }

    /// Waits until all that is posted now has been told, or a moment if it cannot be.
    pub(super) async fn settled(&self) {
        let _ = tokio::time::timeout(ANNOUNCED, self.told(self.version())).await;
    }

    /// The number of what was posted last.
    pub(super) fn version(&self) -> u64 {
        self.posted.borrow().version
    }

    /// Waits until all up to this number has been told.
    pub(super) async fn told(&self, version: u64) {
        let mut announced = self.announced.subscribe();
        // the sender is ours, so this cannot end otherwise
        let _ = announced.wait_for(|announced| *announced >= version).await;
    }

    /// Waits until more waits to be told than a working bus ever leaves.
    pub(super) async fn overrun(&self) {
        let mut posted = self.posted.subscribe();
        let _ = posted.wait_for(|posted| posted.notices.len() > MAX_NOTICES).await;
    }
}

fn notice(change: &Change) -> Option<Notice> {
    match change {
        Change::JobEnded(job) => Some(Notice::JobRemoved {
            id: job.id,
            patch: job.patch.clone(),
            result: job.result?,
        }),
        Change::Stalled { patch, pending } => Some(Notice::Stalled {
            patch: patch.clone(),
            pending: *pending,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stalled(pending: u32) -> Change {
        let patch = PatchName::new("fix").expect("a name");
        Change::Stalled { patch, pending }
    }

    #[tokio::test]
    async fn what_was_not_taken_is_replaced_but_every_notice_is_kept() {
        let board = Board::new();
        board.post(&[stalled(1)], Arc::default());
        let newer = Arc::new(Snapshot {
            reboot_advised: true,
            ..Snapshot::default()
        });
        board.post(&[stalled(2)], Arc::clone(&newer));
        let (version, snapshot, notices) = board.take().await;
        assert_eq!((version, snapshot, notices.len()), (2, newer, 2));
    }

    #[tokio::test]
    async fn a_reader_sees_nothing_that_was_not_shown() {
        let board = Board::new();
        board.post(
            &[],
            Arc::new(Snapshot {
                reboot_advised: true,
                ..Snapshot::default()
            }),
        );
        assert!(!board.shown().reboot_advised);
        let (_, snapshot, _) = board.take().await;
        board.show(snapshot);
        assert!(board.shown().reboot_advised);
    }

    #[tokio::test]
    async fn a_bus_that_takes_no_signals_is_noticed() {
        let board = Board::new();
        for pending in 0..2000 {
            board.post(&[stalled(pending)], Arc::default());
        }
        board.overrun().await;
    }
}

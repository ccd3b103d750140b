// SPDX-License-Identifier: GPL-2.0-only
//! The D-Bus side: serves [`Snapshot`]s, announces what changed, and hands authorised calls to the daemon's loop.
//! It holds no truth and decides nothing.
//!
//! For the loop: [`Bus::start`], [`Bus::publish`] the first snapshot, [`Bus::claim_name`] last of all at start; then for
//! each [`Call`] publish what it changed before answering it, and exit non-zero when [`Bus::closed`] returns. Only
//! `start` and `claim_name` wait for the bus; `publish` never does.

mod board;
pub mod error;
mod incoming;
mod introspection;
mod job;
mod manager;
mod options;
mod patch;
mod path;
mod polkit;
mod publisher;
mod record;

use std::sync::Arc;

use tokio::{sync::mpsc, task::JoinHandle};
use zbus::{
    Connection,
    fdo::{DBusProxy, ObjectManager, RequestNameFlags, RequestNameReply},
    names::WellKnownName,
    proxy::CacheProperties,
};

use self::{
    board::Board,
    manager::{Desk, Manager},
    publisher::Publisher,
};
pub use self::{
    incoming::{Call, Incoming},
    introspection::files as introspection_files,
    job::JobProxy,
    manager::ManagerProxy,
    options::{AskedOptions, AtDeadline},
    patch::PatchProxy,
    path::{MANAGER, NAME, of_job, of_patch},
    polkit::{ACTIONS, Action, Authorised, Authority, Force, Manage, Nudge, ReadStacks},
    record::{BlockerRecord, FunctionRecord, PatchRecord, UnknownWord, known},
};
use crate::model::{change::Change, snapshot::Snapshot};

/// Why the bus cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The name is somebody else's.
    #[error("{NAME} is already owned on the bus: is another livepatchd running?")]
    NameTaken,
    /// The bus said no, or nothing.
    #[error("the bus: {0}")]
    Bus(#[from] zbus::Error),
}

/// Why the daemon must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The connection is gone.
    Gone,
    /// The bus takes no more signals.
    Stuck,
}

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gone => "the bus closed the connection",
            Self::Stuck => "the bus takes no more signals",
        })
    }
}

/// The daemon's place on the bus. Dropping it ends the publishing.
#[derive(Debug)]
pub struct Bus {
    connection: Connection,
    board: Arc<Board>,
    publisher: JoinHandle<()>,
}

impl Bus {
    /// Serves the manager's object on this connection. `calls` takes what callers ask; when it is full, callers are told
    /// to try again.
    pub async fn start(
        connection: Connection,
        calls: mpsc::Sender<Call>,
        authority: Authority,
        kernel_release: String,
    ) -> Result<Self, BusError> {
        let board = Arc::new(Board::new());
        let desk = Desk {
            board: Arc::clone(&board),
            calls,
            authority,
        };
        let manager = Manager {
            desk: desk.clone(),
            kernel_release,
        };
        let server = connection.object_server();
        server.at(MANAGER, ObjectManager).await?;
        server.at(MANAGER, manager).await?;
        let publisher = tokio::spawn(Publisher::new(connection.clone(), desk).run());
        Ok(Self {
            connection,
            board,
            publisher,
        })
    }

    /// Announces what changed. Returns at once; while the bus is slow, values that were replaced meanwhile are skipped,
    /// ended jobs and stalls never.
    pub fn publish(&self, changes: &[Change], snapshot: Arc<Snapshot>) {
        self.board.post(changes, snapshot);
    }

    /// Comes back when all that is published now has been told; never if it cannot be.
    pub fn told(&self) -> impl Future<Output = ()> + Send + use<> {
        let board = Arc::clone(&self.board);
        let version = board.version();
        async move { board.told(version).await }
    }

    /// Takes the well-known name, after everything published so far can be read.
    pub async fn claim_name(&self) -> Result<(), BusError> {
        self.board.settled().await;
        // not the connection's own way, which first subscribes to the name's loss: nobody can take it from us
        let bus = DBusProxy::builder(&self.connection)
            .cache_properties(CacheProperties::No)
            .build()
            .await?;
        let name = WellKnownName::from_static_str_unchecked(NAME);
        match bus
            .request_name(name, RequestNameFlags::DO_NOT_QUEUE)
            .await
            .map_err(zbus::Error::from)?
        {
            RequestNameReply::PrimaryOwner | RequestNameReply::AlreadyOwner => Ok(()),
            RequestNameReply::Exists | RequestNameReply::InQueue => Err(BusError::NameTaken),
        }
    }

    /// Returns when the bus is of no more use; the daemon then exits and is started again with a new connection.
    pub async fn closed(&self) -> Closed {
        tokio::select! {
            () = self.connection.closed() => Closed::Gone,
            () = self.board.overrun() => Closed::Stuck,
        }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.publisher.abort();
    }
}

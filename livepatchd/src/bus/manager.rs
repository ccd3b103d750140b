// SPDX-License-Identifier: GPL-2.0-only
//! `org.livepatch.Manager`: the calls, lists and properties of the daemon as a whole. It decides nothing: a call is
//! checked, authorised and handed to the daemon's loop.
//!
//! `Check`, `Install`, `Uninstall` and `Inhibit` of the contract belong here.

use std::{collections::HashMap, sync::Arc};

use tokio::sync::{mpsc, oneshot};
use zbus::{
    Connection, OwnedFd, OwnedObjectPath, OwnedVariant, fdo, interface, message::Header, object_server::SignalEmitter,
};

use super::{
    board::Board,
    error::{Error, Result},
    incoming::{self, Call, Incoming},
    options::Said,
    path,
    polkit::{Action, Authorised, Authority, ReadStacks},
    record::{BlockerRecord, PatchRecord},
};
use crate::model::{
    patch::PatchName,
    refusal::{ErrorName, Refusal},
    request::{Answer, Reply},
    snapshot::Snapshot,
};

/// What every object needs to take a call to the loop.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub(super) board: Arc<Board>,
    pub(super) calls: mpsc::Sender<Call>,
    pub(super) authority: Authority,
}

impl Desk {
    /// The proof that a caller may do `A`.
    pub(super) async fn authorise<A: Action>(
        &self,
        connection: &Connection,
        header: &Header<'_>,
    ) -> Result<Authorised<A>> {
        self.authority.authorise(connection, header).await
    }

    /// Takes a call to the loop and brings the answer back, after the changes it made have been told.
    async fn ask(&self, incoming: Incoming) -> Result<Answer> {
        let (reply, answer) = oneshot::channel::<Reply>();
        self.calls
            .try_send(Call { incoming, reply })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => {
                    fdo::Error::LimitsExceeded("too many calls are waiting; try again".to_owned())
                }
                mpsc::error::TrySendError::Closed(_) => stopping(),
            })?;
        let answer = answer.await.map_err(|_dropped| stopping())??;
        self.board.settled().await;
        Ok(answer)
    }

    /// The same for calls that start a job.
    pub(super) async fn start(&self, incoming: Incoming) -> Result<OwnedObjectPath> {
        match self.ask(incoming).await? {
            Answer::Job(id) => Ok(path::of_job(id)),
            Answer::Nudging(_) => Err(mismatch()),
        }
    }
}

fn stopping() -> fdo::Error {
    fdo::Error::Failed("the daemon is stopping".to_owned())
}

/// The loop answered another question than the one asked; no caller can cause it.
fn mismatch() -> Error {
    fdo::Error::Failed("the daemon gave an answer that does not fit the call".to_owned()).into()
}

/// A patch that is there.
fn known_patch(shown: &Snapshot, name: &str) -> Result<PatchName> {
    let name = incoming::patch_name(name)?;
    if shown.patches.iter().any(|view| view.name == name.as_str()) {
        return Ok(name);
    }
    let message = format!("no live patch named {name} is loaded; see livepatchctl list");
    Err(Refusal::new(ErrorName::NotFound, message).into())
}

/// The object at [`path::MANAGER`].
#[derive(Debug)]
pub(super) struct Manager {
    pub(super) desk: Desk,
    pub(super) kernel_release: String,
}

#[interface(
    name = "org.livepatch.Manager",
    proxy(default_service = "org.livepatch.Manager", default_path = "/org/livepatch/Manager")
)]
impl Manager {
    /// Load a live patch and see it enabled; the job says how it goes. "patch" is the absolute path of a .ko, .ko.xz,
    /// .ko.zst or .ko.gz file.
    async fn apply(
        &self,
        patch: String,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath> {
        self.apply_with(patch, HashMap::new(), connection, header).await
    }

    /// Apply with options: "timeout" (t, milliseconds), "on-timeout" (s: reverse, keep, force), "nudge" (b). To
    /// ask for force at the deadline takes the authorisation to force, besides that to apply.
    async fn apply_with(
        &self,
        patch: String,
        options: HashMap<String, OwnedVariant>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath> {
        let said = Said::parse(&options)?;
        // first, so that nobody learns by the error which files exist
        let by = self.desk.authorise(connection, &header).await?;
        let options = said.authorised(&self.desk, connection, &header).await?;
        let call = Incoming::Apply {
            path: incoming::module_path(&patch)?,
            options,
            by,
        };
        self.desk.start(call).await
    }

    /// Apply a module file that the caller opened. "name" is the patch expected in it, or empty.
    async fn apply_fd(
        &self,
        module: OwnedFd,
        name: String,
        options: HashMap<String, OwnedVariant>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath> {
        let said = Said::parse(&options)?;
        let name = incoming::expected_name(&name)?;
        let by = self.desk.authorise(connection, &header).await?;
        let options = said.authorised(&self.desk, connection, &header).await?;
        let module = module.into();
        let call = Incoming::ApplyFd {
            module,
            name,
            options,
            by,
        };
        self.desk.start(call).await
    }

    /// Disable a patch, wait until no task uses it, and unload its module.
    async fn revert(
        &self,
        patch: String,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath> {
        self.revert_with(patch, HashMap::new(), connection, header).await
    }

    /// Revert with the options of `ApplyWith`.
    async fn revert_with(
        &self,
        patch: String,
        options: HashMap<String, OwnedVariant>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath> {
        let said = Said::parse(&options)?;
        let by = self.desk.authorise(connection, &header).await?;
        let options = said.authorised(&self.desk, connection, &header).await?;
        let patch = incoming::patch_name(&patch)?;
        let call = Incoming::Revert { patch, options, by };
        self.desk.start(call).await
    }

    /// Reverse the running transition of a patch.
    async fn cancel(
        &self,
        patch: String,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath> {
        let by = self.desk.authorise(connection, &header).await?;
        let patch = incoming::patch_name(&patch)?;
        let call = Incoming::Cancel { patch, job: None, by };
        self.desk.start(call).await
    }

    /// End the running transition of a patch although tasks still use what it replaces. A reboot is advised from then on.
    async fn force(
        &self,
        patch: String,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath> {
        let by = self.desk.authorise(connection, &header).await?;
        let patch = incoming::patch_name(&patch)?;
        self.desk.start(Incoming::Force { patch, by }).await
    }

    /// Nudge the blockers of a patch now; the number nudged.
    async fn nudge(
        &self,
        patch: String,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<u32> {
        let by = self.desk.authorise(connection, &header).await?;
        let patch = incoming::patch_name(&patch)?;
        match self.desk.ask(Incoming::Nudge { patch, by }).await? {
            Answer::Nudging(number) => Ok(number),
            Answer::Job(_) => Err(mismatch()),
        }
    }

    /// Every patch: name, core, state, replace, `stack_order`, pending, total, stalled, functions (object, name, position),
    /// since (milliseconds of `CLOCK_BOOTTIME`).
    fn list_patches(&self) -> Vec<PatchRecord> {
        let shown = self.desk.board.shown();
        shown.patches.iter().map(PatchRecord::from).collect()
    }

    /// The tasks that hold a patch back, or every patch if the name is empty: patch, pid, tid, comm, class, state, reason,
    /// function, unit, nudges, action, and stack, which is empty for those who may not read stacks.
    async fn list_blockers(
        &self,
        patch: String,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<BlockerRecord>> {
        let shown = self.desk.board.shown();
        let wanted = match patch.as_str() {
            "" => None,
            name => Some(known_patch(&shown, name)?),
        };
        let blockers: Vec<_> = shown
            .blockers
            .iter()
            .filter(|view| wanted.as_ref().is_none_or(|name| view.patch == name.as_str()))
            .collect();
        // asking polkit for nothing would be a round trip on every refresh of a progress bar
        let with_stack = blockers.iter().any(|view| !view.stack.is_empty())
            && self.desk.authorise::<ReadStacks>(connection, &header).await.is_ok();
        Ok(blockers
            .into_iter()
            .map(|view| BlockerRecord::new(view, with_stack))
            .collect())
    }

    /// The daemon's version.
    #[zbus(property(emits_changed_signal = "const"))]
    #[expect(clippy::unused_self, reason = "a property is read from an object")]
    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }

    /// The running kernel's release.
    #[zbus(property(emits_changed_signal = "const"))]
    fn kernel_release(&self) -> String {
        self.kernel_release.clone()
    }

    /// The livepatch cores of the running kernel: kernel, `klp_rs`.
    #[zbus(property)]
    fn cores(&self) -> Vec<String> {
        let shown = self.desk.board.shown();
        shown.cores.iter().map(ToString::to_string).collect()
    }

    /// The patch in transition, or empty.
    #[zbus(property)]
    fn transition(&self) -> String {
        let shown = self.desk.board.shown();
        shown.transition.as_ref().map_or_else(String::new, ToString::to_string)
    }

    /// Whether a transition was forced since boot.
    #[zbus(property)]
    fn reboot_advised(&self) -> bool {
        self.desk.board.shown().reboot_advised
    }

    /// What this kernel, or the daemon's rights, do not tell; one sentence each.
    #[zbus(property)]
    fn degraded(&self) -> Vec<String> {
        self.desk.board.shown().degraded.clone()
    }

    /// A job ended: done, cancelled, timeout or failed. Its object stays readable for a while, for its Error.
    #[zbus(signal)]
    pub(super) async fn job_removed(
        emitter: &SignalEmitter<'_>,
        job: OwnedObjectPath,
        patch: &str,
        result: &str,
    ) -> zbus::Result<()>;

    /// No task of a transition has moved for a while.
    #[zbus(signal)]
    pub(super) async fn stalled(emitter: &SignalEmitter<'_>, patch: &str, pending: u32) -> zbus::Result<()>;
}

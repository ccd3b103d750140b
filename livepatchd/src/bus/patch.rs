// SPDX-License-Identifier: GPL-2.0-only
//! `org.livepatch.Patch`: one patch. Properties only; what can be done with a patch is the manager's.

use std::sync::Arc;

use zbus::{fdo, interface};

use super::{
    board::Board,
    record::{self, FunctionRecord},
};
use crate::model::{patch::PatchName, snapshot::PatchView};

/// The object of one patch. It reads the board, so it never holds a value of its own.
#[derive(Debug)]
pub(super) struct Patch {
    pub(super) board: Arc<Board>,
    pub(super) name: PatchName,
}

impl Patch {
    fn read<T>(&self, field: impl FnOnce(&PatchView) -> T) -> fdo::Result<T> {
        let shown = self.board.shown();
        let view = shown.patches.iter().find(|view| view.name == self.name.as_str());
        view.map(field)
            .ok_or_else(|| fdo::Error::UnknownObject(format!("patch {} is gone", self.name)))
    }
}

#[interface(name = "org.livepatch.Patch", proxy(default_service = "org.livepatch.Manager"))]
impl Patch {
    /// The name of its module.
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> String {
        self.name.to_string()
    }

    /// The livepatch core that holds it: kernel or `klp_rs`.
    #[zbus(property)]
    fn core(&self) -> fdo::Result<String> {
        self.read(|view| view.core.to_string())
    }

    /// loaded, enabling, enabled, disabling or disabled.
    #[zbus(property)]
    fn state(&self) -> fdo::Result<String> {
        self.read(|view| view.state.as_str().to_owned())
    }

    /// Whether it retires all other patches; false where the kernel does not say.
    #[zbus(property)]
    fn replace(&self) -> fdo::Result<bool> {
        self.read(|view| view.replace)
    }

    /// Its place in the core's stack, from 1; 0 where the kernel does not say.
    #[zbus(property)]
    fn stack_order(&self) -> fdo::Result<u32> {
        self.read(|view| view.stack_order)
    }

    /// Its functions: object, name, position among symbols of that name.
    #[zbus(property)]
    fn functions(&self) -> fdo::Result<Vec<FunctionRecord>> {
        self.read(|view| record::functions(&view.functions))
    }

    /// Tasks that have not moved; 0 outside transitions.
    #[zbus(property)]
    fn pending(&self) -> fdo::Result<u32> {
        self.read(|view| view.pending)
    }

    /// Tasks that there were when last looked at; 0 outside transitions.
    #[zbus(property)]
    fn total(&self) -> fdo::Result<u32> {
        self.read(|view| view.total)
    }

    /// Whether no task has moved for a while.
    #[zbus(property)]
    fn stalled(&self) -> fdo::Result<bool> {
        self.read(|view| view.stalled)
    }

    /// Since when it is in its state: milliseconds of `CLOCK_BOOTTIME`.
    #[zbus(property)]
    fn since(&self) -> fdo::Result<u64> {
        self.read(|view| view.since.0)
    }
}

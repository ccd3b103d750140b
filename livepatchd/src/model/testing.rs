// SPDX-License-Identifier: GPL-2.0-only
//! Values for the tests of the pure middle.

use super::{
    patch::PatchName,
    task::{Scheduling, Sighting, TaskClass, TaskKey},
};

/// A valid patch name.
pub(crate) fn name(text: &str) -> PatchName {
    PatchName::new(text).expect("a valid name")
}

/// The key of a thread that never restarts.
pub(crate) fn key(tid: u32) -> TaskKey {
    TaskKey { tid, start_ticks: 7 }
}

/// An ordinary user thread, asleep interruptibly, nothing special about it.
pub(crate) fn sighting(tid: u32) -> Sighting {
    Sighting {
        key: key(tid),
        tgid: tid,
        comm: "cat".into(),
        class: TaskClass::User,
        scheduling: Scheduling::Interruptible,
        stop_pending: false,
        traced: false,
        frozen: false,
        own: false,
        uid: Some(1000),
        unit: "user@1000.service".into(),
        on_stack: None,
        stack: Vec::new(),
    }
}

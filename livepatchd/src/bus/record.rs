// SPDX-License-Identifier: GPL-2.0-only
//! The `a{sv}` records of `ListPatches` and `ListBlockers`, in both directions. The keys are those of the JSON that
//! `livepatchctl` prints.
//!
//! Invariant: a record names every field of its view, so a new field of a view does not compile until it is here.

use serde::de::DeserializeOwned;
use zbus::{DeserializeDict, SerializeDict, Type};

use crate::model::{
    patch::Function,
    snapshot::{BlockerView, PatchView},
    time::Moment,
};

/// A function on the bus: object, name, position.
pub type FunctionRecord = (String, String, u32);

/// A patch on the bus.
#[derive(Clone, Debug, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict")]
pub struct PatchRecord {
    name: String,
    core: String,
    state: String,
    replace: bool,
    stack_order: u32,
    pending: u32,
    total: u32,
    stalled: bool,
    functions: Vec<FunctionRecord>,
    since: u64,
}

/// A blocker on the bus.
#[derive(Clone, Debug, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict")]
pub struct BlockerRecord {
    patch: String,
    pid: u32,
    tid: u32,
    comm: String,
    class: String,
    state: String,
    reason: String,
    function: String,
    unit: String,
    nudges: u32,
    action: String,
    stack: Vec<String>,
}

/// The functions of a patch as the bus says them.
pub(super) fn functions(functions: &[Function]) -> Vec<FunctionRecord> {
    functions
        .iter()
        .map(|function| {
            let Function { object, name, sympos } = function.clone();
            (object, name, sympos)
        })
        .collect()
}

impl From<&PatchView> for PatchRecord {
    fn from(view: &PatchView) -> Self {
        let PatchView {
            name,
            core,
            state,
            replace,
            stack_order,
            pending,
            total,
            stalled,
            functions: listed,
            since,
        } = view;
        Self {
            name: name.clone(),
            core: core.as_str().to_owned(),
            state: state.as_str().to_owned(),
            replace: *replace,
            stack_order: *stack_order,
            pending: *pending,
            total: *total,
            stalled: *stalled,
            functions: functions(listed),
            since: since.0,
        }
    }
}

impl BlockerRecord {
    /// A blocker for a caller who may see stacks, or may not.
    pub(super) fn new(view: &BlockerView, with_stack: bool) -> Self {
        let BlockerView {
            patch,
            pid,
            tid,
            comm,
            class,
            state,
            reason,
            function,
            unit,
            nudges,
            action,
            stack,
        } = view.clone();
        Self {
            patch,
            pid,
            tid,
            comm,
            class: class.as_str().to_owned(),
            state,
            reason: reason.as_str().to_owned(),
            function,
            unit,
            nudges,
            action,
            stack: if with_stack { stack } else { Vec::new() },
        }
    }
}

/// A word that this version does not know, from a daemon of another version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the daemon says {0:?}, which this livepatchctl does not know; they are of different versions")]
pub struct UnknownWord(String);

impl TryFrom<PatchRecord> for PatchView {
    type Error = UnknownWord;

    fn try_from(record: PatchRecord) -> Result<Self, UnknownWord> {
        Ok(Self {
            name: record.name,
            core: known(record.core)?,
            state: known(record.state)?,
            replace: record.replace,
            stack_order: record.stack_order,
            pending: record.pending,
            total: record.total,
            stalled: record.stalled,
            functions: record
                .functions
                .into_iter()
                .map(|(object, name, sympos)| Function { object, name, sympos })
                .collect(),
            since: Moment(record.since),
        })
    }
}

impl TryFrom<BlockerRecord> for BlockerView {
    type Error = UnknownWord;

    fn try_from(record: BlockerRecord) -> Result<Self, UnknownWord> {
        Ok(Self {
            patch: record.patch,
            pid: record.pid,
            tid: record.tid,
            comm: record.comm,
            class: known(record.class)?,
            state: record.state,
            reason: known(record.reason)?,
            function: record.function,
            unit: record.unit,
            nudges: record.nudges,
            action: record.action,
            stack: record.stack,
        })
    }
}

/// The value that a word stands for: the words of the bus are those of the JSON.
pub fn known<T: DeserializeOwned>(word: String) -> Result<T, UnknownWord> {
    serde_json::from_value(word.clone().into()).map_err(|_unknown| UnknownWord(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        patch::{Core, PatchState},
        task::{Reason, TaskClass},
    };

    fn blocker() -> BlockerView {
        BlockerView {
            patch: "fix".to_owned(),
            pid: 812,
            tid: 813,
            comm: "cat".to_owned(),
            class: TaskClass::IoWorker,
            state: "sleeping".to_owned(),
            reason: Reason::SleepingInFunction,
            function: "tgt_wait [tgt]".to_owned(),
            unit: "a.service".to_owned(),
            nudges: 1,
            action: "nudged".to_owned(),
            stack: vec!["tgt_wait+0x1 [tgt]".to_owned()],
        }
    }

    #[test]
    fn a_patch_is_the_same_after_the_bus() {
        let view = PatchView {
            name: "fix".to_owned(),
            core: Core::KlpRs,
            state: PatchState::Disabling,
            replace: true,
            stack_order: 2,
            pending: 3,
            total: 4,
            stalled: true,
            functions: vec![Function {
                object: "vmlinux".to_owned(),
                name: "f".to_owned(),
                sympos: 1,
            }],
            since: Moment(5),
        };
        assert_eq!(PatchView::try_from(PatchRecord::from(&view)), Ok(view));
    }

    #[test]
    fn a_blocker_is_the_same_after_the_bus_but_for_the_stack() {
        let view = blocker();
        let full = BlockerRecord::new(&view, true);
        assert_eq!(BlockerView::try_from(full), Ok(view.clone()));
        let without = BlockerView {
            stack: Vec::new(),
            ..view.clone()
        };
        assert_eq!(BlockerRecord::new(&view, false).try_into(), Ok(without));
    }

    #[test]
    fn an_unknown_word_is_named() {
        let error = known::<Core>("xen".to_owned()).expect_err("unknown");
        assert!(error.to_string().contains("\"xen\""));
    }
}

// SPDX-License-Identifier: GPL-2.0-only
//! The running kernel's offsets, and what follows from each one that it lacks.
//!
//! A field that BTF does not name is unknown, not zero. Without identity, flags or state no scan is possible; everything else
//! costs a piece of knowledge, named in [`CONSEQUENCES`], and whatever protects a task from a nudge is then assumed.

use livepatch_common::offset::{Offset, Table, UNKNOWN};

use super::{
    btf::{Btf, BtfError, Member},
    lost::Lost,
};

/// Every offset with the structure and the member that it is read from.
const MEMBERS: [(Offset, &str, &str); Offset::COUNT - 1] = [
    (Offset::TaskPid, "task_struct", "pid"),
    (Offset::TaskTgid, "task_struct", "tgid"),
    (Offset::TaskStartBoottime, "task_struct", "start_boottime"),
    (Offset::TaskComm, "task_struct", "comm"),
    (Offset::TaskFlags, "task_struct", "flags"),
    (Offset::TaskState, "task_struct", "__state"),
    (Offset::TaskExitState, "task_struct", "exit_state"),
    (Offset::TaskOnCpu, "task_struct", "on_cpu"),
    (Offset::TaskJobctl, "task_struct", "jobctl"),
    (Offset::TaskPtrace, "task_struct", "ptrace"),
    // a bit field: fills Offset::TaskFrozenBit too
    (Offset::TaskFrozen, "task_struct", "frozen"),
    (Offset::TaskPatchState, "task_struct", "patch_state"),
    (Offset::TaskSignal, "task_struct", "signal"),
    (Offset::SignalFlags, "signal_struct", "flags"),
    (Offset::TaskRealCred, "task_struct", "real_cred"),
    (Offset::CredUid, "cred", "uid"),
    (Offset::TaskCgroups, "task_struct", "cgroups"),
    (Offset::CssSetDflCgrp, "css_set", "dfl_cgrp"),
    (Offset::CgroupKn, "cgroup", "kn"),
    (Offset::KernfsNodeId, "kernfs_node", "id"),
];

/// Without any of these a task cannot be named or judged.
pub const ESSENTIAL: [Offset; 6] = [
    Offset::TaskPid,
    Offset::TaskTgid,
    Offset::TaskStartBoottime,
    Offset::TaskComm,
    Offset::TaskFlags,
    Offset::TaskState,
];

/// What is lost with a group of offsets, if one of the group is unknown.
pub const CONSEQUENCES: [(&[Offset], &str); 7] = [
    (
        &[Offset::TaskOnCpu],
        "which pending tasks run on a CPU at this moment is not known: runnable ones count as running",
    ),
    (
        &[Offset::TaskJobctl, Offset::TaskSignal, Offset::SignalFlags],
        "which tasks are stopped is not known: every pending task counts as stopped and is not nudged",
    ),
    (
        &[Offset::TaskPtrace],
        "which tasks are traced is not known: every pending task counts as traced and is not nudged",
    ),
    (
        &[Offset::TaskFrozen, Offset::TaskFrozenBit],
        "which tasks a version 2 cgroup holds frozen is known only from their pending traps",
    ),
    (
        &[Offset::TaskRealCred, Offset::CredUid],
        "which user a task belongs to is known only from /proc",
    ),
    (
        &[
            Offset::TaskCgroups,
            Offset::CssSetDflCgrp,
            Offset::CgroupKn,
            Offset::KernfsNodeId,
        ],
        "which cgroup a task belongs to is known only from /proc",
    ),
    (
        &[Offset::TaskExitState],
        "which tasks are already dead is known only from their scheduler state",
    ),
];

/// The offsets of one kernel.
#[derive(Clone, Debug)]
pub struct Offsets(Table);

impl Offsets {
    /// Reads them from BTF.
    pub fn of(btf: &Btf) -> Result<Self, BtfError> {
        let mut table = [UNKNOWN; Offset::COUNT];
        for (offset, structure, member) in MEMBERS {
            let Some(Member { bit, width }) = btf.member(structure, member)? else {
                continue;
            };
            match (offset, width) {
                (Offset::TaskFrozen, 1) => {
                    table[Offset::TaskFrozenBit as usize] = bit % 8;
                    table[offset as usize] = bit / 8;
                }
                // neither a bit field where a whole field is read, nor the other way round
                (_, 0) if offset != Offset::TaskFrozen && bit % 8 == 0 => table[offset as usize] = bit / 8,
                _ => {}
            }
        }
        Ok(Self(table))
    }

    /// The table for the programs.
    pub fn table(&self) -> &Table {
        &self.0
    }

    /// Whether this kernel has the field.
    pub fn has(&self, offset: Offset) -> bool {
        self.0[offset as usize] != UNKNOWN
    }

    /// The first field without which no scan is possible, if one is missing.
    pub fn missing_essential(&self) -> Option<Offset> {
        ESSENTIAL.into_iter().find(|offset| !self.has(*offset))
    }

    /// What this kernel does not tell about tasks.
    pub fn lost(&self) -> Vec<Lost> {
        CONSEQUENCES
            .iter()
            .filter(|(group, _)| group.iter().any(|offset| !self.has(*offset)))
            .map(|(_, knowledge)| Lost::Field { knowledge })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offset_has_a_member_but_the_bit_number() {
        let mut seen = [false; Offset::COUNT];
        for (offset, _, _) in MEMBERS {
            assert!(!seen[offset as usize], "{offset:?} twice");
            seen[offset as usize] = true;
        }
        seen[Offset::TaskFrozenBit as usize] = true;
        assert!(seen.iter().all(|seen| *seen));
    }

    #[test]
    fn every_offset_is_essential_or_has_a_consequence_or_is_the_patch_state() {
        for (offset, _, _) in MEMBERS {
            let consequence = CONSEQUENCES.iter().any(|(group, _)| group.contains(&offset));
            assert!(
                consequence || ESSENTIAL.contains(&offset) || offset == Offset::TaskPatchState,
                "{offset:?}"
            );
        }
    }

    #[test]
    fn the_running_kernel_has_all_but_the_patch_state() {
        let offsets = Offsets::of(&Btf::of_running_kernel().unwrap()).unwrap();
        assert_eq!(offsets.missing_essential(), None);
        let words: Vec<String> = offsets.lost().iter().map(ToString::to_string).collect();
        assert_eq!(words, Vec::<String>::new());
    }

    #[test]
    fn without_any_btf_type_everything_is_lost() {
        // a header and the empty string
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        for word in [24_u32, 0, 0, 0, 1] {
            bytes.extend_from_slice(&word.to_ne_bytes());
        }
        bytes.push(0);
        let offsets = Offsets::of(&Btf::parse(bytes).unwrap()).unwrap();
        assert_eq!(offsets.missing_essential(), Some(Offset::TaskPid));
        assert_eq!(offsets.lost().len(), CONSEQUENCES.len());
    }
}

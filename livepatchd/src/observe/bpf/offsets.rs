// SPDX-License-Identifier: GPL-2.0-only
//! The running kernel's offsets, and what follows from each one that it lacks.
//!
//! A field that BTF does not name is unknown, not zero. Without identity, flags or state no scan is possible;
//! everything else costs a piece of knowledge, named in [`CONSEQUENCES`], and whatever protects a task from a nudge is
//! then assumed.

use livepatch_common::{
    offset::{NOTHING_KNOWN, Offset, Table, UNKNOWN},
    task::COMM_LEN,
};

use super::{
    btf::{Btf, BtfError, Member},
    lost::Lost,
};

/// A field that the programs read.
struct Field {
    offset: Offset,
    structure: usize,
    member: &'static str,
    /// Bytes that the record has for it. Where the kernel has fewer, that many are read; where it has more, the low
    /// ones.
    room: u32,
}

/// The structures that fields are in.
const STRUCTURES: [&str; 6] = [
    "task_struct",
    "signal_struct",
    "cred",
    "css_set",
    "cgroup",
    "kernfs_node",
];

const fn field(offset: Offset, structure: usize, member: &'static str, room: u32) -> Field {
    Field {
        offset,
        structure,
        member,
        room,
    }
}

/// Every offset with the structure and the member that it is read from.
#[expect(clippy::cast_possible_truncation, reason = "sixteen")]
const FIELDS: [Field; Offset::COUNT - 1] = [
    field(Offset::TaskPid, 0, "pid", 4),
    field(Offset::TaskTgid, 0, "tgid", 4),
    field(Offset::TaskStartBoottime, 0, "start_boottime", 8),
    field(Offset::TaskComm, 0, "comm", COMM_LEN as u32),
    field(Offset::TaskFlags, 0, "flags", 4),
    field(Offset::TaskState, 0, "__state", 4),
    field(Offset::TaskExitState, 0, "exit_state", 4),
    field(Offset::TaskOnCpu, 0, "on_cpu", 4),
    field(Offset::TaskJobctl, 0, "jobctl", 8),
    field(Offset::TaskPtrace, 0, "ptrace", 4),
    // a bit field: fills Offset::TaskFrozenBit too
    field(Offset::TaskFrozen, 0, "frozen", 1),
    field(Offset::TaskPatchState, 0, "patch_state", 4),
    field(Offset::TaskSignal, 0, "signal", 8),
    field(Offset::SignalFlags, 1, "flags", 4),
    field(Offset::TaskRealCred, 0, "real_cred", 8),
    field(Offset::CredUid, 2, "uid", 4),
    field(Offset::TaskCgroups, 0, "cgroups", 8),
    field(Offset::CssSetDflCgrp, 3, "dfl_cgrp", 8),
    field(Offset::CgroupKn, 4, "kn", 8),
    field(Offset::KernfsNodeId, 5, "id", 8),
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
        let mut table = NOTHING_KNOWN;
        let mut set = |offset: Offset, value, size| table[2 * offset as usize..][..2].copy_from_slice(&[value, size]);
        let structures = btf.structures(STRUCTURES)?;
        for Field {
            offset,
            structure,
            member,
            room,
        } in FIELDS
        {
            let Some(structure) = structures[structure] else {
                continue;
            };
            let Some(Member { bit, width, size }) = btf.member(structure, member)? else {
                continue;
            };
            match (offset, width) {
                (Offset::TaskFrozen, 1) => {
                    set(Offset::TaskFrozenBit, bit % 8, 0);
                    set(offset, bit / 8, 1);
                }
                // signed: narrower ones would lose their sign
                (Offset::TaskPatchState, _) if size != room => {}
                // neither a bit field where a whole field is read, nor the other way round
                (_, 0) if offset != Offset::TaskFrozen && bit % 8 == 0 && size > 0 => {
                    set(offset, bit / 8, size.min(room));
                }
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
        self.0[2 * offset as usize] != UNKNOWN
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
    fn every_offset_has_a_field_but_the_bit_number() {
        let mut seen = [false; Offset::COUNT];
        for Field { offset, structure, .. } in FIELDS {
            assert!(!seen[offset as usize], "{offset:?} twice");
            assert!(structure < STRUCTURES.len());
            seen[offset as usize] = true;
        }
        seen[Offset::TaskFrozenBit as usize] = true;
        assert!(seen.iter().all(|seen| *seen));
    }

    #[test]
    fn every_offset_is_essential_or_has_a_consequence_or_is_the_patch_state() {
        for Field { offset, .. } in FIELDS {
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

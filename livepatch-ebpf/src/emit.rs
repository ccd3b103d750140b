// SPDX-License-Identifier: GPL-2.0-only
//! The one writer to the ring buffer.
//!
//! Verdicts come with scheduler locks held: they are submitted without a wake-up and leave the end of the buffer free.
//! Transition records wake the daemon, whatever it did before. What does not fit is counted.

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::{
        bpf_ktime_get_ns,
        generated::{bpf_get_current_pid_tgid, bpf_probe_read_kernel_str},
    },
    macros::map,
    maps::{PerCpuArray, RingBuf},
};
use livepatch_common::{
    event::{
        FUNCTION_LEN, KIND_VERDICT, RING_BYTES, RING_RESERVE, RING_RESERVE_FROM_SELF, TransitionRecord, VerdictRecord,
    },
    offset::Offset,
    task::known,
};

use crate::task_fields::{Task, identity, read};

/// Read by the daemon.
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);

/// Records that did not fit, per CPU.
#[map]
static LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Reports that the transition of a core did something (`KIND_STARTED` to `KIND_FORCED`).
#[inline(always)]
pub(crate) fn transition(core: u32, kind: u32) {
    let Some(mut entry) = EVENTS.reserve::<TransitionRecord>(0) else {
        count_lost();
        return;
    };
    // SAFETY: takes no argument and always succeeds
    let time = unsafe { bpf_ktime_get_ns() };
    entry.write(TransitionRecord { kind, core, time });
    entry.submit(u64::from(BPF_RB_FORCE_WAKEUP));
}

/// Reports a core's verdict; `function` is the address of the name of the function that the task sleeps in, zero if the
/// verdict names none.
#[inline(always)]
pub(crate) fn verdict(core: u32, task: Task, verdict: i32, function: u64) {
    let mut tid = 0_u32;
    // SAFETY: a local variable; the helper takes no argument
    let from_self = unsafe {
        read(&raw mut tid, task.address(), Offset::TaskPid, 0);
        tid == bpf_get_current_pid_tgid() as u32
    };
    let reserve = if from_self {
        RING_RESERVE_FROM_SELF
    } else {
        RING_RESERVE
    };
    if EVENTS.query(u64::from(BPF_RB_AVAIL_DATA)) > u64::from(RING_BYTES - reserve) {
        count_lost();
        return;
    }
    let Some(mut entry) = EVENTS.reserve::<VerdictRecord>(0) else {
        count_lost();
        return;
    };
    let record = entry.as_mut_ptr();
    // SAFETY: the entry has room for the record, which is plain integers; the name is read through a helper that faults
    // safely
    unsafe {
        record.write(core::mem::zeroed());
        (*record).kind = KIND_VERDICT;
        (*record).core = core;
        (*record).verdict = verdict;
        (*record).time = bpf_ktime_get_ns();
        (*record).known = identity(
            task,
            &raw mut (*record).tid,
            &raw mut (*record).tgid,
            &raw mut (*record).start_time,
            &raw mut (*record).comm,
        ) | read(
            &raw mut (*record).flags,
            task.address(),
            Offset::TaskFlags,
            known::FLAGS,
        );
        if function != 0 {
            let name = &raw mut (*record).function;
            bpf_probe_read_kernel_str(name.cast(), FUNCTION_LEN as u32, function as *const _);
        }
    }
    entry.submit(u64::from(BPF_RB_NO_WAKEUP));
}

#[inline(always)]
fn count_lost() {
    if let Some(lost) = LOST.get_ptr_mut(0) {
        // SAFETY: this CPU's slot of the map; programs do not migrate while they run
        unsafe { *lost += 1 };
    }
}

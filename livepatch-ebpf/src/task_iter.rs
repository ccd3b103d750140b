// SPDX-License-Identifier: GPL-2.0-only
//! `iter/task`: visits every thread and emits those that the request asks for, each with its kernel stack.
//!
//! A task that is not asked for costs one read (of `klp_rs`, those of [`crate::task_states`]). The kernel leaves out idle
//! tasks and shows only the pid namespace of the process that opened the iterator (`kernel/bpf/task_iter.c:
//! task_seq_get_next`). One pass at a time: scratch and request are shared.

use aya_ebpf::{
    bindings::{seq_file, task_struct},
    cty::c_void,
    helpers::{
        bpf_ktime_get_ns,
        generated::{bpf_get_task_stack, bpf_seq_write},
    },
    macros::map,
    maps::{Array, PerCpuArray},
};
use aya_log_ebpf::debug;
use livepatch_common::{
    scan::{Granules, KIND_TRAILER, MODE_PENDING, MODE_SLEEPING_IN, ScanRequest, ScanTrailer},
    task::{KIND_TASK, TaskHead, TaskRecord},
};

use crate::{
    granules, patch_state,
    task_fields::{self, Task},
};

/// What this pass looks for; written by the daemon between passes.
#[map]
static REQUEST: Array<ScanRequest> = Array::with_max_entries(1, 0);

/// The kernel text that a pass in mode [`MODE_SLEEPING_IN`] looks for.
#[map]
static GRANULES: Array<Granules> = Array::with_max_entries(1, 0);

/// Where a record is put together: it is larger than a program's stack.
#[map]
static SCRATCH: PerCpuArray<TaskRecord> = PerCpuArray::with_max_entries(1, 0);

/// The pass that is under way. One over a single thread may visit nobody at all.
#[map]
static PASS: Array<Pass> = Array::with_max_entries(1, 0);

/// A pass, and the tasks emitted in it.
#[repr(C)]
struct Pass {
    session_id: u64,
    emitted: u64,
}

/// `struct bpf_iter_meta` (`include/linux/bpf.h`).
#[repr(C)]
struct IterMeta {
    seq: *mut seq_file,
    session_id: u64,
    seq_num: u64,
}

/// `struct bpf_iter__task` (`kernel/bpf/task_iter.c`): `task` is null once, after the last task.
#[repr(C)]
struct IterTask {
    meta: *mut IterMeta,
    task: *mut task_struct,
}

/// The program. aya-ebpf has no macro for iterators: the section's name says what it is.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
extern "C" fn task_iter(ctx: *mut IterTask) -> i32 {
    // SAFETY: the kernel passes a valid context; the verifier checks each of these loads
    let (seq, session_id, visited, task) = unsafe {
        let meta = (*ctx).meta;
        ((*meta).seq, (*meta).session_id, (*meta).seq_num, (*ctx).task)
    };
    // each task of the system costs what is done for all, so the other maps are looked up where they are needed
    let Some(request) = REQUEST.get_ptr(0) else {
        return 0;
    };
    if visited == 0 || task.is_null() {
        let Some(pass) = PASS.get_ptr_mut(0) else {
            return 0;
        };
        // SAFETY: a pointer to the value of a map
        unsafe {
            if (*pass).session_id != session_id {
                *pass = Pass { session_id, emitted: 0 };
            }
            if task.is_null() {
                end(seq, visited + 1, (*pass).emitted);
                return 0;
            }
        }
    }
    // SAFETY: a pointer to the value of a map, a task that is not null
    unsafe { visit(seq, task, request) };
    0
}

/// Emits `task` if the request asks for it.
///
/// # Safety
///
/// `task` must be the context's task, the request the value of a map.
#[inline(always)]
unsafe fn visit(seq: *mut seq_file, task: *mut task_struct, request: *const ScanRequest) {
    let Some(fields) = Task::new(task.cast_const().cast()) else {
        return;
    };
    // SAFETY: the caller's promise
    let (mode, target, states) = unsafe { ((*request).mode, (*request).target, (*request).states) };
    let (state, mut known) = patch_state::of(fields, states);
    if mode == MODE_PENDING && (known == 0 || !patch_state::is_pending(state, target)) {
        return;
    }
    let (Some(record), Some(pass)) = (SCRATCH.get_ptr_mut(0), PASS.get_ptr_mut(0)) else {
        return;
    };
    // SAFETY: the record is a map's value
    let depth = unsafe {
        let stack = &raw mut (*record).stack;
        bpf_get_task_stack(task, stack.cast(), size_of_val(&*stack) as u32, 0)
    };
    let stack_bytes = usize::try_from(depth)
        .unwrap_or(0)
        .min(size_of::<TaskRecord>() - size_of::<TaskHead>());
    if mode == MODE_SLEEPING_IN {
        let Some(granules) = GRANULES.get_ptr(0) else {
            return;
        };
        // SAFETY: values of maps
        if !unsafe { granules::touched(granules, &raw const (*record).stack) } {
            return;
        }
    } else if mode != MODE_PENDING {
        return;
    }
    // SAFETY: the record is a map's value
    unsafe {
        let head = &raw mut (*record).head;
        *head = core::mem::zeroed();
        known |= task_fields::identity(
            fields,
            &raw mut (*head).tid,
            &raw mut (*head).tgid,
            &raw mut (*head).start_time,
            &raw mut (*head).comm,
        );
        known |= task_fields::condition(fields, head);
        (*head).patch_state = state;
        let len = (size_of::<TaskHead>() + stack_bytes) as u32;
        (*head).kind = KIND_TASK;
        (*head).len = len;
        (*head).known = known;
        (*head).stack_len = if depth < 0 {
            depth as i32
        } else {
            (stack_bytes / 8) as i32
        };
        // a record that does not fit any more is not counted: the kernel visits its task again
        // (kernel/bpf/bpf_iter.c: bpf_seq_read)
        if bpf_seq_write(seq, record.cast_const().cast::<c_void>(), len) == 0 {
            (*pass).emitted += 1;
        }
    }
}

/// Ends the pass with its trailer.
///
/// # Safety
///
/// `seq` must be the context's.
#[inline(always)]
unsafe fn end(seq: *mut seq_file, visited: u64, emitted: u64) {
    debug!(&(), "pass: {} tasks visited, {} emitted", visited, emitted);
    let trailer = ScanTrailer {
        kind: KIND_TRAILER,
        len: size_of::<ScanTrailer>() as u32,
        visited,
        emitted,
        // SAFETY: takes no argument and always succeeds
        time: unsafe { bpf_ktime_get_ns() },
    };
    // SAFETY: the trailer is as long as it says
    unsafe { bpf_seq_write(seq, (&raw const trailer).cast::<c_void>(), trailer.len) };
}

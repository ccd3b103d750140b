// SPDX-License-Identifier: GPL-2.0-only
//! A new field for `struct task_struct`: how often a task has read /proc/cmdline. Nothing that this patch replaces sees a
//! task end, so a field may stay behind until the patch goes, and be found by a later task at the same address: it says
//! whose it is.
//!
//! Invariant: a task changes its own field only.

use core::sync::atomic::{AtomicU32, Ordering};
use kernel::{
    ffi::{c_int, c_void},
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::rcu,
};

#[macro_use]
#[path = "../include/klp_rs.rs"]
mod klp_rs;

use klp_rs::{shadow::Memory, Callbacks, Object};

struct Reads {
    pid: i32,
    count: AtomicU32,
}

/// Counts one more read of the task that asks.
fn count_read() -> Result<u32> {
    let task = current!();
    let guard = rcu::read_lock();
    if let Some(reads) = READS.get(task.as_ptr(), &guard) {
        if reads.pid == task.pid() {
            return Ok(reads.count.fetch_add(1, Ordering::Relaxed).wrapping_add(1));
        }
        READS.detach(task.as_ptr());
    }
    drop(guard);
    let first = Reads {
        pid: task.pid(),
        count: AtomicU32::new(1),
    };
    READS.attach(task.as_ptr(), first, Memory::MaySleep)?;
    Ok(1)
}

struct Cleanup;

impl Callbacks for Cleanup {
    fn post_unpatch(_object: &Object) {
        READS.detach_all();
    }
}

livepatch! {
    type: Reader,
    name: "shadow_rs",
    authors: ["livepatchd developers"],
    description: "klp_rs sample: a new field for tasks",
    license: "GPL",
    fields: [READS: Reads = 0x7ead],
    object vmlinux with Cleanup {
        fn cmdline_proc_show(out: &SeqFile, _unused: *mut c_void) -> c_int {
            match count_read() {
                Ok(count) => seq_print!(out, "read {} times by this task\n", count),
                Err(_) => seq_print!(out, "read by this task\n"),
            }
            0
        }
    }
}

// SPDX-License-Identifier: GPL-2.0-only
//! A patch that changes more than functions: its callbacks set a number and put it back, and its state 1 tells later patches
//! (cumulative_rs.rs) so. The number here is only this module's; in earnest it is something of the kernel's.
//! Invariant: what `pre_patch` and `post_patch` did, `pre_unpatch` and `post_unpatch` undo, in the opposite order.

use kernel::{
    ffi::{c_int, c_void},
    prelude::*,
    seq_file::SeqFile,
    seq_print,
};

#[macro_use]
#[path = "../include/klp_rs.rs"]
mod klp_rs;

use klp_rs::{Callbacks, Object};

/// What is worth keeping: what was there before the patch.
const BEFORE: usize = 42;

struct Steps;

impl Callbacks for Steps {
    fn pre_patch(_object: &Object) -> Result {
        PATCH.state(1).ok_or(EINVAL)?.keep(BEFORE);
        pr_info!("pre_patch: kept {}\n", BEFORE);
        Ok(())
    }

    fn post_patch(_object: &Object) {
        pr_info!("post_patch: every task has the patch\n");
    }

    fn pre_unpatch(_object: &Object) {
        pr_info!("pre_unpatch: every task still has it\n");
    }

    fn post_unpatch(_object: &Object) {
        let kept = PATCH.state(1).map_or(0, |state| state.data());
        pr_info!("post_unpatch: put back {}\n", kept);
    }
}

livepatch! {
    type: Stepwise,
    name: "callbacks_rs",
    authors: ["livepatchd developers"],
    description: "klp_rs sample: callbacks and a system state",
    license: "GPL",
    states: [State::new(1, 1)],
    object vmlinux with Steps {
        fn cmdline_proc_show(out: &SeqFile, _unused: *mut c_void) -> c_int {
            seq_print!(out, "patched, with callbacks\n");
            0
        }
    }
}

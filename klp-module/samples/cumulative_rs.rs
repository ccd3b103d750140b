// SPDX-License-Identifier: GPL-2.0-only
//! A cumulative patch: it stands for all patches that are there, which leave when every task has moved to it. It knows
//! state 1 of callbacks_rs.rs and takes over what that kept; without knowing it, it would be refused.
//! Invariant: what the replaced patch kept is taken while that is still there, in a callback.

use kernel::{
    ffi::{c_int, c_void},
    prelude::*,
    seq_file::SeqFile,
    seq_print,
};

#[macro_use]
#[path = "../include/klp_rs.rs"]
mod klp_rs;

use klp_rs::{previous_state, Callbacks, Object};

struct TakeOver;

impl Callbacks for TakeOver {
    fn post_patch(_object: &Object) {
        let Some(own) = PATCH.state(1) else { return };
        match previous_state(1) {
            Some((version, data)) => {
                own.keep(data);
                pr_info!("took over {} of version {}\n", data, version);
            }
            None => pr_info!("nothing to take over\n"),
        }
    }

    fn post_unpatch(_object: &Object) {
        pr_info!("put back {}\n", PATCH.state(1).map_or(0, |state| state.data()));
    }
}

livepatch! {
    type: Cumulative,
    name: "cumulative_rs",
    authors: ["livepatchd developers"],
    description: "klp_rs sample: replaces all patches that are there",
    license: "GPL",
    replace: true,
    states: [State::new(1, 2)],
    object vmlinux with TakeOver {
        fn cmdline_proc_show(out: &SeqFile, _unused: *mut c_void) -> c_int {
            seq_print!(out, "patched, cumulatively\n");
            0
        }
    }
}

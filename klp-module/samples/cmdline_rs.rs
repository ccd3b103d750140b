// SPDX-License-Identifier: GPL-2.0-only
//! The smallest patch, in Rust: /proc/cmdline says that the machine has been live patched. cmdline_c.c is the same in C.
//! Invariant: `cmdline_proc_show` has the signature of fs/proc/cmdline.c:cmdline_proc_show.

use kernel::{
    ffi::{c_int, c_void},
    prelude::*,
    seq_file::SeqFile,
    seq_print,
};

#[macro_use]
#[path = "../include/klp_rs.rs"]
mod klp_rs;

livepatch! {
    type: Cmdline,
    name: "cmdline_rs",
    authors: ["livepatchd developers"],
    description: "klp_rs sample: replaces the text of /proc/cmdline, in Rust",
    license: "GPL",
    object vmlinux {
        fn cmdline_proc_show(out: &SeqFile, _unused: *mut c_void) -> c_int {
            seq_print!(out, "this has been live patched in Rust\n");
            0
        }
    }
}

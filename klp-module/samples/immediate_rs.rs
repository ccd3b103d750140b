// SPDX-License-Identifier: GPL-2.0-only
//! A function that needs no consistency: `order_wait` of orders.ko does not wait any more. Tasks that sleep in the original
//! may stay there for as long as they like; the transition does not wait for them, because who calls the one or the other
//! version sees no difference. `order_show` beside it is patched with consistency as always.
//! Invariant: the signatures are those of orders.c.

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
    type: Impatient,
    name: "immediate_rs",
    authors: ["livepatchd developers"],
    description: "klp_rs sample: a function without consistency",
    license: "GPL",
    object orders {
        [immediate] fn order_wait() -> c_int {
            0
        }

        fn order_show(out: &SeqFile, _order: *const c_void) {
            seq_print!(out, "an order\n");
        }
    }
}

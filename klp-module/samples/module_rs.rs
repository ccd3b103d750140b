// SPDX-License-Identifier: GPL-2.0-only
//! A patch of a module: /proc/orders says what the numbers are. Works whether orders.ko is there already or comes later.
//! Invariant: [`Order`] begins like `struct order` of orders.c.

use kernel::{ffi::c_int, prelude::*, seq_file::SeqFile, seq_print};

#[macro_use]
#[path = "../include/klp_rs.rs"]
mod klp_rs;

/// `struct order`, as far as it is needed.
#[repr(C)]
struct Order {
    link: [usize; 2],
    amount: c_int,
}

livepatch! {
    type: Amounts,
    name: "module_rs",
    authors: ["livepatchd developers"],
    description: "klp_rs sample: patches a module",
    license: "GPL",
    object orders {
        fn order_show(out: &SeqFile, order: &Order) {
            seq_print!(out, "an order over {}\n", order.amount);
        }
    }
}

// SPDX-License-Identifier: GPL-2.0-only
//! A new field for objects, filled as they are made (transform on create): every order of orders.ko made from now on has a
//! number. Orders that were there before have none, and never get one.
//!
//! While tasks are moving, some still make orders without a number. What relies on all new orders having one waits for
//! `PATCH.is_complete()`: so does `order_show` before it calls an order without a number an old one.
//!
//! Invariant: the field goes before its order does, or with the patch.

use core::sync::atomic::{AtomicU32, Ordering};
use kernel::{ffi::c_int, prelude::*, seq_file::SeqFile, seq_print, sync::rcu};

#[macro_use]
#[path = "../include/klp_rs.rs"]
mod klp_rs;

use klp_rs::{shadow::Memory, Callbacks, Object};

/// `struct order` of orders.c, as far as it is needed.
#[repr(C)]
struct Order {
    link: [usize; 2],
    amount: c_int,
}

/// The number of the last order.
static LAST: AtomicU32 = AtomicU32::new(0);

struct Cleanup;

impl Callbacks for Cleanup {
    fn post_unpatch(_object: &Object) {
        NUMBER.detach_all();
    }
}

livepatch! {
    type: Numbers,
    name: "transform_rs",
    authors: ["livepatchd developers"],
    description: "klp_rs sample: a new field, filled as objects are made",
    license: "GPL",
    fields: [NUMBER: u32 = 0x0edd],
    object orders with Cleanup {
        fn order_made(order: &Order) {
            let number = LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            if NUMBER.attach(order, number, Memory::MaySleep).is_err() {
                pr_warn!("no memory for the number of an order\n");
            }
        }

        fn order_gone(order: &Order) {
            NUMBER.detach(order);
        }

        fn order_show(out: &SeqFile, order: &Order) {
            let guard = rcu::read_lock();
            match NUMBER.get(order, &guard) {
                Some(number) => seq_print!(out, "{}, number {}\n", order.amount, number),
                None if PATCH.is_complete() => seq_print!(out, "{}, old\n", order.amount),
                None => seq_print!(out, "{}\n", order.amount),
            }
        }
    }
}

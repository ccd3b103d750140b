// SPDX-License-Identifier: GPL-2.0-only
//! Records and vocabulary shared by the BPF programs, the daemon and the tests.
//!
//! No logic: integers and arrays of integers, `repr(C)`, sizes asserted, so that both sides read the same bytes. Every
//! record starts with its kind. What a record does not know is said in its `known` mask: zero is a value, not a gap.
#![no_std]

pub mod event;
pub mod kernel;
pub mod offset;
pub mod scan;
pub mod states;
pub mod task;

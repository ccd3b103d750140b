// SPDX-License-Identifier: GPL-2.0-only
//! The truth as last observed: one pure state machine.
//!
//! [`fact::Fact`] in, [`change::Change`] out; requests are answered at once. No clock, no file, no bus: time is an argument.
//! sysfs is the truth: what a [`fact::Fact::Listing`] says replaces what was believed.

pub mod change;
pub mod fact;
pub mod job;
pub mod patch;
pub mod refusal;
pub mod request;
pub mod snapshot;
pub mod task;
pub mod time;

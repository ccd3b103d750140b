// SPDX-License-Identifier: GPL-2.0-only
//! The pure middle as a whole, `model` and `policy`, against a fake kernel on a virtual clock.
//!
//! These tests speak for the modelled kernel only; what it models stands at the head of `fake_kernel`, and each point of it
//! is anchored by a test in a VM.

mod adopting;
mod applying;
mod cancelling;
mod client;
mod deciding;
mod fake_kernel;
mod fake_task;
mod forcing;
mod machine;
mod nudging;
mod properties;
mod refusing;
mod replacing;
mod reverting;
mod timing_out;

// SPDX-License-Identifier: GPL-2.0-only
//! The bus as clients see it: the real objects and the real `livepatchctl` on a private dbus-daemon, with a scripted loop
//! in place of the daemon's. No root, no livepatch.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

mod authorisation;
mod calls;
mod ctl;
mod fake_daemon;
mod listener;
mod objects;
mod policy;
mod private_bus;

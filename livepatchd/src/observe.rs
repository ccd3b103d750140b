// SPDX-License-Identifier: GPL-2.0-only
//! The edge where facts come in: sysfs, /proc, module files, the kernel's log and uevents.
//!
//! It looks and tells; it decides nothing, changes nothing and never imports `act` or `bus`.
//! All paths come from [`crate::model::place::Places`].

pub mod bpf;
mod freezer;
pub mod kernel;
pub mod klp_rs;
pub mod kmsg;
pub mod module_file;
pub mod procfs;
pub mod scan;
pub mod sighting;
pub(crate) mod source;
pub mod stack;
pub mod sysfs;
pub mod uevent;
pub mod unit;

// SPDX-License-Identifier: GPL-2.0-only
//! The VM tests of livepatchd: what the host does (`host`), what runs inside the machine (`guest`, `scenarios`,
//! `workload`), and the two messages between them (`plan` goes in with the boot, `report`s come out while it runs).
//!
//! It speaks for the real kernel only; what can be tested without one is tested beside the code it tests.

pub mod guest;
pub mod host;
pub mod plan;
pub mod report;
pub mod scenarios;
pub mod wait;
pub mod workload;

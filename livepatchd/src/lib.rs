// SPDX-License-Identifier: GPL-2.0-only
//! livepatchd: applies a kernel live patch and sees it finish, with the reason for every task that holds it back.
//!
//! Facts flow from `observe` into `model`, decisions from `policy` into `act`, changes out through `bus` and `journal`;
//! `daemon` alone sees all of them. `ARCHITECTURE.md` draws it, `tests/layering.rs` keeps it.

pub mod act;
pub mod bus;
pub mod config;
pub mod ctl;
pub mod daemon;
pub mod journal;
pub mod model;
pub mod observe;
pub mod policy;

// SPDX-License-Identifier: GPL-2.0-only
//! The core itself: patches, their objects, and the transition. Uses the rules of `pure` and the kernel through
//! `kernel_api`; has no unsafe code. Locks: [`state::REDIRECT`] before [`state::CORE`] before
//! [`states::PREVIOUS`]; see there.

pub(crate) mod departure;
pub(crate) mod enable;
pub(crate) mod handler;
pub(crate) mod hooks;
pub(crate) mod modules;
pub(crate) mod objects;
pub(crate) mod patch;
pub(crate) mod registered;
pub(crate) mod replace;
pub(crate) mod state;
pub(crate) mod states;
pub(crate) mod tasks;
pub(crate) mod transition;

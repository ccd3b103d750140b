// SPDX-License-Identifier: GPL-2.0-only
//! Decisions: from the model, the rules and the time to actions. Pure: it observes nothing and does nothing.

pub mod action;
pub mod rules;

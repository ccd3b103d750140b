// SPDX-License-Identifier: GPL-2.0-only
//! The command-line tool's entry point.
fn main() {}

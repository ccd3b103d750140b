// SPDX-License-Identifier: GPL-2.0-only
//! What is observed of the kernel.

pub mod bpf;

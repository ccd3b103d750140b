// SPDX-License-Identifier: GPL-2.0-only
//! Records and vocabulary shared by the BPF programs, the daemon and the tests.
//!
//! No logic: integers and arrays of integers, `repr(C)`, sizes asserted, so that both sides read the same bytes.
#![no_std]

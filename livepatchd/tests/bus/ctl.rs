// SPDX-License-Identifier: GPL-2.0-only
//! `livepatchctl` against the fake daemon: exit codes, JSON, and what it says.

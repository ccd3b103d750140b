// SPDX-License-Identifier: GPL-2.0-only
//! livepatchd that ends or hangs where `LIVEPATCHD_FAULT` says (act/fault.rs). For the crash scenarios: built only with the
//! feature `fault-injection`, and never installed.

#[path = "livepatchd.rs"]
mod daemon;

fn main() -> std::process::ExitCode {
    daemon::main()
}

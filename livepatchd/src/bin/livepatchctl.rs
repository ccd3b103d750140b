// SPDX-License-Identifier: GPL-2.0-only
//! The command-line tool's entry point.

fn main() -> std::process::ExitCode {
    livepatchd::ctl::main()
}

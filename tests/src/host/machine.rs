// SPDX-License-Identifier: GPL-2.0-only
//! One QEMU process: a stock kernel, an initramfs, no disk, no network, and three serial ports.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use super::accelerator::Accelerator;
use crate::scenarios::Processors;

pub(super) const QEMU: &str = "qemu-system-x86_64";

/// Rootfs, 20,000 sleeping threads, and what a Debian needs.
pub(super) const MEMORY_MIB: usize = 3072;

/// `console`: the kernel's messages, errors only. `panic`, `oops`: the end of the kernel is the end of QEMU, at once.
/// `audit`: else every unit start is a line on the console.
const COMMAND_LINE: &str = "console=ttyS0 quiet loglevel=4 panic=-1 oops=panic audit=0 rdinit=/sbin/init";

/// What the user's terminal is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Terminal {
    /// Nothing.
    Unconnected,
    /// The kernel's console, with QEMU's own keys (Ctrl-a x ends it).
    Console,
    /// The third port, where a program speaks.
    Program,
}

/// What a machine is made of.
#[derive(Debug)]
pub(super) struct Machine<'a> {
    pub(super) kernel: &'a Path,
    pub(super) initramfs: &'a Path,
    /// Console and reports are written here.
    pub(super) folder: &'a Path,
    pub(super) accelerator: Accelerator,
    pub(super) terminal: Terminal,
    pub(super) processors: Processors,
}

impl Machine<'_> {
    /// The kernel's console, as it grows.
    pub(super) fn console(&self) -> PathBuf {
        self.folder.join("console.log")
    }

    /// The guest's reports, as they come.
    pub(super) fn reports(&self) -> PathBuf {
        self.folder.join("reports.jsonl")
    }

    /// Boots it. It dies with the thread that called this: setpriv sees to it, so that no machine outlives a killed run.
    pub(super) fn boot(&self) -> Result<Child> {
        let to_file = |path: PathBuf| -> Result<String> {
            // Made anew now, so that nobody reads the last run's.
            File::create(&path).with_context(|| path.display().to_string())?;
            Ok(format!("file:{}", path.display()))
        };
        let (console, program) = match self.terminal {
            Terminal::Unconnected => (to_file(self.console())?, "null"),
            Terminal::Console => ("mon:stdio".to_owned(), "null"),
            Terminal::Program => (to_file(self.console())?, "stdio"),
        };
        let reports = to_file(self.reports())?;
        let errors = File::create(self.folder.join("qemu.log"))?;
        let (accelerator, processors, counting) = match self.processors {
            Processors::Two => (self.accelerator, "2", &[][..]),
            Processors::Four => (self.accelerator, "4", &[][..]),
            Processors::Counted => (Accelerator::Tcg, "1", &["-icount", "shift=0"][..]),
        };
        let connected = self.terminal != Terminal::Unconnected;
        Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", QEMU])
            .args(accelerator.arguments())
            .args(counting)
            .args([
                "-smp",
                processors,
                "-m",
                &MEMORY_MIB.to_string(),
                "-nodefaults",
                "-display",
                "none",
                "-no-reboot",
            ])
            .args(["-serial", &console, "-serial", &reports, "-serial", program])
            .args(["-append", COMMAND_LINE, "-kernel"])
            .arg(self.kernel)
            .arg("-initrd")
            .arg(self.initramfs)
            .stdin(if connected { Stdio::inherit() } else { Stdio::null() })
            .stdout(if connected { Stdio::inherit() } else { Stdio::null() })
            .stderr(errors)
            .spawn()
            .context("setpriv and QEMU: run tests/setup/prerequisites.sh")
    }
}

// SPDX-License-Identifier: GPL-2.0-only
//! Whether this host can run a machine on its own processor, found out by doing it: some hosts have /dev/kvm and cannot
//! run a stock kernel.

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use super::machine::QEMU;
use super::setup::cache;
use crate::wait;

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accelerator {
    /// The host's processor.
    Kvm,
    /// Emulation.
    Tcg,
}

/// A machine on KVM says its word in a second or two.
const WORD_WITHIN: Duration = Duration::from_secs(20);
const WORD: &str = "kvm-runs-this-kernel";

impl Accelerator {
    /// The best that works. The answer is kept until the host is booted again.
    pub(super) fn probe(kernel: &Path, userland: &Path) -> Result<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").context("boot id")?;
        let memo = cache()?.join("accelerator");
        if let Ok(text) = fs::read_to_string(&memo)
            && let Some((of_boot, name)) = text.split_once(' ')
            && of_boot == boot.trim()
        {
            return Ok(if name.trim() == "kvm" { Self::Kvm } else { Self::Tcg });
        }
        let found = if kvm_boots(kernel, userland)? {
            Self::Kvm
        } else {
            Self::Tcg
        };
        let name = if found == Self::Kvm { "kvm" } else { "tcg" };
        fs::write(&memo, format!("{} {name}\n", boot.trim())).context("remembering the accelerator")?;
        Ok(found)
    }

    /// QEMU's arguments for it.
    pub(super) fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            // With a thread for each processor, emulation races with the kernel's patching of its own text and dies of
            // an int3; and five-level page tables hang it.
            Self::Tcg => ["-accel", "tcg,thread=single", "-cpu", "max,la57=off"],
        }
    }
}

/// Boots as far as a first program in user space, which says a word and ends, with which the kernel panics and stops.
fn kvm_boots(kernel: &Path, userland: &Path) -> Result<bool> {
    if OpenOptions::new().read(true).write(true).open("/dev/kvm").is_err() {
        return Ok(false);
    }
    let said = cache()?.join("accelerator.log");
    let mut qemu = Command::new(QEMU)
        .args(Accelerator::Kvm.arguments())
        .args([
            "-m",
            "1024",
            "-nodefaults",
            "-display",
            "none",
            "-no-reboot",
            "-serial",
            "stdio",
            "-append",
        ])
        .arg(format!("console=ttyS0 panic=-1 rdinit=/bin/echo -- {WORD}"))
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(userland)
        .stdin(Stdio::null())
        .stdout(File::create(&said)?)
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("{QEMU}: run tests/setup/prerequisites.sh"))?;
    let mut boots = false;
    let waited = wait::until(WORD_WITHIN, "a machine on KVM", || {
        // The command line is in the log too; the word alone on its line is the program's.
        boots = fs::read_to_string(&said)
            .unwrap_or_default()
            .lines()
            .any(|line| line.trim() == WORD);
        Ok(boots || qemu.try_wait()?.is_some())
    });
    qemu.kill()?;
    qemu.wait()?;
    Ok(waited.is_ok() && boots)
}

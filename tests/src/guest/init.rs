// SPDX-License-Identifier: GPL-2.0-only
//! PID 1 in the target module: it is made to read a unit file that links there.
//!
//! While it sleeps it answers nobody: no systemctl, no systemd-run, no start of a unit.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use anyhow::Result;

use super::command::Call;
use super::target::{Queue, Target};

const UNITS: &str = "/run/systemd/system";
const UNIT: &str = "test-stuck.service";
const SOON: Duration = Duration::from_secs(10);

/// PID 1 asleep in a queue, until this goes.
#[derive(Debug)]
pub struct StuckInit {
    queue: Queue,
}

impl StuckInit {
    pub(super) fn send(queue: Queue) -> Result<Self> {
        let before = Target.sleepers(queue)?;
        fs::create_dir_all(UNITS)?;
        symlink(queue.file(), unit_file())?;
        let stuck = Self { queue };
        // It does not come back to answer: no reply may be expected.
        let manager = [
            "org.freedesktop.systemd1",
            "/org/freedesktop/systemd1",
            "org.freedesktop.systemd1.Manager",
        ];
        let load = ["call", "--expect-reply=no"].into_iter().chain(manager);
        Call::new("busctl", load.chain(["LoadUnit", "s", UNIT])).ok()?;
        Target.wait_for_sleepers(queue, before + 1, SOON)?;
        Ok(stuck)
    }
}

impl Drop for StuckInit {
    fn drop(&mut self) {
        // What fails here shows at the next thing that is asked of PID 1.
        let _ = Target.release(self.queue);
        let _ = fs::remove_file(unit_file());
    }
}

fn unit_file() -> String {
    format!("{UNITS}/{UNIT}")
}

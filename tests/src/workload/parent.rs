// SPDX-License-Identifier: GPL-2.0-only
//! A parent that asks for every change of its child, as a shell with job control does.

use std::io;
use std::process::Child;

use anyhow::{Result, bail, ensure};

use super::Event;

/// Tells of each stop and each continuation until the child ends.
pub(super) fn watch(child: &Child) -> Result<()> {
    let pid = child.id().cast_signed();
    loop {
        let mut status = 0;
        // SAFETY: the status is ours and lives through the call.
        let changed = unsafe { libc::waitpid(pid, &raw mut status, libc::WUNTRACED | libc::WCONTINUED) };
        ensure!(changed == pid, "waitpid: {}", io::Error::last_os_error());
        if libc::WIFSTOPPED(status) {
            Event::Stopped { pid }.tell()?;
        } else if libc::WIFCONTINUED(status) {
            Event::Continued { pid }.tell()?;
        } else if status == 0 {
            return Ok(());
        } else {
            bail!("the child ended with {status:#x}");
        }
    }
}

// SPDX-License-Identifier: GPL-2.0-only
//! One thread, held so that a signal reaches it or nobody.
//!
//! # Invariant
//!
//! The handle is taken first and the identity is read after: a thread that has the expected start time now had its id
//! when the handle was taken, so the handle is this thread's. A pidfd keeps that for ever. Without one (before 6.9 there
//! is none for a thread) the start time is read again right before a signal.

use std::{
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use crate::model::{
    freezer::{self, FreezerFile},
    patch::{Core, Direction},
    place::Places,
    proc_text::{Stat, Status},
    task::TaskKey,
};

/// `PIDFD_THREAD` is `O_EXCL` (`include/uapi/linux/pidfd.h`, since 6.9): the pidfd is the thread's, and a signal sent
/// through it goes to this thread (`kernel/signal.c: pidfd_send_signal`).
const PIDFD_THREAD: PidfdFlags = PidfdFlags::from_bits_retain(rustix::fs::OFlags::EXCL.bits());

/// A thread and what it takes to signal it.
pub(super) struct Target {
    key: TaskKey,
    tgid: u32,
    handle: Handle,
    process_dir: PathBuf,
    task_dir: PathBuf,
}

enum Handle {
    Pidfd(OwnedFd),
    /// Only the ids: check before each use.
    Ids,
}

/// What can be seen of a thread at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glimpse {
    pub(super) stat: Stat,
    pub(super) status: Status,
}

/// The thread is gone, or its id is another's now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

impl Target {
    /// Takes hold of the thread; the error says why that was not possible.
    pub(super) fn open(proc: &Path, key: TaskKey, tgid: u32) -> Result<Self, Errno> {
        Self::open_with(proc, key, tgid, PIDFD_THREAD)
    }

    fn open_with(proc: &Path, key: TaskKey, tgid: u32, flags: PidfdFlags) -> Result<Self, Errno> {
        let pid = pid(key.tid).ok_or(Errno::SRCH)?;
        let handle = match pidfd_open(pid, flags) {
            Ok(fd) => Handle::Pidfd(fd),
            Err(Errno::INVAL | Errno::NOSYS) => Handle::Ids,
            Err(err) => return Err(err),
        };
        let target = Self {
            key,
            tgid,
            handle,
            task_dir: proc.join(tgid.to_string()).join("task").join(key.tid.to_string()),
            process_dir: proc.join(tgid.to_string()),
        };
        match target.look() {
            Ok(_) => Ok(target),
            Err(Gone) => Err(Errno::SRCH),
        }
    }

    /// What it is doing now; an error also if the id is another thread's by now.
    pub(super) fn look(&self) -> Result<Glimpse, Gone> {
        let read = |file: &str| fs::read(self.task_dir.join(file)).ok();
        // stat last: its state is the freshest of what is decided by
        let status = read("status").as_deref().and_then(Status::parse).ok_or(Gone)?;
        let stat = read("stat").as_deref().and_then(Stat::parse).ok_or(Gone)?;
        let same = stat.tid == self.key.tid && stat.start_ticks == self.key.start_ticks && status.tgid == self.tgid;
        same.then_some(Glimpse { stat, status }).ok_or(Gone)
    }

    /// Whether the kernel shows that it has yet to move in this direction. A task in no transition and one whose state
    /// cannot be read are not known to wait for anything. A core that shows nothing in `/proc` is asked in scans only:
    /// policy sends no more nudges after one than are over while it is fresh.
    pub(super) fn is_pending(&self, places: &Places, core: Core, direction: Direction) -> bool {
        let Some(file) = places.patch_state(core, self.tgid, self.key.tid) else {
            return true;
        };
        let text = fs::read_to_string(file).ok();
        let state = text.and_then(|text| text.trim().parse::<i32>().ok());
        // neither idle (-1) nor there
        state.is_some_and(|state| state >= 0 && state != i32::from(direction.enabled()))
    }

    /// Whether its cgroup is frozen or freezing.
    pub(super) fn is_frozen(&self, places: &Places) -> bool {
        let Ok(cgroup) = fs::read_to_string(self.task_dir.join("cgroup")) else {
            return false;
        };
        let says = |file: &FreezerFile| fs::read_to_string(&file.path).is_ok_and(|text| file.says_frozen(&text));
        freezer::files(places, &cgroup).iter().any(says)
    }

    /// The number of the signal that stopped its process; 0 if it is not stopped, if the kernel does not tell (before
    /// 5.17), or once its parent has been told. Only the process's file has it (`fs/proc/array.c: do_task_stat`).
    pub(super) fn stop_signal(&self) -> u32 {
        let text = fs::read(self.process_dir.join("stat")).ok();
        text.as_deref().and_then(Stat::parse).map_or(0, |stat| stat.exit_code)
    }

    /// Sends a signal to this thread. Without a pidfd: only right after [`Target::look`].
    pub(super) fn send(&self, signal: Signal) -> Result<(), Errno> {
        match &self.handle {
            Handle::Pidfd(fd) => pidfd_send_signal(fd, signal),
            Handle::Ids => tgkill(self.tgid, self.key.tid, signal),
        }
    }
}

/// A process or thread id as the kernel takes it: above zero, which would mean "all" or "myself" elsewhere.
fn pid(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw)
}

fn tgkill(process: u32, thread: u32, signal: Signal) -> Result<(), Errno> {
    let (Some(process), Some(thread)) = (pid(process), pid(thread)) else {
        return Err(Errno::SRCH);
    };
    // SAFETY: tgkill takes three integers and touches no memory of ours.
    let result = unsafe {
        libc::syscall(
            libc::SYS_tgkill,
            process.as_raw_nonzero().get(),
            thread.as_raw_nonzero().get(),
            signal.as_raw(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL))
    }
}

#[cfg(test)]
pub(super) mod testing {
    //! Lets tests take the way of kernels before 6.9.
    use super::{Errno, Path, PidfdFlags, Target, TaskKey};

    /// A target held by its ids only: the kernel refuses these flags as an old one refuses the thread's.
    pub(in crate::act) fn open_by_ids(proc: &Path, key: TaskKey, tgid: u32) -> Result<Target, Errno> {
        Target::open_with(proc, key, tgid, PidfdFlags::from_bits_retain(1 << 30))
    }
}

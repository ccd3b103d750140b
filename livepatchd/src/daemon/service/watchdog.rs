// SPDX-License-Identifier: GPL-2.0-only
//! The times at which the watchdog is to be told. A timer of the kernel's, because the runtime's own wakes the process several
//! times on the way to one that is seconds ahead, and an idle daemon sleeps.

use std::{io, os::fd::OwnedFd, time::Duration};

use rustix::{
    io::{Errno, read},
    time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime},
};
use tokio::io::unix::AsyncFd;

use crate::observe::source::readable;

/// A timer that goes off again and again.
#[derive(Debug)]
pub(super) struct Watchdog {
    timer: AsyncFd<OwnedFd>,
}

impl Watchdog {
    /// Due after `first`, then `every` so often. Inside the runtime.
    pub(super) fn new(first: Duration, every: Duration) -> io::Result<Self> {
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?;
        let spec = |time: Duration| Timespec::try_from(time).map_err(io::Error::other);
        let times = Itimerspec {
            it_value: spec(first)?,
            it_interval: spec(every)?,
        };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &times)?;
        let timer = readable(timer)?;
        Ok(Self { timer })
    }

    /// Comes back when it is due, once for each time; one that was taken in between counts no more.
    pub(super) async fn due(&self) {
        loop {
            let Ok(mut ready) = self.timer.readable().await else {
                // only while the runtime ends
                return std::future::pending().await;
            };
            if ready.try_io(|timer| expirations(timer.get_ref())).is_ok() {
                return;
            }
        }
    }

    /// Whether it was due and has not been told, which it counts as from now on.
    pub(super) fn take(&self) -> bool {
        expirations(self.timer.get_ref()).is_ok()
    }

    /// Whether it is due.
    #[cfg(test)]
    pub(super) fn is_due(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, poll};
        let mut timer = [PollFd::new(self.timer.get_ref(), PollFlags::IN)];
        poll(&mut timer, Some(&Timespec::default())).is_ok_and(|ready| ready == 1)
    }
}

/// Takes the count of expirations; `WouldBlock` if there was none.
fn expirations(timer: &OwnedFd) -> io::Result<()> {
    let mut count = [0; 8];
    match read(timer, &mut count) {
        Ok(_) => Ok(()),
        Err(Errno::AGAIN) => Err(io::ErrorKind::WouldBlock.into()),
        Err(errno) => Err(errno.into()),
    }
}

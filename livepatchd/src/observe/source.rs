// SPDX-License-Identifier: GPL-2.0-only
//! A file descriptor that wakes the event loop when there is something to read.

use std::{io, os::fd::OwnedFd};

use tokio::io::{Interest, unix::AsyncFd};

/// Takes the descriptor into the running event loop.
pub(crate) fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is open, always gives the same number, and is closed only when it is dropped: the AsyncFd owns
    // it, hands out shared references only, and takes it out of the event loop before it drops it.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.map_err(io::Error::from)
}

// SPDX-License-Identifier: GPL-2.0-only
//! A file in memory that is written once and then cannot change.
//!
//! `finit_module` refuses a file that anybody has open for writing (ETXTBSY, `fs/kernel_read_file.c: kernel_read_file`
//! → `deny_write_access`), so the finished file is opened anew for reading and the writer is closed.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::AsRawFd,
};

use rustix::{
    fs::{CWD, MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, memfd_create, openat},
    io::Errno,
};

/// A file in memory that is still being written.
pub(super) struct Writer(File);

impl Writer {
    pub(super) fn new() -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // vm.memfd_noexec=2 demands NOEXEC_SEAL, kernels before 6.3 do not know it
        let fd = match memfd_create(c"livepatch-module", flags | MemfdFlags::NOEXEC_SEAL) {
            Err(Errno::INVAL) => memfd_create(c"livepatch-module", flags),
            other => other,
        }?;
        Ok(Self(File::from(fd)))
    }

    /// The same file, sealed and for reading only.
    pub(super) fn seal(self) -> io::Result<File> {
        let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
        fcntl_add_seals(&self.0, seals)?;
        let path = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(File::from(openat(CWD, path, flags, Mode::empty())?))
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

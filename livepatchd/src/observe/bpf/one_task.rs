// SPDX-License-Identifier: GPL-2.0-only
//! The task iterator over one thread alone (`kernel/bpf/task_iter.c: bpf_iter_attach_task`), which aya does not offer: it
//! visits that thread, if it is there, and ends. The layouts are those of `include/uapi/linux/bpf.h`.
//!
//! Kernels before 6.12 visit no thread but a process's first, or everybody. Only threads that the kernel named are looked at
//! so, and it is asked for names only where it trusts the frames of BPF programs (`tracers.rs`), which is newer.

use std::{
    ffi::{c_int, c_long},
    fs::File,
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

const BPF_LINK_CREATE: c_int = 28;
const BPF_ITER_CREATE: c_int = 33;
const BPF_TRACE_ITER: u32 = 28;

/// `union bpf_iter_link_info`, its member `task`.
#[repr(C)]
struct TaskInfo {
    tid: u32,
    pid: u32,
    pid_fd: u32,
}

/// `union bpf_attr`, the beginning of its member `link_create`.
#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
    iter_info: u64,
    iter_info_len: u32,
    padding: u32,
}

/// `union bpf_attr`, its member `iter_create`.
#[repr(C)]
struct IterCreate {
    link_fd: u32,
    flags: u32,
}

/// Opens the iterator of this program over the thread with this number.
pub(super) fn open(program: BorrowedFd<'_>, tid: u32) -> io::Result<File> {
    let info = TaskInfo { tid, pid: 0, pid_fd: 0 };
    let link = LinkCreate {
        prog_fd: number(program)?,
        target_fd: 0,
        attach_type: BPF_TRACE_ITER,
        flags: 0,
        iter_info: (&raw const info) as u64,
        iter_info_len: size(&info)?,
        padding: 0,
    };
    // SAFETY: `link` is what this command takes, and `info`, which it points to, is read during the call only; the command
    // makes a descriptor
    let link = unsafe { descriptor(BPF_LINK_CREATE, &link) }?;
    let iterator = IterCreate {
        link_fd: number(std::os::fd::AsFd::as_fd(&link))?,
        flags: 0,
    };
    // SAFETY: as above; the iterator holds the link itself
    let iterator = unsafe { descriptor(BPF_ITER_CREATE, &iterator) }?;
    Ok(iterator.into())
}

fn number(descriptor: BorrowedFd<'_>) -> io::Result<u32> {
    u32::try_from(descriptor.as_raw_fd()).map_err(|_negative| io::ErrorKind::InvalidInput.into())
}

fn size<T>(what: &T) -> io::Result<u32> {
    u32::try_from(size_of_val(what)).map_err(|_too_big| io::ErrorKind::InvalidInput.into())
}

/// bpf(2).
///
/// # Safety
///
/// `attributes` must be what the command takes, with pointers that it may follow; the command must make a descriptor.
unsafe fn descriptor<T>(command: c_int, attributes: &T) -> io::Result<OwnedFd> {
    let (pointer, size) = (std::ptr::from_ref(attributes), size(attributes)?);
    // SAFETY: the caller's promise; the kernel reads `size` bytes, all of them ours
    let result: c_long = unsafe { libc::syscall(libc::SYS_bpf, command, pointer, size) };
    match i32::try_from(result) {
        // SAFETY: a new descriptor, which nobody else has
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}

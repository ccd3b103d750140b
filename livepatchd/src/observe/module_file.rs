// SPDX-License-Identifier: GPL-2.0-only
//! A module file, opened once: what is checked here is what will be loaded.
//!
//! It loads nothing and asks nothing of the running kernel; [`crate::policy::admit`] does that with the facts. Every
//! function blocks for as long as the file does: call them where blocking is allowed.
//!
//! # Invariant
//!
//! Nobody but root can change what [`OpenModule::file`] holds: it is a regular file of root's, or a sealed copy in memory.

mod decompress;
mod elf;
mod modinfo;
mod sealed;
mod walk;

use std::{
    fs::File,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::fs::{FileType, fstat};

use crate::model::{
    module::ModuleFacts,
    refusal::{ErrorName, Refusal},
};

/// The largest module taken, compressed or not. The largest live patches in the field, unstripped, have some 30 MB; the
/// limit is there for decompression bombs and sparse files.
const MAX_SIZE: u64 = 256 << 20;

/// A checked module, ready to be loaded.
#[derive(Debug)]
pub struct OpenModule {
    file: File,
    facts: ModuleFacts,
}

impl OpenModule {
    /// The file for `finit_module`, open for reading only.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// What it says of itself.
    pub fn facts(&self) -> &ModuleFacts {
        &self.facts
    }
}

/// Opens and checks the module at this path: full, without a symbolic link at its end, and nobody but root can write to
/// the file or move another one into its place.
pub fn open(path: &Path) -> Result<OpenModule, Refusal> {
    open_of(path, rustix::process::Uid::ROOT)
}

/// Checks a file that the caller opened; `name` is for messages only. The content is copied: the caller may keep the
/// file open for writing.
pub fn from_fd(fd: OwnedFd, name: &str) -> Result<OpenModule, Refusal> {
    // the name comes from a stranger and goes to the journal and to terminals
    let name: String = name.chars().filter(|c| !c.is_control()).take(255).collect();
    let file = File::from(fd);
    check_kind(&file, &name)?;
    let copy = decompress::to_memory(&file, &name)?;
    checked(copy, &name)
}

/// [`open`] for a system in which `owner` takes root's place: tests need not run as root.
fn open_of(path: &Path, owner: rustix::process::Uid) -> Result<OpenModule, Refusal> {
    let name = path.display().to_string();
    let file = walk::open(path, owner)?;
    check_kind(&file, &name)?;
    if decompress::is_compressed(&file).map_err(|err| unreadable(&name, &err))? {
        checked(decompress::to_memory(&file, &name)?, &name)
    } else {
        checked(file, &name)
    }
}

/// Only a regular file with something in it: all else may block for ever or has no end.
fn check_kind(file: &File, name: &str) -> Result<(), Refusal> {
    let stat = fstat(file).map_err(|err| unreadable(name, &err.into()))?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            return match u64::try_from(stat.st_size).unwrap_or(0) {
                0 => Err(invalid(name, "the file is empty; build or copy it again")),
                size if size > MAX_SIZE => Err(too_large(name)),
                _ => Ok(()),
            };
        }
        FileType::Directory => "a directory",
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        _ => "no regular file",
    };
    Err(invalid(
        name,
        &format!("this is {kind}; give the module's .ko file itself"),
    ))
}

/// Parses a file that will not change any more.
fn checked(file: File, name: &str) -> Result<OpenModule, Refusal> {
    let facts = modinfo::facts(&file, name)?;
    Ok(OpenModule { file, facts })
}

fn invalid(name: &str, what: &str) -> Refusal {
    Refusal::new(ErrorName::InvalidModule, format!("{name}: {what}"))
}

fn too_large(name: &str) -> Refusal {
    invalid(
        name,
        &format!(
            "larger than {} MiB; no live patch is, strip its debugging information (strip -g)",
            MAX_SIZE >> 20
        ),
    )
}

fn unreadable(name: &str, err: &std::io::Error) -> Refusal {
    invalid(
        name,
        &format!("it cannot be read ({err}); copy it to a local disk and try again"),
    )
}

#[cfg(test)]
mod tests;

// SPDX-License-Identifier: GPL-2.0-only
//! The way from `/` to a module file, one directory at a time, each checked before it is entered.
//!
//! A file of root's in a directory of somebody else's can be swapped for another file of root's: an older patch, one
//! that was withdrawn. So every directory on the way, also behind symbolic links, must be one in which only the owner
//! of a file can rename it. The last component may not be a link at all: it would hide which file is meant.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    fs::File,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Component, Path},
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat},
    io::Errno,
    process::Uid,
};

use crate::model::refusal::{ErrorName, Refusal};

/// As many links as the kernel follows (`include/linux/namei.h: MAXSYMLINKS`).
const MAX_LINKS: u32 = 40;

/// Write permission for the group or for all.
const SHARED_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Opens the file for reading, never blocking on a pipe's or a device's other side, never following a last link.
pub(super) fn open(path: &Path, owner: Uid) -> Result<File, Refusal> {
    let walk = Walk { path, owner };
    if !path.is_absolute() {
        return Err(Refusal::new(
            ErrorName::NotFound,
            format!("{}: not a full path; give one that begins with /", path.display()),
        ));
    }
    let (dir, last) = walk.to_last_directory()?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    // look before opening: opening a device can have effects
    let before = statat(&dir, &last, AtFlags::SYMLINK_NOFOLLOW).map_err(|err| walk.refuse(err))?;
    if FileType::from_raw_mode(before.st_mode) == FileType::Symlink {
        return Err(walk.unsafe_because("it is a symbolic link; give the path of the file itself"));
    }
    let file = openat(&dir, &last, flags, Mode::empty()).map_err(|err| walk.refuse(err))?;
    let stat = fstat(&file).map_err(|err| walk.refuse(err))?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
        walk.check_file(&stat)?;
    }
    Ok(File::from(file))
}

struct Walk<'a> {
    path: &'a Path,
    owner: Uid,
}

impl Walk<'_> {
    /// The directory that holds the last component, and that component.
    fn to_last_directory(&self) -> Result<(OwnedFd, OsString), Refusal> {
        let mut rest: VecDeque<OsString> = parts(self.path);
        let mut dir = self.root()?;
        let mut links = 0;
        while let Some(part) = rest.pop_front() {
            if rest.is_empty() && part != ".." {
                return Ok((dir, part));
            }
            let stat = statat(&dir, &part, AtFlags::SYMLINK_NOFOLLOW).map_err(|err| self.refuse(err))?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
                dir = self.enter(&dir, &part)?;
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                return Err(self.refuse(Errno::LOOP));
            }
            let target = readlinkat(&dir, &part, Vec::new()).map_err(|err| self.refuse(err))?;
            let target = Path::new(OsStr::from_bytes(target.as_bytes()));
            if target.is_absolute() {
                dir = self.root()?;
            }
            for part in parts(target).into_iter().rev() {
                rest.push_front(part);
            }
        }
        Err(super::invalid(
            &self.path.display().to_string(),
            "this is a directory; give the module's .ko file itself",
        ))
    }

    fn root(&self) -> Result<OwnedFd, Refusal> {
        self.enter(CWD, OsStr::new("/"))
    }

    /// Opens a directory and checks the one that was opened.
    fn enter(&self, at: impl std::os::fd::AsFd, part: &OsStr) -> Result<OwnedFd, Refusal> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = openat(at, part, flags, Mode::empty()).map_err(|err| self.refuse(err))?;
        let stat = fstat(&dir).map_err(|err| self.refuse(err))?;
        let shared = stat.st_mode & SHARED_WRITE != 0 && stat.st_mode & STICKY == 0;
        if shared || !self.trusts(&stat) {
            return Err(self.unsafe_because(&format!(
                "others can exchange files in the directory {} on the way to it; move it to a directory that only root can \
                 write to, or pass the open file (ApplyFd)",
                Path::new(part).display()
            )));
        }
        Ok(dir)
    }

    fn check_file(&self, stat: &Stat) -> Result<(), Refusal> {
        if !self.trusts(stat) {
            return Err(self.unsafe_because(&format!(
                "it belongs to user {} and could be changed between check and load; run chown root: on it, or pass the open \
                 file (ApplyFd)",
                stat.st_uid
            )));
        }
        if stat.st_mode & SHARED_WRITE != 0 {
            return Err(self.unsafe_because(
                "others can write to it and could change it between check and load; run chmod go-w on it",
            ));
        }
        Ok(())
    }

    /// root's, or of whoever takes root's place in a test.
    fn trusts(&self, stat: &Stat) -> bool {
        stat.st_uid == 0 || stat.st_uid == self.owner.as_raw()
    }

    fn unsafe_because(&self, why: &str) -> Refusal {
        Refusal::new(ErrorName::Unsafe, format!("{}: {why}", self.path.display()))
    }

    fn refuse(&self, err: Errno) -> Refusal {
        let path = self.path.display();
        match err {
            Errno::NOENT | Errno::NOTDIR => Refusal::new(
                ErrorName::NotFound,
                format!("{path}: no such file; check the path (livepatchctl list shows the patches that are loaded)"),
            ),
            Errno::LOOP => self.unsafe_because("too many symbolic links; give the path of the file itself"),
            Errno::NAMETOOLONG => Refusal::new(
                ErrorName::NotFound,
                format!("{path}: no file can have so long a name; check the path"),
            ),
            err => super::unreadable(&path.to_string(), &err.into()),
        }
    }
}

/// The components that are to be walked; a final `/` or `/.` asks for a directory and is kept as `.`.
fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

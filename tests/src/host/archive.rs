// SPDX-License-Identifier: GPL-2.0-only
//! Writes a cpio archive in the format the kernel unpacks as initramfs ("newc"). Everything in it belongs to root.
//!
//! Two rules of the kernel's unpacker (init/initramfs.c) decide what may be put in: a folder must come before what is in
//! it, and an entry of another kind than what lies there replaces it. So only folders that the archive brings anew are
//! written, and paths never go through a symlink of the base system.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};

const REGULAR: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;
const SYMLINK: u32 = 0o120_000;

/// Folders of the base system that things are put in. They exist, and keep their modes.
const OF_THE_BASE: &[&str] = &[
    "etc",
    "etc/systemd",
    "etc/systemd/system",
    "root",
    "usr",
    "usr/bin",
    "usr/sbin",
    "usr/lib",
    "usr/lib/systemd",
    "usr/lib/systemd/system",
    "usr/lib/x86_64-linux-gnu",
    "usr/share",
    "usr/share/dbus-1",
    "usr/share/polkit-1",
    "var",
    "var/lib",
];

/// An archive being written.
pub(super) struct Archive<W> {
    out: W,
    written: u64,
    entries: u32,
    folders: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(out: W) -> Self {
        let folders = OF_THE_BASE.iter().map(|folder| (*folder).to_owned()).collect();
        Self {
            out,
            written: 0,
            entries: 0,
            folders,
        }
    }

    /// A file with these contents.
    pub(super) fn file(&mut self, path: &str, mode: u32, contents: &[u8]) -> Result<()> {
        self.folders_of(path)?;
        self.entry(path, REGULAR | mode, contents)
    }

    /// A copy of a file of the host, under another name, with its mode.
    pub(super) fn copy(&mut self, path: &str, source: &Path) -> Result<()> {
        let contents = fs::read(source).with_context(|| source.display().to_string())?;
        let mode = fs::metadata(source)?.permissions().mode() & 0o777;
        self.file(path, mode, &contents)
    }

    /// A symlink.
    pub(super) fn symlink(&mut self, path: &str, to: &str) -> Result<()> {
        self.folders_of(path)?;
        self.entry(path, SYMLINK | 0o777, to.as_bytes())
    }

    /// Everything below a folder of the host, as if that folder were the root.
    pub(super) fn tree(&mut self, source: &Path) -> Result<()> {
        self.tree_below(source, "")
    }

    /// Ends the archive; gives its length.
    pub(super) fn finish(mut self) -> Result<u64> {
        self.entry("TRAILER!!!", 0, b"")?;
        self.out.flush()?;
        Ok(self.written)
    }

    fn tree_below(&mut self, source: &Path, prefix: &str) -> Result<()> {
        let mut entries = fs::read_dir(source)
            .with_context(|| source.display().to_string())?
            .collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name();
            let name = name
                .to_str()
                .with_context(|| format!("{} is no text", name.display()))?;
            let path = if prefix.is_empty() {
                name.to_owned()
            } else {
                format!("{prefix}/{name}")
            };
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.tree_below(&entry.path(), &path)?;
            } else if kind.is_symlink() {
                let to = fs::read_link(entry.path())?;
                self.symlink(&path, to.to_str().context("symlink to no text")?)?;
            } else {
                self.copy(&path, &entry.path())?;
            }
        }
        Ok(())
    }

    fn folders_of(&mut self, path: &str) -> Result<()> {
        ensure!(!path.starts_with('/'), "{path} is not relative to the root");
        ensure!(
            !["bin/", "lib/", "lib64/", "sbin/"]
                .iter()
                .any(|link| path.starts_with(link)),
            "{path} goes through a symlink of a merged /usr"
        );
        for (end, _) in path.match_indices('/') {
            let folder = &path[..end];
            if self.folders.insert(folder.to_owned()) {
                self.entry(folder, FOLDER | 0o755, b"")?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: &str, mode: u32, contents: &[u8]) -> Result<()> {
        self.entries += 1;
        let length = u32::try_from(contents.len()).with_context(|| format!("{path} is too long"))?;
        let name = Path::new(path).as_os_str().as_bytes();
        let fields = [
            self.entries, // a number of its own: nothing is a hard link
            mode,
            0, // root
            0,
            1, // links
            0, // a fixed time: the same contents give the same archive
            length,
            0,
            0,
            0,
            0,
            u32::try_from(name.len() + 1)?,
            0,
        ];
        let header: String = std::iter::once("070701".to_owned())
            .chain(fields.iter().map(|field| format!("{field:08x}")))
            .collect();
        self.bytes(header.as_bytes())?;
        self.bytes(name)?;
        self.bytes(b"\0")?;
        self.pad()?;
        self.bytes(contents)?;
        self.pad()
    }

    fn pad(&mut self) -> Result<()> {
        while !self.written.is_multiple_of(4) {
            self.bytes(b"\0")?;
        }
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn cpio_reads_back_what_was_written() -> Result<()> {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.file("etc/new/file", 0o640, b"abc")?;
        archive.symlink("etc/new/link", "file")?;
        archive.finish()?;
        let mut cpio = match Command::new("cpio")
            .args(["--list", "--verbose", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
        {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            cpio => cpio?,
        };
        cpio.stdin.take().context("stdin")?.write_all(&bytes)?;
        let listed = String::from_utf8(cpio.wait_with_output()?.stdout)?;
        let lines: Vec<_> = listed
            .lines()
            .map(|line| (&line[..10], line.rsplit("1970 ").next().unwrap_or_default()))
            .collect();
        assert_eq!(
            lines,
            [
                ("drwxr-xr-x", "etc/new"),
                ("-rw-r-----", "etc/new/file"),
                ("lrwxrwxrwx", "etc/new/link -> file")
            ]
        );
        Ok(())
    }

    #[test]
    fn a_path_through_a_link_of_the_base_is_refused() {
        let mut archive = Archive::new(Vec::new());
        assert!(archive.file("lib/systemd/system/x.service", 0o644, b"").is_err());
        assert!(archive.file("/etc/x", 0o644, b"").is_err());
    }
}

// SPDX-License-Identifier: GPL-2.0-only
//! Programs compiled here run against the guest's C library, which may be older than the host's. Then the guest gets the
//! host's whole glibc: it is compatible with everything older, so the guest's own programs go on working, and what is
//! tested is the very binary that was built, not one linked in another way.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The glibc of Debian 13, which is what the guest is.
const OF_THE_GUEST: (u32, u32) = (2, 41);

/// The parts of glibc; they must all be of one version.
const PARTS: &[&str] = &[
    "ld-linux-x86-64.so.2",
    "libBrokenLocale.so.1",
    "libanl.so.1",
    "libc.so.6",
    "libdl.so.2",
    "libm.so.6",
    "libmvec.so.1",
    "libnss_compat.so.2",
    "libnss_dns.so.2",
    "libnss_files.so.2",
    "libnss_hesiod.so.2",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libthread_db.so.1",
    "libutil.so.1",
];

/// The files to put over the guest's, each with its name; none when the guest's are new enough.
pub(super) fn to_take_along(program: &Path) -> Result<Vec<(&'static str, PathBuf)>> {
    let described = run(Command::new("ldd").arg("--version"))?;
    let version = described
        .lines()
        .next()
        .and_then(|line| line.rsplit(' ').next())
        .unwrap_or_default();
    let version = version_of(version).with_context(|| format!("this is not glibc: {described}"))?;
    if version <= OF_THE_GUEST {
        return Ok(Vec::new());
    }
    let linked = run(Command::new("ldd").arg(program))?;
    let libc = linked
        .lines()
        .find_map(|line| line.trim().strip_prefix("libc.so.6 => ")?.split(' ').next());
    let folder = libc
        .and_then(|libc| Path::new(libc).parent())
        .with_context(|| format!("no libc.so.6 in {linked}"))?;
    // The loader is the one part that may lie elsewhere.
    let place = |name| {
        [folder, Path::new("/lib64")]
            .into_iter()
            .map(|folder| folder.join(name))
            .find(|path| path.exists())
    };
    Ok(PARTS.iter().filter_map(|name| Some((*name, place(name)?))).collect())
}

fn version_of(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim().split_once('.')?;
    Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?} ended with {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(version_of("2.9") < version_of("2.41"));
        assert_eq!(version_of("2.36"), Some((2, 36)));
        assert_eq!(version_of("musl"), None);
    }
}

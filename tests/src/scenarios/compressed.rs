// SPDX-License-Identifier: GPL-2.0-only
//! Patches as distributions ship them: compressed by each of the tools that the kernel's own build uses.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Scenario;
use crate::guest::Guest;

pub(super) const SCENARIOS: &[Scenario] = &[Scenario::new(
    "a patch compressed by xz, zstd or gzip is applied like any other",
    each_compression,
)];

const SOON: Duration = Duration::from_secs(15);
const FOLDER: &str = "/root/compressed";

fn each_compression(guest: &Guest) -> Result<()> {
    let target = guest.load_target()?;
    fs::create_dir_all(FOLDER)?;
    let plain = fs::read(guest.module("lp_version").path())?;
    // as `scripts/Makefile.modinst` calls them
    for (tool, options, ending, magic) in [
        ("xz", ["--check=crc32", "--lzma2=dict=1MiB"], "xz", &b"\xfd7zXZ\0"[..]),
        ("zstd", ["-T0", "--rm"], "zst", b"\x28\xb5\x2f\xfd"),
        ("gzip", ["-n", "-f"], "gz", b"\x1f\x8b"),
    ] {
        let file = format!("{FOLDER}/lp_version.ko");
        fs::write(&file, &plain)?;
        let words = options.into_iter().chain([file.as_str()]);
        guest.call(tool, words).ok()?;
        let file = format!("{file}.{ending}");
        ensure!(fs::read(&file)?.starts_with(magic), "{tool} did not compress");

        guest.ctl().call(["apply", &file]).ok().context(tool)?;
        ensure!(
            target.version()? == "version",
            "{tool}: tgt_version says {}",
            target.version()?
        );
        guest.ctl().wait_for_state("lp_version", "enabled", SOON)?;
        guest.ctl().call(["revert", "lp_version"]).ok().context(tool)?;
        ensure!(
            target.version()? == "original",
            "{tool}: tgt_version says {}",
            target.version()?
        );
        ensure!(
            !guest.module("lp_version").loaded(),
            "{tool}: the module is still loaded"
        );
    }
    Ok(())
}

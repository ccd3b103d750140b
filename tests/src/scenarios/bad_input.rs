// SPDX-License-Identifier: GPL-2.0-only
//! Files and names that no live patch can come from: each refused with its name, and nothing changed.
//!
//! What a boot cannot take back (enforced signatures) is in `irreversible.rs`; options and wrong types are in `bad_calls.rs`.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Scenario;
use crate::guest::{Guest, Queue};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new("what is no module is refused by name and nothing changes", no_modules).within_secs(180),
    Scenario::new(
        "a module that does not fit is refused by name and nothing changes",
        unfit_modules,
    )
    .within_secs(120),
    Scenario::new(
        "a file that others could change is refused by name and nothing changes",
        unsafe_files,
    )
    .within_secs(120),
    Scenario::new(
        "names that nothing can have are refused by name and nothing changes",
        odd_names,
    )
    .within_secs(240),
    Scenario::new("the same patch a second time is refused and stays applied", twice),
    Scenario::new(
        "a second patch is told to wait while one is in transition",
        second_in_transition,
    ),
];

const SOON: Duration = Duration::from_secs(10);
const FOLDER: &str = "/root/bad";

/// A folder of root's with nothing in it.
fn folder() -> Result<PathBuf> {
    let folder = Path::new(FOLDER);
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir(folder)?;
    Ok(folder.to_owned())
}

/// Applies a file on the command line and over the bus: exit code and error must be these, and nothing changed.
fn refused(guest: &Guest, file: &str, error: &str, code: i32) -> Result<()> {
    let standing = guest.standing()?;
    let told = guest.ctl().call(["apply", file]).run()?;
    ensure!(told.code == code, "{file:?} ended with {}: {}", told.code, told.stderr);
    ensure!(told.stderr.starts_with("livepatchctl: "), "{file:?}: {}", told.stderr);
    let name = guest.bus().error_of("Apply", &["s", file])?;
    ensure!(name == format!("org.livepatch.Error.{error}"), "{file:?}: {name}");
    standing.ensure_unchanged().with_context(|| file.to_owned())
}

fn no_modules(guest: &Guest) -> Result<()> {
    let folder = folder()?;
    let whole = fs::read(guest.module("lp").path())?;
    let mut noise = [0; 4096];
    File::open("/dev/urandom")?.read_exact(&mut noise)?;
    let contents: [(&str, &[u8]); 8] = [
        ("empty.ko", b""),
        ("text.ko", b"#!/bin/sh\n"),
        ("random.ko", &noise),
        ("header.ko", &whole[..64]),
        ("half.ko", &whole[..whole.len() / 2]),
        ("short.ko", &whole[..whole.len() - 1]),
        ("noise.ko", &[&whole[..64], &noise].concat()),
        ("noise.ko.xz", &[&b"\xfd7zXZ\0"[..], &noise].concat()),
    ];
    for (name, bytes) in contents {
        let file = folder.join(name);
        fs::write(&file, bytes)?;
        refused(guest, &file.display().to_string(), "InvalidModule", 1)?;
    }
    guest.call("mkfifo", [format!("{FOLDER}/pipe.ko")]).ok()?;
    for file in [FOLDER, "/root/bad/", "/", "/root/bad/pipe.ko", "/dev/null"] {
        refused(guest, file, "InvalidModule", 1)?;
    }
    for file in ["/root/bad/none.ko", "/none/none.ko", "/root/bad/text.ko/lp.ko"] {
        refused(guest, file, "NotFound", 5)?;
    }
    Ok(())
}

fn unfit_modules(guest: &Guest) -> Result<()> {
    refused(guest, &guest.module("notlp").file(), "InvalidModule", 1)?;
    refused(guest, &guest.module("lp_other_kernel").file(), "KernelMismatch", 1)?;

    // the kernel alone can tell this one: the job fails, with the kernel's words
    guest.load_target()?;
    let standing = guest.standing()?;
    let file = guest.module("lp_nosymbol").file();
    let told = guest.ctl().call(["apply", &file, "--json"]).run()?;
    ensure!(told.code == 1, "it ended with {}: {}", told.code, told.stderr);
    let job: Value = serde_json::from_str(&told.stdout).with_context(|| told.stdout.clone())?;
    ensure!(job["error"]["name"] == "InvalidModule", "{job}");
    ensure!(told.stderr.contains("livepatch: symbol '"), "{}", told.stderr);
    standing.ensure_unchanged()?;

    let switch = "/proc/sys/kernel/ftrace_enabled";
    if let Err(why) = fs::write(switch, "0") {
        let never = why.raw_os_error() == Some(rustix::io::Errno::OPNOTSUPP.raw_os_error());
        ensure!(never, "{switch}: {why}");
        guest.note("this kernel's ftrace can never be turned off (since 7.3)");
        return Ok(());
    }
    refused(guest, &guest.module("lp_version").file(), "Refused", 1)?;
    fs::write(switch, "1").context(switch)
}

fn unsafe_files(guest: &Guest) -> Result<()> {
    let folder = folder()?;
    let copy = |name: &str, mode: u32| -> Result<String> {
        let file = folder.join(name);
        fs::copy(guest.module("lp_version").path(), &file)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(mode))?;
        Ok(file.display().to_string())
    };
    let good = copy("good.ko", 0o644)?;
    symlink(&good, folder.join("link.ko"))?;
    symlink("nowhere", folder.join("dangling.ko"))?;
    let of_alice = copy("alice.ko", 0o644)?;
    chown(&of_alice, Some(1000), Some(1000))?;
    let shared = folder.join("shared");
    fs::create_dir(&shared)?;
    fs::copy(&good, shared.join("lp.ko"))?;
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777))?;
    for file in [
        "/root/bad/link.ko",
        "/root/bad/dangling.ko",
        "/root/bad/shared/lp.ko",
        &copy("world.ko", 0o666)?,
        &copy("group.ko", 0o664)?,
        &of_alice,
    ] {
        refused(guest, file, "Unsafe", 1)?;
    }
    Ok(())
}

fn odd_names(guest: &Guest) -> Result<()> {
    let long = "x".repeat(300);
    let longer = format!("/{}", "x".repeat(5000));
    // over the bus these are names of installed patches, or paths, or neither
    for name in [
        "",
        ".",
        "..",
        "a/b",
        "../lp",
        "two words",
        "line\nbreak",
        "lp.ko",
        "\u{e4}",
        &long,
        &longer,
    ] {
        let error = guest.bus().error_of("Apply", &["s", name])?;
        ensure!(error == "org.livepatch.Error.NotFound", "Apply {name:?}: {error}");
    }
    refused(guest, &format!("/root/{long}"), "NotFound", 5)?;
    refused(guest, "/root/two words.ko", "NotFound", 5)?;

    let standing = guest.standing()?;
    for name in ["", "..", "a/b", "two words", "line\nbreak", "none", &long] {
        for verb in ["revert", "cancel", "nudge", "status", "blockers"] {
            // of blockers, no name means all
            if (verb, name) == ("blockers", "") {
                continue;
            }
            let told = guest.ctl().call([verb, name]).run()?;
            ensure!(
                told.code == 5,
                "{verb} {name:?} ended with {}: {}",
                told.code,
                told.stderr
            );
        }
    }
    // no text at all: livepatchctl says so, D-Bus does not carry it
    for words in [r"apply $'/root/\xff.ko'", r"revert $'\xff'", r"status $'\xff'"] {
        let line = format!("livepatchctl {words}");
        let told = guest.call("bash", ["-c", &line]).run()?;
        ensure!(told.code == 2, "{words} ended with {}: {}", told.code, told.stderr);
    }
    standing.ensure_unchanged()
}

fn twice(guest: &Guest) -> Result<()> {
    let target = guest.load_target()?;
    let file = guest.module("lp_version").file();
    guest.ctl().call(["apply", &file]).ok()?;
    refused(guest, &file, "AlreadyLoaded", 1)?;
    ensure!(target.version()? == "version", "tgt_version says {}", target.version()?);
    guest.ctl().call(["revert", "lp_version"]).ok()?;
    guest.ctl().call(["apply", &file]).ok().map(drop)
}

fn second_in_transition(guest: &Guest) -> Result<()> {
    let target = guest.load_target()?;
    let _reader = guest.workload(["read", &Queue::WaitUninterruptible.file()])?;
    target.wait_for_sleepers(Queue::WaitUninterruptible, 1, SOON)?;
    let first = guest.module("lp_uninterruptible").file();
    guest.ctl().call(["apply", &first, "--no-wait"]).ok()?;
    guest.ctl().wait_for_state("lp_uninterruptible", "enabling", SOON)?;

    refused(guest, &guest.module("lp_version").file(), "Busy", 6)?;
    // the first one is loaded: that is what is said of it
    refused(guest, &first, "AlreadyLoaded", 1)?;

    target.release(Queue::WaitUninterruptible)?;
    guest.patch("lp_uninterruptible").wait_applied(SOON)?;
    guest.ctl().wait_for_state("lp_uninterruptible", "enabled", SOON)?;
    let second = guest.module("lp_version").file();
    guest.ctl().call(["apply", &second]).ok().map(drop)
}

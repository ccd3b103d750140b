// SPDX-License-Identifier: GPL-2.0-only
//! Writes a patch's `enabled` and `force`. The kernel decides at the moment of the write whether it may.
//!
//! Writing the opposite value during a transition reverses it (`kernel/livepatch/core.c: enabled_store`). A value that is
//! already there is EINVAL for the kernel and done for us: somebody else was quicker.

use std::{fs, path::Path};

use rustix::io::Errno;

use super::{
    KernelLog,
    fault::{self, Step},
    refused,
};
use crate::model::{
    patch::{Core, Direction, PatchName},
    place::Places,
    refusal::{ErrorName, Refusal},
};

/// Starts a transition in this direction, or reverses the running one to it.
pub fn switch(
    places: &Places,
    core: Core,
    patch: &PatchName,
    direction: Direction,
    log: &KernelLog,
) -> Result<(), Refusal> {
    let file = places.patch(core, patch).join("enabled");
    let value = if direction.enabled() { "1" } else { "0" };
    let logged = log();
    let Err(err) = write(&file, value) else {
        return Ok(());
    };
    let already = fs::read_to_string(&file).is_ok_and(|now| now.trim() == value);
    if err == Errno::INVAL && already {
        return Ok(());
    }
    let verb = if direction.enabled() { "enabled" } else { "disabled" };
    Err(refuse(patch, verb, err, logged))
}

/// Ends the patch's running transition by force.
pub fn force(places: &Places, core: Core, patch: &PatchName, log: &KernelLog) -> Result<(), Refusal> {
    let logged = log();
    write(&places.patch(core, patch).join("force"), "1").map_err(|err| refuse(patch, "forced", err, logged))
}

/// The file is never created: where it is missing, the patch is gone.
fn write(path: &Path, value: &str) -> Result<(), Errno> {
    use std::io::Write;
    fault::at(Step::SwitchBefore);
    fs::File::options()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(value.as_bytes()))
        .map_err(|err| Errno::from_io_error(&err).unwrap_or(Errno::IO))?;
    fault::at(Step::SwitchAfter);
    Ok(())
}

fn refuse(patch: &PatchName, verb: &str, err: Errno, logged: impl FnOnce() -> Vec<String>) -> Refusal {
    let lines = refused::relevant(logged(), patch.as_str());
    let (name, what) = match err {
        Errno::NOENT | Errno::NODEV => (
            ErrorName::NotFound,
            "its core does not list it any more; see livepatchctl status",
        ),
        Errno::BUSY => (
            ErrorName::Busy,
            "another patch is in transition, or lies on top of it; wait for that one or revert it first",
        ),
        Errno::INVAL if verb == "forced" => (
            ErrorName::NotInTransition,
            "it is not in transition, there is nothing to force",
        ),
        Errno::INVAL if verb == "enabled" => (
            ErrorName::Refused,
            "a patch that was disabled to the end cannot be enabled again; revert it and apply it anew",
        ),
        Errno::INVAL => (
            ErrorName::Refused,
            "the kernel did not take the value; its log says why",
        ),
        Errno::PERM | Errno::ACCESS | Errno::ROFS => (
            ErrorName::Refused,
            "the daemon may not write to sysfs; it must run as root, without ProtectKernelTunables=",
        ),
        _ => (ErrorName::Refused, "see the kernel's log"),
    };
    refused::refusal(name, &format!("{patch} was not {verb}: {what}"), err, &lines)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::io::Errno;

    use super::{force, refuse, switch};
    use crate::{
        act::KernelLog,
        model::{
            patch::{Core, Direction, PatchName},
            place::Places,
            refusal::ErrorName,
        },
    };

    const QUIET: &KernelLog = &|| Box::new(Vec::new);

    fn lp() -> PatchName {
        PatchName::new("lp").expect("a name")
    }

    #[test]
    fn the_direction_is_what_is_written_and_a_missing_patch_is_not_created() {
        let root = tempfile::tempdir().expect("tempdir");
        let places = Places {
            sys: root.path().to_owned(),
            proc: "/proc".into(),
            runtime: root.path().to_owned(),
        };
        let dir = places.patch(Core::KlpRs, &lp());
        let gone = switch(&places, Core::KlpRs, &lp(), Direction::Patching, QUIET).expect_err("gone");
        assert_eq!(gone.name, ErrorName::NotFound);
        fs::create_dir_all(&dir).expect("mkdir");
        for file in ["enabled", "force"] {
            fs::write(dir.join(file), "").expect("write");
        }
        let read = |file: &str| fs::read_to_string(dir.join(file)).expect("read");
        switch(&places, Core::KlpRs, &lp(), Direction::Unpatching, QUIET).expect("taken");
        assert_eq!(read("enabled"), "0");
        switch(&places, Core::KlpRs, &lp(), Direction::Patching, QUIET).expect("taken");
        assert_eq!(read("enabled"), "1");
        force(&places, Core::KlpRs, &lp(), QUIET).expect("taken");
        assert_eq!(read("force"), "1");
    }

    #[test]
    fn each_error_number_says_what_to_do() {
        for (verb, err, name) in [
            ("disabled", Errno::BUSY, ErrorName::Busy),
            ("disabled", Errno::NODEV, ErrorName::NotFound),
            ("forced", Errno::INVAL, ErrorName::NotInTransition),
            ("enabled", Errno::INVAL, ErrorName::Refused),
            ("enabled", Errno::ACCESS, ErrorName::Refused),
        ] {
            let refusal = refuse(&lp(), verb, err, || vec!["livepatch: no".into()]);
            assert_eq!(refusal.name, name, "{}", refusal.message);
            assert!(refusal.message.ends_with("\nlivepatch: no"));
        }
    }
}

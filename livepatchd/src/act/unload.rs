// SPDX-License-Identifier: GPL-2.0-only
//! Removes a module that nothing uses any more. Never by force, and never waiting: in use is an answer, not an error.

use std::ffi::CString;

use rustix::{io::Errno, system::delete_module};

use super::{
    KernelLog,
    fault::{self, Step},
    refused,
};
use crate::model::{
    patch::PatchName,
    refusal::{ErrorName, Refusal},
};

/// `O_NONBLOCK` of `delete_module(2)`: also the kernel's only behaviour since 3.13.
const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();

/// `Ok(true)`: it is gone. `Ok(false)`: it is in use or just coming or going, try again later.
pub fn unload(patch: &PatchName, log: &KernelLog) -> Result<bool, Refusal> {
    let name = patch.as_str();
    let as_c = CString::new(name).map_err(|err| Refusal::new(ErrorName::NotFound, err.to_string()))?;
    let logged = log();
    fault::at(Step::UnloadBefore);
    match rustix::io::retry_on_intr(|| delete_module(&as_c, NONBLOCK)) {
        Ok(()) => {
            fault::at(Step::UnloadAfter);
            Ok(true)
        }
        Err(err) => done_or_refused(name, err, logged),
    }
}

fn done_or_refused(name: &str, err: Errno, logged: impl FnOnce() -> Vec<String>) -> Result<bool, Refusal> {
    let (kind, what) = match err {
        // somebody else removed it
        Errno::NOENT => return Ok(true),
        // a reference is held (the core drops its own in a work item after the transition), or it is not live
        Errno::WOULDBLOCK | Errno::BUSY => return Ok(false),
        Errno::PERM => (
            ErrorName::Refused,
            "removing modules is forbidden: kernel.modules_disabled=1, or the daemon lacks CAP_SYS_MODULE",
        ),
        Errno::NOSYS => (
            ErrorName::NotSupported,
            "this kernel cannot remove modules (CONFIG_MODULE_UNLOAD); reboot to be rid of it",
        ),
        _ => (ErrorName::Refused, "try rmmod by hand"),
    };
    let lines = refused::relevant(logged(), name);
    Err(refused::refusal(
        kind,
        &format!("{name} stays loaded: {what}"),
        err,
        &lines,
    ))
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::{done_or_refused, unload};
    use crate::model::{patch::PatchName, refusal::ErrorName};

    #[test]
    fn in_use_is_an_answer_and_gone_is_done() {
        for (err, answer) in [(Errno::WOULDBLOCK, false), (Errno::BUSY, false), (Errno::NOENT, true)] {
            assert_eq!(done_or_refused("lp", err, Vec::new), Ok(answer));
        }
        let refusal = done_or_refused("lp", Errno::PERM, Vec::new).expect_err("refused");
        assert_eq!(refusal.name, ErrorName::Refused);
    }

    #[test]
    fn a_module_that_is_not_loaded_is_gone_or_the_kernel_says_why_not() {
        let none = PatchName::new("no_such_module_here").expect("a name");
        match unload(&none, &|| Box::new(Vec::new)) {
            Ok(gone) => assert!(gone),
            // a kernel without modules, or one that has them switched off
            Err(refusal) => assert!(matches!(refusal.name, ErrorName::Refused | ErrorName::NotSupported)),
        }
    }
}

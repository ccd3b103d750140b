// SPDX-License-Identifier: GPL-2.0-only
//! Loads a checked module from its open file; its init function enables the patch in the same call.
//!
//! It does not wait for the transition and resolves no dependencies. When the call fails, nothing stays loaded
//! (`kernel/module/main.c: do_init_module`, `load_module`).

use rustix::{io::Errno, system::finit_module};

use super::{
    KernelLog, Loadable,
    fault::{self, Step},
    refused,
};
use crate::model::refusal::{ErrorName, Refusal};

/// Loads it.
pub fn load(module: Loadable<'_>, log: &KernelLog) -> Result<(), Refusal> {
    let logged = log();
    fault::at(Step::LoadBefore);
    // EINTR: a wait for another load of the same file was interrupted, nothing was done (`idempotent_wait_for_completion`)
    match rustix::io::retry_on_intr(|| finit_module(module.file, c"", 0)) {
        Ok(()) => {
            fault::at(Step::LoadAfter);
            Ok(())
        }
        Err(err) => {
            let name = module.facts.name.as_str();
            let lines = refused::relevant(logged(), name);
            Err(classify(name, err, &lines))
        }
    }
}

/// Names the error. Numbers are ambiguous, so the kernel's lines decide where they can.
fn classify(name: &str, err: Errno, lines: &[String]) -> Refusal {
    let says = |words: &str| lines.iter().any(|line| line.contains(words));
    let (kind, what) = match err {
        Errno::NOEXEC if says("version magic") => (
            ErrorName::KernelMismatch,
            "it was built for another kernel or configuration; build or install the patch for this one",
        ),
        Errno::NOEXEC if says("livepatch support is disabled") => (
            ErrorName::NotSupported,
            "this kernel has no livepatching; boot one built with CONFIG_LIVEPATCH=y",
        ),
        Errno::EXIST => (
            ErrorName::AlreadyLoaded,
            "a module of this name is loaded; see livepatchctl status",
        ),
        Errno::BUSY if says("failed to register ftrace handler") => (
            ErrorName::Busy,
            "a function of the patch is taken by another user of ftrace (a patch of the other core, a tracer that changes \
             calls); remove that one and try again",
        ),
        Errno::BUSY => (
            ErrorName::Busy,
            "another patch is in transition; wait for it (livepatchctl status) and try again",
        ),
        Errno::KEYREJECTED | Errno::NOKEY | Errno::NOPKG | Errno::BADMSG => (
            ErrorName::Refused,
            "its signature is missing or not by a key that this kernel trusts; sign it with such a key (scripts/sign-file)",
        ),
        Errno::PERM => (
            ErrorName::Refused,
            "loading it is forbidden: kernel.modules_disabled=1, lockdown, or the daemon lacks CAP_SYS_MODULE; check these",
        ),
        Errno::ACCESS => (
            ErrorName::Refused,
            "a security module (SELinux, AppArmor, LoadPin, IMA) forbids it; see its log and policy",
        ),
        Errno::NOENT => (
            ErrorName::InvalidModule,
            "it uses a symbol that this kernel, or a module that is not loaded, does not have; load what it depends on or \
             build it for this kernel",
        ),
        Errno::INVAL if says("is not compatible with the already installed livepatches") => (
            ErrorName::Refused,
            "it does not know the changes of a patch that is in use; revert that patch first or build on top of it",
        ),
        Errno::TXTBSY => (
            ErrorName::Unsafe,
            "somebody has the file open for writing; wait until it is written and try again",
        ),
        Errno::NOMEM => (ErrorName::Busy, "there is not enough memory; free some and try again"),
        Errno::NOSYS => (
            ErrorName::NotSupported,
            "this kernel cannot load modules; boot one built with CONFIG_MODULES=y",
        ),
        Errno::NODEV => (
            ErrorName::NotSupported,
            "this kernel's livepatching did not start; see its log since boot",
        ),
        _ => (
            ErrorName::InvalidModule,
            "the kernel did not take it; its log says why, the patch must be built anew for this kernel",
        ),
    };
    refused::refusal(kind, &format!("{name} was not loaded: {what}"), err, lines)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::io::Errno;

    use super::{classify, load};
    use crate::{
        act::Loadable,
        model::{module::ModuleFacts, patch::PatchName, refusal::ErrorName},
    };

    #[test]
    fn the_number_and_the_log_together_name_the_error() {
        let cases = [
            (
                Errno::NOEXEC,
                "lp: version magic '7.2.11' should be '7.2.12'",
                ErrorName::KernelMismatch,
            ),
            (Errno::NOEXEC, "", ErrorName::InvalidModule),
            (
                Errno::NOEXEC,
                "lp: module is marked as livepatch module, but livepatch support is disabled",
                ErrorName::NotSupported,
            ),
            (Errno::EXIST, "", ErrorName::AlreadyLoaded),
            (Errno::BUSY, "", ErrorName::Busy),
            (Errno::KEYREJECTED, "", ErrorName::Refused),
            (Errno::PERM, "", ErrorName::Refused),
            (
                Errno::NOENT,
                "lp: Unknown symbol tgt_none (err -2)",
                ErrorName::InvalidModule,
            ),
            (
                Errno::INVAL,
                "livepatch: Livepatch patch (lp) is not compatible with the already installed livepatches.",
                ErrorName::Refused,
            ),
            (
                Errno::INVAL,
                "livepatch: symbol 'x' not found in symbol table",
                ErrorName::InvalidModule,
            ),
            (Errno::TXTBSY, "", ErrorName::Unsafe),
            (Errno::NOMEM, "", ErrorName::Busy),
        ];
        for (err, line, name) in cases {
            let refusal = classify("lp", err, &[line.to_owned()]);
            assert_eq!(refusal.name, name, "{}", refusal.message);
            assert!(refusal.message.starts_with("lp was not loaded: "));
            assert!(refusal.message.ends_with(line), "{}", refusal.message);
        }
    }

    #[test]
    fn a_real_refusal_carries_what_was_logged_during_the_call() {
        let file = std::fs::File::open("/proc/self/exe").expect("open");
        let facts = ModuleFacts {
            name: PatchName::new("lp").expect("a name"),
            vermagic: String::new(),
            release: String::new(),
            core: None,
            depends: vec![],
            signed: false,
            size: 0,
        };
        let module = Loadable {
            file: file.as_fd(),
            facts: &facts,
        };
        let refusal =
            load(module, &|| Box::new(|| vec!["lp: bad".into(), "usb: noise".into()])).expect_err("no module");
        assert!(refusal.message.ends_with("\nlp: bad"), "{}", refusal.message);
    }
}

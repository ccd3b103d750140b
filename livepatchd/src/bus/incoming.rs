// SPDX-License-Identifier: GPL-2.0-only
//! What callers ask of the daemon's loop: a call that was checked as far as the bus can, and carries the proof that
//! its caller may make it. Opening and checking module files is the loop's work, deciding is the model's.

use std::{os::fd::OwnedFd, path::PathBuf};

use tokio::sync::oneshot;
use zbus::fdo;

use super::{
    error::{Error, Result},
    options::AskedOptions,
    polkit::{self, Authorised},
};
use crate::model::{
    job::JobId,
    patch::PatchName,
    refusal::{ErrorName, Refusal},
    request::Reply,
};

/// The longest path that the kernel takes (`PATH_MAX` less its end).
const MAX_PATH: usize = 4095;

/// How much of a caller's text is repeated in a message.
const MAX_QUOTE: usize = 64;

/// One call and where its answer goes.
#[derive(Debug)]
pub struct Call {
    /// What is asked.
    pub incoming: Incoming,
    /// Takes the answer. Publish the changes that the call made first, then answer: the caller finds its job's object
    /// on the bus when it hears of it.
    pub reply: oneshot::Sender<Reply>,
}

/// Something asked over the bus.
#[derive(Debug)]
pub enum Incoming {
    /// `Apply`, `ApplyWith`: a module file that the daemon opens.
    Apply {
        /// Its absolute path.
        path: PathBuf,
        /// How.
        options: AskedOptions,
        /// The proof.
        by: Authorised<polkit::Manage>,
    },
    /// `ApplyFd`: a module file that the caller opened.
    ApplyFd {
        /// The file.
        module: OwnedFd,
        /// The patch that the caller expects in it, if it said so.
        name: Option<PatchName>,
        /// How.
        options: AskedOptions,
        /// The proof.
        by: Authorised<polkit::Manage>,
    },
    /// `Revert`, `RevertWith`.
    Revert {
        /// The patch.
        patch: PatchName,
        /// How.
        options: AskedOptions,
        /// The proof.
        by: Authorised<polkit::Manage>,
    },
    /// `Cancel`, and `Cancel` of a job.
    Cancel {
        /// The patch.
        patch: PatchName,
        /// The job that must still run for this to be meant; `None`: whatever runs.
        job: Option<JobId>,
        /// The proof.
        by: Authorised<polkit::Manage>,
    },
    /// `Force`.
    Force {
        /// The patch.
        patch: PatchName,
        /// The proof.
        by: Authorised<polkit::Force>,
    },
    /// `Nudge`.
    Nudge {
        /// The patch.
        patch: PatchName,
        /// The proof.
        by: Authorised<polkit::Nudge>,
    },
}

/// The patch that a caller names.
pub(super) fn patch_name(text: &str) -> Result<PatchName> {
    PatchName::new(text)
        .ok_or_else(|| not_found(format!("no patch can be called {}; see livepatchctl list", quote(text))))
}

/// The name that goes with a file descriptor: empty for "whatever is in the module".
pub(super) fn expected_name(text: &str) -> Result<Option<PatchName>> {
    if text.is_empty() {
        return Ok(None);
    }
    PatchName::new(text).map(Some).ok_or_else(|| {
        let message = format!("argument \"name\": no module can be called {}", quote(text));
        Error::Call(fdo::Error::InvalidArgs(message))
    })
}

/// The file that the argument of `Apply` means. Only absolute paths do: the daemon has no working directory, and there is
/// no store of installed patches for names to be looked up in.
pub(super) fn module_path(text: &str) -> Result<PathBuf> {
    if !text.starts_with('/') {
        return Err(not_found(format!(
            "no patch called {} is installed; give the absolute path of a .ko file",
            quote(text)
        )));
    }
    if text.len() > MAX_PATH {
        return Err(not_found(format!("no file has a path of {} bytes", text.len())));
    }
    Ok(PathBuf::from(text))
}

/// A caller's text for a message: quoted, escaped and cut.
pub(super) fn quote(text: &str) -> String {
    let mut short: String = text.chars().take(MAX_QUOTE).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}

fn not_found(message: String) -> Error {
    Error::Refused(Refusal::new(ErrorName::NotFound, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
        result.expect_err("refused").to_string()
    }

    #[test]
    fn only_an_absolute_path_is_a_file() {
        assert_eq!(
            module_path("/root/fix.ko").expect("a path"),
            PathBuf::from("/root/fix.ko")
        );
        for text in ["fix", "fix.ko", "./fix.ko", "", "a/b"] {
            assert!(message(module_path(text)).contains("absolute path of a .ko"));
        }
        let long = format!("/{}", "x".repeat(5000));
        assert!(message(module_path(&long)).contains("5001 bytes"));
    }

    #[test]
    fn a_name_that_no_module_can_have_is_refused_and_cut_in_the_message() {
        for text in ["", "a b", "../etc", "a.b", "nul\0", "é"] {
            assert!(message(patch_name(text)).starts_with("no patch can be called"));
        }
        assert!(message(patch_name(&"x".repeat(300))).len() < 150);
        assert!(message(patch_name("a\nb")).contains("a\\nb"));
    }

    #[test]
    fn a_descriptor_may_come_without_a_name() {
        assert_eq!(expected_name("").expect("none"), None);
        assert_eq!(expected_name("a-b").expect("one"), PatchName::new("a_b"));
        assert!(message(expected_name("a/b")).contains("argument \"name\""));
    }
}

// SPDX-License-Identifier: GPL-2.0-only
//! Exit codes and failures: the one table from what went wrong to the code that scripts see.

use std::process::ExitCode;

use crate::{
    bus::error::parse_name,
    model::{job::JobResult, refusal::ErrorName},
};

/// The end of `--help`.
pub(super) const HELP: &str = "\
Exit codes: 0 done, 1 failed, 2 usage, 3 stalled or timed out, 4 not authorised, 5 not found, 6 busy, 7 daemon not reachable";

/// How the tool ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// As asked.
    Done = 0,
    /// It went wrong; also a job that somebody else cancelled, or that we stopped waiting for.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// A transition is stalled, or a job was not done in time.
    TimedOut = 3,
    /// The caller may not.
    NotAuthorised = 4,
    /// No such patch, job or file.
    NotFound = 5,
    /// Another transition or job is in the way.
    Busy = 6,
    /// No daemon, or none that answers.
    Unreachable = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        (exit as u8).into()
    }
}

impl Exit {
    /// The code for one of our errors.
    pub(super) fn of(name: ErrorName) -> Self {
        match name {
            ErrorName::NotFound => Self::NotFound,
            ErrorName::Busy => Self::Busy,
            ErrorName::Timeout => Self::TimedOut,
            ErrorName::InvalidModule
            | ErrorName::KernelMismatch
            | ErrorName::NotInTransition
            | ErrorName::AlreadyLoaded
            | ErrorName::Refused
            | ErrorName::NotSupported
            | ErrorName::Unsafe => Self::Failed,
        }
    }

    /// The code for an error on the bus.
    pub(super) fn of_bus(name: &str) -> Self {
        if let Some(name) = parse_name(name) {
            return Self::of(name);
        }
        match name.strip_prefix("org.freedesktop.DBus.Error.") {
            Some("AccessDenied" | "InteractiveAuthorizationRequired" | "AuthFailed") => Self::NotAuthorised,
            Some("InvalidArgs" | "InvalidSignature") => Self::Usage,
            Some("LimitsExceeded") => Self::Busy,
            Some(
                "ServiceUnknown" | "NameHasNoOwner" | "NoReply" | "NoServer" | "Disconnected" | "TimedOut" | "Timeout",
            ) => Self::Unreachable,
            Some(word) if word.starts_with("Spawn.") => Self::Unreachable,
            // systemd's word when it may not or cannot start the daemon
            None if name.starts_with("org.freedesktop.systemd1.") => Self::Unreachable,
            Some(_) | None => Self::Failed,
        }
    }

    /// The code for a job that ended.
    pub(super) fn of_job(result: JobResult, error: Option<ErrorName>) -> Self {
        match result {
            JobResult::Done => Self::Done,
            JobResult::Timeout => Self::TimedOut,
            JobResult::Cancelled => Self::Failed,
            JobResult::Failed => error.map_or(Self::Failed, Self::of),
        }
    }

    /// What to do next.
    pub(super) fn advice(self) -> Option<&'static str> {
        match self {
            Self::Done | Self::Failed | Self::Usage => None,
            Self::TimedOut => Some("see what holds it back: livepatchctl blockers; journalctl -u livepatchd"),
            Self::NotAuthorised => Some("do it as root, or ask an administrator"),
            Self::NotFound => Some("see what there is: livepatchctl list"),
            Self::Busy => Some("see what runs: livepatchctl status"),
            Self::Unreachable => {
                Some("start the daemon: systemctl start livepatchd; or see why not: systemctl status livepatchd")
            }
        }
    }
}

/// Why a command was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The code.
    pub(super) exit: Exit,
    /// One line; lines of the kernel's log may follow.
    pub(super) message: String,
    /// What to do next.
    pub(super) advice: Option<String>,
}

impl Failure {
    /// A failure with the usual advice for its code.
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            advice: exit.advice().map(str::to_owned),
        }
    }

    /// The same without advice, because the message has it.
    pub(super) fn plain(mut self) -> Self {
        self.advice = None;
        self
    }

    /// The same with other advice.
    pub(super) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_end_in_the_codes_of_the_table() {
        for (name, code) in [
            ("org.livepatch.Error.NotFound", 5),
            ("org.livepatch.Error.Busy", 6),
            ("org.livepatch.Error.Timeout", 3),
            ("org.livepatch.Error.InvalidModule", 1),
            ("org.livepatch.Error.SomethingNew", 1),
            ("org.freedesktop.DBus.Error.AccessDenied", 4),
            ("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", 4),
            ("org.freedesktop.DBus.Error.InvalidArgs", 2),
            ("org.freedesktop.DBus.Error.ServiceUnknown", 7),
            ("org.freedesktop.DBus.Error.Spawn.ChildExited", 7),
            ("org.freedesktop.systemd1.UnitMasked", 7),
            ("org.freedesktop.DBus.Error.Failed", 1),
        ] {
            assert_eq!(Exit::of_bus(name) as u8, code, "{name}");
        }
    }

    #[test]
    fn a_job_ends_in_the_code_of_its_result() {
        assert_eq!(Exit::of_job(JobResult::Done, None), Exit::Done);
        assert_eq!(
            Exit::of_job(JobResult::Timeout, Some(ErrorName::Timeout)),
            Exit::TimedOut
        );
        assert_eq!(Exit::of_job(JobResult::Cancelled, None), Exit::Failed);
        assert_eq!(Exit::of_job(JobResult::Failed, Some(ErrorName::Busy)), Exit::Busy);
        assert_eq!(Exit::of_job(JobResult::Failed, None), Exit::Failed);
    }
}

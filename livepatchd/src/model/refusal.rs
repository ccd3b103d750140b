// SPDX-License-Identifier: GPL-2.0-only
//! Named errors: why something was refused or failed, in words that say what to do next.

use serde::{Deserialize, Serialize};

/// The names of `org.livepatch.Error.*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ErrorName {
    /// No such patch, module file or job.
    NotFound,
    /// Another transition or job is in the way.
    Busy,
    /// The file is no live patch, or the kernel did not take it.
    InvalidModule,
    /// Built for another kernel.
    KernelMismatch,
    /// The patch is not in transition.
    NotInTransition,
    /// A module of this name is loaded.
    AlreadyLoaded,
    /// Policy or the kernel's configuration forbids it.
    Refused,
    /// It did not finish in time.
    Timeout,
    /// This kernel cannot do it.
    NotSupported,
    /// The file could be changed by others between check and load.
    Unsafe,
}

impl ErrorName {
    /// Every name.
    pub const ALL: [Self; 10] = [
        Self::NotFound,
        Self::Busy,
        Self::InvalidModule,
        Self::KernelMismatch,
        Self::NotInTransition,
        Self::AlreadyLoaded,
        Self::Refused,
        Self::Timeout,
        Self::NotSupported,
        Self::Unsafe,
    ];

    /// The last part of the D-Bus error name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "NotFound",
            Self::Busy => "Busy",
            Self::InvalidModule => "InvalidModule",
            Self::KernelMismatch => "KernelMismatch",
            Self::NotInTransition => "NotInTransition",
            Self::AlreadyLoaded => "AlreadyLoaded",
            Self::Refused => "Refused",
            Self::Timeout => "Timeout",
            Self::NotSupported => "NotSupported",
            Self::Unsafe => "Unsafe",
        }
    }
}

/// A named error with its message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Refusal {
    /// Its name.
    pub name: ErrorName,
    /// What happened and what to do next; the kernel's own log lines follow after a line break.
    pub message: String,
}

impl Refusal {
    /// A refusal of this name.
    pub fn new(name: ErrorName, message: impl Into<String>) -> Self {
        Self {
            name,
            message: message.into(),
        }
    }

    /// This one, which came after another: the first has the name, and both are told.
    #[must_use]
    pub fn after(self, first: Option<Self>) -> Self {
        match first {
            Some(first) => Self::new(first.name, format!("{first}; {self}")),
            None => self,
        }
    }
}

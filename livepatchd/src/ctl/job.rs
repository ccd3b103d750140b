// SPDX-License-Identifier: GPL-2.0-only
//! A job as the bus tells it, and as `--json` prints it.
//!
//! `{"job":1,"kind":"apply","patch":"fix","result":null|"done"|"cancelled"|"timeout"|"failed","error":null|{"name","message"}}`;
//! `result` is null with `--no-wait` and when the wait was interrupted.

use std::collections::HashMap;

use serde::Serialize;
use zbus::{OwnedVariant, Variant};

use super::exit::{Exit, Failure};
use crate::{
    bus::error::parse_sentence,
    model::{
        job::{JobPhase, JobResult},
        refusal::Refusal,
    },
};

/// The properties of a job at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JobView {
    pub(super) id: u32,
    pub(super) kind: String,
    pub(super) patch: String,
    pub(super) state: String,
    pub(super) pending: u32,
    pub(super) total: u32,
    pub(super) result: Option<JobResult>,
    pub(super) error: Option<Refusal>,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    job: u32,
    kind: &'a str,
    patch: &'a str,
    result: Option<&'static str>,
    error: Option<Error<'a>>,
}

#[derive(Debug, Serialize)]
struct Error<'a> {
    name: &'static str,
    message: &'a str,
}

impl JobView {
    /// Reads the properties; `None` if one is missing.
    pub(super) fn new(values: &HashMap<String, OwnedVariant>) -> Option<Self> {
        let word = |key: &str| match values.get(key).map(|value| &**value) {
            Some(Variant::Str(text)) => Some(text.to_string()),
            _ => None,
        };
        let number = |key: &str| match values.get(key).map(|value| &**value) {
            Some(Variant::U32(number)) => Some(*number),
            _ => None,
        };
        let result = word("Result")?;
        Some(Self {
            id: number("Id")?,
            kind: word("Kind")?,
            patch: word("Patch")?,
            state: word("State")?,
            pending: number("Pending")?,
            total: number("Total")?,
            result: RESULTS.into_iter().find(|known| known.as_str() == result),
            error: parse_sentence(&word("Error")?),
        })
    }

    /// Whether the kernel is still loading the module: it has no blockers then.
    pub(super) fn is_loading(&self) -> bool {
        self.state == JobPhase::Loading.as_str()
    }

    /// The document for `--json`.
    pub(super) fn document(&self) -> Document<'_> {
        Document {
            job: self.id,
            kind: &self.kind,
            patch: &self.patch,
            result: self.result.map(JobResult::as_str),
            error: self.error.as_ref().map(|refusal| Error {
                name: refusal.name.as_str(),
                message: &refusal.message,
            }),
        }
    }

    /// The end of a job that was waited for: its exit code, or why it failed.
    pub(super) fn outcome(&self) -> Result<Exit, Failure> {
        let Some(result) = self.result else {
            return Ok(Exit::Done);
        };
        let exit = Exit::of_job(result, self.error.as_ref().map(|refusal| refusal.name));
        if exit == Exit::Done {
            return Ok(exit);
        }
        let what = match result {
            JobResult::Done => "done",
            JobResult::Cancelled => "cancelled",
            JobResult::Timeout => "not done in time",
            JobResult::Failed => "failed",
        };
        let why = self.error.as_ref().map_or("", |refusal| refusal.message.as_str());
        let colon = if why.is_empty() { "" } else { ": " };
        let message = format!("{} of {} {what}{colon}{why}", self.kind, self.patch);
        let failure = Failure::new(exit, message);
        Err(if why.is_empty() { failure } else { failure.plain() })
    }
}

const RESULTS: [JobResult; 4] = [
    JobResult::Done,
    JobResult::Cancelled,
    JobResult::Timeout,
    JobResult::Failed,
];

// SPDX-License-Identifier: GPL-2.0-only
//! What somebody asks for over the bus, after authorisation. The model answers at once: a job, a number, or a [`Refusal`].

use super::{
    job::{JobId, JobOptions},
    patch::{Core, PatchName},
    refusal::Refusal,
};

/// Something asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// See a checked module loaded and its patch enabled. The file itself stays with the daemon, under the job's number.
    Apply {
        /// The name in the module.
        patch: PatchName,
        /// The core it is written for.
        core: Core,
        /// How.
        options: JobOptions,
    },
    /// Disable a patch and unload its module.
    Revert {
        /// The patch.
        patch: PatchName,
        /// How.
        options: JobOptions,
    },
    /// Reverse the patch's running transition.
    Cancel {
        /// The patch.
        patch: PatchName,
        /// How.
        options: JobOptions,
    },
    /// End the patch's running transition by force.
    Force {
        /// The patch.
        patch: PatchName,
    },
    /// Nudge the patch's blockers now.
    Nudge {
        /// The patch.
        patch: PatchName,
    },
}

/// The model's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A job was started.
    Job(JobId),
    /// So many blockers will be nudged at once.
    Nudging(u32),
}

/// What the model answers.
pub type Reply = Result<Answer, Refusal>;

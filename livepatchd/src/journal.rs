// SPDX-License-Identifier: GPL-2.0-only
//! The journal: each change that an administrator may want to read later is one line with native fields.
//!
//! Message ids never change their meaning; `systemd/livepatchd.catalog` explains each. Fields: `LIVEPATCH_PATCH`,
//! `LIVEPATCH_CORE`, `LIVEPATCH_STATE`, `LIVEPATCH_PENDING`, `LIVEPATCH_TOTAL`, `LIVEPATCH_PID`, `LIVEPATCH_TID`,
//! `LIVEPATCH_COMM`, `LIVEPATCH_REASON`, `LIVEPATCH_FUNCTION`, `LIVEPATCH_UNIT`, `LIVEPATCH_JOB`, `LIVEPATCH_RESULT`,
//! `LIVEPATCH_ERROR`.

use std::io::IsTerminal as _;

use tracing::{error, info, warn};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::model::{
    Model,
    change::Change,
    job::{Job, JobId, JobResult},
    patch::{PatchName, PatchState},
    reason::phrase,
    task::{Blocker, Recovery, TaskKey},
    time::Moment,
    transition::Transition,
};

/// Stable message ids.
pub mod message_id {
    #![allow(missing_docs, reason = "each is explained in systemd/livepatchd.catalog")]
    pub const PATCH_STATE: &str = "8d3fea9f0f8a42e9b59f22614bf958bb";
    pub const TRANSITION_STARTED: &str = "67b40d97cdbf4809aea1ccb27baf43b4";
    pub const BLOCKER: &str = "59addb7b482041c785ab14eb4a5cba0d";
    pub const BLOCKER_MOVED: &str = "774413d0819c4f4cafac3b96625a78a3";
    pub const NUDGED: &str = "7c753d358a49447488e933a547e0ce88";
    pub const NUDGE_FAILED: &str = "63dd6c2e670040a2904364647b0162ab";
    pub const STALLED: &str = "ae8f73d0ed3c4253bfdc10b22eed3b33";
    pub const JOB_STARTED: &str = "068ce39ce4074b0d8561a5ece5de7e7a";
    pub const JOB_ENDED: &str = "05b25b80c56a43f78c30ef815f450617";
    pub const MODULE_UNLOADED: &str = "661ffb59d3f6410bb4b2e58183009672";
    pub const MODULE_STAYS: &str = "df0afa1596bd45b885422611c5d34d1f";
    pub const ACTION_FAILED: &str = "61aeb4b762ee4997b6f1b8c3062c734f";
    pub const DEGRADED: &str = "885d3cb16b5443dcb1c2e440ee43e908";
    pub const REBOOT_ADVISED: &str = "e23917388c9a48c89a16a195f21bab23";
    pub const NUDGE_RECOVERED: &str = "5b2fd38bb33f43459d10719eb2249d08";
    pub const FORCE_EVIDENCE: &str = "a572dabd20f348679251539ffc3d206b";
}

/// Sends `tracing` to the journal with native fields, or to standard error where there is no journal.
pub fn start() {
    let filter = EnvFilter::try_from_env("LIVEPATCHD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let to_journal = std::env::var_os("JOURNAL_STREAM").is_some() && !std::io::stderr().is_terminal();
    let journal = to_journal.then(tracing_journald::layer).and_then(Result::ok);
    let journal = journal.map(|layer| {
        layer
            .with_field_prefix(None)
            .with_syslog_identifier("livepatchd".to_owned())
    });
    let text = journal.is_none().then(|| {
        tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_target(false)
    });
    tracing_subscriber::registry()
        .with(filter)
        .with(journal)
        .with(text)
        .init();
}

/// Writes what a change means for an administrator; changes that only matter to programs are silent.
#[expect(
    clippy::too_many_lines,
    reason = "one line of the journal after the other; splitting it would hide that"
)]
pub fn tell(change: &Change, model: &Model) {
    match change {
        Change::PatchAppeared(_)
        | Change::PatchChanged(_)
        | Change::PatchGone(_)
        | Change::JobChanged(_)
        | Change::JobForgotten(_)
        | Change::CoresChanged => {}
        Change::StateChanged {
            patch,
            core,
            from,
            to,
            after,
            ours,
        } => {
            let state = to.as_str();
            let by = if *ours {
                ""
            } else {
                " (not asked for through livepatchd)"
            };
            let took = match from {
                Some(PatchState::Enabling | PatchState::Disabling) => format!(" after {after}"),
                _ => String::new(),
            };
            info!(
                MESSAGE_ID = message_id::PATCH_STATE,
                LIVEPATCH_PATCH = %patch,
                LIVEPATCH_CORE = %core,
                LIVEPATCH_STATE = state,
                "{patch}: {state}{took}{by}"
            );
        }
        Change::TransitionStarted { patch, core, direction } => {
            let direction = direction.as_str();
            info!(
                MESSAGE_ID = message_id::TRANSITION_STARTED,
                LIVEPATCH_PATCH = %patch,
                LIVEPATCH_CORE = %core,
                "{patch}: {direction} transition of core {core}"
            );
        }
        Change::BlockerFound(blocker) => tell_blocker(blocker, model),
        Change::BlockerMoved {
            patch,
            key,
            comm,
            after,
            nudges,
        } => {
            let nudged = match nudges {
                0 => String::new(),
                1 => ", after one nudge".to_owned(),
                n => format!(", after {n} nudges"),
            };
            info!(
                MESSAGE_ID = message_id::BLOCKER_MOVED,
                LIVEPATCH_PATCH = %patch,
                LIVEPATCH_TID = key.tid,
                LIVEPATCH_COMM = comm,
                "{patch}: {comm} ({}) moved after {after}{nudged}",
                key.tid
            );
        }
        Change::Nudged { blocker, result } => tell_nudge(blocker, result),
        Change::Stalled { patch, pending } => {
            let total = model.transition_of(patch).map_or(0, |t| t.total);
            warn!(
                MESSAGE_ID = message_id::STALLED,
                LIVEPATCH_PATCH = %patch,
                LIVEPATCH_PENDING = pending,
                LIVEPATCH_TOTAL = total,
                "{patch}: stalled, {pending} of {total} tasks pending; see: livepatchctl blockers {patch}"
            );
        }
        Change::JobStarted(id) => tell_job_start(*id, model),
        Change::JobEnded(job) => tell_job_end(job),
        Change::ModuleUnloaded(patch) => info!(
            MESSAGE_ID = message_id::MODULE_UNLOADED,
            LIVEPATCH_PATCH = %patch,
            "{patch}: module unloaded"
        ),
        Change::ModuleStays { patch, why } => warn!(
            MESSAGE_ID = message_id::MODULE_STAYS,
            LIVEPATCH_PATCH = %patch,
            LIVEPATCH_ERROR = why.name.as_str(),
            "{patch}: module not unloaded: {why}"
        ),
        Change::ActionFailed { patch, why } => warn!(
            MESSAGE_ID = message_id::ACTION_FAILED,
            LIVEPATCH_PATCH = %patch,
            LIVEPATCH_ERROR = why.name.as_str(),
            "{patch}: {why}"
        ),
        Change::DegradedChanged => {
            for lost in model.degraded() {
                warn!(MESSAGE_ID = message_id::DEGRADED, "degraded: {lost}");
            }
        }
        Change::RebootAdvised => warn!(
            MESSAGE_ID = message_id::REBOOT_ADVISED,
            "a transition was forced: tasks may run old code for ever; a reboot is advised"
        ),
    }
}

/// Writes down what came of a nudge that an earlier daemon had begun.
pub fn tell_recovered(key: TaskKey, comm: &str, recovery: &Recovery) {
    let what = recovered(recovery);
    macro_rules! line {
        ($level:ident) => {
            $level!(
                MESSAGE_ID = message_id::NUDGE_RECOVERED,
                LIVEPATCH_TID = key.tid,
                LIVEPATCH_COMM = comm,
                "the nudge of {comm} ({}) was cut short by the end of an earlier livepatchd: {what}",
                key.tid
            )
        };
    }
    match recovery {
        Recovery::CouldNotContinue(_) => line!(error),
        Recovery::NothingOfOurs | Recovery::Continued | Recovery::Gone => line!(warn),
    }
}

fn recovered(recovery: &Recovery) -> String {
    match recovery {
        Recovery::NothingOfOurs => "it is not stopped by us, nothing to do".to_owned(),
        Recovery::Continued => "it was stopped, and is continued".to_owned(),
        Recovery::Gone => "it is gone".to_owned(),
        Recovery::CouldNotContinue(why) => {
            format!("if it is stopped, it could not be continued ({why}); kill -CONT continues it")
        }
    }
}

/// Writes down every blocker of a patch before it is forced.
pub fn tell_force_evidence(patch: &PatchName, model: &Model) {
    let Some(transition) = model.transition_of(patch) else {
        return;
    };
    let asked = model.force_since(patch).unwrap_or_default();
    warn!(
        MESSAGE_ID = message_id::FORCE_EVIDENCE,
        LIVEPATCH_PATCH = %patch,
        LIVEPATCH_PENDING = transition.pending(),
        LIVEPATCH_TOTAL = transition.total,
        "{patch}: about to be forced {}",
        forced_over(transition, asked)
    );
    for blocker in transition.blockers.values() {
        let stack = blocker.sighting.stack.join("\n");
        warn!(
            MESSAGE_ID = message_id::FORCE_EVIDENCE,
            LIVEPATCH_PATCH = %patch,
            LIVEPATCH_TID = blocker.sighting.key.tid,
            LIVEPATCH_COMM = blocker.sighting.comm,
            LIVEPATCH_REASON = %blocker.reason,
            LIVEPATCH_FUNCTION = blocker.function,
            LIVEPATCH_STACK = stack,
            "{patch}: forced over {}",
            sentence(blocker)
        );
    }
}

/// Over how many tasks, or that this is not known.
fn forced_over(transition: &Transition, asked: Moment) -> String {
    let (pending, total) = (transition.pending(), transition.total);
    match transition.last_seen {
        Some(seen) if seen >= asked => format!("with {pending} of {total} tasks pending"),
        Some(seen) => format!(
            "over tasks that could not be looked at; {} before that was asked for, {pending} of {total} were pending",
            asked.since(seen)
        ),
        None => "over tasks that could not be looked at".to_owned(),
    }
}

/// The task and what it does: `cat (812) sleeps in tgt_wait [tgt]`.
fn sentence(blocker: &Blocker) -> String {
    let seen = &blocker.sighting;
    let what = phrase(blocker.reason, &blocker.function);
    format!("{} ({}) {what}", seen.comm, seen.key.tid)
}

fn tell_blocker(blocker: &Blocker, model: &Model) {
    let (pending, total) = model
        .transition_of(&blocker.patch)
        .map_or((0, 0), |t| (t.pending(), t.total));
    let seen = &blocker.sighting;
    info!(
        MESSAGE_ID = message_id::BLOCKER,
        LIVEPATCH_PATCH = %blocker.patch,
        LIVEPATCH_PENDING = pending,
        LIVEPATCH_TOTAL = total,
        LIVEPATCH_PID = seen.tgid,
        LIVEPATCH_TID = seen.key.tid,
        LIVEPATCH_COMM = seen.comm,
        LIVEPATCH_REASON = %blocker.reason,
        LIVEPATCH_FUNCTION = blocker.function,
        LIVEPATCH_UNIT = seen.unit,
        "{}: {pending} of {total} tasks pending: {}",
        blocker.patch,
        sentence(blocker)
    );
}

fn tell_nudge(blocker: &Blocker, result: &Result<(), String>) {
    let seen = &blocker.sighting;
    let (patch, who) = (&blocker.patch, sentence(blocker));
    match result {
        Ok(()) => info!(
            MESSAGE_ID = message_id::NUDGED,
            LIVEPATCH_PATCH = %patch,
            LIVEPATCH_PID = seen.tgid,
            LIVEPATCH_TID = seen.key.tid,
            LIVEPATCH_COMM = seen.comm,
            LIVEPATCH_REASON = %blocker.reason,
            LIVEPATCH_FUNCTION = blocker.function,
            LIVEPATCH_UNIT = seen.unit,
            "{patch}: {who}; nudged"
        ),
        Err(why) => info!(
            MESSAGE_ID = message_id::NUDGE_FAILED,
            LIVEPATCH_PATCH = %patch,
            LIVEPATCH_PID = seen.tgid,
            LIVEPATCH_TID = seen.key.tid,
            LIVEPATCH_COMM = seen.comm,
            "{patch}: {who}; not nudged: {why}"
        ),
    }
}

fn tell_job_start(id: JobId, model: &Model) {
    let Some(job) = model.jobs().find(|j| j.id == id) else {
        return;
    };
    let kind = job.kind.as_str();
    info!(
        MESSAGE_ID = message_id::JOB_STARTED,
        LIVEPATCH_PATCH = %job.patch,
        LIVEPATCH_JOB = id.0,
        "{}: {kind} asked for (job {})",
        job.patch,
        id.0
    );
}

fn tell_job_end(job: &Job) {
    let (kind, id) = (job.kind.as_str(), job.id.0);
    let result = job.result.unwrap_or(JobResult::Failed);
    let why = job.error.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let name = job.error.as_ref().map(|why| why.name.as_str());
    macro_rules! line {
        ($level:ident) => {
            $level!(
                MESSAGE_ID = message_id::JOB_ENDED,
                LIVEPATCH_PATCH = %job.patch,
                LIVEPATCH_JOB = id,
                LIVEPATCH_RESULT = result.as_str(),
                LIVEPATCH_ERROR = name,
                "{}: {kind} {} (job {id}){why}",
                job.patch,
                result.as_str()
            )
        };
    }
    match result {
        JobResult::Done | JobResult::Cancelled => line!(info),
        JobResult::Timeout => line!(warn),
        JobResult::Failed => line!(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        patch::Direction,
        testing::{name, sighting},
        transition::Rounds,
    };

    #[test]
    fn a_force_over_tasks_that_nobody_looked_at_says_so() {
        let mut transition = Transition::new(name("lp"), Direction::Patching, Moment(0));
        let told = |t: &Transition| forced_over(t, Moment(5_000));
        assert_eq!(told(&transition), "over tasks that could not be looked at");
        transition.scanned(Moment(4_000), vec![sighting(812)], 243, &Rounds::default(), &[]);
        assert_eq!(
            told(&transition),
            "over tasks that could not be looked at; 1.0 s before that was asked for, 1 of 243 were pending"
        );
        transition.scanned(Moment(5_000), vec![sighting(812)], 243, &Rounds::default(), &[]);
        assert_eq!(told(&transition), "with 1 of 243 tasks pending");
    }

    #[test]
    fn the_line_of_a_recovered_nudge_claims_no_more_than_was_seen() {
        for (recovery, says) in [
            (Recovery::NothingOfOurs, "not stopped by us"),
            (Recovery::Continued, "is continued"),
            (Recovery::Gone, "is gone"),
            (
                Recovery::CouldNotContinue("EPERM".into()),
                "could not be continued (EPERM)",
            ),
        ] {
            let line = recovered(&recovery);
            assert!(line.contains(says) && !line.contains("runs"), "{line}");
        }
    }

    #[test]
    fn every_message_id_is_explained_in_the_catalog() {
        let catalog = include_str!("../../systemd/livepatchd.catalog");
        let source = include_str!("journal.rs");
        let ids: Vec<_> = source
            .lines()
            .filter_map(|line| line.trim().strip_prefix("pub const ")?.split('"').nth(1))
            .collect();
        assert!(ids.len() > 10);
        for id in ids {
            assert!(
                catalog.contains(&format!("-- {id}\n")),
                "{id} is not in livepatchd.catalog"
            );
        }
    }
}

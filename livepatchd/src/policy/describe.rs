// SPDX-License-Identifier: GPL-2.0-only
//! The model as readers see it, with what policy makes of each blocker.

use super::{nudge, rules::Rules};
use crate::model::{
    Model,
    job::Job,
    patch::Patch,
    snapshot::{BlockerView, PatchView, Snapshot},
    task::{Blocker, Scheduling},
    transition::Transition,
};

/// A copy of the model for readers.
pub fn describe(model: &Model, rules: &Rules) -> Snapshot {
    let jobs: Vec<Job> = model.jobs().cloned().collect();
    let progress = |job: &Job| {
        let transition = model.transition_of(&job.patch).filter(|_| job.result.is_none());
        transition.map_or((0, 0), |t| (t.pending(), t.total))
    };
    Snapshot {
        cores: model.cores().collect(),
        transition: model.transitions().map(|(_, t)| t.patch.clone()).next(),
        reboot_advised: model.reboot_advised(),
        degraded: model.degraded().to_vec(),
        patches: model.patches().map(|p| patch(model, p)).collect(),
        job_progress: jobs.iter().map(progress).collect(),
        jobs,
        blockers: model
            .transitions()
            .flat_map(|(_, t)| t.blockers.values().map(move |b| blocker(t, b, rules)))
            .collect(),
    }
}

fn patch(model: &Model, patch: &Patch) -> PatchView {
    let transition = model.transition_of(&patch.name);
    PatchView {
        name: patch.name.as_str().to_owned(),
        core: patch.core,
        state: patch.state,
        replace: patch.replace.unwrap_or(false),
        stack_order: patch.stack_order.unwrap_or(0),
        pending: transition.map_or(0, Transition::pending),
        total: transition.map_or(0, |t| t.total),
        stalled: transition.is_some_and(|t| t.stalled),
        functions: patch.functions.clone(),
        since: patch.since,
    }
}

fn blocker(transition: &Transition, blocker: &Blocker, rules: &Rules) -> BlockerView {
    let seen = &blocker.sighting;
    let state = match seen.scheduling {
        Scheduling::Running => "running",
        Scheduling::Interruptible => "sleeping",
        Scheduling::Uninterruptible => "uninterruptible",
        Scheduling::Stopped => "stopped",
        Scheduling::TracedStop => "traced",
        Scheduling::Dead => "dead",
    };
    BlockerView {
        patch: blocker.patch.as_str().to_owned(),
        pid: seen.tgid,
        tid: seen.key.tid,
        comm: seen.comm.clone(),
        class: seen.class,
        state: state.to_owned(),
        reason: blocker.reason,
        function: blocker.function.clone(),
        unit: seen.unit.clone(),
        nudges: blocker.nudges.sent,
        action: action(transition, blocker, rules),
        stack: seen.stack.clone(),
    }
}

fn action(transition: &Transition, blocker: &Blocker, rules: &Rules) -> String {
    if let Some(nudge::NotNudged(why)) = nudge::refused(blocker, rules, transition) {
        return format!("not nudged: {why}");
    }
    match blocker.nudges.sent {
        0 => "nudge due".to_owned(),
        _ => "nudged".to_owned(),
    }
}

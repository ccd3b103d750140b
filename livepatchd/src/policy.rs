// SPDX-License-Identifier: GPL-2.0-only
//! Decisions: from the model, the rules and the time to actions. Pure: it observes nothing and does nothing.
//!
//! [`decide`] compares what jobs work to with what is, and what is known with what should be known by now. Deciding the
//! same thing twice is harmless: the caller drops actions that are under way, and tells [`begun`] of those that it begins.
//!
//! One step of the caller: facts and requests ([`answer`]) in, [`Model::tick`], [`decide`], carry out, sleep until the next
//! fact, request, or [`Decision::wake_at`].

pub mod action;
pub mod admit;
pub mod describe;
pub mod nudge;
pub mod rules;

use self::{action::Action, nudge::eligible, rules::Rules};
use crate::model::{
    Model,
    change::Change,
    job::{Job, JobPhase},
    patch::{Core, Direction, Patch, PatchState},
    request::{Answer, Reply, Request},
    time::{Millis, Moment},
    transition::Transition,
};

/// The shortest sleep: what is due now was noticed by the tick before, or is about to be.
const TICK: Millis = Millis(1);
/// How often sysfs is read while something moves: the bound on what is missed where no event tells of a change.
const LIST_EVERY: Millis = Millis(250);
/// How often pending tasks are looked at early in a transition.
const SCAN_EVERY: Millis = Millis(250);
/// How often they are looked at in a transition that has been stuck for a while: the kernel tries once a second.
const SCAN_EVERY_WHEN_STUCK: Millis = Millis(1_000);
/// How old a sight of the pending tasks may be for a nudge: who was pending longer ago may have moved since, and sleep
/// where nobody has to be woken.
const FRESH: Millis = Millis(50);
/// Nudges under way at once for a core whose states are seen in scans only: nothing is read again right before each, so they
/// are no more than are sent while the scan is fresh. The next scan follows the last of them.
const NUDGES_BY_SCAN: usize = 8;
/// How long a transition may be without progress before it counts as stuck for a while.
const STUCK: Millis = Millis(5_000);
/// How long a force waits for a last look at the tasks that it goes over: looking may be impossible.
const EVIDENCE: Millis = Millis(2_000);
/// How long a patch may be listed without being in use before we stop waiting for it to come or go.
const SETTLES_WITHIN: Millis = Millis(5_000);

/// What to do now, and when to decide again if nothing happens before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// What to do, in this order.
    pub actions: Vec<Action>,
    /// When to decide again; `None`: only when something happens.
    pub wake_at: Option<Moment>,
}

impl Decision {
    fn wake(&mut self, at: Moment) {
        self.wake_at = Some(self.wake_at.map_or(at, |other| other.min(at)));
    }

    /// `action`, once even if it is wanted for several reasons.
    fn act(&mut self, action: Action) {
        if !self.actions.contains(&action) {
            self.actions.push(action);
        }
    }

    /// `action` if `due` has come, else a wake-up then.
    fn at(&mut self, now: Moment, due: Moment, action: Action) {
        if due <= now {
            self.act(action);
        } else {
            self.wake(due);
        }
    }
}

/// Decides.
pub fn decide(model: &Model, rules: &Rules, now: Moment) -> Decision {
    let mut decision = Decision::default();
    list(model, now, &mut decision);
    for job in model.jobs().filter(|j| j.result.is_none()) {
        advance(model, job, now, &mut decision);
    }
    for (core, transition) in model.transitions() {
        scan(model, core, transition, now, &mut decision);
        nudge_blockers(model, core, transition, rules, now, &mut decision);
        if transition.pending() > 0 && !transition.stalled {
            decision.wake((transition.last_progress + rules.stall_after).max(now + TICK));
        }
    }
    for (patch, leaving) in model.leaving() {
        let unload = Action::Unload { patch: patch.clone() };
        decision.at(now, leaving.next, unload);
    }
    decision
}

/// Answers a request; a nudge that is asked for goes to those that may be nudged.
pub fn answer(model: &mut Model, rules: &Rules, now: Moment, request: Request) -> (Reply, Vec<Change>) {
    let patch = match &request {
        Request::Nudge { patch } => Some(patch.clone()),
        _ => None,
    };
    let (reply, changes) = model.request(now, request);
    match (reply, patch) {
        (Ok(Answer::Nudging(_)), Some(patch)) => {
            let nudged = model.keep_nudges(&patch, |blocker| eligible(blocker, rules).is_ok());
            (Ok(Answer::Nudging(nudged)), changes)
        }
        (reply, _) => (reply, changes),
    }
}

/// Notes in the model that an action was begun.
pub fn begun(model: &mut Model, now: Moment, action: &Action) {
    match action {
        Action::List(core) => model.listing_asked(now, *core),
        Action::Scan { core, .. } => {
            let transition = model.transitions().find(|(c, _)| c == core);
            if let Some(next) = transition.map(|(_, t)| next_scan(t, now)) {
                model.scan_asked(now, *core, next);
            }
        }
        Action::Switch { patch, .. } => model.write_asked(patch),
        Action::Force { patch, .. } => model.force_asked(patch),
        Action::Nudge { patch, key, .. } => model.nudge_asked(patch, *key),
        // a job that loads and a module that leaves say so themselves
        Action::Load(_) | Action::Unload { .. } => {}
    }
}

/// When a scan that is asked for now should be followed by the next.
pub fn next_scan(transition: &Transition, now: Moment) -> Moment {
    let stuck = now.since(transition.last_progress) >= STUCK;
    now + if stuck { SCAN_EVERY_WHEN_STUCK } else { SCAN_EVERY }
}

fn list(model: &Model, now: Moment, decision: &mut Decision) {
    // a core that is not there may have come when something stirred
    for core in Core::ALL {
        let moving = model.transitions().any(|(c, _)| c == core);
        // a patch is listed a moment before it is enabled, and until a worker of the core has freed it: no event tells
        let settles = |p: &Patch| {
            let unused = matches!(p.state, PatchState::Loaded | PatchState::Disabled);
            p.core == core && p.listed && unused && now.since(p.since) < SETTLES_WITHIN
        };
        let working = model.jobs().any(|j| j.core == core && j.result.is_none());
        if model.is_stale(core) {
            decision.actions.push(Action::List(core));
        } else if moving || working || model.patches().any(settles) {
            decision.at(now, model.listed_at(core) + LIST_EVERY, Action::List(core));
        }
    }
}

fn advance(model: &Model, job: &Job, now: Moment, decision: &mut Decision) {
    if job.phase != JobPhase::Loading {
        decision.wake(job.deadline.max(now + TICK));
    }
    match job.phase {
        JobPhase::Loading => decision.actions.push(Action::Load(job.id)),
        JobPhase::Unloading | JobPhase::Ended => {}
        JobPhase::Transition | JobPhase::Reversing => {
            let Some(patch) = model.patch(&job.patch) else { return };
            if model.is_behind(job.core) {
                return;
            }
            if let Some(asked) = job.force
                && patch.state.direction() == Some(job.target)
            {
                force(model, job, asked, now, decision);
            }
            let wrong_way = match job.target {
                Direction::Patching => patch.state == PatchState::Disabling,
                Direction::Unpatching => matches!(patch.state, PatchState::Enabling | PatchState::Enabled),
            };
            let blocked = model.transitions().any(|(c, t)| c == job.core && t.patch != job.patch);
            if wrong_way && !job.begun && !blocked {
                decision.act(Action::Switch {
                    core: job.core,
                    patch: job.patch.clone(),
                    direction: job.target,
                });
            }
        }
    }
}

/// Forces once it is known over whom, or cannot be known.
fn force(model: &Model, job: &Job, asked: Moment, now: Moment, decision: &mut Decision) {
    let Some(transition) = model.transition_of(&job.patch) else {
        return;
    };
    let until = asked.max(transition.started) + EVIDENCE;
    if transition.seen_since(asked) || until <= now {
        let (core, patch) = (job.core, job.patch.clone());
        decision.act(Action::Force { core, patch });
    } else {
        look(model, job.core, transition, decision);
        decision.wake(until);
    }
}

fn scan(model: &Model, core: Core, transition: &Transition, now: Moment, decision: &mut Decision) {
    decision.at(now, transition.scan_by, scan_of(model, core, transition));
}

fn scan_of(model: &Model, core: Core, transition: &Transition) -> Action {
    let patch = model.patch(&transition.patch);
    let below = |other: &&Patch| patch.is_some_and(|p| p.is_above(other));
    Action::Scan {
        core,
        patch: transition.patch.clone(),
        direction: transition.direction,
        functions: patch.map(|p| p.functions.clone()).unwrap_or_default(),
        below: model.patches().filter(below).map(|p| p.name.clone()).collect(),
        among: model.suspects(core),
    }
}

/// A scan out of turn. One that is on its way, or came to nothing, is not asked for again before its time.
fn look(model: &Model, core: Core, transition: &Transition, decision: &mut Decision) {
    if transition.last_seen >= transition.last_scan {
        decision.act(scan_of(model, core, transition));
    }
}

fn nudge_blockers(
    model: &Model,
    core: Core,
    transition: &Transition,
    rules: &Rules,
    now: Moment,
    decision: &mut Decision,
) {
    let mut room = match core {
        Core::Kernel => usize::MAX,
        Core::KlpRs => NUDGES_BY_SCAN.saturating_sub(model.nudging().len()),
    };
    for blocker in transition.blockers.values() {
        let asked = transition.nudge_now.contains(&blocker.sighting.key);
        if model.is_nudging(&blocker.sighting.key) {
            continue;
        }
        if !asked && nudge::refused(blocker, rules, transition).is_some() || asked && eligible(blocker, rules).is_err()
        {
            continue;
        }
        let due = match blocker.nudges.last {
            _ if asked => now,
            None => blocker.first_seen + rules.nudge_after,
            Some(last) => last + rules.nudge_every,
        };
        if due > now {
            decision.wake(due);
        } else if room == 0 {
            // the outcome of those under way is a reason to decide again
            return;
        } else if transition.last_seen.is_some_and(|seen| seen + FRESH >= now) {
            room -= 1;
            decision.actions.push(Action::Nudge {
                core,
                direction: transition.direction,
                patch: transition.patch.clone(),
                key: blocker.sighting.key,
                tgid: blocker.sighting.tgid,
                comm: blocker.sighting.comm.clone(),
            });
        } else {
            look(model, core, transition, decision);
        }
    }
}

#[cfg(test)]
mod tests;

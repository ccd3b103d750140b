// SPDX-License-Identifier: GPL-2.0-only
//! Taking in what sysfs says of one core: patches appear, change and go, transitions start, turn and end.
//!
//! The listing always wins. A patch that was enabled and that its core no longer lists was either disabled or retired by
//! a `replace` patch; the latter never went through a transition of its own.

use std::collections::BTreeMap;

use super::{
    Model,
    change::Change,
    job::{Job, JobPhase},
    patch::{
        Core, Direction, Listed, Patch, PatchListing, PatchName,
        PatchState::{self, Disabled, Disabling, Enabled, Enabling, Loaded},
    },
    time::Moment,
    transition::Transition,
};

/// A patch of a listing, and what was known of it.
struct Update {
    patch: Patch,
    before: Option<Patch>,
    /// Its state before, also if only an earlier daemon saw it.
    was: Option<PatchState>,
}

impl Model {
    pub(super) fn take_listing(&mut self, now: Moment, core: Core, listings: Vec<PatchListing>) -> Vec<Change> {
        if !self.freshness.entry(core).or_default().answer() {
            return Vec::new();
        }
        let mut changes = Vec::new();
        let is_first = self.cores.insert(core);
        if is_first {
            changes.push(Change::CoresChanged);
        }
        let gone = self.remove_unlisted(core, &listings);
        let updates: Vec<_> = listings
            .into_iter()
            .filter_map(|PatchListing { name, listed }| {
                let before = self.patches.get(&name).cloned();
                let elsewhere = before.as_ref().is_some_and(|b| b.core != core);
                let was_enabled = self.were_enabled.remove(&name).then_some(Enabled);
                let was = before.as_ref().map(|b| b.state).or(was_enabled);
                let state = next_state(listed.as_ref(), was, is_first);
                let patch = next_patch(now, core, name, listed, before.as_ref(), state);
                (!elsewhere).then_some(Update { patch, before, was })
            })
            .collect();
        let retired: BTreeMap<_, _> = updates
            .iter()
            .filter_map(|old| {
                let newer = updates.iter().find(|newer| retires(newer, old))?;
                Some((old.patch.name.clone(), newer.patch.name.clone()))
            })
            .collect();
        for update in updates {
            let by = retired.get(&update.patch.name);
            changes.extend(self.put_patch(now, update, by, is_first));
        }
        if is_first {
            // somebody else unloaded it and loaded it anew while no daemon ran
            let patches = &self.patches;
            let in_use = |name: &PatchName| patches.get(name).is_some_and(|p| matches!(p.state, Enabling | Enabled));
            self.leaving.retain(|name, _| !in_use(name));
        }
        changes.extend(retired.keys().filter_map(|name| self.let_leave(now, name)));
        changes.extend(self.follow_transition(now, core));
        for (name, patch) in gone {
            // a module that we are unloading is not listed any more while it goes: its job ends when it has gone
            self.kept.remove(&name);
            if !matches!(patch.state, Loaded | Disabled) {
                changes.push(self.state_change(now, &patch, Some(&patch), Disabled, None));
            }
            changes.push(Change::PatchGone(name));
        }
        changes
    }

    pub(super) fn lose_core(&mut self, now: Moment, core: Core) -> Vec<Change> {
        if !self.cores.contains(&core) {
            self.freshness.entry(core).or_default().answer();
            return Vec::new();
        }
        let mut changes = self.take_listing(now, core, Vec::new());
        if !self.is_behind(core) {
            self.cores.remove(&core);
            self.rounds.remove(&core);
            changes.push(Change::CoresChanged);
        }
        changes
    }

    fn remove_unlisted(&mut self, core: Core, listings: &[PatchListing]) -> BTreeMap<PatchName, Patch> {
        let unlisted = |p: &Patch| p.core == core && !listings.iter().any(|l| l.name == p.name);
        let gone = self.patches.values().filter(|p| unlisted(p));
        let gone: BTreeMap<_, _> = gone.map(|p| (p.name.clone(), p.clone())).collect();
        self.patches.retain(|name, _| !gone.contains_key(name));
        gone
    }

    fn put_patch(
        &mut self,
        now: Moment,
        update: Update,
        retired_by: Option<&PatchName>,
        is_first: bool,
    ) -> Vec<Change> {
        let Update { patch, before, was: _ } = update;
        if before.is_none() && !is_first {
            // loaded just now, whatever became of an earlier module of this name
            self.kept.remove(&patch.name);
        }
        if before.as_ref() == Some(&patch) {
            return Vec::new();
        }
        if before.is_none() && matches!(patch.state, Enabling | Enabled) {
            // loaded anew while an earlier one was leaving
            self.leaving.remove(&patch.name);
        }
        let mut changes = vec![match before {
            None => Change::PatchAppeared(patch.name.clone()),
            Some(_) => Change::PatchChanged(patch.name.clone()),
        }];
        if before.as_ref().map(|b| b.state) != Some(patch.state) {
            changes.push(self.state_change(now, &patch, before.as_ref(), patch.state, retired_by));
        }
        self.patches.insert(patch.name.clone(), patch);
        changes
    }

    fn state_change(
        &self,
        now: Moment,
        patch: &Patch,
        before: Option<&Patch>,
        to: PatchState,
        retired_by: Option<&PatchName>,
    ) -> Change {
        let goes = match to {
            Enabling | Enabled => Direction::Patching,
            Loaded | Disabling | Disabled => Direction::Unpatching,
        };
        let asked = |job: &Job| job.patch == patch.name && (!job.begun || job.target == goes);
        let loads = |job: &Job| job.patch == patch.name && job.phase == JobPhase::Loading;
        let retires = |job: &Job| Some(&job.patch) == retired_by;
        let mut running = self.jobs.values().filter(|j| j.result.is_none());
        Change::StateChanged {
            patch: patch.name.clone(),
            core: patch.core,
            from: before.map(|b| b.state),
            to,
            after: before.map(|b| now.since(b.since)).unwrap_or_default(),
            ours: running.any(|j| asked(j) || loads(j) || retires(j)),
        }
    }

    /// Makes the core's transition agree with its patches' states.
    fn follow_transition(&mut self, now: Moment, core: Core) -> Vec<Change> {
        let mut moving = self.patches.values().filter(|p| p.core == core);
        let target = moving.find_map(|p| Some((p.name.clone(), p.state.direction()?)));
        let runs = self.transitions.get(&core);
        if runs.map(|t| (t.patch.clone(), t.direction)) == target {
            return Vec::new();
        }
        let mut changes = Vec::new();
        let mut wished = None;
        if let Some(mut old) = self.transitions.remove(&core) {
            wished = Some((old.patch.clone(), old.nudge));
            changes.extend(old.ended(now));
            if self.patches.contains_key(&old.patch) {
                changes.push(Change::PatchChanged(old.patch));
            }
        }
        if let Some((patch, direction)) = target {
            let mut transition = Transition::new(patch.clone(), direction, now);
            let follows_another = wished.is_some();
            let unwished = wished.is_some_and(|(reversed, nudge)| reversed == patch && !nudge);
            transition.nudge = !unwished && self.jobs_wish_nudges(&patch);
            if let Some(rounds) = self.rounds.get_mut(&core) {
                if rounds.ended > 0 {
                    transition.scan_by = now;
                }
                // they may be of the transition before: the listing may have come sooner than the event
                if follows_another {
                    rounds.lose();
                }
            }
            self.transitions.insert(core, transition);
            changes.push(Change::TransitionStarted { patch, core, direction });
        } else if !self.is_stale(core) {
            // the listing may be older than a start that was heard of since
            self.rounds.remove(&core);
        }
        changes
    }
}

/// Whether `newer` is a `replace` patch that took `older` out of use: only that goes without a transition of its own.
fn retires(newer: &Update, older: &Update) -> bool {
    if older.was != Some(Enabled) || older.patch.state != Disabled || newer.patch.name == older.patch.name {
        return false;
    }
    match (newer.patch.replace, newer.patch.state) {
        (None | Some(true), Enabling) => true,
        // a listing is no snapshot: it may show the new patch complete and the old ones not yet disabled
        (Some(true), Enabled) if let Some(before) = &older.before => newer.patch.since > before.since,
        // where the kernel does not say, or no daemon looked, only the moment of completion tells
        (None | Some(true), Enabled) => newer.was != Some(Enabled),
        (Some(false), _) | (_, Loaded | Disabling | Disabled) => false,
    }
}

/// The state that a listing shows.
///
/// The kernel sets `transition` before it sets `enabled`, with the patching of the functions in between
/// (`kernel/livepatch/core.c: __klp_enable_patch, __klp_disable_patch`), and lists a patch before either. So a patch that was
/// off and shows `transition` without `enabled` is on its way in, and one that was enabled and shows both is on its way out.
fn next_state(listed: Option<&Listed>, before: Option<PatchState>, is_first: bool) -> PatchState {
    match (listed.map(|l| (l.transition, l.enabled)), before) {
        (Some((true, true)), Some(Enabled)) => Disabling,
        (Some((true, true)), _) | (Some((true, false)), Some(Loaded | Disabled)) => Enabling,
        (Some((true, false)), None) if !is_first => Enabling,
        (Some((true, false)), _) => Disabling,
        (Some((false, true)), _) => Enabled,
        (Some((false, false)), None) if is_first => Disabled,
        (Some((false, false)) | None, None | Some(Loaded)) => Loaded,
        (Some((false, false)) | None, Some(_)) => Disabled,
    }
}

/// What the patch is now, given what it was.
fn next_patch(
    now: Moment,
    core: Core,
    name: PatchName,
    listed: Option<Listed>,
    before: Option<&Patch>,
    state: PatchState,
) -> Patch {
    let since = before.filter(|b| b.state == state).map_or(now, |b| b.since);
    match listed {
        Some(Listed {
            enabled: _,
            transition: _,
            replace,
            stack_order,
            functions,
        }) => Patch {
            name,
            core,
            state,
            replace,
            stack_order,
            listed: true,
            functions,
            since,
        },
        None => Patch {
            name,
            core,
            state,
            replace: before.and_then(|b| b.replace),
            stack_order: None,
            listed: false,
            functions: before.map(|b| b.functions.clone()).unwrap_or_default(),
            since,
        },
    }
}

// SPDX-License-Identifier: GPL-2.0-only
//! Taking in what sysfs says of one core: patches appear, change and go, transitions start, turn and end.
//!
//! The listing always wins. A patch that was enabled and that its core no longer lists was either disabled or retired by
//! a `replace` patch; the latter never went through a transition of its own.

use std::collections::BTreeMap;

use super::{
    Model,
    change::Change,
    job::JobPhase,
    patch::{Core, Listed, Patch, PatchListing, PatchName, PatchState},
    time::Moment,
    transition::Transition,
};

impl Model {
    pub(super) fn take_listing(&mut self, now: Moment, core: Core, listings: Vec<PatchListing>) -> Vec<Change> {
        let mut changes = Vec::new();
        if self.cores.insert(core) {
            changes.push(Change::CoresChanged);
        }
        let mut gone: BTreeMap<PatchName, Patch> = BTreeMap::new();
        self.patches.retain(|name, patch| {
            let stays = patch.core != core || listings.iter().any(|l| l.name == *name);
            if !stays {
                gone.insert(name.clone(), patch.clone());
            }
            stays
        });
        let mut retired = Vec::new();
        let mut replaced_by = None;
        for PatchListing { name, listed } in listings {
            let before = self.patches.get(&name).cloned();
            if before.as_ref().is_some_and(|b| b.core != core) {
                continue;
            }
            let patch = next_patch(now, core, name, listed, before.as_ref());
            if before.as_ref().map(|b| b.state) == Some(PatchState::Enabled) && patch.state == PatchState::Disabled {
                retired.push(patch.name.clone());
            }
            let newly_enabled =
                patch.state == PatchState::Enabled && before.as_ref().map(|b| b.state) != Some(PatchState::Enabled);
            if newly_enabled && patch.replace != Some(false) {
                replaced_by = Some(patch.name.clone());
            }
            changes.extend(self.put_patch(now, patch, before));
        }
        if replaced_by.is_some() {
            for name in &retired {
                self.set_leaving(now, name);
            }
        }
        changes.extend(self.follow_transition(now, core));
        for (name, patch) in gone {
            self.leaving.remove(&name);
            if !matches!(patch.state, PatchState::Loaded | PatchState::Disabled) {
                changes.push(self.state_change(now, &patch, Some(&patch), PatchState::Disabled));
            }
            changes.push(Change::PatchGone(name));
        }
        changes
    }

    pub(super) fn lose_core(&mut self, now: Moment, core: Core) -> Vec<Change> {
        self.stale.remove(&core);
        if !self.cores.contains(&core) {
            return Vec::new();
        }
        let mut changes = self.take_listing(now, core, Vec::new());
        self.cores.remove(&core);
        self.rounds.remove(&core);
        changes.push(Change::CoresChanged);
        changes
    }

    fn put_patch(&mut self, now: Moment, patch: Patch, before: Option<Patch>) -> Vec<Change> {
        if before.as_ref() == Some(&patch) {
            return Vec::new();
        }
        let mut changes = vec![match before {
            None => Change::PatchAppeared(patch.name.clone()),
            Some(_) => Change::PatchChanged(patch.name.clone()),
        }];
        if before.as_ref().map(|b| b.state) != Some(patch.state) {
            changes.push(self.state_change(now, &patch, before.as_ref(), patch.state));
        }
        self.patches.insert(patch.name.clone(), patch);
        changes
    }

    fn state_change(&self, now: Moment, patch: &Patch, before: Option<&Patch>, to: PatchState) -> Change {
        let ours = |job: &super::job::Job| job.patch == patch.name && job.phase != JobPhase::Ended;
        Change::StateChanged {
            patch: patch.name.clone(),
            core: patch.core,
            from: before.map(|b| b.state),
            to,
            after: before.map(|b| now.since(b.since)).unwrap_or_default(),
            ours: self.jobs.values().any(ours),
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
        if let Some(mut old) = self.transitions.remove(&core) {
            changes.extend(old.ended(now));
            changes.push(Change::PatchChanged(old.patch));
        }
        if let Some((patch, direction)) = target {
            let mut transition = Transition::new(patch.clone(), direction, now);
            if self.rounds.get(&core).is_some_and(|r| r.ended > 0) {
                transition.scan_by = now;
            }
            self.transitions.insert(core, transition);
            changes.push(Change::TransitionStarted { patch, core, direction });
        } else if let Some(rounds) = self.rounds.get_mut(&core) {
            rounds.clear();
        }
        changes
    }
}

/// What the patch is now, given what it was.
fn next_patch(now: Moment, core: Core, name: PatchName, listed: Option<Listed>, before: Option<&Patch>) -> Patch {
    let state = match (&listed, before.map(|b| b.state)) {
        (Some(l), _) => match (l.transition, l.enabled) {
            (true, true) => PatchState::Enabling,
            (true, false) => PatchState::Disabling,
            (false, true) => PatchState::Enabled,
            (false, false) => PatchState::Disabled,
        },
        (None, None | Some(PatchState::Loaded)) => PatchState::Loaded,
        (None, Some(_)) => PatchState::Disabled,
    };
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

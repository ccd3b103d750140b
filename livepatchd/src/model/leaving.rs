// SPDX-License-Identifier: GPL-2.0-only
//! Modules whose patches are no longer in use: when to try to unload them, and when to leave them.
//!
//! It never judges whether a patch is in use: the kernel's reference count does, and refuses.

use std::collections::BTreeSet;

use super::{
    Model,
    change::Change,
    patch::{Core, PatchName, PatchState},
    refusal::{ErrorName, Refusal},
    time::{Millis, Moment},
};

/// A reference is usually dropped within milliseconds, by a worker of the core that frees the patch.
const RETRY: Millis = Millis(100);
/// How long to wait for the last reference: a task may still run in the module's code.
const PATIENCE: Millis = Millis(10_000);

/// A module whose patch is no longer in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// When to try next.
    pub next: Moment,
    /// When to give up.
    pub until: Moment,
}

impl Model {
    /// From now on, unloads this module; says so at once if that cannot be.
    pub(super) fn let_leave(&mut self, now: Moment, patch: &PatchName) -> Option<Change> {
        if self.kept.contains(patch) {
            let (patch, why) = (patch.clone(), kept(patch));
            return Some(Change::ModuleStays { patch, why });
        }
        self.leaving.entry(patch.clone()).or_insert(Leaving {
            next: now,
            until: now + PATIENCE,
        });
        None
    }

    /// Takes in what became of an attempt to unload.
    pub(super) fn module_left(&mut self, now: Moment, patch: PatchName, result: Result<bool, Refusal>) -> Vec<Change> {
        if let Ok(true) = result {
            // a daemon that has just started may unload before it knows the patch, while the first listing is under way
            let known = self.patches.get(&patch).map(|p| p.core);
            for core in Core::ALL.into_iter().filter(|core| known.is_none_or(|k| k == *core)) {
                self.freshness.entry(core).or_default().overtake();
            }
        }
        let Some(leaving) = self.leaving.get_mut(&patch) else {
            return Vec::new();
        };
        match result {
            Ok(true) => {
                self.leaving.remove(&patch);
                self.kept.remove(&patch);
                let known = self.patches.remove(&patch).is_some();
                let gone = known.then(|| Change::PatchGone(patch.clone()));
                [Change::ModuleUnloaded(patch)].into_iter().chain(gone).collect()
            }
            Ok(false) if now < leaving.until => {
                leaving.next = now + RETRY;
                Vec::new()
            }
            Ok(false) => {
                let why = format!(
                    "{patch} is no longer in use as a patch, but its module is still referenced: a task may \
                     run in it; later try: livepatchctl revert {patch}"
                );
                self.module_stays(patch, Refusal::new(ErrorName::Busy, why))
            }
            Err(why) => self.module_stays(patch, why),
        }
    }

    /// The modules that the kernel never lets go once the patch's transition is forced: tasks may still run their code
    /// (`kernel/livepatch/transition.c: klp_force_transition` marks the patches that are being removed).
    pub(super) fn retired_by_force(&self, patch: &PatchName) -> BTreeSet<PatchName> {
        let Some(forced) = self.patches.get(patch) else {
            return BTreeSet::new();
        };
        match forced.state {
            PatchState::Disabling | PatchState::Disabled | PatchState::Loaded => BTreeSet::from([patch.clone()]),
            PatchState::Enabling | PatchState::Enabled if forced.replace == Some(true) => {
                let retired = self.patches.values().filter(|p| {
                    p.core == forced.core
                        && p.name != *patch
                        && matches!(p.state, PatchState::Enabled | PatchState::Disabled)
                });
                retired.map(|p| p.name.clone()).collect()
            }
            PatchState::Enabling | PatchState::Enabled => BTreeSet::new(),
        }
    }

    fn module_stays(&mut self, patch: PatchName, why: Refusal) -> Vec<Change> {
        self.leaving.remove(&patch);
        self.fail_unloading(&patch, &why);
        vec![Change::ModuleStays { patch, why }]
    }
}

/// Why a forced patch's module stays.
pub(super) fn kept(patch: &PatchName) -> Refusal {
    Refusal::new(
        ErrorName::Refused,
        format!("the transition that disabled {patch} was forced: the kernel keeps its module until the next boot"),
    )
}

#[cfg(test)]
mod tests {
    use crate::model::{
        Model,
        change::Change,
        fact::{Fact, Outcome},
        patch::{Core, Listed, PatchListing},
        testing::name,
        time::Moment,
    };

    const NOW: Moment = Moment(1_000);

    #[test]
    fn a_module_that_a_listing_misses_before_the_end_of_its_removal_is_told_as_unloaded_once() {
        let listing = |patches| Fact::Listing {
            core: Core::Kernel,
            patches,
        };
        let listed = Some(Listed {
            enabled: true,
            transition: false,
            replace: None,
            stack_order: None,
            functions: Vec::new(),
        });
        let mut model = Model::new();
        model.observe(
            NOW,
            listing(vec![PatchListing {
                name: name("lp"),
                listed,
            }]),
        );
        assert_eq!(model.let_leave(NOW, &name("lp")), None);
        let gone = model.observe(NOW, listing(Vec::new()));
        assert!(
            !gone.contains(&Change::ModuleUnloaded(name("lp"))),
            "it is still going: {gone:?}"
        );
        assert_eq!(model.leaving().count(), 1);
        let unloaded = Outcome::Unloaded {
            patch: name("lp"),
            result: Ok(true),
        };
        let late = model.observe(NOW, Fact::Outcome(unloaded));
        assert!(late.contains(&Change::ModuleUnloaded(name("lp"))), "{late:?}");
        assert_eq!(model.leaving().count(), 0);
    }
}

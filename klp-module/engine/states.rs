// SPDX-License-Identifier: GPL-2.0-only
//! The system states of patches: may a patch come after those that are there, and what had the one before made of a state?
//! The rule is pure/states.rs'. Invariant: a state in [`PREVIOUS`] belongs to a patch that is registered, or that the
//! running transition replaces and has not released yet.

use kernel::{prelude::*, sync::global_lock};

use super::{patch::Patch, state::Core};
use crate::{
    kernel_api::description::State,
    pure::states::{self, State as Rule},
};

global_lock! {
    /// The states of the patches before the one in transition, oldest first; none outside of transitions. Innermost: nothing
    /// is taken or allocated under it. Callbacks ask for it while the core's lock is held for them.
    pub(crate) unsafe(uninit) static PREVIOUS: SpinLock<Option<KVec<State>>> = None;
}

/// Refuses a patch that would not know what to do with the states that are there (-EINVAL).
pub(super) fn admit(core: &Core, patch: &Patch) -> Result {
    let rules = |patch: &Patch| -> Result<KVec<Rule>> {
        let mut rules = KVec::new();
        for state in patch.description.states() {
            rules.push(state.rule(), GFP_KERNEL)?;
        }
        Ok(rules)
    };
    let new = rules(patch)?;
    for registered in &core.patches {
        let installed = rules(&registered.patch)?;
        if !states::is_compatible(new.iter().copied(), patch.replace, installed.iter().copied()) {
            pr_err!(
                "Livepatch patch ({}) is not compatible with the already installed livepatches.\n",
                &*patch.name
            );
            return Err(EINVAL);
        }
    }
    Ok(())
}

/// Makes the states of all patches before the one in transition known to callbacks, until [`forget`].
pub(super) fn remember(core: &Core) -> Result {
    let mut known = KVec::new();
    for registered in &core.patches {
        if core.phase.moves(registered.patch.id) {
            break;
        }
        for state in registered.patch.description.states() {
            known.push(state, GFP_KERNEL)?;
        }
    }
    let old = PREVIOUS.lock().replace(known);
    drop(old);
    Ok(())
}

/// The transition and its callbacks are over.
pub(super) fn forget() {
    let old = PREVIOUS.lock().take();
    drop(old);
}

/// What the newest patch before the one in transition made of this state. An error outside of transitions.
pub(crate) fn previous(id: usize) -> Result<Option<State>> {
    let known = PREVIOUS.lock();
    let known = known.as_ref().ok_or(EINVAL)?;
    Ok(known.iter().rev().find(|state| state.rule().id == id).copied())
}

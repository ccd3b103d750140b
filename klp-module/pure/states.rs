// SPDX-License-Identifier: GPL-2.0-only
//! System states: what patches changed beside functions, and which patch may come after which. What a state means is its
//! authors' matter. Invariant: only ids and versions decide; the same rules as kernel/livepatch/state.c.

/// One state that a patch changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// Which one; never 0, which ends the author's list.
    pub(crate) id: usize,
    /// What this patch makes of it.
    pub(crate) version: u32,
}

/// May a patch with `new` states come when one with `installed` states is there? It must know every state that it touches
/// at least as well, and if it replaces, it must know all.
pub(crate) fn is_compatible(
    new: impl Iterator<Item = State> + Clone,
    replaces: bool,
    mut installed: impl Iterator<Item = State>,
) -> bool {
    installed.all(|old| match new.clone().find(|state| state.id == old.id) {
        Some(state) => state.version >= old.version,
        None => !replaces,
    })
}

// SPDX-License-Identifier: GPL-2.0-only
//! What the ftrace handler looks up: for each patched function where a patched and where an unpatched task goes on. Never
//! changed once published: a change is a new table. Invariant: outside transitions both ways are the same, so that the
//! handler asks for the state of a task only when the answer matters.

/// One patched function. All zero is an unused slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Where ftrace calls out: what the handler is given.
    pub(crate) ip: usize,
    /// Where a patched task goes on; 0 is the original function.
    pub(crate) patched: usize,
    /// Where an unpatched task goes on; 0 is the original function.
    pub(crate) unpatched: usize,
}

impl Entry {
    /// Where a task in this state goes on; 0 is the original function.
    #[inline]
    pub(crate) fn way(&self, patched: bool) -> usize {
        if patched {
            self.patched
        } else {
            self.unpatched
        }
    }
}

/// Slots needed so that at least half stay unused and look-ups stay short; 0 when there is nothing to look up.
pub(crate) const fn slots_for(entries: usize) -> usize {
    match entries.checked_mul(2) {
        None | Some(0) => 0,
        Some(slots) => slots.next_power_of_two(),
    }
}

fn way(slots: usize, ip: usize) -> impl Iterator<Item = usize> {
    // The multiplication spreads what tells functions apart, which is in the middle of their addresses (Fibonacci hashing).
    let home = ip.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    (0..slots).map(move |step| home.wrapping_add(step) & slots.wrapping_sub(1))
}

/// Puts an entry into zeroed slots, whose number is from [`slots_for`]; false when it has no room.
pub(crate) fn put(slots: &mut [Entry], entry: Entry) -> bool {
    for index in way(slots.len(), entry.ip) {
        if let Some(slot) = slots.get_mut(index).filter(|slot| slot.ip == 0) {
            *slot = entry;
            return true;
        }
    }
    false
}

/// Where the function at `ip` goes on: as its entry says, or `by_state` when that depends on the state of the task; 0 is the
/// original function, or one that is not (or no longer) patched.
#[inline]
pub(crate) fn choose(slots: &[Entry], ip: usize, by_state: impl FnOnce(&Entry) -> usize) -> usize {
    for index in way(slots.len(), ip) {
        match slots.get(index) {
            Some(entry) if entry.ip == ip => {
                return if entry.patched == entry.unpatched {
                    entry.patched
                } else {
                    by_state(entry)
                };
            }
            Some(entry) if entry.ip != 0 => {}
            _ => return 0,
        }
    }
    0
}

// SPDX-License-Identifier: GPL-2.0-only
//! May a task move, seen from the addresses on its stack? Walking the stack is the caller's part. Invariant: a doubt is
//! never an answer in favour: what is not known to be safe keeps the task where it is.

/// Object and function, by their place in the patch.
pub(crate) type FuncId = (u32, u32);

/// Code that must not be on the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// First byte.
    pub(crate) start: usize,
    /// First byte behind it.
    pub(crate) end: usize,
    /// Whose it is, for the report.
    pub(crate) layer: FuncId,
}

/// What keeps a task from moving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing: it has moved.
    Moved,
    /// It is running, or waits to run, and could not be held still.
    Running,
    /// Its stack cannot be trusted.
    Unreliable,
    /// It is inside this function.
    Inside(FuncId),
    /// There was no room to write down that it moved.
    NoRoom,
}

/// The length of the call from a function's entry to ftrace (arch/x86: `MCOUNT_INSN_SIZE`).
const CALL: usize = 5;

/// What one stack address gives away. `ranges` is the code of the state to be left, `ips` where ftrace calls out of the
/// functions concerned.
///
/// A task between the call to ftrace and its return has had its function chosen, by its old state, but is in neither
/// function yet. All that shows is the address behind the call, in both directions.
///
/// `entering` is the one function that the asking task is calling into ftrace from right now, in the handler itself: nothing
/// has been chosen for it yet, so the newest such address on its stack does not count. It is taken when it is met.
pub(crate) fn inside(
    ranges: &[Range],
    ips: &[(usize, FuncId)],
    entering: &mut Option<usize>,
    address: usize,
) -> Option<FuncId> {
    if entering.is_some_and(|ip| ip.wrapping_add(CALL) == address) {
        *entering = None;
        return None;
    }
    let range = ranges
        .iter()
        .find(|range| range.start <= address && address < range.end);
    if cfg!(klp_rs_without = "window") {
        return range.map(|range| range.layer);
    }
    let window = || ips.iter().find(|(ip, _)| ip.wrapping_add(CALL) == address);
    range
        .map(|range| range.layer)
        .or_else(|| window().map(|&(_, layer)| layer))
}

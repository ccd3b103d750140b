// SPDX-License-Identifier: GPL-2.0-only
//! Which patch may come after which, by the states they change.

use proptest::prelude::*;

use crate::pure::states::{is_compatible, State};

fn list(pairs: &[(usize, u32)]) -> Vec<State> {
    pairs.iter().map(|&(id, version)| State { id, version }).collect()
}

fn may_come(new: &[(usize, u32)], replaces: bool, installed: &[(usize, u32)]) -> bool {
    is_compatible(list(new).into_iter(), replaces, list(installed).into_iter())
}

#[test]
fn a_replacing_patch_must_know_every_state_that_is_there() {
    assert!(may_come(&[(1, 1), (2, 1)], true, &[(1, 1)]));
    assert!(!may_come(&[(2, 1)], true, &[(1, 1)]));
    assert!(!may_come(&[], true, &[(1, 1)]));
    assert!(may_come(&[], true, &[]));
}

#[test]
fn another_patch_need_not_but_what_it_knows_it_must_know_as_well() {
    assert!(may_come(&[], false, &[(1, 7)]));
    assert!(may_come(&[(2, 1)], false, &[(1, 7)]));
    assert!(may_come(&[(1, 7)], false, &[(1, 7)]));
    assert!(!may_come(&[(1, 6)], false, &[(1, 7)]));
    assert!(!may_come(&[(1, 6)], true, &[(1, 7)]));
}

proptest! {
    #[test]
    fn whoever_may_replace_may_also_come_on_top(
        new in prop::collection::vec((1..5usize, 0..3u32), 0..5),
        installed in prop::collection::vec((1..5usize, 0..3u32), 0..5),
    ) {
        prop_assert!(!may_come(&new, true, &installed) || may_come(&new, false, &installed));
    }
}

// SPDX-License-Identifier: GPL-2.0-only
//! What on a stack keeps a task.

use proptest::prelude::*;

use crate::pure::stack_verdict::{inside, Range};

const OLD: Range = Range {
    start: 0x1000,
    end: 0x1100,
    layer: (0, 0),
};
const IPS: [(usize, (u32, u32)); 1] = [(0x1004, (0, 0))];
const NEW: Range = Range {
    start: 0x9000,
    end: 0x9080,
    layer: (0, 0),
};

#[test]
fn an_address_in_the_code_to_be_left_keeps_a_task() {
    for (address, kept) in [(0xfff, false), (0x1000, true), (0x10ff, true), (0x1100, false)] {
        assert_eq!(inside(&[OLD], &IPS, &mut None, address).is_some(), kept, "{address:#x}");
    }
}

/// The rule without which the feasibility study saw mixed versions: also a task that goes back is kept while it is between
/// the call to ftrace and its return, though the code that it would leave is elsewhere.
#[test]
fn the_address_behind_the_call_to_ftrace_keeps_a_task_in_both_directions() {
    assert_eq!(inside(&[OLD], &IPS, &mut None, 0x1009), Some((0, 0)));
    assert_eq!(inside(&[NEW], &IPS, &mut None, 0x1009), Some((0, 0)));
    assert_eq!(inside(&[NEW], &IPS, &mut None, 0x100a), None);
}

#[test]
fn a_task_in_the_handler_is_kept_by_every_frame_but_its_own_entry() {
    let mut entering = Some(0x1004);
    assert_eq!(inside(&[OLD], &IPS, &mut entering, 0x5000), None);
    assert_eq!(inside(&[OLD], &IPS, &mut entering, 0x1009), None);
    // Once only: an older frame at the same place has chosen.
    assert_eq!(inside(&[OLD], &IPS, &mut entering, 0x1009), Some((0, 0)));
    assert_eq!(inside(&[OLD], &IPS, &mut entering, 0x1050), Some((0, 0)));
}

proptest! {
    #[test]
    fn a_kept_task_is_kept_by_code_or_call(address in 0x0f00..0x1200usize) {
        let kept = inside(&[OLD], &IPS, &mut None, address).is_some();
        prop_assert_eq!(kept, (OLD.start..OLD.end).contains(&address) || address == 0x1009);
    }
}

// SPDX-License-Identifier: GPL-2.0-only
//! What is legal when.

use proptest::prelude::*;

use crate::pure::phase::{Direction, Event, Illegal, Phase};

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (1..4u32).prop_map(Event::Enable),
        (1..4u32).prop_map(Event::Disable),
        (1..4u32).prop_map(Event::Reverse),
        Just(Event::Arrived),
    ]
}

proptest! {
    #[test]
    fn only_one_patch_is_ever_in_transition(events in prop::collection::vec(event(), 0..50)) {
        let mut phase = Phase::Idle;
        for event in events {
            let next = phase.after(event);
            match (phase, event) {
                (Phase::Moving { .. }, Event::Enable(_) | Event::Disable(_)) => prop_assert_eq!(next, Err(Illegal::Busy)),
                (Phase::Idle, Event::Reverse(_) | Event::Arrived) => prop_assert_eq!(next, Err(Illegal::NotMoving)),
                (Phase::Moving { patch, .. }, Event::Reverse(other)) if patch != other => {
                    prop_assert_eq!(next, Err(Illegal::Busy));
                }
                _ => prop_assert!(next.is_ok()),
            }
            phase = next.unwrap_or(phase);
        }
    }

    #[test]
    fn turning_twice_is_turning_never(patch in 1..4u32, enable in any::<bool>()) {
        let begin = if enable { Event::Enable(patch) } else { Event::Disable(patch) };
        let moving = Phase::Idle.after(begin).unwrap();
        let turned = moving.after(Event::Reverse(patch)).unwrap();
        prop_assert_ne!(turned, moving);
        prop_assert_eq!(turned.after(Event::Reverse(patch)).unwrap(), moving);
    }
}

#[test]
fn tasks_arrive_patched_only_when_patching() {
    assert!(Direction::Patching.arrives_patched());
    assert!(!Direction::Unpatching.arrives_patched());
    assert_eq!(Direction::Patching.opposite().as_str(), "unpatching");
}

#[test]
fn the_moving_patch_is_known() {
    let moving = Phase::Idle.after(Event::Enable(7)).unwrap();
    assert!(moving.moves(7) && !moving.moves(8) && !Phase::Idle.moves(7));
}

// SPDX-License-Identifier: GPL-2.0-only
//! Whom alone a scan need look at, and when everybody.

use super::*;
use crate::model::patch::Core;

fn verdict(core: Core, tid: u32) -> Fact {
    Fact::Verdict {
        core,
        key: key(tid),
        comm: "cat".into(),
        verdict: Verdict::SleepingOn("tgt_wait".into()),
    }
}

fn event(event: TransitionEvent) -> Fact {
    Fact::Transition { core: Kernel, event }
}

/// A transition that was followed from its start; its first round named these.
fn followed(named: impl IntoIterator<Item = u32>) -> Model {
    let mut model = model([]);
    model.observe(T, event(TransitionEvent::Started));
    for tid in named {
        model.observe(T, verdict(Kernel, tid));
    }
    model.observe(T, event(TransitionEvent::RoundEnded));
    model.observe(T, lp(ENABLING));
    model
}

fn suspects(model: &Model) -> Option<Vec<u32>> {
    let suspects = model.suspects(Kernel)?;
    Some(suspects.into_iter().map(|key| key.tid).collect())
}

#[test]
fn those_that_a_round_named_are_looked_at_and_those_seen_since() {
    let mut model = followed([7, 9]);
    assert_eq!(suspects(&model), Some(vec![7, 9]));
    model.observe(
        T,
        Fact::Scan {
            core: Kernel,
            patch: name("lp"),
            direction: Patching,
            pending: vec![sighting(9), sighting(11)],
            total: 5,
        },
    );
    assert_eq!(suspects(&model), Some(vec![7, 9, 11]));
    model.observe(T, verdict(Kernel, 9));
    model.observe(T, event(TransitionEvent::RoundEnded));
    assert_eq!(suspects(&model), Some(vec![9, 11]));
}

#[test]
fn an_idle_task_is_named_but_there_is_nothing_to_look_at() {
    assert_eq!(suspects(&followed([0])), Some(vec![]));
}

#[test]
fn everybody_is_looked_at_where_the_kernel_named_nobody_or_many() {
    // before the first round ended, or in a kernel that gives no verdicts
    assert_eq!(suspects(&model([lp(ENABLING)])), None);
    assert_eq!(suspects(&followed([])), None);
    assert_eq!(suspects(&followed(1..=16)).map(|named| named.len()), Some(16));
    assert_eq!(suspects(&followed(1..=17)), None);
}

#[test]
fn everybody_is_looked_at_while_a_verdict_may_have_been_missed() {
    // found running: the first round was not followed from its begin
    let mut model = model([lp(ENABLING)]);
    for known in [None, Some(vec![7])] {
        model.observe(T, verdict(Kernel, 7));
        model.observe(T, event(TransitionEvent::RoundEnded));
        assert_eq!(suspects(&model), known);
    }
    // lost: the round that ended is in doubt, and the one that is under way
    model.observe(T, Fact::EventsLost);
    assert!(model.is_stale(Kernel), "what the events told may be in the listing");
    for known in [None, Some(vec![7])] {
        assert_eq!(suspects(&model), None);
        model.observe(T, verdict(Kernel, 7));
        model.observe(T, event(TransitionEvent::RoundEnded));
        assert_eq!(suspects(&model), known);
    }
    model.observe(T, event(TransitionEvent::Reversed));
    assert_eq!(suspects(&model), None);
}

#[test]
fn everybody_is_looked_at_after_a_turn_that_the_listing_told_first() {
    let mut model = followed([7]);
    assert_eq!(suspects(&model), Some(vec![7]));
    model.observe(T, lp(DISABLING));
    assert_eq!(
        suspects(&model),
        None,
        "those that had not moved are where they should be now"
    );
}

// SPDX-License-Identifier: GPL-2.0-only
//! Single decisions, from a model that was told a few facts.

use crate::{
    model::{
        Model,
        fact::{Fact, Outcome},
        job::{JobOptions, OnTimeout},
        patch::{
            Core::{self, Kernel},
            Direction, Function, Listed, PatchListing,
        },
        refusal::{ErrorName, Refusal},
        request::Request,
        task::Sighting,
        testing::{name, sighting},
        time::{Millis, Moment},
    },
    policy::{action::Action, begun, decide, rules::Rules},
};

const T: Moment = Moment(1_000_000);
const OPTIONS: JobOptions = JobOptions {
    timeout: Millis(75_000),
    on_timeout: OnTimeout::Reverse,
    nudge: true,
};

fn lp(enabled: bool, transition: bool) -> Fact {
    let listed = Listed {
        enabled,
        transition,
        replace: Some(false),
        stack_order: None,
        functions: Vec::new(),
    };
    let patches = vec![PatchListing {
        name: name("lp"),
        listed: Some(listed),
    }];
    Fact::Listing { core: Kernel, patches }
}

fn enabled() -> Model {
    let mut model = Model::new();
    model.observe(T, lp(true, false));
    model
}

fn revert(model: &mut Model) {
    let patch = name("lp");
    let options = OPTIONS;
    model.request(T, Request::Revert { patch, options }).0.expect("a job");
}

fn writes(model: &Model) -> Vec<Action> {
    let actions = decide(model, &Rules::default(), T).actions;
    let writes = actions.into_iter();
    writes
        .filter(|a| matches!(a, Action::Switch { .. } | Action::Force { .. }))
        .collect()
}

fn switched(direction: Direction, result: Result<(), Refusal>) -> Fact {
    Fact::Outcome(Outcome::Switched {
        core: Kernel,
        patch: name("lp"),
        direction,
        result,
    })
}

fn scan(direction: Direction) -> Fact {
    Fact::Scan {
        core: Kernel,
        patch: name("lp"),
        direction,
        pending: vec![sighting(812)],
        total: 5,
    }
}

#[test]
fn an_unused_model_decides_nothing() {
    assert_eq!(
        decide(&Model::new(), &Rules::default(), T),
        crate::policy::Decision::default()
    );
}

#[test]
fn a_core_that_may_have_come_is_looked_at() {
    let mut model = Model::new();
    model.observe(T, Fact::Stirred(Kernel));
    assert_eq!(decide(&model, &Rules::default(), T).actions, [Action::List(Kernel)]);
    begun(&mut model, T, &Action::List(Kernel));
    model.observe(T, Fact::CoreGone(Kernel));
    assert_eq!(decide(&model, &Rules::default(), T), crate::policy::Decision::default());
}

#[test]
fn two_jobs_that_want_the_same_write_get_it_once() {
    let mut model = enabled();
    revert(&mut model);
    model.observe(T, switched(Direction::Unpatching, Ok(())));
    begun(&mut model, T, &Action::List(Kernel));
    model.observe(T, lp(false, true));
    let (patch, options) = (name("lp"), OPTIONS);
    model.request(T, Request::Cancel { patch, options }).0.expect("a job");
    assert_eq!(model.jobs().filter(|j| j.target == Direction::Patching).count(), 2);
    assert_eq!(writes(&model).len(), 1);
}

#[test]
fn after_a_refused_write_comes_a_look_before_the_next_try() {
    let mut model = enabled();
    revert(&mut model);
    assert_eq!(writes(&model).len(), 1);
    let refused = Err(Refusal::new(ErrorName::Busy, "EBUSY"));
    model.observe(T, switched(Direction::Unpatching, refused));
    assert_eq!(writes(&model), []);
    begun(&mut model, T, &Action::List(Kernel));
    assert_eq!(writes(&model), []);
    model.observe(T, lp(true, false));
    assert_eq!(writes(&model).len(), 1);
}

#[test]
fn force_is_never_written_once_the_transition_has_turned() {
    let mut model = enabled();
    revert(&mut model);
    model.observe(T, switched(Direction::Unpatching, Ok(())));
    begun(&mut model, T, &Action::List(Kernel));
    model.observe(T, lp(false, true));
    let patch = name("lp");
    model.request(T, Request::Force { patch }).0.expect("a job");
    model.observe(T, scan(Direction::Unpatching));
    let force = writes(&model);
    assert!(matches!(force[..], [Action::Force { .. }]), "{force:?}");
    // while it is on its way, somebody turns the transition
    begun(&mut model, T, &force[0]);
    model.observe(T, lp(true, true));
    assert_eq!(writes(&model), []);
}

#[test]
fn force_waits_for_a_look_at_the_tasks_that_it_goes_over_but_not_for_ever() {
    let is_force = |actions: &[Action]| actions.iter().any(|a| matches!(a, Action::Force { .. }));
    let mut model = Model::new();
    model.observe(T, lp(true, true));
    // what was seen before it was asked for is no evidence
    model.observe(T, scan(Direction::Patching));
    let asked = T + Millis(1);
    let patch = name("lp");
    model.request(asked, Request::Force { patch }).0.expect("a job");
    let first = decide(&model, &Rules::default(), asked);
    assert!(!is_force(&first.actions), "{first:?}");
    let look = first.actions.iter().find(|a| matches!(a, Action::Scan { .. }));
    begun(&mut model, asked, look.expect("a look at once"));
    let waits = decide(&model, &Rules::default(), asked);
    assert!(!is_force(&waits.actions) && waits.wake_at <= Some(asked + Millis(2_000)));
    // no answer comes
    assert!(!is_force(
        &decide(&model, &Rules::default(), asked + Millis(1_999)).actions
    ));
    assert!(is_force(
        &decide(&model, &Rules::default(), asked + Millis(2_000)).actions
    ));
    model.observe(asked + Millis(3), scan(Direction::Patching));
    assert!(is_force(&decide(&model, &Rules::default(), asked + Millis(3)).actions));
}

#[test]
fn only_patches_of_the_same_functions_are_below() {
    let function = |name: &str| Function {
        object: "tgt".into(),
        name: name.into(),
        sympos: 1,
    };
    let patch = |patch: &str, enabled, transition, replace, functions: &[&str]| PatchListing {
        name: name(patch),
        listed: Some(Listed {
            enabled,
            transition,
            replace,
            stack_order: None,
            functions: functions.iter().copied().map(function).collect(),
        }),
    };
    for (replace, expected) in [
        (Some(false), &["same"][..]),
        (None, &["same"]),
        (Some(true), &["other", "same"]),
    ] {
        let mut model = Model::new();
        let patches = vec![
            patch("lp", true, true, replace, &["tgt_wait", "tgt_spin"]),
            patch("off", false, false, Some(false), &["tgt_wait"]),
            patch("other", true, false, Some(false), &["tgt_read"]),
            patch("same", true, false, Some(false), &["tgt_read", "tgt_wait"]),
        ];
        model.observe(T, Fact::Listing { core: Kernel, patches });
        let actions = decide(&model, &Rules::default(), T + Millis(100)).actions;
        let below = actions.into_iter().find_map(|action| match action {
            Action::Scan { below, .. } => Some(below),
            _ => None,
        });
        let expected: Vec<_> = expected.iter().copied().map(name).collect();
        assert_eq!(below, Some(expected), "{replace:?}");
    }
}

#[test]
fn of_a_core_whose_states_scans_alone_tell_only_some_are_nudged_after_each() {
    for (core, expected) in [(Core::Kernel, 20), (Core::KlpRs, 8)] {
        let mut model = Model::new();
        let Fact::Listing { patches, .. } = lp(true, true) else {
            unreachable!()
        };
        model.observe(T, Fact::Listing { core, patches });
        let asleep = |tid| Sighting {
            on_stack: Some("tgt_wait [tgt]".to_owned()),
            ..sighting(tid)
        };
        let pending: Vec<_> = (812..832).map(asleep).collect();
        let seen = |pending: &[Sighting]| Fact::Scan {
            core,
            patch: name("lp"),
            direction: Direction::Patching,
            pending: pending.to_vec(),
            total: 50,
        };
        model.observe(T, seen(&pending));
        let later = T + Millis(1_000);
        model.observe(later, seen(&pending));
        let nudges = |model: &Model, now| {
            let actions = decide(model, &Rules::default(), now).actions.into_iter();
            actions
                .filter(|a| matches!(a, Action::Nudge { .. }))
                .collect::<Vec<_>>()
        };
        let first = nudges(&model, later);
        assert_eq!(first.len(), expected, "{core}");
        for nudge in &first {
            begun(&mut model, later, nudge);
        }
        assert_eq!(nudges(&model, later), [], "{core}");
        // each outcome makes room, and the next ones want a fresh look
        for nudge in first {
            let Action::Nudge { patch, key, .. } = nudge else {
                unreachable!()
            };
            let result = Ok(());
            model.observe(
                later + Millis(60),
                Fact::Outcome(Outcome::Nudged { patch, key, result }),
            );
        }
        assert_eq!(nudges(&model, later + Millis(60)), [], "{core}");
        model.observe(later + Millis(61), seen(&pending[expected..]));
        assert_eq!(
            nudges(&model, later + Millis(61)).len(),
            expected.min(20 - expected),
            "{core}"
        );
    }
}

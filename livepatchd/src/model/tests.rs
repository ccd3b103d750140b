// SPDX-License-Identifier: GPL-2.0-only
//! The model alone, fact by fact: the orders in which facts may come that a whole world rarely produces.
//!
//! What the model and policy make of a kernel together is in `policy/tests`.

mod resuming;
mod suspects;

use super::{
    Model,
    change::Change,
    fact::{Fact, Outcome, TransitionEvent},
    job::{JobId, JobOptions, JobPhase, JobResult, OnTimeout},
    patch::{
        Core::Kernel,
        Direction::{Patching, Unpatching},
        Listed, PatchListing,
        PatchState::{self, Disabled, Disabling, Enabled, Enabling, Loaded},
    },
    refusal::ErrorName,
    request::{Answer, Request},
    task::{Reason, Verdict},
    testing::{key, name, sighting},
    time::{Millis, Moment},
};

const T: Moment = Moment(1_000_000);

/// `lp` with these values of `enabled` and `transition`; `None` where only its module is loaded.
fn lp(files: Option<(bool, bool)>) -> Fact {
    let listed = files.map(|(enabled, transition)| Listed {
        enabled,
        transition,
        replace: Some(false),
        stack_order: None,
        functions: Vec::new(),
    });
    let patches = vec![PatchListing {
        name: name("lp"),
        listed,
    }];
    Fact::Listing { core: Kernel, patches }
}

const ENABLING: Option<(bool, bool)> = Some((true, true));
const DISABLING: Option<(bool, bool)> = Some((false, true));
const ENABLED: Option<(bool, bool)> = Some((true, false));
const DISABLED: Option<(bool, bool)> = Some((false, false));

fn nothing() -> Fact {
    Fact::Listing {
        core: Kernel,
        patches: Vec::new(),
    }
}

fn options(timeout: u64, on_timeout: OnTimeout) -> JobOptions {
    JobOptions {
        timeout: Millis(timeout),
        on_timeout,
        nudge: true,
    }
}

fn model(facts: impl IntoIterator<Item = Fact>) -> Model {
    let mut model = Model::new();
    for fact in [nothing()].into_iter().chain(facts) {
        model.observe(T, fact);
    }
    model
}

fn ask(model: &mut Model, request: Request) -> JobId {
    match model.request(T, request).0 {
        Ok(Answer::Job(id)) => id,
        other => panic!("{other:?}"),
    }
}

fn apply(model: &mut Model, timeout: u64, on_timeout: OnTimeout) -> JobId {
    ask(
        model,
        Request::Apply {
            patch: name("lp"),
            core: Kernel,
            options: options(timeout, on_timeout),
        },
    )
}

fn revert(model: &mut Model) -> JobId {
    ask(
        model,
        Request::Revert {
            patch: name("lp"),
            options: options(75_000, OnTimeout::Reverse),
        },
    )
}

fn loaded(job: JobId) -> Fact {
    Fact::Outcome(Outcome::Loaded { job, result: Ok(()) })
}

fn result(model: &Model, id: JobId) -> Option<JobResult> {
    model.jobs().find(|j| j.id == id).and_then(|j| j.result)
}

fn phase(model: &Model, id: JobId) -> Option<JobPhase> {
    model.jobs().find(|j| j.id == id).map(|j| j.phase)
}

fn state(model: &Model) -> Option<PatchState> {
    model.patch(&name("lp")).map(|p| p.state)
}

#[test]
fn each_listing_is_read_by_what_the_patch_was_before() {
    // (what was listed before, what is listed now, the state now)
    let steps = [
        (&[][..], DISABLED, Loaded),
        (&[], DISABLING, Enabling),
        (&[], ENABLING, Enabling),
        (&[], ENABLED, Enabled),
        (&[], None, Loaded),
        (&[DISABLED], DISABLING, Enabling),
        (&[DISABLING], DISABLING, Disabling),
        (&[ENABLING], DISABLING, Disabling),
        (&[ENABLING], ENABLED, Enabled),
        (&[ENABLED], ENABLING, Disabling),
        (&[ENABLED, ENABLING], DISABLING, Disabling),
        (&[ENABLED, ENABLING], ENABLING, Enabling),
        (&[ENABLED], DISABLED, Disabled),
        (&[ENABLED], None, Disabled),
        (&[ENABLED, None], None, Disabled),
        (&[None], None, Loaded),
    ];
    for (before, now, expected) in steps {
        let model = model(before.iter().copied().chain([now]).map(lp));
        assert_eq!(state(&model), Some(expected), "{before:?} then {now:?}");
    }
}

#[test]
fn what_the_first_listing_shows_is_taken_at_its_word() {
    for (listed, expected) in [(DISABLING, Disabling), (DISABLED, Disabled), (ENABLING, Enabling)] {
        let mut model = Model::new();
        model.observe(T, lp(listed));
        assert_eq!(state(&model), Some(expected));
    }
}

#[test]
fn a_listing_asked_for_before_the_load_ended_does_not_judge_the_job() {
    let mut model = model([]);
    let job = apply(&mut model, 75_000, OnTimeout::Reverse);
    model.listing_asked(T, Kernel);
    model.observe(T, loaded(job));
    // a tick, and the answer to a question from before
    model.tick(T, Millis(3_000));
    model.observe(T, nothing());
    assert_eq!(result(&model, job), None);
    assert!(model.is_stale(Kernel));
    model.listing_asked(T, Kernel);
    model.tick(T, Millis(3_000));
    assert_eq!(result(&model, job), None);
    model.observe(T, lp(ENABLED));
    assert_eq!(result(&model, job), Some(JobResult::Done));
}

#[test]
fn a_listing_overtaken_by_an_unloading_does_not_bring_the_patch_back() {
    let mut model = model([lp(ENABLED), lp(DISABLED)]);
    revert(&mut model);
    model.listing_asked(T, Kernel);
    let unloaded = Outcome::Unloaded {
        patch: name("lp"),
        result: Ok(true),
    };
    model.observe(T, Fact::Outcome(unloaded));
    assert_eq!(state(&model), None);
    assert_eq!(model.observe(T, lp(DISABLED)), []);
    assert_eq!(state(&model), None);
    assert!(model.is_stale(Kernel), "and another look is due");
}

#[test]
fn a_stir_while_a_listing_is_under_way_asks_for_another_but_does_not_void_it() {
    let mut model = model([]);
    model.listing_asked(T, Kernel);
    model.observe(T, Fact::Stirred(Kernel));
    model.observe(T, lp(ENABLED));
    assert_eq!(state(&model), Some(Enabled));
    assert!(model.is_stale(Kernel));
}

#[test]
fn no_job_is_judged_while_a_write_to_its_patch_is_under_way() {
    let mut model = model([lp(ENABLED)]);
    let revert = revert(&mut model);
    model.write_asked(&name("lp"));
    let cancel = ask(
        &mut model,
        Request::Cancel {
            patch: name("lp"),
            options: options(75_000, OnTimeout::Reverse),
        },
    );
    assert_eq!((result(&model, revert), result(&model, cancel)), (None, None));
    let switched = Outcome::Switched {
        core: Kernel,
        patch: name("lp"),
        direction: Unpatching,
        result: Ok(()),
    };
    model.observe(T, Fact::Outcome(switched));
    model.listing_asked(T, Kernel);
    model.observe(T, lp(DISABLING));
    assert_eq!((result(&model, revert), result(&model, cancel)), (None, None));
    model.observe(T, lp(ENABLED));
    assert_eq!(result(&model, revert), Some(JobResult::Cancelled));
    assert_eq!(result(&model, cancel), Some(JobResult::Done));
}

#[test]
fn a_patch_that_was_complete_at_its_deadline_is_done() {
    let mut model = model([]);
    let job = apply(&mut model, 1_000, OnTimeout::Reverse);
    model.observe(T, loaded(job));
    model.listing_asked(T, Kernel);
    model.observe(T, lp(ENABLING));
    model.tick(T + Millis(1_000), Millis(3_000));
    assert_eq!(phase(&model, job), Some(JobPhase::Reversing));
    model.observe(T + Millis(1_001), lp(ENABLED));
    assert_eq!(result(&model, job), Some(JobResult::Done));
    assert_eq!(model.jobs().find_map(|j| j.error.clone()), None);
}

#[test]
fn a_deadline_asks_for_force_once() {
    let mut model = model([]);
    let job = apply(&mut model, 1_000, OnTimeout::Force);
    model.observe(T, loaded(job));
    model.listing_asked(T, Kernel);
    model.observe(T, lp(ENABLING));
    model.tick(T + Millis(1_000), Millis(3_000));
    assert!(model.jobs().all(|j| j.force == Some(T + Millis(1_000))));
    let forced = Outcome::Forced {
        core: Kernel,
        patch: name("lp"),
        result: Ok(()),
    };
    model.observe(T + Millis(1_001), Fact::Outcome(forced));
    // however short its own time is, a force has time for a round of the core
    model.tick(T + Millis(10_999), Millis(3_000));
    assert_eq!(result(&model, job), None);
    model.tick(T + Millis(11_000), Millis(3_000));
    assert!(model.jobs().all(|j| j.force.is_none()));
    assert_eq!(result(&model, job), Some(JobResult::Timeout));
}

#[test]
fn a_pass_over_tasks_counts_only_for_the_transition_that_asked_for_it() {
    let mut model = model([lp(ENABLING)]);
    let scan = |direction| Fact::Scan {
        core: Kernel,
        patch: name("lp"),
        direction,
        pending: vec![sighting(812)],
        total: 5,
    };
    model.observe(T, scan(Unpatching));
    assert_eq!(model.transitions().map(|(_, t)| t.pending()).sum::<u32>(), 0);
    model.observe(T, scan(Patching));
    assert_eq!(model.transitions().map(|(_, t)| t.pending()).sum::<u32>(), 1);
}

#[test]
fn a_pass_that_misses_a_task_does_not_forget_its_nudges() {
    let mut model = model([lp(ENABLING)]);
    let scan = |tids: &[u32]| Fact::Scan {
        core: Kernel,
        patch: name("lp"),
        direction: Patching,
        pending: tids.iter().copied().map(sighting).collect(),
        total: 5,
    };
    model.observe(T, scan(&[812]));
    let nudged = Outcome::Nudged {
        patch: name("lp"),
        key: key(812),
        result: Ok(()),
    };
    model.observe(T, Fact::Outcome(nudged));
    model.observe(T, scan(&[]));
    model.observe(T, scan(&[812]));
    let blockers = model.transitions().flat_map(|(_, t)| t.blockers.values());
    assert_eq!(
        blockers.map(|b| (b.nudges.sent, b.nudges.last)).collect::<Vec<_>>(),
        [(1, Some(T))]
    );
}

#[test]
fn the_verdicts_of_a_first_round_survive_a_listing_from_before_it() {
    let mut model = model([lp(ENABLED)]);
    model.observe(T, lp(ENABLING));
    model.listing_asked(T, Kernel);
    // the transition ends and the next one starts while the listing is under way
    for event in [TransitionEvent::Completed, TransitionEvent::Started] {
        model.observe(T, Fact::Transition { core: Kernel, event });
    }
    let verdict = Fact::Verdict {
        core: Kernel,
        key: key(812),
        comm: "cat".into(),
        verdict: Verdict::SleepingOn("tgt_wait".into()),
    };
    model.observe(T, verdict);
    let event = TransitionEvent::RoundEnded;
    model.observe(T, Fact::Transition { core: Kernel, event });
    model.observe(T, lp(DISABLED));
    model.observe(T, lp(DISABLING));
    model.scan_asked(T, Kernel, T);
    let changes = model.observe(
        T,
        Fact::Scan {
            core: Kernel,
            patch: name("lp"),
            direction: Patching,
            pending: vec![sighting(812)],
            total: 5,
        },
    );
    let reason = changes.iter().find_map(|change| match change {
        Change::BlockerFound(blocker) => Some(blocker.reason),
        _ => None,
    });
    assert_eq!(reason, Some(Reason::SleepingInFunction));
}

#[test]
fn what_is_seen_before_the_first_round_ends_is_no_news() {
    let in_function = |tid| {
        let mut sighting = sighting(tid);
        sighting.on_stack = Some("tgt_wait [tgt]".into());
        sighting
    };
    let mut model = model([lp(ENABLING)]);
    let scan = |pending: &[u32]| Fact::Scan {
        core: Kernel,
        patch: name("lp"),
        direction: Patching,
        pending: pending.iter().map(|tid| in_function(*tid)).collect(),
        total: 5,
    };
    let found = |changes: Vec<Change>| {
        let news = changes
            .into_iter()
            .filter(|change| matches!(change, Change::BlockerFound(_)));
        news.count()
    };
    model.scan_asked(T, Kernel, T);
    assert_eq!(found(model.observe(T, scan(&[812, 813, 814]))), 0);
    let end = Fact::Transition {
        core: Kernel,
        event: TransitionEvent::RoundEnded,
    };
    // the round moved some of them: those that were seen are not told before they were looked at again
    assert_eq!(found(model.observe(T + Millis(600), end)), 0);
    model.scan_asked(T + Millis(600), Kernel, T);
    assert_eq!(found(model.observe(T + Millis(610), scan(&[812]))), 1);
}

#[test]
fn a_job_whose_module_stays_tells_that_after_why_it_was_reversed() {
    let mut model = model([]);
    let job = apply(&mut model, 1_000, OnTimeout::Reverse);
    model.observe(T, loaded(job));
    model.listing_asked(T, Kernel);
    model.observe(T, lp(ENABLING));
    model.tick(T + Millis(1_000), Millis(3_000));
    model.listing_asked(T + Millis(1_001), Kernel);
    model.observe(T + Millis(1_002), lp(None));
    model.tick(T + Millis(1_002), Millis(3_000));
    assert_eq!(phase(&model, job), Some(JobPhase::Unloading));
    model.tick(T + Millis(60_000), Millis(3_000));
    assert_eq!(result(&model, job), Some(JobResult::Timeout));
    let error = model.jobs().find_map(|j| j.error.clone()).expect("told");
    assert_eq!(error.name, ErrorName::Timeout);
    let (first, last) = error.message.split_once("; ").expect("both");
    assert!(first.ends_with(": reversed"), "{error}");
    assert!(last.contains("livepatchctl revert lp"), "{error}");
}

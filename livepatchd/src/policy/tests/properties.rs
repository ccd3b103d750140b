// SPDX-License-Identifier: GPL-2.0-only
//! What holds whatever happens: random requests, others' deeds, tasks and delays against the fake kernel, and random facts
//! against the model alone.
//!
//! The machine checks at every turn: no panic, no spinning, no busy loop, nudges only where allowed, and a stream of
//! changes from which a client knows exactly what the snapshot says.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use super::{
    client::Client,
    fake_kernel::Delays,
    fake_task::{Inside, Task},
    machine::Machine,
};
use crate::{
    model::{
        Model,
        change::Change,
        fact::{Fact, Outcome, TransitionEvent},
        job::{JobId, JobOptions, OnTimeout},
        patch::{Core, Direction, Listed, PatchListing, PatchName, PatchState},
        refusal::{ErrorName, Refusal},
        request::Request,
        task::{Scheduling, Sighting, TaskClass, Verdict},
        testing::{key, name, sighting},
        time::{Millis, Moment},
    },
    policy::{answer, begun, decide, describe::describe, rules::Rules},
};

const PATCHES: [&str; 3] = ["lp", "lp2", "cumulative"];

/// The longest time-out of a job here.
const TIMEOUT: u64 = 20_000;
/// Loading, two deadlines (or a forced third), unloading, and the core's own rounds. A job that hangs does so for ever, so
/// it need not be tight.
const BOUND: u64 = 4 * TIMEOUT + 15_000 + 5_000;

#[derive(Clone, Copy, Debug)]
enum Step {
    Wait(u64),
    Apply(usize, JobOptions),
    Revert(usize, JobOptions),
    Cancel(usize),
    Force(usize),
    Nudge(usize),
    Insmod(usize),
    Write(usize, Direction),
    Rmmod(usize),
    Reader {
        tid: u32,
        inside: Inside,
        deaf: bool,
        returns: bool,
    },
    Stuck(u32, u8),
    Exit(u32),
    Stop(u32, bool),
    Restart,
}

fn direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::Patching), Just(Direction::Unpatching)]
}

fn options() -> impl Strategy<Value = JobOptions> {
    let on_timeout = prop_oneof![
        4 => Just(OnTimeout::Reverse),
        1 => Just(OnTimeout::Keep),
        1 => Just(OnTimeout::Force),
    ];
    (prop_oneof![0..10_u64, 500..TIMEOUT], on_timeout, any::<bool>()).prop_map(|(timeout, on_timeout, nudge)| {
        JobOptions {
            timeout: Millis(timeout),
            on_timeout,
            nudge,
        }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let patch = || 0..PATCHES.len();
    let tid = || 10..16_u32;
    let inside = prop_oneof![Just(Inside::Old), Just(Inside::New)];
    prop_oneof![
        8 => prop_oneof![0..30_u64, 0..1_500_u64, 0..8_000_u64].prop_map(Step::Wait),
        5 => (patch(), options()).prop_map(|(p, o)| Step::Apply(p, o)),
        4 => (patch(), options()).prop_map(|(p, o)| Step::Revert(p, o)),
        3 => patch().prop_map(Step::Cancel),
        1 => patch().prop_map(Step::Force),
        1 => patch().prop_map(Step::Nudge),
        1 => patch().prop_map(Step::Insmod),
        2 => (patch(), direction()).prop_map(|(p, d)| Step::Write(p, d)),
        1 => patch().prop_map(Step::Rmmod),
        3 => (tid(), inside, any::<bool>(), any::<bool>())
            .prop_map(|(tid, inside, deaf, returns)| Step::Reader { tid, inside, deaf, returns }),
        1 => (tid(), 0..6_u8).prop_map(|(tid, how)| Step::Stuck(tid, how)),
        2 => tid().prop_map(Step::Exit),
        1 => (tid(), any::<bool>()).prop_map(|(tid, stopped)| Step::Stop(tid, stopped)),
        1 => Just(Step::Restart),
    ]
}

fn delays() -> impl Strategy<Value = Delays> {
    let times = (1..20_u64, 0..60_u64, 0..4_u64, 0..60_u64, 0..20_u64, 0..20_u64);
    (times, 0..50_u64, 0..100_u64, 0..1_000_u64).prop_map(|((step, list, read, scan, act, event), wake, free, put)| {
        Delays {
            step,
            list,
            read,
            scan,
            act,
            event,
            wake,
            free,
            put,
        }
    })
}

fn how(kind: u8) -> impl FnOnce(&mut Sighting) {
    move |s| match kind {
        0 => s.class = TaskClass::Kthread,
        1 => s.scheduling = Scheduling::Uninterruptible,
        2 => s.traced = true,
        3 => s.frozen = true,
        4 => s.own = true,
        _ => s.class = TaskClass::Init,
    }
}

fn take(m: &mut Machine, step: &Step) {
    match *step {
        Step::Wait(ms) => m.run_for(ms),
        Step::Apply(p, options) => drop(m.apply_with(PATCHES[p], options)),
        Step::Revert(p, options) => {
            let patch = name(PATCHES[p]);
            drop(m.request(Request::Revert { patch, options }));
        }
        Step::Cancel(p) => drop(m.cancel(PATCHES[p])),
        Step::Force(p) => drop(m.force(PATCHES[p])),
        Step::Nudge(p) => drop(m.nudge(PATCHES[p])),
        Step::Insmod(p) => m.kernel.insmod(&name(PATCHES[p])),
        Step::Write(p, direction) => m.kernel.write(&name(PATCHES[p]), direction),
        Step::Rmmod(p) => m.kernel.rmmod(&name(PATCHES[p])),
        Step::Reader {
            tid,
            inside,
            deaf,
            returns,
        } => m.kernel.add(Task {
            inside,
            patched: inside == Inside::New,
            deaf,
            returns,
            ..Task::reader(tid)
        }),
        Step::Stuck(tid, kind) => m.kernel.add(Task::stuck(tid, how(kind))),
        Step::Exit(tid) => drop(m.kernel.tasks.remove(&tid)),
        Step::Stop(tid, stopped) => m.kernel.stop(tid, stopped),
        Step::Restart => m.restart_daemon(),
    }
}

fn machine(delays: Delays, events: bool) -> Machine {
    let mut m = Machine::new();
    m.kernel.delays = delays;
    m.kernel.events = events;
    m
}

/// As many cases as `PROPTEST_CASES` says, 256 without it.
fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_happens_every_job_ends_in_time_and_then_all_is_asleep(
        delays in delays(),
        events in any::<bool>(),
        steps in vec(step(), 0..40),
    ) {
        let mut m = machine(delays, events);
        for step in steps {
            take(&mut m, &step);
        }
        // tasks that are stuck stay stuck
        m.run_for(BOUND);
        prop_assert_eq!(m.client.running(), 0, "{:#?}", m.snapshot().jobs);
        // and when they are gone, nothing is left to do
        m.kernel.tasks.clear();
        m.run_for(20_000);
        prop_assert_eq!(m.kernel.moving(), None);
        m.assert_asleep();
        for (name, module) in &m.kernel.modules {
            let state = m.state(name.as_str()).map(PatchState::as_str);
            let really = if module.enabled { "enabled" } else { "disabled" };
            prop_assert!(state == Some(really) || (!module.enabled && state == Some("loaded")), "{}: {:?}", name, state);
        }
        prop_assert_eq!(m.snapshot().patches.len(), m.kernel.modules.len());
    }

    #[test]
    fn a_thread_is_nudged_rarely_and_seldom_enough_as_the_kernel_sees_it(
        delays in delays(),
        events in any::<bool>(),
        steps in vec(step().prop_filter("only ours", |s| !matches!(s, Step::Nudge(_) | Step::Restart)), 0..40),
    ) {
        let mut m = machine(delays, events);
        for step in steps {
            take(&mut m, &step);
        }
        m.run_for(BOUND);
        let mut last: BTreeMap<(u32, u32), (Moment, u32)> = BTreeMap::new();
        for ((at, tid), episode) in m.kernel.nudged.iter().zip(&m.kernel.episodes) {
            let (before, count) = last.get(&(*tid, *episode)).copied().unwrap_or_default();
            // one may have been on its way when the transition turned round
            prop_assert!(count <= m.rules.nudge_limit);
            prop_assert!(count <= 1 || at.since(before).0 >= 1_900, "{:?}", m.kernel.nudged);
            last.insert((*tid, *episode), (*at, count + 1));
        }
    }
}

/// One thing that the model alone is told, possible or not.
#[derive(Clone, Debug)]
enum Told {
    Fact(Fact),
    Request(Request),
    Time(u64),
    /// Decide, and begin everything.
    Act,
}

fn patch_name() -> impl Strategy<Value = PatchName> {
    (0..PATCHES.len()).prop_map(|i| name(PATCHES[i]))
}

fn core() -> impl Strategy<Value = Core> {
    prop_oneof![5 => Just(Core::Kernel), 1 => Just(Core::KlpRs)]
}

fn listing() -> impl Strategy<Value = Fact> {
    let listed =
        (any::<bool>(), any::<bool>(), any::<Option<bool>>()).prop_map(|(enabled, transition, replace)| Listed {
            enabled,
            transition,
            replace,
            stack_order: None,
            functions: Vec::new(),
        });
    let patches = proptest::collection::btree_map(patch_name(), proptest::option::of(listed), 0..3);
    (core(), patches).prop_map(|(core, patches)| Fact::Listing {
        core,
        patches: patches
            .into_iter()
            .map(|(name, listed)| PatchListing { name, listed })
            .collect(),
    })
}

fn refusable() -> impl Strategy<Value = Result<(), Refusal>> {
    any::<bool>().prop_map(|ok| {
        if ok {
            Ok(())
        } else {
            Err(Refusal::new(ErrorName::Busy, "EBUSY"))
        }
    })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        (1..6_u32, refusable()).prop_map(|(id, result)| Outcome::Loaded { job: JobId(id), result }),
        (core(), patch_name(), direction(), refusable()).prop_map(|(core, patch, direction, result)| {
            Outcome::Switched {
                core,
                patch,
                direction,
                result,
            }
        }),
        (core(), patch_name(), refusable()).prop_map(|(core, patch, result)| Outcome::Forced { core, patch, result }),
        (patch_name(), any::<bool>(), refusable()).prop_map(|(patch, gone, result)| Outcome::Unloaded {
            patch,
            result: result.map(|()| gone)
        }),
        (patch_name(), 1..4_u32, any::<bool>()).prop_map(|(patch, tid, ok)| Outcome::Nudged {
            patch,
            key: key(tid),
            result: if ok { Ok(()) } else { Err("gone".into()) }
        }),
    ]
}

fn fact() -> impl Strategy<Value = Fact> {
    let event = prop_oneof![
        Just(TransitionEvent::Started),
        Just(TransitionEvent::RoundEnded),
        Just(TransitionEvent::Reversed),
        Just(TransitionEvent::Forced),
        Just(TransitionEvent::Completed),
    ];
    let verdict = prop_oneof![
        Just(Verdict::Running),
        Just(Verdict::UnreliableStack),
        Just(Verdict::SleepingOn("tgt_wait".into()))
    ];
    prop_oneof![
        6 => listing(),
        1 => core().prop_map(Fact::CoreGone),
        1 => core().prop_map(Fact::Stirred),
        1 => Just(Fact::EventsLost),
        3 => (core(), event).prop_map(|(core, event)| Fact::Transition { core, event }),
        2 => (core(), 0..4_u32, verdict).prop_map(|(core, tid, verdict)| Fact::Verdict {
            core,
            key: key(tid),
            comm: "cat".into(),
            verdict
        }),
        4 => (core(), patch_name(), direction(), vec(1..4_u32, 0..4), 0..9_u32).prop_map(
            |(core, patch, direction, tids, total)| Fact::Scan {
                core,
                patch,
                direction,
                pending: tids.into_iter().map(sighting).collect(),
                total
            }
        ),
        4 => outcome().prop_map(Fact::Outcome),
        1 => vec("[a-z]{3}", 0..2).prop_map(Fact::Degraded),
    ]
}

fn told() -> impl Strategy<Value = Told> {
    let request = prop_oneof![
        (patch_name(), core(), options()).prop_map(|(patch, core, options)| Request::Apply { patch, core, options }),
        (patch_name(), options()).prop_map(|(patch, options)| Request::Revert { patch, options }),
        (patch_name(), options()).prop_map(|(patch, options)| Request::Cancel { patch, options }),
        patch_name().prop_map(|patch| Request::Force { patch }),
        patch_name().prop_map(|patch| Request::Nudge { patch }),
    ];
    prop_oneof![
        6 => fact().prop_map(Told::Fact),
        2 => request.prop_map(Told::Request),
        2 => prop_oneof![0..300_u64, 0..30_000_u64].prop_map(Told::Time),
        2 => Just(Told::Act),
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_fact_however_absurd_breaks_the_model_or_its_stream_of_changes(all in vec(told(), 0..60)) {
        let (mut model, rules) = (Model::new(), Rules::default());
        let mut client = Client::default();
        let mut now = Moment(1_000_000);
        let mut hear = |model: &Model, changes: &[Change]| client.hear(changes, &describe(model, &rules));
        for told in all {
            let changes = match told {
                Told::Fact(fact) => model.observe(now, fact),
                Told::Request(request) => answer(&mut model, &rules, now, request).1,
                Told::Time(ms) => {
                    now = now + Millis(ms);
                    Vec::new()
                }
                Told::Act => {
                    for action in decide(&model, &rules, now).actions {
                        begun(&mut model, now, &action);
                    }
                    Vec::new()
                }
            };
            hear(&model, &changes);
            let changes = model.tick(now, rules.stall_after);
            hear(&model, &changes);
            let decision = decide(&model, &rules, now);
            prop_assert!(decision.wake_at.is_none_or(|at| at > now));
            for (i, action) in decision.actions.iter().enumerate() {
                prop_assert!(!decision.actions[..i].contains(action), "{:?} twice", action);
            }
        }
    }
}

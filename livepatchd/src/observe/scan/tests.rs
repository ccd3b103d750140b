// SPDX-License-Identifier: GPL-2.0-only
//! The real iterator of this machine's kernel beside /proc; a kernel without live patching has no pending tasks, so the
//! question is which tasks sleep in a place.

use std::{collections::BTreeMap, path::Path, process::Command};

use super::{Asked, ScanFailed, Scanner, seen};
use crate::{
    model::{
        patch::{Core, Direction, Function, PatchName},
        place::Places,
        task::{Scheduling, TaskClass},
    },
    observe::{
        bpf::{load, ranges::Ranges, scan::Question},
        sighting::Witness,
        stack::{Affected, Frame, Stacks},
    },
};

fn function(name: &str) -> [Function; 1] {
    [Function {
        object: "vmlinux".into(),
        name: name.into(),
        sympos: 1,
    }]
}

#[test]
fn a_core_whose_tasks_cannot_be_seen_is_told_so() {
    let lp = PatchName::new("lp").expect("a name");
    let refused = Scanner::new(Places::system(None)).pending(Asked {
        core: Core::KlpRs,
        patch: &lp,
        direction: Direction::Patching,
        functions: &[],
        below: &[],
        among: None,
    });
    assert!(matches!(refused, Err(ScanFailed::Core(Core::KlpRs))));
}

#[test]
fn the_iterators_tasks_are_told_as_proc_tells_them() {
    let places = Places::system(None);
    let mut children: Vec<_> = (0..5)
        .map(|_| Command::new("sleep").arg("60").spawn().expect("sleep"))
        .collect();
    std::thread::sleep(std::time::Duration::from_millis(300));
    let source = load::load().expect("this test needs root and a kernel with BTF");
    let mut scanner = source.scanner.expect("an iterator");
    let everywhere = Ranges::new([(1 << 63, u64::MAX)]);
    let pass = scanner.pass(Question::SleepingIn(&everywhere)).expect("a pass");

    // of a few, those that are there are seen as the pass sees them; thread ids end at 4,194,304
    let tids = children.iter().map(std::process::Child::id);
    let looked = scanner.look(Question::SleepingIn(&everywhere), tids.clone().chain([5_000_000]));
    let of_pass: Vec<_> = tids
        .filter_map(|tid| pass.tasks.iter().find(|task| task.key().tid == tid).cloned())
        .collect();
    assert_eq!(of_pass.len(), children.len());
    assert_eq!(looked.expect("a look"), of_pass);
    let again = scanner.look(Question::SleepingIn(&everywhere), [5_000_000].into_iter());
    assert_eq!(again.expect("a look at nobody"), []);

    let stack_of = |tid: u32| Stacks::default().of(Path::new(&format!("/proc/{tid}")), None);
    let first: Vec<_> = stack_of(children[0].id());
    let innermost: &Frame = first.first().expect("a stack");
    let lp = PatchName::new("lp").expect("a name");
    let functions = function(&innermost.symbol);
    let affected = Affected {
        patch: &lp,
        direction: Direction::Patching,
        functions: &functions,
        below: &[],
    };
    let mut witness = Witness::new(&places);
    let sightings: BTreeMap<u32, _> = pass
        .tasks
        .iter()
        .map(|task| (task.key().tid, witness.sighting(seen(task), &affected)))
        .collect();
    for child in &children {
        let sighting = sightings.get(&child.id()).expect("the pass saw it");
        let told: Vec<String> = stack_of(child.id()).iter().map(ToString::to_string).collect();
        assert_eq!(sighting.stack, told);
        assert_eq!(sighting.on_stack.as_deref(), Some(innermost.symbol.as_str()));
        assert_eq!(sighting.comm, "sleep");
        assert_eq!(sighting.class, TaskClass::User);
        assert_eq!(sighting.scheduling, Scheduling::Interruptible);
        assert!(!sighting.own && !sighting.traced && !sighting.stop_pending && !sighting.frozen);
    }
    for child in &mut children {
        child.kill().expect("kill");
        child.wait().expect("wait");
    }
}

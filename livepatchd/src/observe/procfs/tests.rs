// SPDX-License-Identifier: GPL-2.0-only
//! A directory tree stands for /proc where patch states are needed; this machine's own /proc where they are not.

use std::{fs, path::Path};

use super::{can_scan, is_pending, look, pass};
use crate::{
    model::{
        patch::{Core, Direction, Function, PatchName},
        place::Places,
        task::{Scheduling, TaskClass},
    },
    observe::{freezer::Freezer, sighting::Witness, stack::Affected},
};

fn task(proc: &Path, process: u32, tid: u32, state: char, patch_state: &str, stack: &str) {
    let dir = proc.join(format!("{process}/task/{tid}"));
    fs::create_dir_all(&dir).expect("mkdir");
    let stat = format!(
        "{tid} (t {tid}) {state} 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {} 0 0\n",
        tid * 10
    );
    let status = format!("Name:\tt\nTgid:\t{process}\nTracerPid:\t0\nUid:\t5\t5\t5\t5\n");
    for (file, text) in [
        ("stat", stat.as_str()),
        ("status", &status),
        ("patch_state", patch_state),
        ("stack", stack),
        ("cgroup", "0::/system.slice/a.service\n"),
    ] {
        fs::write(dir.join(file), text).expect("write");
    }
}

fn lp() -> (PatchName, [Function; 1]) {
    let function = Function {
        object: "tgt".into(),
        name: "tgt_wait".into(),
        sympos: 1,
    };
    (PatchName::new("lp").expect("a name"), [function])
}

fn affected((patch, functions): &(PatchName, [Function; 1])) -> Affected<'_> {
    Affected {
        patch,
        direction: Direction::Patching,
        functions,
        below: &[],
    }
}

#[test]
fn every_pending_thread_is_told_in_full_and_no_other() {
    let dir = tempfile::tempdir().expect("tempdir");
    let stack = "[<0>] tgt_wait+0x1/0x2 [tgt]\n[<0>] ksys_read+0x1/0x2\n";
    task(dir.path(), 10, 10, 'S', "1\n", stack);
    task(dir.path(), 10, 11, 'S', "0\n", stack);
    task(dir.path(), 20, 20, 'T', "0\n", "");
    task(dir.path(), 30, 30, 'S', "-1\n", stack);
    fs::create_dir_all(dir.path().join("40/task/40")).expect("mkdir");
    fs::write(dir.path().join("uptime"), "").expect("write");
    let places = Places {
        proc: dir.path().into(),
        ..Places::system(None)
    };
    let mut pass = pass(&places, &affected(&lp())).expect("scanned");
    pass.pending.sort_by_key(|sighting| sighting.key);
    assert_eq!(pass.total, 4);
    let [one, two] = &pass.pending[..] else {
        panic!("{:?}", pass.pending);
    };
    assert_eq!((one.key.tid, one.tgid, one.key.start_ticks), (11, 10, 110));
    assert_eq!(one.comm, "t 11");
    assert_eq!(one.class, TaskClass::User);
    assert_eq!(one.on_stack.as_deref(), Some("tgt_wait [tgt]"));
    assert_eq!(one.stack, ["tgt_wait+0x1 [tgt]", "ksys_read+0x1"]);
    assert_eq!((one.unit.as_str(), one.uid), ("a.service", Some(5)));
    assert!(!one.own && !one.stop_pending && !one.traced);
    assert_eq!(two.scheduling, Scheduling::Stopped);
    assert!(two.stop_pending && two.on_stack.is_none());
}

#[test]
fn pending_is_neither_idle_nor_at_the_target() {
    for (state, target, pending) in [(-1, 1, false), (0, 1, true), (1, 1, false), (1, 0, true), (0, 0, false)] {
        assert_eq!(is_pending(state, target), pending);
    }
}

#[test]
fn a_kernel_without_patch_states_is_told_in_a_sentence() {
    let dir = tempfile::tempdir().expect("tempdir");
    let places = Places {
        proc: dir.path().into(),
        ..Places::system(None)
    };
    assert!(
        can_scan(&places, Core::Kernel)
            .expect_err("no file")
            .contains("patch states")
    );
    assert!(can_scan(&places, Core::KlpRs).expect_err("never").contains("klp_rs"));
    task(dir.path(), 1, 1, 'S', "", "");
    fs::create_dir(dir.path().join("self")).expect("mkdir");
    fs::write(dir.path().join("self/patch_state"), "-1\n").expect("write");
    assert_eq!(can_scan(&places, Core::Kernel), Ok(()));
}

#[test]
fn this_machines_threads_are_seen_as_they_are() {
    let places = Places::system(None);
    assert!(super::tasks(&places).expect("loadavg") > 1);
    let own = std::process::id();
    let path = format!("/proc/{own}/task/{own}");
    let seen = look(&places, Path::new(&path), &mut Freezer::default()).expect("alive");
    assert_eq!((seen.key.tid, seen.tgid), (own, own));
    assert_eq!(seen.class, TaskClass::User);
    assert!(!seen.stop_pending && !seen.traced && !seen.frozen);
    let sighting = Witness::new(&places).sighting(seen, &affected(&lp()));
    assert!(sighting.own);
    assert_eq!(sighting.uid, Some(rustix::process::getuid().as_raw()));
    let init = look(&places, Path::new("/proc/1/task/1"), &mut Freezer::default()).expect("alive");
    assert_eq!(init.class, TaskClass::Init);
}

// SPDX-License-Identifier: GPL-2.0-only
//! A recovery that the kernel refuses: the task belongs to another user, and the thread that recovers may not kill it.

use std::os::unix::process::CommandExt as _;

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use super::*;

const NOBODY: u32 = 65534;

/// Carries this out in a thread without `CAP_KILL`.
fn without_the_right_to_kill<T: Send>(what: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let mut sets = capabilities(None).expect("ours");
            sets.effective.remove(CapabilitySet::KILL);
            set_capabilities(None, sets).expect("fewer");
            what()
        });
        thread.join().expect("no panic")
    })
}

#[test]
fn a_task_that_could_not_be_continued_is_told_and_tried_again_at_the_next_start() {
    let runtime = Runtime::new();
    // in a session of its own: within one, everybody may continue everybody (kernel/signal.c: check_kill_permission)
    let sleeper = Sleeper::started(Command::new("setsid").arg("cat").uid(NOBODY));
    runtime.record(&sleeper, Phase::Sending);
    sleeper.stop();
    let refused = without_the_right_to_kill(|| recover(&runtime.places));
    assert!(
        matches!(refused[0].recovery, Recovery::CouldNotContinue(_)),
        "{refused:?}"
    );
    assert!(sleeper.is_stopped());
    assert_eq!(runtime.records(), 1);
    assert_eq!(recover(&runtime.places)[0].recovery, Recovery::Continued);
    assert_eq!(runtime.records(), 0);
    sleeper.works();
}

// SPDX-License-Identifier: GPL-2.0-only
//! Real deaths: this test program runs itself as the nudging process, which kills itself at the step that its environment
//! names. The VM tests kill a whole daemon at the same steps.

use super::*;

/// The process that dies: nudges the process that the environment names, from the runtime directory that it names.
#[test]
#[ignore = "not a test: run by the tests of real deaths, in a process of its own"]
fn a_process_that_nudges_and_dies() {
    let variable = |name: &str| std::env::var(name).expect(name);
    let runtime = Path::new(&variable("NUDGE_RUNTIME")).to_owned();
    let places = Places {
        proc: runtime.with_file_name("proc"),
        ..Places::system(Some(runtime))
    };
    let pid: u32 = variable("NUDGE_PID").parse().expect("a number");
    let start_ticks = variable("NUDGE_START").parse().expect("a number");
    let key = TaskKey { tid: pid, start_ticks };
    Nudger::new(&places).nudge(aim(key, pid)).expect("nudged");
}

/// Nudges in another process that is killed at this step, and gives the reader as the death left it.
fn killed_at(runtime: &Runtime, step: Step) -> Sleeper {
    use std::os::unix::process::ExitStatusExt;
    let sleeper = Sleeper::new();
    runtime.showing(sleeper.pid(), sleeper.pid(), "0");
    let status = Command::new(std::env::current_exe().expect("this program"))
        .args([
            "--exact",
            "act::nudge::tests::dying::a_process_that_nudges_and_dies",
            "--ignored",
        ])
        .env("NUDGE_RUNTIME", &runtime.places.runtime)
        .env("NUDGE_PID", sleeper.pid().to_string())
        .env("NUDGE_START", sleeper.key().start_ticks.to_string())
        .env("LIVEPATCHD_FAULT", format!("{}:kill", step.as_str()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("runs");
    assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{step:?}");
    assert_eq!(runtime.records(), 1, "{step:?}");
    sleeper
}

const NUDGE_STEPS: [Step; 5] = [
    Step::NudgePrepared,
    Step::NudgeBeforeStop,
    Step::NudgeBetween,
    Step::NudgeContinued,
    Step::NudgeDone,
];

#[test]
fn after_kill_9_at_any_step_no_task_stays_stopped() {
    for step in NUDGE_STEPS {
        let runtime = Runtime::new();
        let sleeper = killed_at(&runtime, step);
        let recovered = recover(&runtime.places);
        assert_eq!(recovered.len(), 1, "{step:?}");
        let continued = recovered[0].recovery == Recovery::Continued;
        assert_eq!(continued, step == Step::NudgeBetween, "{step:?}");
        assert_eq!(runtime.records(), 0, "{step:?}");
        sleeper.wait_for("asleep again", |stat| stat.state == b'S');
        sleeper.works();
    }
}

#[test]
fn after_kill_9_a_strangers_stop_stays_at_every_step_at_which_it_can_be_told() {
    // the two steps left out are the edges of the signals: they leave the record of a death between them
    for step in [Step::NudgePrepared, Step::NudgeDone] {
        let runtime = Runtime::new();
        let sleeper = killed_at(&runtime, step);
        sleeper.wait_for("asleep again", |stat| stat.state == b'S');
        sleeper.stop();
        assert_eq!(
            recover(&runtime.places)[0].recovery,
            Recovery::NothingOfOurs,
            "{step:?}"
        );
        assert!(sleeper.is_stopped(), "{step:?}");
        sleeper.signal(Signal::CONT);
        sleeper.works();
    }
}

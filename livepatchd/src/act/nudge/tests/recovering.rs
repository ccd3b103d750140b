// SPDX-License-Identifier: GPL-2.0-only
//! What the next start does about a nudge that a death cut short. Record and task are made by hand as a death leaves them.

use super::*;

/// One death: the phase that the record is left in, what the task is like, and what must come of it.
fn died(phase: Phase, before: impl Fn(&Sleeper), continued: bool, stopped_after: bool) {
    let recovery = if continued {
        Recovery::Continued
    } else {
        Recovery::NothingOfOurs
    };
    let runtime = Runtime::new();
    let sleeper = Sleeper::new();
    runtime.record(&sleeper, phase);
    before(&sleeper);
    let expected = Recovered {
        key: sleeper.key(),
        tgid: sleeper.pid(),
        comm: "cat".into(),
        recovery,
    };
    assert_eq!(recover(&runtime.places), [expected]);
    assert_eq!(runtime.records(), 0);
    sleep(Duration::from_millis(20));
    assert_eq!(sleeper.is_stopped(), stopped_after);
    assert_eq!(recover(&runtime.places), []);
    if stopped_after {
        sleeper.signal(Signal::CONT);
    }
    sleeper.works();
}

#[test]
fn after_a_death_before_the_signals_a_strangers_stop_stays() {
    died(Phase::Prepared, |_| (), false, false);
    died(Phase::Prepared, Sleeper::stop, false, true);
}

#[test]
fn after_a_death_between_the_signals_the_task_is_continued() {
    died(Phase::Sending, |_| (), false, false);
    died(Phase::Sending, Sleeper::stop, true, false);
    // the signal is sent, and the recovery may come before the stop
    let thread_stop = |sleeper: &Sleeper| {
        let target = Target::open(Path::new("/proc"), sleeper.key(), sleeper.pid()).expect("alive");
        target.send(Signal::STOP).expect("sent");
    };
    for _ in 0..20 {
        died(Phase::Sending, thread_stop, true, false);
    }
}

#[test]
fn after_a_death_between_the_signals_another_stop_signal_is_not_ours() {
    let tstp = |sleeper: &Sleeper| {
        sleeper.signal(Signal::TSTP);
        // an orphaned process group ignores SIGTSTP; ours is the test's own
        sleeper.wait_for("stopped", |stat| stat.state == b'T');
        assert_eq!(sleeper.stat().exit_code, 20, "the kernel tells which signal");
    };
    let stops = {
        let probe = Sleeper::new();
        probe.signal(Signal::TSTP);
        sleep(Duration::from_millis(200));
        probe.is_stopped()
    };
    if stops {
        died(Phase::Sending, tstp, false, true);
    } else {
        // this test runs in an orphaned process group, where the kernel drops SIGTSTP: judge what it would have shown
        let mut stat = Sleeper::new().stat();
        stat.state = b'T';
        let status = Status::default();
        let seen = super::super::Glimpse { stat, status };
        assert_eq!(super::super::is_stopped_by_us(&seen, 20), Some(false));
    }
}

#[test]
fn after_a_death_after_both_signals_a_strangers_stop_stays() {
    died(Phase::Sent, |_| (), false, false);
    died(Phase::Sent, Sleeper::stop, false, true);
}

#[test]
fn a_record_of_another_boot_or_another_thread_touches_nobody() {
    let runtime = Runtime::new();
    let sleeper = Sleeper::new();
    sleeper.stop();
    let record = Open::create(&runtime.places, "another-boot", sleeper.key(), sleeper.pid(), "cat").expect("record");
    record.set(Phase::Sending).expect("record");
    assert_eq!(recover(&runtime.places), []);
    let boot = nudge_record::boot_id(Path::new("/proc"));
    let key = TaskKey {
        start_ticks: 1,
        ..sleeper.key()
    };
    let record = Open::create(&runtime.places, &boot, key, sleeper.pid(), "cat").expect("record");
    record.set(Phase::Sending).expect("record");
    assert_eq!(recover(&runtime.places)[0].recovery, Recovery::Gone);
    assert!(sleeper.is_stopped());
    assert_eq!(runtime.records(), 0);
}

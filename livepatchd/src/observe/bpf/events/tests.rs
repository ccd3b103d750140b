// SPDX-License-Identifier: GPL-2.0-only
//! Records made here: what each becomes, and that damaged ones become nothing. They speak for the reader, not for the
//! kernel.

use bytemuck::Zeroable as _;

use super::*;
use crate::model::task::TaskKey;

fn verdict_record(errno: i32, function: &str) -> VerdictRecord {
    let mut record = VerdictRecord {
        kind: KIND_VERDICT,
        verdict: errno,
        tid: 812,
        tgid: 812,
        start_time: 30_010_000_000,
        known: known::IDS | known::START_TIME | known::COMM | known::FLAGS,
        ..VerdictRecord::zeroed()
    };
    record.comm[..3].copy_from_slice(b"cat");
    record.function[..function.len()].copy_from_slice(function.as_bytes());
    record
}

fn verdict_of(errno: i32, function: &str) -> Option<Verdict> {
    match fact(bytemuck::bytes_of(&verdict_record(errno, function)))? {
        Fact::Verdict { key, comm, verdict, .. } => {
            assert_eq!(
                key,
                TaskKey {
                    tid: 812,
                    start_ticks: 3_001
                }
            );
            assert_eq!(comm, "cat");
            Some(verdict)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_of_the_kernels_verdicts_is_told_and_no_other() {
    assert_eq!(verdict_of(-16, ""), Some(Verdict::Running));
    assert_eq!(verdict_of(-22, ""), Some(Verdict::UnreliableStack));
    assert_eq!(
        verdict_of(-98, "tgt_wait"),
        Some(Verdict::SleepingOn("tgt_wait".to_owned()))
    );
    assert_eq!(verdict_of(-1, ""), None);
}

#[test]
fn each_transition_record_is_told_and_no_other() {
    for (kind, expected) in [
        (KIND_STARTED, Some(TransitionEvent::Started)),
        (KIND_ROUND_ENDED, Some(TransitionEvent::RoundEnded)),
        (KIND_COMPLETED, Some(TransitionEvent::Completed)),
        (KIND_REVERSED, Some(TransitionEvent::Reversed)),
        (KIND_FORCED, Some(TransitionEvent::Forced)),
        (0, None),
        (7, None),
    ] {
        let record = TransitionRecord {
            kind,
            ..TransitionRecord::zeroed()
        };
        let expected = expected.map(|event| Fact::Transition {
            core: Core::Kernel,
            event,
        });
        assert_eq!(fact(bytemuck::bytes_of(&record)), expected);
    }
}

#[test]
fn a_task_that_could_not_be_identified_is_not_told() {
    for missing in [known::IDS, known::START_TIME] {
        let mut record = verdict_record(-16, "");
        record.known &= !missing;
        assert_eq!(fact(bytemuck::bytes_of(&record)), None);
    }
}

#[test]
fn a_record_that_is_cut_is_not_told_wherever_it_is_cut() {
    let transition = TransitionRecord {
        kind: KIND_STARTED,
        ..TransitionRecord::zeroed()
    };
    for whole in [
        bytemuck::bytes_of(&verdict_record(-98, "tgt_wait")),
        bytemuck::bytes_of(&transition),
    ] {
        for end in 0..whole.len() {
            assert_eq!(fact(&whole[..end]), None, "{end}");
        }
    }
}

#[test]
fn a_name_without_its_end_is_cut_at_its_room() {
    let name = "x".repeat(64);
    assert_eq!(verdict_of(-98, &name), Some(Verdict::SleepingOn(name)));
}

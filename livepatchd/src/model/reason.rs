// SPDX-License-Identifier: GPL-2.0-only
//! Why a pending task has not moved: from an observation and the kernel's verdict to one reason.
//!
//! What forbids a nudge comes first: a traced task that also sleeps in the function is *traced*, because that is what an
//! administrator has to deal with. So does what the kernel itself found other than a function: what we see on a stack is
//! not why it did not move the task.

use super::{
    patch::Function,
    task::{Reason, Scheduling, Sighting, Verdict},
};

/// The reason, and the function (with its module) that the task sleeps in; empty if none.
pub fn explain(sighting: &Sighting, verdict: Option<&Verdict>, functions: &[Function]) -> (Reason, String) {
    let function = match (&sighting.on_stack, verdict) {
        (Some(found), _) => found.clone(),
        (None, Some(Verdict::SleepingOn(name))) => with_module(name, functions),
        (None, _) => String::new(),
    };
    let reason = match sighting.scheduling {
        _ if sighting.traced || sighting.scheduling == Scheduling::TracedStop => Reason::Traced,
        _ if sighting.frozen => Reason::Frozen,
        _ if sighting.stop_pending => Reason::Stopped,
        Scheduling::Stopped => Reason::Stopped,
        Scheduling::Uninterruptible => Reason::Uninterruptible,
        Scheduling::Running => Reason::Running,
        Scheduling::Interruptible | Scheduling::Dead | Scheduling::TracedStop => match verdict {
            Some(Verdict::UnreliableStack) => Reason::UnreliableStack,
            Some(Verdict::Running) => Reason::Running,
            Some(Verdict::SleepingOn(_)) | None => {
                if sighting.scheduling == Scheduling::Interruptible && !function.is_empty() {
                    Reason::SleepingInFunction
                } else {
                    Reason::Unknown
                }
            }
        },
    };
    let function = match reason {
        Reason::Running | Reason::UnreliableStack => String::new(),
        _ => function,
    };
    (reason, function)
}

/// The reason as the end of a sentence that begins with the task: `sleeps in tgt_wait [tgt]`.
pub fn phrase(reason: Reason, function: &str) -> String {
    let in_function = if function.is_empty() {
        String::new()
    } else {
        format!(" in {function}")
    };
    match reason {
        Reason::SleepingInFunction => format!("sleeps{in_function}"),
        Reason::Running => "runs".to_owned(),
        Reason::UnreliableStack => "has a stack that cannot be walked reliably".to_owned(),
        Reason::Uninterruptible => format!("sleeps uninterruptibly{in_function}"),
        Reason::Stopped => format!("is stopped by somebody else{in_function}"),
        Reason::Traced => format!("is traced by a debugger{in_function}"),
        Reason::Frozen => format!("is frozen{in_function}"),
        Reason::Unknown => "has not moved, for no reason that can be seen".to_owned(),
    }
}

/// `name [module]`, or the bare name for a function of vmlinux or one that the patch does not list.
fn with_module(name: &str, functions: &[Function]) -> String {
    match functions.iter().find(|f| f.name == name) {
        Some(f) if f.object != "vmlinux" => format!("{name} [{}]", f.object),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::sighting;

    fn tgt_wait() -> Vec<Function> {
        vec![Function {
            object: "tgt".into(),
            name: "tgt_wait".into(),
            sympos: 1,
        }]
    }

    #[test]
    fn the_kernels_verdict_names_the_function_with_its_module() {
        let verdict = Verdict::SleepingOn("tgt_wait".into());
        assert_eq!(
            explain(&sighting(812), Some(&verdict), &tgt_wait()),
            (Reason::SleepingInFunction, "tgt_wait [tgt]".into())
        );
    }

    #[test]
    fn without_a_verdict_the_stack_tells() {
        let mut seen = sighting(812);
        seen.on_stack = Some("tgt_wait [tgt]".into());
        assert_eq!(
            explain(&seen, None, &tgt_wait()),
            (Reason::SleepingInFunction, "tgt_wait [tgt]".into())
        );
    }

    #[test]
    fn what_forbids_a_nudge_outranks_the_function() {
        let verdict = Verdict::SleepingOn("tgt_wait".into());
        for (change, reason) in [
            (
                (|s: &mut Sighting| s.traced = true) as fn(&mut Sighting),
                Reason::Traced,
            ),
            (|s| s.frozen = true, Reason::Frozen),
            (|s| s.stop_pending = true, Reason::Stopped),
            (|s| s.scheduling = Scheduling::Stopped, Reason::Stopped),
            (|s| s.scheduling = Scheduling::TracedStop, Reason::Traced),
            (|s| s.scheduling = Scheduling::Uninterruptible, Reason::Uninterruptible),
            (|s| s.scheduling = Scheduling::Running, Reason::Running),
        ] {
            let mut seen = sighting(812);
            change(&mut seen);
            assert_eq!(explain(&seen, Some(&verdict), &tgt_wait()).0, reason);
        }
    }

    #[test]
    fn what_the_kernel_found_outranks_what_is_seen_on_the_stack() {
        let mut seen = sighting(812);
        seen.on_stack = Some("tgt_wait [tgt]".into());
        for (verdict, reason) in [
            (Verdict::UnreliableStack, Reason::UnreliableStack),
            (Verdict::Running, Reason::Running),
        ] {
            assert_eq!(explain(&seen, Some(&verdict), &tgt_wait()), (reason, String::new()));
        }
    }

    #[test]
    fn a_task_that_slept_elsewhere_when_seen_has_the_kernels_last_word() {
        assert_eq!(
            explain(&sighting(1), Some(&Verdict::UnreliableStack), &[]).0,
            Reason::UnreliableStack
        );
        assert_eq!(explain(&sighting(1), Some(&Verdict::Running), &[]).0, Reason::Running);
        assert_eq!(explain(&sighting(1), None, &[]).0, Reason::Unknown);
    }
}

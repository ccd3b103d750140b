// SPDX-License-Identifier: GPL-2.0-only
//! Who may be nudged.
//!
//! SIGSTOP and SIGCONT make a thread leave the kernel and restart (or fail with EINTR) its system call. Only a user thread
//! that sleeps interruptibly inside a function of the patch gains by that; everybody else would only be disturbed.

use super::rules::{Exclusions, Rules};
use crate::model::{
    task::{Blocker, Nudges, Reason, TaskClass},
    transition::Transition,
};

/// Why a blocker is not nudged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotNudged(pub String);

/// Whether the task itself may be nudged, whatever was nudged before.
pub fn eligible(blocker: &Blocker, rules: &Rules) -> Result<(), NotNudged> {
    let no = |why: &str| Err(NotNudged(why.to_owned()));
    let seen = &blocker.sighting;
    match seen.class {
        TaskClass::User => {}
        TaskClass::Init => return no("PID 1 ignores SIGSTOP"),
        TaskClass::Kthread => return no("a kernel thread takes no signals"),
        TaskClass::IoWorker => return no("an I/O worker takes no stop signals"),
        TaskClass::Idle => return no("an idle task"),
    }
    if seen.own {
        return no("livepatchd itself");
    }
    match blocker.reason {
        Reason::SleepingInFunction => {}
        Reason::Running => return no("it runs and will move by itself"),
        Reason::UnreliableStack => return no("its stack cannot be read reliably"),
        Reason::Uninterruptible => return no("signals do not wake it"),
        Reason::Stopped => return no("somebody else stopped it"),
        Reason::Traced => return no("a debugger holds it"),
        Reason::Frozen => return no("its cgroup is frozen"),
        Reason::Unknown => return no("the reason is not known"),
    }
    excluded(blocker, &rules.exclude).map_or(Ok(()), Err)
}

/// Why policy does not nudge this blocker (again) on its own; `None` if it does or will.
pub fn refused(blocker: &Blocker, rules: &Rules, transition: &Transition) -> Option<NotNudged> {
    if let Err(why) = eligible(blocker, rules) {
        return Some(why);
    }
    if !rules.nudge {
        return Some(NotNudged("nudging is switched off in livepatchd.toml".into()));
    }
    if !transition.nudge {
        return Some(NotNudged("its job asked for no nudges".into()));
    }
    let Nudges { tried, sent, last: _ } = blocker.nudges;
    (tried >= rules.nudge_limit).then(|| {
        NotNudged(match (tried, sent) {
            (1, 1) => "nudged once already".to_owned(),
            _ if tried == sent => format!("nudged {sent} times already"),
            _ => format!("tried {tried} times already, nudged {sent}"),
        })
    })
}

fn excluded(blocker: &Blocker, exclude: &Exclusions) -> Option<NotNudged> {
    let seen = &blocker.sighting;
    if exclude.units.iter().any(|p| matches(p, &seen.unit)) {
        return Some(NotNudged(format!("unit {} is excluded by livepatchd.toml", seen.unit)));
    }
    if exclude.comms.iter().any(|p| matches(p, &seen.comm)) {
        return Some(NotNudged(format!("{} is excluded by livepatchd.toml", seen.comm)));
    }
    match seen.uid {
        Some(uid) if exclude.uids.contains(&uid) => {
            Some(NotNudged(format!("user {uid} is excluded by livepatchd.toml")))
        }
        // it may be one of them
        None if !exclude.uids.is_empty() => Some(NotNudged(
            "its user is not known, and livepatchd.toml excludes some".into(),
        )),
        Some(_) | None => None,
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => text == pattern,
    }
}

// SPDX-License-Identifier: GPL-2.0-only
//! The nudge: SIGSTOP and at once SIGCONT to one thread, so that it leaves its sleep, passes the kernel's exit and moves.
//!
//! It does not choose: policy does. It refuses, as a last line of defence, what must never be nudged.
//!
//! **Why the thread hardly ever stops.** SIGCONT takes every pending stop signal of the process back
//! (`kernel/signal.c: prepare_signal`). The sleeper was only woken by SIGSTOP; before it has run as far as taking that
//! signal, the signal is gone, its system call sees a signal that is no more, and it restarts (or returns EINTR, as
//! signal(7) lists). So that it does not run too early, our thread has a [real-time priority](super::priority) for that
//! moment. Should it be quicker all the same, the process stops until SIGCONT some microseconds later, its other threads
//! wake too, and its parent may be told so. A handler for SIGCONT runs in either case.
//!
//! **Why only pending threads.** Policy decides by what was seen some milliseconds ago. A thread that has moved since may
//! sleep in any system call, which would fail with EINTR for nothing; so its patch state is read again too, where the
//! core shows it in `/proc`.
//!
//! **Why only interruptible sleepers.** SIGCONT ends every stop of the process, also one that somebody else asked for.
//! A stop in force or on its way wakes all interruptible sleepers of the process (`do_signal_stop`), so a thread that is
//! seen asleep interruptibly, with no stop signal pending, belongs to a process that nobody is stopping. Right before
//! the signals just this is checked again.
//!
//! **Death at any point** (the [record](super::nudge_record) has three phases):
//!
//! 1. `Prepared`: nothing was sent. A task found stopped was stopped by somebody else, and stays so.
//! 2. `Sending`, written after the last check: then SIGSTOP, SIGCONT, nothing between. If the task is found stopped by
//!    SIGSTOP, it is continued: it was not stopped when the phase was written. If it was stopped by another signal than
//!    SIGSTOP, that was not us.
//! 3. `Sent`: both went out. A task found stopped was stopped by somebody else.
//!
//! **What remains.** Somebody else's SIGSTOP between the last look and our SIGCONT (some ten microseconds) is lost, as it
//! is for any two senders of signals. In phase 2, a death before our SIGSTOP or after our SIGCONT (the user-space edges
//! of neighbouring system calls) leaves the same record as one between them; if somebody else sends SIGSTOP after such a
//! death and before the next start, it is taken for ours. The other mistake, a process of a user's stopped for ever, is
//! the worse one.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use rustix::{
    io::Errno,
    process::{Signal, getpid},
};

use super::{
    fault::{self, Step},
    nudge_record::{self, Left, Open, Phase},
    priority::Undisturbed,
    target::{Glimpse, Gone, Target},
};
use crate::model::{
    patch::{Core, Direction},
    place::Places,
    task::{Recovery, Scheduling, TaskClass, TaskKey},
};

/// After a death in phase 2 the SIGSTOP may have been sent and not yet be visible: the task has taken it from the queue
/// and is about to stop. It needs a CPU for that, for microseconds; so long and so often it is looked at again.
const SETTLE: Duration = Duration::from_millis(10);
const SETTLE_LOOKS: u32 = 5;

/// Why a thread was not nudged.
#[derive(Debug, PartialEq, Eq)]
pub enum NotNudged {
    /// It no longer exists.
    Gone,
    /// It must never be.
    Never(&'static str),
    /// Not at this moment.
    NotNow(&'static str),
    /// The record could not be written, so nothing was sent.
    NoRecord(String),
    /// The kernel refused a signal.
    NotSent(String),
}

impl fmt::Display for NotNudged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("it is gone"),
            Self::Never(why) | Self::NotNow(why) => f.write_str(why),
            Self::NoRecord(why) => write!(f, "its record cannot be written to the runtime directory ({why})"),
            Self::NotSent(why) => write!(f, "the kernel refused the signal ({why})"),
        }
    }
}

/// Which thread is to be nudged, and for the sake of which transition.
#[derive(Clone, Copy, Debug)]
pub struct Aim<'a> {
    /// The core of the transition.
    pub core: Core,
    /// Where it goes.
    pub direction: Direction,
    /// The thread.
    pub key: TaskKey,
    /// Its process.
    pub tgid: u32,
    /// Its name, for the record.
    pub comm: &'a str,
}

/// Nudges, one at a time: two in one process would take each other's SIGSTOP for a stranger's.
#[derive(Debug)]
pub struct Nudger {
    places: Places,
    boot: String,
    turn: Mutex<()>,
}

impl Nudger {
    /// A nudger that keeps its records in these places.
    pub fn new(places: &Places) -> Self {
        Self {
            places: places.clone(),
            boot: nudge_record::boot_id(&places.proc),
            turn: Mutex::new(()),
        }
    }

    /// Nudges this thread of this process, if it is still the same, pending and asleep.
    pub fn nudge(&self, aim: Aim<'_>) -> Result<(), NotNudged> {
        never(aim.key.tid, aim.tgid)?;
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let target = Target::open(&self.places.proc, aim.key, aim.tgid).map_err(|err| match err {
            Errno::SRCH | Errno::NOENT => NotNudged::Gone,
            err => NotNudged::NotSent(err.to_string()),
        })?;
        self.nudge_target(&target, aim, &turn)
    }

    fn nudge_target(&self, target: &Target, aim: Aim<'_>, _turn: &MutexGuard<'_, ()>) -> Result<(), NotNudged> {
        // before the record is made: most refusals need none
        self.check(target, aim)?;
        let record = Open::create(&self.places, &self.boot, aim.key, aim.tgid, aim.comm)
            .map_err(|err| NotNudged::NoRecord(err.to_string()))?;
        fault::at(Step::NudgePrepared);
        let undisturbed = Undisturbed::begin();
        let ready = self.check(target, aim).and_then(|()| {
            record
                .set(Phase::Sending)
                .map_err(|err| NotNudged::NoRecord(err.to_string()))
        });
        if let Err(why) = ready {
            record.remove();
            return Err(why);
        }
        let result = stop_and_continue(target);
        fault::at(Step::NudgeContinued);
        // if this write fails the next start finds a task that is not stopped, and does nothing
        let _ = record.set(Phase::Sent);
        drop(undisturbed);
        fault::at(Step::NudgeDone);
        record.remove();
        result
    }

    /// What must be seen of it at the last moment. The state comes last: it is the one that changes all the time.
    fn check(&self, target: &Target, aim: Aim<'_>) -> Result<(), NotNudged> {
        let pending = target.is_pending(&self.places, aim.core, aim.direction);
        let frozen = target.is_frozen(&self.places);
        let Glimpse { stat, status } = target.look().map_err(|Gone| NotNudged::Gone)?;
        match stat.class(status.tgid) {
            TaskClass::User => {}
            TaskClass::Kthread => return Err(NotNudged::Never("it is a kernel thread")),
            TaskClass::IoWorker => return Err(NotNudged::Never("it is a worker of the kernel's in a user process")),
            TaskClass::Init | TaskClass::Idle => return Err(NotNudged::Never("it is PID 1")),
        }
        if !pending {
            return Err(NotNudged::NotNow("it has moved"));
        }
        if frozen {
            return Err(NotNudged::NotNow("its cgroup is frozen"));
        }
        if status.tracer != 0 {
            return Err(NotNudged::NotNow("it is traced"));
        }
        if status.stop_pending() {
            return Err(NotNudged::NotNow("somebody else is stopping it"));
        }
        match stat.scheduling() {
            Scheduling::Interruptible => Ok(()),
            Scheduling::Stopped | Scheduling::TracedStop => Err(NotNudged::NotNow("somebody else stopped it")),
            Scheduling::Dead => Err(NotNudged::Gone),
            Scheduling::Running => Err(NotNudged::NotNow("it is no longer asleep")),
            Scheduling::Uninterruptible => Err(NotNudged::NotNow("it sleeps where no signal reaches it")),
        }
    }
}

/// Both signals, back to back. SIGCONT is sent whatever became of SIGSTOP: it does no harm to what does not stop.
fn stop_and_continue(target: &Target) -> Result<(), NotNudged> {
    fault::at(Step::NudgeBeforeStop);
    let stop = target.send(Signal::STOP);
    fault::at(Step::NudgeBetween);
    let cont = target.send(Signal::CONT);
    match stop.and(cont) {
        Ok(()) => Ok(()),
        Err(Errno::SRCH) => Err(NotNudged::Gone),
        Err(err) => Err(NotNudged::NotSent(err.to_string())),
    }
}

/// What is known without looking.
fn never(thread: u32, process: u32) -> Result<(), NotNudged> {
    let own = getpid().as_raw_nonzero().get().cast_unsigned();
    if thread == 0 || process == 0 {
        Err(NotNudged::Never("it is an idle task"))
    } else if thread == 1 || process == 1 {
        Err(NotNudged::Never("it is PID 1"))
    } else if process == own || thread == own {
        Err(NotNudged::Never("it is this daemon itself"))
    } else {
        Ok(())
    }
}

/// A nudge that an earlier process began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The thread.
    pub key: TaskKey,
    /// Its process.
    pub tgid: u32,
    /// Its name.
    pub comm: String,
    /// What was found and done.
    pub recovery: Recovery,
}

/// Finishes what an earlier process began. To be called once at start, before anything is nudged. A record stays for the
/// next time if its task could not be continued.
pub fn recover(places: &Places) -> Vec<Recovered> {
    let boot = nudge_record::boot_id(&places.proc);
    let mut recovered = Vec::new();
    for left in nudge_record::left(places) {
        if left.boot != boot {
            left.remove();
            continue;
        }
        let recovery = match left.phase {
            Phase::Sending => continue_if_ours(places, &left),
            Phase::Prepared | Phase::Sent => Recovery::NothingOfOurs,
        };
        recovered.push(Recovered {
            key: left.key,
            tgid: left.tgid,
            comm: left.comm.clone(),
            recovery: recovery.clone(),
        });
        if !matches!(recovery, Recovery::CouldNotContinue(_)) {
            left.remove();
        }
    }
    recovered
}

/// Continues a task that our SIGSTOP holds, or is about to hold.
fn continue_if_ours(places: &Places, left: &Left) -> Recovery {
    let failed = |err: Errno| match err {
        Errno::SRCH | Errno::NOENT => Recovery::Gone,
        err => Recovery::CouldNotContinue(err.to_string()),
    };
    let target = match Target::open(&places.proc, left.key, left.tgid) {
        Ok(target) => target,
        Err(err) => return failed(err),
    };
    for look in 0..SETTLE_LOOKS {
        if look > 0 {
            thread::sleep(SETTLE);
        }
        let Ok(seen) = target.look() else {
            return Recovery::Gone;
        };
        match is_stopped_by_us(&seen, target.stop_signal()) {
            Some(true) => return target.send(Signal::CONT).map_or_else(failed, |()| Recovery::Continued),
            Some(false) if seen.stat.scheduling() == Scheduling::Dead => return Recovery::Gone,
            Some(false) => return Recovery::NothingOfOurs,
            None => {}
        }
    }
    Recovery::NothingOfOurs
}

/// `None`: neither stopped nor about to be, as far as can be seen. `signal`: what stopped it, 0 if the kernel does not
/// tell.
fn is_stopped_by_us(seen: &Glimpse, signal: u32) -> Option<bool> {
    match seen.stat.scheduling() {
        Scheduling::Stopped => Some(signal == 0 || signal == Signal::STOP.as_raw().cast_unsigned()),
        // its tracer has it: what becomes of the signal is for the tracer to say
        Scheduling::TracedStop | Scheduling::Dead => Some(false),
        Scheduling::Running | Scheduling::Interruptible | Scheduling::Uninterruptible => {
            seen.status.thread_stop_pending().then_some(true)
        }
    }
}

#[cfg(test)]
mod tests;

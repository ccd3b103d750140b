// SPDX-License-Identifier: GPL-2.0-only
//! A few microseconds in which this thread is not put aside for one that it wakes.
//!
//! Without it the scheduler runs the woken thread between two system calls of ours every second time (516 of 1,000 on an
//! idle machine with two CPUs, 312 of 1,000 on a busy one); with the lowest real-time priority it was 0 of 1,000 in both
//! cases, and shorter by a factor of five. It needs `CAP_SYS_NICE` or `RLIMIT_RTPRIO` of 1 (`LimitRTPRIO=`), and no
//! `RestrictRealtime=`. Where it is refused all works as before, only less quietly.

/// The lowest of the real-time priorities: above all ordinary threads, below every other real-time one.
const LOWEST: libc::c_int = 1;

/// While it lives the thread has a real-time priority.
///
/// # Invariant
///
/// It stays on the thread that made it (it is not `Send`), and what it holds lasts microseconds.
pub(super) struct Undisturbed {
    raised: bool,
    _this_thread: std::marker::PhantomData<*const ()>,
}

impl Undisturbed {
    /// Raises an ordinary thread; one that has been given another policy keeps it.
    pub(super) fn begin() -> Self {
        // SAFETY: sched_getscheduler takes an integer (0: this thread) and touches no memory of ours.
        let ordinary = unsafe { libc::sched_getscheduler(0) } == libc::SCHED_OTHER;
        Self {
            raised: ordinary && set(libc::SCHED_FIFO, LOWEST),
            _this_thread: std::marker::PhantomData,
        }
    }
}

impl Drop for Undisturbed {
    fn drop(&mut self) {
        if self.raised {
            // going back needs no rights; its nice value was kept meanwhile
            set(libc::SCHED_OTHER, 0);
        }
    }
}

fn set(policy: libc::c_int, priority: libc::c_int) -> bool {
    let param = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: `param` lives during the call, which only reads it; 0 means this thread.
    unsafe { libc::sched_setscheduler(0, policy, &raw const param) == 0 }
}

#[cfg(test)]
mod tests {
    use super::Undisturbed;

    fn policy() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("procfs");
        let (_, rest) = stat.rsplit_once(')').expect("stat");
        // field 41
        rest.split_whitespace()
            .nth(38)
            .expect("a policy")
            .parse()
            .expect("a number")
    }

    #[test]
    fn the_priority_is_raised_and_given_back() {
        assert_eq!(policy(), 0);
        {
            let _undisturbed = Undisturbed::begin();
            assert_eq!(policy(), 1, "this test needs root");
        }
        assert_eq!(policy(), 0);
    }
}

// SPDX-License-Identifier: GPL-2.0-only
//! Tasks: naming them, holding one still, walking its stack. What a stack means is decided elsewhere. Invariant: a
//! [`Still`] exists only while its task cannot run, or is the one that asks.

use core::marker::PhantomData;
use kernel::bindings::{task_struct, PF_KTHREAD, PF_USER_WORKER};
use kernel::ffi::{c_ulong, c_void};
use kernel::{prelude::*, str::CStr};

use super::{ffi, trace::Why};

/// A task that cannot run as long as the value lives.
pub(crate) struct Still<'a> {
    task: *mut task_struct,
    held: PhantomData<&'a ()>,
}

/// How a walk along a stack ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Walk {
    /// At its end: all frames were seen.
    Complete,
    /// Where the caller said.
    Stopped,
    /// Before its end: frames may have been missed.
    Unreliable,
}

impl Still<'_> {
    /// # Safety
    ///
    /// `task` must be valid, and unable to run (or the caller itself) until the value's last use.
    pub(super) unsafe fn new(task: *mut task_struct) -> Self {
        Self {
            task,
            held: PhantomData,
        }
    }

    /// The task's address, by which it is known in the task set.
    pub(crate) fn key(&self) -> usize {
        self.task as usize
    }

    /// An idle task? They alone have this number.
    pub(crate) fn is_idle(&self) -> bool {
        // SAFETY: Valid by the type's invariant, and it does not change while the task stands still.
        unsafe { (*self.task).pid == 0 }
    }

    /// A kernel thread, or a worker of a user process that lives in the kernel? Idle tasks are not meant.
    #[inline]
    pub(crate) fn never_leaves_kernel(&self) -> bool {
        const WORKERS: u32 = PF_KTHREAD | PF_USER_WORKER;
        // SAFETY: Valid by the type's invariant; these flags never change while a task runs.
        unsafe { (*self.task).flags & WORKERS != 0 && (*self.task).pid != 0 }
    }

    /// Will the task never run again?
    pub(crate) fn is_dead(&self) -> bool {
        // SAFETY: Valid by the type's invariant.
        unsafe { ffi::klp_rs_task_dead(self.task) }
    }

    /// The same task for what needs no stillness.
    pub(crate) fn seen(&self) -> Seen<'_> {
        Seen {
            task: self.task,
            under_rcu: PhantomData,
        }
    }

    /// Gives every return address on the stack to `stop`, newest first, until that says true.
    pub(crate) fn walk_stack<F: FnMut(usize) -> bool>(&self, mut stop: F) -> Walk {
        unsafe extern "C" fn frame<F: FnMut(usize) -> bool>(cookie: *mut c_void, address: c_ulong) -> bool {
            // SAFETY: `cookie` is the `stop` below, borrowed for the time of the walk by nobody else.
            let stop = unsafe { &mut *cookie.cast::<F>() };
            stop(address as usize)
        }
        let cookie = (&raw mut stop).cast();
        // SAFETY: The task stands still by the type's invariant, and a task that can still run has its stack (a dead one is
        // not walked: see `is_dead`); `frame` gets the type it was made for.
        match unsafe { ffi::klp_rs_stack_walk(self.task, frame::<F>, cookie) } {
            0 => Walk::Complete,
            1 => Walk::Stopped,
            _ => Walk::Unreliable,
        }
    }
}

/// A task that is known to exist, running or not.
pub(crate) struct Seen<'a> {
    task: *mut task_struct,
    under_rcu: PhantomData<&'a ()>,
}

impl Seen<'_> {
    /// Its address, by which it is known in the task set.
    pub(crate) fn key(&self) -> usize {
        self.task as usize
    }

    /// Calls `judge` while the task is blocked; nothing when it runs or waits to run.
    pub(crate) fn if_blocked<R, F: FnMut(Still<'_>) -> R>(&self, judge: F) -> Option<R> {
        let mut call = (judge, None);
        unsafe extern "C" fn pinned<R, F: FnMut(Still<'_>) -> R>(cookie: *mut c_void, task: *mut task_struct) {
            // SAFETY: `cookie` is the `call` above, which nobody else uses meanwhile.
            let call = unsafe { &mut *cookie.cast::<(F, Option<R>)>() };
            // SAFETY: klp_rs_with_blocked() holds the task's pi_lock: nobody can wake it until this returns.
            call.1 = Some((call.0)(unsafe { Still::new(task) }));
        }
        let cookie = (&raw mut call).cast();
        // SAFETY: The task exists by the type's invariant; `pinned` gets the type it was made for.
        unsafe { ffi::klp_rs_with_blocked(self.task, pinned::<R, F>, cookie) };
        call.1
    }

    /// Says what keeps it: in words at debug level, and as a number to the tracepoint.
    pub(crate) fn report(&self, why: &CStr, verdict: Why, function: &CStr) {
        // SAFETY: The task exists by the type's invariant; two strings, used during the call.
        unsafe { ffi::klp_rs_task_report(self.task, why.as_char_ptr(), function.as_char_ptr()) };
        // SAFETY: As above.
        unsafe { ffi::klp_rs_trace_verdict(self.task, verdict.as_verdict(), function.as_char_ptr()) };
    }

    /// Kicks it: a sleeping user thread leaves the kernel, a sleeping kthread wakes.
    pub(crate) fn fake_signal(&self) {
        // SAFETY: The task exists by the type's invariant.
        unsafe { ffi::klp_rs_fake_signal(self.task) };
    }
}

unsafe extern "C" fn with_seen<F: FnMut(Seen<'_>)>(cookie: *mut c_void, task: *mut task_struct) {
    // SAFETY: `cookie` is the closure of `each`, which nobody else uses meanwhile.
    let call = unsafe { &mut *cookie.cast::<F>() };
    call(Seen {
        task,
        under_rcu: PhantomData,
    });
}

unsafe extern "C" fn with_still<F: FnMut(Still<'_>)>(cookie: *mut c_void, task: *mut task_struct) {
    // SAFETY: `cookie` is the closure of `sweep`, which nobody else uses meanwhile.
    let call = unsafe { &mut *cookie.cast::<F>() };
    // SAFETY: The caller below says why the task cannot run.
    call(unsafe { Still::new(task) });
}

/// Every thread except idle ones. `seen` must not sleep.
pub(crate) fn each<F: FnMut(Seen<'_>)>(mut seen: F) {
    // SAFETY: The walk holds the RCU read lock, so that each task exists during its call.
    unsafe { ffi::klp_rs_each_task(with_seen::<F>, (&raw mut seen).cast()) };
}

/// A task that belongs to a CPU.
pub(crate) enum OnCpu<'a> {
    /// What it runs, or its idle task.
    Still(Still<'a>),
    /// Its idle task, while it is off: that begins with an empty stack.
    Off(Seen<'a>),
}

/// What each CPU is running, and its idle task; called there, from an interrupt, if it is on. Sleeps.
pub(crate) fn each_on_cpu<F: FnMut(OnCpu<'_>) + Send>(mut met: F) {
    unsafe extern "C" fn still<F: FnMut(OnCpu<'_>)>(cookie: *mut c_void, task: *mut task_struct) {
        // SAFETY: `cookie` is the `met` below, which nobody else uses meanwhile.
        let met = unsafe { &mut *cookie.cast::<F>() };
        // SAFETY: The call is in an interrupt on the task's CPU, which does not run it before it returns.
        met(OnCpu::Still(unsafe { Still::new(task) }));
    }
    unsafe extern "C" fn off<F: FnMut(OnCpu<'_>)>(cookie: *mut c_void, task: *mut task_struct) {
        // SAFETY: As above.
        let met = unsafe { &mut *cookie.cast::<F>() };
        // Idle tasks are never freed.
        met(OnCpu::Off(Seen {
            task,
            under_rcu: PhantomData,
        }));
    }
    // SAFETY: The calls are made one after the other, so the closure has one user at a time; both get what they were made for.
    unsafe { ffi::klp_rs_each_cpu(still::<F>, off::<F>, (&raw mut met).cast()) };
}

/// Has the idle tasks of idle CPUs leave what they are in, and call schedule().
pub(crate) fn wake_idle() {
    // SAFETY: Process context, without scheduler locks.
    unsafe { ffi::klp_rs_wake_idle() };
}

/// Every thread that does not run, while the whole machine stands. Sleeps.
pub(crate) fn sweep<F: FnMut(Still<'_>) + Send>(mut still: F) {
    // SAFETY: In stop_machine() only stoppers run. Its error (no CPU to run on) leaves nothing called, and is not one here.
    unsafe { ffi::klp_rs_sweep(with_still::<F>, (&raw mut still).cast()) };
}

/// Is this return address that of a call by a BPF trampoline?
pub(crate) fn in_trampoline(address: usize) -> bool {
    // SAFETY: Needs nothing of its caller: any address may be asked for.
    unsafe { ffi::klp_rs_in_trampoline(address as c_ulong) }
}

/// Can this kernel say for sure what is on the stack of a task? Otherwise every walk is unreliable.
pub(crate) fn stacks_are_reliable() -> bool {
    // SAFETY: Needs nothing of its caller.
    unsafe { ffi::klp_rs_stacks_are_reliable() }
}

/// The errno of what needs reliable stacks where there are none.
pub(crate) fn no_consistency() -> Error {
    Error::from_errno(-(kernel::bindings::ENOSYS as i32))
}

/// How many threads there are now.
pub(crate) fn count() -> usize {
    // SAFETY: Needs nothing of its caller.
    (unsafe { ffi::klp_rs_task_count() }) as usize
}

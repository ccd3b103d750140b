// SPDX-License-Identifier: GPL-2.0-only
//! The kernel's numbers that records carry unchanged: flags, states and error numbers.
//!
//! No structure offsets: those differ from build to build and come from BTF. The numbers here are the same in 6.1, 6.12
//! and 7.2; each names the file it stands in.

/// `task->flags` (`include/linux/sched.h: PF_*`): leaving through `do_exit`.
pub const PF_EXITING: u32 = 0x0000_0004;
/// `task->flags`: an `io_uring` worker, a thread of a user process that never returns to user space.
pub const PF_IO_WORKER: u32 = 0x0000_0010;
/// `task->flags`: a kernel-made worker of a user process (vhost); since 6.4, a hole before.
pub const PF_USER_WORKER: u32 = 0x0000_4000;
/// `task->flags`: a kernel thread.
pub const PF_KTHREAD: u32 = 0x0020_0000;

/// `task->__state` (`include/linux/sched.h: TASK_*`): runnable.
pub const TASK_RUNNING: u32 = 0;
/// `task->__state`: asleep, woken by signals.
pub const TASK_INTERRUPTIBLE: u32 = 0x1;
/// `task->__state`: asleep, not woken by signals.
pub const TASK_UNINTERRUPTIBLE: u32 = 0x2;
/// `task->__state`: stopped by job control.
pub const TASK_STOPPED: u32 = 0x4;
/// `task->__state`: stopped by a tracer.
pub const TASK_TRACED: u32 = 0x8;
/// `task->__state`: a parked kernel thread.
pub const TASK_PARKED: u32 = 0x40;
/// `task->__state`: dead, about to leave its stack.
pub const TASK_DEAD: u32 = 0x80;
/// `task->__state`: being woken.
pub const TASK_WAKING: u32 = 0x200;
/// `task->__state`: not started yet.
pub const TASK_NEW: u32 = 0x800;
/// `task->__state`: frozen by the freezer of suspend or of cgroup version 1; since 6.1.
pub const TASK_FROZEN: u32 = 0x8000;

/// `task->jobctl` (`include/linux/sched/jobctl.h`): a group stop is on its way to this thread.
pub const JOBCTL_STOP_PENDING: u64 = 1 << 17;
/// `task->jobctl`: a tracer's stop is on its way (`PTRACE_SEIZE`).
pub const JOBCTL_TRAP_STOP: u64 = 1 << 19;
/// `task->jobctl`: the freezer of cgroup version 2 wants this thread.
pub const JOBCTL_TRAP_FREEZE: u64 = 1 << 23;
/// `task->jobctl`: in a group stop (`kernel/signal.c: do_signal_stop`).
pub const JOBCTL_STOPPED: u64 = 1 << 26;
/// `task->jobctl`: in a tracer's stop (`kernel/signal.c: ptrace_stop`).
pub const JOBCTL_TRACED: u64 = 1 << 27;

/// `task->signal->flags` (`include/linux/sched/signal.h`): the whole process is stopped by job control.
pub const SIGNAL_STOP_STOPPED: u32 = 0x1;

/// `task->patch_state` (`include/linux/livepatch.h`): no transition runs; 6.1 calls it `KLP_UNDEFINED`.
pub const PATCH_STATE_IDLE: i32 = -1;
/// `task->patch_state`: runs the old functions.
pub const PATCH_STATE_UNPATCHED: i32 = 0;
/// `task->patch_state`: runs the new functions.
pub const PATCH_STATE_PATCHED: i32 = 1;

/// Verdict of `kernel/livepatch/transition.c: klp_check_and_switch_task`: the task runs on a CPU (`-EBUSY`).
pub const VERDICT_RUNNING: i32 = -16;
/// Verdict: the task's stack cannot be walked reliably (`-EINVAL`).
pub const VERDICT_UNRELIABLE: i32 = -22;
/// Verdict: the task sleeps on a function of the patch (`-EADDRINUSE`).
pub const VERDICT_SLEEPING: i32 = -98;

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Looking at the stacks of tasks, and holding a task still meanwhile. Judges nothing: what a frame means is the caller's
 * business. Invariant: a stack is walked only while its task cannot run (or is the caller itself).
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/kallsyms.h>
#include <linux/printk.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/smp.h>
#include <linux/stop_machine.h>
#include <linux/string.h>
#include <linux/wait.h>

#include "klp_rs_glue.h"

/* Others may have reliable stacks, but no exported way to walk them. */
#if defined(CONFIG_X86_64) && defined(CONFIG_HAVE_RELIABLE_STACKTRACE) && !defined(KLP_RS_WITHOUT_UNWINDER)
#include <asm/unwind.h>

bool klp_rs_stacks_are_reliable(void)
{
	return true;
}

/*
 * Is @address in a BPF trampoline? For return addresses on stacks that are being walked.
 */
bool klp_rs_in_trampoline(unsigned long address)
{
	static const char name[] = "bpf_trampoline_"; /* kernel/bpf/trampoline.c:bpf_tramp_image_alloc */
	char text[KSYM_SYMBOL_LEN];

	/* Where arch/x86/mm/init.c:execmem_arch_setup has room for what is made at run time; names take time. */
	if (address < MODULES_VADDR || address >= MODULES_END)
		return false;
	sprint_symbol(text, address);
	return !strncmp(text, name, strlen(name));
}

/*
 * The rules of a reliable walk, as arch/x86/kernel/stacktrace.c:arch_stack_walk_reliable has them: it must end at the
 * entry from user space or at the last frame of a kthread, and every frame must have a known return address.
 * 0: walked to the end; 1: stopped by @frame; -EINVAL: unreliable.
 */
int klp_rs_stack_walk(struct task_struct *task, klp_rs_frame_fn frame, void *cookie)
{
	struct unwind_state state;

	if (!task->pid && task != current && !klp_rs_way(idle))
		return -EINVAL;
	for (unwind_start(&state, task, NULL, NULL); !unwind_done(&state) && !unwind_error(&state);
	     unwind_next_frame(&state)) {
		struct pt_regs *regs = unwind_get_entry_regs(&state, NULL);
		unsigned long address;

		if (regs && user_mode(regs))
			return 0;
		/* Without ORC an interrupted function may not have set up its frame. */
		if (regs && !IS_ENABLED(CONFIG_UNWINDER_ORC))
			return -EINVAL;
		address = unwind_get_return_address(&state);
		if (!address)
			return -EINVAL;
		if (frame(cookie, address))
			return 1;
	}
	return unwind_error(&state) ? -EINVAL : 0;
}
#else
bool klp_rs_stacks_are_reliable(void)
{
	return false;
}

int klp_rs_stack_walk(struct task_struct *task, klp_rs_frame_fn frame, void *cookie)
{
	return -EINVAL;
}

bool klp_rs_in_trampoline(unsigned long address)
{
	return false;
}
#endif

/*
 * Calls @pinned while @task is blocked and cannot be woken; false, without a call, when it runs or waits to run. A wake-up
 * takes pi_lock first (kernel/sched/core.c:try_to_wake_up), so a task seen blocked under it stays blocked.
 */
bool klp_rs_with_blocked(struct task_struct *task, klp_rs_pinned_fn pinned, void *cookie)
{
	bool blocked = false;
	unsigned long flags;
	unsigned int state;

	if (!klp_rs_way(sleep))
		return false;
	raw_spin_lock_irqsave(&task->pi_lock, flags);
	state = READ_ONCE(task->__state);
	if (state == TASK_RUNNING || state == TASK_WAKING)
		goto out;
	/* on_rq is read after __state: partner of the write order in kernel/sched/core.c:try_to_wake_up. */
	smp_rmb();
	if (READ_ONCE(task->on_rq))
		goto out;
	/* on_cpu is read after on_rq: partner of LOCK + smp_mb__after_spinlock in kernel/sched/core.c:__schedule. */
	smp_rmb();
	/* Partner of smp_store_release in kernel/sched/core.c:finish_task. */
	smp_cond_load_acquire(&task->on_cpu, !VAL);
	blocked = true;
	pinned(cookie, task);
out:
	raw_spin_unlock_irqrestore(&task->pi_lock, flags);
	return blocked;
}

struct klp_rs_still {
	klp_rs_pinned_fn call;
	void *cookie;
};

/*
 * In the interrupt: the interrupted task cannot go anywhere until this returns, and the CPU's idle task, which runs nowhere
 * else, stands at the schedule_idle() that it left by.
 */
static void klp_rs_still_here(void *data)
{
	struct klp_rs_still *still = data;
	struct task_struct *idle = klp_rs_idle_task(smp_processor_id());

	if (is_idle_task(current) || klp_rs_way(interrupt))
		still->call(still->cookie, current);
	if (idle && idle != current)
		still->call(still->cookie, idle);
}

/*
 * Calls @still with whatever task runs on a CPU and with its idle task, on that CPU, for every online CPU; @off with the idle
 * tasks of the others, which begin with an empty stack when their CPU comes up. One after the other, and no CPU comes or
 * goes meanwhile: none is missed by both, so that a CPU which comes up later has an idle task that was looked at.
 */
void klp_rs_each_cpu(klp_rs_pinned_fn still, klp_rs_pinned_fn off, void *cookie)
{
	struct klp_rs_still request = { still, cookie };
	int cpu;

	cpus_read_lock();
	for_each_possible_cpu(cpu) {
		struct task_struct *idle = klp_rs_idle_task(cpu);

		if (cpu_online(cpu))
			smp_call_function_single(cpu, klp_rs_still_here, &request, 1);
		else if (idle)
			off(cookie, idle);
	}
	cpus_read_unlock();
}

/*
 * Has idle CPUs go through schedule(), as kernel/livepatch/transition.c:klp_try_complete_transition does: whose idle task is
 * inside of what may not be on its stack may be so whenever it is interrupted, and until it is woken.
 */
void klp_rs_wake_idle(void)
{
	if (klp_rs_way(wake))
		wake_up_all_idle_cpus();
}

/*
 * Every thread but the idle ones. A task forked during the walk is added behind its parent (kernel/fork.c:copy_process adds
 * at the tail of both lists), so the walk that saw the parent sees the child as well, or the parent forked after it was seen.
 */
void klp_rs_each_task(klp_rs_pinned_fn seen, void *cookie)
{
	struct task_struct *group, *task;

	rcu_read_lock();
	for_each_process_thread(group, task)
		seen(cookie, task);
	rcu_read_unlock();
}

static int klp_rs_sweep_stopped(void *data)
{
	struct klp_rs_still *still = data;
	struct task_struct *group, *task;

	for_each_process_thread(group, task)
		if (!READ_ONCE(task->on_cpu))
			still->call(still->cookie, task);
	return 0;
}

/*
 * Calls @still for every task while the machine stands: nothing but the stoppers runs then, so also a task that waits on a
 * runqueue has its whole stack in memory. Costs every CPU the time of the walk: for the few that nothing else reaches.
 */
int klp_rs_sweep(klp_rs_pinned_fn still, void *cookie)
{
	struct klp_rs_still request = { still, cookie };

	if (!klp_rs_way(sweep))
		return 0;
	return stop_machine(klp_rs_sweep_stopped, &request, NULL);
}

unsigned int klp_rs_task_count(void)
{
	struct task_struct *group, *task;
	unsigned int count = 0;

	rcu_read_lock();
	for_each_process_thread(group, task)
		count++;
	rcu_read_unlock();
	return count;
}

/* Will never run again: its stack may be gone. */
bool klp_rs_task_dead(const struct task_struct *task)
{
	return READ_ONCE(task->__state) == TASK_DEAD;
}

/* The words of kernel/livepatch/transition.c:klp_try_switch_task, at its level. */
void klp_rs_task_report(struct task_struct *task, const char *why, const char *function)
{
	pr_debug("%s:%d %s%s\n", task->comm, task->pid, why, function);
}

/*
 * What include/linux/sched/signal.h:set_notify_signal does, from exported parts: an interruptible sleeper returns to user
 * space and starts its call anew; a kthread only wakes. Nothing is queued, so nothing can outlive this module.
 */
void klp_rs_fake_signal(struct task_struct *task)
{
	wait_queue_entry_t entry = { .private = task };

	if (!klp_rs_way(kick))
		return;
	if (!(task->flags & PF_KTHREAD) && test_and_set_tsk_thread_flag(task, TIF_NOTIFY_SIGNAL))
		return;
	if (!default_wake_function(&entry, TASK_INTERRUPTIBLE, 0, NULL) && !(task->flags & PF_KTHREAD))
		kick_process(task);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The moments at which a task may move by itself, as tracepoint probes; registered for the time of a transition only.
 * Invariant: every probe runs its Rust half with preemption off, so that klp_rs_synchronize() waits for it.
 */
#include <linux/errno.h>
#include <linux/irqflags.h>
#include <linux/preempt.h>
#include <linux/string.h>
#include <linux/tracepoint.h>

#include "klp_rs_glue.h"

/* Return to user space: include/trace/events/syscalls.h:sys_exit. */
static void klp_rs_sys_exit(void *data, struct pt_regs *regs, long ret)
{
	if (!klp_rs_way(exit))
		return;
	preempt_disable_notrace();
	klp_rs_at_safe_point(current);
	preempt_enable_notrace();
}

/* At the start of schedule(), before its locks: kernel/sched/core.c:__schedule. */
static void klp_rs_sched_entry(void *data, bool preempt)
{
	if (!klp_rs_way(schedule))
		return;
	preempt_disable_notrace();
	klp_rs_at_safe_point(current);
	preempt_enable_notrace();
}

/*
 * kernel/fork.c:copy_process, after the child is in the task list and before it can run. Interrupts are off so that the
 * parent, which an interrupt may move, has one state for the whole of it.
 */
static void klp_rs_task_newtask(void *data, struct task_struct *child, u64 clone_flags)
{
	unsigned long flags;

	local_irq_save(flags);
	klp_rs_at_fork(child);
	local_irq_restore(flags);
}

/* kernel/exit.c:delayed_put_task_struct: no walk can reach the task any more, and its address may be used again. */
static void klp_rs_process_free(void *data, struct task_struct *task)
{
	preempt_disable_notrace();
	klp_rs_at_free(task);
	preempt_enable_notrace();
}

static struct klp_rs_hook {
	const char *name;
	void *probe;
	struct tracepoint *point;
} klp_rs_hooks[] = {
	/* What keeps the task set true comes first and leaves last. */
	{ "task_newtask", klp_rs_task_newtask },
	{ "sched_process_free", klp_rs_process_free },
	{ "sched_entry_tp", klp_rs_sched_entry },
	{ "sys_exit", klp_rs_sys_exit },
};

static void klp_rs_hook_match(struct tracepoint *point, void *unused)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(klp_rs_hooks); i++)
		if (!strcmp(point->name, klp_rs_hooks[i].name))
			klp_rs_hooks[i].point = point;
}

/* Tracepoints of the kernel itself never go away, so finding them once is enough. */
int klp_rs_hooks_find(void)
{
	unsigned int i;

	for_each_kernel_tracepoint(klp_rs_hook_match, NULL);
	for (i = 0; i < ARRAY_SIZE(klp_rs_hooks); i++)
		if (!klp_rs_hooks[i].point)
			return -ENOENT;
	return 0;
}

static void klp_rs_hooks_unregister_first(unsigned int count)
{
	while (count--)
		tracepoint_probe_unregister(klp_rs_hooks[count].point, klp_rs_hooks[count].probe, NULL);
}

int klp_rs_hooks_register(void)
{
	unsigned int i;
	int err;

	for (i = 0; i < ARRAY_SIZE(klp_rs_hooks); i++) {
		err = tracepoint_probe_register(klp_rs_hooks[i].point, klp_rs_hooks[i].probe, NULL);
		if (err) {
			klp_rs_hooks_unregister_first(i);
			return err;
		}
	}
	return 0;
}

void klp_rs_hooks_unregister(void)
{
	klp_rs_hooks_unregister_first(ARRAY_SIZE(klp_rs_hooks));
}

/* Nobody is inside a probe any more: before this module's text goes. */
void klp_rs_hooks_synchronize(void)
{
	tracepoint_synchronize_unregister();
}

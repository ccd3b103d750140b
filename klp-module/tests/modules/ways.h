/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What ways.ko and its patch share: a function in which a task stays until it is told to step, and one that says which
 * version a task has. Each version is the same code but for its number.
 */
#ifndef WAYS_H
#define WAYS_H

#include <linux/atomic.h>
#include <linux/kthread.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/wait.h>

struct ways {
	wait_queue_head_t gate;
	/* How often everybody was told to step. */
	unsigned int steps;
	/* How often somebody came in. */
	atomic_t entries;
};

int ways_inside(struct ways *ways, bool preemptible);
int ways_version(void);

static __always_inline bool ways_ends(void)
{
	return current->flags & PF_KTHREAD && kthread_should_stop();
}

/* The step that it waits for is the next one after its entry was counted. Leaves with preemption off unless @preemptible. */
static __always_inline int ways_wait(struct ways *ways, bool preemptible)
{
	unsigned int steps = READ_ONCE(ways->steps);
	int err;

	atomic_inc(&ways->entries);
	err = wait_event_interruptible(ways->gate, READ_ONCE(ways->steps) != steps || ways_ends());
	if (!err && !preemptible)
		preempt_disable();
	return err;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two functions that must be of one version, and the check that they are. Shared by the target and its patches, so that
 * each version is the same code but for its number.
 *
 * agree_caller() asks agree_callee() twice, with @pause with something in between that gives tasks every chance to move:
 * if they could move while inside, or if one of the two were replaced without the other, the answers would differ.
 * Without @pause most of the time goes by on the way into the two functions. An idle task, whose interrupts are off, is idle in
 * between.
 */
#ifndef AGREE_H
#define AGREE_H

#include <linux/atomic.h>
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/sched.h>
#include <linux/wait.h>

/* The original, and those of agree_v2 to agree_v6. */
#define AGREE_VERSIONS 6

struct agree {
	/* The originals, called through here so that a patch calls what everybody calls. */
	int (*caller)(struct agree *agree, bool pause);
	int (*callee)(struct agree *agree);
	atomic64_t calls;
	atomic64_t pauses;
	atomic64_t mixed;
	atomic64_t versions[AGREE_VERSIONS + 1];
	/* Tasks sleep here in agree_hold() until it is opened. */
	wait_queue_head_t gate;
	bool open;
};

int agree_caller(struct agree *agree, bool pause);
int agree_callee(struct agree *agree);
int agree_hold(struct agree *agree);

static __always_inline int agree_check(struct agree *agree, bool pause, int version)
{
	int before = agree->callee(agree);
	int after;

	if (pause && is_idle_task(current)) {
		arch_cpu_idle();
		pause = false;
	}
	switch (pause ? atomic64_inc_return(&agree->pauses) % 16 : 1) {
	case 0:
		usleep_range(50, 300);
		break;
	case 4:
		schedule_timeout_interruptible(1);
		break;
	case 8:
		cond_resched();
		break;
	case 12:
		udelay(20);
		break;
	}
	after = agree->callee(agree);
	if (before != version || after != version)
		atomic64_inc(&agree->mixed);
	atomic64_inc(&agree->calls);
	atomic64_inc(&agree->versions[version]);
	return version;
}

#endif

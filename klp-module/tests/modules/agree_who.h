/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of agree.ko share: who calls, and what belongs to no task that does. */
#ifndef AGREE_WHO_H
#define AGREE_WHO_H

enum agree_who {
	AGREE_TASKS,
	AGREE_KTHREADS,
	AGREE_IO_WORKERS,
	AGREE_FAULTS,
	AGREE_INTERRUPTS,
	AGREE_NMIS,
	AGREE_IDLE,
	AGREE_KINDS
};

/* agree_main.c: calls agree_caller(), and returns its version. */
int agree_call_as(enum agree_who who);

/* agree_odd.c */
int agree_odd_start(void);
void agree_odd_stop(void);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the target module and the patches for it agree on: the queues that readers sleep on, and how one sleeps.
 *
 * A patched function gets its queue as argument and sleeps by the same inline code, so that a patch needs no symbol of
 * tgt: it loads before it, after it, and without it.
 */
#ifndef TGT_H
#define TGT_H

#include <linux/atomic.h>
#include <linux/kthread.h>
#include <linux/sched/signal.h>
#include <linux/types.h>
#include <linux/wait.h>

/*
 * A function to be patched: on the stack under its own name while it sleeps (noipa: never inlined, cloned or assumed
 * about by its callers), and global, so that it can be found by its name.
 */
#define tgt_function __attribute__((noipa))

struct seq_file;

/* Everybody who sleeps on a queue leaves it when its round goes up. */
struct tgt_queue {
	const char *name;
	wait_queue_head_t wait;
	unsigned int round;
	atomic_t sleepers;
};

int tgt_wait(struct tgt_queue *queue);
int tgt_wait_eintr(struct tgt_queue *queue);
int tgt_wait_killable(struct tgt_queue *queue);
int tgt_wait_uninterruptible(struct tgt_queue *queue);
int tgt_wait_unreliable(struct tgt_queue *queue);
int tgt_spin(struct tgt_queue *queue);
int tgt_kthread_wait(struct tgt_queue *queue);
int tgt_version(char *text, size_t size);
int tgt_answer(int question);
int tgt_late(struct tgt_queue *queue, struct seq_file *out);

static inline bool tgt_released(struct tgt_queue *queue, unsigned int round)
{
	return READ_ONCE(queue->round) != round;
}

/* A signal ends the read with ERESTARTSYS: the kernel starts the system call anew unless a handler says otherwise. */
static __always_inline int tgt_sleep_interruptible(struct tgt_queue *queue)
{
	unsigned int round = READ_ONCE(queue->round);
	int result;

	atomic_inc(&queue->sleepers);
	result = wait_event_interruptible(queue->wait, tgt_released(queue, round));
	atomic_dec(&queue->sleepers);
	return result;
}

/* As above, but the program sees the interruption, as it does with a socket that has a time-out. */
static __always_inline int tgt_sleep_eintr(struct tgt_queue *queue)
{
	return tgt_sleep_interruptible(queue) ? -EINTR : 0;
}

static __always_inline int tgt_sleep_killable(struct tgt_queue *queue)
{
	unsigned int round = READ_ONCE(queue->round);
	int result;

	atomic_inc(&queue->sleepers);
	result = wait_event_killable(queue->wait, tgt_released(queue, round));
	atomic_dec(&queue->sleepers);
	return result;
}

static __always_inline int tgt_sleep_uninterruptible(struct tgt_queue *queue)
{
	unsigned int round = READ_ONCE(queue->round);

	atomic_inc(&queue->sleepers);
	wait_event(queue->wait, tgt_released(queue, round));
	atomic_dec(&queue->sleepers);
	return 0;
}

/* Always running; gives the processor away so that an emulated machine stays usable. Only SIGKILL ends it early. */
static __always_inline int tgt_run(struct tgt_queue *queue)
{
	unsigned int round = READ_ONCE(queue->round);

	atomic_inc(&queue->sleepers);
	while (!tgt_released(queue, round) && !fatal_signal_pending(current)) {
		cpu_relax();
		cond_resched();
	}
	atomic_dec(&queue->sleepers);
	return fatal_signal_pending(current) ? -EINTR : 0;
}

/* No signal reaches a kthread, so nothing but its end or a release takes it out of here. */
static __always_inline int tgt_sleep_kthread(struct tgt_queue *queue)
{
	unsigned int round = READ_ONCE(queue->round);

	atomic_inc(&queue->sleepers);
	wait_event_interruptible(queue->wait, tgt_released(queue, round) || kthread_should_stop());
	atomic_dec(&queue->sleepers);
	return 0;
}

#endif

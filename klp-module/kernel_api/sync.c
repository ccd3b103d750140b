// SPDX-License-Identifier: GPL-2.0-only
/*
 * The wait on every CPU, and the one thread that drives transitions. Invariant: klp_rs_thread_wake() may be called from
 * anywhere, also under scheduler locks and from the ftrace handler; it only queues an irq_work.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/irq_work.h>
#include <linux/kthread.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/stop_machine.h>
#include <linux/wait.h>

#include "klp_rs_glue.h"

static int klp_rs_nothing(void *data)
{
	return 0;
}

/*
 * Everybody who had preemption off when this was called has turned it on since: the stopper thread of each CPU had to
 * run. Holds also where RCU is not watching. A CPU that goes off meanwhile is waited for until it says that it is dead
 * (kernel/cpu.c:cpuhp_bp_sync_dead, under the lock that stop_machine() takes for reading), or for ten seconds if it never does;
 * what it may be in after that is not patched (pure/dead_cpu.rs). Partner of the preempt_disable_notrace() in ftrace.c, hooks.c and modules.c.
 */
void klp_rs_synchronize(void)
{
	stop_machine(klp_rs_nothing, NULL, cpu_online_mask);
}

struct klp_rs_standing {
	klp_rs_call_fn call;
	void *cookie;
};

static int klp_rs_standing(void *data)
{
	struct klp_rs_standing *standing = data;

	standing->call(standing->cookie);
	return 0;
}

/*
 * Calls @call once, on one CPU, while the stoppers of all others wait with interrupts off: nobody else has preemption off, and
 * when this returns, every NMI that came meanwhile has ended, too. The same partners as klp_rs_synchronize(), which this
 * stands for.
 */
void klp_rs_stand(klp_rs_call_fn call, void *cookie)
{
	struct klp_rs_standing standing = { call, cookie };

	stop_machine(klp_rs_standing, &standing, NULL);
}

static DECLARE_WAIT_QUEUE_HEAD(klp_rs_wait);
static struct task_struct *klp_rs_thread;
static bool klp_rs_woken;

static void klp_rs_wake_work(struct irq_work *work)
{
	WRITE_ONCE(klp_rs_woken, true);
	wake_up(&klp_rs_wait);
}

static DEFINE_IRQ_WORK(klp_rs_irq_work, klp_rs_wake_work);

void klp_rs_thread_wake(void)
{
	irq_work_queue(&klp_rs_irq_work);
}

static bool klp_rs_called(void)
{
	return READ_ONCE(klp_rs_woken) || kthread_should_stop();
}

/* Each step says after how many milliseconds it wants to be asked again; 0 means only when called. */
static int klp_rs_thread_main(void *unused)
{
	unsigned int pause = 0;

	while (!kthread_should_stop()) {
		if (pause)
			wait_event_interruptible_hrtimeout(klp_rs_wait, klp_rs_called(), ms_to_ktime(pause));
		else
			wait_event_interruptible(klp_rs_wait, klp_rs_called());
		/*
		 * Full: a call that is forgotten here came before the step reads what it was about. Partner: a caller
		 * counts its move before it calls, and the irq_work sets the flag after that.
		 */
		smp_store_mb(klp_rs_woken, false);
		pause = klp_rs_transition_step();
	}
	return 0;
}

int klp_rs_thread_start(void)
{
	struct task_struct *thread = kthread_run(klp_rs_thread_main, NULL, "klp_rs");

	if (IS_ERR(thread))
		return PTR_ERR(thread);
	/* It has little to do, and a busy machine should not keep it from that. */
	set_user_nice(thread, MIN_NICE);
	klp_rs_thread = thread;
	return 0;
}

void klp_rs_thread_stop(void)
{
	kthread_stop(klp_rs_thread);
	irq_work_sync(&klp_rs_irq_work);
}

/* In C because dynamic debug is a matter of macros. */
void klp_rs_debug(const char *patch, const char *what, const char *rest)
{
	pr_debug("'%s': %s%s\n", patch, what, rest);
}

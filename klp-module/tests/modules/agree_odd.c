// SPDX-License-Identifier: GPL-2.0-only
/*
 * Callers of agree.ko that are no task's own: a timer on each processor, in whatever task it interrupts; non-maskable
 * interrupts, which that timer sends to the next processor; and the idle loop while RCU is not watching, by way of the one
 * state of a cpuidle driver (drivers/cpuidle/cpuidle.c:cpuidle_enter_state).
 */
#include <linux/cpuidle.h>
#include <linux/cpumask.h>
#include <linux/hrtimer.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/smp.h>

#include <asm/apic.h>
#include <asm/nmi.h>

#include "agree_who.h"

static bool interrupts;
module_param(interrupts, bool, 0444);

static bool nmis;
module_param(nmis, bool, 0444);

static bool idle;
module_param(idle, bool, 0444);

static DEFINE_PER_CPU(struct hrtimer, timers);

static int nmi_run(unsigned int type, struct pt_regs *regs)
{
	agree_call_as(AGREE_NMIS);
	/* Two that were sent may arrive as one: all of them are ours, as nobody else sends any. */
	return NMI_HANDLED;
}

/* One begins on each processor, busy or idle. */
static enum hrtimer_restart timer_run(struct hrtimer *timer)
{
	agree_call_as(AGREE_INTERRUPTS);
	if (nmis) {
		unsigned int next = cpumask_next_wrap(smp_processor_id(), cpu_online_mask);

		if (next < nr_cpu_ids)
			apic->send_IPI(next, NMI_VECTOR);
	}
	hrtimer_forward_now(timer, us_to_ktime(700));
	return HRTIMER_RESTART;
}

static void timer_start(void *unused)
{
	hrtimer_start(this_cpu_ptr(&timers), us_to_ktime(700), HRTIMER_MODE_REL_PINNED_HARD);
}

static int idle_run(struct cpuidle_device *device, struct cpuidle_driver *driver, int state)
{
	if (rcu_is_watching())
		arch_cpu_idle();
	else
		agree_call_as(AGREE_IDLE);
	return state;
}

static struct cpuidle_driver idle_driver = {
	.name = "agree",
	.states = { { .enter = idle_run, .exit_latency = 1, .target_residency = 1, .name = "agree", .desc = "calls" } },
	.state_count = 1,
};

static void nothing(void *unused)
{
}

int agree_odd_start(void)
{
	unsigned int cpu;
	int err;

	for_each_possible_cpu(cpu)
		hrtimer_setup(per_cpu_ptr(&timers, cpu), timer_run, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
	if (idle) {
		err = cpuidle_register(&idle_driver, NULL);
		if (err)
			return err;
	}
	if (nmis) {
		err = register_nmi_handler(NMI_LOCAL, nmi_run, 0, "agree");
		if (err) {
			if (idle)
				cpuidle_unregister(&idle_driver);
			return err;
		}
	}
	if (interrupts)
		on_each_cpu(timer_start, NULL, true);
	return 0;
}

void agree_odd_stop(void)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu)
		hrtimer_cancel(per_cpu_ptr(&timers, cpu));
	/* What was sent to a processor comes before this does. */
	on_each_cpu(nothing, NULL, true);
	if (nmis)
		unregister_nmi_handler(NMI_LOCAL, "agree");
	if (idle)
		cpuidle_unregister(&idle_driver);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * ways.ko: tasks that can move in one way only.
 *
 *   /proc/ways/exit       read: is in ways_inside() until the next step, and returns to user space
 *   /proc/ways/schedule   read: leaves ways_inside() with each step, calls schedule() once, and is inside again, for ever
 *   /proc/ways/interrupt  read: leaves with the next step and has preemption off from then on, until it has moved or three
 *                         seconds have gone by; the byte read is its version then
 *   /proc/ways/step       write: everybody inside steps
 *   /proc/ways/still      write 1: the next processor that goes down stops half way and holds the lock that klp_rs needs to look
 *                         at tasks; write 0: it goes on, and does not go down
 *   /proc/ways/state      read: entries, and whether a processor is held
 *
 * With the parameter kthread=1 a kernel thread is inside, and inside again with each step.
 */
#include <linux/cpuhotplug.h>
#include <linux/delay.h>
#include <linux/irqflags.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>

#include "ways.h"

static bool kthread;
module_param(kthread, bool, 0444);

static struct task_struct *thread;
static enum cpuhp_state hotplug;
static DECLARE_WAIT_QUEUE_HEAD(still_gate);
static bool still;
static bool held;

static struct ways ways;

__attribute__((noipa)) int ways_version(void)
{
	return 1;
}

__attribute__((noipa)) int ways_inside(struct ways *ways, bool preemptible)
{
	return ways_wait(ways, preemptible);
}

static ssize_t byte(char __user *buffer, size_t size, char what)
{
	if (!size)
		return 0;
	return copy_to_user(buffer, &what, 1) ? -EFAULT : 1;
}

static ssize_t exit_read(struct file *file, char __user *buffer, size_t size, loff_t *position)
{
	int err = ways_inside(&ways, true);

	return err ? err : byte(buffer, size, '0');
}

static ssize_t schedule_read(struct file *file, char __user *buffer, size_t size, loff_t *position)
{
	int err;

	while (!(err = ways_inside(&ways, true)))
		schedule();
	return err;
}

/* An interrupt never finds it in ways_version(), or it would have to come again. */
static int version_now(void)
{
	int version;

	local_irq_disable();
	version = ways_version();
	local_irq_enable();
	return version;
}

static ssize_t interrupt_read(struct file *file, char __user *buffer, size_t size, loff_t *position)
{
	int version, err = ways_inside(&ways, false);
	ktime_t end = ktime_add_ms(ktime_get(), 3000);

	if (err)
		return err;
	while ((version = version_now()) == 1 && ktime_before(ktime_get(), end))
		udelay(20);
	preempt_enable();
	return byte(buffer, size, '0' + version);
}

static ssize_t step_write(struct file *file, const char __user *buffer, size_t size, loff_t *position)
{
	WRITE_ONCE(ways.steps, ways.steps + 1);
	wake_up_all(&ways.gate);
	return size;
}

static ssize_t still_write(struct file *file, const char __user *buffer, size_t size, loff_t *position)
{
	bool value;
	int err = kstrtobool_from_user(buffer, size, &value);

	if (err)
		return err;
	WRITE_ONCE(still, value);
	wake_up_all(&still_gate);
	return size;
}

static int state_show(struct seq_file *out, void *unused)
{
	seq_printf(out, "entries %d held %d\n", atomic_read(&ways.entries), READ_ONCE(held));
	return 0;
}

static const struct proc_ops exit_ops = { .proc_read = exit_read };
static const struct proc_ops schedule_ops = { .proc_read = schedule_read };
static const struct proc_ops interrupt_ops = { .proc_read = interrupt_read };
static const struct proc_ops step_ops = { .proc_write = step_write };
static const struct proc_ops still_ops = { .proc_write = still_write };

/* Its caller has locked processors against coming and going (kernel/cpu.c:_cpu_down), which a look at the tasks waits for. */
static int going_down(unsigned int cpu)
{
	if (!READ_ONCE(still))
		return 0;
	WRITE_ONCE(held, true);
	/* With a bound: who said so may have died, and no CPU could come or go any more. */
	wait_event_timeout(still_gate, !READ_ONCE(still), 60 * HZ);
	WRITE_ONCE(held, false);
	return -EBUSY;
}

/* Nobody takes the processor from it between two entries. */
static int thread_run(void *unused)
{
	sched_set_fifo(current);
	while (!kthread_should_stop())
		ways_inside(&ways, true);
	return 0;
}

static int __init ways_init(void)
{
	struct proc_dir_entry *dir;
	int state;

	init_waitqueue_head(&ways.gate);
	state = cpuhp_setup_state_nocalls(CPUHP_AP_ONLINE_DYN, "klp_rs/ways:still", NULL, going_down);
	if (state < 0)
		return state;
	hotplug = state;
	if (kthread) {
		thread = kthread_create(thread_run, NULL, "ways");
		if (IS_ERR(thread)) {
			cpuhp_remove_state_nocalls(hotplug);
			return PTR_ERR(thread);
		}
		/* Where no processor goes down. */
		kthread_bind(thread, 0);
		wake_up_process(thread);
	}
	dir = proc_mkdir("ways", NULL);
	proc_create("exit", 0444, dir, &exit_ops);
	proc_create("schedule", 0444, dir, &schedule_ops);
	proc_create("interrupt", 0444, dir, &interrupt_ops);
	proc_create("step", 0200, dir, &step_ops);
	proc_create("still", 0200, dir, &still_ops);
	proc_create_single("state", 0444, dir, state_show);
	return 0;
}

static void __exit ways_exit(void)
{
	remove_proc_subtree("ways", NULL);
	if (thread)
		kthread_stop(thread);
	cpuhp_remove_state_nocalls(hotplug);
}

module_init(ways_init);
module_exit(ways_exit);
MODULE_DESCRIPTION("klp_rs tests: tasks that can move in one way only");
MODULE_LICENSE("GPL");

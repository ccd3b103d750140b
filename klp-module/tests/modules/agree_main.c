// SPDX-License-Identifier: GPL-2.0-only
/*
 * agree.ko: the target of the consistency tests.
 *
 *   /proc/agree/call    read: calls agree_caller(); the byte read is the version
 *   /proc/agree/burst   read: many calls without a pause
 *   /proc/agree/hold    read: sleeps in agree_hold() until the gate is opened
 *   /proc/agree/gate    write 1 or 0: opens or closes it
 *   /proc/agree/map     mapped and touched: the page fault calls agree_caller(), wherever that comes from; behind the first page it
 *                       waits for the gate before
 *   /proc/agree/count   read: calls, mixed versions, calls of each version; then, by who called, calls of each version
 *
 * With the parameter kthreads=N that many kernel threads call agree_caller() too; interrupts=1, nmis=1 and idle=1 are told in
 * agree_odd.c.
 */
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>

#include "agree.h"
#include "agree_who.h"

static unsigned int kthreads;
module_param(kthreads, uint, 0444);

static struct task_struct *threads[16];

__attribute__((noipa)) int agree_callee(struct agree *agree)
{
	return 1;
}

__attribute__((noipa)) int agree_caller(struct agree *agree, bool pause)
{
	return agree_check(agree, pause, 1);
}

__attribute__((noipa)) int agree_hold(struct agree *agree)
{
	return wait_event_interruptible(agree->gate, READ_ONCE(agree->open));
}

static struct agree agree = { .caller = agree_caller, .callee = agree_callee };

/* Everybody but the bursts, which have no time for it. */
static const char *const names[] = { "tasks", "kthreads", "io_workers", "faults", "interrupts", "nmis", "idle" };
static_assert(ARRAY_SIZE(names) == AGREE_KINDS);
static atomic64_t by[AGREE_KINDS][AGREE_VERSIONS + 1];

int agree_call_as(enum agree_who who)
{
	int version = agree.caller(&agree, who < AGREE_INTERRUPTS || who == AGREE_IDLE);

	atomic64_inc(&by[who][version]);
	return version;
}

static ssize_t call_read(struct file *file, char __user *buffer, size_t size, loff_t *position)
{
	char version = '0' + agree_call_as(current->flags & PF_IO_WORKER ? AGREE_IO_WORKERS : AGREE_TASKS);

	if (!size)
		return 0;
	return copy_to_user(buffer, &version, 1) ? -EFAULT : 1;
}

static ssize_t burst_read(struct file *file, char __user *buffer, size_t size, loff_t *position)
{
	int i;

	for (i = 0; i < 2000; i++)
		agree.caller(&agree, false);
	return 0;
}

static ssize_t hold_read(struct file *file, char __user *buffer, size_t size, loff_t *position)
{
	return agree_hold(&agree);
}

static ssize_t gate_write(struct file *file, const char __user *buffer, size_t size, loff_t *position)
{
	bool open;
	int err = kstrtobool_from_user(buffer, size, &open);

	if (err)
		return err;
	WRITE_ONCE(agree.open, open);
	wake_up_all(&agree.gate);
	return size;
}

/* No signal ends it. */
static noinline void map_hold(void)
{
	wait_event(agree.gate, READ_ONCE(agree.open));
}

static vm_fault_t map_fault(struct vm_fault *fault)
{
	int i;

	if (fault->pgoff)
		map_hold();
	/* Several, because a child is made more slowly than it calls. */
	for (i = 0; i < 4; i++)
		agree_call_as(AGREE_FAULTS);
	fault->page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	return fault->page ? 0 : VM_FAULT_OOM;
}

static const struct vm_operations_struct map_faults = { .fault = map_fault };

static int map_mmap(struct file *file, struct vm_area_struct *area)
{
	area->vm_ops = &map_faults;
	return 0;
}

static void count_versions(struct seq_file *out, atomic64_t *versions)
{
	int version;

	for (version = 1; version <= AGREE_VERSIONS; version++)
		seq_printf(out, " v%d %lld", version, atomic64_read(&versions[version]));
	seq_putc(out, '\n');
}

static int count_show(struct seq_file *out, void *unused)
{
	int who;

	seq_printf(out, "calls %lld mixed %lld", atomic64_read(&agree.calls), atomic64_read(&agree.mixed));
	count_versions(out, agree.versions);
	for (who = 0; who < AGREE_KINDS; who++) {
		seq_puts(out, names[who]);
		count_versions(out, by[who]);
	}
	return 0;
}

static const struct proc_ops call_ops = { .proc_read = call_read };
static const struct proc_ops burst_ops = { .proc_read = burst_read };
static const struct proc_ops hold_ops = { .proc_read = hold_read };
static const struct proc_ops map_ops = { .proc_mmap = map_mmap };
static const struct proc_ops gate_ops = { .proc_write = gate_write };

static int thread_run(void *unused)
{
	while (!kthread_should_stop()) {
		agree_call_as(AGREE_KTHREADS);
		cond_resched();
	}
	return 0;
}

static int __init agree_init(void)
{
	struct proc_dir_entry *dir;
	unsigned int i;
	int err;

	init_waitqueue_head(&agree.gate);
	err = agree_odd_start();
	if (err)
		return err;
	dir = proc_mkdir("agree", NULL);
	proc_create("call", 0444, dir, &call_ops);
	proc_create("burst", 0444, dir, &burst_ops);
	proc_create("hold", 0444, dir, &hold_ops);
	proc_create("gate", 0200, dir, &gate_ops);
	proc_create("map", 0600, dir, &map_ops);
	proc_create_single("count", 0444, dir, count_show);
	for (i = 0; i < min(kthreads, (unsigned int)ARRAY_SIZE(threads)); i++) {
		struct task_struct *thread = kthread_run(thread_run, NULL, "agree/%u", i);

		threads[i] = IS_ERR(thread) ? NULL : thread;
	}
	/* A module that is patched as it loads is patched for its init already. */
	pr_info("agree: version %d in init\n", agree.caller(&agree, true));
	return 0;
}

static void __exit agree_exit(void)
{
	unsigned int i;

	remove_proc_subtree("agree", NULL);
	agree_odd_stop();
	for (i = 0; i < ARRAY_SIZE(threads); i++)
		if (threads[i])
			kthread_stop(threads[i]);
}

module_init(agree_init);
module_exit(agree_exit);
MODULE_DESCRIPTION("Target of the klp_rs consistency tests");
MODULE_LICENSE("GPL");

// SPDX-License-Identifier: GPL-2.0-only
/*
 * tgt.ko: the attach target of the tests. Each file in /proc/tgt sends its reader into one function of this module, to
 * sleep or to run there until released; the patches of this folder replace those functions.
 *
 *   wait, wait_eintr, wait_killable, wait_uninterruptible, wait_unreliable, spin
 *             read: blocks until released, then one line
 *   version   read: the text of tgt_version()
 *   cost      read: the answer of tgt_answer(), clock ticks of many calls of it, and of a loop whose length is known
 *   late      read: the same, after a sleep on the queue of wait_uninterruptible, in a function that is patched as well
 *   kthread   write 1: a kthread sleeps in tgt_kthread_wait; write 0: it ends
 *   release   write the name of a queue, or "all"
 *   waiters   read: how many are inside, a line for each queue
 *
 * Files are readable by everybody and have a size, because systemd takes a unit file without one for masked: a unit
 * file that links here sends PID 1 into the module. What is read is a comment to systemd.
 */
#include <linux/irqflags.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/objtool.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/timex.h>
#include <linux/uaccess.h>

#include "tgt.h"

tgt_function int tgt_wait(struct tgt_queue *queue)
{
	return tgt_sleep_interruptible(queue);
}

tgt_function int tgt_wait_eintr(struct tgt_queue *queue)
{
	return tgt_sleep_eintr(queue);
}

tgt_function int tgt_wait_killable(struct tgt_queue *queue)
{
	return tgt_sleep_killable(queue);
}

tgt_function int tgt_wait_uninterruptible(struct tgt_queue *queue)
{
	return tgt_sleep_uninterruptible(queue);
}

/* Without unwind data: who sleeps below it has a stack that the kernel cannot walk reliably. */
tgt_function int tgt_wait_unreliable(struct tgt_queue *queue)
{
	return tgt_sleep_interruptible(queue);
}
STACK_FRAME_NON_STANDARD(tgt_wait_unreliable);

tgt_function int tgt_spin(struct tgt_queue *queue)
{
	return tgt_run(queue);
}

tgt_function int tgt_kthread_wait(struct tgt_queue *queue)
{
	return tgt_sleep_kthread(queue);
}

tgt_function int tgt_version(char *text, size_t size)
{
	return scnprintf(text, size, "original\n");
}

tgt_function int tgt_answer(int question)
{
	return question;
}

#define TGT_CALLS 1000
#define TGT_LOOP 1000000UL

/*
 * What a call costs, in ticks of the processor's clock, with nothing in between. On a machine whose clock counts instructions
 * the loop, two instructions a round, says so.
 */
static __always_inline int tgt_measure(struct seq_file *out)
{
	unsigned long flags, rounds = TGT_LOOP;
	cycles_t begun, called, looped;
	int i, answer = 0;

	local_irq_save(flags);
	begun = get_cycles();
	for (i = 0; i < TGT_CALLS; i++)
		answer = tgt_answer(1);
	called = get_cycles();
	asm volatile("1: dec %0; jnz 1b" : "+r"(rounds) : : "cc");
	looped = get_cycles();
	local_irq_restore(flags);
	seq_printf(out, "answer %d calls %d ticks %llu loop %lu ticks %llu\n", answer, TGT_CALLS,
		   (unsigned long long)(called - begun), 2 * TGT_LOOP, (unsigned long long)(looped - called));
	return 0;
}

/* Who sleeps here when the patch comes measures before it has moved. */
tgt_function int tgt_late(struct tgt_queue *queue, struct seq_file *out)
{
	tgt_sleep_uninterruptible(queue);
	return tgt_measure(out);
}

static struct tgt_file {
	struct tgt_queue queue;
	int (*enter)(struct tgt_queue *queue);
} tgt_files[] = {
	{ { .name = "wait" }, tgt_wait },
	{ { .name = "wait_eintr" }, tgt_wait_eintr },
	{ { .name = "wait_killable" }, tgt_wait_killable },
	{ { .name = "wait_uninterruptible" }, tgt_wait_uninterruptible },
	{ { .name = "wait_unreliable" }, tgt_wait_unreliable },
	{ { .name = "spin" }, tgt_spin },
	/* Has no file of its own to read: only the kthread enters. */
	{ { .name = "kthread" }, tgt_kthread_wait },
};

#define TGT_KTHREAD (&tgt_files[ARRAY_SIZE(tgt_files) - 1])
#define for_each_tgt_file(file) \
	for (file = tgt_files; file < tgt_files + ARRAY_SIZE(tgt_files); file++)

static ssize_t tgt_file_read(struct file *opened, char __user *buffer, size_t size, loff_t *position)
{
	static const char released[] = "# released\n";
	struct tgt_file *file = pde_data(file_inode(opened));
	int result;

	/* The end of the file is told without blocking again. */
	if (*position == 0) {
		result = file->enter(&file->queue);
		if (result)
			return result;
	}
	return simple_read_from_buffer(buffer, size, position, released, sizeof(released) - 1);
}

static const struct proc_ops tgt_file_ops = {
	.proc_read = tgt_file_read,
	.proc_lseek = default_llseek,
};

static ssize_t tgt_version_read(struct file *opened, char __user *buffer, size_t size, loff_t *position)
{
	char text[64];
	int length = tgt_version(text, sizeof(text));

	return simple_read_from_buffer(buffer, size, position, text, length);
}

static const struct proc_ops tgt_version_ops = {
	.proc_read = tgt_version_read,
	.proc_lseek = default_llseek,
};

static int tgt_waiters_show(struct seq_file *out, void *unused)
{
	struct tgt_file *file;

	for_each_tgt_file(file)
		seq_printf(out, "%s %d\n", file->queue.name, atomic_read(&file->queue.sleepers));
	return 0;
}

static int tgt_cost_show(struct seq_file *out, void *unused)
{
	return tgt_measure(out);
}

static int tgt_late_show(struct seq_file *out, void *unused)
{
	struct tgt_file *file;

	for_each_tgt_file(file)
		if (file->enter == tgt_wait_uninterruptible)
			return tgt_late(&file->queue, out);
	return -ENOENT;
}

/* One word, without the newline that echo adds. */
static int tgt_word(char *word, size_t room, const char __user *buffer, size_t size)
{
	if (size >= room)
		return -EINVAL;
	if (copy_from_user(word, buffer, size))
		return -EFAULT;
	word[size] = '\0';
	strim(word);
	return 0;
}

static ssize_t tgt_release_write(struct file *opened, const char __user *buffer, size_t size, loff_t *position)
{
	struct tgt_file *file;
	char word[32];
	bool found = false;
	int result = tgt_word(word, sizeof(word), buffer, size);

	if (result)
		return result;
	for_each_tgt_file(file) {
		if (strcmp(word, "all") && strcmp(word, file->queue.name))
			continue;
		found = true;
		/* Two writers may lose one of two steps; the round changes all the same. */
		WRITE_ONCE(file->queue.round, file->queue.round + 1);
		wake_up_all(&file->queue.wait);
	}
	return found ? size : -ENOENT;
}

static const struct proc_ops tgt_release_ops = {
	.proc_write = tgt_release_write,
	.proc_lseek = noop_llseek,
};

static DEFINE_MUTEX(tgt_kthread_lock);
static struct task_struct *tgt_kthread;

static int tgt_kthread_run(void *unused)
{
	while (!kthread_should_stop())
		TGT_KTHREAD->enter(&TGT_KTHREAD->queue);
	return 0;
}

static int tgt_kthread_switch(bool on)
{
	int result = 0;

	mutex_lock(&tgt_kthread_lock);
	if (on && !tgt_kthread) {
		struct task_struct *task = kthread_run(tgt_kthread_run, NULL, "tgt_kthread");

		if (IS_ERR(task))
			result = PTR_ERR(task);
		else
			tgt_kthread = task;
	} else if (!on && tgt_kthread) {
		kthread_stop(tgt_kthread);
		tgt_kthread = NULL;
	}
	mutex_unlock(&tgt_kthread_lock);
	return result;
}

static ssize_t tgt_kthread_write(struct file *opened, const char __user *buffer, size_t size, loff_t *position)
{
	char word[8];
	bool on;
	int result = tgt_word(word, sizeof(word), buffer, size);

	if (!result)
		result = kstrtobool(word, &on);
	if (!result)
		result = tgt_kthread_switch(on);
	return result ? result : size;
}

static const struct proc_ops tgt_kthread_ops = {
	.proc_write = tgt_kthread_write,
	.proc_lseek = noop_llseek,
};

static int __init tgt_init(void)
{
	struct proc_dir_entry *folder = proc_mkdir("tgt", NULL);
	struct proc_dir_entry *entry;
	struct tgt_file *file;
	bool made;

	if (!folder)
		return -ENOMEM;
	made = proc_create("version", 0444, folder, &tgt_version_ops) &&
	       proc_create_single("waiters", 0444, folder, tgt_waiters_show) &&
	       proc_create_single("cost", 0444, folder, tgt_cost_show) &&
	       proc_create_single("late", 0444, folder, tgt_late_show) &&
	       proc_create("release", 0200, folder, &tgt_release_ops) &&
	       proc_create("kthread", 0200, folder, &tgt_kthread_ops);
	for_each_tgt_file(file) {
		init_waitqueue_head(&file->queue.wait);
		if (file == TGT_KTHREAD)
			continue;
		entry = proc_create_data(file->queue.name, 0444, folder, &tgt_file_ops, file);
		if (entry)
			proc_set_size(entry, 4096);
		made = made && entry;
	}
	if (made)
		return 0;
	proc_remove(folder);
	return -ENOMEM;
}

static void __exit tgt_exit(void)
{
	remove_proc_subtree("tgt", NULL);
	tgt_kthread_switch(false);
}

module_init(tgt_init);
module_exit(tgt_exit);
MODULE_DESCRIPTION("Target of the livepatchd tests");
MODULE_LICENSE("GPL");

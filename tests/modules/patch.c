// SPDX-License-Identifier: GPL-2.0-only
/*
 * The one source of every live patch of the tests. Kbuild compiles it once for each patch, under the patch's name; what
 * a patch replaces is said there by -D flags. A replaced function sleeps exactly as the original does, so that a revert
 * is held up by its callers just as an apply is.
 *
 *   PATCH_VERSION       string: tgt_version() answers with it
 *   PATCH_WAIT, PATCH_UNINTERRUPTIBLE, PATCH_KTHREAD, PATCH_SPIN    replace those functions
 *   PATCH_ANSWER        tgt_answer() answers twice as much; replaces tgt_late()
 *   PATCH_CMDLINE       replaces a function of vmlinux, cmdline_proc_show()
 *   PATCH_NOSYMBOL      names a function that does not exist
 *   PATCH_REPLACE       atomic replace: retires every patch before it
 */
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/seq_file.h>

#include "tgt.h"

static __maybe_unused int patch_wait(struct tgt_queue *queue)
{
	return tgt_sleep_interruptible(queue);
}

static __maybe_unused int patch_wait_eintr(struct tgt_queue *queue)
{
	return tgt_sleep_eintr(queue);
}

static __maybe_unused int patch_wait_killable(struct tgt_queue *queue)
{
	return tgt_sleep_killable(queue);
}

static __maybe_unused int patch_wait_uninterruptible(struct tgt_queue *queue)
{
	return tgt_sleep_uninterruptible(queue);
}

static __maybe_unused int patch_spin(struct tgt_queue *queue)
{
	return tgt_run(queue);
}

static __maybe_unused int patch_kthread_wait(struct tgt_queue *queue)
{
	return tgt_sleep_kthread(queue);
}

#ifdef PATCH_VERSION
static int patch_version(char *text, size_t size)
{
	return scnprintf(text, size, PATCH_VERSION "\n");
}
#endif

static __maybe_unused int patch_answer(int question)
{
	return 2 * question;
}

static __maybe_unused int patch_late(struct tgt_queue *queue, struct seq_file *out)
{
	return tgt_sleep_uninterruptible(queue);
}

static __maybe_unused int patch_cmdline_show(struct seq_file *out, void *unused)
{
	seq_puts(out, "live patched\n");
	return 0;
}

static struct klp_func functions[] = {
#ifdef PATCH_WAIT
	{ .old_name = "tgt_wait", .new_func = patch_wait },
	{ .old_name = "tgt_wait_eintr", .new_func = patch_wait_eintr },
#endif
#ifdef PATCH_UNINTERRUPTIBLE
	{ .old_name = "tgt_wait_killable", .new_func = patch_wait_killable },
	{ .old_name = "tgt_wait_uninterruptible", .new_func = patch_wait_uninterruptible },
#endif
#ifdef PATCH_SPIN
	{ .old_name = "tgt_spin", .new_func = patch_spin },
#endif
#ifdef PATCH_KTHREAD
	{ .old_name = "tgt_kthread_wait", .new_func = patch_kthread_wait },
#endif
#ifdef PATCH_VERSION
	{ .old_name = "tgt_version", .new_func = patch_version },
#endif
#ifdef PATCH_ANSWER
	{ .old_name = "tgt_answer", .new_func = patch_answer },
	{ .old_name = "tgt_late", .new_func = patch_late },
#endif
#ifdef PATCH_NOSYMBOL
	{ .old_name = "tgt_no_such_function", .new_func = patch_wait },
#endif
#ifdef PATCH_CMDLINE
	{ .old_name = "cmdline_proc_show", .new_func = patch_cmdline_show },
#endif
	{ }
};

static struct klp_object objects[] = {
	{
#ifdef PATCH_CMDLINE
		.name = NULL,	/* vmlinux */
#else
		.name = "tgt",
#endif
		.funcs = functions,
	},
	{ }
};

static struct klp_patch patch = {
	.mod = THIS_MODULE,
	.objs = objects,
#ifdef PATCH_REPLACE
	.replace = true,
#endif
};

static int __init patch_init(void)
{
	return klp_enable_patch(&patch);
}

/* The kernel lets a patch module go only once it is disabled: nothing is left to undo here. */
static void __exit patch_exit(void)
{
}

module_init(patch_init);
module_exit(patch_exit);
MODULE_DESCRIPTION("Live patch of the livepatchd tests");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The smallest patch, in C: /proc/cmdline says that the machine has been live patched. cmdline.rs is the same in Rust.
 */
#include <linux/module.h>
#include <linux/seq_file.h>

#include <klp_rs.h>

static int patched_cmdline_proc_show(struct seq_file *out, void *unused)
{
	seq_printf(out, "%s\n", "this has been live patched");
	return 0;
}

static struct klp_rs_func funcs[] = {
	{
		.old_name = "cmdline_proc_show",
		.new_func = patched_cmdline_proc_show,
	},
	{}
};

static struct klp_rs_object objs[] = {
	{
		/* No name: the kernel itself. */
		.funcs = funcs,
	},
	{}
};

static struct klp_rs_patch patch = {
	.mod = THIS_MODULE,
	.objs = objs,
};

static int __init cmdline_c_init(void)
{
	return klp_rs_enable_patch(&patch);
}

/* Nothing to do: the module can be unloaded only when the patch has gone. */
static void __exit cmdline_c_exit(void)
{
}

module_init(cmdline_c_init);
module_exit(cmdline_c_exit);
MODULE_DESCRIPTION("klp_rs sample: replaces the text of /proc/cmdline");
MODULE_LICENSE("GPL");

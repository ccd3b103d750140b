// SPDX-License-Identifier: GPL-2.0-only
/*
 * bad.ko case=NAME: descriptions that must be refused, or accepted against the odds. The errno is that of the load.
 */
#include <linux/module.h>
#include <linux/string.h>

#include <klp_rs.h>

static char *which = "missing";
module_param_named(case, which, charp, 0444);

static noinline int replacement(void)
{
	return 0;
}

static struct klp_rs_func funcs[3] = { { .old_name = "cmdline_proc_show", .new_func = replacement }, {}, {} };
static struct klp_rs_object objs[2] = { { .funcs = funcs }, {} };
static struct klp_rs_patch patch = { .mod = THIS_MODULE, .objs = objs };

static int __init bad_init(void)
{
	bool twice = false;
	int err;

	if (!strcmp(which, "missing"))
		funcs[0].old_name = "no_function_has_this_name";
	else if (!strcmp(which, "notrace"))
		funcs[0].old_name = "argv_split";
	else if (!strcmp(which, "nonew"))
		funcs[0].new_func = NULL;
	else if (!strcmp(which, "noname"))
		funcs[0].old_name = NULL;
	else if (!strcmp(which, "nofuncs"))
		objs[0] = (struct klp_rs_object){ .name = "agree" };
	else if (!strcmp(which, "noobjs"))
		patch.objs = NULL;
	else if (!strcmp(which, "nomod"))
		patch.mod = NULL;
	else if (!strcmp(which, "sympos"))
		funcs[0].old_sympos = 7;
	else if (!strcmp(which, "absent"))
		objs[0].name = "no_such_module";
	else if (!strcmp(which, "null"))
		return klp_rs_enable_patch(NULL);
	else if (!strcmp(which, "twice"))
		twice = true;
	else if (!strcmp(which, "immediate"))
		patch.immediate = true;
	err = klp_rs_enable_patch(&patch);
	/* A module whose init fails is freed, enabled patch or not, so the second answer goes to the log. */
	if (!err && twice)
		pr_info("bad: the second time %d\n", klp_rs_enable_patch(&patch));
	if (!err && !strcmp(which, "fails"))
		return -EIO;
	return err;
}

static void __exit bad_exit(void)
{
}

module_init(bad_init);
module_exit(bad_exit);
MODULE_DESCRIPTION("klp_rs tests: bad descriptions");
MODULE_LICENSE("GPL");

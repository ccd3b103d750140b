// SPDX-License-Identifier: GPL-2.0-only
/*
 * bad.ko and bad_klp.ko case=NAME: descriptions that must be refused, or accepted against the odds; the errno is that of
 * the load. Written for linux/livepatch.h and built for both cores, so that their answers can be compared.
 *
 * case=named: the function object:func (no object: the kernel's) in position sympos, to be replaced by one that returns 0.
 */
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/string.h>

#include <linux/livepatch.h>

static char *which = "missing";
module_param_named(case, which, charp, 0444);
static char *object, *func;
module_param(object, charp, 0444);
module_param(func, charp, 0444);
static unsigned long sympos;
module_param(sympos, ulong, 0444);

static noinline int replacement(void)
{
	return 0;
}

#ifdef KLP_RS_H
static int refuse_late(struct klp_object *obj)
{
	msleep(500);
	return -EIO;
}
#endif

static char long_name[600];
static struct klp_func funcs[3] = { { .old_name = "cmdline_proc_show", .new_func = replacement }, {}, {} };
static struct klp_object objs[3] = { { .funcs = funcs }, {}, {} };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs };

static int __init bad_init(void)
{
	bool twice = false;
	int err;

	memset(long_name, 'x', sizeof(long_name) - 1);
	if (!strcmp(which, "missing")) {
		funcs[0].old_name = "no_function_has_this_name";
	} else if (!strcmp(which, "named")) {
		objs[0].name = object;
		funcs[0].old_name = func;
		funcs[0].old_sympos = sympos;
	} else if (!strcmp(which, "notrace")) {
		funcs[0].old_name = "argv_split";
	} else if (!strcmp(which, "nonew")) {
		funcs[0].new_func = NULL;
	} else if (!strcmp(which, "foreign")) {
		funcs[0].new_func = (void *)8;
	} else if (!strcmp(which, "noname")) {
		funcs[0].old_name = NULL;
	} else if (!strcmp(which, "longname")) {
		funcs[0].old_name = long_name;
	} else if (!strcmp(which, "longobject")) {
		objs[0].name = long_name;
	} else if (!strcmp(which, "nofuncs")) {
		objs[0] = (struct klp_object){ .name = "agree" };
	} else if (!strcmp(which, "noobjs")) {
		patch.objs = NULL;
	} else if (!strcmp(which, "nomod")) {
		patch.mod = NULL;
	} else if (!strcmp(which, "absent")) {
		objs[0].name = "no_such_module";
	} else if (!strcmp(which, "samefunc")) {
		funcs[1] = funcs[0];
		funcs[1].old_sympos = 1;
	} else if (!strcmp(which, "shared")) {
		funcs[1] = (struct klp_func){ .old_name = "version_proc_show", .new_func = replacement };
	} else if (!strcmp(which, "sameobject")) {
		objs[1] = objs[0];
	} else if (!strcmp(which, "null")) {
		return klp_enable_patch(NULL);
	} else if (!strcmp(which, "twice")) {
		twice = true;
#ifdef KLP_RS_H
	} else if (!strcmp(which, "immediate")) {
		patch.immediate = true;
	} else if (!strcmp(which, "immediate_refused")) {
		/* The kernel's function first, then an object that says no after a while. */
		patch.immediate = true;
		objs[1] = (struct klp_object){ .name = "twins", .funcs = &funcs[1], .callbacks.pre_patch = refuse_late };
	} else if (!strcmp(which, "immediate_replace")) {
		patch.immediate = true;
		patch.replace = true;
#endif
	}
	err = klp_enable_patch(&patch);
	/* A module whose init fails is freed, enabled patch or not, so the second answer goes to the log. */
	if (!err && twice)
		pr_info("bad: the second time %d\n", klp_enable_patch(&patch));
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
MODULE_INFO(livepatch, "Y");

// SPDX-License-Identifier: GPL-2.0-only
/*
 * hold.ko: replaces agree_hold(), in which a task sleeps for as long as the test wants, so that a transition does not end.
 */
#include <linux/module.h>

#include <klp_rs.h>

#include "agree.h"

static noinline int patched_hold(struct agree *agree)
{
	return wait_event_interruptible(agree->gate, READ_ONCE(agree->open));
}

static int pre_patch(struct klp_rs_object *obj)
{
	pr_info("hold: pre_patch %s\n", obj->mod ? obj->mod->name : "-");
	return 0;
}

static void post_patch(struct klp_rs_object *obj)
{
	pr_info("hold: post_patch\n");
}

static void pre_unpatch(struct klp_rs_object *obj)
{
	pr_info("hold: pre_unpatch\n");
}

static void post_unpatch(struct klp_rs_object *obj)
{
	pr_info("hold: post_unpatch\n");
}

static struct klp_rs_func funcs[] = { { .old_name = "agree_hold", .new_func = patched_hold }, {} };

static struct klp_rs_object objs[] = {
	{
		.name = "agree",
		.funcs = funcs,
		.callbacks = { pre_patch, post_patch, pre_unpatch, post_unpatch },
	},
	{}
};

static struct klp_rs_patch patch = { .mod = THIS_MODULE, .objs = objs };

static int complete_get(char *text, const struct kernel_param *unused)
{
	return sysfs_emit(text, "%d\n", klp_rs_patching_complete(&patch));
}

static const struct kernel_param_ops complete_ops = { .get = complete_get };
module_param_cb(complete, &complete_ops, NULL, 0444);

/* Then the functions of other patches that it does not have go back to the originals. */
module_param_named(replace, patch.replace, bool, 0444);

/* Then tasks may be in either version, and stay there. */
module_param_named(immediate, funcs[0].immediate, bool, 0444);

static int __init hold_init(void)
{
	return klp_rs_enable_patch(&patch);
}

static void __exit hold_exit(void)
{
}

module_init(hold_init);
module_exit(hold_exit);
MODULE_DESCRIPTION("klp_rs tests: a transition that lasts");
MODULE_LICENSE("GPL");

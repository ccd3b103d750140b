// SPDX-License-Identifier: GPL-2.0-only
/*
 * agree_v2.ko to agree_v6.ko: both functions of agree.ko in version VERSION, by way of klp_rs. agree_turn.ko, made with
 * WITH_HOLD, has agree_hold() too: whoever sleeps there keeps its transition from ending.
 */
#include <linux/module.h>

#include <klp_rs.h>

#include "agree.h"

static noinline int patched_callee(struct agree *agree)
{
	return VERSION;
}

static noinline int patched_caller(struct agree *agree, bool pause)
{
	return agree_check(agree, pause, VERSION);
}

#ifdef WITH_HOLD
static noinline int patched_hold(struct agree *agree)
{
	return wait_event_interruptible(agree->gate, READ_ONCE(agree->open));
}
#endif

static struct klp_rs_func funcs[] = {
	{ .old_name = "agree_caller", .new_func = patched_caller },
	{ .old_name = "agree_callee", .new_func = patched_callee },
#ifdef WITH_HOLD
	{ .old_name = "agree_hold", .new_func = patched_hold },
#endif
	{}
};

static struct klp_rs_object objs[] = { { .name = "agree", .funcs = funcs }, {} };

static struct klp_rs_patch patch = { .mod = THIS_MODULE, .objs = objs };

module_param_named(replace, patch.replace, bool, 0444);
module_param_named(immediate, patch.immediate, bool, 0444);

static int __init agree_patch_init(void)
{
	return klp_rs_enable_patch(&patch);
}

static void __exit agree_patch_exit(void)
{
}

module_init(agree_patch_init);
module_exit(agree_patch_exit);
MODULE_DESCRIPTION("klp_rs tests: both functions of agree.ko in another version");
MODULE_LICENSE("GPL");

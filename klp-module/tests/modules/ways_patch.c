// SPDX-License-Identifier: GPL-2.0-only
/*
 * ways_patch.ko: both functions of ways.ko in version 2.
 */
#include <linux/module.h>

#include <klp_rs.h>

#include "ways.h"

static noinline int patched_version(void)
{
	return 2;
}

static noinline int patched_inside(struct ways *ways, bool preemptible)
{
	return ways_wait(ways, preemptible);
}

static struct klp_rs_func funcs[] = {
	{ .old_name = "ways_inside", .new_func = patched_inside },
	{ .old_name = "ways_version", .new_func = patched_version },
	{}
};

static struct klp_rs_object objs[] = { { .name = "ways", .funcs = funcs }, {} };

static struct klp_rs_patch patch = { .mod = THIS_MODULE, .objs = objs };

static int __init ways_patch_init(void)
{
	return klp_rs_enable_patch(&patch);
}

static void __exit ways_patch_exit(void)
{
}

module_init(ways_patch_init);
module_exit(ways_patch_exit);
MODULE_DESCRIPTION("klp_rs tests: both functions of ways.ko in another version");
MODULE_LICENSE("GPL");

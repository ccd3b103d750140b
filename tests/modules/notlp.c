// SPDX-License-Identifier: GPL-2.0-only
/*
 * notlp.ko: a module like any other, with a parameter. It loads and is no live patch, which is what a manager of live
 * patches has to notice before it loads it.
 */
#include <linux/module.h>
#include <linux/moduleparam.h>

static int level = 1;
module_param(level, int, 0444);
MODULE_PARM_DESC(level, "a number that means nothing");

static int __init notlp_init(void)
{
	return level < 0 ? -EINVAL : 0;
}

static void __exit notlp_exit(void)
{
}

module_init(notlp_init);
module_exit(notlp_exit);
MODULE_DESCRIPTION("Ordinary module of the livepatchd tests");
MODULE_LICENSE("GPL");

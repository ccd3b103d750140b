// SPDX-License-Identifier: GPL-2.0-only
/*
 * Has a function call code of ours directly, without ftrace's entry, as BPF programs do that are attached to one. Models that
 * such a caller may not be able to share the function with who sends calls elsewhere.
 */
#include <linux/ftrace.h>
#include <linux/module.h>
#include <linux/string.h>
#include <asm/ibt.h>
#include <asm/linkage.h>

void direct_tramp(void);

asm("	.pushsection	.text, \"ax\", @progbits\n"
    "	.type		direct_tramp, @function\n"
    "	.globl		direct_tramp\n"
    "direct_tramp:\n"
    ASM_ENDBR
    ASM_RET
    "	.size		direct_tramp, . - direct_tramp\n"
    "	.popsection\n");

static char *function = "cmdline_proc_show";
module_param(function, charp, 0444);

static struct ftrace_ops direct;

static int __init direct_init(void)
{
	int err = ftrace_set_filter(&direct, function, strlen(function), 1);

	if (!err)
		err = register_ftrace_direct(&direct, (unsigned long)direct_tramp);
	if (err)
		ftrace_free_filter(&direct);
	return err;
}

static void __exit direct_exit(void)
{
	unregister_ftrace_direct(&direct, (unsigned long)direct_tramp, true);
}

module_init(direct_init);
module_exit(direct_exit);
MODULE_DESCRIPTION("Calls out of a function without ftrace's entry");
MODULE_LICENSE("GPL");

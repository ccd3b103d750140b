// SPDX-License-Identifier: GPL-2.0-only
/*
 * The core's ftrace_ops, its entry, and the ops of functions that need one of their own. Decides nothing: which function a task
 * gets is klp_rs_choose()'s answer. Invariant: a registered ops has a function in its filter, the core's always klp_rs_keeper.
 */
#include <linux/err.h>
#include <linux/ftrace.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/slab.h>

#include "klp_rs_glue.h"

/*
 * Preemption stays off for the whole look-up, because the table it reads is freed after klp_rs_synchronize() has run on
 * every CPU: RCU is of no use where it is not watching, and functions of the idle path may be patched. No recursion guard:
 * neither this nor klp_rs_choose() calls anything that is traced, but for the stack walk of a kernel thread that moves here,
 * which has klp_rs_reentry_begin().
 */
static void notrace klp_rs_ftrace_entry(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
					struct ftrace_regs *fregs)
{
	unsigned long target;

	preempt_disable_notrace();
	target = klp_rs_choose(ip, current);
	if (target)
		ftrace_regs_set_instruction_pointer(fregs, target);
	preempt_enable_notrace();
}

static DEFINE_PER_CPU(bool, klp_rs_reentry);

/* May the stack be walked from here? Interrupts that come meanwhile find it taken; an NMI must not try. */
bool klp_rs_reentry_begin(void)
{
	if (in_nmi() || !klp_rs_way(reentry) || __this_cpu_read(klp_rs_reentry))
		return false;
	__this_cpu_write(klp_rs_reentry, true);
	return true;
}

void klp_rs_reentry_end(void)
{
	__this_cpu_write(klp_rs_reentry, false);
}

#define KLP_RS_FTRACE_FLAGS (FTRACE_OPS_FL_DYNAMIC | FTRACE_OPS_FL_IPMODIFY | FTRACE_OPS_FL_PERMANENT)

static struct ftrace_ops klp_rs_ops = {
	.func = klp_rs_ftrace_entry,
	.flags = KLP_RS_FTRACE_FLAGS,
};

/* With the functions that call out at @ips, if any. */
int klp_rs_ftrace_register(unsigned long *ips, unsigned int count)
{
	int err = ftrace_set_filter_ip(&klp_rs_ops, (unsigned long)klp_rs_keeper, 0, 1);

	if (err)
		return err;
	if (count)
		err = ftrace_set_filter_ips(&klp_rs_ops, ips, count, 0, 0);
	if (!err)
		err = register_ftrace_function(&klp_rs_ops);
	if (err)
		ftrace_free_filter(&klp_rs_ops);
	return err;
}

/* Waits for everybody inside the trampoline (kernel/trace/ftrace.c:ftrace_shutdown). */
int klp_rs_ftrace_unregister(void)
{
	int err = unregister_ftrace_function(&klp_rs_ops);

	ftrace_free_filter(&klp_rs_ops);
	return err;
}

int klp_rs_ftrace_remove(unsigned long *ips, unsigned int count)
{
	return count ? ftrace_set_filter_ips(&klp_rs_ops, ips, count, 1, 0) : 0;
}

int klp_rs_ftrace_add(unsigned long *ips, unsigned int count)
{
	return count ? ftrace_set_filter_ips(&klp_rs_ops, ips, count, 0, 0) : 0;
}

/*
 * Registers an ops for the function that calls out at @ip and no other. Somebody whom the function calls directly, without
 * ftrace's entry (a BPF program that runs at its end calls the function itself, and would go on calling the old one), is told
 * that calls may be sent elsewhere when an ops is registered, not when its filter changes
 * (kernel/trace/ftrace.c:prepare_direct_functions_for_ipmodify). -EBUSY when it cannot do with that; -EAGAIN, after a
 * millisecond, when it or another is just being changed (kernel/bpf/trampoline.c:bpf_tramp_ftrace_ops_func).
 */
struct ftrace_ops *klp_rs_ftrace_own(unsigned long ip)
{
	struct ftrace_ops *ops = kzalloc(sizeof(*ops), GFP_KERNEL);
	int err;

	if (!ops)
		return ERR_PTR(-ENOMEM);
	ops->func = klp_rs_ftrace_entry;
	ops->flags = KLP_RS_FTRACE_FLAGS;
	err = ftrace_set_filter_ip(ops, ip, 0, 1);
	if (!err)
		err = register_ftrace_function(ops);
	if (!err)
		return ops;
	if (ops->flags & FTRACE_OPS_FL_ENABLED)
		/* ftrace has shut itself down on the way: what it has then stays. */
		return ERR_PTR(err);
	/* It was on ftrace's list before it was refused (kernel/trace/ftrace.c:ftrace_startup): somebody may be looking at it. */
	klp_rs_synchronize();
	ftrace_free_filter(ops);
	kfree(ops);
	return ERR_PTR(err);
}

/* Waits as klp_rs_ftrace_unregister() does. An error means that ftrace has shut itself down: what it has then stays. */
void klp_rs_ftrace_disown(struct ftrace_ops *ops)
{
	if (unregister_ftrace_function(ops))
		return;
	ftrace_free_filter(ops);
	kfree(ops);
}

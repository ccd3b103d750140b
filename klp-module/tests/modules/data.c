// SPDX-License-Identifier: GPL-2.0-only
/*
 * data.ko, data_next.ko: patches that change system states, and use shadow variables on request.
 *
 * first=VERSION second=VERSION are the versions of states 1 and 2, 0: does not change it. Callbacks say what the patches
 * before have, and keep a number in state 1. shadow=1 tries shadow variables before the patch is enabled.
 */
#include <linux/completion.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/slab.h>

#include <klp_rs.h>

static unsigned int first, second;
module_param(first, uint, 0444);
module_param(second, uint, 0444);
static bool shadow;
module_param(shadow, bool, 0444);
static int fail;
module_param(fail, int, 0444);

static struct klp_rs_state states[3];
static struct klp_rs_patch patch;

static void tell(const char *moment)
{
	struct klp_rs_state *own = klp_rs_get_state(&patch, 1);
	struct klp_rs_state *previous = klp_rs_get_prev_state(1);

	pr_info("%s: %s: own %d, previous %d\n", KBUILD_MODNAME, moment, own ? (int)own->version : -1,
		previous ? (int)previous->version : -1);
}

static int pre_patch(struct klp_rs_object *obj)
{
	tell("pre_patch");
	return fail;
}

static void post_patch(struct klp_rs_object *obj)
{
	tell("post_patch");
}

static void pre_unpatch(struct klp_rs_object *obj)
{
	tell("pre_unpatch");
}

static void post_unpatch(struct klp_rs_object *obj)
{
	tell("post_unpatch");
}

static struct klp_rs_func funcs[] = { {} };

static struct klp_rs_object objs[] = {
	{
		.funcs = funcs,
		.callbacks = { pre_patch, post_patch, pre_unpatch, post_unpatch },
	},
	{}
};

static struct klp_rs_patch patch = { .mod = THIS_MODULE, .objs = objs, .states = states };

module_param_named(replace, patch.replace, bool, 0444);

#define THREADS 4
#define ROUNDS 2000

static atomic_t made, taken, wrong;
static struct completion done[THREADS];
static int objects[4];

/* Constructed once: whoever sees it sees the constructor's number. */
static int ctor(void *obj, void *data, void *number)
{
	atomic_inc(&made);
	*(unsigned long *)data = *(unsigned long *)number;
	return 0;
}

static int refuse(void *obj, void *data, void *number)
{
	return -EPERM;
}

static void dtor(void *obj, void *data)
{
	atomic_inc(&taken);
}

/* All threads want the same few variables, and take them away again. */
static int contend(void *which)
{
	unsigned long number = 0x600d600dul;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		unsigned long *data;

		rcu_read_lock();
		data = klp_rs_shadow_get_or_alloc(&objects[i % 4], 7, sizeof(*data), GFP_ATOMIC, ctor, &number);
		if (!data || READ_ONCE(*data) != number)
			atomic_inc(&wrong);
		rcu_read_unlock();
		if (i % 3 == 0)
			klp_rs_shadow_free(&objects[i % 4], 7, dtor);
		if (i % 7 == 0)
			cond_resched();
	}
	complete(&done[(long)which]);
	return 0;
}

static void try_shadows(void)
{
	unsigned long number = 5, *data, *again;
	long i;

	data = klp_rs_shadow_alloc(&objects[0], 1, sizeof(*data), GFP_KERNEL, ctor, &number);
	pr_info("data: constructed %lu\n", data ? *data : 0);
	again = klp_rs_shadow_get_or_alloc(&objects[0], 1, sizeof(*data), GFP_KERNEL, refuse, NULL);
	pr_info("data: %s\n", data == again ? "found again" : "not found");
	pr_info("data: other id %s, other object %s\n", klp_rs_shadow_get(&objects[0], 2) ? "found" : "not found",
		klp_rs_shadow_get(&objects[1], 1) ? "found" : "not found");
	again = klp_rs_shadow_alloc(&objects[1], 1, sizeof(*data), GFP_KERNEL, refuse, NULL);
	pr_info("data: refused %s\n", again ? "and there" : "and not there");
	data = klp_rs_shadow_alloc(&objects[1], 1, sizeof(*data), GFP_KERNEL, NULL, NULL);
	pr_info("data: without constructor %lu\n", data ? *data : 1);
	atomic_set(&taken, 0);
	klp_rs_shadow_free_all(1, dtor);
	pr_info("data: taken away %d, left %s\n", atomic_read(&taken), klp_rs_shadow_get(&objects[0], 1) ? "some" : "none");

	atomic_set(&made, 0);
	atomic_set(&taken, 0);
	for (i = 0; i < THREADS; i++) {
		init_completion(&done[i]);
		if (IS_ERR(kthread_run(contend, (void *)i, "data/%ld", i)))
			complete(&done[i]);
	}
	for (i = 0; i < THREADS; i++)
		wait_for_completion(&done[i]);
	klp_rs_shadow_free_all(7, dtor);
	pr_info("data: contended, %d made, %d wrong, %d left\n", atomic_read(&made), atomic_read(&wrong),
		atomic_read(&made) - atomic_read(&taken));
	/* Left for klp_rs to clean up. */
	klp_rs_shadow_alloc(&objects[0], 9, 100, GFP_KERNEL, NULL, NULL);
}

static int __init data_init(void)
{
	int n = 0;

	if (shadow)
		try_shadows();
	if (first)
		states[n++] = (struct klp_rs_state){ .id = 1, .version = first };
	if (second)
		states[n++] = (struct klp_rs_state){ .id = 2, .version = second };
	return klp_rs_enable_patch(&patch);
}

static void __exit data_exit(void)
{
}

module_init(data_init);
module_exit(data_exit);
MODULE_DESCRIPTION("klp_rs tests: system states and shadow variables");
MODULE_LICENSE("GPL");

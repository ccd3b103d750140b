// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shadow variables: data attached to objects from outside, found by the object's address and an id. In C because it is
 * exported to C as it stands; include/klp_rs.h has its documentation, include/klp_rs.rs the safe interface for Rust.
 *
 * Invariant: a variable is in the table exactly once, is complete before it can be found there, and its memory stays for
 * an RCU grace period after it was taken out. The lock serialises those who add and take out, constructors and destructors
 * among them; those who look do not take it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bug.h>
#include <linux/hash.h>
#include <linux/overflow.h>
#include <linux/printk.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include <klp_rs.h>

#include "klp_rs_glue.h"

struct klp_rs_shadow {
	struct hlist_node node;
	struct rcu_head gone;
	void *obj;
	unsigned long id;
	/* As aligned as what kmalloc() gives on every architecture. */
	char data[] __aligned(8);
};

#define KLP_RS_SHADOW_BITS 12

static struct hlist_head klp_rs_shadows[1 << KLP_RS_SHADOW_BITS];
/* Innermost: constructors and destructors run under it and may not sleep. Taken from any context. */
static DEFINE_SPINLOCK(klp_rs_shadow_lock);

static struct hlist_head *klp_rs_shadow_bucket(const void *obj)
{
	return &klp_rs_shadows[hash_ptr(obj, KLP_RS_SHADOW_BITS)];
}

/* Under the lock, or as an RCU reader. */
static struct klp_rs_shadow *klp_rs_shadow_find(const void *obj, unsigned long id)
{
	struct klp_rs_shadow *shadow;

	hlist_for_each_entry_rcu(shadow, klp_rs_shadow_bucket(obj), node, lockdep_is_held(&klp_rs_shadow_lock))
		if (shadow->obj == obj && shadow->id == id)
			return shadow;
	return NULL;
}

void *klp_rs_shadow_get(void *obj, unsigned long id)
{
	struct klp_rs_shadow *shadow;

	rcu_read_lock();
	shadow = klp_rs_shadow_find(obj, id);
	rcu_read_unlock();
	return shadow ? shadow->data : NULL;
}

/* The variable's data; @made says whether it was made here. NULL: no memory, or the constructor refused. */
static void *klp_rs_shadow_provide(void *obj, unsigned long id, size_t size, gfp_t flags, klp_rs_shadow_ctor_t ctor,
				   void *ctor_data, bool *made)
{
	struct klp_rs_shadow *fresh, *shadow;
	unsigned long irq;
	void *data;
	int err = 0;

	*made = false;
	data = klp_rs_shadow_get(obj, id);
	if (data)
		return data;
	/* Before the lock, because it may sleep; thrown away if somebody was faster. */
	fresh = kzalloc(size_add(sizeof(*fresh), size), flags);
	if (!fresh)
		return NULL;
	fresh->obj = obj;
	fresh->id = id;

	spin_lock_irqsave(&klp_rs_shadow_lock, irq);
	shadow = klp_rs_shadow_find(obj, id);
	if (!shadow && ctor)
		err = ctor(obj, fresh->data, ctor_data);
	if (!shadow && !err) {
		/* Publishes with a release: partner of the rcu_dereference in klp_rs_shadow_find(). */
		hlist_add_head_rcu(&fresh->node, klp_rs_shadow_bucket(obj));
		shadow = fresh;
		*made = true;
	}
	spin_unlock_irqrestore(&klp_rs_shadow_lock, irq);

	if (!*made)
		kfree(fresh);
	if (err)
		pr_err("Failed to construct shadow variable <%p, %lx> (%d)\n", obj, id, err);
	return shadow ? shadow->data : NULL;
}

void *klp_rs_shadow_alloc(void *obj, unsigned long id, size_t size, gfp_t flags, klp_rs_shadow_ctor_t ctor,
			  void *ctor_data)
{
	bool made;
	void *data = klp_rs_shadow_provide(obj, id, size, flags, ctor, ctor_data, &made);

	if (WARN(data && !made, "Duplicate shadow variable <%p, %lx>\n", obj, id))
		return NULL;
	return data;
}

void *klp_rs_shadow_get_or_alloc(void *obj, unsigned long id, size_t size, gfp_t flags, klp_rs_shadow_ctor_t ctor,
				 void *ctor_data)
{
	bool made;

	return klp_rs_shadow_provide(obj, id, size, flags, ctor, ctor_data, &made);
}

/* Under the lock. */
static void klp_rs_shadow_drop(struct klp_rs_shadow *shadow, klp_rs_shadow_dtor_t dtor)
{
	hlist_del_rcu(&shadow->node);
	if (dtor)
		dtor(shadow->obj, shadow->data);
	kfree_rcu(shadow, gone);
}

void klp_rs_shadow_free(void *obj, unsigned long id, klp_rs_shadow_dtor_t dtor)
{
	struct klp_rs_shadow *shadow;
	unsigned long irq;

	spin_lock_irqsave(&klp_rs_shadow_lock, irq);
	shadow = klp_rs_shadow_find(obj, id);
	if (shadow)
		klp_rs_shadow_drop(shadow, dtor);
	spin_unlock_irqrestore(&klp_rs_shadow_lock, irq);
}

static void klp_rs_shadow_drop_if(bool every, unsigned long id, klp_rs_shadow_dtor_t dtor)
{
	struct klp_rs_shadow *shadow;
	struct hlist_node *next;
	unsigned long irq;
	unsigned int i;

	spin_lock_irqsave(&klp_rs_shadow_lock, irq);
	for (i = 0; i < ARRAY_SIZE(klp_rs_shadows); i++)
		hlist_for_each_entry_safe(shadow, next, &klp_rs_shadows[i], node)
			if (every || shadow->id == id)
				klp_rs_shadow_drop(shadow, dtor);
	spin_unlock_irqrestore(&klp_rs_shadow_lock, irq);
}

void klp_rs_shadow_free_all(unsigned long id, klp_rs_shadow_dtor_t dtor)
{
	klp_rs_shadow_drop_if(false, id, dtor);
}

/* What patches left behind. They are all gone: they refer to the functions above. */
void klp_rs_shadow_stop(void)
{
	klp_rs_shadow_drop_if(true, 0, NULL);
}

EXPORT_SYMBOL_GPL(klp_rs_shadow_get);
EXPORT_SYMBOL_GPL(klp_rs_shadow_alloc);
EXPORT_SYMBOL_GPL(klp_rs_shadow_get_or_alloc);
EXPORT_SYMBOL_GPL(klp_rs_shadow_free);
EXPORT_SYMBOL_GPL(klp_rs_shadow_free_all);

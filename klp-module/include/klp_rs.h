/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interface of klp_rs for live patches in C: describe a patch, enable it from module_init(). The words and the
 * structures are those of linux/livepatch.h under our prefix; klp_rs.rs beside this file is the same for Rust.
 *
 * What is described must stay as it is until the module is unloaded. A patch is disabled through sysfs
 * (/sys/kernel/klp_rs/PATCH/enabled); its module can be unloaded when its directory there has gone.
 */
#ifndef KLP_RS_H
#define KLP_RS_H

#include <linux/types.h>

struct module;

/**
 * struct klp_rs_func - one function to be replaced
 * @old_name: name of the function
 * @new_func: what is called instead
 * @old_sympos: which of several functions of that name, from 1; 0 says that there is only one
 * @immediate: tasks need not be consistent about this function
 *
 * A list of these ends with an entry of zeroes.
 */
struct klp_rs_func {
	const char *old_name;
	void *new_func;
	unsigned long old_sympos;
	bool immediate;
};

struct klp_rs_object;

/**
 * struct klp_rs_callbacks - called as an object is patched and unpatched, all optional
 * @pre_patch: before; an error refuses the patch
 * @post_patch: when every task has moved
 * @pre_unpatch: before the unpatching transition
 * @post_unpatch: when every task has moved back; only if @pre_patch had succeeded
 */
struct klp_rs_callbacks {
	int (*pre_patch)(struct klp_rs_object *obj);
	void (*post_patch)(struct klp_rs_object *obj);
	void (*pre_unpatch)(struct klp_rs_object *obj);
	void (*post_unpatch)(struct klp_rs_object *obj);
};

/**
 * struct klp_rs_object - what the functions belong to
 * @name: a module, or NULL for the kernel itself
 * @funcs: its functions
 * @callbacks: see there
 * @mod: set by klp_rs while the module is known to be loaded; NULL for the kernel
 *
 * A list of these ends with an entry of zeroes.
 */
struct klp_rs_object {
	const char *name;
	struct klp_rs_func *funcs;
	struct klp_rs_callbacks callbacks;
	struct module *mod;
};

/**
 * struct klp_rs_state - something beside functions that patches change
 * @id: which, from 1; all patches that change the same thing use the same id
 * @version: what this patch makes of it; a later patch must have the same version or a higher one
 * @data: whatever its callbacks want to keep
 *
 * A list of these ends with an entry of zeroes.
 */
struct klp_rs_state {
	unsigned long id;
	unsigned int version;
	void *data;
};

/**
 * struct klp_rs_patch - a live patch
 * @mod: THIS_MODULE
 * @objs: what it changes
 * @states: what else it changes, or NULL
 * @replace: it stands for all patches that are there; they leave when every task has moved to it
 * @immediate: tasks need not be consistent about any of it
 */
struct klp_rs_patch {
	struct module *mod;
	struct klp_rs_object *objs;
	struct klp_rs_state *states;
	bool replace;
	bool immediate;
};

/**
 * klp_rs_enable_patch() - register a patch and start its transition
 * @patch: the patch
 *
 * Context: module_init() of the patch module.
 * Return: 0, or an error as klp_enable_patch() has it.
 */
int klp_rs_enable_patch(struct klp_rs_patch *patch);

/**
 * klp_rs_patching_complete() - has every task moved to @patch?
 * @patch: an enabled patch
 *
 * Context: any. True from the end of the patching transition to the start of the unpatching one.
 */
bool klp_rs_patching_complete(const struct klp_rs_patch *patch);

/**
 * klp_rs_get_state() - one of the states of @patch
 * @patch: the patch
 * @id: which state
 *
 * Context: any.
 * Return: the state, or NULL when @patch does not change it.
 */
struct klp_rs_state *klp_rs_get_state(struct klp_rs_patch *patch, unsigned long id);

/**
 * klp_rs_get_prev_state() - a state as the patches before the one in transition have it
 * @id: which state
 *
 * Context: callbacks. Warns outside of a transition.
 * Return: the state of the newest of these patches that has it, or NULL.
 */
struct klp_rs_state *klp_rs_get_prev_state(unsigned long id);

/*
 * Shadow variables: new fields for objects that exist. One is known by the address of its object and an id, which every
 * patch that uses the field knows. It can be found from the moment it is allocated; who changes what is in it when is the
 * matter of its users. Memory of a freed variable stays until the end of an RCU grace period.
 */

/* Fills @shadow_data, which is zeroed, before anybody can find it. Must not sleep. An error refuses the variable. */
typedef int (*klp_rs_shadow_ctor_t)(void *obj, void *shadow_data, void *ctor_data);
/* Gives back what @shadow_data refers to, when nobody can find it any more. Must not sleep. */
typedef void (*klp_rs_shadow_dtor_t)(void *obj, void *shadow_data);

/**
 * klp_rs_shadow_get() - find a shadow variable
 * @obj: its object
 * @id: which of this object
 *
 * Context: any in which RCU is watching.
 * Return: its data, or NULL.
 */
void *klp_rs_shadow_get(void *obj, unsigned long id);

/**
 * klp_rs_shadow_alloc() - attach a new shadow variable
 * @obj: its object
 * @id: which of this object
 * @size: bytes of data
 * @flags: how to allocate
 * @ctor: fills it, or NULL; called only if it really is new
 * @ctor_data: for @ctor
 *
 * Context: as @flags say.
 * Return: its data; NULL without memory, when @ctor refused, and with a warning when there is one already.
 */
void *klp_rs_shadow_alloc(void *obj, unsigned long id, size_t size, gfp_t flags, klp_rs_shadow_ctor_t ctor,
			  void *ctor_data);

/**
 * klp_rs_shadow_get_or_alloc() - find a shadow variable, or attach a new one
 *
 * Parameters and context as for klp_rs_shadow_alloc().
 * Return: the data of the variable that was there, or of the new one; NULL without memory or when @ctor refused.
 */
void *klp_rs_shadow_get_or_alloc(void *obj, unsigned long id, size_t size, gfp_t flags, klp_rs_shadow_ctor_t ctor,
				 void *ctor_data);

/**
 * klp_rs_shadow_free() - take a shadow variable away
 * @obj: its object
 * @id: which of this object
 * @dtor: called for it, or NULL
 *
 * Does nothing when there is none. Context: any.
 */
void klp_rs_shadow_free(void *obj, unsigned long id, klp_rs_shadow_dtor_t dtor);

/**
 * klp_rs_shadow_free_all() - take the shadow variables of all objects away
 * @id: which
 * @dtor: called for each, or NULL
 *
 * Context: any.
 */
void klp_rs_shadow_free_all(unsigned long id, klp_rs_shadow_dtor_t dtor);

#endif

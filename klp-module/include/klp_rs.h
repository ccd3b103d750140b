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

#include <linux/module.h>
#include <linux/types.h>

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
 * struct klp_rs_patch - a live patch
 * @mod: THIS_MODULE
 * @objs: what it changes
 * @replace: it stands for all patches that are there; they leave when every task has moved to it
 * @immediate: tasks need not be consistent about any of it
 */
struct klp_rs_patch {
	struct module *mod;
	struct klp_rs_object *objs;
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

#endif

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Modules that come and go, and the reference that keeps a patch module loaded; also the exports for patch modules.
 * Invariant: klp_rs_module_going() returns before the text of the module goes (kernel/module/main.c calls the GOING
 * notifiers before it frees).
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/notifier.h>

#include <klp_rs.h>

#include "klp_rs_glue.h"

/*
 * LIVE as well as COMING: a patch that is enabled while a module runs its init finds it not yet live and leaves it to the
 * second notice. An error refuses the module (kernel/module/main.c:prepare_coming_module).
 */
static int klp_rs_module_event(struct notifier_block *block, unsigned long event, void *data)
{
	int err = 0;

	if (event == MODULE_STATE_COMING || event == MODULE_STATE_LIVE)
		err = klp_rs_module_coming(data, event == MODULE_STATE_COMING);
	else if (event == MODULE_STATE_GOING)
		klp_rs_module_going(data);
	return notifier_from_errno(err);
}

/* kernel/module/main.c:prepare_coming_module calls ftrace before the notifiers, so the module's functions can be patched. */
static struct notifier_block klp_rs_module_block = {
	.notifier_call = klp_rs_module_event,
};

int klp_rs_modules_start(void)
{
	return register_module_notifier(&klp_rs_module_block);
}

void klp_rs_modules_stop(void)
{
	unregister_module_notifier(&klp_rs_module_block);
}

bool klp_rs_module_get(struct module *mod)
{
	return try_module_get(mod);
}

void klp_rs_module_put(struct module *mod)
{
	module_put(mod);
}

/*
 * A live module by name; the caller holds what keeps it from going (the lock that klp_rs_module_going() takes).
 * find_module() is not exported, but this module is itself on the list of modules. The list's head is the one link that is
 * not inside a struct module: it is in the kernel's data, they are where modules are.
 */
static bool klp_rs_in_module_space(const void *address)
{
#ifdef MODULES_VADDR
	return (unsigned long)address >= MODULES_VADDR && (unsigned long)address < MODULES_END;
#else
	return is_vmalloc_addr(address);
#endif
}

struct module *klp_rs_module_find(const char *name)
{
	struct module *found = NULL;
	struct list_head *link;

	rcu_read_lock();
	for (link = rcu_dereference_raw(THIS_MODULE->list.next); link != &THIS_MODULE->list;
	     link = rcu_dereference_raw(link->next)) {
		struct module *mod = container_of(link, struct module, list);

		if (!klp_rs_in_module_space(link))
			continue;
		if (!strcmp(mod->name, name) && READ_ONCE(mod->state) == MODULE_STATE_LIVE) {
			found = mod;
			break;
		}
	}
	rcu_read_unlock();
	return found;
}

const char *klp_rs_module_name(const struct module *mod)
{
	return mod->name;
}

void klp_rs_module_text(const struct module *mod, unsigned long *start, unsigned long *end)
{
	*start = (unsigned long)mod->mem[MOD_TEXT].base;
	*end = *start + mod->mem[MOD_TEXT].size;
}

bool klp_rs_patching_complete(const struct klp_rs_patch *patch)
{
	bool complete;

	preempt_disable_notrace();
	complete = klp_rs_is_complete(patch);
	preempt_enable_notrace();
	return complete;
}

/* The first is defined in Rust, which has no way of its own to export. */
EXPORT_SYMBOL_GPL(klp_rs_enable_patch);
EXPORT_SYMBOL_GPL(klp_rs_patching_complete);

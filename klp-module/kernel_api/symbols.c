// SPDX-License-Identifier: GPL-2.0-only
/*
 * Symbols: all of a name, what an address belongs to, where ftrace calls out of a function. Chooses nothing: which of
 * several symbols is meant is pure/symbol_search.rs' matter.
 *
 * The kernel's own two functions that visit every symbol of a name, the one that knows where a function calls out, the one that
 * knows what is called directly from there, and the one that knows the idle tasks, are not exported. A disabled kprobe finds them,
 * once, and a static call makes them direct calls: an indirect one would be refused by a processor with IBT, because the kernel takes the landing pad from functions whose address nobody takes
 * (arch/x86/kernel/alternative.c:apply_seal_endbr), and by kCFI for the same reason. Their types are those of this kernel's
 * headers, checked when this is compiled.
 */
#include <linux/ftrace.h>
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/static_call.h>
#include <linux/string.h>

#include "klp_rs_glue.h"

static typeof(kallsyms_on_each_match_symbol) klp_rs_none_in_kernel;
static typeof(module_kallsyms_on_each_symbol) klp_rs_none_in_module;
static typeof(ftrace_location) klp_rs_no_location;
static typeof(ftrace_find_rec_direct) klp_rs_no_direct;
static typeof(idle_task) klp_rs_no_idle_task;

static int klp_rs_none_in_kernel(int (*seen)(void *cookie, unsigned long address), const char *name, void *cookie)
{
	return 0;
}

static int klp_rs_none_in_module(const char *module, int (*seen)(void *cookie, const char *name, unsigned long address),
				 void *cookie)
{
	return 0;
}

static unsigned long klp_rs_no_location(unsigned long address)
{
	return 0;
}

static unsigned long klp_rs_no_direct(unsigned long ip)
{
	return 0;
}

static struct task_struct *klp_rs_no_idle_task(int cpu)
{
	return NULL;
}

/* Until klp_rs_symbols_start() nothing has a symbol or calls out, and no CPU has an idle task. */
DEFINE_STATIC_CALL(klp_rs_each_in_kernel, klp_rs_none_in_kernel);
DEFINE_STATIC_CALL(klp_rs_each_in_module, klp_rs_none_in_module);
DEFINE_STATIC_CALL(klp_rs_location_of, klp_rs_no_location);
DEFINE_STATIC_CALL(klp_rs_direct_of, klp_rs_no_direct);
DEFINE_STATIC_CALL(klp_rs_idle_task_of, klp_rs_no_idle_task);

/* The first instructions of the functions that the calls stand for. */
void klp_rs_symbols_start(unsigned long in_kernel, unsigned long in_module, unsigned long location_of,
			  unsigned long direct_of, unsigned long idle_task_of)
{
	static_call_update(klp_rs_each_in_kernel, (typeof(&kallsyms_on_each_match_symbol))in_kernel);
	static_call_update(klp_rs_each_in_module, (typeof(&module_kallsyms_on_each_symbol))in_module);
	static_call_update(klp_rs_location_of, (typeof(&ftrace_location))location_of);
	static_call_update(klp_rs_direct_of, (typeof(&ftrace_find_rec_direct))direct_of);
	static_call_update(klp_rs_idle_task_of, (typeof(&idle_task))idle_task_of);
}

/* May be called in an interrupt. */
struct task_struct *klp_rs_idle_task(int cpu)
{
	return static_call(klp_rs_idle_task_of)(cpu);
}

/* Where the function that begins at @address calls out to ftrace; 0 when it does not. */
unsigned long klp_rs_location(unsigned long address)
{
	return static_call(klp_rs_location_of)(address);
}

/* Does anybody (a BPF program) have the function at @ip call it without ftrace's own entry? */
bool klp_rs_has_direct(unsigned long ip)
{
	return static_call(klp_rs_direct_of)(ip);
}

struct klp_rs_wanted {
	const char *name;
	klp_rs_symbol_fn seen;
	void *cookie;
};

static int klp_rs_symbol_in_module(void *cookie, const char *name, unsigned long address)
{
	struct klp_rs_wanted *wanted = cookie;

	return strcmp(name, wanted->name) ? 0 : wanted->seen(wanted->cookie, address);
}

/*
 * Calls @seen with every symbol @name of @module, or of the kernel itself when that is NULL, in the order in which kallsyms
 * has them. Sleeps; takes module_mutex.
 */
void klp_rs_each_symbol(const char *module, const char *name, klp_rs_symbol_fn seen, void *cookie)
{
	struct klp_rs_wanted wanted = { name, seen, cookie };

	if (module)
		static_call(klp_rs_each_in_module)(module, klp_rs_symbol_in_module, &wanted);
	else
		static_call(klp_rs_each_in_kernel)(seen, name, cookie);
}

/*
 * Has kprobes look for the functions of these names. The probes are disabled, so no text is changed, and leave together, because
 * unregistering waits for a grace period.
 */
int klp_rs_probe_places(struct klp_rs_place *places, unsigned int count)
{
	struct kprobe *probes, **found;
	unsigned int i, n = 0;

	probes = kcalloc(count, sizeof(*probes), GFP_KERNEL);
	found = kcalloc(count, sizeof(*found), GFP_KERNEL);
	if (!probes || !found) {
		kfree(probes);
		kfree(found);
		return -ENOMEM;
	}
	for (i = 0; i < count; i++) {
		probes[i].symbol_name = places[i].name;
		probes[i].flags = KPROBE_FLAG_DISABLED;
		if (!register_kprobe(&probes[i]))
			found[n++] = &probes[i];
		/* kernel/kprobes.c:register_kprobe has the address before it refuses what may not be probed. */
		places[i].address = (unsigned long)probes[i].addr;
	}
	unregister_kprobes(found, n);
	kfree(found);
	kfree(probes);
	return 0;
}

/* "name+0xoffset/0xsize [module]", or the bare address when it is nobody's. @size is at least KSYM_SYMBOL_LEN. */
size_t klp_rs_symbol_text(unsigned long address, char *text, size_t size)
{
	if (size < KSYM_SYMBOL_LEN)
		return 0;
	return sprint_symbol(text, address);
}

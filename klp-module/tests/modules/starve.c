// SPDX-License-Identifier: GPL-2.0-only
/*
 * starve.ko: takes memory away from klp_rs, and from nobody else. Kprobes at the entries of the allocator make it say NULL
 * when klp_rs.ko is on the stack of the task that asks, directly or by way of what it calls.
 *
 *   /proc/starve/refuse   write "N": the Nth allocation from now is refused; "N+": that one and all after it; "0": none, they
 *                         are counted only; with a second word only calls of that function count. "off": not even counted
 *   /proc/starve/state    read: allocations seen and refused since that write, and what the Rust half of klp_rs has now; what was
 *                         allocated and freed by way of each function since klp_rs came; where the first refused one was asked for
 *
 * Must be loaded before klp_rs (or the core named by the parameter). Invariant: what klp_rs gets in an interrupt is never
 * refused nor counted, because the task that is interrupted is not who asks.
 */
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/linkage.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/sched/task_stack.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/stacktrace.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#define DEPTH 32
/* Nobody between klp_rs and the allocator has more than that on the stack. */
#define STACK_WORDS 512

static char *core = "klp_rs";
module_param(core, charp, 0444);

/* Where the core's code is; the second for the time of its init. */
static struct span {
	unsigned long start, end;
} text[2];

static bool is_in(const struct span *span, unsigned long address)
{
	/* @start is written last: READ_ONCE of both would not make them belong together, but a span only ever comes or goes. */
	return address >= READ_ONCE(span->start) && address < READ_ONCE(span->end);
}

static bool is_core(unsigned long address)
{
	return is_in(&text[0], address) || is_in(&text[1], address);
}

/* What a refused call returns to: regs->ax is the answer. The stack is that of the function's entry. */
void starve_return(void);
asm("	.pushsection	.text, \"ax\", @progbits\n"
    "	.type		starve_return, @function\n"
    "	.globl		starve_return\n"
    "starve_return:\n"
    ANNOTATE_NOENDBR "\n"
    ASM_RET
    "	.size		starve_return, . - starve_return\n"
    "	.popsection\n");

/* Functions that call each other come behind those that they call for. */
static struct entry {
	const char *name;
	unsigned int size_argument;
	/* Also reallocates and frees: what is to be so large is the argument before the size. Rust has no other. */
	bool reallocates;
	/* Calls others of these. */
	bool is_outer;
	struct span code;
	atomic_t made, freed, largest;
	struct kprobe probe;
} entries[] = {
	{ "kvrealloc_node_align_noprof", 1, true, true },
	{ "krealloc_node_align_noprof", 1, true, true },
	{ "__kvmalloc_node_noprof", 0, false, true },
	{ "__kmalloc_noprof", 0 },
	{ "__kmalloc_node_noprof", 0 },
	{ "__kmalloc_node_track_caller_noprof", 0 },
	{ "__kmalloc_cache_noprof", 2 },
	{ "__kmalloc_cache_node_noprof", 3 },
	{ "kmem_cache_alloc_noprof", 0 },
	{ "kmem_cache_alloc_lru_noprof", 0 },
	{ "kmem_cache_alloc_node_noprof", 0 },
};

/* What is refused: from the one of this number on, only that one or all. */
static int first;
static bool and_all;
static bool counts;
static const struct entry *only;
static atomic_t seen, refused;
static unsigned long where[DEPTH];
static unsigned int depth;

/* Does the core wait for this call? Looks at the words on the stack first, because it is asked at every allocation there is. */
static bool is_cores(const struct pt_regs *regs)
{
	const unsigned long *word = (const unsigned long *)regs->sp;
	const unsigned long *end = (const unsigned long *)((unsigned long)task_stack_page(current) + THREAD_SIZE);
	unsigned long trace[DEPTH];
	unsigned int i, count;

	if (!in_task() || !READ_ONCE(text[0].end) || (void *)word < task_stack_page(current) || word >= end)
		return false;
	end = min(end, word + STACK_WORDS);
	while (word < end && !is_core(*word))
		word++;
	if (word == end)
		return false;
	count = stack_trace_save(trace, DEPTH, 0);
	for (i = 0; i < count; i++)
		if (is_core(trace[i]))
			return true;
	return false;
}

/* Called by one that was counted. */
static bool is_nested(const struct pt_regs *regs)
{
	unsigned long caller = *(const unsigned long *)regs->sp;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(entries); i++)
		if (entries[i].is_outer && is_in(&entries[i].code, caller))
			return true;
	return false;
}

static void note(struct entry *entry, const struct pt_regs *regs, unsigned long size)
{
	const void *old = (const void *)regs_get_kernel_argument((struct pt_regs *)regs, 0);

	if (!entry->reallocates) {
		atomic_inc(&entry->made);
	} else if (!size) {
		if (!ZERO_OR_NULL_PTR(old))
			atomic_inc(&entry->freed);
		return;
	} else if (ZERO_OR_NULL_PTR(old)) {
		atomic_inc(&entry->made);
	}
	if (size > atomic_read(&entry->largest))
		atomic_set(&entry->largest, size);
}

static bool is_refused(const struct entry *entry)
{
	int number, from = READ_ONCE(first);

	if (!READ_ONCE(counts) || (only && only != entry))
		return false;
	number = atomic_inc_return(&seen);
	if (!from || !(number == from || (and_all && number > from)))
		return false;
	if (atomic_inc_return(&refused) == 1)
		/* Without this, and the entry of the probe. */
		depth = stack_trace_save(where, DEPTH, 3);
	return true;
}

static int allocates(struct kprobe *probe, struct pt_regs *regs)
{
	struct entry *entry = container_of(probe, struct entry, probe);
	unsigned long size;

	if (!(READ_ONCE(counts) || entry->reallocates) || !is_cores(regs) || is_nested(regs))
		return 0;
	size = regs_get_kernel_argument(regs, entry->size_argument);
	/* To free is never refused. */
	if (!(entry->reallocates && !size) && is_refused(entry)) {
		regs->ax = 0;
		regs->ip = (unsigned long)starve_return;
		return 1;
	}
	note(entry, regs, size);
	return 0;
}
NOKPROBE_SYMBOL(allocates);

static void forget(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(entries); i++) {
		atomic_set(&entries[i].made, 0);
		atomic_set(&entries[i].freed, 0);
		atomic_set(&entries[i].largest, 0);
	}
}

static void set_text(struct span *span, const struct module_memory *memory)
{
	span->start = memory ? (unsigned long)memory->base : 0;
	WRITE_ONCE(span->end, memory ? (unsigned long)memory->base + memory->size : 0);
}

static int module_event(struct notifier_block *block, unsigned long event, void *data)
{
	struct module *mod = data;

	if (strcmp(mod->name, core))
		return NOTIFY_DONE;
	if (event == MODULE_STATE_COMING) {
		forget();
		set_text(&text[0], &mod->mem[MOD_TEXT]);
		set_text(&text[1], &mod->mem[MOD_INIT_TEXT]);
	} else if (event == MODULE_STATE_LIVE) {
		set_text(&text[1], NULL);
	} else if (event == MODULE_STATE_GOING) {
		/* After its exit. */
		set_text(&text[0], NULL);
		set_text(&text[1], NULL);
	}
	return NOTIFY_DONE;
}

static struct notifier_block module_block = { .notifier_call = module_event };

static ssize_t refuse_write(struct file *file, const char __user *buffer, size_t size, loff_t *position)
{
	char line[64] = "", name[48] = "", plus = 0;
	const struct entry *wanted = NULL;
	unsigned int i;
	int number = 0;

	if (size >= sizeof(line) || copy_from_user(line, buffer, size))
		return -EINVAL;
	WRITE_ONCE(counts, false);
	/* Nobody is in the middle of a count. */
	synchronize_rcu();
	if (!strncmp(line, "off", 3))
		return size;
	if (sscanf(line, "%d%c %47s", &number, &plus, name) < 1)
		return -EINVAL;
	for (i = 0; i < ARRAY_SIZE(entries); i++)
		if (!strcmp(entries[i].name, name))
			wanted = &entries[i];
	if (name[0] && !wanted)
		return -ENOENT;
	first = number;
	and_all = plus == '+';
	only = wanted;
	depth = 0;
	atomic_set(&seen, 0);
	atomic_set(&refused, 0);
	WRITE_ONCE(counts, true);
	return size;
}

static int state_show(struct seq_file *out, void *unused)
{
	unsigned int i;
	int live = 0;

	for (i = 0; i < ARRAY_SIZE(entries); i++)
		if (entries[i].reallocates)
			live += atomic_read(&entries[i].made) - atomic_read(&entries[i].freed);
	seq_printf(out, "seen %d refused %d live %d\n", atomic_read(&seen), atomic_read(&refused), live);
	for (i = 0; i < ARRAY_SIZE(entries); i++)
		seq_printf(out, "%s made %d freed %d largest %d\n", entries[i].name, atomic_read(&entries[i].made),
			   atomic_read(&entries[i].freed), atomic_read(&entries[i].largest));
	for (i = 0; i < depth; i++)
		seq_printf(out, "at %pS\n", (void *)where[i]);
	return 0;
}

static const struct proc_ops refuse_ops = { .proc_write = refuse_write };

static void stop(unsigned int count)
{
	while (count--)
		unregister_kprobe(&entries[count].probe);
}

static int start(struct entry *entry)
{
	char said[KSYM_SYMBOL_LEN], *behind;
	unsigned long length;
	int err;

	entry->probe.symbol_name = entry->name;
	entry->probe.pre_handler = allocates;
	err = register_kprobe(&entry->probe);
	if (err)
		return err;
	/* Others may be made faster, and go where they want then. */
	if (!kprobe_ftrace(&entry->probe))
		err = -EOPNOTSUPP;
	sprint_symbol(said, (unsigned long)entry->probe.addr);
	behind = strchr(said, '/');
	if (!behind || sscanf(behind, "/0x%lx", &length) != 1)
		err = -EINVAL;
	if (err) {
		unregister_kprobe(&entry->probe);
		return err;
	}
	entry->code.start = (unsigned long)entry->probe.addr;
	entry->code.end = entry->code.start + length;
	return 0;
}

static int __init starve_init(void)
{
	struct proc_dir_entry *dir;
	unsigned int i;
	int err;

	for (i = 0; i < ARRAY_SIZE(entries); i++) {
		err = start(&entries[i]);
		if (err) {
			pr_err("starve: no probe at %s (%d)\n", entries[i].name, err);
			stop(i);
			return err;
		}
	}
	err = register_module_notifier(&module_block);
	if (err) {
		stop(i);
		return err;
	}
	dir = proc_mkdir("starve", NULL);
	proc_create("refuse", 0200, dir, &refuse_ops);
	proc_create_single("state", 0444, dir, state_show);
	return 0;
}

static void __exit starve_exit(void)
{
	remove_proc_subtree("starve", NULL);
	unregister_module_notifier(&module_block);
	stop(ARRAY_SIZE(entries));
}

module_init(starve_init);
module_exit(starve_exit);
MODULE_DESCRIPTION("klp_rs tests: memory that is not there");
MODULE_LICENSE("GPL");

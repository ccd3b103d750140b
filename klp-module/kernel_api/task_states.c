// SPDX-License-Identifier: GPL-2.0-only
/*
 * The states of tasks, where BPF programs read them (ABI/testing/bpf-klp_rs). Invariant: whoever reads the same even
 * sequence before and after has read one state of the world, from memory that was in use all the while: before an array
 * of slots is freed the sequence has changed.
 */
#include <linux/build_bug.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "klp_rs_glue.h"

static struct klp_rs_task_states klp_rs_task_states = {
	.version = KLP_RS_TASK_STATES_VERSION,
	.size = sizeof(klp_rs_task_states),
};

static_assert(sizeof(struct klp_rs_task_states) == 24 + 16 * KLP_RS_TASK_SEGMENTS);

/* Shows @states, or that there is no transition. One caller at a time: under the core's lock. */
void klp_rs_task_states_publish(const struct klp_rs_task_states *states)
{
	struct klp_rs_task_states *shown = &klp_rs_task_states;

	WRITE_ONCE(shown->sequence, shown->sequence + 1);
	/* Partner: the reader copies the sequence first, then the rest (livepatch-ebpf/src/task_states.rs). */
	smp_wmb();
	WRITE_ONCE(shown->moving, states ? 1 : 0);
	if (states) {
		WRITE_ONCE(shown->began, states->began);
		WRITE_ONCE(shown->count, states->count);
		memcpy(shown->segments, states->segments, sizeof(shown->segments));
	}
	/* Partner: the reader reads the sequence again when it has read all the rest. */
	smp_wmb();
	WRITE_ONCE(shown->sequence, shown->sequence + 1);
	/*
	 * Before the caller frees the slots that were shown until now, or lets tasks into those shown now. Partner: the reader
	 * reads slots before it reads the sequence again; who has read what came after this finds another sequence.
	 */
	smp_mb();
}

/* For administrators only: it is an address of the kernel. */
static ssize_t task_states_show(const struct module_attribute *attr, struct module_kobject *module, char *page)
{
	return sysfs_emit(page, "%u %px\n", KLP_RS_TASK_STATES_VERSION, &klp_rs_task_states);
}

static const struct module_attribute task_states = __ATTR(task_states, 0400, task_states_show, NULL);

/* In the folder of the module: the core's own holds patches and nothing else. */
int klp_rs_task_states_start(void)
{
	return sysfs_create_file(&THIS_MODULE->mkobj.kobj, &task_states.attr);
}

void klp_rs_task_states_stop(void)
{
	sysfs_remove_file(&THIS_MODULE->mkobj.kobj, &task_states.attr);
}

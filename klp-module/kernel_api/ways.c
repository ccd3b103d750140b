// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test-only, in a core made WITHOUT=ways: each way for a task to move can be turned off, at any time, so that a test shows
 * what no other way does. A way that is off leaves tasks where they are: it never moves one that it should not. But without
 * the sweep nobody sees who is still inside of an immediate patch that has gone: such a core must have none.
 */
#include <linux/module.h>

#include "klp_rs_glue.h"

#define KLP_RS_WAY(name, what)                                                                                        \
	bool klp_rs_without_##name;                                                                                   \
	module_param_named(without_##name, klp_rs_without_##name, bool, 0644);                                        \
	MODULE_PARM_DESC(without_##name, what)

KLP_RS_WAY(sleep, "The stacks of sleeping tasks are not checked");
KLP_RS_WAY(exit, "Tasks do not move on their way to user space");
KLP_RS_WAY(schedule, "Tasks do not move at the start of schedule()");
KLP_RS_WAY(interrupt, "Tasks that run do not move when they are interrupted");
KLP_RS_WAY(sweep, "The machine is not stopped for those that wait on a runqueue");
KLP_RS_WAY(idle, "Idle tasks do not move while their CPU is busy with another");
KLP_RS_WAY(wake, "Idle CPUs are not woken");
KLP_RS_WAY(reentry, "Kernel threads do not move as they enter a function");
KLP_RS_WAY(kick, "Nobody is signalled");

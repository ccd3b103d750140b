// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fires the tracepoints of klp_rs. In C because they are a matter of macros. Costs a jump that is not taken while nobody
 * listens; may be called in any context that has a task.
 */
#include "klp_rs_glue.h"

#define CREATE_TRACE_POINTS
#include "klp_rs_trace.h"

void klp_rs_trace_transition(const char *patch, unsigned int what)
{
	trace_klp_rs_transition(patch, what);
}

void klp_rs_trace_verdict(struct task_struct *task, int verdict, const char *function)
{
	trace_klp_rs_verdict(task, verdict, function);
}

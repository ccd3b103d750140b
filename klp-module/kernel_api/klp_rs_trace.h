/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tracepoints of klp_rs: ABI/testing/tracepoints-klp_rs says what they mean. This header is read several times by
 * trace/define_trace.h, hence its odd form.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM klp_rs

#if !defined(KLP_RS_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define KLP_RS_TRACE_H

#include <linux/sched.h>
#include <linux/tracepoint.h>

TRACE_EVENT(klp_rs_transition,
	TP_PROTO(const char *patch, unsigned int what),
	TP_ARGS(patch, what),
	TP_STRUCT__entry(
		__string(patch, patch)
		__field(unsigned int, what)
	),
	TP_fast_assign(
		__assign_str(patch);
		__entry->what = what;
	),
	TP_printk("%s %s", __get_str(patch),
		  __print_symbolic(__entry->what, { 1, "started" }, { 2, "round ended" }, { 3, "completed" },
				   { 4, "reversed" }, { 5, "forced" }))
);

TRACE_EVENT(klp_rs_verdict,
	TP_PROTO(struct task_struct *task, int verdict, const char *function),
	TP_ARGS(task, verdict, function),
	TP_STRUCT__entry(
		__field(pid_t, pid)
		__string(comm, task->comm)
		__field(int, verdict)
		__string(function, function)
	),
	TP_fast_assign(
		__entry->pid = task->pid;
		__assign_str(comm);
		__entry->verdict = verdict;
		__assign_str(function);
	),
	TP_printk("%s:%d %d %s", __get_str(comm), __entry->pid, __entry->verdict, __get_str(function))
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE klp_rs_trace
#include <trace/define_trace.h>

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the C files of this folder and the Rust module beside them promise each other. Not an interface for patches (that
 * is include/klp_rs.h). Every function here has its twin in kernel_api/ffi.rs: a change is a change in both files.
 */
#ifndef KLP_RS_GLUE_H
#define KLP_RS_GLUE_H

#include <linux/ftrace.h>
#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/types.h>

/* Defined in Rust. Called with preemption off, from where the name says; must not sleep, print or panic. */
unsigned long klp_rs_choose(unsigned long ip, struct task_struct *task);
void klp_rs_at_safe_point(struct task_struct *task);
void klp_rs_at_fork(struct task_struct *child);
void klp_rs_at_free(struct task_struct *task);
bool klp_rs_is_complete(const void *patch);
struct klp_rs_state *klp_rs_previous_state(unsigned long id);

/* Defined in Rust. Process context. */
unsigned int klp_rs_transition_step(void);
int klp_rs_module_coming(struct module *mod, bool can_be_refused);
void klp_rs_module_going(struct module *mod);
ssize_t klp_rs_attr_show(const void *owner, unsigned int which);
int klp_rs_attr_store(const void *owner, unsigned int which, bool value);

/* ftrace.c */
int klp_rs_ftrace_register(unsigned long *ips, unsigned int count);
int klp_rs_ftrace_unregister(void);
int klp_rs_ftrace_add(unsigned long *ips, unsigned int count);
int klp_rs_ftrace_remove(unsigned long *ips, unsigned int count);
struct ftrace_ops *klp_rs_ftrace_own(unsigned long ip);
void klp_rs_ftrace_disown(struct ftrace_ops *ops);
bool klp_rs_reentry_begin(void);
void klp_rs_reentry_end(void);
void klp_rs_keeper(void);

/* symbols.c */
struct klp_rs_place {
	const char *name;	/* a function */
	unsigned long address;	/* out: in its first instructions; 0 when not found */
};
typedef int (*klp_rs_symbol_fn)(void *cookie, unsigned long address);
void klp_rs_symbols_start(unsigned long in_kernel, unsigned long in_module, unsigned long location_of,
			  unsigned long direct_of, unsigned long idle_task_of);
unsigned long klp_rs_location(unsigned long address);
bool klp_rs_has_direct(unsigned long ip);
struct task_struct *klp_rs_idle_task(int cpu);
void klp_rs_each_symbol(const char *module, const char *name, klp_rs_symbol_fn seen, void *cookie);
int klp_rs_probe_places(struct klp_rs_place *places, unsigned int count);
size_t klp_rs_symbol_text(unsigned long address, char *text, size_t size);

/* stack.c */
typedef bool (*klp_rs_frame_fn)(void *cookie, unsigned long address);
typedef void (*klp_rs_pinned_fn)(void *cookie, struct task_struct *task);
int klp_rs_stack_walk(struct task_struct *task, klp_rs_frame_fn frame, void *cookie);
bool klp_rs_stacks_are_reliable(void);
bool klp_rs_in_trampoline(unsigned long address);
bool klp_rs_with_blocked(struct task_struct *task, klp_rs_pinned_fn pinned, void *cookie);
void klp_rs_each_cpu(klp_rs_pinned_fn still, klp_rs_pinned_fn off, void *cookie);
void klp_rs_wake_idle(void);
void klp_rs_each_task(klp_rs_pinned_fn seen, void *cookie);
int klp_rs_sweep(klp_rs_pinned_fn still, void *cookie);
unsigned int klp_rs_task_count(void);
bool klp_rs_task_dead(const struct task_struct *task);
void klp_rs_task_report(struct task_struct *task, const char *why, const char *function);
void klp_rs_fake_signal(struct task_struct *task);

/* hooks.c */
int klp_rs_hooks_find(void);
int klp_rs_hooks_register(void);
void klp_rs_hooks_unregister(void);
void klp_rs_hooks_synchronize(void);

/* task_states.c */
#define KLP_RS_TASK_STATES_VERSION 1
#define KLP_RS_TASK_SEGMENTS 8
struct klp_rs_task_segment {
	const void *slots;	/* array of task addresses, in blocks of 64; 0 and 1 are no tasks */
	u64 mask;		/* number of slots, a power of two, less one */
};
struct klp_rs_task_states {
	u32 version;
	u32 size;		/* of this structure */
	u32 sequence;		/* odd while what follows is being changed */
	u32 moving;		/* a transition runs; otherwise the rest means nothing */
	u32 began;		/* state of a task that is in no segment: 0 unpatched, 1 patched; the others have the other */
	u32 count;		/* segments in use */
	struct klp_rs_task_segment segments[KLP_RS_TASK_SEGMENTS];
};
void klp_rs_task_states_publish(const struct klp_rs_task_states *states);
int klp_rs_task_states_start(void);
void klp_rs_task_states_stop(void);

/* trace.c */
void klp_rs_trace_transition(const char *patch, unsigned int what);
void klp_rs_trace_verdict(struct task_struct *task, int verdict, const char *function);

/* sync.c */
typedef void (*klp_rs_call_fn)(void *cookie);
void klp_rs_synchronize(void);
void klp_rs_stand(klp_rs_call_fn call, void *cookie);
int klp_rs_thread_start(void);
void klp_rs_thread_stop(void);
void klp_rs_thread_wake(void);
void klp_rs_debug(const char *patch, const char *what, const char *rest);

/* sysfs.c */
enum { KLP_RS_ENABLED, KLP_RS_TRANSITION, KLP_RS_FORCE, KLP_RS_REPLACE, KLP_RS_STACK_ORDER, KLP_RS_PATCHED };
enum { KLP_RS_DIR_PATCH, KLP_RS_DIR_OBJECT, KLP_RS_DIR_FUNC };
struct klp_rs_dir;
int klp_rs_sysfs_start(void);
void klp_rs_sysfs_stop(void);
struct klp_rs_dir *klp_rs_dir_add(struct klp_rs_dir *parent, unsigned int kind, const char *name, const void *owner);
void klp_rs_dir_remove(struct klp_rs_dir *dir);
void klp_rs_dir_event(struct klp_rs_dir *dir, unsigned int event);
void klp_rs_dir_changed(struct klp_rs_dir *dir, const char *attribute);

/* modules.c */
int klp_rs_modules_start(void);
void klp_rs_modules_stop(void);
bool klp_rs_module_get(struct module *mod);
void klp_rs_module_put(struct module *mod);
const char *klp_rs_module_name(const struct module *mod);
void klp_rs_module_text(const struct module *mod, unsigned long *start, unsigned long *end);
struct module *klp_rs_module_find(const char *name);

/* shadow.c */
void klp_rs_shadow_stop(void);

/* ways.c, in a core made WITHOUT=ways only: the ways to move that a test has turned off. All are on everywhere else. */
#ifdef KLP_RS_WITHOUT_WAYS
extern bool klp_rs_without_sleep, klp_rs_without_exit, klp_rs_without_schedule, klp_rs_without_interrupt;
extern bool klp_rs_without_sweep, klp_rs_without_idle, klp_rs_without_wake, klp_rs_without_reentry, klp_rs_without_kick;
#define klp_rs_way(name) (!READ_ONCE(klp_rs_without_##name))
#else
#define klp_rs_way(name) true
#endif

#endif

// SPDX-License-Identifier: GPL-2.0-only
//! The C side as Rust sees it: twins of `klp_rs_glue.h` and `include/klp_rs.h`. No logic. Invariant: types and names here
//! and there are the same; the safe wrappers beside this file say what each call needs.

#![expect(
    improper_ctypes,
    reason = "task_struct holds an empty lock_class_key, and is only pointed to"
)]

use kernel::bindings::{module, task_struct};
use kernel::ffi::{c_char, c_int, c_uint, c_ulong, c_void};
use kernel::str::{CStr, CStrExt as _};

pub(super) type FrameFn = unsafe extern "C" fn(*mut c_void, c_ulong) -> bool;
pub(super) type SymbolFn = unsafe extern "C" fn(*mut c_void, c_ulong) -> c_int;
pub(super) type CallFn = unsafe extern "C" fn(*mut c_void);
pub(super) type TaskFn = unsafe extern "C" fn(*mut c_void, *mut task_struct);

/// `struct klp_rs_place`.
#[repr(C)]
pub(super) struct Place {
    name: *const c_char,
    pub(super) address: c_ulong,
}

impl Place {
    /// The function of this name.
    pub(super) fn of_name(name: &'static CStr) -> Self {
        Self {
            name: name.as_char_ptr(),
            address: 0,
        }
    }
}

/// `KLP_RS_TASK_SEGMENTS`.
pub(super) const SEGMENTS: usize = 8;
const _: () = assert!(SEGMENTS == crate::pure::segments::SEGMENTS);

/// `struct klp_rs_task_segment`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct TaskSegment {
    pub(super) slots: *const c_void,
    pub(super) mask: u64,
}

/// `struct klp_rs_task_states`.
#[repr(C)]
pub(super) struct TaskStates {
    pub(super) version: u32,
    pub(super) size: u32,
    pub(super) sequence: u32,
    pub(super) moving: u32,
    pub(super) began: u32,
    pub(super) count: u32,
    pub(super) segments: [TaskSegment; SEGMENTS],
}

/// `struct ftrace_ops`, never looked into.
#[repr(C)]
pub(super) struct Ops {
    _opaque: [u8; 0],
}

/// `struct klp_rs_dir`, never looked into.
#[repr(C)]
pub(super) struct Dir {
    _opaque: [u8; 0],
}

/// `struct klp_rs_func`.
#[repr(C)]
pub(super) struct Func {
    pub(super) old_name: *const c_char,
    pub(super) new_func: *const c_void,
    pub(super) old_sympos: c_ulong,
    pub(super) immediate: bool,
}

/// `struct klp_rs_callbacks`.
#[repr(C)]
pub(super) struct Callbacks {
    pub(super) pre_patch: Option<unsafe extern "C" fn(*mut Object) -> c_int>,
    pub(super) post_patch: Option<unsafe extern "C" fn(*mut Object)>,
    pub(super) pre_unpatch: Option<unsafe extern "C" fn(*mut Object)>,
    pub(super) post_unpatch: Option<unsafe extern "C" fn(*mut Object)>,
}

/// `struct klp_rs_object`.
#[repr(C)]
pub(super) struct Object {
    pub(super) name: *const c_char,
    pub(super) funcs: *mut Func,
    pub(super) callbacks: Callbacks,
    pub(super) module: *mut module,
}

/// `struct klp_rs_state`.
#[repr(C)]
pub(super) struct State {
    pub(super) id: c_ulong,
    pub(super) version: c_uint,
    pub(super) data: *mut c_void,
}

/// `struct klp_rs_patch`.
#[repr(C)]
pub(super) struct Patch {
    pub(super) module: *mut module,
    pub(super) objs: *mut Object,
    pub(super) states: *mut State,
    pub(super) replace: bool,
    pub(super) immediate: bool,
}

unsafe extern "C" {
    pub(super) fn klp_rs_ftrace_register(ips: *mut c_ulong, count: c_uint) -> c_int;
    pub(super) fn klp_rs_ftrace_unregister() -> c_int;
    pub(super) fn klp_rs_ftrace_add(ips: *mut c_ulong, count: c_uint) -> c_int;
    pub(super) fn klp_rs_ftrace_remove(ips: *mut c_ulong, count: c_uint) -> c_int;
    pub(super) fn klp_rs_ftrace_own(ip: c_ulong) -> *mut Ops;
    pub(super) fn klp_rs_ftrace_disown(ops: *mut Ops);
    pub(super) fn klp_rs_has_direct(ip: c_ulong) -> bool;
    pub(super) fn klp_rs_reentry_begin() -> bool;
    pub(super) fn klp_rs_reentry_end();

    pub(super) fn klp_rs_symbols_start(
        in_kernel: c_ulong,
        in_module: c_ulong,
        location_of: c_ulong,
        direct_of: c_ulong,
        idle_task_of: c_ulong,
    );
    pub(super) fn klp_rs_location(address: c_ulong) -> c_ulong;
    pub(super) fn klp_rs_each_symbol(module: *const c_char, name: *const c_char, seen: SymbolFn, cookie: *mut c_void);
    pub(super) fn klp_rs_probe_places(places: *mut Place, count: c_uint) -> c_int;
    pub(super) fn klp_rs_symbol_text(address: c_ulong, text: *mut c_char, size: usize) -> usize;

    pub(super) fn klp_rs_stack_walk(task: *mut task_struct, frame: FrameFn, cookie: *mut c_void) -> c_int;
    pub(super) fn klp_rs_stacks_are_reliable() -> bool;
    pub(super) fn klp_rs_in_trampoline(address: c_ulong) -> bool;
    pub(super) fn klp_rs_with_blocked(task: *mut task_struct, pinned: TaskFn, cookie: *mut c_void) -> bool;
    pub(super) fn klp_rs_each_cpu(still: TaskFn, off: TaskFn, cookie: *mut c_void);
    pub(super) fn klp_rs_wake_idle();
    pub(super) fn klp_rs_each_task(seen: TaskFn, cookie: *mut c_void);
    pub(super) fn klp_rs_sweep(still: TaskFn, cookie: *mut c_void) -> c_int;
    pub(super) fn klp_rs_task_count() -> c_uint;
    pub(super) fn klp_rs_task_dead(task: *const task_struct) -> bool;
    pub(super) fn klp_rs_task_report(task: *mut task_struct, why: *const c_char, function: *const c_char);
    pub(super) fn klp_rs_fake_signal(task: *mut task_struct);

    pub(super) fn klp_rs_hooks_find() -> c_int;
    pub(super) fn klp_rs_hooks_register() -> c_int;
    pub(super) fn klp_rs_hooks_unregister();
    pub(super) fn klp_rs_hooks_synchronize();

    pub(super) fn klp_rs_task_states_publish(states: *const TaskStates);
    pub(super) fn klp_rs_trace_transition(patch: *const c_char, what: c_uint);
    pub(super) fn klp_rs_trace_verdict(task: *mut task_struct, verdict: c_int, function: *const c_char);

    pub(super) fn klp_rs_synchronize();
    pub(super) fn klp_rs_stand(call: CallFn, cookie: *mut c_void);
    pub(super) fn klp_rs_thread_start() -> c_int;
    pub(super) fn klp_rs_thread_stop();
    pub(super) fn klp_rs_thread_wake();
    pub(super) fn klp_rs_debug(patch: *const c_char, what: *const c_char, rest: *const c_char);

    pub(super) fn klp_rs_sysfs_start() -> c_int;
    pub(super) fn klp_rs_sysfs_stop();
    pub(super) fn klp_rs_dir_add(parent: *mut Dir, kind: c_uint, name: *const c_char, owner: *const c_void)
        -> *mut Dir;
    pub(super) fn klp_rs_dir_remove(dir: *mut Dir);
    pub(super) fn klp_rs_dir_event(dir: *mut Dir, event: c_uint);
    pub(super) fn klp_rs_dir_changed(dir: *mut Dir, attribute: *const c_char);

    pub(super) fn klp_rs_modules_start() -> c_int;
    pub(super) fn klp_rs_modules_stop();
    pub(super) fn klp_rs_module_get(module: *mut module) -> bool;
    pub(super) fn klp_rs_module_put(module: *mut module);
    pub(super) fn klp_rs_module_name(module: *const module) -> *const c_char;
    pub(super) fn klp_rs_module_text(module: *const module, start: *mut c_ulong, end: *mut c_ulong);
    pub(super) fn klp_rs_module_find(name: *const c_char) -> *mut module;

    pub(super) fn klp_rs_shadow_stop();
}

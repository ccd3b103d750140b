// SPDX-License-Identifier: GPL-2.0-only
//! Where C enters Rust. Each function turns what its C caller guarantees into a proof and passes on; none decides.
//! Invariant: those called from the handler and the hooks must not sleep, print, allocate or panic.

use kernel::ffi::{c_int, c_uint, c_ulong, c_void};
use kernel::{
    bindings::{module, task_struct},
    error::to_result,
    prelude::*,
};

use super::{
    description::{Description, State},
    dir::Attribute,
    ffi,
    module::Module,
    published::PreemptOff,
    task::Still,
};
use crate::engine;

/// From the ftrace handler (ftrace.c).
#[no_mangle]
extern "C" fn klp_rs_choose(ip: c_ulong, task: *mut task_struct) -> c_ulong {
    // SAFETY: klp_rs_ftrace_entry() has preemption off; the task is current.
    let (proof, still) = unsafe { (PreemptOff::new(), Still::new(task)) };
    engine::handler::choose(proof, ip as usize, still) as c_ulong
}

/// From sys_exit and the start of schedule() (hooks.c): `task` is the caller.
#[no_mangle]
extern "C" fn klp_rs_at_safe_point(task: *mut task_struct) {
    // SAFETY: The hook has preemption off; the task is current.
    let (proof, still) = unsafe { (PreemptOff::new(), Still::new(task)) };
    engine::hooks::at_safe_point(proof, &still);
}

/// From fork: the caller is the parent, with interrupts off.
#[no_mangle]
extern "C" fn klp_rs_at_fork(child: *mut task_struct) {
    // SAFETY: Interrupts are off.
    let proof = unsafe { PreemptOff::new() };
    // SAFETY: There always is a current task.
    let parent = unsafe { kernel::bindings::get_current() };
    engine::hooks::at_fork(proof, parent as usize, child as usize);
}

/// From the end of a task structure.
#[no_mangle]
extern "C" fn klp_rs_at_free(task: *mut task_struct) {
    // SAFETY: The hook has preemption off.
    let proof = unsafe { PreemptOff::new() };
    engine::hooks::at_free(proof, task as usize);
}

/// From the thread (sync.c).
#[no_mangle]
extern "C" fn klp_rs_transition_step() -> c_uint {
    engine::transition::step()
}

/// From the module notifier: before the module's init, and after it.
#[no_mangle]
extern "C" fn klp_rs_module_coming(module: *mut module, can_be_refused: bool) -> c_int {
    errno(engine::modules::coming(Module::from_raw(module), can_be_refused))
}

/// From the module notifier: before the module's text goes.
#[no_mangle]
extern "C" fn klp_rs_module_going(module: *mut module) {
    engine::modules::going(Module::from_raw(module));
}

/// From a file in sysfs: its value, or an errno.
#[no_mangle]
extern "C" fn klp_rs_attr_show(owner: *const c_void, which: c_uint) -> isize {
    match Attribute::from_raw(which) {
        // SAFETY: `owner` is what `Dir::add` was given, which outlives the directory by that function's contract.
        Some(attribute) => unsafe { attribute.show(owner) },
        None => EINVAL.to_errno() as isize,
    }
}

/// To a file in sysfs.
#[no_mangle]
extern "C" fn klp_rs_attr_store(owner: *const c_void, which: c_uint, value: bool) -> c_int {
    let stored = match Attribute::from_raw(which) {
        // SAFETY: As above.
        Some(attribute) => unsafe { attribute.store(owner, value) },
        None => Err(EINVAL),
    };
    errno(stored)
}

/// Exported to patch modules (modules.c): include/klp_rs.h has its documentation.
#[no_mangle]
extern "C" fn klp_rs_enable_patch(patch: *mut ffi::Patch) -> c_int {
    // SAFETY: The interface asks for a description that stays valid until the module is unloaded, or NULL.
    errno(unsafe { Description::new(patch) }.and_then(engine::enable::enable))
}

/// For patch modules, by way of modules.c.
#[no_mangle]
extern "C" fn klp_rs_is_complete(patch: *const ffi::Patch) -> bool {
    // SAFETY: klp_rs_patching_complete() (modules.c) has preemption off.
    let proof = unsafe { PreemptOff::new() };
    engine::handler::is_complete(proof, patch as usize)
}

/// For callbacks, by way of states.c: NULL when no patch before has it, an errno outside of a transition.
#[no_mangle]
extern "C" fn klp_rs_previous_state(id: c_ulong) -> *mut ffi::State {
    match engine::states::previous(id as usize) {
        Ok(state) => state.map_or(core::ptr::null_mut(), State::as_raw),
        Err(err) => core::ptr::without_provenance_mut(err.to_errno() as usize),
    }
}

fn errno(result: Result) -> c_int {
    result.map_or_else(Error::to_errno, |()| 0)
}

/// For the wrappers beside this file.
pub(super) fn check(err: c_int) -> Result {
    to_result(err)
}

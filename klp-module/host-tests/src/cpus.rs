// SPDX-License-Identifier: GPL-2.0-only
//! Preemption of two modelled CPUs, for std's threads. Models that klp_rs_synchronize() returns when every CPU has had
//! preemption on, and that klp_rs_stand() calls while it is on everywhere (kernel_api/sync.c); not interrupts, not that a CPU
//! has one thread at a time.

use std::sync::{Mutex, MutexGuard, PoisonError};

static CPUS: [Mutex<()>; 2] = [Mutex::new(()), Mutex::new(())];

/// Preemption is off on this CPU while the value lives.
pub(crate) fn preempt_off(cpu: usize) -> MutexGuard<'static, ()> {
    CPUS[cpu].lock().unwrap_or_else(PoisonError::into_inner)
}

/// As `klp_rs_stand()`: calls while preemption is on everywhere.
pub(crate) fn stand(call: impl FnOnce()) {
    let _standing = [preempt_off(0), preempt_off(1)];
    call();
}

/// As `klp_rs_synchronize()`.
pub(crate) fn synchronize() {
    (0..CPUS.len()).for_each(|cpu| drop(preempt_off(cpu)));
}

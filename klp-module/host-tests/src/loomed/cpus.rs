// SPDX-License-Identifier: GPL-2.0-only
//! Preemption of two modelled CPUs, for loom's threads: see the file of this name one folder up.

use loom::sync::{Mutex, MutexGuard};

use super::atomic::{lacks, Weak};

loom::lazy_static! {
    static ref CPUS: [Mutex<()>; 2] = [Mutex::new(()), Mutex::new(())];
}

/// Preemption is off on this CPU while the value lives.
pub(crate) fn preempt_off(cpu: usize) -> MutexGuard<'static, ()> {
    CPUS[cpu].lock().unwrap()
}

/// As `klp_rs_stand()`: calls while preemption is on everywhere.
pub(crate) fn stand(call: impl FnOnce()) {
    let _standing = (!lacks(Weak::Wait)).then(|| [preempt_off(0), preempt_off(1)]);
    call();
}

/// As `klp_rs_synchronize()`.
pub(crate) fn synchronize() {
    if !lacks(Weak::Wait) {
        (0..CPUS.len()).for_each(|cpu| drop(preempt_off(cpu)));
    }
}

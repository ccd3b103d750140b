// SPDX-License-Identifier: GPL-2.0-only
//! Functions that a CPU is in while it is off: nobody waits for it there, and it does not leave before it is started anew.
//! Invariant: whatever a CPU may enter, or go on in, after it has told that it is dead, is named here.
//!
//! That is what follows kernel/cpu.c:cpuhp_ap_report_dead on x86 (arch/x86/kernel/smpboot.c:native_play_dead, its like for
//! paravirtual guests, drivers/cpuidle/cpuidle.c:cpuidle_play_dead and the drivers behind it). Before that the one who takes the
//! CPU down waits for it, holding what `stop_machine()` waits for; what NMIs and machine checks do on such a CPU is not traceable.

/// Names and ends of names.
const NAMES: [&[u8]; 6] = [
    b"play_dead_common",
    b"cpuhp_ap_report_dead",
    b"cpuidle_get_cpu_driver",
    b"sev_es_ap_hlt_loop",
    b"tboot_shutdown",
    b"switch_to_tboot_pt",
];
const ENDS: [&[u8]; 2] = [b"play_dead", b"enter_dead"];

/// May a CPU that is off be in the function of this name?
pub(crate) fn may_hold(name: &[u8]) -> bool {
    // What compilers add begins with a dot.
    let name = name.split(|&byte| byte == b'.').next().unwrap_or(name);
    NAMES.contains(&name) || ENDS.iter().any(|end| name.ends_with(end))
}

// SPDX-License-Identifier: GPL-2.0-only
//! What must not be patched because a CPU that is off is in it.

use crate::pure::dead_cpu::may_hold;

#[test]
fn what_a_cpu_calls_after_it_told_that_it_is_dead_is_known() {
    for name in [
        "native_play_dead",
        "xen_pv_play_dead",
        "play_dead_common",
        "cpuhp_ap_report_dead",
        "tboot_shutdown",
        "cpuidle_play_dead",
        "acpi_idle_play_dead",
        "acpi_processor_ffh_play_dead",
        "intel_idle_enter_dead",
        "mwait_play_dead",
        "hlt_play_dead",
        "acpi_idle_play_dead.constprop.0",
    ] {
        assert!(may_hold(name.as_bytes()), "{name}");
    }
}

#[test]
fn what_it_calls_before_that_or_another_cpu_calls_is_not_meant() {
    for name in [
        "",
        "do_idle",
        "idle_task_exit",
        "cpuhp_report_idle_dead",
        "takedown_cpu",
        "play_dead_again",
        "cmdline_proc_show",
    ] {
        assert!(!may_hold(name.as_bytes()), "{name}");
    }
}

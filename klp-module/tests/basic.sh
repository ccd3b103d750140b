# SPDX-License-Identifier: GPL-2.0-only
#
# The life of one patch: loaded, in force, disabled, unloaded.

check "klp_rs loads" load klp_rs
check "its folder in sysfs is there and empty" sh -c '[ -d /sys/kernel/klp_rs ] && [ -z "$(ls /sys/kernel/klp_rs)" ]'
check "the module's own folder tells where task states are" grep -q "^1 ffffffff" /sys/module/klp_rs/task_states
check "it unloads" rmmod klp_rs
check "and leaves nothing in sysfs" gone $K
check "it loads again" load klp_rs
original=$(cat /proc/cmdline)
check "a patch loads" load cmdline_c
until_ "its transition ends" 50 is $K/cmdline_c/transition 0
check "it is enabled" is $K/cmdline_c/enabled 1
check "it is in force" is /proc/cmdline "this has been live patched"
check "its object is patched" is $K/cmdline_c/vmlinux/patched 1
check "its function has a folder" [ -d "$K/cmdline_c/vmlinux/cmdline_proc_show,1" ]
check "its place is 1" is $K/cmdline_c/stack_order 1
check "it does not replace" is $K/cmdline_c/replace 0
check "klp_rs cannot be unloaded under it" sh -c '! rmmod klp_rs'
check "it cannot be unloaded while enabled" sh -c '! rmmod cmdline_c'
check "enabling it again is refused" sh -c '! echo 1 >/sys/kernel/klp_rs/cmdline_c/enabled'
check "it can be disabled" sh -c 'echo 0 >/sys/kernel/klp_rs/cmdline_c/enabled'
until_ "it leaves sysfs" 50 gone $K/cmdline_c
check "the original is back" is /proc/cmdline "$original"
until_ "its module unloads" 20 rmmod cmdline_c
check "the same patch in Rust loads" load cmdline_rs
until_ "  its transition ends" 50 is $K/cmdline_rs/transition 0
check "  it is in force" is /proc/cmdline "this has been live patched in Rust"
check "  it can be disabled" sh -c 'echo 0 >/sys/kernel/klp_rs/cmdline_rs/enabled'
until_ "  it leaves sysfs" 50 gone $K/cmdline_rs
check "  the original is back" is /proc/cmdline "$original"
until_ "  its module unloads" 20 rmmod cmdline_rs
until_ "klp_rs unloads" 20 rmmod klp_rs

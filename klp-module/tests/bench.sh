# SPDX-License-Identifier: GPL-2.0-only
#
# How long transitions take with nothing stuck, ours and (with lp_vmlinux.ko of /tests/modules in KLP_EXTRA) the kernel's.

load klp_rs
for sleepers in 0 100 1000; do
    setsid bench /modules/cmdline_c.ko $K/cmdline_c $sleepers
    while ! rmmod cmdline_c 2>/dev/null; do usleep 50000; done
    [ -e /modules/lp_vmlinux.ko ] || continue
    setsid bench /modules/lp_vmlinux.ko /sys/kernel/livepatch/lp_vmlinux $sleepers
    while ! rmmod lp_vmlinux 2>/dev/null; do usleep 50000; done
done
dmesg | grep -E "klp_rs: |livepatch: " | tail -n 30 | sed 's/^/     /'
check "klp_rs unloads" rmmod klp_rs

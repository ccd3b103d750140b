# SPDX-License-Identifier: GPL-2.0-only
#
# The kernel's own livepatch selftests (their modules compiled by way of klp_rs_compat.h) against klp_rs.

load klp_rs
cp /modules/test_klp_*.ko /selftests/test_modules/
ln -sf /full/bash /bin/bash
ln -sf /full/stat /bin/stat
ln -s /proc/self/fd /dev/fd
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
cd /selftests
for script in ${1:-test-*.sh}; do
    PATH=/full:$PATH KDIR=/ /full/bash "./$script" >/tmp/log 2>&1
    status=$?
    sed 's/^/     /' /tmp/log
    for line in $(grep -n '^TEST:' /tmp/log | cut -d: -f1); do
        what=$(sed -n "${line}s/^TEST: \(.*\) \.\.\. .*/\1/p" /tmp/log)
        if sed -n "${line}p" /tmp/log | grep -q '\.\.\. ok$'; then pass "$script: $what"; else fail "$script: $what"; fi
    done
    [ $status = 0 ] || fail "$script ends with $status"
    # Where a scenario gave up, its modules may be loaded still.
    for patch in "$K"/*; do [ ! -e "$patch/enabled" ] || echo 0 2>/dev/null >"$patch/enabled"; done
    usleep 500000
    for module in $(lsmod | awk '/^test_klp/ { print $1 }'); do rmmod "$module" 2>/dev/null; done
done
cd /
until_ "klp_rs unloads" 20 rmmod klp_rs

# SPDX-License-Identifier: GPL-2.0-only
#
# The kernel's own livepatch selftests against klp_rs: their scripts as /tests/setup/klp-module.sh told them the other core,
# their modules compiled by way of klp_rs_compat.h. They compare what the kernel logs, line by line.

load klp_rs
cp -r "$here/selftests" "$T/selftests"
ln -s /modules "$T/selftests/test_modules"
# Every line counts: none may be dropped because there are many.
limit=$(cat /proc/sys/kernel/printk_devkmsg)
write on /proc/sys/kernel/printk_devkmsg
cd "$T/selftests" || exit
for script in test-*.sh; do
    KDIR=/ timeout 60 bash "./$script" >"$T/log" 2>&1
    status=$?
    grep '^TEST: ' "$T/log" >"$T/asked"
    while read -r line; do
        what=${line#TEST: }
        case $line in
        *" ... ok") pass "$script: ${what% ... ok}" ;;
        *) fail "$script: ${what% ... *}" ;;
        esac
    done <"$T/asked"
    check "$script asks something" [ -s "$T/asked" ]
    [ $status = 0 ] || { fail "$script ends with $status"; sed 's/^/     /' "$T/log"; }
    # Where a scenario gave up, its modules may be loaded still.
    for patch in "$K"/*; do [ ! -e "$patch/enabled" ] || write 0 "$patch/enabled"; done
    [ $status = 0 ] || usleep 500000
    for module in $(lsmod | awk '/^test_klp/ { print $1 }'); do fail "$script left $module"; unload "$module"; done
done
cd /
write "$limit" /proc/sys/kernel/printk_devkmsg
until_ "klp_rs unloads" 50 rmmod klp_rs

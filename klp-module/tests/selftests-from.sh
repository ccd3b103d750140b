#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# selftests-from.sh KERNEL_TREE FOLDER
#
# The scripts of the kernel's livepatch selftests, as they are in its tree, told the other core: its folder in sysfs, the
# prefix of its log lines, where its debug messages are turned on, the mark of its modules. Their modules are tests/compat.
set -eu
from=$1/tools/testing/selftests/livepatch
mkdir -p "$2/test_modules"
for script in "$from"/*.sh; do
    sed -e 's|livepatch:|klp_rs:|g' -e 's|\(KERNEL_DIR\)/livepatch|\1/klp_rs|' -e 's|/sys/kernel/livepatch|/sys/kernel/klp_rs|' \
        -e 's|file kernel/livepatch/\*|module klp_rs|' -e 's|func klp_try_switch_task|func klp_rs_task_report|' \
        "$script" >"$2/${script##*/}"
done
gcc -static -O1 -o "$2/test_klp-call_getpid" "$from/test_klp-call_getpid.c"

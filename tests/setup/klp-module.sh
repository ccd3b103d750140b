#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# klp-module.sh SERIES
#
# Compiles klp_rs with its samples and test modules, and the live patches of tests/modules for klp_rs, for the newest stock
# kernel of a series, in the build root, and prints the directory that holds them, with the programs of its tests and, in
# selftests, the scripts of the kernel's own livepatch selftests. without_unwinder.ko is klp_rs as it is on a kernel without
# reliable stacks; without_window.ko, without_fork.ko and without_haste.ko lack a rule, for tests of the tests, and
# without_ways.ko has parameters that turn the ways off in which tasks move.
set -eu
. "$(dirname -- "$0")/lib.sh"

source=$(CDPATH='' cd -- "$tests_dir/../klp-module" && pwd)
# What modules are made of; the scripts of the tests are not.
parts="Kbuild Makefile kernel-tree.sh klp_rs_main.rs engine include kernel_api pure samples tests/modules tests/compat tests/storm"
patches="Kbuild patch.c tgt.h for_klp_rs.h"

# The scripts of the kernel's selftests, as they are in its tree, told the other core: its folder in sysfs, the prefix of its log
# lines, where its debug messages are turned on. adapt FROM TO
adapt() {
    for script in "$1"/*.sh; do
        sed -e 's|livepatch:|klp_rs:|g' -e 's|\(KERNEL_DIR\)/livepatch|\1/klp_rs|' -e 's|/sys/kernel/livepatch|/sys/kernel/klp_rs|' \
            -e 's|file kernel/livepatch/\*|module klp_rs|' -e 's|func klp_try_switch_task|func klp_rs_task_report|' \
            "$script" >"$2/${script##*/}"
    done
}

release=$("$setup_dir/kernel.sh" "$1")
root=$("$setup_dir/build-root.sh")
# shellcheck disable=SC2086 # a list of words
entry=klp-module-$release-$({ cat -- "$0" && cd "$source" && find $parts -type f -exec sha256sum {} + | sort &&
    cd "$tests_dir/modules" && cat -- $patches; } | key)
if [ ! -e "$cache/$entry" ]; then
    tree=$("$setup_dir/rust-tree.sh" "$1")
    lock "$entry"
    if [ ! -e "$cache/$entry" ]; then
        say "klp_rs for $release"
        workplace=/build/$entry
        compiler=$(sed -n 's/^CONFIG_CC_VERSION_TEXT="\([^ ]*\) .*/\1/p' "$cache/kernel-$release/config")
        as_root rm -rf "$root$workplace"
        as_root mkdir -p "$root$workplace"
        # shellcheck disable=SC2086 # a list of words
        (cd "$source" && as_root cp --parents -r $parts "$root$workplace/")
        as_root mkdir "$root$workplace/patches"
        # shellcheck disable=SC2086 # a list of words
        (cd "$tests_dir/modules" && as_root cp $patches "$root$workplace/patches/")
        selftests=$tree/tools/testing/selftests/livepatch
        log=$cache/$entry.log
        {
            make_modules() {
                inside "$root" make -j "$(nproc)" KERNELRELEASE="$release" CC="$compiler" "$@" modules
            }
            make_without() {
                make_modules -C "$workplace" KDIR="$tree" WITHOUT="$1" &&
                    inside "$root" mv "$workplace/klp_rs.ko" "$workplace/without_$1.ko"
            }
            make_without unwinder && make_without window && make_without fork && make_without haste && make_without ways &&
                make_modules -C "$workplace" KDIR="$tree" SAMPLES=y TESTS=y &&
                make_modules -C "$tree" M="$workplace/patches" KLP_RS="$workplace" \
                    KBUILD_EXTRA_SYMBOLS="$workplace/Module.symvers" &&
                inside "$root" sh -c "$compiler -O2 -static -pthread -o $workplace/tests/storm/storm $workplace/tests/storm/*.c" &&
                inside "$root" "$compiler" -O1 -static -o "$workplace/test_klp-call_getpid" "$selftests/test_klp-call_getpid.c"
        } >"$log" 2>&1 || {
            tail -n 30 "$log" >&2
            die "klp_rs does not compile for $release; the whole log is $log"
        }
        made=$(partial "$entry")
        mkdir "$made"
        find "$root$workplace" -name '*.ko' -exec cp {} "$made/" \;
        cp "$root$workplace/tests/storm/storm" "$made/"
        mkdir "$made/selftests"
        adapt "$root$selftests" "$made/selftests"
        cp "$root$workplace/test_klp-call_getpid" "$made/selftests/"
        as_root rm -rf "$root$workplace"
        rm -f "$log"
        publish "$entry"
    fi
fi
echo "$cache/$entry"

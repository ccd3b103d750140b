#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# build.sh SERIES
#
# Compiles the modules of this folder for the newest stock kernel of a series, in the build root, and prints the directory
# that holds them. lp_other_kernel.ko is lp.ko as if built for a kernel that is not this one.
set -eu
# The shared part finds its own folder from $0.
modules=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
. "$modules/../setup/lib.sh"
setup=$modules/../setup

release=$("$setup/kernel.sh" "$1")
root=$("$setup/build-root.sh")
entry=modules-$release-$(cat "$modules/Kbuild" "$modules/build.sh" "$modules"/*.[ch] | key)
if [ ! -e "$cache/$entry" ]; then
    lock "$entry"
    if [ ! -e "$cache/$entry" ]; then
        say "modules for $release"
        workplace=/build/$entry
        as_root rm -rf "$root$workplace"
        as_root mkdir -p "$root$workplace"
        as_root cp "$modules/Kbuild" "$modules"/*.[ch] "$root$workplace/"
        log=$cache/$entry.log
        # Without BTF, which live patches do not have: scripts/livepatch/klp-build of the kernel takes it out.
        inside "$root" make -C "/usr/src/linux-headers-$release" M="$workplace" -j "$(nproc)" CONFIG_DEBUG_INFO_BTF_MODULES= \
            modules >"$log" 2>&1 || {
            tail -n 30 "$log" >&2
            die "the modules do not compile for $release; the whole log is $log"
        }
        made=$(partial "$entry")
        mkdir "$made"
        cp "$root$workplace"/*.ko "$made/"
        # Same length, other version: nothing in the file moves.
        LC_ALL=C sed 's/vermagic=[0-9]/vermagic=0/' "$made/lp.ko" >"$made/lp_other_kernel.ko"
        as_root rm -rf "$root$workplace"
        rm -f "$log"
        publish "$entry"
    fi
fi
echo "$cache/$entry"

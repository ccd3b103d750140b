#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# dkms.sh SERIES
#
# Installs klp_rs for the newest stock kernel of a series as its README says, with dkms and with make, in the build root and in
# module trees of its own, and builds patches against it; nothing is loaded. Prints a line for each check, and counts. What has
# passed is not done again until klp_rs, this or the kernel changes.
set -eu
# The shared part finds its own folder from $0.
tests=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
. "$tests/setup/lib.sh"
setup=$tests/setup

source=$tests/../klp-module
# What a user has who has built nothing, without what no module is made of.
parts="Kbuild Makefile dkms.conf kernel-tree.sh klp_rs_main.rs engine include kernel_api pure samples"

release=$("$setup/kernel.sh" "$1")
root=$("$setup/build-root.sh")
# shellcheck disable=SC2086 # a list of words
entry=dkms-$release-$({ cat -- "$0" "$tests/dkms-inside.sh" "$setup/klp-module.sh" && cd "$source" && find $parts -type f -exec sha256sum {} + | sort; } | key)

# dkms is a script: nothing of it needs to be installed in the root that others use at the same time.
dkms_package() {
    lock dkms-package
    [ -e "$cache/dkms-package" ] && return
    unpacked=$(partial dkms-package)
    mkdir "$unpacked"
    "$setup/debian-package.sh" "$unpacked" dkms || die "Debian has no dkms"
    publish dkms-package
}

if [ ! -e "$cache/$entry" ]; then
    tree=$("$setup/rust-tree.sh" "$1")
    modules=$("$setup/klp-module.sh" "$1")
    dkms_package
    lock "$entry"
    if [ ! -e "$cache/$entry" ]; then
        say "klp_rs by dkms for $release"
        workplace=/build/$entry
        as_root rm -rf "$root$workplace"
        as_root mkdir -p "$root$workplace/klp-module"
        # shellcheck disable=SC2086 # a list of words
        (cd "$source" && as_root cp --parents -r $parts "$root$workplace/klp-module/")
        as_root cp "$tests/dkms-inside.sh" "$cache/dkms-package/usr/sbin/dkms" "$modules/klp_rs.ko" "$root$workplace/"
        made=$(partial "$entry")
        passed=0
        inside "$root" sh "$workplace/dkms-inside.sh" "$workplace" "$release" "$tree" >"$made" || passed=$?
        as_root rm -rf "$root$workplace"
        if [ "$passed" != 0 ]; then
            cat "$made"
            rm "$made"
            exit 1
        fi
        publish "$entry"
    fi
fi
cat "$cache/$entry"

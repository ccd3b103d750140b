#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Makes the guest's root file system, a Debian 13 with real systemd, D-Bus and polkit, packs it as a compressed cpio
# archive for use as initramfs, and prints the archive's path. What changes from run to run (binaries, modules, units) is
# not in it: the vm program appends a second archive with that.
set -eu
. "$(dirname -- "$0")/lib.sh"

# kpatch, which asks readelf (binutils), is what the benchmark compares with; zstd and xz compress modules for the scenarios.
packages=systemd,systemd-sysv,dbus,polkitd,kpatch,binutils,kmod,procps,zstd,xz-utils

entry=userland-$(cat -- "$0" "$setup_dir/userland-configure.sh" | key).cpio.zst
if [ ! -e "$cache/$entry" ]; then
    need mmdebstrap cpio zstd
    lock "$entry"
    if [ ! -e "$cache/$entry" ]; then
        say "making the guest's root file system"
        root=$(partial "$entry-root")
        debian_root "$root" trixie "$packages" \
            "deb $(debian_keys)$(debian_mirror Debian) trixie main" "deb $(debian_keys)$(debian_mirror Debian-Security) trixie-security main"
        as_root sh "$setup_dir/userland-configure.sh" "$root"
        unpacked=$(partial "$entry-cpio")
        # shellcheck disable=SC2016 # for the inner shell
        as_root sh -c 'cd "$1" && find . -xdev -print0 | LC_ALL=C sort -z | cpio --quiet --null --create --format=newc' \
            sh "$root" >"$unpacked"
        archive=$(partial "$entry")
        zstd --quiet --rm -9 --threads=0 -o "$archive" "$unpacked"
        # An archive that follows must begin at a multiple of four bytes; the kernel skips zeroes in between.
        truncate -s %4 "$archive"
        as_root rm -rf --one-file-system "$root"
        publish "$entry"
    fi
fi
echo "$cache/$entry"

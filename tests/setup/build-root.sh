#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Makes the Debian root in which kernel modules are compiled, so that no compiler or header of the host matters, and
# prints its path. gcc-14 is what Debian 13 kernels are built with, gcc-12 what the Debian 12 kernel names in its headers.
# Kernel headers are unpacked into it by kernel.sh, trees for modules in Rust by rust-tree.sh.
set -eu
. "$(dirname -- "$0")/lib.sh"

packages=gcc-14,gcc-12,make,libc6-dev,libelf1t64,libssl3t64,pahole,kmod,xz-utils,zstd,ca-certificates
# Preparing a kernel's source, with its Rust: the compiler and the bindgen Debian builds its kernels with.
packages=$packages,bc,flex,bison,libelf-dev,libssl-dev,python3-minimal,rustc,rust-src,bindgen,libclang-19-dev

# Suites, and the archive each lives in.
suites="trixie:Debian trixie-security:Debian-Security trixie-backports:Debian bookworm:Debian bookworm-security:Debian-Security"

entry=build-root-$(echo "$packages $suites" | key)
if [ ! -e "$cache/$entry" ]; then
    need mmdebstrap
    lock "$entry"
    if [ ! -e "$cache/$entry" ]; then
        say "making the root that modules are compiled in"
        set --
        for suite in $suites; do
            set -- "$@" "deb $(debian_keys)$(debian_mirror "${suite#*:}") ${suite%:*} main"
        done
        debian_root "$(partial "$entry")" trixie "$packages" "$@"
        publish "$entry"
    fi
fi
echo "$cache/$entry"

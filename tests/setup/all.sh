#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# all.sh SERIES...
#
# Makes everything that virtual machines with these kernels are made of, two things at a time: what waits for the network
# (kernels and headers) beside what waits for the processor (bpf-linker). Nothing is done that has been done before.
set -eu
. "$(dirname -- "$0")/lib.sh"

"$setup_dir/prerequisites.sh" --packages

{ "$setup_dir/prerequisites.sh" --bpf && "$setup_dir/userland.sh" >/dev/null; } &
others=$!

"$setup_dir/build-root.sh" >/dev/null
for series; do
    "$tests_dir/modules/build.sh" "$series" >/dev/null
    # Debian's kernels have Rust since 7.
    case $series in
    6.*) ;;
    *) "$setup_dir/klp-module.sh" "$series" >/dev/null ;;
    esac
done
wait "$others"

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# kernel-tree.sh KDIR [RELEASE]
#
# Prints what make is to be told beside KDIR, the compilers that the kernel was built with. Fails when klp_rs cannot be built
# there, and says why and what to do. Makefile and dkms.conf ask it, so that nobody has to read that in what rustc says.
set -u
tree=$1
configuration=$tree/include/config/auto.conf

refuse() {
    printf 'klp_rs: %s\n' "$tree: $1" >&2
    shift
    [ $# = 0 ] || printf '        %s\n' "$@" >&2
    exit 1
}

# The value of an option, with or without quotes: that changed.
value() { sed -n "s/^$1=//p" "$configuration" | tr -d '"'; }

[ -r "$configuration" ] || refuse "this is no prepared kernel tree" \
    "install the kernel's headers, or name a tree: make KDIR=TREE, or dkms --kernelsourcedir TREE"

release=$(cat "$tree/include/config/kernel.release")
[ "${2:-$release}" = "$release" ] || refuse "this is the tree of $release, not of $2"

for option in CONFIG_RUST CONFIG_MODULES CONFIG_KPROBES CONFIG_KALLSYMS CONFIG_DYNAMIC_FTRACE_WITH_ARGS CONFIG_TRACEPOINTS; do
    [ "$(value $option)" = y ] || refuse "this kernel was built without $option, which klp_rs needs"
done

[ -e "$tree/rust/libkernel.rmeta" ] || refuse "this tree has no Rust metadata (rust/libkernel.rmeta)" \
    "Ubuntu: install linux-lib-rust-$release" \
    "Debian: prepare the kernel's source as klp-module/README.md says under \"Build and load\", and name that tree:" \
    "make KDIR=TREE, or dkms --kernelsourcedir TREE"

# The metadata is read by the very rustc that wrote it and no other. Distributions call theirs rustc or rustc-1.85; who has it
# elsewhere says so in RUSTC.
wanted=$(value CONFIG_RUSTC_VERSION_TEXT)
version=${wanted#rustc }
version=${version%% *}
found=
tell() { "$1" --version 2>/dev/null | grep . || echo "no $1"; }
for rustc in ${RUSTC:-rustc "rustc-${version%.*}"}; do
    [ "$("$rustc" --version 2>/dev/null)" != "$wanted" ] || { found=$rustc && break; }
done
[ -n "$found" ] || refuse "its Rust metadata is of $wanted" "here is $(tell "${RUSTC:-rustc}")" \
    "install that rustc, or name it in RUSTC"

# Another C compiler mostly works, and Kbuild warns of it.
compiler=$(value CONFIG_CC_VERSION_TEXT)
compiler=${compiler%% *}
command -v "$compiler" >/dev/null || compiler=
echo "RUSTC=$found ${compiler:+CC=$compiler}"

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# rust-tree.sh SERIES
#
# Makes the tree that modules in Rust are compiled against for the newest stock kernel of a series, and prints its path in
# the build root. Debian's header package has no Rust metadata, so the source of that very kernel is prepared with its own
# configuration and compilers: the symbols are those of the stock kernel then. Takes minutes, once for each kernel.
set -eu
. "$(dirname -- "$0")/lib.sh"

series=$1
release=$("$setup_dir/kernel.sh" "$series")
root=$("$setup_dir/build-root.sh")
tree=/usr/src/linux-rust-$release
headers=$root/usr/src/linux-headers-$release
configuration=$cache/kernel-$release/config

# Never moved: what is prepared knows where it lies. The mark says that it is complete.
mark=$root$tree/.livepatchd-complete

unpack_source() {
    version=$(as_root chroot "$root" apt-cache show --no-all-versions "linux-headers-$release" | sed -n 's/^Version: //p')
    package=$(partial "linux-source-$release")
    mkdir "$package"
    "$setup_dir/debian-package.sh" "$package" "linux-source-$series=$version" ||
        die "Debian has no linux-source-$series $version, the source of $release"
    as_root rm -rf "$root$tree"
    as_root mkdir "$root$tree"
    as_root tar --extract --no-same-owner --strip-components=1 --directory "$root$tree" --file "$package/usr/src/linux-source-$series.tar.xz"
    as_root rm -rf "$package"
}

# The keys that Debian signs with are not ours to have.
configure() {
    sed 's/^\(CONFIG_SYSTEM_TRUSTED_KEYS\|CONFIG_SYSTEM_REVOCATION_KEYS\)=.*/\1=""/' "$configuration" |
        as_root tee "$root$tree/.config" >/dev/null
    as_root cp "$headers/Module.symvers" "$root$tree/"
}

prepare() {
    compiler=$(sed -n 's/^CONFIG_CC_VERSION_TEXT="\([^ ]*\) .*/\1/p' "$configuration")
    for target in olddefconfig modules_prepare; do
        inside "$root" make -C "$tree" -j "$(nproc)" KERNELRELEASE="$release" CC="$compiler" "$target" || return 1
    done
    grep -qx CONFIG_RUST=y "$root$tree/.config" && [ -e "$root$tree/rust/libkernel.rmeta" ]
}

# No module is made of these.
prune() {
    for folder in Documentation drivers fs kernel mm net sound; do
        as_root rm -rf "${root:?}${tree:?}/$folder"
    done
}

if [ ! -e "$mark" ]; then
    lock "rust-tree-$release"
    if [ ! -e "$mark" ]; then
        say "preparing the source of $release for Rust (a few minutes)"
        unpack_source
        configure
        log=$cache/rust-tree-$release.log
        prepare >"$log" 2>&1 || {
            tail -n 30 "$log" >&2
            die "the source of $release cannot be prepared with its Rust; the whole log is $log"
        }
        prune
        rm -f "$log"
        as_root touch "$mark"
    fi
fi
echo "$tree"

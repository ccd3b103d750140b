#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Puts on this host what building and testing need and a Rust toolchain does not bring: Debian packages, the source of
# Rust's core library (the BPF target has none prebuilt) and bpf-linker, built against the compiler's own LLVM.
#
#   prerequisites.sh                    everything
#   prerequisites.sh --packages         the packages only
#   prerequisites.sh --bpf              rust-src and bpf-linker only
#   prerequisites.sh --print-path       the directory that holds bpf-linker, for PATH
set -eu
. "$(dirname -- "$0")/lib.sh"

packages="qemu-system-x86 mmdebstrap debian-archive-keyring cpio zstd xz-utils kmod gcc make pkg-config libc6-dev ca-certificates dbus-daemon python3-minimal"
linker_version=0.13.0

missing_packages() {
    for package in $packages; do
        dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
            printf '%s ' "$package"
    done
}

install_packages() {
    command -v apt-get >/dev/null || die "no apt-get here: install by hand what these Debian packages hold: $packages"
    missing=$(missing_packages)
    [ -n "$missing" ] || return 0
    say "installing $missing"
    # shellcheck disable=SC2086 # a list of words
    as_root env DEBIAN_FRONTEND=noninteractive sh -c \
        'apt-get -qq update && apt-get -qq -y --no-install-recommends install "$@" >/dev/null' sh $missing ||
        die "run: apt-get update && apt-get install --no-install-recommends $missing"
}

# The identity of the compiler: another compiler has another LLVM, and so another bpf-linker.
rustc_release() { rustc -vV | sed -n 's/^release: //p'; }
rustc_commit() { rustc -vV | sed -n 's/^commit-hash: //p' | cut -c 1-9; }
rustc_llvm() { rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p'; }
linker_entry() { echo "bpf-linker-$linker_version-rustc-$(rustc_release)-$(rustc_commit)"; }

install_rust_src() {
    source=$(rustc --print sysroot)/lib/rustlib/src/rust
    [ -e "$source/library/core/Cargo.toml" ] && return
    if [ "$(rustc --print sysroot)" = /usr ]; then
        packages="rust-src" install_packages
    elif command -v rustup >/dev/null && rustup component add rust-src >/dev/null 2>&1; then
        say "rust-src added by rustup"
    else
        rust_src_from_debian "$source"
    fi
    [ -e "$source/library/core/Cargo.toml" ] || die "no source of Rust's core library: run: rustup component add rust-src"
}

# Debian's rust-src of the very same release, unpacked in the cache, stands where the compiler looks for its own.
rust_src_from_debian() {
    entry=rust-src-$(rustc_release)
    lock "$entry"
    if [ ! -e "$cache/$entry" ]; then
        say "rust-src $(rustc_release) from Debian"
        build_root=$("$setup_dir/build-root.sh")
        version=$(as_root chroot "$build_root" apt-cache madison rust-src |
            awk -v release="$(rustc_release)" 'index($3, release "+") == 1 { print $3; exit }')
        [ -n "$version" ] || die "neither rustup nor Debian has rust-src $(rustc_release): run: rustup component add rust-src"
        partial=$(partial "$entry")
        mkdir "$partial"
        "$setup_dir/debian-package.sh" "$partial" "rust-src=$version"
        publish "$entry"
    fi
    mkdir -p "$(dirname -- "$1")"
    rm -rf "$1"
    ln -s "$cache/$entry/usr/src/rustc-$(rustc_release)" "$1"
}

# It does not when the toolchain whose LLVM it was linked with is gone.
linker_starts() { "$cache/$(linker_entry)/bin/bpf-linker" --version >/dev/null 2>&1; }

# bpf-linker must read the bitcode this rustc writes, so it uses the LLVM that this rustc is linked with.
install_bpf_linker() {
    entry=$(linker_entry)
    linker_starts && return
    lock "$entry"
    linker_starts && return
    rm -rf "${cache:?}/$entry"
    libraries=$(rustc --print sysroot)/lib
    llvm=$(basename -- "$(ls -d "$libraries/libLLVM-$(rustc_llvm)"*.so 2>/dev/null | head -n 1)" .so)
    [ -n "$llvm" ] || die "this rustc brings no LLVM of its own ($libraries/libLLVM-$(rustc_llvm)*.so): use a rustup toolchain"
    say "building bpf-linker $linker_version against ${llvm#lib} (a minute or two)"
    partial=$(partial "$entry")
    log=$cache/$entry.log
    # From /, so that no workspace's configuration takes part.
    (cd / && env -u CARGO_BUILD_TARGET CARGO_TARGET_DIR="$partial/target" \
        RUSTFLAGS="-L $libraries -l dylib=${llvm#lib} -C link-arg=-Wl,-rpath,$libraries" \
        cargo install bpf-linker --locked --quiet --version "$linker_version" --root "$partial" \
        --no-default-features --features "llvm-$(rustc_llvm),no-llvm-linking") >"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        die "bpf-linker could not be built; the whole log is $log"
    }
    rm -rf "$partial/target" "$log"
    "$partial/bin/bpf-linker" --version >/dev/null || die "the bpf-linker just built does not start"
    publish "$entry"
}

install_bpf() {
    command -v rustc >/dev/null && command -v cargo >/dev/null || die "no Rust toolchain: see https://rustup.rs"
    install_rust_src
    install_bpf_linker
}

case ${1-} in
--packages) install_packages ;;
--bpf) install_bpf ;;
--print-path) echo "$cache/$(linker_entry)/bin" ;;
'')
    install_packages
    install_bpf
    say "ready; bpf-linker is in $cache/$(linker_entry)/bin"
    ;;
*) die "unknown argument $1" ;;
esac

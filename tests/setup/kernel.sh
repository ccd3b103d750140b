#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# kernel.sh [--refresh] SERIES
#
# Fetches the newest stock Debian cloud kernel of a series (6.1, 6.12, 7.2, 7.3): vmlinuz and config into the cache, the
# headers into the build root. Prints the release, which is also the name of the entry: kernel-RELEASE. No version is
# pinned: suites move. What was found is remembered for a week, so that a test run does not wait for apt.
set -eu
. "$(dirname -- "$0")/lib.sh"

refresh=
[ "${1-}" != --refresh ] || { refresh=yes && shift; }
series=${1-}
[ -n "$series" ] || die "usage: kernel.sh [--refresh] SERIES"

root=$("$setup_dir/build-root.sh")
# Which releases were found to work in this build root, newest series first.
remembered=$root/var/cache/livepatchd-series-$series
lock "series-$series"

in_root() { as_root chroot "$root" "$@"; }

# Debian 13 has its own name for every release; Debian 12 numbers the ABI.
releases() {
    case $series in
    6.1) pattern='6\.1\.0-[0-9]+-cloud-amd64' ;;
    *) pattern=$(echo "$series" | sed 's/\./\\./')'\.[0-9]+\+deb13(\.[0-9]+)?-cloud-amd64' ;;
    esac
    in_root apt-cache search --names-only "^linux-headers-$pattern\$" | sed 's/^linux-headers-//; s/ .*//' | sort -V -r
}

known() { in_root apt-cache show --no-all-versions "$1" >/dev/null 2>&1; }

# The packages that hold vmlinuz and config. Newer kernels are cut in binary and base; signed ones come days after the
# unsigned ones.
fetch_image() {
    for package in "linux-binary-$1" "linux-image-$1" "linux-binary-unsigned-$1" "linux-image-$1-unsigned"; do
        known "$package" || continue
        base=
        known "linux-base-$1" && base=linux-base-$1
        # shellcheck disable=SC2086 # may be empty
        "$setup_dir/debian-package.sh" "$2" "$package" $base || continue
        [ -z "$(find "$2" -name 'vmlinuz*')" ] || return 0
    done
    return 1
}

# The headers package with what its Makefile includes by absolute path.
fetch_headers() {
    # shellcheck disable=SC2046 # a list of words
    "$setup_dir/debian-package.sh" "$2" "linux-headers-$1" $(in_root apt-cache depends --important "linux-headers-$1" |
        grep -Eo 'linux-(headers-[^ ]*-common|kbuild-[^ ]*)$' | sort -u)
}

headers_ready() { [ -e "$root/usr/src/linux-headers-$1/.livepatchd-complete" ]; }

# Called within a condition, where `set -e` does not hold: every step says itself what its failure means.
install_kernel() {
    { [ -e "$cache/kernel-$1" ] || install_image "$1"; } && { headers_ready "$1" || install_headers "$1"; }
}

install_image() {
    unpacked=$(partial "kernel-$1-image") && made=$(partial "kernel-$1") || return 1
    mkdir "$unpacked" "$made" &&
        fetch_image "$1" "$unpacked" &&
        cp "$(find "$unpacked" -name 'vmlinuz*' | head -n 1)" "$made/vmlinuz" &&
        cp "$(find "$unpacked" -name 'config*' -type f | head -n 1)" "$made/config" &&
        as_root rm -rf "$unpacked" &&
        publish "kernel-$1"
}

install_headers() {
    unpacked=$(partial "kernel-$1-headers") || return 1
    mkdir "$unpacked" &&
        fetch_headers "$1" "$unpacked" &&
        as_root cp -a "$unpacked/usr/src/." "$root/usr/src/" &&
        as_root cp -a "$unpacked/usr/lib/." "$root/usr/lib/" &&
        as_root touch "$root/usr/src/linux-headers-$1/.livepatchd-complete" &&
        as_root rm -rf "$unpacked"
}

# A week, because Debian rarely publishes a kernel more often.
if [ -z "$refresh" ] && [ -n "$(find "$remembered" -mtime -7 2>/dev/null)" ]; then
    release=$(cat "$remembered")
    if [ -e "$cache/kernel-$release" ] && headers_ready "$release"; then
        echo "$release"
        exit
    fi
fi

# The lists came with the root; an old root needs newer ones, and without a network the old ones will do.
if [ -n "$refresh" ] || [ -z "$(find "$root/var/lib/apt/lists" -maxdepth 1 -mtime -1 2>/dev/null)" ]; then
    in_root apt-get -qq -o APT::Sandbox::User=root update >/dev/null 2>&1 || say "package lists could not be renewed"
    as_root touch "$root/var/lib/apt/lists"
fi

for release in $(releases); do
    say "kernel $release"
    if install_kernel "$release"; then
        echo "$release" | as_root tee "$remembered"
        exit
    fi
    say "$release cannot be had, trying the one before it"
done
die "no kernel of series $series in Debian 12, 13 or 13-backports"

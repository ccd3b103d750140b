#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# debian-package.sh DIRECTORY PACKAGE[=VERSION]...
#
# Downloads packages with the apt of the build root and unpacks them into DIRECTORY: the files alone, no dependencies, no
# maintainer scripts. Fails when one of them is not to be had, before anything is unpacked.
set -eu
. "$(dirname -- "$0")/lib.sh"

directory=$(CDPATH='' cd -- "$1" && pwd)
shift
root=$("$setup_dir/build-root.sh")

# The names of the host are resolved inside too: a mirror may be known to /etc/hosts alone.
lock debian-package
as_root cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
as_root rm -rf "$root/download"
as_root mkdir "$root/download"
as_root chroot "$root" sh -c 'cd /download && apt-get -qq -o APT::Sandbox::User=root download "$@"' sh "$@" >/dev/null 2>&1
for package in "$root/download"/*.deb; do
    as_root dpkg-deb --extract "$package" "$directory"
done
as_root rm -rf "$root/download"

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# userland-configure.sh ROOT
#
# Turns a freshly installed Debian root into the guest: small (no documentation, no package manager), quiet, the same at
# every boot, with a root without password and an unprivileged user alice. Run as root by userland.sh.
set -eu
root=$1

# What a test machine never reads. Everything here is unpacked at every boot by an emulated processor.
rm -rf "$root"/var/lib/apt/* "$root"/var/cache/* "$root"/var/log/* "$root"/var/lib/dpkg/info \
    "$root"/usr/share/doc "$root"/usr/share/man "$root"/usr/share/info "$root"/usr/share/locale "$root"/usr/share/zoneinfo \
    "$root"/usr/share/bash-completion "$root"/usr/share/lintian "$root"/usr/share/i18n "$root"/usr/share/perl5 \
    "$root"/usr/lib/x86_64-linux-gnu/gconv "$root"/usr/lib/x86_64-linux-gnu/perl-base "$root"/usr/bin/perl* \
    "$root"/usr/lib/udev/hwdb.d "$root"/usr/lib/locale/C.utf8/LC_COLLATE \
    "$root"/usr/bin/apt* "$root"/usr/lib/apt "$root"/usr/lib/x86_64-linux-gnu/libapt-* \
    "$root"/boot/* "$root"/tmp/* "$root"/run/*
find "$root/etc/apt" -type f -delete
# of binutils only readelf is used
find "$root"/usr/bin -name 'x86_64-linux-gnu-*' ! -name '*-readelf' -delete
rm -rf "$root"/usr/lib/x86_64-linux-gnu/libbfd* "$root"/usr/lib/x86_64-linux-gnu/libopcodes* "$root"/usr/lib/x86_64-linux-gnu/libgprofng* \
    "$root"/usr/lib/x86_64-linux-gnu/gprofng "$root"/usr/lib/bfd-plugins "$root"/usr/lib/x86_64-linux-gnu/ldscripts

# Without a fixed identity systemd would treat every boot as the first one.
echo 6c6976657061746368642d6775657374 >"$root/etc/machine-id"
echo livepatch >"$root/etc/hostname"
printf '127.0.0.1 localhost livepatch\n' >"$root/etc/hosts"
: >"$root/etc/fstab"
rm -f "$root/etc/resolv.conf"

chroot "$root" passwd --quiet --delete root
chroot "$root" useradd --create-home --uid 1000 --shell /bin/bash alice

# The journal is read by the scenarios: all of it, none of it on disk, none of it on the console.
mkdir -p "$root/etc/systemd/journald.conf.d" "$root/etc/systemd/system.conf.d"
cat >"$root/etc/systemd/journald.conf.d/tests.conf" <<'CONF'
[Journal]
Storage=volatile
RateLimitIntervalSec=0
RuntimeMaxUse=64M
ForwardToConsole=no
ForwardToWall=no
CONF

# The console belongs to the kernel's messages and to the harness.
cat >"$root/etc/systemd/system.conf.d/tests.conf" <<'CONF'
[Manager]
ShowStatus=no
LogLevel=notice
CONF

# serial-getty would wait 90 s for a device that only udev announces; the rest is of no use here and delays every boot.
ln -sf /usr/lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
for unit in serial-getty@ttyS0.service getty@tty1.service getty-static.service console-getty.service \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
    systemd-tmpfiles-clean.timer systemd-firstboot.service systemd-hwdb-update.service ldconfig.service \
    systemd-update-done.service systemd-journal-catalog-update.service systemd-pcrphase.service kpatch.service \
    modprobe@.service systemd-modules-load.service systemd-random-seed.service systemd-hostnamed.socket \
    dev-hugepages.mount dev-mqueue.mount run-lock.mount sys-fs-fuse-connections.mount sys-kernel-config.mount \
    proc-sys-fs-binfmt_misc.automount; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

ln -sf /sbin/init "$root/init"

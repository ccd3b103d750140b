#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# vm.sh GUEST [ARGUMENT...]
#
# Boots a stock kernel with the built modules and runs tests/GUEST.sh in it; prints what that prints. Needs in the
# environment: KLP_VMLINUZ, KLP_BUSYBOX (a static one), KLP_BUILT (the folder in which make ran, with SAMPLES=y TESTS=y).
# Exit status: 0 when the guest said "N passed, 0 failed" and the kernel log has no warning.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
guest=$1
shift
: "${KLP_VMLINUZ:?}" "${KLP_BUSYBOX:?}" "${KLP_BUILT:?}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/root/bin" "$work/root/modules" "$work/root/proc" "$work/root/sys" "$work/root/dev" "$work/root/tmp"
cp "$KLP_BUSYBOX" "$work/root/bin/busybox"
find "$KLP_BUILT" ${KLP_EXTRA:+"$KLP_EXTRA"} -name '*.ko' -exec cp {} "$work/root/modules/" \;
for tool in storm bench; do
    [ ! -e "$KLP_BUILT/tests/$tool" ] || cp "$KLP_BUILT/tests/$tool" "$work/root/bin/"
done
cp "$here/lib.sh" "$here/$guest.sh" "$work/root/"
# What else this guest needs, put into $root.
root=$work/root
[ ! -e "$here/$guest.prepare" ] || . "$here/$guest.prepare"
cat >"$work/root/init" <<EOF
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t debugfs debugfs /sys/kernel/debug
cd /
. /lib.sh
. /$guest.sh $*
finish
EOF
chmod +x "$work/root/init"
(cd "$work/root" && find . | cpio -o -H newc --quiet | gzip -1) >"$work/initrd"

# thread=single: with more, TCG races with the kernel's text patching.
timeout "${KLP_TIMEOUT:-600}" qemu-system-x86_64 -accel tcg,thread=single -cpu max,la57=off -smp "${KLP_CPUS:-2}" -m 1024 \
    -nographic -no-reboot -kernel "$KLP_VMLINUZ" -initrd "$work/initrd" ${KLP_QEMU:-} \
    -append "console=ttyS0 quiet panic=-1 oops=panic ${KLP_APPEND:-}" </dev/null >"$work/console" 2>&1 || true
tr -d '\r' <"$work/console" | sed -n 's/^.*\(=== guest\)/\1/; /^=== guest/,$p'
[ -z "${KLP_KEEP:-}" ] || cp "$work/console" "$KLP_KEEP"
tr -d '\r' <"$work/console" | grep -Eq '^[0-9]+ passed, 0 failed$'

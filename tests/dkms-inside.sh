#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# dkms-inside.sh WORKPLACE RELEASE TREE
#
# dkms.sh in the build root, in a mount namespace of its own: what dkms and depmod write goes to WORKPLACE. The kernel RELEASE is
# there as on Debian: its build link leads to headers without Rust metadata. TREE has it.
set -u
workplace=$1 release=$2 tree=$3
kernel=/lib/modules/$release
headers=/usr/src/linux-headers-$release
unset MAKEFLAGS MAKELEVEL
export LC_ALL=C

passed=0 failed=0
check() {
    sentence=$1
    shift
    if "$@" >"$workplace/log" 2>&1; then
        echo "ok dkms: $sentence"
        passed=$((passed + 1))
    else
        echo "FAILED dkms: $sentence"
        sed 's/^/    /' "$workplace/log"
        failed=$((failed + 1))
    fi
}

dkms() { "$workplace/dkms" "$@" --sourcetree "$workplace/src"; }
says() { grep -q -- "$1" "$workplace/said"; }
version=$(sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' "$workplace/klp-module/dkms.conf")
installed=klp_rs/$version

# A kernel's module folder with one module, which is packed as Debian packs them; it is built for the stock kernel.
prepare() {
    mkdir -p "$workplace/modules/$release/kernel" "$workplace/lib/dkms" "$workplace/src" "$workplace/patches" &&
        mount --bind "$workplace/modules" /usr/lib/modules && mount --bind "$workplace/lib" /var/lib &&
        ln -s "$headers" "$kernel/build" && touch "$kernel/modules.order" "$kernel/modules.builtin" "$kernel/modules.builtin.modinfo" &&
        echo '#include <linux/module.h>
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("stays");' >"$workplace/patches/stays.c" &&
        echo 'obj-m := stays.o' >"$workplace/patches/Kbuild" &&
        make -C "$headers" M="$workplace/patches" modules && xz "$workplace/patches/stays.ko" &&
        mv "$workplace/patches/stays.ko.xz" "$kernel/kernel/" && depmod "$release" && listing >"$workplace/before"
}

# What depmod writes is compared by what it says of modules.
listing() {
    (cd /lib/modules && find . | sort)
    cat "$kernel/modules.dep"
}

skipped() {
    cd "$workplace" || return
    dkms install klp-module -k "$release" >"$workplace/said" 2>&1
    status=$?
    cat "$workplace/said"
    [ "$status" = 77 ] && says 'no Rust metadata' && says 'kernelsourcedir TREE' && ! says '[Ee]rror'
}

# As the package of a new kernel does: it fails with dkms.
skipped_quietly() {
    dkms autoinstall -k "$release" >"$workplace/said" 2>&1
    status=$?
    cat "$workplace/said"
    [ "$status" = 0 ] && says 'no Rust metadata' && dkms status klp_rs && [ "$(dkms status klp_rs)" = "$installed: added" ]
}

other_kernel() {
    dkms build "$installed" -k 1.2.3 --kernelsourcedir "$tree" >"$workplace/said" 2>&1
    status=$?
    cat "$workplace/said"
    [ "$status" = 77 ] && says "the tree of $release, not of 1.2.3"
}

refused() {
    make -C "$workplace/klp-module" KDIR="$headers" modules >"$workplace/said" 2>&1
    status=$?
    cat "$workplace/said"
    [ "$status" != 0 ] && says 'no Rust metadata' && ! says '^error' && ! says RUSTC
}

install_it() { dkms install "$installed" -k "$release" --kernelsourcedir "$tree"; }

said_installed() {
    dkms status klp_rs
    dkms status klp_rs | grep -qx "$installed, $release, x86_64: installed" &&
        [ "$(modinfo -k "$release" -F filename klp_rs)" = "$kernel/updates/dkms/klp_rs.ko.xz" ] &&
        modprobe -n -v -S "$release" klp_rs | grep -qx "insmod $kernel/updates/dkms/klp_rs.ko.xz *" &&
        [ "$(modinfo -k "$release" -F vermagic klp_rs)" = "$(modinfo -k "$release" -F vermagic stays)" ] &&
        modinfo -k "$release" -F signer klp_rs | grep .
}

# So that nothing has to be booted for it. Debug information has the paths of the build, and the build ID is of that, too.
same_code() {
    mkdir -p "$workplace/same" && cd "$workplace/same" &&
        xz -dc "$kernel/updates/dkms/klp_rs.ko.xz" >theirs.ko && cp "$workplace/klp_rs.ko" ours.ko || return
    strip -g -R .note.gnu.build-id theirs.ko && strip -g -R .note.gnu.build-id ours.ko && cmp theirs.ko ours.ko
}

# As README.md says under "Write a patch": out of the tree, with what dkms left.
patches() {
    cd "$workplace/patches" && cp "$workplace/klp-module/samples/cmdline_c.c" mine_c.c &&
        sed "s|\"../include/klp_rs.rs\"|\"$workplace/src/klp_rs-$version/include/klp_rs.rs\"|; s|cmdline_rs|mine_rs|" \
            "$workplace/klp-module/samples/cmdline_rs.rs" >mine_rs.rs &&
        printf '%s\n' 'obj-m := mine_c.o mine_rs.o' "ccflags-y := -I$workplace/src/klp_rs-$version/include" >Kbuild &&
        make -C "$tree" M="$PWD" \
            KBUILD_EXTRA_SYMBOLS="/var/lib/dkms/klp_rs/kernel-$release-x86_64/module/Module.symvers" modules modules_install &&
        depmod "$release" || return
    for patch in mine_c mine_rs; do
        modprobe -n -v -S "$release" $patch || return
        modprobe -n -v -S "$release" $patch | head -n 1 | grep -q /klp_rs.ko || return
    done
    rm "$kernel/updates/mine_c.ko.xz" "$kernel/updates/mine_rs.ko.xz"
}

removed() {
    dkms remove "$installed" --all || return
    listing >"$workplace/after"
    diff "$workplace/before" "$workplace/after" && [ -z "$(dkms status)" ] && ! modprobe -n -S "$release" klp_rs
}

# As where the headers have the metadata: a new kernel gets klp_rs by itself.
installs_itself() {
    ln -sfn "$tree" "$kernel/build" && listing >"$workplace/before" &&
        dkms add "$installed" -k "$release" && dkms autoinstall -k "$release" && said_installed && removed
}

with_make() {
    make -C "$workplace/klp-module" -j 2 KDIR="$tree" INSTALL_MOD_PATH="$workplace/to" modules modules_install &&
        depmod -b "$workplace/to" "$release" || return
    modinfo -b "$workplace/to" -k "$release" -F vermagic klp_rs | grep -qx "$(modinfo -k "$release" -F vermagic stays)" &&
        modprobe -d "$workplace/to" -n -v -S "$release" klp_rs | grep -q "$release/updates/klp_rs.ko"
}

check "a kernel and its headers" prepare
check "where there is no Rust metadata dkms install says so and what to do, and skips" skipped
check "the package of a new kernel is not kept from being installed by that" skipped_quietly
check "make says the same, before rustc says anything" refused
check "a tree of another kernel is not taken" other_kernel
check "dkms install with a prepared tree" install_it
check "it is found, where dkms says, signed, and fits the kernel" said_installed
check "its code and data are byte for byte those of the one that scenarios load" same_code
check "patches in C and Rust are built against it out of the tree, and bring it along" patches
check "dkms remove leaves nothing" removed
check "where the headers have the metadata dkms installs it for a new kernel by itself" installs_itself
check "make -j modules modules_install installs what it built" with_make
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]

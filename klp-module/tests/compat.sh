# SPDX-License-Identifier: GPL-2.0-only
#
# The kernel's own sample patches, unmodified, by way of klp_rs_compat.h. Its selftests are selftests.sh.

original=$(cat /proc/cmdline)
load klp_rs
check "livepatch-sample loads" load livepatch-sample
until_ "  its transition ends" 50 is $K/livepatch_sample/transition 0
check "  in force" is /proc/cmdline "this has been live patched"
check "  its module is no live patch of the other core" sh -c '! grep -q K /sys/module/livepatch_sample/taint'
leaves livepatch_sample
check "  the original is back" is /proc/cmdline "$original"

# Objects with shadow variables: fix1 keeps what leaks, fix2 counts on top of it.
check "livepatch-shadow-mod loads" load livepatch-shadow-mod
check "livepatch-shadow-fix1 loads" load livepatch-shadow-fix1
until_ "  its transition ends" 50 is $K/livepatch_shadow_fix1/transition 0
until_ "  an object is made with a shadow" 40 logged "livepatch_fix1_dummy_alloc: dummy @"
check "livepatch-shadow-fix2 loads" load livepatch-shadow-fix2
until_ "  its transition ends" 50 is $K/livepatch_shadow_fix2/transition 0
until_ "  an object with a shadow is freed" 300 logged "livepatch_fix2_dummy_leak_dtor: dummy @"
check "  its check was counted" logged "check counter = "
leaves livepatch_shadow_fix2
leaves livepatch_shadow_fix1
check "  what was left is taken away with the patch" logged "livepatch_fix1_dummy_leak_dtor: dummy @"
check "  its module unloads" unload livepatch-shadow-mod

# Callbacks, with an object that comes and goes.
check "livepatch-callbacks-demo loads" load livepatch-callbacks-demo
until_ "  its transition ends" 50 is $K/livepatch_callbacks_demo/transition 0
check "  pre_patch" logged "livepatch_callbacks_demo: pre_patch_callback: vmlinux"
check "  post_patch" logged "livepatch_callbacks_demo: post_patch_callback: vmlinux"
check "its object comes" load livepatch-callbacks-mod
check "  before its init" logged "livepatch_callbacks_demo: post_patch_callback: livepatch_callbacks_mod -> [MODULE_STATE_COMING]"
check "  and goes" unload livepatch-callbacks-mod
check "  after its exit" logged "livepatch_callbacks_demo: post_unpatch_callback: livepatch_callbacks_mod -> [MODULE_STATE_GOING]"
leaves livepatch_callbacks_demo
check "  post_unpatch" logged "livepatch_callbacks_demo: post_unpatch_callback: vmlinux"
check "a callback that refuses" [ "$(refusal /modules/livepatch-callbacks-demo.ko pre_patch_ret=-19)" = "No such device" ]
check "  refuses the patch" gone $K/livepatch_callbacks_demo
until_ "klp_rs unloads" 20 rmmod klp_rs

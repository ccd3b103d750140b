# SPDX-License-Identifier: GPL-2.0-only
#
# Atomic replace: a patch that stands for all others, with the same functions, with none of them, turned round.

original=$(cat /proc/cmdline)
load klp_rs
version() { dd if=/proc/agree/call bs=1 count=1 2>/dev/null; }
load agree
load cmdline_c
until_ "a patch of the kernel is there" 50 is $K/cmdline_c/transition 0
load agree_v2
until_ "and one of a module" 50 is $K/agree_v2/transition 0
check "a replacing patch loads" load agree_v3 replace=1
check "  it says so" is $K/agree_v3/replace 1
until_ "  complete" 50 is $K/agree_v3/transition 0
check "  it wins" [ "$(version)" = 3 ]
until_ "  the others have gone: module" 20 gone $K/agree_v2
until_ "  the others have gone: kernel" 20 gone $K/cmdline_c
check "  what it does not have is as it was" is /proc/cmdline "$original"
check "  it is the only one" is $K/agree_v3/stack_order 1
check "  their modules unload" sh -c "rmmod agree_v2; rmmod cmdline_c"
check "one that has none of its functions replaces it" load hold replace=1
until_ "  complete" 50 is $K/hold/transition 0
until_ "  the other has gone" 20 gone $K/agree_v3
check "  the originals are back" [ "$(version)" = 1 ]
check "  and need no folder" [ "$(ls $K/hold/agree)" = "agree_hold,1
patched" ]
check "  its module unloads" unload agree_v3
load cmdline_c
until_ "another comes on top" 50 is $K/cmdline_c/transition 0
cat /proc/agree/hold &
reader=$!
held $reader
rmmod cmdline_c 2>/dev/null
check "disabling the replacing one begins" write 0 $K/hold/enabled
usleep 200000
check "  and lasts" is $K/hold/transition 1
write 1 /proc/agree/gate
until_ "  and ends" 50 gone $K/hold
check "  the other stays" is /proc/cmdline "this has been live patched"
wait $reader
write 0 /proc/agree/gate
check "hold unloads" unload hold

# A replacing transition that is turned round leaves all as it was.
load agree_v2
until_ "a patch is there" 50 is $K/agree_v2/transition 0
cat /proc/agree/hold &
reader=$!
held $reader
load hold replace=1
usleep 200000
check "a replacing transition lasts" is $K/hold/transition 1
check "  a task that has moved has the original" [ "$(version)" = 1 ]
check "  which has a folder, of an object of its own" [ -d "$K/hold/agree/agree_caller,1" ]
check "  and of another" [ -d "$K/hold/vmlinux/cmdline_proc_show,1" ]
check "  which is patched" is $K/hold/vmlinux/patched 1
write 0 $K/hold/enabled
until_ "  turned round it goes" 50 gone $K/hold
check "  the replaced patch is still there" is $K/agree_v2/enabled 1
check "  and in force" [ "$(version)" = 2 ]
check "  and so is the other" is /proc/cmdline "this has been live patched"
write 1 /proc/agree/gate
wait $reader
check "hold unloads" unload hold
leaves agree_v2
leaves cmdline_c
check "agree unloads" unload agree
until_ "klp_rs unloads" 20 rmmod klp_rs

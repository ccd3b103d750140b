# SPDX-License-Identifier: GPL-2.0-only
#
# What the contract promises beside consistency: a transition that lasts, turned round, forced; callbacks; refusals with
# their errno; module objects that come and go; patches that exclude each other.

original=$(cat /proc/cmdline)
load klp_rs
insmod /modules/bad.ko case=notrace 2>/dev/null
check "klp_rs unloads after nothing but a refusal" unload klp_rs
load klp_rs

# A transition that lasts.
load agree
cat /proc/agree/hold &
reader=$!
held $reader
check "a patch of a function that somebody sleeps in loads" load hold
usleep 500000
check "its transition lasts" is $K/hold/transition 1
check "it says enabled" is $K/hold/enabled 1
check "patching is not complete" is /sys/module/hold/parameters/complete 0
check "pre_patch was called with the module" logged "hold: pre_patch agree"
check "post_patch was not" sh -c '! dmesg | grep -q "hold: post_patch"'
check "a second patch is refused meanwhile" [ "$(refusal /modules/cmdline_c.ko)" = "Device or resource busy" ]
storm watch $K/hold/enabled >"$T/watched" &
watcher=$!
until_ "somebody polls enabled" 50 grep -q "was 1" "$T/watched"
begun=$(now)
check "it can be turned round" write 0 $K/hold/enabled
while [ -e $K/hold ] && [ $(($(now) - begun)) -lt 5000 ]; do usleep 1000; done
echo "     turned round in $(($(now) - begun)) ms"
check "  and is gone" gone $K/hold
check "  who polled was told" wait $watcher
check "  within a second" [ $(($(now) - begun)) -lt 1000 ]
check "  pre_unpatch is not called when a patch never was complete" sh -c '! dmesg | grep -q "hold: pre_unpatch"'
check "  post_unpatch is" logged "hold: post_unpatch"
check "hold unloads" unload hold

# Finished by its task.
load hold
usleep 200000
check "it lasts again" is $K/hold/transition 1
echo mono >$tracing/trace_clock
echo "common_pid == $reader" >$tracing/events/raw_syscalls/sys_exit/filter
for event in raw_syscalls/sys_exit klp_rs; do echo 1 >$tracing/events/$event/enable; done
storm watch $K/hold/transition >"$T/watched" &
watcher=$!
until_ "somebody polls transition" 50 grep -q "was 1" "$T/watched"
write 1 /proc/agree/gate
until_ "it is complete when the task has left" 50 is $K/hold/transition 0
for event in raw_syscalls/sys_exit klp_rs; do echo 0 >$tracing/events/$event/enable; done
awk '/ sys_exit: / && !left { left = $4 } /klp_rs_transition: hold completed/ && left {
         printf "     complete %.1f ms after the last task left the function\n", ($4 - left) * 1000 }' $tracing/trace
check "who polled was told" wait $watcher
check "  of the end" grep -qx "told 0" "$T/watched"
check "patching is complete" is /sys/module/hold/parameters/complete 1
check "post_patch was called" logged "hold: post_patch"
check "forcing it is refused now" refused 1 $K/hold/force "nvalid argument"
wait $reader
write 0 /proc/agree/gate

# Unpatching that lasts.
cat /proc/agree/hold &
reader=$!
held $reader
check "disabling begins" write 0 $K/hold/enabled
usleep 200000
check "pre_unpatch was called" logged "hold: pre_unpatch"
check "it lasts too" is $K/hold/transition 1
check "it says disabled" is $K/hold/enabled 0
check "it can be turned round" write 1 $K/hold/enabled
until_ "  and is complete again" 20 is $K/hold/transition 0
check "  and enabled" is $K/hold/enabled 1
write 1 /proc/agree/gate
wait $reader
write 0 /proc/agree/gate
leaves hold
check "agree unloads" unload agree

# A module that comes and goes.
check "a patch for a module to come loads" load agree_v2
until_ "  and is complete" 20 is $K/agree_v2/transition 0
check "  not patched yet" is $K/agree_v2/agree/patched 0
check "the module comes" load agree
check "  patched in its init" logged "agree: version 2 in init"
check "  patched" is $K/agree_v2/agree/patched 1
check "  in force" [ "$(dd if=/proc/agree/call bs=1 count=1 2>/dev/null)" = 2 ]
check "the module goes" unload agree
check "  not patched any more" is $K/agree_v2/agree/patched 0
check "  the log says so" logged "klp_rs: reverting patch 'agree_v2' on unloading module 'agree'"
check "it comes again" load agree
check "  in force again" [ "$(dd if=/proc/agree/call bs=1 count=1 2>/dev/null)" = 2 ]

leaves agree_v2
check "agree unloads" unload agree

# The kernel's own core on the same function (lp_vmlinux.ko of tests/modules, when it is there).
if [ -e /modules/lp_vmlinux.ko ]; then
    insmod /modules/lp_vmlinux.ko
    until_ "the kernel's core has cmdline_proc_show" 50 is /sys/kernel/livepatch/lp_vmlinux/transition 0
    said=$(refusal /modules/cmdline_c.ko)
    check "  ours is refused (was: $said)" [ "${said#*usy}" != "$said" ]
    check "  by name" logged "klp_rs: failed to register ftrace handler for function 'cmdline_proc_show' (-16)"
    write 0 /sys/kernel/livepatch/lp_vmlinux/enabled
    until_ "it lets go" 80 gone /sys/kernel/livepatch/lp_vmlinux
    check "  and ours is accepted" load cmdline_c
    until_ "  complete" 50 is $K/cmdline_c/transition 0
    check "  the kernel's is refused" sh -c 'rmmod lp_vmlinux; ! insmod /modules/lp_vmlinux.ko 2>/dev/null'
    insmod /modules/bad_klp.ko case=named func=version_proc_show
    until_ "  it has version_proc_show" 50 is /sys/kernel/livepatch/bad_klp/transition 0
    patched=$(cat /proc/cmdline)
    said=$(refusal /modules/bad.ko case=shared)
    check "  a patch with both is refused (was: $said)" [ "${said#*usy}" != "$said" ]
    check "    by name" logged "klp_rs: failed to register ftrace handler for function 'version_proc_show' (-16)"
    check "    and what ours has stays in force" [ "$(cat /proc/cmdline)" = "$patched" -a "$patched" != "$original" ]
    write 0 /sys/kernel/livepatch/bad_klp/enabled
    until_ "  it lets go of that, too" 80 gone /sys/kernel/livepatch/bad_klp
    check "  and unloads" unload bad_klp
    check "ftrace cannot be turned off under a patch" sh -c '! echo 0 >/proc/sys/kernel/ftrace_enabled 2>/dev/null'
    leaves cmdline_c
    if logged "no longer disables ftrace"; then
        # since 7.3
        echo "     this kernel's ftrace can never be turned off"
    else
        # The ops itself leaves a moment after its last patch.
        until_ "and can be without one" 50 write 0 /proc/sys/kernel/ftrace_enabled
        said=$(refusal /modules/cmdline_c.ko)
        check "  then a patch is refused (was: $said)" [ "${said#*usy}" != "$said" ]
        write 1 /proc/sys/kernel/ftrace_enabled
    fi
fi

# BPF programs at a function, and patches of it that come, go and come again beside another patch.
load immediate_rs
until_ "there is a patch" 50 is $K/immediate_rs/transition 0
# ran: how often the program has run.
ran() {
    lines=$(wc -l <"$T/program")
    kill -USR1 $program
    for tenth in 1 2 3 4 5 6 7 8 9 10; do
        [ "$(wc -l <"$T/program")" = "$lines" ] || break
        usleep 100000
    done
    sed -n 's/^ran //p' "$T/program" | tail -n 1
}
runs() { before=$(ran) && cat /proc/cmdline >"$T/shown" && [ "$(ran)" -gt "$before" ]; }
for where in fentry fexit; do
    storm attach $where cmdline_proc_show >"$T/program" &
    program=$!
    until_ "a BPF program is attached: $where" 50 grep -q "ran" "$T/program"
    check "  it runs" runs
    for time in first second; do
        check "  a patch comes, the $time time" load cmdline_rs
        until_ "    complete" 50 is $K/cmdline_rs/transition 0
        check "    in force" is /proc/cmdline "this has been live patched in Rust"
        check "    the program runs" runs
        leaves cmdline_rs
        check "    the original is back" is /proc/cmdline "$original"
        check "    the program runs" runs
    done
    load cmdline_rs
    kill -TERM $program
    wait $program
    check "  the program goes, the patch stays in force" is /proc/cmdline "this has been live patched in Rust"
    leaves cmdline_rs
    until_ "  ftrace has nothing left of it" 50 free cmdline_proc_show
done
load cmdline_rs
until_ "a patch is there before the program" 50 is $K/cmdline_rs/transition 0
storm attach fexit cmdline_proc_show >"$T/program" &
program=$!
until_ "  which is attached" 50 grep -q "ran" "$T/program"
check "    and runs" runs
check "  the patch is in force" is /proc/cmdline "this has been live patched in Rust"
leaves cmdline_rs
check "  the original is back" is /proc/cmdline "$original"
kill -TERM $program
wait $program
# On the way into a function by way of a trampoline that knows nothing of patches, and jumps past ftrace.
load agree
storm trampoline &
reader=$!
held $reader
check "somebody is in a BPF trampoline" insmod /modules/bad.ko case=named func=bpf_lsm_file_lock
usleep 1000000
check "  which the transition of the function waits for" is $K/bad/transition 1
write 1 /proc/agree/gate
wait $reader
until_ "  until that has called it" 50 is $K/bad/transition 0
leaves bad
check "agree unloads" unload agree
leaves immediate_rs

# Somebody whom a function calls directly, and who cannot share it with who sends calls elsewhere.
check "cmdline_proc_show has such a direct caller" load direct
for patches in first second; do
    if [ $patches = second ]; then
        load immediate_rs
        until_ "  there is a patch" 50 is $K/immediate_rs/transition 0
    fi
    dmesg --clear
    said=$(refusal /modules/cmdline_rs.ko)
    check "  the $patches patch is refused (was: $said)" [ "${said#*usy}" != "$said" ]
    check "    by name" logged "klp_rs: failed to register ftrace handler for function 'cmdline_proc_show' (-16)"
    check "    and nothing has changed" [ "$(cat /proc/cmdline)" = "$original" -a ! -e $K/cmdline_rs ]
done
check "  it goes" unload direct
check "  and the patch is accepted" load cmdline_rs
until_ "    complete" 50 is $K/cmdline_rs/transition 0
check "  then the direct caller is refused" sh -c '! insmod /modules/direct.ko 2>/dev/null'
leaves cmdline_rs
leaves immediate_rs
until_ "klp_rs unloads" 50 rmmod klp_rs

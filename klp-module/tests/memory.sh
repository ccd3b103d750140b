# SPDX-License-Identifier: GPL-2.0-only
#
# memory.sh [both]
#
# Every allocation that klp_rs asks for, itself or by way of what it calls, is refused: in one operation after the other the
# first, the second, and so on until the operation asks for no more, in greater steps where it asks often. Either that one alone,
# or with it all that come after it, also those that are needed to undo what was done; with `both` each and either way. Then the
# operation fails with -ENOMEM and nothing of it is left, or it goes through, late if it has to.

both=${1:-}
S=/proc/starve
original=$(cat /proc/cmdline)

refuse() { echo "$1" >$S/refuse; }
# The counters, without a process.
look() { read -r _ seen _ refused _ live <$S/state; }
first_line() { line=; read -r line <"$1"; }
has() { first_line "$2" 2>/dev/null && [ "$line" = "$1" ]; }
# soon COMMAND...: within five seconds.
soon() { i=0; until "$@" 2>/dev/null; do [ $i -lt 250 ] || return 1; sleep 0.02; i=$((i + 1)); done; }

# The last line that is no command's.
wrong() {
    bad=$((bad + 1))
    [ $bad -gt 3 ] || { echo "     $what, allocation $n, $mode refused: $*: $(cat "$T/err")"; sed 's/^/         /;/made/d' $S/state; }
}
# What Rust has is what it had before.
balanced() { look; [ "$live" = "$base" ]; }
runs() { read -r stat <"/proc/$1/stat" && case $stat in *") Z "*) return 1 ;; esac; }
# Somebody may wait for memory, so it comes back after a while.
op_without() {
    op 2>"$T/err" &
    i=0
    while runs $! && look && [ "$refused" -lt 20 -a $i -lt 20 ]; do sleep 0.02; i=$((i + 1)); done
    ! runs $! || refuse off
    wait $!
}

# each MODE WHAT: `op` with its first allocation refused, its second, and so on, in the modes of MODE, which is one or all. After
# an error `untouched` must hold. Otherwise `settled` will, and `undo` makes all as it was before.
each() {
    for mode in $(if [ "$both" ]; then echo one all; else echo "$1"; fi); do
        all=
        [ $mode = one ] || all=+
        each_in_mode "$2"
    done
}
each_in_mode() {
    what=$1 step=1 errors=0 late=0 bad=0
    refuse 0
    op 2>"$T/err" && soon settled && refuse off && undo || { fail "$what: cannot be done at all: $(cat "$T/err")"; return; }
    soon settles_down
    begun=$(now)
    look
    base=$live
    [ "$both" ] || step=$((1 + seen / 20))
    n=$((1 - step))
    while n=$((n + step)); [ $n -lt 400 ] && [ $bad -lt 5 ]; do
        refuse "$n$all"
        if if [ -z "$all" ]; then op 2>"$T/err"; else op_without; fi; then
            if [ -n "$all" ]; then
                # As long as nothing can be had, what is left to do is tried again and again.
                i=0
                until settled || look && [ "$refused" -gt 1 ] || [ $i -gt 10 ]; do sleep 0.02; i=$((i + 1)); done
                refuse off
            fi
            soon settled || wrong "not in time"
            refuse off
            look
            undo || wrong "cannot be undone"
            [ "$refused" != 0 ] || break
            late=$((late + 1))
        else
            refuse off
            first_line "$T/err"
            case $line in *"Cannot allocate memory"*) ;; *) wrong "another error" ;; esac
            soon untouched || wrong "something is left"
            errors=$((errors + 1))
        fi
    done
    refuse off
    echo "     $what, $mode refused: $seen allocations, $errors errors, $late went through, $(($(now) - begun)) ms"
    # The last time none was refused.
    soon balanced || wrong "memory: $live, not $base"
    check "$what: every allocation can be refused${all:+, and all after it}" [ $bad = 0 -a $n -gt 1 -a $n -lt 400 ]
}
settles_down() { a=$(cat $S/state); sleep 0.3; [ "$a" = "$(cat $S/state)" ]; }

off() { echo 0 >$K/$1/enabled && soon gone $K/$1 && soon rmmod $1; }
in_force() { has 0 $K/$1/transition; }
never() { gone $K/$1 && gone /sys/module/$1; }

load starve

# The core itself.
op() { insmod /modules/klp_rs.ko; }
settled() { [ -d $K ]; }
untouched() { never klp_rs && gone $K; }
undo() { soon rmmod klp_rs; }
each one "the core"
before=$(kept)
load klp_rs

# The first patch, which brings the ops.
op() { insmod /modules/cmdline_c.ko; }
settled() { in_force cmdline_c; }
untouched() { never cmdline_c && has "$original" /proc/cmdline && has 0 /sys/module/klp_rs/refcnt; }
undo() { off cmdline_c; }
each one "the first patch"

# From here on there is always one, of a module that is not there.
load hold

op() { insmod /modules/cmdline_c.ko; }
undo() { off cmdline_c; }
untouched() { never cmdline_c && has "$original" /proc/cmdline && has 1 /sys/module/klp_rs/refcnt && free cmdline_proc_show; }
each all "another patch"

load cmdline_c
soon in_force cmdline_c
op() { env echo 0 >$K/cmdline_c/enabled; }
settled() { gone $K/cmdline_c; }
untouched() { has 1 $K/cmdline_c/enabled && in_force cmdline_c && has "this has been live patched" /proc/cmdline; }
undo() { has "$original" /proc/cmdline && soon free cmdline_proc_show && soon rmmod cmdline_c && load cmdline_c && soon in_force cmdline_c; }
each all "disabling"
off cmdline_c

# The same with a BPF program at the function, so that it has an ops of its own.
storm attach fexit cmdline_proc_show >"$T/program" &
program=$!
until_ "a BPF program is attached" 50 grep -q ran "$T/program"
op() { insmod /modules/cmdline_c.ko; }
settled() { in_force cmdline_c && has "this has been live patched" /proc/cmdline; }
untouched() { never cmdline_c && has "$original" /proc/cmdline && has 1 /sys/module/klp_rs/refcnt && soon no_ipmodify; }
no_ipmodify() { [ -r $traced ] && ! grep "^cmdline_proc_show " $traced | grep -q " I "; }
undo() { off cmdline_c; }
each all "a patch of a function with a BPF program"
kill $program
wait $program

# A module that comes and goes, with two patches that have the same functions.
version() { dd if=/proc/agree/call bs=1 count=1 2>/dev/null; }
patched() { has $1 $K/agree_v2/agree/patched && has $1 $K/agree_v3/agree/patched; }
load agree_v2
soon in_force agree_v2
load agree_v3
soon in_force agree_v3
op() { insmod /modules/agree.ko; }
settled() { patched 1 && [ "$(version)" = 3 ]; }
untouched() { gone /sys/module/agree && patched 0; }
undo() { rmmod agree; }
each all "a module that comes"
load agree
# Nobody can keep it from going.
op() { rmmod agree; }
settled() { gone /sys/module/agree && patched 0; }
untouched() { false; }
undo() { insmod /modules/agree.ko && patched 1 && [ "$(version)" = 3 ]; }
each all "a module that goes"
off agree_v3

# One patch instead of all, which are of a module and of the kernel.
off hold
load cmdline_c
soon in_force cmdline_c
op() { insmod /modules/hold.ko replace=1; }
settled() { in_force hold && gone $K/agree_v2 && gone $K/cmdline_c; }
untouched() {
    never hold && has 1 $K/agree_v2/enabled && has 1 $K/cmdline_c/enabled && [ "$(version)" = 2 ] &&
        has "this has been live patched" /proc/cmdline
}
undo() {
    [ "$(version)" = 1 ] && has "$original" /proc/cmdline && off hold && soon rmmod agree_v2 && soon rmmod cmdline_c &&
        load cmdline_c && soon in_force cmdline_c && load agree_v2 && soon in_force agree_v2
}
each all "one that replaces"
off cmdline_c
off agree_v2

# Turned round, again and again.
stuck
turn=0
op() { env echo $turn >$K/agree_turn/enabled; }
settled() { has $turn $K/agree_turn/enabled; }
untouched() { has $((1 - turn)) $K/agree_turn/enabled; }
undo() { turn=$((1 - turn)); }
each one "turning round"
unstuck
write 0 $K/agree_turn/enabled
soon gone $K/agree_turn
check "agree_turn unloads" unload agree_turn
check "agree unloads" unload agree

# What callbacks know, and nothing else.
load hold
op() { insmod /modules/data.ko first=2; }
settled() { in_force data; }
untouched() { never data && has 1 /sys/module/klp_rs/refcnt; }
undo() { off data; }
each all "a patch with states"

# Its module fails after that; what it says then is what it always says.
op() { insmod /modules/bad.ko case=fails || grep -q "Input/output error" "$T/err"; }
settled() { never bad && has "$original" /proc/cmdline; }
untouched() { settled; }
undo() { true; }
each all "one that is expelled"
off hold

# Nobody waits for the tasks, but its module does.
load orders
load immediate_rs
soon in_force immediate_rs
op() { env echo 0 >$K/immediate_rs/enabled; }
settled() { gone $K/immediate_rs; }
untouched() { has 1 $K/immediate_rs/enabled && in_force immediate_rs; }
undo() { soon rmmod immediate_rs && load immediate_rs && soon in_force immediate_rs; }
each one "disabling an immediate patch"
off immediate_rs
check "orders unloads" unload orders

# The patched function makes a variable for each task, or does without.
load shadow_rs
soon in_force shadow_rs
op() { cat /proc/cmdline >/dev/null; }
settled() { in_force shadow_rs; }
untouched() { false; }
undo() { true; }
each one "a shadow variable"
off shadow_rs

echo "     kernel memory after the core came and went $before kB, now $(kept) kB"
check "no memory is kept" [ $(($(kept) - before)) -lt 3000 ]
until_ "klp_rs unloads" 20 rmmod klp_rs
look
check "  and has given back all that it had" [ "$live" = 0 ]
check "starve unloads" unload starve

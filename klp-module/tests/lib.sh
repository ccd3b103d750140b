# SPDX-License-Identifier: GPL-2.0-only
#
# What the tests share: counting, and waiting with a bound. Sourced by run.sh, which prints the last line.

# What was logged before is not ours; /dev/kmsg keeps it.
dmesg --clear
passed=0
failed=0
K=/sys/kernel/klp_rs
T=$(mktemp -d)

usleep() { sleep "$(($1 / 1000000)).$(printf %06d $(($1 % 1000000)))"; }

pass() { passed=$((passed + 1)); echo "ok   $*"; }
fail() { failed=$((failed + 1)); echo "FAIL $*"; dmesg | grep -E 'klp_rs|livepatch|hold:|agree:|BUG|WARN|RIP' | tail -n 6 | sed 's/^/     /'; }

# check WHAT COMMAND...: the command succeeds.
check() {
    what=$1
    shift
    if "$@" >"$T/out" 2>&1; then pass "$what"; else fail "$what: $* ($(head -n 3 "$T/out"))"; fi
}

# until_ WHAT TENTHS COMMAND...: the command succeeds within so many tenths of a second.
until_() {
    what=$1 left=$2
    shift 2
    while [ "$left" -gt 0 ]; do
        if "$@" >/dev/null 2>&1; then pass "$what"; return 0; fi
        usleep 100000
        left=$((left - 1))
    done
    fail "$what: not in time"
    return 1
}

# held PROCESS: waits until it sleeps in agree_hold() or in what stands for it.
held() {
    for tenth in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        grep -q _hold "/proc/$1/stack" && return
        usleep 100000
    done
    fail "$1 does not sleep in agree_hold: $(cat "/proc/$1/stack")"
}

is() { [ "$(cat "$1" 2>/dev/null)" = "$2" ]; }
gone() { [ ! -e "$1" ]; }
logged() { dmesg | grep -qF "$1"; }
now() { awk '{ print int($1 * 1000) }' /proc/uptime; }
load() { insmod "/modules/$1.ko" $2; }

# How the load of a patch ends: the errno's text, or "loaded".
refusal() {
    if insmod "$@" 2>"$T/out"; then echo loaded; else sed 's/.*: //' "$T/out"; fi
}

# write VALUE FILE, its error in $T/out.
write() { { echo "$1" >"$2"; } 2>"$T/out"; }
# The write fails, for this reason; the shell's own echo would not tell it.
refused() { ! env echo "$1" 2>"$T/out" >"$2" && grep -q "$3" "$T/out"; }
# Within three seconds.
unload() { i=0; while ! rmmod $1 2>/dev/null && [ $i -lt 30 ]; do usleep 100000; i=$((i + 1)); done; [ $i -lt 30 ]; }
tracing=/sys/kernel/tracing
traced=$tracing/enabled_functions
# ftrace has nothing of the function any more.
free() { [ -r $traced ] && ! grep -q "^$1 " $traced; }
# Disabled, gone and unloaded.
leaves() { write 0 $K/$1/enabled; until_ "$1 leaves" 50 gone $K/$1 && check "$1 unloads" unload $1; }

# Kernel memory in kilobytes.
kept() { awk '/^(Slab|VmallocUsed|KernelStack):/ { sum += $2 } END { print sum }' /proc/meminfo; }
# What the kernel is tainted by beside O, E and K: out of tree, unsigned, the kernel's own core (kernel/panic.c:taint_flags).
tainted() { echo $(($(cat /proc/sys/kernel/tainted) & ~(4096 | 8192 | 32768))); }

# value NAME [LINE]: the number behind a name in /proc/agree/count, in its first line or in the one that begins so.
value() { awk -v name="$1" -v line="${2:-calls}" '$1 == line { for (i = 1; i < NF; i++) if ($i == name) print $(i + 1) }' /proc/agree/count; }

# agree_turn comes, and its transition can end in neither direction: somebody sleeps in the original, somebody else in the
# patch. Every turn moves all others. turns COUNT, then unstuck.
stuck() {
    cat /proc/agree/hold &
    in_original=$!
    held $in_original
    load agree_turn || return
    cat /proc/agree/hold &
    in_patch=$!
    held $in_patch
    check "somebody sleeps in the patch" grep -q patched_hold /proc/$in_patch/stack
}
turns() {
    left=$1
    while [ "$left" -gt 0 ]; do
        left=$((left - 1))
        write 0 $K/agree_turn/enabled && usleep 3000 && write 1 $K/agree_turn/enabled && usleep 3000 || return
        reversed=$((reversed + 2))
    done
}
unstuck() {
    write 1 /proc/agree/gate
    wait $in_original $in_patch
    write 0 /proc/agree/gate
}

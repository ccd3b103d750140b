# SPDX-License-Identifier: GPL-2.0-only
#
# What the guest scripts share: counting, waiting with a bound, and the last line. Sourced by /init in the VM.

echo "=== guest $(uname -r)"
dmesg -n 1
passed=0
failed=0
K=/sys/kernel/klp_rs

pass() { passed=$((passed + 1)); echo "ok   $*"; }
fail() { failed=$((failed + 1)); echo "FAIL $*"; dmesg | grep -E 'klp_rs|livepatch|hold:|agree:|BUG|WARN|RIP' | tail -n 6 | sed 's/^/     /'; }

# check WHAT COMMAND...: the command succeeds.
check() {
    what=$1
    shift
    if "$@" >/tmp/out 2>&1; then pass "$what"; else fail "$what: $* ($(head -n 3 /tmp/out))"; fi
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

is() { [ "$(cat "$1" 2>/dev/null)" = "$2" ]; }
gone() { [ ! -e "$1" ]; }
logged() { dmesg | grep -qF "$1"; }
now() { awk '{ print int($1 * 1000) }' /proc/uptime; }
load() { insmod "/modules/$1.ko" $2; }

# How the load of a patch ends: the errno's text, or "loaded".
refusal() {
    if insmod "$@" 2>/tmp/out; then echo loaded; else sed 's/.*: //' /tmp/out; fi
}

# write VALUE FILE, its error in /tmp/out.
write() { { echo "$1" >"$2"; } 2>/tmp/out; }
# The write fails, for this reason.
refused() { if write "$1" "$2"; then return 1; else grep -q "$3" /tmp/out; fi; }
# Within three seconds.
unload() { i=0; while ! rmmod $1 2>/dev/null && [ $i -lt 30 ]; do usleep 100000; i=$((i + 1)); done; [ $i -lt 30 ]; }
# Disabled, gone and unloaded.
leaves() { write 0 $K/$1/enabled; until_ "$1 leaves" 50 gone $K/$1 && check "$1 unloads" unload $1; }

finish() {
    warnings=$(dmesg | grep -E 'WARNING:|BUG:|Oops|Call Trace|general protection|rcu:.*stall|scheduling while atomic' | head -n 5)
    if [ -z "$warnings" ]; then pass "no warning in the kernel log"; else fail "kernel log: $warnings"; fi
    echo "$passed passed, $failed failed"
    poweroff -f
}

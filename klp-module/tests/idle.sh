# SPDX-License-Identifier: GPL-2.0-only
#
# idle.sh [without_ways]
#
# Idle tasks that are inside a patched function whenever somebody looks: their processor is halted there, and RCU is not
# watching. They are woken, and move on their way out: after a few looks. With the core made WITHOUT=ways they are not woken,
# and nothing else does it: then some transition takes many looks that find idle tasks and nobody else.

core=${1:-klp_rs}
few=8

load "$core"
load agree idle=1
echo 1 >$tracing/events/klp_rs/enable
# The other processor has nothing to do, but what is its own.
everybody() {
    for process in /proc/[0-9]*; do taskset -a -p -c "$1" "${process#/proc/}" >/dev/null 2>&1; done
    write "$2" /sys/devices/virtual/workqueue/cpumask
}
workers=$(cat /sys/devices/virtual/workqueue/cpumask)
everybody 0 1
[ "$core" = klp_rs ] || write Y /sys/module/klp_rs/parameters/without_wake

late=0
most=0
# Looks that found idle tasks only.
finds_idle() {
    awk '/klp_rs_verdict: / { if (/klp_rs_verdict: swapper/) idle = 1; else other = 1 }
         /round ended/ { if (idle && !other) n++; idle = other = 0 }
         END { print n + 0 }' $tracing/trace
}
# settles COMMAND...: the command succeeds, within twenty seconds; notes how many looks at the tasks that took.
settles() {
    begun=$(now)
    until "$@" || [ $(($(now) - begun)) -gt 20000 ]; do usleep 5000; done
    "$@" || late=$((late + 1))
    if [ "$core" = klp_rs ]; then looks=$(grep -c 'round ended' $tracing/trace); else looks=$(finds_idle); fi
    [ "$looks" -le $most ] || most=$looks
}
entered() { [ "$(value v2 idle)" -gt "$entered" ]; }
cycles=0
while [ $cycles -lt 5 ] && [ $most -le $few ]; do
    cycles=$((cycles + 1))
    echo >$tracing/trace
    entered=$(value v2 idle)
    load agree_v2
    settles is $K/agree_v2/transition 0
    until_ "idle tasks are in it" 50 entered
    echo >$tracing/trace
    write 0 $K/agree_v2/enabled
    settles gone $K/agree_v2
    check "agree_v2 unloads" unload agree_v2
done
echo "     cycles $cycles, most looks $most, late $late"
grep idle /proc/agree/count | sed 's/^/     /'
if [ "$core" = klp_rs ]; then
    check "$cycles transitions there and back take at most $few looks (was: $most)" [ $most -le $few ]
    check "  and none is late" [ $late = 0 ]
    check "both versions were called by idle" [ "$(value v1 idle)" -gt 20 -a "$(value v2 idle)" -gt 20 ]
else
    check "some transition takes more than $few looks that find idle tasks only" [ $most -gt $few ]
fi
check "no call saw two versions" [ "$(value mixed)" = 0 ]
if [ "$core" = klp_rs ]; then
    # Whoever is inside was not waited for: every look interrupts it, so it leaves, and does not come back.
    entered=$(value v2 idle)
    load agree_v2 immediate=1
    until_ "idle tasks are in an immediate function" 50 entered
    write 0 $K/agree_v2/enabled
    until_ "  which goes" 20 gone $K/agree_v2
    check "  and its module, too" unload agree_v2
fi
everybody 0-1 "$workers"
check "agree unloads" rmmod agree
echo 0 >$tracing/events/klp_rs/enable
until_ "klp_rs unloads" 50 rmmod klp_rs

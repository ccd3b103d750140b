# SPDX-License-Identifier: GPL-2.0-only
#
# storm.sh [SECONDS]
#
# Two functions that must agree, called by everybody, while patches for them come, turn round, stack and go, a processor goes
# and comes, and all of sysfs is read. No call may see two versions. That this can fail is what rule.sh shows.

seconds=${1:-40}
load klp_rs
check "the target loads" load agree "kthreads=2 interrupts=1 nmis=1"
storm "$seconds" >"$T/storm" 2>&1 &
storm=$!
cpu=/sys/devices/system/cpu/cpu1/online
(while [ ! -e "$T/stop" ]; do
    write 0 $cpu && usleep 200000
    write 1 $cpu && echo again >>"$T/plugged" && usleep 500000
done) &
plugging=$!
# The patches come and go as fast as they can, however busy the machine is.
renice -n -19 -p $$ >/dev/null
end=$(($(now) + seconds * 1000 - 2000))
cycles=0
reversed=0
stacked=0
replaced=0
slowest=0
late=0

# settle PATCH: waits until it is no longer in transition, notes the longest wait in milliseconds.
settle() {
    begun=$(now)
    while is $K/$1/transition 1; do
        if [ $(($(now) - begun)) -gt 10000 ]; then
            late=$((late + 1))
            return 1
        fi
        usleep 2000
    done
    waited=$(($(now) - begun))
    [ $waited -le $slowest ] || slowest=$waited
}

leave() {
    write 0 $K/$1/enabled
    begun=$(now)
    while [ -e $K/$1 ] && [ $(($(now) - begun)) -lt 10000 ]; do usleep 2000; done
    waited=$(($(now) - begun))
    [ $waited -le $slowest ] || slowest=$waited
    [ ! -e $K/$1 ] || late=$((late + 1))
    while ! rmmod $1 2>/dev/null && [ $(($(now) - begun)) -lt 12000 ]; do usleep 5000; done
}

while [ "$(now)" -lt "$end" ] && [ "$late" = 0 ]; do
    cycles=$((cycles + 1))
    # One round of these five, then one that does it the other way.
    other=$((cycles / 5 % 2))
    if [ $((cycles % 5)) = 0 ]; then
        stuck || break
        turns 20
        unstuck
        settle agree_turn
        leave agree_turn
        continue
    fi
    load agree_v2 || break
    case $((cycles % 5)) in
    1)
        # Turned round on the way to and from; the second write only succeeds while the transition runs.
        for turn in 1 2 3 4 5 6 7 8 9 10; do
            write 0 $K/agree_v2/enabled && write 1 $K/agree_v2/enabled || break
            reversed=$((reversed + 1))
            [ $((turn % 2)) = 0 ] || settle agree_v2 || break
        done
        ;;
    2)
        settle agree_v2
        # On top, and away in the order of coming or in the opposite one.
        if load agree_v3; then
            stacked=$((stacked + 1))
            settle agree_v3
            if [ $other = 0 ]; then leave agree_v2; leave agree_v3; continue; fi
            leave agree_v3
        fi
        ;;
    3)
        # Replaced: while it is on its way, or when it has arrived.
        [ $other = 0 ] || settle agree_v2
        until load agree_v3 replace=1 2>/dev/null; do settle agree_v2 || break; done
        settle agree_v3 && replaced=$((replaced + 1))
        unload agree_v2
        leave agree_v3
        continue
        ;;
    *)
        settle agree_v2
        usleep 20000
        ;;
    esac
    [ ! -e $K/agree_v2 ] || settle agree_v2
    leave agree_v2
done
touch "$T/stop"
wait $plugging $storm
sed 's/^/     /' /proc/agree/count "$T/storm"
said() { awk -v name="$1" '{ for (i = 1; i < NF; i++) if ($i == name) print $(i + 1) }' "$T/storm"; }
plugged=$(wc -l <"$T/plugged")
echo "     cycles $cycles, reversals $reversed, stacked $stacked, replaced $replaced, slowest ${slowest} ms, late $late, plugged $plugged"
check "no call saw two versions" [ "$(value mixed)" = 0 ]
check "at least ${LEAST:-100000} calls" [ "$(value calls)" -ge "${LEAST:-100000}" ]
for who in tasks kthreads io_workers faults interrupts nmis; do
    check "both versions were called by $who" [ "$(value v1 $who)" -gt 20 -a "$(value v2 $who)" -gt 20 ]
done
check "transitions turned round" [ "$reversed" -gt 0 ]
check "patches were stacked" [ "$stacked" -gt 0 ]
check "patches were replaced" [ "$replaced" -gt 0 ]
check "a processor went and came" [ "$plugged" -gt 1 ]
check "  and is there" is $cpu 1
check "sysfs was read" [ "$(said read)" -gt 100 ]
check "who polled was told of every change" [ "$(said told)" = "$(said met)" -a "$(said ended)" -gt 0 ]
check "no transition was late" [ "$late" = 0 ]
until_ "the target unloads" 20 rmmod agree
until_ "klp_rs unloads" 50 rmmod klp_rs

# SPDX-License-Identifier: GPL-2.0-only
#
# storm.sh [SECONDS]
#
# Two functions that must agree, called by everybody, while patches for them come, turn round, stack and go. No call may
# see two versions.

seconds=${1:-40}
load klp_rs
check "the target loads" load agree "kthreads=2"
storm "$seconds" &
storm=$!
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

while [ "$(now)" -lt "$end" ]; do
    cycles=$((cycles + 1))
    load agree_v2 || break
    case $((cycles % 4)) in
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
            if [ $((cycles % 8)) = 2 ]; then leave agree_v2; leave agree_v3; continue; fi
            leave agree_v3
        fi
        ;;
    3)
        # Replaced: while it is on its way, or when it has arrived.
        [ $((cycles % 8)) = 3 ] || settle agree_v2
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
    [ "$late" = 0 ] || break
done
wait $storm
cat /proc/agree/count
set -- $(cat /proc/agree/count)
calls=$2 mixed=$4 v1=$6 v2=$8
echo "     cycles $cycles, reversals $reversed, stacked $stacked, replaced $replaced, slowest ${slowest} ms, late $late"
check "no call saw two versions" [ "$mixed" = 0 ]
check "at least ${LEAST:-100000} calls" [ "$calls" -ge "${LEAST:-100000}" ]
check "both versions were called" [ "$v1" -gt 100 -a "$v2" -gt 100 ]
check "transitions turned round" [ "$reversed" -gt 0 ]
check "patches were stacked" [ "$stacked" -gt 0 ]
check "patches were replaced" [ "$replaced" -gt 0 ]
check "no transition was late" [ "$late" = 0 ]
until_ "the target unloads" 20 rmmod agree
until_ "klp_rs unloads" 50 rmmod klp_rs

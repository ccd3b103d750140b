# SPDX-License-Identifier: GPL-2.0-only
#
# CPUs go and come while patches do.

load klp_rs
load agree kthreads=2
(while [ ! -e "$T/stop" ]; do
    echo 0 >/sys/devices/system/cpu/cpu1/online
    usleep 100000
    echo 1 >/sys/devices/system/cpu/cpu1/online
    usleep 100000
done) &
i=0
bad=0
while [ $i -lt ${1:-20} ]; do
    i=$((i + 1))
    load agree_v2 || bad=$((bad + 1))
    tries=0
    while is $K/agree_v2/transition 1 && [ $tries -lt 1000 ]; do usleep 5000; tries=$((tries + 1)); done
    [ $tries -lt 1000 ] || bad=$((bad + 1))
    echo 0 >$K/agree_v2/enabled || bad=$((bad + 1))
    tries=0
    while ! rmmod agree_v2 2>/dev/null && [ $tries -lt 1000 ]; do usleep 5000; tries=$((tries + 1)); done
    [ $tries -lt 1000 ] || bad=$((bad + 1))
done
touch "$T/stop"
wait
set -- $(cat /proc/agree/count)
echo "     calls $2 mixed $4 v1 $6 v2 $8"
check "$i cycles, none bad (was: $bad)" [ $bad = 0 ]
check "no call saw two versions" [ "$4" = 0 ]
check "the processor is back" is /sys/devices/system/cpu/cpu1/online 1
check "agree unloads" rmmod agree
check "klp_rs unloads" rmmod klp_rs

# SPDX-License-Identifier: GPL-2.0-only
#
# CPUs go and come while patches do, and idle ones call what is patched while RCU is not watching them.

load klp_rs
load agree "kthreads=2 interrupts=1 nmis=1 idle=1"
cpu=/sys/devices/system/cpu/cpu1/online
(while [ ! -e "$T/stop" ]; do
    echo 0 >$cpu
    usleep 100000
    echo 1 >$cpu
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
check "$i cycles, none bad (was: $bad)" [ $bad = 0 ]

# While one transition lasts, and turns round.
reversed=0
stuck
for round in 1 2 3; do
    check "the processor goes" write 0 $cpu
    turns 2
    check "the processor comes" write 1 $cpu
    turns 2
done
check "the transition was turned round every time" [ $reversed = 24 ]
check "  and lasts" is $K/agree_turn/transition 1
unstuck
until_ "  until those who kept it are gone" 50 is $K/agree_turn/transition 0
leaves agree_turn
sed 's/^/     /' /proc/agree/count
check "no call saw two versions" [ "$(value mixed)" = 0 ]
for who in kthreads interrupts nmis idle; do
    check "both versions were called by $who" [ "$(value v1 $who)" -gt 20 -a "$(value v2 $who)" -gt 20 ]
done
check "the processor is back" is $cpu 1
check "agree unloads" rmmod agree
check "klp_rs unloads" rmmod klp_rs

# SPDX-License-Identifier: GPL-2.0-only
#
# Functions without consistency: nobody is waited for, but a module waits for whoever is inside.

load klp_rs
load agree
cat /proc/agree/hold &
early=$!
usleep 300000
load hold immediate=1
until_ "an immediate function does not wait for who sleeps in the original" 10 is $K/hold/transition 0
cat /proc/agree/hold &
late=$!
usleep 300000
write 0 $K/hold/enabled
until_ "  nor for who sleeps in the replacement" 10 gone $K/hold
usleep 500000
check "  whose module stays" sh -c "! rmmod hold 2>/dev/null"
check "  and its text with it" kill -0 $late
write 1 /proc/agree/gate
wait $early $late
check "  until they have left" unload hold
write 0 /proc/agree/gate
check "agree unloads" unload agree

# A patch that replaces without waiting: the replaced one waits.
load agree
load hold
until_ "a patch with a function to sleep in" 50 is $K/hold/transition 0
cat /proc/agree/hold &
late=$!
usleep 300000
load bad case=immediate_replace
until_ "is replaced by one that does not wait" 10 is $K/bad/transition 0
until_ "  and gone" 20 gone $K/hold
usleep 500000
check "  whose module stays" sh -c "! rmmod hold 2>/dev/null"
write 1 /proc/agree/gate
wait $late
check "  until the sleeper has left" unload hold
leaves bad
check "agree unloads" unload agree

# Refused late: its first function was never in force.
original=$(cat /proc/cmdline)
load twins
insmod /modules/bad.ko case=immediate_refused 2>/dev/null &
loading=$!
i=0 seen=0
while kill -0 $loading 2>/dev/null; do
    [ "$(cat /proc/cmdline)" = "$original" ] || seen=$((seen + 1))
    i=$((i + 1))
done
wait $loading
check "a patch is refused late" logged "klp_rs: failed to enable patch 'bad'"
check "  nobody entered its immediate function meanwhile ($i asked)" [ $i -gt 5 -a $seen = 0 ]
check "twins unloads" unload twins
until_ "klp_rs unloads" 20 rmmod klp_rs

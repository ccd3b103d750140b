# SPDX-License-Identifier: GPL-2.0-only
#
# A sleeper that nobody else wakes is kicked after signal_after_ms, restarts its system call, and finds itself patched.

insmod /modules/klp_rs.ko signal_after_ms=2000
load agree
cat /proc/agree/hold &
reader=$!
held $reader
load hold
check "the transition lasts" is $K/hold/transition 1
until_ "it ends without help" 30 is $K/hold/transition 0
check "with a word in the log" logged "klp_rs: signaling remaining tasks"
check "the sleeper still sleeps" kill -0 $reader
check "  in the new function" grep -q patched_hold /proc/$reader/stack
echo 1 >/proc/agree/gate
check "it ends well" wait $reader
leaves hold
check "agree unloads" unload agree
until_ "klp_rs unloads" 50 rmmod klp_rs

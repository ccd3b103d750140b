# SPDX-License-Identifier: GPL-2.0-only
#
# A transition that is forced ends at once, and its module stays until the next boot: nothing can take that back.

load klp_rs
load agree
load hold
until_ "a patch is complete" 50 is $K/hold/transition 0
cat /proc/agree/hold &
reader=$!
held $reader
check "disabling it begins" write 0 $K/hold/enabled
check "  and lasts" is $K/hold/transition 1
check "force ends it" write 1 $K/hold/force
until_ "  at once" 10 gone $K/hold
check "  with a word in the log" logged "klp_rs: forcing remaining tasks to the patched state"
check "  and its module stays for ever" sh -c '! rmmod hold'
write 1 /proc/agree/gate
check "the sleeper ends well" wait $reader
check "agree unloads" unload agree
check "klp_rs does not" sh -c '! rmmod klp_rs'

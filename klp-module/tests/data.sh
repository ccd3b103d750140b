# SPDX-License-Identifier: GPL-2.0-only
#
# What patches change beside functions: system states, and shadow variables.

load klp_rs
said() { dmesg | grep "^.*data" | tail -n "${2:-1}" | grep -qF "$1"; }

check "a patch with shadow variables loads" load data "shadow=1 first=2"
check "  one is constructed" logged "data: constructed 5"
check "  and found" logged "data: found again"
check "  by its object and id only" logged "data: other id not found, other object not found"
check "  a constructor can refuse" logged "data: refused and not there"
check "  which the log says" logged "klp_rs: Failed to construct shadow variable <"
check "  without one it is zeroed" logged "data: without constructor 0"
check "  all of an id are taken away" logged "data: taken away 2, left none"
dmesg | grep "data: contended" | sed 's/^/     /'
check "  whoever contends for one finds it constructed" sh -c 'dmesg | grep -q "data: contended, [0-9]* made, 0 wrong, 0 left"'
until_ "  and its transition ends" 50 is $K/data/transition 0
check "callbacks know its state" logged "data: pre_patch: own 2, previous -1"

# A state that is there.
check "a lower version is refused" [ "$(refusal /modules/data_next.ko first=1)" = "Invalid parameters" ]
check "  with a word" logged "klp_rs: Livepatch patch (data_next) is not compatible with the already installed livepatches."
check "  and leaves nothing" gone $K/data_next
check "a replacing patch that does not know it is refused" [ "$(refusal /modules/data_next.ko second=1 replace=1)" = "Invalid parameters" ]
check "  and calls no callback" sh -c '! dmesg | grep -q "data_next: pre_patch"'
check "another that does not know it comes on top" load data_next second=1
until_ "  complete" 50 is $K/data_next/transition 0
check "  its callbacks know what was before" logged "data_next: pre_patch: own -1, previous 2"
leaves data_next
check "one with the same version comes on top" load data_next first=2
until_ "  complete" 50 is $K/data_next/transition 0
check "  before and after" logged "data_next: post_patch: own 2, previous 2"
leaves data_next
check "  and as it goes" logged "data_next: post_unpatch: own 2, previous 2"
check "a callback that fails knows what was before" [ "$(refusal /modules/data_next.ko first=4 fail=-5)" = "Input/output error" ]
check "  too" logged "data_next: pre_patch: own 4, previous 2"
check "a higher version replaces it" load data_next "first=3 replace=1"
until_ "  complete" 50 is $K/data_next/transition 0
check "  knowing it to the end" logged "data_next: post_patch: own 3, previous 2"
until_ "  the old one has gone" 20 gone $K/data
check "  and unloads" unload data
leaves data_next
check "  nothing was before it as it went" logged "data_next: post_unpatch: own 3, previous -1"
until_ "klp_rs unloads with a variable left behind" 20 rmmod klp_rs

# SPDX-License-Identifier: GPL-2.0-only
#
# The set of tasks that have moved, when children of one of them need more room than it has: it grows, and when there is no
# memory for that, children stay where their parent no longer is, and the transition does not end beside them.

S=/proc/starve
slots=kvrealloc_node_align_noprof
refuse() { echo "$*" >$S/refuse; }
# NAME of the segments of task sets so far: made, freed.
segments() { awk -v name="$1" -v slots="$slots" '$1 == slots { for (i = 2; i < NF; i++) if ($i == name) print $(i + 1) }' $S/state; }
mkfifo "$T/orders"
# come COUNT: they are forked while the transition lasts.
come() {
    storm crowd "$1" <"$T/orders" >"$T/answers" &
    crowd=$!
    exec 5>"$T/orders"
    until_ "$1 children come" 300 grep -q there "$T/answers"
}
go() {
    exec 5>&-
    wait $crowd
}
# ask ORDER: who calls what is in $answer.
ask() {
    before=$(wc -l <"$T/answers")
    echo "$1" >&5
    for tenth in $(seq 300); do
        [ "$(wc -l <"$T/answers")" = "$before" ] || break
        usleep 100000
    done
    answer=$(tail -n 1 "$T/answers")
}
all_call() { ask call; [ "$answer" = "$1" ]; }
# How many called version $1.
called() { echo "$answer" | awk -v name="v$1" '{ for (i = 1; i < NF; i++) if ($i == name) print $(i + 1) }'; }

load starve
load klp_rs
load agree
count=600

# It grows.
stuck
made=$(segments made)
come $count
check "more room was made for them, twice" [ $(($(segments made) - made)) -ge 2 ]
echo "     segments $(($(segments made) - made + 1)), the largest $(segments largest) bytes"
check "  all of them have moved, as their parent had" all_call "v1 0 v2 $count v3 0"
check "it is turned round" write 0 $K/agree_turn/enabled
until_ "  all of them move back" 50 all_call "v1 $count v2 0 v3 0"
check "and again" write 1 $K/agree_turn/enabled
until_ "  all of them move" 50 all_call "v1 0 v2 $count v3 0"
check "  while it still lasts" is $K/agree_turn/transition 1
unstuck
until_ "it ends" 50 is $K/agree_turn/transition 0
check "  for all of them" all_call "v1 0 v2 $count v3 0"
until_ "  all segments are freed" 20 eval '[ "$(segments made)" = "$(segments freed)" ]'
go
leaves agree_turn

# It cannot grow.
stuck
refuse "1+ $slots"
come $count
until_ "there is no memory for more room" 20 logged "no memory for the states of more tasks"
ask call
check "  children that have none stay where their parent was ($answer)" [ "$(called 1)" -gt 50 -a "$(called 2)" -gt 50 ]
unstuck
usleep 1500000
check "  the transition does not end beside them" is $K/agree_turn/transition 1
ask call
check "  and they stay there ($answer)" [ "$(called 1)" -gt 50 -a "$(called 2)" -gt 50 ]
refuse off
until_ "it ends when there is memory" 50 is $K/agree_turn/transition 0
check "  for all of them" all_call "v1 0 v2 $count v3 0"
go
leaves agree_turn

# The same, and all who stay have moved: only children that come and go have no room, and they call before they ever were in
# user space. This core waits between its last look at the tasks and the end, so that there always is one that it did not see.
goes() {
    until_ "  all segments are freed" 20 eval '[ "$(segments made)" = "$(segments freed)" ]'
    check "  no call saw two versions" [ "$(value mixed)" = 0 ]
    check "agree unloads" unload agree
    until_ "klp_rs unloads" 20 rmmod klp_rs
}
goes
load without_haste
load agree
control=/sys/kernel/debug/dynamic_debug/control
[ -e $control ] || mount -t debugfs debugfs /sys/kernel/debug
echo "module klp_rs +p" >$control
stuck
refuse "1+ $slots"
storm 100 fault fault >/dev/null 2>&1 &
storm=$!
come $count
ask thin
echo "     $answer before who has no room goes"
unstuck
until_ "the tasks are looked at again because of a child that has no room" 100 logged "looking again: a child was forked"
check "  and the transition lasts" is $K/agree_turn/transition 1
kill $storm
wait $storm
until_ "it ends when none comes any more" 100 is $K/agree_turn/transition 0
refuse off
check "  for all that stay" [ "$(ask call; called 1)" = 0 ]
echo "module klp_rs -p" >$control
echo "     looked again $(dmesg | grep -c 'looking again: a child') times; calls by children as they came: $(grep faults /proc/agree/count)"
go
leaves agree_turn
goes
check "starve unloads" unload starve

# SPDX-License-Identifier: GPL-2.0-only
#
# Every sample: loaded, in force, taken back, unloaded. (cmdline_c and cmdline_rs are in basic.sh.)

original=$(cat /proc/cmdline)
load klp_rs
# loads SAMPLE: and its transition ends.
loads() { check "$1 loads" load "$1" && until_ "  its transition ends" 50 is $K/$1/transition 0; }
list() { tr '\n' '|' </proc/orders; }

loads module_rs
check "  its object is not there yet" is $K/module_rs/orders/patched 0
load orders
write 3 /proc/orders
check "  it is patched as it comes" [ "$(list)" = "an order over 3|" ]
leaves module_rs
check "  and back" [ "$(list)" = "3|" ]

loads transform_rs
write 5 /proc/orders
check "  new objects have the field, old ones do not" [ "$(list)" = "3, old|5, number 1|" ]
write drop /proc/orders
write drop /proc/orders
write 7 /proc/orders
check "  it goes and comes with its object" [ "$(list)" = "7, number 2|" ]
cat /proc/orders_wait &
reader=$!
leaves transform_rs
check "  and goes with the patch" [ "$(list)" = "7|" ]
loads transform_rs
check "  which begins anew" [ "$(list)" = "7, old|" ]
leaves transform_rs

# A reader sleeps in order_wait() all the time.
loads immediate_rs
check "  somebody still sleeps in the original" kill -0 $reader
check "  nobody new does" cat /proc/orders_wait
check "  the function beside it is in force" [ "$(list)" = "an order|" ]
write 9 /proc/orders
wait $reader
check "  who slept has gone on" sh -c "! kill -0 $reader 2>/dev/null"
leaves immediate_rs
check "orders unloads" unload orders

# Fields of tasks.
loads shadow_rs
first=$(cat /proc/cmdline)
check "  the first read of a task" [ "$first" = "read 1 times by this task" ]
several=$(dd if=/proc/cmdline bs=1000 count=1 2>/dev/null; exec 3</proc/cmdline; dd bs=1000 count=1 <&3 2>/dev/null)
check "  each task counts its own" [ "$several" = "read 1 times by this task
read 1 times by this task" ]
again() { while read -r line; do echo "$line"; done </proc/cmdline; while read -r line; do echo "$line"; done </proc/cmdline; }
check "  and goes on counting" [ "$(again)" = "read 1 times by this task
read 2 times by this task" ]
leaves shadow_rs
check "  and back" is /proc/cmdline "$original"
loads shadow_rs
check "  it counts anew" [ "$(cat /proc/cmdline)" = "read 1 times by this task" ]
leaves shadow_rs

loads callbacks_rs
check "  pre_patch" logged "callbacks_rs: pre_patch: kept 42"
check "  post_patch" logged "callbacks_rs: post_patch: every task has the patch"
check "  in force" is /proc/cmdline "patched, with callbacks"
leaves callbacks_rs
check "  pre_unpatch" logged "callbacks_rs: pre_unpatch: every task still has it"
check "  post_unpatch" logged "callbacks_rs: post_unpatch: put back 42"
loads callbacks_rs
loads cumulative_rs
check "  in force" is /proc/cmdline "patched, cumulatively"
check "  it took over" logged "cumulative_rs: took over 42 of version 1"
until_ "  the other has gone" 20 gone $K/callbacks_rs
check "  and unloads" unload callbacks_rs
check "an older one is refused" [ "$(refusal /modules/callbacks_rs.ko)" = "Invalid parameters" ]
leaves cumulative_rs
check "  it put back what it took over" logged "cumulative_rs: put back 42"
check "the original is back" is /proc/cmdline "$original"
until_ "klp_rs unloads" 20 rmmod klp_rs

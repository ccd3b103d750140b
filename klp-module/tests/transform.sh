# SPDX-License-Identifier: GPL-2.0-only
#
# What transform_rs shows while its transition lasts: orders with a number are made already, and orders without one still. With
# the core made WITHOUT=ways, so that it is known who has moved.

off=/sys/module/klp_rs/parameters
list() { tr '\n' '|' </proc/orders; }
lists() { [ "$(list)" = "$1" ]; }

load without_ways signal_after_ms=0
load orders
write 1 /proc/orders
mkfifo "$T/orders"
# Makes an order of each line.
(while read -r amount; do echo "$amount" >/proc/orders; done <"$T/orders") &
early=$!
# For reading, too: else this waits for the reader, who may have failed.
exec 3<>"$T/orders"
until_ "somebody waits for orders" 50 grep -q pipe_read /proc/$early/stack

# Nobody moves.
for way in sleep exit schedule interrupt sweep; do write Y $off/without_$way; done
check "transform_rs loads" load transform_rs
check "  its transition lasts" is $K/transform_rs/transition 1
echo 2 >&3
until_ "  who has not moved makes an order without a number" 50 lists "1|2|"

# Whoever returns from a system call moves: who writes this did so long before.
write N $off/without_exit
write 3 /proc/orders
check "  who has moved makes one with a number, and calls no other old" lists "1|2|3, number 1|"
check "  its transition lasts" is $K/transform_rs/transition 1
for way in sleep schedule interrupt sweep; do write N $off/without_$way; done
until_ "  its transition ends" 50 is $K/transform_rs/transition 0
check "  then those without one are called old" lists "1, old|2, old|3, number 1|"
echo 4 >&3
until_ "  and who made one of them makes one with a number" 50 lists "1, old|2, old|3, number 1|4, number 2|"
exec 3>&-
wait $early
leaves transform_rs
check "orders unloads" unload orders
until_ "klp_rs unloads" 50 rmmod klp_rs

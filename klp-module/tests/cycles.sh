# SPDX-License-Identifier: GPL-2.0-only
#
# cycles.sh [COUNT]: a patch comes and goes, with its module, again and again, while its function is called all the time, by one
# process and by ever new ones; nothing is left behind.

count=${1:-200}
load klp_rs
(while [ ! -e "$T/stop" ]; do read -r text </proc/cmdline; done) &
caller=$!
(while [ ! -e "$T/stop" ]; do cat /proc/cmdline >"$T/text" && echo again >>"$T/called"; done) &
callers=$!
# The patch comes and goes as fast as it can all the same.
renice -n -19 -p $$ >/dev/null
done_=0
bad=0
while [ $done_ -lt $count ]; do
    done_=$((done_ + 1))
    load cmdline_rs || bad=$((bad + 1))
    until_quiet=0
    while is $K/cmdline_rs/transition 1 && [ $until_quiet -lt 500 ]; do usleep 5000; until_quiet=$((until_quiet + 1)); done
    is /proc/cmdline "this has been live patched in Rust" || bad=$((bad + 1))
    echo 0 >$K/cmdline_rs/enabled || bad=$((bad + 1))
    tries=0
    while ! rmmod cmdline_rs 2>/dev/null && [ $tries -lt 500 ]; do usleep 5000; tries=$((tries + 1)); done
    [ $tries -lt 500 ] || bad=$((bad + 1))
    # The first ones fill caches.
    [ $done_ != 10 ] || before=$(kept)
done
touch "$T/stop"
wait $caller $callers
check "$count cycles, none bad" [ $bad = 0 ]
check "  while others called it ($(wc -l <"$T/called") processes)" [ "$(wc -l <"$T/called")" -gt "$count" ]
after=$(kept)
echo "     kernel memory after 10 cycles ${before} kB, after $count ${after} kB"
check "no memory is kept" [ $((after - before)) -lt 3000 ]
check "nobody refers to klp_rs" [ "$(cat /sys/module/klp_rs/refcnt)" = 0 ]
check "klp_rs unloads" rmmod klp_rs

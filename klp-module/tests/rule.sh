# SPDX-License-Identifier: GPL-2.0-only
#
# rule.sh window|fork [SECONDS]
#
# That the storm can fail: with a core that lacks one rule (made WITHOUT=window or WITHOUT=fork) it reports mixed versions
# within SECONDS. With such a core a task may be in a patch that nobody waits for: its module is not unloaded under callers.

rule=$1
seconds=${2:-100}
check "klp_rs without its $rule rule loads" load "without_$rule"
load agree "kthreads=2"
# Children are slow among so many others, so they are alone.
case $rule in fork) ways="fault fault fault fault fault fault" ;; *) ways= ;; esac
storm "$seconds" $ways >/dev/null 2>&1 &
storm=$!
renice -n -19 -p $$ >/dev/null
begun=$(now)
end=$((begun + seconds * 1000))
reversed=0
goes_on() { [ "$(value mixed)" = 0 ] && [ "$(now)" -lt $end ]; }
case $rule in
window)
    # Shows when a task moves between the choice of its function and that function: many moves.
    stuck
    while goes_on; do turns 5; done
    ;;
fork)
    # Shows when a transition ends while a child is inside whose parent had moved when it was forked.
    cycles=0
    while goes_on; do
        cycles=$((cycles + 1))
        load agree_v2
        until is $K/agree_v2/transition 0 || ! goes_on; do usleep 10000; done
        goes_on || break
        write 0 $K/agree_v2/enabled
        until gone $K/agree_v2 || ! goes_on; do usleep 10000; done
        # Whoever is in it has left it by then.
        usleep 1000000
        unload agree_v2
    done
    echo "     cycles $cycles"
    ;;
esac
echo "     mixed $(value mixed) after $(($(now) - begun)) ms and $(value calls) calls, reversals $reversed"
check "the storm reports mixed versions" [ "$(value mixed)" -gt 0 ]
kill $storm
wait $storm
usleep 500000
case $rule in
window)
    unstuck
    until_ "the transition ends" 50 is $K/agree_turn/transition 0
    leaves agree_turn
    ;;
fork)
    [ ! -e /sys/module/agree_v2 ] || leaves agree_v2
    ;;
esac
check "agree unloads" unload agree
until_ "klp_rs unloads" 50 rmmod klp_rs

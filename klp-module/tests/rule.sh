# SPDX-License-Identifier: GPL-2.0-only
#
# rule.sh window|fork|haste [SECONDS]
#
# That the storm can fail: with a core that lacks one rule (made WITHOUT=window or WITHOUT=fork) it reports mixed versions
# within SECONDS. With such a core a task may be in a patch that nobody waits for: its module is not unloaded under callers.
# A core made WITHOUT=haste ends transitions as slowly as the one without the fork rule, and has it: it must not be caught.

rule=$1
seconds=${2:-100}
check "klp_rs without its $rule rule loads" load "without_$rule"
load agree "kthreads=2"
# Children are slow among so many others, so they are alone.
case $rule in fork | haste) ways="fault fault fault fault fault fault" ;; *) ways= ;; esac
storm "$seconds" $ways >/dev/null 2>&1 &
storm=$!
renice -n -19 -p $$ >/dev/null
begun=$(now)
end=$((begun + seconds * 1000))
reversed=0
cycles=0
# Without the rule hardly anybody needs more than five cycles.
most=1000
[ $rule != haste ] || most=10
goes_on() { [ "$(value mixed)" = 0 ] && [ "$(now)" -lt $end ] && [ $cycles -lt $most ]; }
case $rule in
window)
    # Shows when a task moves between the choice of its function and that function: many moves.
    stuck
    while goes_on; do turns 5; done
    ;;
fork | haste)
    # Shows when a transition ends while a child is inside whose parent had moved when it was forked.
    while goes_on; do
        cycles=$((cycles + 1))
        load agree_v2
        until_ "a transition ends" 50 is $K/agree_v2/transition 0
        write 0 $K/agree_v2/enabled
        until_ "  and its way back" 50 gone $K/agree_v2
        # Whoever is in it has left it by then.
        usleep 1000000
        unload agree_v2
    done
    ;;
esac
echo "     mixed $(value mixed) after $(($(now) - begun)) ms and $(value calls) calls, cycles $cycles, reversals $reversed"
if [ $rule = haste ]; then
    check "no call saw two versions" [ "$(value mixed)" = 0 ]
    check "  of many" [ $cycles = $most -a "$(value v2 faults)" -gt 100 ]
else
    check "the storm reports mixed versions" [ "$(value mixed)" -gt 0 ]
fi
kill $storm
wait $storm
# Children that its callers had no time to wait for.
until_ "all callers are gone" 50 sh -c '! grep -qsx storm /proc/[0-9]*/comm'
if [ $rule = window ]; then
    unstuck
    until_ "the transition ends" 50 is $K/agree_turn/transition 0
    leaves agree_turn
fi
check "agree unloads" unload agree
until_ "klp_rs unloads" 50 rmmod klp_rs

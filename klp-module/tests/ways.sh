# SPDX-License-Identifier: GPL-2.0-only
#
# ways.sh [without_ways]
#
# Each way for a task to move, with a task that nothing else moves: its transition ends. With the core made WITHOUT=ways each
# way is turned off first: then the transition lasts for that task alone, however often klp_rs looks at it, all other ways
# being on; turned on again, it ends.

core=${1:-klp_rs}
off=/sys/module/klp_rs/parameters
cpu=/sys/devices/system/cpu/cpu1/online
patch=ways_patch

# begin WAY: the patch comes, with WAY off.
begin() {
    way=$1
    without "$way" Y
    echo >$tracing/trace
    load $patch
}
without() { [ $core = klp_rs ] || write "$2" "$off/without_$1"; }
moving() { is $K/$patch/transition 1; }
ends() { until_ "  its transition ends" 100 is $K/$patch/transition 0; }

# Looks at the tasks that are over.
looked() { [ "$(rounds)" -ge "$1" ]; }
rounds() { grep -c "klp_rs_transition: $patch round ended" $tracing/trace; }
# Whom the last look that is over found.
found() {
    awk '/klp_rs_verdict: / { sub(/.*klp_rs_verdict: /, ""); sub(/ -?[0-9]+ [^ ]*$/, ""); now = now " " $0 }
         /round ended/ { last = now; now = "" }
         END { print substr(last, 2) }' $tracing/trace
}
finds() { [ "$(found)" = "$1" ]; }
# lasts NAME:PID: six more looks do not move it, and then there is nobody else.
lasts() {
    enough=$(($(rounds) + 6))
    until_ "without $way: six looks" 100 looked $enough
    # The others take more looks where they rarely get the processor.
    until_ "  then it finds $1 and nobody else" 200 finds "$1"
    echo "     without $way: $(rounds) looks, the last found $(found)"
    check "  its transition lasts" moving
}
name() { echo "$(cat "/proc/$1/comm"):$1"; }

state() { awk -v name="$1" '{ for (i = 1; i < NF; i++) if ($i == name) print $(i + 1) }' /proc/ways/state; }
has() { [ "$(state "$1")" = "$2" ]; }
# in_state PROCESS LETTER
in_state() { [ "$(sed 's/.*) //' "/proc/$1/stat" | cut -c 1)" = "$2" ]; }
# Everybody inside leaves, and is inside again, while nobody can look at the tasks.
step() {
    entries=$(state entries)
    write 1 /proc/ways/still
    (echo 0 >$cpu) 2>/dev/null &
    plug=$!
    until_ "nobody looks" 100 has held 1
    write 1 /proc/ways/step
    until_ "  while it leaves and is inside again" 50 has entries $((entries + 1))
    write 0 /proc/ways/still
    wait $plug
}
# reader FILE COMMAND...: COMMAND reads /proc/ways/FILE, and is inside. Its process is $reader.
reader() {
    entries=$(state entries)
    from=$1
    shift
    # Not a file, or it might have to wait for that.
    to=/dev/null
    [ $from != interrupt ] || to=$T/read
    "$@" dd "if=/proc/ways/$from" "of=$to" bs=1 count=1000 2>/dev/null &
    reader=$!
    until_ "$from: somebody is inside" 50 has entries $((entries + 1))
}
# steps WAY PROCESS: it moves at its step if WAY is on.
steps() {
    begin "$1"
    if [ $core != klp_rs ]; then
        step
        lasts "$(name "$2")"
        without "$1" N
    fi
    step
    ends
    check "  and it is inside the replacement" grep -q patched_inside "/proc/$2/stack"
    # The way back takes another step.
    write 0 $K/$patch/enabled
    write 1 /proc/ways/step
    leaves $patch
    check "  and back inside the original" grep -q ways_inside "/proc/$2/stack"
}
# spinner COMMAND...: runs in user space for ever, on the second processor.
spinner() {
    rm -f "$T/spins"
    taskset -c 1 "$@" sh -c "echo >$T/spins; while :; do :; done" &
    spinner=$!
    until_ "somebody spins" 50 [ -e "$T/spins" ]
}
end() {
    kill -9 "$1"
    wait "$1" 2>/dev/null
}
come() {
    load "$core" "$1"
    echo 1 >$tracing/events/klp_rs/enable
    # Not where somebody has the processor and does not give it away.
    taskset -p -c 0 "$(pgrep -x klp_rs)" >/dev/null
}
goes() {
    check "ways unloads" unload ways
    echo 0 >$tracing/events/klp_rs/enable
    until_ "klp_rs unloads" 50 rmmod klp_rs
}

taskset -p -c 0 $$ >/dev/null
come signal_after_ms=0
load ways

# It never sleeps outside of the function, and as it is in real time nobody takes the processor from it.
reader exit taskset -c 0 chrt -f 50
steps exit $reader
end $reader

# The same, and it never returns to user space.
reader schedule taskset -c 0 chrt -f 50
steps schedule $reader
end $reader

# It neither sleeps nor calls schedule(), and stands in the way of a sweep.
for round in without with; do
    [ "$round $core" != "without klp_rs" ] || continue
    reader interrupt taskset -c 1
    begin interrupt
    [ $round = without ] || without interrupt N
    until_ "it is looked at" 50 looked 1
    write 1 /proc/ways/step
    until_ "it has left" 100 [ -s "$T/read" ]
    if [ $round = without ]; then
        check "without interrupt: it does not move while it runs" is "$T/read" 1
    else
        check "it has moved while it ran" is "$T/read" 2
    fi
    ends
    end $reader
    leaves $patch
done

# It waits for a processor that somebody more important has.
mkfifo "$T/pipe"
taskset -c 1 chrt -f 1 cat "$T/pipe" >/dev/null &
starved=$!
until_ "sweep: somebody sleeps" 50 grep -q fifo_open /proc/$starved/stack
spinner chrt -f 2
# For reading, too: else this waits for a reader, who may have failed.
exec 4<>"$T/pipe"
until_ "  and is awake, but never runs" 50 in_state $starved R
begin sweep
[ $core = klp_rs ] || lasts "$(name $starved)"
without sweep N
ends
check "  though it never ran" in_state $starved R
end $spinner
exec 4>&-
wait $starved
leaves $patch

# It is idle, while its processor never is.
spinner
begin idle
[ $core = klp_rs ] || lasts swapper/1:0
without idle N
ends
end $spinner
leaves $patch

# It sleeps where nobody wakes it. So do many; a sweep would reach them too, but is not made for them.
cat "$T/pipe" >/dev/null &
sleeper=$!
until_ "sleep: somebody sleeps" 50 grep -q fifo_open /proc/$sleeper/stack
without sweep Y
begin sleep
if [ $core != klp_rs ]; then
    until_ "without sleep: six looks" 100 looked 6
    found=$(found)
    check "  find it" [ "${found#*"$(name $sleeper)"}" != "$found" ]
    check "  its transition lasts" moving
fi
without sleep N
ends
without sweep N
check "  and it still sleeps" in_state $sleeper S
end $sleeper
leaves $patch
check "ways unloads" unload ways

# A kernel thread that is in nothing else.
load ways kthread=1
until_ "reentry: a kernel thread is inside" 50 has entries 1
steps reentry "$(pgrep -x ways)"
goes

# It is inside until somebody kicks it.
come signal_after_ms=500
load ways
reader exit
begin kick
if [ $core != klp_rs ]; then
    until_ "it is time to kick" 50 logged "klp_rs: signaling remaining tasks"
    lasts "$(name $reader)"
fi
without kick N
ends
check "  and it is inside the replacement" grep -q patched_inside /proc/$reader/stack
end $reader
leaves $patch
goes

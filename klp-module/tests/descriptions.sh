# SPDX-License-Identifier: GPL-2.0-only
#
# Descriptions that must be refused, each with its errno and its words in the log, and those that look bad and are not. Where
# the kernel's own core is there, it is asked the same and must answer the same.

original=$(cat /proc/cmdline)
load klp_rs

# Enables a description; the errno's text in $said, the conversation in the log in $log. answer MODULE PREFIX ARGUMENTS FOLDER
answer() {
    dmesg -c >/dev/null
    said=$(refusal "/modules/$1.ko" $3)
    if [ "$said" = loaded ]; then
        i=0
        until is "/sys/kernel/$4/$1/transition" 0 || [ $i -ge 100 ]; do usleep 100000; i=$((i + 1)); done
    fi
    # What insmod asks twice is answered twice.
    log=$(dmesg | sed -n "s/^\[[^]]*\] $2: //p" | sed "s/'$1'/'bad'/g" | awk '!seen[$0]++')
}
# Leaves nothing of it.
clear_() {
    i=0
    while [ -e "$2" ] && [ $i -lt 100 ]; do echo 0 2>/dev/null >"$2/enabled"; usleep 100000; i=$((i + 1)); done
    rmmod $1 2>/dev/null
    [ ! -e "$2" ]
}
# expect ERRNO WORDS ARGUMENTS: our answer, and the same of the other core.
expect() {
    answer bad klp_rs "$3" klp_rs
    check "$3: $1 (was: $said)" [ "${said#*"$1"}" != "$said" ]
    [ -z "$2" ] || check "  the log says: $2" [ "${log#*"$2"}" != "$log" ]
    check "  and nothing stays" clear_ bad $K/bad
    [ -e /modules/bad_klp.ko ] && [ -d /sys/kernel/livepatch ] || return 0
    ours=$log our_errno=$said
    answer bad_klp livepatch "$3" livepatch
    check "  the kernel's core has the same errno (has: $said)" [ "${our_errno##*: }" = "${said##*: }" ]
    check "  and words" [ "$ours" = "$log" ]
    [ "$ours" = "$log" ] || { echo "$ours" | sed 's/^/     ours: /'; echo "$log" | sed 's/^/     its:  /'; }
    clear_ bad_klp /sys/kernel/livepatch/bad_klp
}

expect "Invalid parameters" "symbol 'no_function_has_this_name' not found in symbol table" "case=missing"
expect "Invalid parameters" "failed to find location for function 'argv_split'" "case=notrace"
expect "Invalid parameters" "" "case=nonew"
expect "Invalid parameters" "" "case=noname"
expect "Invalid parameters" "" "case=longname"
expect "Invalid parameters" "" "case=longobject"
expect "Invalid parameters" "" "case=nofuncs"
expect "Invalid parameters" "" "case=noobjs"
expect "Invalid parameters" "" "case=nomod"
expect "Invalid parameters" "" "case=null"
# EINVAL and ENOENT are in the words of insmod.
expect "Unknown symbol in module" "kallsyms size lookup failed for 'cmdline_proc_show' replacement" "case=foreign"
expect "Invalid parameters" "symbol position 7 for symbol 'cmdline_proc_show' in object 'vmlinux' not found" \
    "case=named func=cmdline_proc_show sympos=7"
expect loaded "'bad': patching complete" "case=absent"
expect loaded "enabling patch 'bad'" "case=named func=cmdline_proc_show sympos=1"

# What a CPU that is off stays in. The kernel's own core does not ask.
answer bad klp_rs "case=named func=native_play_dead" klp_rs
check "a function of CPUs that are off is refused (was: $said)" [ "${said#*Invalid parameters}" != "$said" ]
check "  by name" [ "$log" = "CPUs that are off may be in function 'native_play_dead': it cannot be patched" ]

# A name that the kernel has more than once.
several=$(awk '$2 ~ /[tT]/ && NF == 3 { n[$3]++ } END { print n["state_show"] }' /proc/kallsyms)
echo "     state_show: $several"
expect "Invalid parameters" "symbol position $((several + 1)) for symbol 'state_show' in object 'vmlinux' not found" \
    "case=named func=state_show sympos=$((several + 1))"
answer bad klp_rs "case=named func=state_show" klp_rs
check "a name that is not unique is refused" [ "${said#*Invalid parameters}" != "$said" ]
check "  by name" [ "$log" = "unresolvable ambiguity for symbol 'state_show' in object 'vmlinux'" ]
state=$(cat /sys/power/state)
changed=0 position=1
while [ $position -le $several ]; do
    refusal /modules/bad.ko case=named func=state_show sympos=$position >"$T/said"
    until_ "state_show,$position is patched" 50 is $K/bad/transition 0
    check "  and says which" [ -d "$K/bad/vmlinux/state_show,$position" ]
    [ "$(cat /sys/power/state)" = "$state" ] || changed=$((changed + 1))
    check "  and back" clear_ bad $K/bad
    position=$((position + 1))
done
check "exactly one of them is that of /sys/power/state" [ $changed = 1 ]
check "  which is as it was" [ "$(cat /sys/power/state)" = "$state" ]

# The same in a module.
P=/sys/module/twins/parameters
load twins
answer bad klp_rs "case=named object=twins func=twin" klp_rs
check "in a module a name that is not unique is refused" [ "${said#*Invalid parameters}" != "$said" ]
check "  by name" [ "$log" = "unresolvable ambiguity for symbol 'twin' in object 'twins'" ]
expect "Invalid parameters" "symbol position 3 for symbol 'twin' in object 'twins' not found" "case=named object=twins func=twin sympos=3"
check "the first of two loads" load bad "case=named object=twins func=twin sympos=1"
until_ "  complete" 50 is $K/bad/transition 0
check "  it is the first" sh -c "[ \$(cat $P/a)\$(cat $P/b) = 02 ]"
leaves bad
check "the second of two loads" load bad "case=named object=twins func=twin sympos=2"
until_ "  complete" 50 is $K/bad/transition 0
check "  it is the second" sh -c "[ \$(cat $P/a)\$(cat $P/b) = 10 ]"
check "  also when the module comes again" sh -c "rmmod twins; insmod /modules/twins.ko; [ \$(cat $P/a)\$(cat $P/b) = 10 ]"
leaves bad
check "both are as they were" sh -c "[ \$(cat $P/a)\$(cat $P/b) = 12 ]"
check "a module that fits no position is refused by its patch" sh -c "rmmod twins; insmod /modules/bad.ko case=named object=twins func=twin sympos=3"
until_ "  which is complete without it" 50 is $K/bad/transition 0
said=$(refusal /modules/twins.ko)
check "  with the reason (was: $said)" [ "${said#*Invalid parameters}" != "$said" ]
check "  and words" logged "klp_rs: patch 'bad' failed for module 'twins', refusing to load module 'twins'"
leaves bad

# Refused by the second of two patches: the first lets go of it, too.
check "a patch that fits the module loads" load bad "case=named object=twins func=twin sympos=1"
until_ "  complete without it" 50 is $K/bad/transition 0
check "one that does not comes on top" load bad_next "case=named object=twins func=twin sympos=3"
until_ "  complete without it" 50 is $K/bad_next/transition 0
said=$(refusal /modules/twins.ko)
check "  and refuses the module (was: $said)" [ "${said#*Invalid parameters}" != "$said" ]
check "  the first patch had it, and not any more" logged "klp_rs: reverting patch 'bad' on unloading module 'twins'"
check "  which shows" is $K/bad/twins/patched 0
leaves bad_next
check "without the other the module comes" load twins
check "  patched" is $P/a 0
check "  and goes" unload twins
leaves bad

# Not asked of the other core: it would print a trace, or break.
# The module loader makes EBUSY of EEXIST.
for case in "samefunc:resource busy" "sameobject:resource busy" "fails:Input/output error"; do
    answer bad klp_rs "case=${case%%:*}" klp_rs
    check "${case%%:*}: ${case#*:} (was: $said)" [ "${said#*"${case#*:}"}" != "$said" ]
    check "  leaves nothing" clear_ bad $K/bad
done
check "a patch is enabled once" load bad case=twice
check "  the second time is refused" logged "bad: the second time -17"
until_ "  the first time counts" 50 is $K/bad/transition 0
leaves bad
check "an immediate patch is accepted" load bad case=immediate
until_ "  and complete" 20 is $K/bad/transition 0
leaves bad
check "the original is back" is /proc/cmdline "$original"
until_ "klp_rs unloads" 20 rmmod klp_rs

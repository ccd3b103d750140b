# SPDX-License-Identifier: GPL-2.0-only
#
# Patches of the same two functions on top of each other: whatever order they leave in, the newest of those that are there is
# in force, and the places in the stack have no gap.

load klp_rs
load agree
storm 300 call sleep &
storm=$!

# in_force VERSION PATCH...: these are there, in this order, and callers get that version.
in_force() {
    version=$1 place=0
    shift
    [ "$(dd if=/proc/agree/call bs=1 count=1 2>/dev/null)" = "$version" ] || return
    for patch in "$@"; do
        place=$((place + 1))
        is $K/agree_v$patch/stack_order $place || return
    done
    [ "$(ls $K | wc -l)" = $place ]
}

for leaving in "3 2" "2 3" "6 5 4 3 2" "2 3 4 5 6" "4 6 2 5 3" "5 2 6 3 4"; do
    there=
    for version in $(echo $leaving | tr ' ' '\n' | sort); do
        load agree_v$version
        until_ "agree_v$version comes" 50 is $K/agree_v$version/transition 0
        there="$there $version"
        check "  callers have it" in_force $version $there
    done
    for version in $leaving; do
        leaves agree_v$version
        there=$(echo " $there " | sed "s/ $version / /")
        newest=1
        for left in $there; do newest=$left; done
        check "  callers have $newest" in_force $newest $there
    done
done
kill $storm
wait $storm
check "no call saw two versions" [ "$(value mixed)" = 0 ]
for version in 1 2 3 4 5 6; do check "version $version was called" [ "$(value v$version)" -gt 0 ]; done
check "agree unloads" unload agree
until_ "klp_rs unloads" 50 rmmod klp_rs

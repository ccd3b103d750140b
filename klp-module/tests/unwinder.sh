# SPDX-License-Identifier: GPL-2.0-only
#
# klp_rs as it is on a kernel without reliable stacks (made with WITHOUT=unwinder): it accepts immediate patches only, and as
# nobody can see tasks leave those, their modules stay.

original=$(cat /proc/cmdline)
check "klp_rs loads" load without_unwinder
check "  and says what it cannot do" logged "klp_rs: no reliable stacks on this kernel: only immediate patches are accepted"
said=$(refusal /modules/cmdline_c.ko)
# In the words of insmod.
check "a patch is refused with ENOSYS (was: $said)" [ "$said" = "Function not implemented" ]
check "  in these words" logged "klp_rs: This kernel doesn't have support for the livepatch consistency model."
check "  and leaves nothing" gone $K/cmdline_c
check "  in force" is /proc/cmdline "$original"
load agree
check "an immediate one is accepted" load bad "case=immediate"
until_ "  complete" 20 is $K/bad/transition 0
write 0 $K/bad/enabled
until_ "  and goes" 20 gone $K/bad
usleep 500000
check "  its module stays" sh -c "! rmmod bad"

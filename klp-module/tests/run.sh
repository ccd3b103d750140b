#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# run.sh TEST [ARGUMENT...]
#
# Runs TEST.sh here and now, as root, with the built modules in /modules and storm in PATH. Every check is a line; the last
# line counts them. The virtual machines of /tests run it so.
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
test=$1
shift
. "$here/lib.sh"
before_test=$(tainted)
. "$here/$test.sh"
check "the kernel is tainted by nothing new" [ "$(tainted)" = "$before_test" ]
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]

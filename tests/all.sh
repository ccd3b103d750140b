#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Every check there is: format, lints, unit tests, klp_rs installed as a user does, and the scenarios on stock kernels. Quiet while
# all is well but for what it is at; the last line counts. What virtual machines are made of is fetched while the host's processor
# is busy with the rest.
#
#   KERNELS="7.2 6.12 6.1" tests/all.sh
set -eu
cd "$(dirname -- "$0")/.."
cargo=${CARGO:-cargo}
kernels=${KERNELS:-7.2 6.12 6.1}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Runs a command and shows what it wrote only if it fails.
quietly() {
    "$@" >"$log" 2>&1 || {
        cat "$log"
        echo "FAILED $*"
        exit 1
    }
}

# shellcheck disable=SC2086 # a list of words
tests/setup/all.sh $kernels &
setup=$!

echo "test: style, lints and unit tests"
quietly "$cargo" fmt --all --check
quietly "$cargo" fmt --manifest-path livepatch-ebpf/Cargo.toml --check
quietly "$cargo" fmt --manifest-path klp-module/host-tests/Cargo.toml --check
quietly "$cargo" clippy --quiet --workspace --all-targets -- --deny warnings
# some look at the kernel as the daemon does: they load BPF programs, read /dev/kmsg, send signals
if [ "$(id -u)" != 0 ]; then
    host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
    export "CARGO_TARGET_${host}_RUNNER=sudo --preserve-env"
fi
unit_tests=0
"$cargo" test --quiet --workspace >"$log" 2>&1 || unit_tests=$?
"$cargo" test --quiet --manifest-path klp-module/host-tests/Cargo.toml >>"$log" 2>&1 || unit_tests=$?
counts=$(awk '/^test result:/ { passed += $4; failed += $6 } END { print passed + 0, failed + 0 }' "$log")
# tests that did not compile, or a program of tests that died, have counted nothing
case $unit_tests,$counts in 0,* | *,*' '[1-9]*) ;; *) counts="${counts% *} 1" ;; esac
[ "$unit_tests" = 0 ] || cat "$log"

# Adds what the log says that passed and failed, and shows the rest of it. A program that has counted nothing has failed.
count() {
    grep -v -E '^ok |^[0-9]+ passed, [0-9]+ failed$' "$log" || true
    counts=$(awk -v before="$counts" '
        /^[0-9]+ passed, [0-9]+ failed$/ { passed += $1; failed += $3; counted = 1 }
        END { split(before, count, " "); print count[1] + passed, count[2] + failed + !counted }' "$log")
}

wait "$setup"
scenarios=0
for series in $kernels; do
    # Debian's kernels have Rust since 7.
    case $series in 6.*) continue ;; esac
    echo "test: klp_rs installed with dkms and make, for $series"
    tests/dkms.sh "$series" >"$log" || scenarios=$?
    count
done
echo "test: scenarios on kernels $kernels, in virtual machines: most of the time"
# shellcheck disable=SC2046,SC2086 # lists of words
"$cargo" run --quiet --release --package livepatch-tests --bin vm -- test $(printf -- '--kernel %s ' $kernels) >"$log" ||
    scenarios=$?
count
echo "${counts% *} passed, ${counts#* } failed"
[ "$unit_tests" = 0 ] && [ "$scenarios" = 0 ]

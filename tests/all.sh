#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What `make test` runs: style, lints, unit tests, scenarios in VMs, cheapest first. One line per step; a step that fails
# prints the end of its log. The last line counts all tests: a step that should run tests and ran none counts as failed.
set -u
cd "$(dirname "$0")/.." || exit 1
logs=${CARGO_TARGET_DIR:-target}/test-logs
rm -rf "$logs" && mkdir -p "$logs"
passed=0 failed=0

# step NAME KIND COMMAND...: KIND says how its log tells counts: check (the step is one test), cargo, or vm
step() {
    local name=$1 kind=$2 log=$logs/$1.log start=$SECONDS status=0 ok=0 bad=0
    shift 2
    "$@" >"$log" 2>&1 </dev/null || status=$?
    case $kind in
    check) ok=1 ;;
    cargo)
        ok=$(awk '/^test result:/ { n += $4 } END { print n + 0 }' "$log")
        bad=$(awk '/^test result:/ { n += $6 } END { print n + 0 }' "$log")
        ;;
    vm)
        ok=$(sed -n 's/^\([0-9]*\) passed, [0-9]* failed$/\1/p' "$log" | tail -n 1)
        bad=$(sed -n 's/^[0-9]* passed, \([0-9]*\) failed$/\1/p' "$log" | tail -n 1)
        ;;
    esac
    ok=${ok:-0} bad=${bad:-0}
    if [ "$status" -ne 0 ] || [ "$ok" -eq 0 ]; then
        [ "$kind" = check ] && ok=0
        [ "$bad" -gt 0 ] || bad=1
        echo "--- $name failed (exit $status); the end of $log:"
        tail -n 120 "$log"
    fi
    passed=$((passed + ok)) failed=$((failed + bad))
    printf '%-22s %3d passed, %d failed (%d s)\n' "$name" "$ok" "$bad" $((SECONDS - start))
}

# tests that load BPF programs need root; only they get it
root_runner=
[ "$(id -u)" -eq 0 ] || root_runner="sudo --preserve-env"

step format check cargo fmt --all -- --check
step format-bpf check cargo fmt --manifest-path livepatch-ebpf/Cargo.toml -- --check
step lints check cargo clippy --quiet --workspace --all-targets --locked -- -D warnings
step unit cargo cargo test --quiet --workspace --locked
step bpf-on-this-kernel cargo env "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=$root_runner" \
    cargo test --quiet --package livepatchd --features root-tests --test bpf_on_host --locked
step scenarios vm cargo run --quiet --release --locked --package livepatch-tests --bin vm -- test

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

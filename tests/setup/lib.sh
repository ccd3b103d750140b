# SPDX-License-Identifier: GPL-2.0-only
#
# What every setup script shares: the cache, its locks, root rights, and where Debian packages come from.
# Sourced, never run. A cache entry exists under its final name only when it is complete: it is made under a
# temporary name and renamed, so that an interrupted run leaves nothing that looks finished.

set -eu

setup_dir=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
tests_dir=$(dirname -- "$setup_dir")
step=$(basename -- "$0" .sh)
cache=${LIVEPATCHD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/livepatchd}
mkdir -p "$cache/locks"

say() { echo "$step: $*" >&2; }

die() {
    echo "$step: $*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo --preserve-env=LIVEPATCHD_CACHE,http_proxy,https_proxy,no_proxy "$@"
    else
        die "needs root: run as root, or install sudo"
    fi
}

need() {
    for tool; do
        command -v "$tool" >/dev/null || PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null ||
            die "$tool is missing: run tests/setup/prerequisites.sh"
    done
}

# Twelve hex digits that change when what an entry is made of (standard input) changes.
key() {
    sha256sum | cut -c 1-12
}

# Holds the lock of one cache entry until the script ends.
lock() {
    exec 9>"$cache/locks/$1"
    flock --wait 1800 9 || die "another run has been making $1 for half an hour"
}

# A fresh path to make an entry under; earlier attempts that were cut short go first. Only with the entry's lock held.
partial() {
    as_root rm -rf --one-file-system "$cache/partial-$1"
    echo "$cache/partial-$1"
}

publish() {
    mv -T -- "$cache/partial-$1" "$cache/$1"
}

# apt settings of the host that decide whether a mirror can be reached and believed: proxies, certificates, expiry checks.
host_apt_options() {
    apt-config dump --no-empty --format='%F "%v";%n' Acquire |
        grep -E '^Acquire::(http|https|Check-|Retries|Force)' || true
    echo 'Acquire::Languages "none";'
}

# The mirror this host already uses for a Debian archive ("Debian" or "Debian-Security"), else the public one.
debian_mirror() {
    mirror=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 2>/dev/null |
        sed -n "s/^$1 //p" | head -n 1)
    case $1 in
    Debian) echo "${mirror:-http://deb.debian.org/debian}" ;;
    Debian-Security) echo "${mirror:-http://deb.debian.org/debian-security}" ;;
    esac
}

# The options of a source line of Debian's: which keys it is believed by. Ubuntu's apt does not know Debian's keys, its package
# debian-archive-keyring only brings them along; inside the root, where the same file is, the line works as well.
debian_keys() {
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    [ ! -e "$keys" ] || echo "[signed-by=$keys] "
}

# Makes a Debian root in directory $1 from suite $2 with the packages $3 (comma separated); further arguments are
# source lines. Package lists are kept, for apt inside.
debian_root() {
    root=$1 suite=$2 packages=$3
    shift 3
    options=$(mktemp)
    host_apt_options >"$options"
    as_root mmdebstrap --quiet --variant=minbase --mode=root --skip=cleanup/apt/lists \
        --aptopt="$options" --aptopt='Apt::Install-Recommends "false"' \
        --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
        --include="$packages" "$suite" "$root" "$@" >&2 ||
        die "no Debian root from $suite: is the mirror $(debian_mirror Debian) reachable?"
    rm -f "$options"
}

# Runs a command inside root directory $1, with a /proc that goes when the command ends.
inside() {
    root=$1
    shift
    as_root unshare --fork --pid --kill-child --mount-proc="$root/proc" chroot "$root" "$@"
}

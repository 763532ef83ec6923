#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Proof on a clean system: makes a minimal Debian 12 in a temporary directory, copies the tree into
# it, and runs there what README tells a new user to run.
#
#     tests/chroot.sh [demo|check|TARGET]...
#
# Root and mmdebstrap are needed. The packages come from where this machine's apt gets its own.
# Mounts and processes live in namespaces of their own, so that nothing is left, however it ends.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SOURCE=usr/src/setmov

# The settings of this machine's apt that decide how it reaches its mirror.
apt_options()
{
    apt-config dump | grep -E '^Acquire::(https?::|Check-|Retries|Languages|Proxy).*"[^"]+";$' || true
}

# This machine's sources of Debian 12, or nothing: then mmdebstrap knows where to go.
apt_sources()
{
    local file
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
        if [ -s "$file" ] && grep -qE '^[^#]*\bbookworm\b' "$file"; then
            printf '%s\n' "$file"
        fi
    done
}

make_system()
{
    local -a options=() sources
    local option
    while read -r option; do
        [ -n "$option" ] && options+=("--aptopt=${option%;}")
    done < <(apt_options)
    mapfile -t sources < <(apt_sources)
    mmdebstrap --quiet --variant=minbase "${options[@]}" bookworm "$1" "${sources[@]}"
    cp -L /etc/resolv.conf "$1/etc/resolv.conf"
    cp -L /etc/hosts "$1/etc/hosts"
}

copy_tree()
{
    mkdir -p "$1/$SOURCE"
    git -C "$ROOT" ls-files -co --exclude-standard -z |
        tar -C "$ROOT" --null -T - --ignore-failed-read -cf - | tar -C "$1/$SOURCE" -xf -
}

# What still runs in this PID namespace beside this script; zombies have no command line.
left_running()
{
    local process
    for process in /proc/[0-9]*; do
        case ${process##*/} in 1 | "$$" | "$BASHPID") continue ;; esac
        tr '\0' ' ' <"$process/cmdline" 2>/dev/null | grep . || true
    done
}

enter()
{
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
        TERM="${TERM:-dumb}" sh -ec "$1"
}

# In the new namespaces: makes the system the root, as on a real machine (unshare and nsenter work
# in there), and runs the targets.
inside()
{
    local target left
    mount --bind "$1" "$1"
    cd "$1"
    shift
    mount -t proc proc proc
    mount --rbind /sys sys
    mount --rbind /dev dev
    mount -t tmpfs tmpfs run
    pivot_root . mnt
    cd /
    umount -l /mnt
    hash -r
    # The line that README has for a system without make.
    enter "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq make >/dev/null 2>&1"
    for target in "$@"; do
        echo "== make $target in a clean Debian $(cat /etc/debian_version)"
        enter "cd /$SOURCE && make $target"
        left=$(left_running)
        [ -z "$left" ] || {
            printf 'still running after make %s:\n%s\n' "$target" "$left" >&2
            exit 1
        }
    done
}

if [ "${1:-}" = --inside ]; then
    shift
    inside "$@"
    exit
fi

[ "$(id -u)" -eq 0 ] || { echo "chroot.sh: needs root" >&2; exit 1; }
command -v mmdebstrap >/dev/null || { echo "chroot.sh: needs the package mmdebstrap" >&2; exit 1; }
[ $# -gt 0 ] || set -- demo

system=$(mktemp -d /tmp/setmov-chroot.XXXXXX)
inside_pid=
# Killing unshare ends its PID namespace, and with it the mounts; it passes over softer signals.
end()
{
    if [ -n "$inside_pid" ]; then
        kill -KILL "$inside_pid" 2>/dev/null || true
        wait "$inside_pid" 2>/dev/null || true
    fi
    rm -rf --one-file-system "$system"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
chmod 755 "$system"
make_system "$system"
copy_tree "$system"
unshare --mount --pid --fork --kill-child --propagation private bash "${BASH_SOURCE[0]}" --inside "$system" "$@" &
inside_pid=$!
wait "$inside_pid"
inside_pid=
echo "== all of it worked in a clean system: $*"

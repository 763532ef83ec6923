#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The part of `make demo` about moving: on the bed of three libvirt hosts, where it can be brought up,
# a choice, a migration that the hook refuses, and one by setmov migrate, there and back; elsewhere the
# hook's verdict on recorded input. The bed is gone afterwards.
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

HOSTS=(alpha beta gamma)
IMAGES=/var/lib/libvirt/images
# Paths of sockets are short, so the bed lies neither in the build directory nor in $TMPDIR.
BED=$(mktemp -d /tmp/setmov.XXXXXX)/b

title()
{
    printf '\n== %s\n' "$*"
}

bed()
{
    "$ROOT/tests/bed/bed.sh" -d "$BED" "$@"
}

# on HOST COMMAND...: shows what is run there, then its output; its exit status.
on()
{
    local host=$1
    shift
    echo "$host\$ $*"
    bed shell "$host" "$@"
}

quietly()
{
    local output
    output=$("$@" 2>&1) || fail "$*: $output"
}

# The same on all hosts. Load is not looked at: this machine has all of it, for all three.
configuration()
{
    local host
    printf '[setmov]\nbandwidth = 100M\n\n'
    for host in "${HOSTS[@]}"; do
        printf '[host %s]\nuri = qemu+tcp://%s/system\n\n' "$host" "$host"
    done
    printf '[choose]\nmax-cpu-percent = 100%%\n\n[hook]\npolicy = enforce\nmargin = 1M\nlog = /var/log/setmov-hook.log\n'
}

# image DIRECTORY NAME MIB: beginning of one row of random bytes, the same for all.
image()
{
    mkdir -p "$1"
    head -c "$3M" "$WORK/content" >"$1/$2"
    truncate -s 64M "$1/$2"
}

on_the_bed()
{
    local host
    title "Three libvirt hosts; alpha has the VM, gamma an older copy of its disk"
    for host in "${HOSTS[@]}"; do
        mkdir -p "$BED/$host/root/etc/setmov"
        configuration >"$BED/$host/root/etc/setmov/setmov.conf"
    done
    image "$BED/alpha/root$IMAGES" vm1.raw 40
    image "$BED/gamma/root$IMAGES" vm1-last-month.raw 36
    image "$BED/beta/root$IMAGES" golden.raw 8
    quietly python3 "$ROOT/tests/bed/guest_disk.py" prepare "$BED/alpha/root$IMAGES/vm1.raw"
    quietly bed guest alpha vm1
    for host in "${HOSTS[@]}"; do
        on "$host" setmov index
    done
    for host in "${HOSTS[@]}"; do
        on "$host" setmov sync || fail "not all hosts could be read"
    done

    title "Where should vm1 go?"
    on alpha setmov choose vm1 --explain || fail "setmov choose does not work"

    title "To beta: the hook there knows better"
    on alpha virsh migrate --live --persistent --undefinesource --copy-storage-all vm1 qemu+tcp://beta/system &&
        fail "beta's hook let the migration pass"

    title "setmov migrate: it goes to gamma, and only what gamma lacks crosses the line"
    on alpha setmov migrate vm1 || fail "setmov migrate does not work"
    on gamma virsh list
    on gamma cat /var/log/setmov-hook.log

    title "And back to alpha, where its old disk was kept"
    on gamma setmov migrate vm1 --to alpha || fail "setmov migrate does not work on the way back"
    on alpha virsh list
    quietly bed ask alpha vm1 still
    quietly bed shell alpha virsh suspend vm1
    echo "records of the guest on its disk, none missing: $(bed check alpha vm1)"
    bed down
}

# The hook by itself: what libvirt would give it, and what `setmov sync` would have kept.
on_recorded_input()
{
    local host index status=0
    title "The hook's verdict on a recorded migration (the bed cannot run here: $1)"
    make -C "$ROOT" --no-print-directory -s BUILD="$SETMOV_BUILD" "$SETMOV_BUILD/tests/helpers/made_catalog"
    image "$WORK/alpha" vm1.raw 40
    image "$WORK/beta" golden.raw 8
    image "$WORK/gamma" vm1-last-month.raw 36
    mkdir -p "$WORK/cache/hosts"
    for host in "${HOSTS[@]}"; do
        index=$WORK/cache/hosts/$host
        [ "$host" != beta ] || index=$WORK/beta.index # its own
        "$SETMOV" index --quiet --index "$index" "$WORK/$host" || fail "setmov index does not work"
    done
    {
        echo "made $(date +%s)"
        echo "host alpha $WORK/cache/hosts/alpha"
        echo "vm 2db7cae2-c8d0-48ea-b4f7-e72afac42b96 vm1 active=1"
        echo "disk vda $WORK/alpha/vm1.raw"
        echo "host beta $WORK/beta.index self=1"
        echo "host gamma $WORK/cache/hosts/gamma"
        echo "merged 4096"
    } | "$SETMOV_BUILD/tests/helpers/made_catalog" "$WORK/cache" || fail "no catalog could be made"
    {
        configuration | sed "s#^\[setmov\]#&\nname = beta\nindex = $WORK/beta.index#; s#^log = .*#log = none\ndirectories = $WORK#"
        printf '\n[sync]\ncache = %s\n' "$WORK/cache"
    } >"$WORK/setmov.conf"
    sed "s#$IMAGES#$WORK/alpha#" "$ROOT/tests/data/vm/incoming-vm1.xml" >"$WORK/vm1.xml"
    echo "beta\$ /etc/libvirt/hooks/qemu.d/setmov vm1 migrate begin - <vm1.xml"
    "$SETMOV_BUILD/hooks/setmov" vm1 migrate begin - --verbose --config "$WORK/setmov.conf" <"$WORK/vm1.xml" ||
        status=$?
    echo "exit status $status"
    [ "$status" -ne 0 ] || fail "the hook let the migration pass"
}

[ -x "$SETMOV" ] || fail "$SETMOV is not built: make all"
need python3
head -c 40M /dev/urandom >"$WORK/content"
at_exit 'bed down >/dev/null 2>&1; rm -rf "${BED%/b}"'
up=0
why=$(bed up 2>&1) || up=$?
case $up in
0) on_the_bed ;;
77) on_recorded_input "${why##*$'\n'}" ;;
*) fail "$why" ;;
esac

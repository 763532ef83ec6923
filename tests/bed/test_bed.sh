#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The bed of three hosts comes up once, says what it is, and leaves nothing, even when it was killed half-way up.
# test-timeout: 400
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"

bed=$ROOT/tests/bed/bed.sh
host=$ROOT/tests/bed/host.sh
dir=$WORK/bed
run "$host" check
[ "$STATUS" -ne 77 ] || skip "${OUT#skipped: }"
at_exit '"$bed" -d "$dir" down; "$host" down "$WORK/alone"'

# What a bed in WORK could leave: processes, mounts and with them namespaces, loop devices, interfaces, files.
leftovers()
{
    pgrep -fa "$dir" || true
    grep -ls "$dir" /proc/[0-9]*/mountinfo 2>/dev/null || true
    losetup -a | grep "$dir" || true
    ip -o link | grep -E ': (port|wire|bed|vnet)[0-9]' || true
    find "$WORK" -mindepth 1 -maxdepth 1 ! -name '.*' ! -name alone
}

in_bed()
{
    "$bed" -d "$dir" "$@"
}

# A bed that is killed when FILE is there: its own script, and nothing that it has started.
killed_at()
{
    setsid "$bed" -d "$dir" up >"$WORK/.killed" 2>&1 &
    local pid=$!
    poll_until 60 test -e "$dir/$1" || fail "up did not get to $1: $(cat "$WORK/.killed")"
    kill -KILL "$pid" 2>/dev/null || fail "up was over before it could be killed"
    wait "$pid" 2>/dev/null || true
    in_bed down
    same "" "$(leftovers)" "what is left of a bed killed at $1"
}

same "" "$(leftovers)" "what is there before"
in_bed down # nothing to do is no error
for file in stage switch switch/starter.pid alpha/starter.pid gamma/etc/libvirtd.conf beta/init.pid alpha/etc/storage/default.xml; do
    killed_at "$file"
done

# Beside a libvirtd that has nothing to do with it.
"$host" up "$WORK/alone"
in_bed up
run in_bed up
same 1 "$STATUS" "status of a second bed in one directory"
same "bed.sh: a bed is up already in $dir (make bed-down ends it)" "$ERR"
before=$("$host" libvirtd "$WORK/alone" pid)

run in_bed shell delta true
same "bed.sh: delta: no such host (alpha beta gamma)" "$ERR"
same alpha "$(echo hostname | in_bed shell alpha)" "a shell's answer"
run in_bed count alpha nobody
same "bed.sh: no guest nobody runs on alpha" "$ERR"
run in_bed shell beta sh -c 'exit 7'
same 7 "$STATUS" "status of a command inside"
same 3 "$(in_bed status | grep -c 'libvirtd, collectd, limit none')" "hosts in the status"
in_bed limit beta 10mbit
has "$(in_bed limit beta)" 10Mbit
same none "$(in_bed limit gamma)" "the limit of another host"
in_bed limit beta off
same none "$(in_bed limit beta)" "the limit when it is off"

# It counts what crosses: a reader is there and back, and the third host has no part in it.
read -r sent received <<<"$(in_bed bytes alpha)"
in_bed shell alpha virsh -q -c qemu+tcp://beta/system version >/dev/null
read -r sent_now received_now <<<"$(in_bed bytes alpha)"
[ "$sent_now" -gt "$sent" ] && [ "$received_now" -gt "$received" ] || fail "bytes of alpha: $sent $received, then $sent_now $received_now"

# What a host has in /etc, /usr/local and /var/lib is its own.
in_bed shell alpha sh -c 'echo own >/etc/setmov-bed-test; echo own >/usr/local/bin/setmov-bed-test; echo own >/var/lib/setmov-bed-test'
for file in /etc/setmov-bed-test /usr/local/bin/setmov-bed-test /var/lib/setmov-bed-test; do
    [ ! -e "$file" ] || fail "a host of the bed wrote $file of the machine"
    run in_bed shell beta test -e "$file"
    same 1 "$STATUS" "whether beta has alpha's $file"
done
in_bed shell beta rm /usr/local/bin/setmov
in_bed install beta
in_bed shell beta setmov --version >/dev/null

in_bed down
in_bed down
same "" "$(leftovers)" "what is left behind"
same "$before" "$("$host" libvirtd "$WORK/alone" pid)" "the other libvirtd"
has "$("$host" enter "$WORK/alone" virsh -q -c qemu:///system version)" QEMU

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The test bed itself: hosts side by side and on a wire, no nesting, nothing left behind when they go.
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"

host=$ROOT/tests/bed/host.sh
run "$host" check
[ "$STATUS" -ne 77 ] || skip "${OUT#skipped: }"
[ "$STATUS" -eq 0 ] || fail "check: $ERR"

leftovers()
{
    grep -c "$WORK" /proc/self/mountinfo
    find /sys/fs/cgroup -maxdepth 2 -type d -name 'setmov-bed-*'
    ip -o link | grep -c bed0
    pgrep -f "$WORK/(one|two|three)" | wc -l
}
before=$(leftovers || true)

# shellcheck disable=SC2016 # expanded at exit
at_exit '"$host" down "$WORK/one"; "$host" down "$WORK/two"; "$host" down "$WORK/three"'
"$host" up "$WORK/one"
"$host" up "$WORK/two" --cgroup
[ "$("$host" enter "$WORK/one" hostname)" = bed-one ] || fail "its host name"
uuids=$(for each in one two; do "$host" enter "$WORK/$each" virsh -q -c qemu:///system capabilities | grep '<uuid>'; done | sort -u | wc -l)
[ "$uuids" -eq 2 ] || fail "two hosts have one UUID"

"$ROOT/tests/bed/guests.sh" "$WORK/two" idle 1
has "$("$host" enter "$WORK/two" virsh -q -c qemu:///system list)" running
same "" "$("$host" enter "$WORK/one" virsh -q -c qemu:///system list --all)" "the other host's guests"
# A guest's cgroup lies below its host's own.
# shellcheck disable=SC2016 # for the shell inside
has "$("$host" enter "$WORK/two" sh -c 'cat /proc/$(cat /run/libvirt/qemu/idle001.pid)/cgroup')" "/machine/"

run "$host" enter "$WORK/one" "$host" up "$WORK/one/nested"
same 77 "$STATUS" "status of a host inside a host"
run "$host" up "$WORK/one"
same 1 "$STATUS" "status of a second host in one directory"
has "$ERR" "a host is there already"

pid=$("$host" libvirtd "$WORK/one" pid)
"$host" libvirtd "$WORK/one" kill
"$host" libvirtd "$WORK/one" start
[ "$pid" != "$("$host" libvirtd "$WORK/one" pid)" ] || fail "libvirtd was not restarted"

# A third one on a wire to the first: each reaches the other, and its libvirtd from there.
"$host" up "$WORK/three" --network "$WORK/one/3"
has "$("$host" enter "$WORK/one" virsh -q -c qemu+tcp://10.77.0.3/system hostname)" bed-three
run "$host" enter "$WORK/two" virsh -q -c qemu+tcp://10.77.0.3/system hostname
[ "$STATUS" -ne 0 ] || fail "a host without a wire reaches the third"
run "$host" up "$WORK/four" --network "$WORK/nowhere/4"
has "$ERR" "no host is up in"
"$host" down "$WORK/three"

"$host" down "$WORK/one"
has "$("$host" enter "$WORK/two" virsh -q -c qemu:///system list)" running
"$host" down "$WORK/two"
"$host" down "$WORK/two" # nothing to do is no error
run "$host" enter "$WORK/two" true
same 1 "$STATUS" "status of entering what is gone"
same "$before" "$(leftovers || true)" "what is left behind"

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `make demo`: the main job on this host, with a private collectd, below build/demo. For libvirt's
# built-in test driver, and for qemu:///system where one answers: metrics into RRD files once a
# second, `setmov stat` meanwhile, graphs of what was recorded; then disk images (demo_blocks.sh) and a migration (demo_move.sh); a
# summary. Stops what it started.
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

DEMO=$SETMOV_BUILD/demo
SAMPLES=${DEMO_SAMPLES:-5}    # lines of `setmov stat`
SECONDS_OF_DATA=${DEMO_SECONDS:-20}
HOST=$(uname -n)

title()
{
    printf '\n== %s\n' "$*"
}

# The configuration a user would write, with every path below the demo's directory.
configuration()
{
    local directory=$1 uri=$2
    collectd_head "$directory"
    cat <<END

LoadPlugin rrdtool
<Plugin rrdtool>
    DataDir "$directory/rrd"
    StepSize 1
    HeartBeat 2
    RRATimespan 3600
    RRATimespan 86400
    CacheTimeout 0
</Plugin>

PluginDir "$SETMOV_BUILD/plugins"
LoadPlugin setmov
<Plugin setmov>
    Connection "$uri"
</Plugin>
END
}

# Whether the file has N known values in its recent past.
has_values()
{
    local known
    known=$(rrdtool fetch "$1" AVERAGE --start -60s 2>/dev/null | grep -cE '^[0-9]+: +-?[0-9]' || true)
    [ "$known" -ge "$2" ]
}

qemu_answers()
{
    local sockets=(/run/libvirt/libvirt-sock /run/libvirt/virtqemud-sock)
    [ -S "${sockets[0]}" ] || [ -S "${sockets[1]}" ] || return 1
    timeout 5 virsh -q -c "${uri[qemu]}" version >/dev/null 2>&1
}

# start NAME URI: a collectd of its own in $DEMO/NAME.
start()
{
    local directory=$DEMO/$1
    mkdir -p "$directory/rrd"
    configuration "$directory" "$2" >"$directory/collectd.conf"
    collectd_start "$directory" "$directory/collectd.conf"
    poll_until 20 has_values "$directory/rrd/$HOST/setmov-host/percent-cpu.rrd" 1 || {
        cat "$directory"/collectd.out "$directory"/collectd.log >&2
        fail "no value of the host's CPU reached an RRD file within 20 s; see $directory"
    }
    echo "$2: collectd runs, files in $directory/rrd"
}

# last_value FILE: "name value" of each data source's newest known second.
last_value()
{
    rrdtool fetch "$1" AVERAGE --start -60s | awk '
        NR == 1 { for (i = 1; i <= NF; i++) name[i] = $i }
        /^[0-9]+:/ && $2 !~ /nan/ { line = $0 }
        END { n = split(line, word, /[: ]+/); for (i = 2; i <= n; i++) printf " %s %.6g", name[i - 1], word[i] }'
}

# example FILE TEXT: one line of the summary, where the file is there and has a value.
example()
{
    local value
    [ -e "$1" ] || return 0
    value=$(last_value "$1")
    [ -z "$value" ] || printf '        %-34s%s\n' "$2" "$value"
}

first_file()
{
    find "$1" -name "$2" 2>/dev/null | sort | head -n 1
}

summary()
{
    local directory=$DEMO/$1 rrd=$DEMO/$1/rrd vm
    local files graphs
    files=$(find "$rrd" -name '*.rrd' | wc -l)
    graphs=$(find "$directory/graphs" -name '*.png' | wc -l)
    [ "$files" -gt 0 ] && [ "$graphs" -gt 0 ] || fail "nothing was made in $directory"
    echo "$2:"
    printf '    %-26s in %s\n' "$files RRD files" "${rrd#"$ROOT/"}" \
        "$graphs PNG and $(find "$directory/graphs" -name '*.svg' | wc -l) SVG graphs" "${directory#"$ROOT/"}/graphs"
    echo "    last values recorded:"
    [ -n "$(last_value "$rrd/$HOST/setmov-host/percent-memory.rrd")" ] || fail "no value of the host's memory was recorded"
    example "$rrd/$HOST/setmov-host/percent-cpu.rrd" "host CPU, %"
    example "$rrd/$HOST/setmov-host/percent-memory.rrd" "host memory, %"
    example "$rrd/$HOST/setmov-host/setmov_disk-total.rrd" "host disks, bytes/s"
    example "$rrd/$HOST/setmov-host/count-vms_running.rrd" "running VMs"
    vm=$(first_file "$rrd" setmov_percent-cpu.rrd)
    # The test driver always has a running VM; another connection may have none.
    [ -n "$vm" ] || [ "$1" != test ] || fail "nothing was recorded of the VM of $2"
    [ -z "$vm" ] || example "$vm" "CPU of VM $(basename "$(dirname "$(dirname "$vm")")"), % of the host"
}

[ -x "$SETMOV" ] || fail "$SETMOV is not built: make all"
need rrdtool
cd "$ROOT"
rm -rf "$DEMO"
mkdir -p "$DEMO"

declare -A uri=([test]=test:///default [qemu]=qemu:///system)
setups=(test)
title "Metrics into RRD files, once a second, by collectd"
if qemu_answers; then
    setups+=(qemu)
else
    echo "${uri[qemu]}: no libvirtd answers here; the demo goes on with libvirt's built-in test driver"
fi
pids=()
for setup in "${setups[@]}"; do
    start "$setup" "${uri[$setup]}"
    pids+=("$COLLECTD_PID")
done

for setup in "${setups[@]}"; do
    title "setmov stat --connect ${uri[$setup]} --count $SAMPLES"
    "$SETMOV" stat --connect "${uri[$setup]}" --count "$SAMPLES" || fail "setmov stat does not work on ${uri[$setup]}"
done

title "Recording $SECONDS_OF_DATA s in all"
for setup in "${setups[@]}"; do
    poll_until $((SECONDS_OF_DATA + 30)) has_values "$DEMO/$setup/rrd/$HOST/setmov-host/percent-cpu.rrd" "$SECONDS_OF_DATA" ||
        fail "values stopped coming; see $DEMO/$setup/collectd.log"
done
for pid in "${pids[@]}"; do
    stop_process "$pid" 20 || fail "collectd did not end within 20 s"
done
echo "collectd has ended"

title "setmov graph"
for setup in "${setups[@]}"; do
    "$SETMOV" graph --rrd "$DEMO/$setup/rrd" --start -1min --out "$DEMO/$setup/graphs" >"$DEMO/$setup/graph.out" ||
        fail "setmov graph does not work on $DEMO/$setup/rrd"
    echo "wrote $(find "$DEMO/$setup/graphs" -type f | wc -l) files into $DEMO/$setup/graphs"
done

"$ROOT/tests/demo_blocks.sh"
"$ROOT/tests/demo_move.sh"

title "What was made"
for setup in "${setups[@]}"; do
    summary "$setup" "${uri[$setup]}"
done
shown=${DEMO#"$ROOT/"}
cat <<END

Look at them with any picture viewer or browser:
    $(first_file "$shown/test/graphs" '*cpu*.svg')
Numbers of one file:
    rrdtool fetch $shown/test/rrd/$HOST/setmov-host/percent-cpu.rrd AVERAGE --start -10min
Live figures at any time:
    ${SETMOV#"$ROOT/"} stat
All of it goes away with: make clean
END

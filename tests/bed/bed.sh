#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Three libvirt hosts on one machine, alpha, beta and gamma, on a switch of their own: up, down, and
# what a person or a test does with them between. docs/testbed.md is about it; host.sh makes each host.
set -euo pipefail

usage() {
    cat <<'END'
usage: bed.sh [-d DIR] up | down | status
       bed.sh [-d DIR] shell HOST [COMMAND...]      a shell, or one command, inside
       bed.sh [-d DIR] guest HOST NAME...           starts guests that keep writing to their disks
       bed.sh [-d DIR] count HOST NAME              number of the last record that the guest has synced
       bed.sh [-d DIR] ask HOST NAME COMMAND...     any command of tests/bed/guest.c
       bed.sh [-d DIR] check HOST NAME [LEAST]      checks the disk of a guest that does not run or is suspended
       bed.sh [-d DIR] limit HOST RATE | off        bandwidth of its link, each way, as tc says it (100mbit)
       bed.sh [-d DIR] bytes [HOST]                 bytes that it has sent and received through its link
       bed.sh [-d DIR] reload HOST                  its libvirtd looks for hooks and configuration again
       bed.sh [-d DIR] install [HOST...]            installs what was built since
HOST is alpha, beta or gamma. All of it lies in DIR (default: bed in the build directory).
Exit status 77: this machine cannot run it; one line says why.
END
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
build=$(realpath -m "${SETMOV_BUILD:-$root/build}")
hosts=(alpha beta gamma)
# alpha has number 2, and so on; the switch has 1.
declare -A number=([alpha]=2 [beta]=3 [gamma]=4)

die() { echo "bed.sh: $*" >&2; exit 1; }

is_up() {
    local pid
    read -r pid 2>/dev/null <"$dir/$1/init.pid" || return 1
    [ "$(stat -Lc %i "/proc/$pid/ns/pid" 2>/dev/null)" = "$(cat "$dir/$1/init.ns" 2>/dev/null)" ]
}

# HOST must be one of ours and up.
need_host() {
    [ -n "${1:-}" ] || die "which host: ${hosts[*]}?"
    [ -n "${number[$1]:-}" ] || die "$1: no such host (${hosts[*]})"
    is_up "$1" || die "$1 is not up in $dir (make bed-up)"
}

enter() {
    local host=$1
    shift
    "$here/host.sh" enter "$dir/$host" "$@"
}

# ---- up -------------------------------------------------------------------------------

# What only this script and its own jobs hold: who gets it knows that no other comes up or goes down.
# Tools are called without it (9>&-), as they leave something running; jobs that wait for them keep it
# when this script is killed.
take_lock() {
    exec 9>"$dir/lock"
    flock -w "$1" 9 || die "another bed.sh is at work in $dir"
}

pool_file() { # HOST NAME PATH
    local storage=$dir/$1/etc/storage
    mkdir -p "$storage/autostart" "$dir/$1/root$3"
    cat >"$storage/$2.xml" <<END
<pool type='dir'>
  <name>$2</name>
  <uuid>$(cat /proc/sys/kernel/random/uuid)</uuid>
  <target><path>$3</path></target>
</pool>
END
    ln -s "/etc/libvirt/storage/$2.xml" "$storage/autostart/$2.xml"
}

hosts_file() {
    local host
    echo "127.0.0.1 localhost"
    for host in "${hosts[@]}"; do
        echo "10.77.0.${number[$host]} $host"
    done
}

collectd_file() { # HOST
    cat <<END
Hostname "$1"
FQDNLookup false
Interval 1
BaseDir "/var/lib/collectd"
PIDFile "/run/collectd.pid"
PluginDir "${COLLECTD_PLUGIN_DIR:-/usr/lib/collectd}"
TypesDB "/usr/share/collectd/types.db"
LoadPlugin logfile
<Plugin logfile>
    File "/var/log/collectd.log"
    LogLevel info
    Timestamp true
    PrintSeverity true
</Plugin>
LoadPlugin csv
<Plugin csv>
    DataDir "/var/lib/collectd/csv"
    StoreRates false
</Plugin>
LoadPlugin rrdtool
<Plugin rrdtool>
    DataDir "/var/lib/collectd/rrd"
    StepSize 1
    HeartBeat 2
    RRARows 3600
    RRATimespan 3600
    CacheTimeout 5
    CacheFlush 60
</Plugin>
PluginDir "/usr/local/lib/collectd"
LoadPlugin setmov
<Plugin setmov>
    Connection "qemu:///system"
</Plugin>
END
}

# What `make install` would put on a host, in DIR/stage.
stage() {
    rm -rf "$dir/stage"
    # As it was built, not built anew (-o all).
    env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS make -C "$root" --no-print-directory -s -o all BUILD="$build" install \
        DESTDIR="$dir/stage" COLLECTD_PLUGIN_DIR=/usr/local/lib/collectd >"$dir/install.log" 2>&1 9>&- ||
        die "make install does not work: $(tail -n 1 "$dir/install.log")"
}

install_into() { cp -a --remove-destination -t "$dir/$1/root" -- "$dir"/stage/*; }

start_switch() {
    "$here/host.sh" up "$dir/switch" --name switch --no-libvirtd 9>&- || return 1
}

start_host() { # HOST
    local host=$1 place=$dir/$1
    "$here/host.sh" up "$place" --root --name "$host" --no-libvirtd --network "$dir/switch/${number[$host]}" 9>&-
    hosts_file >"$place/root/etc/hosts"
    pool_file "$host" default /var/lib/libvirt/images
    pool_file "$host" setmov /var/lib/setmov/index
    mkdir -p "$place/root/etc/collectd" "$place/root/var/lib/collectd"
    collectd_file "$host" >"$place/root/etc/collectd/collectd.conf"
    install_into "$host"
    "$here/host.sh" libvirtd "$place" start 9>&-
    enter "$host" setsid collectd -C /etc/collectd/collectd.conf </dev/null >"$place/collectd.out" 2>&1 9>&- ||
        die "collectd did not start in $host: $(tail -n 1 "$place/collectd.out")"
}

up() {
    local host job status=0 jobs=()
    "$here/host.sh" check || exit
    command -v collectd >/dev/null && command -v tc >/dev/null || { echo "skipped: the test bed needs collectd and tc"; exit 77; }
    [ -x "$build/setmov" ] || die "$build/setmov is not built (make all)"
    mkdir -p "$dir"
    take_lock 0
    for host in switch "${hosts[@]}"; do
        ! is_up "$host" || die "a bed is up already in $dir (make bed-down ends it)"
    done
    clear_away # of one whose machine was switched off
    for job in stage start_switch; do
        $job &
        wait $! || status=1
    done
    [ $status -ne 0 ] || for host in "${hosts[@]}"; do
        start_host "$host" >"$dir/$host.log" 2>&1 &
        jobs+=($!)
    done
    for job in "${jobs[@]}"; do
        wait "$job" || status=1
    done
    [ $status -eq 0 ] || {
        cat "$dir"/*.log >&2 || true
        clear_away
        die "the bed did not come up"
    }
    echo "alpha, beta and gamma are up in $dir"
}

# ---- down -----------------------------------------------------------------------------

clear_away() {
    local host
    for host in "${hosts[@]}" switch; do
        if [ -d "$dir/$host" ]; then "$here/host.sh" down "$dir/$host"; fi
        rm -rf "${dir:?}/$host" "$dir/$host.log"
    done
    rm -rf "$dir/stage" "$dir/install.log"
}

down() {
    if [ -d "$dir" ]; then
        # A killed `up` leaves jobs that hold the lock until they are done.
        take_lock 120
        clear_away
        rm -f "$dir/lock"
        rmdir "$dir" 2>/dev/null || echo "bed.sh: left what others put into $dir" >&2
    fi
}

# ---- between --------------------------------------------------------------------------

# With a home of its own, since bash and virsh write there and the machine's is shared.
shell() {
    need_host "${1:-}"
    local host=$1
    shift
    [ $# -gt 0 ] || { cd / && set -- bash; }
    # shellcheck disable=SC2016 # for the shell inside
    exec "$here/host.sh" enter "$dir/$host" sh -c '
        mkdir -p /run/home
        export HOME=/run/home PATH="/usr/local/sbin:/usr/local/bin:$PATH:/usr/sbin:/sbin"
        exec "$@"' sh "$@"
}

status() {
    local host
    for host in "${hosts[@]}"; do
        is_up "$host" || { echo "$host: not up"; continue; }
        echo "$host: 10.77.0.${number[$host]}, $(enter "$host" sh -c '
            kill -0 "$(cat /run/libvirtd.pid)" 2>/dev/null && echo -n "libvirtd, " || echo -n "no libvirtd, "
            kill -0 "$(cat /run/collectd.pid)" 2>/dev/null && echo -n "collectd" || echo -n "no collectd"')," \
            "limit $(limit_of "$host"), $(bytes_of "$host" | sed 's/ / bytes sent, /') received"
        enter "$host" timeout 20 virsh -q -c qemu:///system list --all | sed 's/^/    /'
    done
}

bytes_of() {
    # As the switch sees it, so that what the host receives is what its end of the wire sends.
    enter switch cat "/sys/class/net/port${number[$1]}/statistics/"{rx_bytes,tx_bytes} | tr '\n' ' ' | sed 's/ $/\n/'
}

bytes() {
    local host
    for host in "${@:-${hosts[@]}}"; do
        need_host "$host"
        [ $# -gt 0 ] || echo -n "$host "
        bytes_of "$host"
    done
}

limit_of() {
    local rate
    rate=$(enter switch tc qdisc show dev "port${number[$1]}" | sed -n 's/^qdisc tbf .* rate \([^ ]*\).*/\1/p')
    echo "${rate:-none}"
}

# A token bucket at both ends of the wire: what comes out of either is limited.
limit() {
    need_host "${1:-}"
    local port=port${number[$1]} rate=${2:-}
    case $rate in
    '') limit_of "$1" ;;
    off)
        enter switch tc qdisc del dev "$port" root 2>/dev/null || true
        enter "$1" tc qdisc del dev wire0 root 2>/dev/null || true
        ;;
    *)
        enter switch tc qdisc replace dev "$port" root tbf rate "$rate" burst 256kb latency 100ms
        enter "$1" tc qdisc replace dev wire0 root tbf rate "$rate" burst 256kb latency 100ms
        ;;
    esac
}

guest() {
    need_host "${1:-}"
    local host=$1
    shift
    [ $# -gt 0 ] || die "which guests on $host?"
    "$here/guests.sh" "$dir/$host" writer "$@"
}

ask() {
    need_host "${1:-}"
    [ $# -ge 3 ] && [ -n "$2" ] || die "which guest of $1?"
    [ -S "$dir/$1/lib/sockets/$2" ] || die "no guest $2 runs on $1"
    "$here/guests.sh" "$dir/$1" command "${@:2}"
}

check() {
    need_host "${1:-}"
    [ -n "${2:-}" ] || die "which guest of $1?"
    local image=$dir/$1/lib/images/$2
    case $(enter "$1" virsh -q -c qemu:///system domstate "$2" 2>/dev/null) in
    running*) die "$2 is running: suspend or stop it first" ;;
    esac
    if [ -e "$image.qcow2" ]; then image+=.qcow2; else image+=.raw; fi
    [ -e "$image" ] || die "$1 has no disk of $2"
    "$here/guest_disk.py" check "$image" "${@:3}"
}

install_command() {
    local host
    take_lock 0
    stage
    for host in "${@:-${hosts[@]}}"; do
        need_host "$host"
        install_into "$host"
    done
}

dir=$build/bed
if [ "${1:-}" = -d ]; then
    [ -n "${2:-}" ] || die "-d DIR"
    dir=$2
    shift 2
fi
dir=$(realpath -m "$dir")
command=${1:-}
[ $# -eq 0 ] || shift
case $command in
up | down | status | shell | guest | ask | check | limit | bytes) "$command" "$@" ;;
count) ask "${1:-}" "${2:-}" count ;;
reload) need_host "${1:-}"; "$here/host.sh" libvirtd "$dir/$1" reload ;;
install) install_command "$@" ;;
-h | --help | help) usage ;;
*) usage >&2; exit 2 ;;
esac

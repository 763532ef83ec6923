#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs a libvirt host of its own inside private namespaces: up, enter, libvirtd, down.
#
# DIR holds everything that the host keeps: its /etc/libvirt, /var/lib/libvirt,
# /var/log/libvirt and /var/cache/libvirt are bind-mounted from there, /run is a
# tmpfs that goes with it. Nothing of the machine's own libvirt is read or
# written, and killing one process (the init, DIR/init.pid) ends all of it.
set -euo pipefail

usage() {
    cat <<'END'
usage: host.sh up DIR [--cgroup] [--root] [--name NAME] [--no-libvirtd] [--network SWITCH/NUMBER]
       host.sh enter DIR COMMAND...         run a command inside (virsh, collectd, ...)
       host.sh libvirtd DIR start|stop|kill|pid|reload
       host.sh down DIR
       host.sh check                        exit 77 with the reason where up cannot work

--cgroup   leaves libvirt's cgroups on, below a cgroup of the host's own
--root     gives it an /etc, /usr/local, /var/lib, /var/log and /var/cache of its own, in DIR/root,
           where whatever else the machine has there is seen through links
--network  joins the host's bridge to that of the host in the directory SWITCH, which is up
           (--no-libvirtd will do). Its address is then 10.77.0.NUMBER (2 to 250; SWITCH has 1),
           where its libvirtd listens: qemu+tcp://10.77.0.NUMBER/system, without authentication.
           What crosses the wire is counted by portNUMBER in SWITCH.
Exit status 77: this machine cannot run it; one line says why.
END
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
marker=/run/setmov-bed
# Where a host with a root of its own sees what the machine has in the same places.
machine=/run/setmov-bed-machine
root_places=(etc var/lib var/log var/cache)

die() { echo "host.sh: $*" >&2; exit 1; }
skip() { echo "skipped: $*"; exit 77; }

# What must be there; says so in one line and leaves with 77 where it is not.
check() {
    [ "$(id -u)" = 0 ] || skip "the libvirt test bed needs root"
    [ ! -e "$marker" ] || skip "already inside a test bed"
    local tool
    for tool in unshare nsenter tini ip libvirtd virsh qemu-system-x86_64; do
        command -v "$tool" >/dev/null || skip "the libvirt test bed needs $tool"
    done
    local place
    for place in /etc/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt; do
        [ -d "$place" ] || skip "no $place (package libvirt-daemon-system)"
    done
    unshare -m -p -f -u -n -i true 2>/dev/null || skip "no permission to make namespaces"
    [ -c /dev/net/tun ] || skip "no /dev/net/tun for the guests' interfaces"
}

init_pid() {
    local dir=$1 pid
    [ -s "$dir/init.pid" ] || return 1
    read -r pid <"$dir/init.pid"
    # A number used again by somebody else must not be mistaken for ours.
    [ "$(stat -Lc %i "/proc/$pid/ns/pid" 2>/dev/null)" = "$(cat "$dir/init.ns" 2>/dev/null)" ] || return 1
    echo "$pid"
}

# The time at which a process began, in the kernel's ticks: with its number, it names one process.
process_began() {
    local stat fields
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    read -ra fields <<<"${stat##*) }"
    echo "${fields[19]}"
}

# What starts the init, for as long as the init has not told its own number (and after).
starter_pid() {
    local pid began
    read -r pid began 2>/dev/null <"$1/starter.pid" || return 1
    [ "$(process_began "$pid")" = "$began" ] || return 1
    echo "$pid"
}

# ---- cgroups ----------------------------------------------------------------

# The directory of each hierarchy that libvirt would use on this machine.
cgroup_roots() {
    local controller
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        echo /sys/fs/cgroup
        return
    fi
    for controller in cpu cpuacct memory; do
        [ -d "/sys/fs/cgroup/$controller" ] && readlink -f "/sys/fs/cgroup/$controller"
    done | sort -u
}

# Makes the host's cgroup in each hierarchy and moves this shell there.
cgroup_join() {
    local name=$1 root
    for root in $(cgroup_roots); do
        mkdir "$root/$name" 2>/dev/null || skip "no permission to make cgroups below $root"
        echo $BASHPID >"$root/$name/cgroup.procs"
    done
}

# Moves this shell into the host's cgroups, where it has any of its own.
cgroup_enter() {
    local name root
    [ -s "$1/cgroup.name" ] || return 0
    name=$(cat "$1/cgroup.name")
    for root in $(cgroup_roots); do
        if [ -d "$root/$name/init" ]; then
            echo $BASHPID >"$root/$name/init/cgroup.procs"
        else
            echo $BASHPID >"$root/$name/cgroup.procs"
        fi
    done
}

# False while something is left: the kernel takes a moment to empty a cgroup.
cgroup_remove() {
    local name=$1 root left=0
    for root in $(cgroup_roots); do
        [ -d "$root/$name" ] || continue
        find "$root/$name" -depth -type d -exec rmdir {} + 2>/dev/null || left=1
    done
    return $left
}

# Inside: shows the hierarchies as if the host's cgroup were their root.
cgroup_mount() {
    local controllers
    [ -d /sys/fs/cgroup ] || return 0
    if [ "$BED_CGROUP" = v2 ]; then
        mount -t cgroup2 cgroup2 /sys/fs/cgroup
        # Controllers can be handed down only from a cgroup without processes.
        mkdir -p /sys/fs/cgroup/init
        echo 0 >/sys/fs/cgroup/init/cgroup.procs
        echo 1 >/sys/fs/cgroup/init/cgroup.procs
        echo "+cpu +memory" >/sys/fs/cgroup/cgroup.subtree_control
        return
    fi
    mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
    while IFS=: read -r _ controllers _; do
        case ",$controllers," in
        *,cpu,* | *,cpuacct,* | *,memory,*)
            mkdir "/sys/fs/cgroup/$controllers"
            mount -t cgroup -o "$controllers" cgroup "/sys/fs/cgroup/$controllers"
            ;;
        esac
    done </proc/self/cgroup
}

# ---- configuration -------------------------------------------------------------

write_configuration() {
    local dir=$1 cgroup=$2 number=$3
    mkdir -p "$dir"/{etc/qemu,lib/images,lib/sockets,log/qemu,cache}
    chmod 755 "$dir"/{etc,lib,log,cache}
    cat >"$dir/etc/libvirtd.conf" <<END
host_uuid = "$(cat /proc/sys/kernel/random/uuid)"
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_group = "root"
log_filters = "${BED_LOG_FILTERS:-}"
log_outputs = "${BED_LOG_LEVEL:-3}:file:/var/log/libvirt/libvirtd.log"
END
    # Only on the wire between hosts of the test bed; libvirtd needs --listen besides.
    [ "$number" = 1 ] || cat >>"$dir/etc/libvirtd.conf" <<END
listen_tls = 0
listen_tcp = 1
listen_addr = "10.77.0.$number"
auth_tcp = "none"
END
    cat >"$dir/etc/qemu.conf" <<'END'
user = "root"
group = "root"
security_driver = "none"
namespaces = []
remember_owner = 0
stdio_handler = "file"
END
    if [ "$cgroup" = none ]; then
        echo 'cgroup_controllers = []'
    else
        echo 'cgroup_controllers = [ "cpu", "cpuacct", "memory" ]'
    fi >>"$dir/etc/qemu.conf"
}

# ---- a root of its own ----------------------------------------------------------------

# DIR/root has the places that the host does not share, so that `make install DESTDIR=DIR/root`
# installs into the host. Entries of the machine's become links; its links stay what they are.
root_make() {
    local dir=$1 place entry name own links others
    for place in "${root_places[@]}"; do
        own="$dir/root/$place" links=() others=()
        mkdir -p "$own/libvirt"
        for entry in "/$place"/*; do
            name=${entry##*/}
            case $name in
            libvirt | collectd | setmov* | hosts | hostname | machine-id | mtab | resolv.conf) ;;
            *) if [ -L "$entry" ]; then links+=("$entry"); elif [ -e "$entry" ]; then others+=("$machine$entry"); fi ;;
            esac
        done
        [ ${#links[@]} -eq 0 ] || cp -P -t "$own" -- "${links[@]}"
        [ ${#others[@]} -eq 0 ] || ln -s -t "$own" -- "${others[@]}"
    done
    mkdir -p "$dir/root/usr/local/bin"
    ln -s ../proc/self/mounts "$dir/root/etc/mtab"
    echo "$2" >"$dir/root/etc/hostname"
    printf '127.0.0.1 localhost\n10.77.0.%s %s\n' "$3" "$2" >"$dir/root/etc/hosts"
    tr -d - </proc/sys/kernel/random/uuid >"$dir/root/etc/machine-id"
    : >"$dir/root/etc/resolv.conf"
    # The names under which hosts without one keep the same things.
    ln -s root/etc/libvirt "$dir/etc"
    ln -s root/var/lib/libvirt "$dir/lib"
    ln -s root/var/log/libvirt "$dir/log"
    ln -s root/var/cache/libvirt "$dir/cache"
}

# Inside, when /run is the host's own.
root_mount() {
    local dir=$1 place
    for place in "${root_places[@]}"; do
        mkdir -p "$machine/$place"
        mount --rbind "/$place" "$machine/$place"
        mount --bind "$dir/root/$place" "/$place"
    done
    mount --bind "$dir/root/usr/local" /usr/local
}

# ---- inside ------------------------------------------------------------------------

# Runs as a child of the init, in the new namespaces; $1 is DIR.
inside() {
    local dir=$1 pid part rest
    # /proc is still the machine's: it knows the init, our parent, by its outer number.
    read -r _ _ _ pid rest </proc/self/stat
    stat -Lc %i /proc/self/ns/pid >"$dir/init.ns"
    mount --make-rprivate /
    [ -d "$dir/root" ] || for part in etc:/etc/libvirt lib:/var/lib/libvirt log:/var/log/libvirt cache:/var/cache/libvirt; do
        mount --bind "$dir/${part%%:*}" "${part#*:}"
    done
    mount -t proc -o nosuid,nodev,noexec proc /proc
    mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
    [ "$BED_CGROUP" = none ] || cgroup_mount
    mount -t tmpfs -o mode=755,nosuid,nodev tmpfs /run
    mkdir -p /run/lock /run/libvirt
    [ ! -d "$dir/root" ] || root_mount "$dir"
    echo "$dir" >"$marker"

    hostname "$BED_NAME"
    # No address configuration of the kernel's own on the wire: tests count packets.
    [ ! -e /proc/sys/net/ipv6/conf/default/disable_ipv6 ] || {
        echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
        echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
    }
    ip link set lo up
    ip link add bed0 address "52:54:00:77:00:$(printf %02x "$BED_NUMBER")" type bridge stp_state 0 forward_delay 0 mcast_snooping 0
    ip addr add "10.77.0.$BED_NUMBER/24" dev bed0
    ip link set bed0 up
    echo "$pid" >"$dir/init.pid.new"
    mv "$dir/init.pid.new" "$dir/init.pid"
    exec sleep infinity
}

# ---- wires ------------------------------------------------------------------------------

# One wire between the bridges of two hosts; it goes with either of them.
network_join() { # DIR SWITCH NUMBER
    local pid switch
    pid=$(init_pid "$1")
    switch=$(init_pid "$2")
    nsenter -t "$switch" -n ip link add "port$3" type veth peer name wire0 netns "$pid"
    nsenter -t "$switch" -n ip link set "port$3" master bed0 up
    nsenter -t "$pid" -n ip link set wire0 master bed0 up
    # The way out that a host has: its address is the one on that way.
    [ ! -d "$1/root" ] || nsenter -t "$pid" -n ip route add default via 10.77.0.1
}

# ---- commands ------------------------------------------------------------------------

up() {
    local dir=${1:?} cgroup=none name='' root=no start=yes switch='' number=1 i
    shift
    while [ $# -gt 0 ]; do
        case $1 in
        --cgroup) cgroup=v1 ;;
        --name) name=${2:?}; shift ;;
        --no-libvirtd) start=no ;;
        --root) root=yes ;;
        --network) switch=${2%/*} number=${2##*/}; shift ;;
        *) die "unknown option $1" ;;
        esac
        shift
    done
    check
    [[ $number =~ ^[1-9][0-9]{0,2}$ ]] || die "--network: $number is not a number"
    if [ -n "$switch" ]; then
        [ "$number" -ge 2 ] && [ "$number" -le 250 ] || die "--network: $number is not from 2 to 250"
        init_pid "$switch" >/dev/null || die "--network: no host is up in $switch"
    fi
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd)
    [ ${#dir} -le 60 ] || die "$dir: too long for the sockets below it"
    [ ! -e "$dir/init.pid" ] || die "$dir: a host is there already (host.sh down $dir)"
    name=${name:-bed-$(basename "$dir" | tr -cd 'A-Za-z0-9-' | tail -c 40)}
    if [ $root = yes ]; then
        case "$dir/ $here/" in
        /usr/local/* | *" /usr/local/"*) die "--root: the host has a /usr/local of its own, $dir and $here must lie elsewhere" ;;
        esac
        [ ! -e "$dir/root" ] || die "$dir: the root of an earlier host is there"
        root_make "$dir" "$name" "$number"
    fi
    local cgroup_name
    cgroup_name="setmov-bed-$(tr -dc a-f0-9 </proc/sys/kernel/random/uuid)"
    if [ "$cgroup" = v1 ] && [ -e /sys/fs/cgroup/cgroup.controllers ]; then cgroup=v2; fi
    write_configuration "$dir" "$cgroup" "$number"
    [ "$cgroup" = none ] || echo "$cgroup_name" >"$dir/cgroup.name"
    (
        if [ "$cgroup" != none ]; then cgroup_join "$cgroup_name"; fi
        # What this shell is now, setsid and then unshare will be.
        starter=$BASHPID
        echo "$starter $(process_began "$starter")" >"$dir/starter.pid"
        export BED_CGROUP=$cgroup BED_NAME=$name BED_NUMBER=$number
        exec setsid unshare -m -p -f -u -n -i -C --kill-child \
            tini -- bash "$here/host.sh" inside "$dir" </dev/null >"$dir/init.log" 2>&1
    ) &
    for ((i = 0; i < 200; i++)); do
        [ ! -s "$dir/init.pid" ] || break
        kill -0 $! 2>/dev/null || { cat "$dir/init.log" >&2; down "$dir"; die "the namespaces could not be set up"; }
        sleep 0.05
    done
    init_pid "$dir" >/dev/null || { cat "$dir/init.log" >&2; down "$dir"; die "the init did not come up"; }
    if [ -n "$switch" ] && ! network_join "$dir" "$switch" "$number"; then
        down "$dir"
        die "no wire to $switch"
    fi
    [ $start = no ] || libvirtd_command "$dir" start
}

enter() {
    local dir=${1:?} pid
    shift
    pid=$(init_pid "$dir") || die "$dir: no host is running there"
    cgroup_enter "$dir"
    # The directory is looked up again inside: a handle from outside would leave the mount namespace.
    # shellcheck disable=SC2016
    exec nsenter -t "$pid" -m -p -u -n -i -C -- /bin/sh -c 'cd "$1" 2>/dev/null || cd /; shift; exec "$@"' sh "$PWD" "$@"
}

libvirtd_pid() { (enter "$1" cat /run/libvirtd.pid) 2>/dev/null; }

libvirtd_alive() {
    local pid
    pid=$(libvirtd_pid "$1") || return 1
    [ -n "$pid" ] && (enter "$1" kill -0 "$pid") 2>/dev/null
}

# A reload looks for hook scripts and then runs the daemon's: one of ours tells that it is done.
libvirtd_reload() {
    local dir=$1 hook=$1/etc/hooks/daemon.d/setmov-bed-reload pid i
    pid=$(libvirtd_pid "$dir") || die "$dir: no libvirtd is running there"
    mkdir -p "${hook%/*}"
    rm -f "$dir/lib/reloaded"
    # shellcheck disable=SC2016 # for the hook
    printf '#!/bin/sh\n[ "$2" != reload ] || : >/var/lib/libvirt/reloaded\n' >"$hook"
    chmod 755 "$hook"
    (enter "$dir" kill -HUP "$pid")
    for ((i = 0; i < 300; i++)); do
        if [ -e "$dir/lib/reloaded" ]; then
            rm -f "$hook" "$dir/lib/reloaded"
            return 0
        fi
        sleep 0.1
    done
    rm -f "$hook"
    die "libvirtd does not reload"
}

libvirtd_command() {
    local dir=$1 command=${2:-} listen=() i
    case $command in
    start)
        ! grep -q '^listen_tcp' "$dir/etc/libvirtd.conf" || listen=(--listen)
        (enter "$dir" rm -f /run/libvirtd.pid)
        # A fresh session, so that the terminal's ^C does not reach it.
        (enter "$dir" setsid libvirtd -d "${listen[@]}" --pid-file /run/libvirtd.pid </dev/null >>"$dir/libvirtd.out" 2>&1) ||
            die "libvirtd did not start: $(tail -n 3 "$dir/libvirtd.out")"
        for ((i = 0; i < 300; i++)); do
            if (enter "$dir" virsh -q -c qemu:///system version) >/dev/null 2>&1; then return 0; fi
            sleep 0.1
        done
        die "libvirtd does not answer: $(tail -n 3 "$dir/log/libvirtd.log" 2>/dev/null)"
        ;;
    stop | kill)
        local signal=TERM pid
        [ "$command" = stop ] || signal=KILL
        pid=$(libvirtd_pid "$dir") || return 0
        (enter "$dir" kill -$signal "$pid") 2>/dev/null || return 0
        for ((i = 0; i < 300; i++)); do
            libvirtd_alive "$dir" || return 0
            sleep 0.1
        done
        die "libvirtd does not end"
        ;;
    pid) libvirtd_pid "$dir" ;;
    reload) libvirtd_reload "$dir" ;;
    *) die "libvirtd start, stop, kill, pid or reload" ;;
    esac
}

# A zombie is gone too.
wait_gone() {
    local pid i stat
    for pid; do
        for ((i = 0; i < 300; i++)); do
            stat=$(cat "/proc/$pid/stat" 2>/dev/null) || break
            case ${stat##*) } in Z*) break ;; esac
            sleep 0.05
        done
    done
}

down() {
    local dir=${1:?} pid children=() i
    if pid=$(init_pid "$dir"); then
        # The init of a PID namespace takes everything in it along.
        kill -KILL "$pid" 2>/dev/null || true
        wait_gone "$pid"
    elif pid=$(starter_pid "$dir"); then
        # Half-way up. Stopped, it cannot start the init behind our back.
        kill -STOP "$pid" 2>/dev/null || true
        read -ra children <"/proc/$pid/task/$pid/children" || true
        kill -KILL "${children[@]}" "$pid" 2>/dev/null || true
        wait_gone "${children[@]}" "$pid"
    fi
    rm -f "$dir/init.pid" "$dir/init.ns" "$dir/starter.pid"
    if [ -s "$dir/cgroup.name" ]; then
        for ((i = 0; i < 100; i++)); do
            ! cgroup_remove "$(cat "$dir/cgroup.name")" || break
            sleep 0.1
        done
        rm -f "$dir/cgroup.name"
    fi
}

case ${1:-} in
up | enter | down) "$@" ;;
libvirtd) shift; libvirtd_command "$@" ;;
check) check ;;
inside) inside "$2" ;;
-h | --help | help) usage ;;
*) usage >&2; exit 2 ;;
esac

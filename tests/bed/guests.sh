#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Defines and starts the guests of a test bed host: idle ones without an OS, and a small Linux.
set -euo pipefail

usage() {
    cat <<'END'
usage: guests.sh DIR idle COUNT [PREFIX]      COUNT guests of 16 MiB: 2 disks, 2 taps, no OS
       guests.sh DIR define-idle NAME         defines one of those without starting it
       guests.sh DIR linux NAME...            small Linux guests, started; returns when they obey
       guests.sh DIR writer NAME...           the same, but with one disk, lib/images/NAME.raw or .qcow2,
                                              on which it keeps records (guest_disk.py); made if absent
       guests.sh DIR command NAME COMMAND...  one command of guest.c; prints its answer
DIR is a host that host.sh has brought up.
END
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# -ge 2 ] || { usage >&2; exit 2; }
dir=$(cd "$1" && pwd)
action=$2
shift 2

in_host() { "$here/host.sh" enter "$dir" "$@"; }
virsh_in() { in_host virsh -q -c qemu:///system "$@"; }

disk_xml() { # NAME TARGET MEBIBYTES
    local image="$dir/lib/images/$1-$2.raw"
    truncate -s "$3M" "$image"
    cat <<END
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' cache='${cache:-none}'/>
      <source file='/var/lib/libvirt/images/$1-$2.raw'/>
      <target dev='$2' bus='virtio'/>
    </disk>
END
}

interface_xml() {
    cat <<END
    <interface type='bridge'>
      <source bridge='bed0'/>
      <model type='virtio'/>
      <rom enabled='no'/>
    </interface>
END
}

# Nothing to boot: the firmware gives up and halts.
idle_xml() {
    cat <<END
<domain type='qemu'>
  <name>$1</name>
  <memory unit='MiB'>16</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os>
  <features><acpi/></features>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
$(disk_xml "$1" vda 1)
$(disk_xml "$1" vdb 1)
$(interface_xml)
$(interface_xml)
    <controller type='usb' model='none'/>
    <memballoon model='virtio'/>
  </devices>
</domain>
END
}

# Paths are those inside the host, so that a guest finds its own at every host it moves to.
linux_xml() { # NAME DISKS
    cat <<END
<domain type='qemu'>
  <name>$1</name>
  <memory unit='MiB'>128</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>$image/vmlinuz</kernel>
    <initrd>$image/initrd</initrd>
    <cmdline>console=ttyS0 loglevel=4 mitigations=off panic=0 net.ifnames=0 ipv6.disable=1</cmdline>
  </os>
  <features><acpi/></features>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
$2
$(interface_xml)
$(interface_xml)
    <controller type='usb' model='none'/>
    <serial type='file'><source path='/var/log/libvirt/$1.console'/><target port='0'/></serial>
    <serial type='unix'><source mode='bind' path='/var/lib/libvirt/sockets/$1'/><target port='1'/></serial>
    <memballoon model='virtio'/>
    <panic model='isa'/>
  </devices>
</domain>
END
}

define() { # NAME XML
    printf '%s\n' "$2" >"$dir/$1.xml"
    virsh_in define "$dir/$1.xml" >/dev/null
}

idle() {
    local count=$1 prefix=${2:-idle} number name half
    for ((number = 1; number <= count; number++)); do
        name=$(printf '%s%03d' "$prefix" "$number")
        idle_xml "$name" >"$dir/$name.xml"
        echo "define $dir/$name.xml"
    done >"$dir/define.virsh"
    # One virsh for all of them: a process each would cost more than the call.
    in_host sh -c "virsh -q -c qemu:///system <$dir/define.virsh" >/dev/null
    for half in 0 1; do
        for ((number = 1 + half; number <= count; number += 2)); do
            printf 'start %s%03d\n' "$prefix" "$number"
        done >"$dir/start$half.virsh"
        in_host sh -c "virsh -q -c qemu:///system <$dir/start$half.virsh" >"$dir/start$half.out" 2>&1 &
    done
    wait
    number=$(virsh_in list --name | grep -c "^$prefix" || true)
    [ "$number" -ge "$count" ] || { cat "$dir"/start?.out >&2; echo "guests.sh: $number of $count started" >&2; exit 1; }
}

writer_disk_xml() { # NAME
    local image=$dir/lib/images/$1
    [ -e "$image.raw" ] || [ -e "$image.qcow2" ] || "$here/guest_disk.py" make "$image.raw" 64 "$1"
    if [ -e "$image.raw" ]; then image=$1.raw; else image=$1.qcow2; fi
    cat <<END
    <disk type='file' device='disk'>
      <driver name='qemu' type='${image##*.}' cache='${cache:-none}'/>
      <source file='/var/lib/libvirt/images/$image'/>
      <target dev='vda' bus='virtio'/>
    </disk>
END
}

disks_xml() { # KIND NAME
    case $1 in
    linux) disk_xml "$2" vda 64; disk_xml "$2" vdb 16 ;;
    writer) writer_disk_xml "$2" ;;
    esac
}

start_linux() { # KIND NAME...
    local kind=$1 name disks
    shift
    image=$("$here/guest_image.py") || { echo "$image"; exit 77; }
    for name; do
        virsh_in dominfo "$name" >/dev/null 2>&1 || {
            disks=$(disks_xml "$kind" "$name")
            define "$name" "$(linux_xml "$name" "$disks")"
        }
        virsh_in start "$name" >/dev/null
    done
    for name; do
        "$here/guest_line.py" "$dir/lib/sockets/$name" --ready >/dev/null || { tail -n 5 "$dir/log/$name.console" >&2; exit 1; }
    done
}

case $action in
idle) idle "$@" ;;
define-idle) define "$1" "$(idle_xml "$1")" ;;
linux | writer) start_linux "$action" "$@" ;;
command) name=$1; shift; exec "$here/guest_line.py" "$dir/lib/sockets/$name" "$@" ;;
*) usage >&2; exit 2 ;;
esac

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What is said of a move is so: obstacles that libvirt has, hosts that lack something, a plain move, files in use."""
# test-timeout: 400
import os
import re
import subprocess
import uuid

import bed
import three_hosts

TOOL = os.path.join(bed.BUILD, "tests/helpers/move_tool")
IMAGES = three_hosts.IMAGES
HERE = "qemu:///system"
MIB = 1 << 20

REFUSE = """#!/bin/sh
[ "$2 $3" = "migrate begin" ] || exit 0
echo "beta has 10% of it, gamma 90%: go there" >&2
exit 1
"""


def tool(host, *words):
    """(status, lines, stderr) of the helper inside a host."""
    done = host.attempt(TOOL, *words)
    return done.status, done.out.splitlines(), done.err.strip()


def read(host, guest):
    status, lines, err = tool(host, "read", HERE, guest)
    bed.require(status == 0, f"read {guest}: {err}")
    return lines


def obstacles(lines):
    return [line.removeprefix("obstacle ") for line in lines if line.startswith("obstacle ")]


def expect(lines, *expected):
    """Just these obstacles; each is a regular expression."""
    found = obstacles(lines)
    bed.require(len(found) == len(expected) and all(map(re.fullmatch, expected, found)),
                f"obstacles {found}, expected {expected}")


def ask(host, guest, peer, *more, unknown=None):
    """The kernel of the guests lies in no pool; nothing else may be unknown but what is expected."""
    status, lines, err = tool(host, "ask", HERE, guest, peer.uri, own_uuid(host), *more)
    bed.require(status == 0, f"ask {peer.name} of {guest}: {err}")
    found = [line.removeprefix("unknown ") for line in lines if line.startswith("unknown")
             and not re.search(r"/(vmlinuz|initrd): that lies in no pool there$", line)]
    bed.require(found == (unknown or []), f"ask {peer.name}: {lines}")
    return lines


def own_uuid(host):
    return re.search("<uuid>(.*?)</uuid>", host.virsh("capabilities")).group(1)


def image(host, name, size=4 * MIB, form="raw"):
    path = f"{IMAGES}/{name}"
    host.run("qemu-img", "create", "-q", "-f", form, path, size)
    return path


def disk(path, target, form="raw", more="", device="disk"):
    return (f"<disk type='file' device='{device}'><driver name='qemu' type='{form}'/><source file='{path}'/>"
            f"<target dev='{target}' bus='{'ide' if target.startswith('hd') else 'virtio'}'/>{more}</disk>")


def define(host, name, devices, system="", identity=None):
    """A small VM without an OS."""
    path = host.path(f"/var/lib/setmov/{name}.xml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"<domain type='qemu'><name>{name}</name>"
                   f"<uuid>{identity or uuid.uuid4()}</uuid><memory unit='MiB'>16</memory>"
                   f"<os><type arch='x86_64' machine='pc'>hvm</type>{system}</os>"
                   f"<devices>{devices}<controller type='usb' model='none'/></devices></domain>")
    host.virsh("define", f"/var/lib/setmov/{name}.xml")
    return host.virsh("domuuid", name).strip()


def libvirt_refuses(host, guest, peer, words):
    done = host.migrate(guest, peer)
    bed.require(done.status != 0 and words in done.err, f"migrate {guest}: {done.status} {done.err}, expected '{words}'")


# ---- the VM ------------------------------------------------------------------------------------


def check_snapshots(host, peer):
    """What libvirt refuses is an obstacle, and the command that is named shows it."""
    host.virsh("snapshot-create-as", "bare", "first")
    host.virsh("snapshot-create-as", "bare", "second")
    expect(read(host, "bare"), re.escape("it has 2 internal snapshots (virsh snapshot-list bare)"))
    libvirt_refuses(host, "bare", peer, "cannot migrate domain with 2 snapshots")
    for name in ("first", "second"):
        host.virsh("snapshot-delete", "bare", name)
    expect(read(host, "bare"))
    host.virsh("snapshot-create-as", "bare", "third", "--disk-only", "--diskspec", f"vda,file={IMAGES}/bare.third")
    lines = read(host, "bare")
    expect(lines, re.escape("it has 1 external snapshot that libvirt keeps a record of (virsh snapshot-list bare)"))
    bed.require([line for line in lines if line.startswith(f"disk vda {IMAGES}/bare.third qcow2 ")
                 and line.endswith(" layers 2")], f"an overlay: {lines}")
    libvirt_refuses(host, "bare", peer, "cannot migrate domain with 1 snapshots")
    host.virsh("snapshot-delete", "bare", "third", "--metadata")
    expect(read(host, "bare"))


def check_block_job(host, peer):
    host.virsh("blockcopy", "bare", "vda", f"{IMAGES}/copy", "--transient-job", "--bandwidth", "1")
    expect(read(host, "bare"), re.escape("a block job of disk 'vda' runs (virsh blockjob bare vda)"))
    libvirt_refuses(host, "bare", peer, "active block job")
    host.virsh("blockjob", "bare", "vda", "--abort")
    bed.poll(lambda: not obstacles(read(host, "bare")), 30, "the job's end")


def check_definition(host):
    """libvirt would leave a disk behind that the VM gets at its next start, without a word."""
    later, medium = image(host, "later.raw"), ["attach-disk", "bare", image(host, "cd2.iso"), "hdc", "--type", "cdrom", "--mode", "readonly"]
    host.virsh("attach-disk", "bare", later, "vdb", "--config")
    expect(read(host, "bare"), re.escape(f"disk 'vdb' ({later}) is in its definition only, for its next start, and would stay here"))
    host.virsh("detach-disk", "bare", "vdb", "--config")
    host.virsh(*medium, "--config")
    expect(read(host, "bare"))
    host.virsh("detach-disk", "bare", "hdc", "--config")


def check_files_of_this_host(host, peer):
    """Media and read-only disks do not go along: the other host must have them. Shared ones libvirt refuses."""
    iso, shared = image(host, "cd.iso"), image(host, "shared.raw")
    drive = disk(iso, "hdc", more="<readonly/>", device="cdrom")
    define(host, "media", disk(image(host, "media.raw"), "vda") + drive)
    host.virsh("start", "media")
    lines = read(host, "media")
    expect(lines)
    bed.require(f"needs {iso}" in lines, f"media: {lines}")
    expect(ask(host, "media", peer), re.escape(f"it has no file {iso}, which the VM uses and which does not go along"))
    libvirt_refuses(host, "media", peer, f"Cannot access storage file '{iso}'")
    image(peer, "cd.iso")
    expect(ask(host, "media", peer))
    status, _, err = move(host, "media", peer)
    bed.require(status == 0 and peer.state("media") == "running", f"with the medium there: {err}")
    peer.virsh("destroy", "media")
    peer.virsh("undefine", "media")
    define(host, "sharer", disk(f"{IMAGES}/media.raw", "vda") + disk(shared, "vdb", more="<shareable/>")
           + disk("/var/lib/setmov/ro", "vdc", more="<readonly/>"))
    host.run("truncate", "-s", "1M", "/var/lib/setmov/ro")
    host.virsh("start", "sharer")
    expect(read(host, "sharer"), re.escape(f"disk 'vdb' is shared with other VMs, but only this host has its file {shared}"))
    libvirt_refuses(host, "sharer", peer, "Migration without shared storage is unsafe")
    expect(ask(host, "sharer", peer, unknown=["whether it has the file /var/lib/setmov/ro: that lies in no pool there"]))
    host.virsh("destroy", "sharer")
    host.virsh("undefine", "sharer")


def check_pipe(host):
    """A FIFO in a disk's place: libvirtd, which would wait for its writer for ever, is not asked of it."""
    os.mkfifo(host.path("/var/lib/setmov/pipe"))
    define(host, "piped", disk("/var/lib/setmov/pipe", "vda"))
    for words in (("read", HERE, "piped"), ("domains", HERE)):
        try:
            done = host.attempt(TOOL, *words, timeout=60)
        except subprocess.TimeoutExpired:
            raise bed.Failed(f"{words}: libvirtd waits for the FIFO") from None
        bed.require(done.status == 0, f"{words}: {done}")
        if words[0] == "read":
            expect(done.out.splitlines(), "disk 'vda': it is neither a file nor a block device")
    host.virsh("undefine", "piped")


def check_saved(host):
    """Off and saved: libvirt would move the definition and leave the rest."""
    old = image(host, "saved.raw")
    identity = define(host, "saved", disk(old, "vda"))
    host.virsh("start", "saved")
    host.virsh("managedsave", "saved")
    expect(read(host, "saved"), "it is saved, and what it was doing would stay here .*")
    new = image(host, "saved2.raw")
    define(host, "saved", disk(new, "vda"), identity=identity)
    _, files, _ = tool(host, "files", HERE)
    bed.require(f"file {old}" in files and f"file {new}" in files, f"files of a saved VM: {files}")
    host.virsh("undefine", "saved", "--managed-save")
    _, files, _ = tool(host, "files", HERE)
    bed.require(f"file {old}" not in files and f"file {new}" not in files, f"files of a VM that is gone: {files}")


def check_reading(host, guest):
    lines = read(host, guest)
    expect(lines)
    disks = [line for line in lines if line.startswith("disk ")]
    bed.require(len(disks) == 1 and re.fullmatch(
        f"disk vda {IMAGES}/{guest}.raw raw capacity {64 * MIB} allocated [0-9]+ layers 1", disks[0]), f"{disks}")
    for line in (f"name {guest}", "active 1", f"memory {128 * MIB}", "vcpus 1", "bridge bed0", "cpu yes"):
        bed.require(line in lines, f"'{line}' is not in {lines}")
    bed.require(read(host, host.virsh("domuuid", guest).strip())[:4] == lines[:4], "another one by UUID")
    for name in ("nobody", str(uuid.uuid4())):
        status, _, err = tool(host, "read", HERE, name)
        bed.require(status == 1 and err == f"ENOENT: libvirt has no VM '{name}' here (virsh list --all)", err)


# ---- hosts ----------------------------------------------------------------------------------------


def check_hosts(host, peer):
    expect(ask(host, "mover", peer))
    expect(ask(host, "mover", host), re.escape(f"it is this same host (UUID {own_uuid(host)})"))
    identity = host.virsh("domuuid", "mover").strip()
    define(peer, "mover", "")
    expect(ask(host, "mover", peer), "another VM called 'mover' is defined there")
    peer.virsh("undefine", "mover")
    define(peer, "other", "", identity=identity)
    peer.virsh("start", "other")
    expect(ask(host, "mover", peer), "a VM of the same UUID is running there, 'other'")
    peer.virsh("destroy", "other")
    peer.virsh("undefine", "other")
    expect(ask(host, "mover", peer, "pc-q35-99.9"),
           re.escape("its machine (x86_64 pc-q35-99.9, qemu) cannot run there: ") + ".*pc-q35-99.9.*")
    expect(ask(host, "mover", peer, "pc", "<cpu mode='custom' match='exact'><model>qemu64</model>"
               "<feature policy='require' name='amx-tile'/></cpu>"), "its CPU cannot be had there: .*amx-tile.*")


def check_networks(host, peer):
    define(host, "netted", "<interface type='network'><source network='lan'/></interface>"
           "<interface type='bridge'><source bridge='br9'/></interface>"
           "<interface type='direct'><source dev='nic9' mode='bridge'/></interface>")
    lines = read(host, "netted")
    bed.require({"network lan", "bridge br9", "bridge nic9"} <= set(lines), f"{lines}")
    bridges = [f"it has no bridge or device '{name}'" for name in ("br9", "nic9")]
    expect(ask(host, "netted", peer), "it has no libvirt network 'lan'", *bridges)
    path = peer.path("/var/lib/setmov/lan.xml")
    with open(path, "w", encoding="ascii") as file:
        file.write("<network><name>lan</name><forward mode='bridge'/><bridge name='bed0'/></network>")
    peer.virsh("net-define", "/var/lib/setmov/lan.xml")
    expect(ask(host, "netted", peer), re.escape("its libvirt network 'lan' is not active there (virsh net-start)"),
           *bridges)
    peer.virsh("net-start", "lan")
    for name in ("br9", "nic9"):
        peer.run("ip", "link", "add", name, "type", "bridge")
    expect(ask(host, "netted", peer))
    host.virsh("undefine", "netted")


# ---- moving ------------------------------------------------------------------------------------------


def move(host, guest, peer, *more):
    return tool(host, "move", HERE, peer.uri, host.virsh("domuuid", guest).strip(), *more)


def check_refused(host, peer):
    """The hook's line arrives; the guest runs on; nothing is left there."""
    peer.hook("refuse", REFUSE)
    status, _, err = move(host, "mover", peer)
    bed.require(status == 1 and err == "EIO: refused there: beta has 10% of it, gamma 90%: go there", err)
    bed.require(host.state("mover") == "running" and peer.state("mover") is None, "a refused VM moved")
    bed.require(not os.path.exists(peer.image("mover")), "a refused VM left a disk")
    peer.hook("refuse", None)


def check_failed(host, peer):
    """It fails after libvirt made the disk there: that one goes, one that was there before stays."""
    kernel = host.path("/var/lib/setmov/kernel")
    with open(kernel, "wb") as file:
        file.write(bytes(4096))
    define(host, "fails", disk(image(host, "fails.raw"), "vda") + disk(image(host, "there.raw"), "vdb"),
           "<kernel>/var/lib/setmov/kernel</kernel>")
    kept = peer.path(image(peer, "there.raw"))
    host.virsh("start", "fails")
    status, _, err = move(host, "fails", peer)
    bed.require(status == 1 and "/var/lib/setmov/kernel" in err and "left over" not in err, f"{status} {err}")
    bed.require(not os.path.exists(peer.path(f"{IMAGES}/fails.raw")), "a disk is left over")
    bed.require(os.path.getsize(kept) == 4 * MIB, "a disk that was there is gone")
    bed.require(host.state("fails") == "running", "it does not run on")
    host.virsh("destroy", "fails")
    status, _, err = move(host, "fails", peer)
    bed.require(status == 1 and err.startswith("EOPNOTSUPP: 'fails' is off"), err)
    host.virsh("undefine", "fails")


def check_moved(host, peer, guest):
    """With a layer below its disk, to a host that has neither: it arrives as one file."""
    host.virsh("snapshot-create-as", guest, "layer", "--no-metadata", "--disk-only", "--diskspec",
               f"vda,file={IMAGES}/{guest}.qcow2")
    before = bed.poll(lambda: host.count(guest), 60, "the guest writes")
    status, _, err = move(host, guest, peer, 800_000_000)
    bed.require(status == 0, f"move: {err}")
    bed.require(host.state(guest) is None and peer.state(guest) == "running", "it is not where it should be")
    bed.poll(lambda: peer.count(guest) > before, 60, "the guest counts on")
    last = peer.still(guest)
    for xml in (peer.virsh("dumpxml", guest), peer.virsh("dumpxml", "--inactive", guest)):
        bed.require(f"{guest}.raw" not in xml, "the layer is still named")
    expect(read(peer, guest))
    peer.virsh("destroy", guest)
    bed.require(peer.check_disk(guest, last) == last, "its disk is not as it was")
    peer.virsh("start", guest)
    bed.require(peer.state(guest) == "running", "its definition does not start")


def check_lists(host, guest):
    _, lines, _ = tool(host, "domains", HERE)
    bed.require(f"vm {guest} active 1 memory {128 * MIB} vcpus 1" in lines
                and f"disk {guest} vda {IMAGES}/{guest}.raw {64 * MIB}" in lines
                and f"vm volumes active 0 memory {16 * MIB} vcpus 1" in lines
                and f"disk volumes vda {IMAGES}/top.qcow2 {4 * MIB}" in lines, f"domains: {lines}")
    _, files, _ = tool(host, "files", HERE)
    for path in (f"{IMAGES}/{guest}.raw", f"{IMAGES}/top.qcow2", f"{IMAGES}/base.raw", f"{IMAGES}/in.iso"):
        bed.require(f"file {path}" in files, f"{path} is not among the files in use: {files}")


def check_volumes(host, guest):
    """Disks that are named by pool and volume, off, with a layer that only the image itself names."""
    base = image(host, "base.raw")
    host.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", f"{IMAGES}/top.qcow2")
    host.virsh("pool-refresh", "default")
    define(host, "volumes", "<disk type='volume' device='disk'><driver name='qemu' type='qcow2'/><source pool='default' "
           "volume='top.qcow2'/><target dev='vda' bus='virtio'/></disk>"
           + disk(image(host, "in.iso"), "hdc", more="<readonly/>", device="cdrom"))
    lines = read(host, "volumes")
    bed.require([line for line in lines if re.fullmatch(
        f"disk vda {IMAGES}/top.qcow2 qcow2 capacity {4 * MIB} allocated [0-9]+ layers 2", line)], f"volumes: {lines}")
    check_lists(host, guest)
    host.virsh("undefine", "volumes")


def run(hosts):
    alpha, beta, gamma = hosts.all
    alpha.writers("mover")
    define(alpha, "bare", disk(image(alpha, "bare.qcow2", form="qcow2"), "vda", "qcow2"))
    alpha.virsh("start", "bare")
    check_reading(alpha, "mover")
    check_snapshots(alpha, beta)
    check_block_job(alpha, beta)
    check_definition(alpha)
    check_files_of_this_host(alpha, beta)
    check_pipe(alpha)
    check_saved(alpha)
    check_hosts(alpha, beta)
    check_networks(alpha, beta)
    check_volumes(alpha, "mover")
    check_refused(alpha, beta)
    check_failed(alpha, beta)
    check_moved(alpha, gamma, "mover")
    define(alpha, "diskless", "")
    status, _, err = move(alpha, "diskless", beta)
    bed.require(status == 0 and beta.state("diskless") == "shut off" and alpha.state("diskless") is None,
                f"a VM without disks that is off: {err}")


three_hosts.main(run)

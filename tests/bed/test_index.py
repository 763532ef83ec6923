#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""setmov index --connect finds what a real libvirt host has, as what it is; what a VM writes is provisional."""
import json
import os
import signal
import subprocess

import bed

IMAGES = "/var/lib/libvirt/images"
SECOND = "/var/lib/libvirt/second"

DOMAIN = """<domain type='qemu'>
  <name>stopped</name>
  <memory unit='MiB'>16</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='{outside}/over.qcow2'/><target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='{images}/liar.img'/><target dev='vdb' bus='virtio'/>
    </disk>
    <disk type='volume' device='disk'>
      <driver name='qemu' type='raw'/><source pool='default' volume='by-name.img'/><target dev='vdc' bus='virtio'/>
    </disk>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='{outside}/gone.raw'/><target dev='vdd' bus='virtio'/>
    </disk>
    <disk type='file' device='cdrom'><source file='{outside}/disc.iso'/><target dev='hdc' bus='ide'/><readonly/></disk>
    <disk type='file' device='cdrom'><target dev='hdd' bus='ide'/><readonly/></disk>
    <disk type='network' device='disk'>
      <driver name='qemu' type='raw'/>
      <source protocol='nbd' name='x'><host name='127.0.0.1' port='1'/></source><target dev='vde' bus='virtio'/>
    </disk>
  </devices>
</domain>
"""


def index(host, *options, status=0):
    """({path: what came of it}, errors)"""
    done = subprocess.run(host.command(bed.SETMOV, "index", "--json", "--index", f"{host.dir}/index", *options),
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    bed.require(done.returncode == status, f"index {options}: status {done.returncode}: {done.stderr}")
    return {row["path"]: row for row in json.loads(done.stdout)["images"]}, done.stderr


def held(host):
    rows = json.loads(host.run(bed.SETMOV, "index", "--list", "--json", "--index", f"{host.dir}/index"))["fingerprints"]
    return {row["image"]: row for row in rows}


def prepare(host):
    """What the host has, with the format of each."""
    outside = f"{host.dir}/outside"
    os.mkdir(outside)
    for name in (f"{outside}/base.raw", f"{outside}/disc.iso", f"{host.dir}/lib/images/by-name.img"):
        with open(name, "wb") as file:
            file.write(os.urandom(1 << 20))
    make = ["qemu-img", "create", "-q", "-f", "qcow2"]
    subprocess.run([*make, "-b", "base.raw", "-F", "raw", f"{outside}/over.qcow2"], check=True)
    # A guest may write what it wants to the beginning of its raw disk; the pool believes it, the domain knows better.
    for name in ("liar.img", "believed.img"):
        subprocess.run([*make, "-u", "-b", f"{outside}/base.raw", "-F", "raw", f"{host.dir}/lib/images/{name}", "1M"],
                       check=True)
    # A disk in one pool on an image in another.
    os.mkdir(f"{host.dir}/lib/second")
    with open(f"{host.dir}/lib/second/below.raw", "wb") as file:
        file.write(os.urandom(1 << 20))
    subprocess.run([*make, "-u", "-b", f"{SECOND}/below.raw", "-F", "raw", f"{host.dir}/lib/images/above.qcow2", "1M"],
                   check=True)
    for name, directory in (("default", IMAGES), ("second", SECOND)):
        host.virsh("pool-define-as", name, "dir", "--target", directory)
        host.virsh("pool-start", name)
    host.virsh("vol-create-as", "default", "volume.qcow2", "8M", "--format", "qcow2")
    host.virsh("pool-refresh", "default")
    with open(f"{host.dir}/stopped.xml", "w", encoding="ascii") as file:
        file.write(DOMAIN.format(outside=outside, images=IMAGES))
    host.virsh("define", f"{host.dir}/stopped.xml")
    running, = host.idle_guests(1, "busy")
    return {
        f"{outside}/over.qcow2": "qcow2",
        f"{outside}/disc.iso": "raw",
        f"{IMAGES}/liar.img": "raw",
        f"{IMAGES}/by-name.img": "raw",
        f"{IMAGES}/volume.qcow2": "qcow2",
        f"{IMAGES}/above.qcow2": "qcow2",
        f"{SECOND}/below.raw": "raw",
        f"{IMAGES}/{running}-vda.raw": "raw",
        f"{IMAGES}/{running}-vdb.raw": "raw",
    }, running


def check_first(host, formats):
    results, errors = index(host, "--connect", "qemu:///system", status=1)
    # What leads out of its directory is not followed, whoever believes it.
    believed = f"{IMAGES}/believed.img"
    bed.require(results.pop(believed)["result"] == "failed" and errors.count("\n") == 1 and believed in errors,
                f"a volume with a backing file elsewhere: {errors}")
    bed.require({path: row["result"] for path, row in results.items()} == {path: "read" for path in formats},
                f"read {sorted(results)}, expected {sorted(formats)}")
    found = {path: row["format"] for path, row in held(host).items()}
    bed.require(found == formats, f"the index has {found}, expected {formats}")


def check_pools(host):
    """Backing files may lie in the directories of active pools, and else only beside the image."""
    above = f"{IMAGES}/above.qcow2"
    layers = [layer["path"] for layer in held(host)[above]["layers"]]
    bed.require(layers == [above, f"{SECOND}/below.raw"], f"a disk on an image of another pool: {layers}")
    host.virsh("pool-destroy", "second")
    results, errors = index(host, "--connect", "qemu:///system", "--exclude", "believed.img", status=1)
    bed.require(results[above]["result"] == "failed" and above not in held(host) and "below.raw" in errors,
                f"a backing file in a pool that is not active: {results[above]}")
    host.virsh("pool-start", "second")
    results, _ = index(host, "--connect", "qemu:///system", "--exclude", "believed.img")
    bed.require(results[above]["result"] == "read", f"the pool is active again: {results[above]}")


def check_provisional(host, running, held_now):
    for path, row in held(host).items():
        expected = held_now and f"/{running}-" in path
        bed.require(row["provisional"] == expected, f"{path}: provisional is {row['provisional']}")


def settle(host, formats):
    """Until what does not change is not read any more; returns the last results."""
    still = {path for path in formats if "/busy" not in path}

    def unchanged():
        results, _ = index(host, "--connect", "", "--exclude", "believed.img")
        return all(results[path]["result"] == "unchanged" for path in still) and results

    return bed.poll(unchanged, 30, "what does not change is left alone")


def check_drop(host, running, formats):
    """Behind libvirt's back: the pool still lists it, and nobody complains."""
    os.unlink(f"{host.dir}/lib/images/volume.qcow2")
    results, errors = index(host, "--connect", "qemu:///system", "--exclude", "believed.img")
    gone = results.pop(f"{IMAGES}/volume.qcow2")
    bed.require(gone["result"] == "dropped" and errors == "", f"a volume that was removed: {gone}, {errors}")
    bed.require(f"{IMAGES}/volume.qcow2" not in held(host), "a volume that was removed is held")
    # libvirt may list what lies where --exclude leaves it out of the index; the directory is taken as well.
    results, _ = index(host, "--connect", "qemu:///system", "--exclude", "believed.img", f"{host.dir}/outside")
    bed.require(f"{host.dir}/outside/base.raw" in results and f"{IMAGES}/{running}-vda.raw" in results,
                f"libvirt and a directory: {sorted(results)}")
    bed.require(results[f"{host.dir}/outside/over.qcow2"]["result"] == "unchanged", "one image by two ways")


def check_hang(host):
    """While a libvirtd does not answer, the run can be ended, and the index stays as it is."""
    before = sorted(held(host))
    number = host.libvirtd("pid").strip()
    host.run("kill", "-STOP", number)
    try:
        process = host.start(bed.SETMOV, "index", "--index", f"{host.dir}/index", "--connect", "qemu:///system",
                             stderr=subprocess.PIPE)
        os.kill(bed.child_of(process), signal.SIGTERM)
        process.communicate(timeout=30)
    finally:
        host.run("kill", "-CONT", number)
    bed.require(process.returncode != 0 and sorted(held(host)) == before, "an interrupted run changed the index")


def check_other_hosts(host):
    """What another host has lies on that one: a connection that leads elsewhere is refused."""
    helper = f"{host.dir}/helper"
    with open(helper, "w", encoding="ascii") as file:
        file.write("#!/bin/sh\nexec virt-ssh-helper -r qemu:///system\n")
    os.chmod(helper, 0o755)
    for uri, said in ((f"qemu+ext://elsewhere/system?command={helper}", "not this host"),
                      ("qemu+tcp://127.0.0.1:1/system", "127.0.0.1")):
        done = subprocess.run(host.command(bed.SETMOV, "index", "--index", f"{host.dir}/index", "--connect", uri),
                              capture_output=True, text=True, check=False)
        bed.require(done.returncode == 1 and done.stderr.count("\n") == 1 and said in done.stderr,
                    f"{uri}: {done.returncode} {done.stderr}")


def run(host):
    formats, running = prepare(host)
    check_first(host, formats)
    check_provisional(host, running, True)
    check_pools(host)
    results = settle(host, formats)
    bed.require(all(results[f"{IMAGES}/{running}-{disk}.raw"]["result"] == "read" for disk in ("vda", "vdb")),
                "disks of a running VM were left alone")
    check_drop(host, running, formats)
    host.virsh("destroy", running)
    index(host, "--connect", "qemu:///system", "--exclude", "believed.img")
    check_provisional(host, running, False)
    check_hang(host)
    check_other_hosts(host)
    bed.say(f"index: {len(formats)} volumes and disks as what they are, those of a running VM provisional")


bed.need("qemu-img")
bed.main(run)

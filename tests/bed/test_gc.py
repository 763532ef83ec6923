#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""setmov gc on a libvirt host: it removes what nobody needs, and nothing else."""
# test-timeout: 120
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import time
import uuid

import bed
import three_hosts

TOOL = os.path.join(os.path.dirname(bed.SETMOV), "tests/helpers/request_tool")
IMAGES, LEASES, LOG = three_hosts.IMAGES, "/var/lib/setmov/leases", "/var/log/setmov-test.log"
OLD = "/var/lib/setmov/old"
OTHER = "/var/lib/elsewhere"
F_OFD_SETLK = 37


def image(host, path, size=1 << 20):
    """Made where it is not there; returns its path as the host has it."""
    outer = host.path(path)
    os.makedirs(os.path.dirname(outer), exist_ok=True)
    if not os.path.lexists(outer):
        with open(outer, "wb") as file:
            file.write(os.urandom(size))
    return path


def lease(host, path, expires=0, inode=None, device=None, damage=None, made=0, directory=LEASES):
    """Returns the lease's name."""
    status = None if inode and device else os.stat(host.path(path), follow_symlinks=False)
    text = subprocess.run([TOOL, "lease", str(uuid.uuid4()), path, str(device or status.st_dev),
                           str(inode or status.st_ino), str(made), str(expires)], check=True, stdout=subprocess.PIPE).stdout
    name = f"{uuid.uuid4()}.lease"
    os.makedirs(host.path(directory), exist_ok=True)
    with open(host.path(f"{directory}/{name}"), "wb") as file:
        file.write(damage(text) if damage else text)
    return name


def gc(host, *options, status=0):
    done = host.attempt("setmov", "gc", "--json", *options, timeout=60)
    bed.require(done.status == status, f"setmov gc {options}: {done}")
    return json.loads(done.out), {row["lease"]: row for row in json.loads(done.out)["images"]}, done.err


def leases(host):
    return sorted(name for name in os.listdir(host.path(LEASES)) if name.endswith(".lease"))


def define(host, name, disk, driver="raw", start=False):
    """An idle guest with that disk."""
    xml = f"""<domain type='qemu'><name>{name}</name>
<uuid>{uuid.uuid5(uuid.NAMESPACE_DNS, name)}</uuid><memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='file' device='disk'><driver name='qemu' type='{driver}'/><source file='{disk}'/><target dev='vda' bus='virtio'/></disk>
<controller type='usb' model='none'/></devices></domain>"""
    with open(host.path(f"/var/lib/setmov/{name}.xml"), "w", encoding="utf-8") as file:
        file.write(xml)
    host.virsh("define", f"/var/lib/setmov/{name}.xml")
    if start:
        host.virsh("start", name)


def overlay(host, path, below):
    host.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", below, "-F", "raw", path)
    return path


class Cases:
    """Images with leases, and what shall become of them."""

    def __init__(self, host):
        self.host, self.rows = host, []

    def add(self, path, result, text, make=True, **how):
        if make:
            image(self.host, path)
        self.rows.append((lease(self.host, path, **how), path, result, text))

    def is_there(self, path):
        """The links lead somewhere only inside."""
        return os.path.lexists(self.host.path(path.replace(f"{IMAGES}/out/", f"{OTHER}/")))

    def check(self, rows):
        for name, path, result, text in self.rows:
            row = rows.get(name, {"result": "nothing", "text": ""})
            bed.require(row["result"] == result and text in row["text"], f"{path}: {row}, expected {result} '{text}'")
            there = self.is_there(path)
            bed.require(there == (result != "removed" and "not there" not in text), f"{path}: there: {there}, after {row}")
            bed.require((name in leases(self.host)) == (result == "kept"), f"{path}: its lease, after {row}")


def check_old(host):
    """What a VM left lies where its disk lay; another name is none that setmov gave."""
    left, other = image(host, f"{OTHER}/vm.raw.setmov-old-20260101-000000"), image(host, f"{OTHER}/vm.raw.setmov-older")
    names = {path: lease(host, path, directory=OLD) for path in (left, other)}
    _, rows, _ = gc(host)
    bed.require(rows[names[left]]["result"] == "removed" and not os.path.exists(host.path(left)), f"{rows[names[left]]}")
    bed.require("outside of the directories" in rows[names[other]]["text"] and os.path.exists(host.path(other)), f"{rows[names[other]]}")
    os.unlink(host.path(f"{OLD}/{names[other]}"))


def check_images(host):
    cases = Cases(host)
    cases.add(f"{IMAGES}/unused.img", "removed", "nobody uses it")
    cases.add(f"{IMAGES}/deep/er/unused.img", "removed", "nobody uses it")
    cases.add(f"{IMAGES}/young.img", "kept", "its lease expires in", expires=600)
    cases.add(f"{IMAGES}/running.img", "released", "a domain names it")
    cases.add(f"{IMAGES}/defined.img", "released", "a domain names it")
    cases.add(f"{IMAGES}/saved.img", "released", "a domain names it")
    cases.add(f"{IMAGES}/linked.img", "released", "a domain names it")
    cases.add(f"{IMAGES}/hard.img", "released", "a domain names it")
    cases.add(f"{IMAGES}/below.img", "released", f"{IMAGES}/top.qcow2, which a domain names, is made of it")
    cases.add(f"{IMAGES}/renewed.img", "kept", "not the file that the lease lists", inode=4711)
    cases.add(f"{IMAGES}/moved.img", "kept", "not the file that the lease lists", device=4711)
    cases.add(f"{IMAGES}/reborn.img", "kept", "not the file that the lease lists", made=-100)  # the number of one that is gone
    cases.add(f"{IMAGES}/locked.img", "kept", "locked")
    cases.add(f"{OTHER}/outside.img", "kept", "outside of the directories")
    cases.add(f"{IMAGES}2/beside.img", "kept", "outside of the directories")
    os.symlink(OTHER, host.path(f"{IMAGES}/out"))
    image(host, f"{OTHER}/led.img")
    cases.add(f"{IMAGES}/out/led.img", "kept", "outside of the directories", make=False,
              inode=os.stat(host.path(f"{OTHER}/led.img")).st_ino, device=os.stat(host.path(OTHER)).st_dev)
    os.symlink(f"{IMAGES}/young.img", host.path(f"{IMAGES}/link.img"))
    cases.add(f"{IMAGES}/link.img", "kept", "symbolic link", make=False)
    os.mkfifo(host.path(f"{IMAGES}/pipe.img"))
    cases.add(f"{IMAGES}/pipe.img", "kept", "no regular file", make=False)
    cases.add(f"{IMAGES}/gone.img", "released", "not there any more", make=False, inode=4711,
              device=os.stat(host.path(IMAGES)).st_dev)
    cases.add(f"{IMAGES}/unmounted.img", "kept", "it is not there, and neither is the file system", make=False, inode=4711, device=4711)
    cases.add(f"{IMAGES}/nowhere/gone.img", "kept", "it is not there, and neither is the file system", make=False, inode=4711, device=4711)
    cases.add(f"{IMAGES}/damaged.img", "kept", "the lease: ", damage=lambda text: text[:-20])
    define(host, "running", f"{IMAGES}/running.img", start=True)
    define(host, "defined", f"{IMAGES}/defined.img")
    define(host, "saved", f"{IMAGES}/saved.img", start=True)
    host.virsh("managedsave", "saved")
    # What is saved has the image, what is defined has another one meanwhile.
    define(host, "saved", image(host, f"{IMAGES}/other.img"))
    os.symlink(f"{IMAGES}/linked.img", host.path(f"{IMAGES}/name-of-linked.img"))
    define(host, "linked", f"{IMAGES}/name-of-linked.img")
    os.link(host.path(f"{IMAGES}/hard.img"), host.path(f"{IMAGES}/name-of-hard.img"))
    define(host, "hard", f"{IMAGES}/name-of-hard.img")
    define(host, "top", overlay(host, f"{IMAGES}/top.qcow2", f"{IMAGES}/below.img"), "qcow2")
    host.virsh("pool-refresh", "default")
    with open(host.path(f"{IMAGES}/locked.img"), "rb") as file:
        # One byte, as QEMU.
        fcntl.fcntl(file, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 100, 1, 0))
        before = sorted(os.listdir(host.path(IMAGES))), leases(host)
        answer, rows, _ = gc(host, "--dry-run")
        bed.require(answer["dry_run"] and rows[cases.rows[0][0]]["result"] == "removed", "--dry-run: " + str(answer))
        bed.require((sorted(os.listdir(host.path(IMAGES))), leases(host)) == before, "--dry-run removes")
        bed.require(not os.path.exists(host.path(LOG)), "--dry-run goes to the log")
        answer, rows, _ = gc(host)
    cases.check(rows)
    check_old(host)
    bed.require(rows[cases.rows[0][0]]["bytes"] >= 1 << 20, "bytes that were freed")
    with open(host.path(LOG), encoding="utf-8") as file:
        bed.require(f"{IMAGES}/unused.img: removed" in file.read(), "what was removed is not in the log")
    bed.require("unused.img" not in host.virsh("vol-list", "default"), "the pool was not refreshed")
    # A domain that goes takes no image along, whatever it was when its image's lease was looked at.
    host.virsh("destroy", "running")
    host.virsh("undefine", "running")
    host.virsh("undefine", "defined")
    gc(host)
    for name in ("running", "defined"):
        bed.require(os.path.exists(host.path(f"{IMAGES}/{name}.img")), f"{name}'s image went with its definition")
    # What a process had locked that is no domain of this host goes when it is done.
    _, rows, _ = gc(host)
    bed.require(not os.path.exists(host.path(f"{IMAGES}/locked.img")), rows)


def check_unknown(host):
    """What cannot be known to be unused is kept: libvirt away, an image whose parts are missing."""
    image(host, f"{IMAGES}/spare.img")
    name = lease(host, f"{IMAGES}/spare.img")
    base = image(host, f"{IMAGES}/base.img")
    define(host, "broken", overlay(host, f"{IMAGES}/broken.qcow2", base), "qcow2")
    os.unlink(host.path(base))
    _, rows, err = gc(host, status=1)
    bed.require(rows[name]["result"] == "kept" and "broken.qcow2" in err and err.count("\n") == 1, f"{rows} {err}")
    host.virsh("undefine", "broken")
    host.libvirtd("stop")
    _, rows, err = gc(host, status=1)
    host.libvirtd("start")
    bed.require(rows[name]["result"] == "kept" and "no image was removed" in err, f"{rows} {err}")
    bed.require(os.path.exists(host.path(f"{IMAGES}/spare.img")) and name in leases(host), "it was removed")
    _, rows, _ = gc(host)
    bed.require(rows[name]["result"] == "removed", rows)


def check_formats(host):
    """The definition says what a disk is, not what its guest has written to it; what is missing is not known."""
    spare, kept = f"{IMAGES}/spare2.img", f"{IMAGES}/spare3.img"
    name = lease(host, image(host, spare))
    overlay(host, f"{IMAGES}/raw1.img", spare)
    overlay(host, f"{IMAGES}/raw2.img", image(host, f"{IMAGES}/never.img"))
    os.unlink(host.path(f"{IMAGES}/never.img"))
    for guest in ("raw1", "raw2"):
        define(host, guest, f"{IMAGES}/{guest}.img")
    host.virsh("pool-refresh", "default")
    _, rows, _ = gc(host)
    bed.require(rows[name]["result"] == "removed", f"a guest's header: {rows}")
    # A relative path is one below "/".
    name = lease(host, image(host, spare))
    define(host, "relative", spare[1:])
    _, rows, _ = gc(host)
    bed.require(rows[name]["result"] == "released", f"a relative path: {rows}")
    host.virsh("undefine", "relative")
    name = lease(host, image(host, kept))
    define(host, "unmounted", overlay(host, f"{IMAGES}/unmounted.qcow2", kept), "qcow2")
    os.rename(host.path(f"{IMAGES}/unmounted.qcow2"), host.path(f"{OTHER}/unmounted.qcow2"))
    _, rows, err = gc(host, status=1)
    bed.require(rows[name]["result"] == "kept" and "unmounted.qcow2, which a domain names, is missing" in err and
                err.count("\n") == 1, f"a missing overlay: {rows} {err}")
    os.rename(host.path(f"{OTHER}/unmounted.qcow2"), host.path(f"{IMAGES}/unmounted.qcow2"))
    _, rows, _ = gc(host)
    bed.require(rows[name]["result"] == "released", rows)


def check_rest(host):
    """Expired requests, damaged ones, old notes and unfinished files go; young ones stay."""
    index, notes, cache = three_hosts.INDEX, "/var/lib/setmov/requests", "/var/lib/setmov/peers"

    def put(path, age_s=0, text=b"x"):
        outer = host.path(path)
        os.makedirs(os.path.dirname(outer), exist_ok=True)
        with open(outer, "wb") as file:
            file.write(text)
        os.utime(outer, (time.time() - age_s,) * 2)
        return path

    def request(expires):
        vm = str(uuid.uuid4())
        return f"{index}/{vm}.request", subprocess.run(
            [TOOL, "request", vm, "vm", "alpha", "beta", "gamma", "-1000", str(expires)], check=True,
            stdout=subprocess.PIPE).stdout

    for directory in (index, cache):
        put(f"{directory}/lock")
    expired, good = request(-1), request(100)
    gone = [put(expired[0], text=expired[1]), put(f"{index}/{uuid.uuid4()}.request", 100),
            put(f"{notes}/{uuid.uuid4()}.done", 8 * 86400), put(f"{notes}/{uuid.uuid4()}.forwarded", 8 * 86400)]
    unfinished = [put(f"{directory}/.name.AbCdEf.tmp", 7200)
                  for directory in (index, cache, f"{cache}/hosts/beta", f"{cache}/about/beta", notes, LEASES)]
    stay = [put(good[0], text=good[1]), put(f"{index}/{uuid.uuid4()}.request", 10), put(f"{notes}/{uuid.uuid4()}.done", 5 * 86400),
            put(f"{index}/.name.XyCdEf.tmp", 600), put(f"{index}/.hidden", 7200), put(f"{index}/name.AbCdEf.tmp", 7200),
            put(f"{cache}/known", 7200)]
    os.mkdir(host.path(f"{index}/00000000-0000-0000-0000-000000000000.request"))
    os.utime(host.path(f"{index}/00000000-0000-0000-0000-000000000000.request"), (1, 1))
    # Whoever writes a fingerprint holds the lock, however old the file is.
    with open(host.path(f"{index}/lock"), "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        answer, _, _ = gc(host, "--dry-run")
        bed.require((answer["requests"], answer["temporary"]) == (4, 5), answer)
    answer, _, _ = gc(host)
    bed.require((answer["requests"], answer["temporary"]) == (4, 6), answer)
    for path in gone + unfinished:
        bed.require(not os.path.exists(host.path(path)), f"{path} is still there")
    for path in stay:
        bed.require(os.path.exists(host.path(path)), f"{path} was removed")


def check_locks(host):
    """While libvirt is asked what is in use, nothing is locked: a VM that starts meanwhile gets its image."""
    name = lease(host, image(host, f"{IMAGES}/spare4.img"))
    configuration, deaf = "/etc/setmov/deaf.conf", "/var/lib/setmov/deaf"
    with open(host.path("/etc/setmov/setmov.conf"), encoding="utf-8") as file:
        text = file.read().replace("[setmov]\n", f"[setmov]\nconnect = qemu+unix:///system?socket={deaf}\n")
    with open(host.path(configuration), "w", encoding="utf-8") as file:
        file.write(text)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(host.path(deaf))
        listener.listen()
        listener.settimeout(30)
        process = host.start("setmov", "gc", "--config", configuration, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with listener.accept()[0], open(host.path(f"{IMAGES}/spare4.img"), "rb") as file:
                try:
                    fcntl.fcntl(file, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 100, 1, 0))
                except BlockingIOError:
                    raise bed.Failed("an image is locked while libvirt is asked") from None
                os.kill(bed.child_of(process), signal.SIGTERM)
                process.wait(30)
        finally:
            process.kill()
    _, rows, _ = gc(host)
    bed.require(rows[name]["result"] == "removed", rows)


def check_one_at_a_time(host):
    with open(host.path(f"{LEASES}/lock"), "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = host.attempt("setmov", "gc")
    bed.require(done.status == 0 and "another run is at work" in done.out, f"a second run: {done}")


def check(hosts):
    host = hosts.alpha
    os.makedirs(host.path("/etc/setmov"), exist_ok=True)
    with open(host.path("/etc/setmov/setmov.conf"), "w", encoding="utf-8") as file:
        file.write(f"[setmov]\nlog = {LOG}\n[hook]\ndirectories = /var/lib/none {IMAGES}\n")
    check_images(host)
    check_unknown(host)
    check_formats(host)
    check_rest(host)
    check_locks(host)
    check_one_at_a_time(host)


three_hosts.main(check)

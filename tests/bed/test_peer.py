#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What vm_peer.h asks of another host's libvirt: ranges of files, new files, pools and facts, also of one that fails."""
# test-timeout: 200
import os
import random
import re
import shutil
import subprocess
import time

import bed
import three_hosts

TOOL = os.path.join(os.path.dirname(bed.SETMOV), "tests/helpers/peer_tool")
INDEX = three_hosts.INDEX
MIB = 1 << 20
# Takes ssh's place: what would run on the other host runs here, in the other host's namespaces.
SSH = """#!/bin/sh
echo "$@" >>{log}
{before}
exec {enter} virt-ssh-helper qemu:///system
"""


def words(uri, *arguments, timeout_s=30):
    return [TOOL, "-t", str(timeout_s), uri, *map(str, arguments)]


def ask(host, uri, *arguments, timeout_s=30, data=b""):
    """(status, what it wrote, the error's line)"""
    done = subprocess.run(host.command(*words(uri, *arguments, timeout_s=timeout_s)), input=data,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, timeout=120)
    line = done.stderr.decode()
    bed.require(line.count("\n") == (1 if done.returncode else 0), f"{arguments}: not one line: {line!r}")
    return done.returncode, done.stdout, line.strip()


def good(host, uri, *arguments, data=b""):
    status, out, line = ask(host, uri, *arguments, data=data)
    bed.require(status == 0, f"{uri} {arguments}: {line}")
    return out


def bad(host, uri, *arguments, says, data=b"", timeout_s=30):
    """It must fail with a line that has all of `says`."""
    status, _, line = ask(host, uri, *arguments, data=data, timeout_s=timeout_s)
    bed.require(status == 1 and all(part in line for part in says), f"{arguments}: status {status}, {line!r}, not {says}")


def place(host, name, data):
    with open(host.path(f"{INDEX}/{name}"), "wb") as file:
        file.write(data)


def check_read(reader, peer):
    data = random.Random(3).randbytes(2 * MIB + 77)
    place(peer, "some.fp", data)
    bad(reader, peer.uri, "read", "setmov", "some.fp", 0, 10, says=("ENOENT: ", '"some.fp"'))
    good(reader, peer.uri, "refresh", "setmov")
    size = len(data)
    for offset, length in ((0, 4096), (1, 1), (123457, 100001), (0, size), (0, size + MIB), (size - 5, 5), (size - 5, 6),
                           (size - 1, 3 * MIB), (size, 1), (size + 1, 1), (size + MIB, 4096), (5, 0)):
        out = good(reader, peer.uri, "read", "setmov", "some.fp", offset, length)
        bed.require(out == data[offset:offset + length], f"{len(out)} other bytes from {offset}, {length} asked for")
    bad(reader, peer.uri, "read", "setmov", "some.fp", 1 << 63, 10, says=("EIO: ",))
    bad(reader, peer.uri, "read", "other", "some.fp", 0, 10, says=("ENOENT: ", 'pool "other"'))
    sent = peer.bytes()[0]
    good(reader, peer.uri, "read", "setmov", "some.fp", 0, 4096)
    sent = peer.bytes()[0] - sent
    bed.require(sent < 65536, f"{sent} bytes crossed for a range of 4096")
    bed.say(f"read: {sent} bytes crossed for a range of 4096")
    # Gone behind the pool's back.
    os.unlink(peer.path(f"{INDEX}/some.fp"))
    bad(reader, peer.uri, "read", "setmov", "some.fp", 0, 10, says=("EIO: ", "some.fp"))
    good(reader, peer.uri, "refresh", "setmov")
    bad(reader, peer.uri, "read", "setmov", "some.fp", 0, 10, says=("ENOENT: ",))


def check_write(writer, peer):
    numbers = random.Random(4)
    path = peer.path(f"{INDEX}/a <b>&'\"")

    def written(data, what):
        good(writer, peer.uri, "write", "setmov", "a <b>&'\"", data=data)
        with open(path, "rb") as file:
            bed.require(file.read() == data, f"{what}: other bytes")
        bed.require(good(writer, peer.uri, "read", "setmov", "a <b>&'\"", 0, len(data) + 1) == data, f"{what}: read back")

    for length in (100, 0, 3 * MIB + 1, 5):
        written(numbers.randbytes(length), f"{length} bytes")
    os.unlink(path)
    written(b"new", "one whose file is gone")
    peer.virsh("vol-delete", "--pool", "setmov", "a <b>&'\"")
    with open(path, "wb") as file:
        file.write(b"a file that the pool has not seen")
    written(b"over it", "over a file that the pool has not seen")
    peer.virsh("vol-delete", "--pool", "setmov", "a <b>&'\"")
    # No room: a small file system is the directory.
    peer.run("mkdir", "-p", "/var/lib/setmov/small")
    peer.run("mount", "-t", "tmpfs", "-o", "size=1m", "small", "/var/lib/setmov/small")
    good(writer, peer.uri, "ensure", "small", "/var/lib/setmov/small")
    bad(writer, peer.uri, "write", "small", "big", data=bytes(2 * MIB), says=("EIO: ", 'volume "big" of pool "small"', "No space"))
    bed.require(peer.run("ls", "-A", "/var/lib/setmov/small") == "", "something half-written stays")
    bed.require(peer.virsh("vol-list", "small").strip() == "", "a volume half-written stays")
    peer.virsh("pool-destroy", "small")
    peer.virsh("pool-undefine", "small")
    peer.run("umount", "/var/lib/setmov/small")


def pool_state(host, name):
    info = host.virsh("pool-info", name)
    return re.search(r"State:\s+(\S+)", info)[1], re.search(r"Autostart:\s+(\S+)", info)[1]


def check_pool(asker, peer):
    directory = "/var/lib/setmov/an <odd>&'\" place"
    os.makedirs(peer.path(directory))
    good(asker, peer.uri, "ensure", "odd & <new>", directory)
    bed.require(pool_state(peer, "odd & <new>") == ("running", "yes"), "a new pool")
    good(asker, peer.uri, "ensure", "odd & <new>", directory + "/")
    bad(asker, peer.uri, "ensure", "odd & <new>", INDEX, says=("EEXIST: ", directory, INDEX))
    peer.virsh("pool-autostart", "--disable", "odd & <new>")
    peer.virsh("pool-destroy", "odd & <new>")
    bad(asker, peer.uri, "ensure", "odd & <new>", INDEX, says=("EEXIST: ",))
    bed.require(pool_state(peer, "odd & <new>") == ("inactive", "no"), "a pool that is on something else was touched")
    good(asker, peer.uri, "ensure", "odd & <new>", directory)
    bed.require(pool_state(peer, "odd & <new>") == ("running", "yes"), "a pool that was not started")
    bad(asker, peer.uri, "ensure", "another", "/var/lib/setmov/nowhere", says=("EIO: ", "/var/lib/setmov/nowhere"))
    bad(asker, peer.uri, "ensure", "another", INDEX, says=("EIO: ", "setmov"))  # that pool is on it already
    bed.require("another" not in peer.virsh("pool-list", "--all", "--name"), "a pool half-made stays")
    peer.virsh("pool-destroy", "odd & <new>")
    peer.virsh("pool-undefine", "odd & <new>")


def facts(asker, peer, uri=None, pool="default"):
    return dict(line.split(" ", 1) for line in good(asker, uri or peer.uri, "facts", pool).decode().splitlines())


def cpu_ns():
    """(busy, total) of all processors, as the kernel says it."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, idle, iowait, irq, softirq = (int(word) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
                                                         for word in file.readline().split()[1:8])
    busy = user + nice + system + irq + softirq
    return busy, busy + idle + iowait


def check_facts(asker, peer):
    before = cpu_ns()
    found = facts(asker, peer)
    after = cpu_ns()
    uuid = re.search("<uuid>(.*?)</uuid>", peer.virsh("capabilities"))[1]
    bed.require(found["uuid"] == uuid, f"UUID {found['uuid']}, not {uuid}")
    bed.require(int(found["cpus"]) == os.cpu_count(), f"{found['cpus']} CPUs")
    for at, name in enumerate(("busy_ns", "total_ns")):
        bed.require(before[at] * 0.999 <= int(found[name]) <= after[at] * 1.001, f"{name} {found[name]}: {before} to {after}")
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    bed.require(int(found["memory_bytes"]) == total, f"memory {found['memory_bytes']} of {total}")
    bed.require(0 < int(found["memory_free_bytes"]) <= total, f"free memory {found['memory_free_bytes']}")
    room = os.statvfs(peer.path(three_hosts.IMAGES))
    free = room.f_bfree * room.f_frsize  # libvirt counts what is kept for root
    bed.require(abs(int(found["pool_free_bytes"]) - free) < free / 10, f"room {found['pool_free_bytes']}, not {free}")
    bed.require(found["pool_problem"] == "", found["pool_problem"])
    found = facts(asker, peer, pool="none")
    bed.require(found["uuid"] == uuid and found["pool_free_bytes"] == "unknown" and "none" in found["pool_problem"],
                f"without the pool: {found}")
    bed.require(facts(peer, peer, "qemu:///system")["uuid"] == uuid, "over the local socket")


def check_cut(reader, peer):
    """A file that is cut while it is read: what was there, and an end."""
    data = random.Random(5).randbytes(8 * MIB)
    place(peer, "cut.fp", data)
    good(reader, peer.uri, "refresh", "setmov")
    peer.limit("40mbit")
    before = peer.bytes()[0]
    process = subprocess.Popen(reader.command(*words(peer.uri, "read", "setmov", "cut.fp", 0, 8 * MIB)),
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    bed.poll(lambda: peer.bytes()[0] > before + MIB, 30, "the file is being read")
    os.truncate(peer.path(f"{INDEX}/cut.fp"), 0)
    out, line = process.communicate(timeout=60)
    peer.limit(None)
    bed.require(len(out) < len(data) and data.startswith(out), f"{len(out)} bytes of a file that was cut, {line}")
    bed.say(f"cut: status {process.returncode}, {len(out)} bytes, {line.decode().strip()!r}")


def check_ssh(asker, peer):
    """Through something that is run like ssh: as it works, as it fails, as it hangs."""
    script, log = asker.path("/var/lib/setmov/ssh"), asker.path("/var/lib/setmov/ssh.log")
    uri = f"qemu+ssh://{peer.name}/system?command=/var/lib/setmov/ssh"

    def ssh(before):
        with open(script, "w", encoding="utf-8") as file:
            # Inside a host there is no way to another; the address is, and libvirt's own transport.
            file.write(SSH.format(log="/var/lib/setmov/ssh.log", before=before, enter="env"))
        os.chmod(script, 0o755)

    ssh("")
    uuid = re.search("<uuid>(.*?)</uuid>", asker.virsh("capabilities"))[1]
    bed.require(facts(asker, peer, uri)["uuid"] == uuid, "over ssh")
    with open(log, encoding="utf-8") as file:
        bed.require("BatchMode=yes" in file.read(), "ssh may ask for a password")
    ssh("head -c 1 >/dev/null; echo 'Permission denied (publickey).' >&2; exit 255")
    bad(asker, uri, "facts", "default", says=("EIO: ", "Permission denied (publickey)."))
    ssh("echo $$ >/run/ssh.pid; exec sleep 1000")
    bad(asker, uri, "facts", "default", says=("ETIMEDOUT: ",), timeout_s=1)
    bed.poll(lambda: asker.run("sh", "-c", "[ -d /proc/$(cat /run/ssh.pid) ] || echo gone").strip() == "gone", 30,
             "the end of the ssh that hangs")


def check_lost(reader, peer):
    """A libvirtd that stops answering, then one that is gone, in the middle of a file."""
    place(peer, "long.fp", bytes(16 * MIB))
    good(reader, peer.uri, "refresh", "setmov")
    peer.limit("40mbit")
    for action, timeout_s, says in (("stop", 2, b"ETIMEDOUT: "), ("kill", 60, b"EIO: ")):
        before = peer.bytes()[0]
        process = subprocess.Popen(
            reader.command(*words(peer.uri, "read", "setmov", "long.fp", 0, 16 * MIB, timeout_s=timeout_s)),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        bed.poll(lambda seen=before: peer.bytes()[0] > seen + MIB, 30, "the file is being read")
        number = int(peer.run("cat", "/run/libvirtd.pid"))
        peer.run("kill", "-STOP" if action == "stop" else "-KILL", number)
        began = time.monotonic()
        out, line = process.communicate(timeout=60)
        bed.require(process.returncode == 1 and out == b"" and line.startswith(says) and line.count(b"\n") == 1,
                    f"{action}: {process.returncode}, {line}")
        bed.say(f"{action}: {line.decode().strip()} after {time.monotonic() - began:.1f} s")
        if action == "stop":
            bad(reader, peer.uri, "facts", "default", says=("ETIMEDOUT: ",), timeout_s=1)
            peer.run("kill", "-CONT", number)
    bad(reader, peer.uri, "facts", "default", says=("EIO: ", "Connection refused"))
    peer.limit(None)


def certificates(directory, name):
    """A CA, and certificates that it signed: for a server of that name and for a client."""
    def openssl(*arguments, text=None):
        subprocess.run(["openssl", *arguments], cwd=directory, input=text, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE, text=True, check=True)

    os.makedirs(directory)
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "cakey.pem", "-out", "cacert.pem", "-subj", "/CN=bed",
            "-addext", "keyUsage=keyCertSign", "-days", "2")
    for who, subject, use in (("server", name, "serverAuth"), ("client", "setmov", "clientAuth")):
        with open(f"{directory}/extensions", "w", encoding="ascii") as file:
            file.write(f"subjectAltName=DNS:{subject}\nkeyUsage=digitalSignature,keyEncipherment\nextendedKeyUsage={use}\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{who}key.pem", "-out", "request", "-subj", f"/CN={subject}")
        openssl("x509", "-req", "-in", "request", "-CA", "cacert.pem", "-CAkey", "cakey.pem", "-CAcreateserial", "-days", "2",
                "-extfile", "extensions", "-out", f"{who}cert.pem")


def check_tls(asker, peer):
    """With certificates that fit and with such that do not. The peer's libvirtd is not running."""
    inside = "/var/lib/setmov/pki"
    certificates(peer.path(inside), peer.name)
    certificates(asker.path(inside + "-other"), peer.name)
    shutil.copytree(peer.path(inside), asker.path(inside))
    peer.run("sed", "-i", f"""s/^listen_tls.*/listen_tls = 1/; $ a\\
ca_file = "{inside}/cacert.pem"\\
cert_file = "{inside}/servercert.pem"\\
key_file = "{inside}/serverkey.pem" """, "/etc/libvirt/libvirtd.conf")
    peer.libvirtd("start")
    uuid = re.search("<uuid>(.*?)</uuid>", peer.virsh("capabilities"))[1]
    uri = f"qemu+tls://{peer.name}/system?pkipath={inside}"
    bed.require(facts(asker, peer, uri)["uuid"] == uuid, "over TLS")
    place(peer, "tls.fp", b"x" * 100000)
    good(asker, uri, "refresh", "setmov")
    bed.require(good(asker, uri, "read", "setmov", "tls.fp", 1000, 1 << 20) == b"x" * 99000, "read over TLS")
    bad(asker, uri + "-other", "facts", "default", says=("EACCES: ", "certificate"))
    address = re.sub("//[a-z]+/", "//" + asker.run("getent", "hosts", peer.name).split()[0] + "/", uri)
    bad(asker, address, "facts", "default", says=("EACCES: ", "certificate"))
    # Who is not on the other's list is not let in.
    peer.libvirtd("stop")
    peer.run("sed", "-i", "$ a tls_allowed_dn_list = [\"CN=somebody\"]", "/etc/libvirt/libvirtd.conf")
    peer.libvirtd("start")
    status, _, line = ask(asker, uri, "facts", "default")
    bed.require(status == 1, "a client that is not on the list is let in")
    bed.say(f"not on the list: {line}")


def run(hosts):
    alpha, beta, gamma = hosts.all
    began = time.monotonic()
    check_facts(alpha, beta)
    check_read(alpha, beta)
    check_write(alpha, beta)
    check_pool(alpha, gamma)
    check_cut(alpha, gamma)
    check_ssh(alpha, beta)
    check_lost(alpha, beta)
    if shutil.which("openssl"):
        check_tls(alpha, beta)
    else:
        bed.say("no openssl: TLS is not tested")
    bed.say(f"all of it in {time.monotonic() - began:.0f} s")


three_hosts.main(run)

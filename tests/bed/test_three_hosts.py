#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The bed of three hosts does what tests of migrations stand on: storage moves, hooks speak, links count and limit."""
# test-timeout: 400
import os
import random
import time

import bed
import guest_disk
import three_hosts

MIB = 1 << 20
DISK, RAM = 64 * MIB, 128 * MIB
SHAPED = 80_000_000  # bits a second
BUCKET = 2 * 256 * 1024  # what the buckets at both ends let through at once

# Notes what it was called with, and refuses to let in what it is told to refuse.
HOOK = """#!/bin/sh
echo "$1 $2 $3 $4" >>/var/lib/setmov/hook.calls
[ "$2 $3" = "migrate begin" ] || exit 0
cat >/var/lib/setmov/hook.xml
[ ! -e /var/lib/setmov/refuse ] || { echo "beta has 10% of it, gamma 90%: go there" >&2; exit 1; }
"""


def check_hosts(hosts):
    """Each one is itself: name, identity, addresses, pools, setmov."""
    identities = set()
    for host in hosts.all:
        bed.require(host.run("hostname").strip() == host.name, f"{host.name}: another host name")
        bed.require(host.run("sh", "-c", "command -v setmov").strip() == "/usr/local/bin/setmov", f"{host.name}: no setmov")
        host.run("setmov", "--version")
        pools = sorted(host.virsh("pool-list", "--name").split())
        bed.require(pools == ["default", "setmov"], f"{host.name}: pools {pools}")
        capabilities = host.virsh("capabilities")
        identities.add(capabilities[capabilities.index("<uuid>"):capabilities.index("</uuid>")])
        bed.require(host.run("cat", "/etc/hostname").strip() == host.name, f"{host.name}: /etc is not its own")
        for peer in hosts.all:
            name = host.run("virsh", "-q", "-c", peer.uri, "hostname").strip()
            bed.require(name == peer.name, f"{host.name}: {peer.uri} is {name}")
    bed.require(len(identities) == 3, f"UUIDs of the hosts: {identities}")
    bed.require(not os.path.exists("/etc/libvirt/hooks/daemon.d/setmov-bed-reload"), "a hook in the machine's own /etc")


def check_live(source, destination, guest):
    """A live migration with storage: the guest counts on, the disk is whole, the link has carried it."""
    before = bed.poll(lambda: source.count(guest), 60, "the guest writes")
    sent, received = source.bytes()[0], destination.bytes()[1]
    done = source.migrate(guest, destination)
    bed.require(done.status == 0, f"migrate: {done.err}")
    sent, received = source.bytes()[0] - sent, destination.bytes()[1] - received
    bed.require(source.state(guest) is None and destination.state(guest) == "running", "the guest is not where it should be")
    arrived = destination.count(guest)
    bed.require(arrived >= before, f"the guest counted {before} before and {arrived} after")
    bed.poll(lambda: destination.count(guest) > arrived + 5, 60, "the guest counts on")
    for what, count in (("sent", sent), ("received", received)):
        bed.require(DISK < count < (DISK + RAM) * 1.1, f"{count} bytes {what}")
    last = destination.still(guest)
    found = destination.check_disk(guest, last)
    bed.require(found == last, f"the disk's last record is {found}, the guest says {last}")
    # The source stopped in the middle of it; what it has is whole up to there.
    left = source.check_disk(guest, before)
    bed.require(left <= last, f"the source's disk is at {left}, the destination's at {last}")
    bed.say(f"live: {sent / MIB:.0f} MiB crossed for a disk of {DISK // MIB} MiB; record {before} before, {last} after")


def refused(check, what):
    """The check of a disk must reject it."""
    try:
        check()
    except bed.Failed as failure:
        return str(failure)
    raise bed.Failed(f"{what} goes unnoticed")


def check_the_check(host, guest):
    """A disk with a torn, a lost or a foreign block is found out. The guest writes no more."""
    with open(host.image(guest), "r+b") as image:
        offset, slots, stride, _ = guest_disk.read_label(guest, image, DISK)
        last = host.check_disk(guest, 0)
        refused(lambda: host.check_disk(guest, last + 1), "a record that was synced and is not there")
        newest, other = (offset + (number - 1) % slots * stride for number in (last, last - 1))

        def damaged(at, data, what):
            image.seek(at)
            kept = image.read(len(data))
            image.seek(at)
            image.write(data)
            image.flush()
            refused(lambda: host.check_disk(guest, 0), what)
            image.seek(at)
            image.write(kept)
            image.flush()

        image.seek(newest)
        record = image.read(guest_disk.BLOCK)
        damaged(other + 512, record[512:1024], "a torn record")
        damaged(other, record, "a record in place of another")
        damaged(other, bytes(guest_disk.BLOCK), "a lost record")
        damaged(newest + 100, b"\0", "a changed byte in a record")
        damaged(offset - 4096, bytes(4096), "a lost block of what the disk had")
    host.check_disk(guest, last)


def own_disk(host, guest):
    """A qcow2 image with content of the caller's, made fit for a guest that writes."""
    raw = host.path(f"{three_hosts.IMAGES}/{guest}.raw")
    with open(raw, "wb") as file:
        file.write(random.Random(5).randbytes(5 * MIB + 1))
    guest_disk.prepare(raw)
    host.run("qemu-img", "convert", "-O", "qcow2", raw, raw.replace(".raw", ".qcow2"))
    os.unlink(raw)


def check_boot(host, guest):
    """After the power was cut, it goes on behind its last record."""
    last = host.still(guest)
    bed.require(host.check_disk(guest, last) == last, f"{guest}'s disk is behind what it had synced")
    host.virsh("destroy", guest)
    host.writers(guest)
    bed.require(host.count(guest) >= last, f"{guest} had synced {last}, and counts {host.count(guest)} after a boot")
    bed.poll(lambda: host.count(guest) > last + 5, 60, f"{guest} goes on behind {last}")
    now = host.still(guest)
    bed.require(host.check_disk(guest, now) == now, f"{guest}'s disk after it went on")


def check_offline(source, destination, guest):
    source.virsh("destroy", guest)
    done = source.migrate(guest, destination, "--offline", "--persistent", "--undefinesource")
    bed.require(done.status == 0, f"migrate --offline: {done.err}")
    bed.require(source.state(guest) is None, "the source still knows the guest")
    bed.require(destination.state(guest) == "shut off", f"the destination says {destination.state(guest)}")


def check_hook(source, destination, guest):
    """Found by a reload, run at `migrate begin` for both kinds; its refusal is what the user reads."""
    destination.hook("note", HOOK)
    refuse = destination.path("/var/lib/setmov/refuse")
    with open(refuse, "w", encoding="ascii"):
        pass
    done = source.migrate(guest, destination)
    bed.require(done.status != 0 and "beta has 10% of it, gamma 90%: go there" in done.err,
                f"refused with status {done.status}: {done.err}")
    bed.require(source.state(guest) == "running", "a refused guest does not run on")
    counted = source.count(guest)
    bed.poll(lambda: source.count(guest) > counted, 60, "a refused guest writes on")
    os.unlink(refuse)
    done = source.migrate(guest, destination, "--offline", "--persistent")
    bed.require(done.status == 0, f"migrate --offline with the hook: {done.err}")
    with open(destination.path("/var/lib/setmov/hook.calls"), encoding="utf-8") as file:
        calls = file.read().splitlines()
    bed.require(calls == [f"{guest} migrate begin -"] * 2, f"the hook was called with {calls}")
    with open(destination.path("/var/lib/setmov/hook.xml"), encoding="utf-8") as file:
        bed.require(f"<name>{guest}</name>" in file.read(), "the hook got other XML")
    destination.hook("note", None)
    destination.virsh("undefine", guest)


def check_pool(reader, peer):
    """A file of the setmov pool is seen and read by ranges over the connection, when the pool was refreshed."""
    data = random.Random(7).randbytes(3 * MIB)
    with open(peer.path(three_hosts.INDEX + "/some.fp"), "wb") as file:
        file.write(data)
    peer.virsh("pool-refresh", "setmov")
    volumes = reader.run("virsh", "-q", "-c", peer.uri, "vol-list", "setmov")
    bed.require("some.fp" in volumes, f"volumes of {peer.name}: {volumes}")
    out = reader.path("/var/lib/setmov/part")
    for offset, length in ((0, 4096), (1234567, 100001), (3 * MIB - 5, 5)):
        reader.run("virsh", "-q", "-c", peer.uri, "vol-download", "--pool", "setmov", "some.fp", out,
                   "--offset", offset, "--length", length)
        with open(out, "rb") as file:
            bed.require(file.read() == data[offset:offset + length], f"other bytes from {offset} on")


def download(reader, peer):
    """(seconds, bytes that the peer's link carried) of reading the file whole."""
    sent, began = peer.bytes()[0], time.monotonic()
    reader.run("virsh", "-q", "-c", peer.uri, "vol-download", "--pool", "setmov", "big.fp", reader.path("/var/lib/setmov/big"))
    return time.monotonic() - began, peer.bytes()[0] - sent


def check_limit(reader, free, limited):
    """The same file over a free link and over a limited one: no faster than the limit lets it, and slower."""
    for peer in (free, limited):
        with open(peer.path(three_hosts.INDEX + "/big.fp"), "wb") as file:
            file.write(bytes(24 * MIB))
        peer.virsh("pool-refresh", "setmov")
    limited.limit(f"{SHAPED}bit")
    free_s, free_bytes = download(reader, free)
    limited_s, limited_bytes = download(reader, limited)
    least = (limited_bytes - BUCKET) * 8 / SHAPED
    bed.require(min(free_bytes, limited_bytes) >= 24 * MIB, f"{free_bytes} and {limited_bytes} bytes were counted")
    bed.require(limited_s >= least, f"{limited_bytes} bytes in {limited_s:.2f} s: the limit is {least:.2f} s")
    bed.require(limited_s > free_s, f"{limited_s:.2f} s with a limit, {free_s:.2f} s without")
    limited.limit(None)
    bed.require("tbf" not in limited.run("tc", "qdisc", "show", "dev", "wire0"), "the limit stays")
    bed.say(f"limit: 24 MiB in {free_s:.2f} s free, {limited_s:.2f} s at 80 Mbit/s (at least {least:.2f} s)")


def check_collectd(host, guest):
    rows = bed.poll(lambda: bed.known(host.collectd.vm(guest, "setmov_percent-vcpu")), 60, f"CPU of {guest} at {host.name}")
    bed.require(all(0 <= row[1] <= 110 for row in rows), f"CPU of {guest}: {rows}")
    rrd = host.path(f"/var/lib/collectd/rrd/{guest}/setmov/setmov_percent-vcpu.rrd")
    bed.poll(lambda: os.path.exists(rrd), 60, f"{rrd}")
    # A warning may be that a busy machine was slow.
    errors = [line for line in host.collectd.log() if "[error]" in line]
    bed.require(not errors, f"collectd's log at {host.name}: {errors}")


def run(hosts):
    alpha, beta, gamma = hosts.all
    began = time.monotonic()
    check_hosts(hosts)
    alpha.writers("mover", "stays")
    own_disk(gamma, "third")
    gamma.writers("third")
    check_live(alpha, beta, "mover")
    check_the_check(beta, "mover")
    for host, guest in ((alpha, "stays"), (beta, "mover"), (gamma, "third")):
        check_collectd(host, guest)
    check_boot(gamma, "third")
    check_offline(beta, gamma, "mover")
    check_hook(alpha, beta, "stays")
    check_pool(alpha, beta)
    check_limit(alpha, beta, gamma)
    bed.say(f"all of it in {time.monotonic() - began:.0f} s")


three_hosts.main(run)

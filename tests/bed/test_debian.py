#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian images of neighbouring releases on three hosts: the ranking of `choose` is that of the exact engine and ours."""
# test-long
# test-timeout: 1800
import hashlib
import json
import os
import subprocess
from pathlib import Path

import bed
import three_hosts

BLOCK = 4096
CONF = """[choose]
memory-reserve = 0
space-reserve = 0
max-cpu-percent = 100
weight-cpu = 0
weight-memory = 0
weight-space = 0
{confirm}
[host alpha]
uri = qemu+tcp://alpha/system
[host beta]
uri = qemu+tcp://beta/system
[host gamma]
uri = qemu+tcp://gamma/system
"""
VM = """<domain type='qemu'>
  <name>web</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices><disk type='file' device='disk'><driver name='qemu' type='raw'/>
    <source file='{path}'/><target dev='vda' bus='virtio'/></disk></devices>
</domain>
"""
# The VM's release, anew and with more packages; the same release; the one before; the one after.
IMAGES = {"alpha": ["bookworm+"], "beta": ["bullseye", "trixie"], "gamma": ["bookworm"]}


def make_images(directory):
    names = [f"debian-{name}.raw" for held in IMAGES.values() for name in held]
    done = subprocess.run([Path(bed.HERE).parent / "bench/make_images.sh", directory, *names],
                          stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == 77:
        bed.skip(done.stdout.strip().splitlines()[-1])
    bed.require(done.returncode == 0, f"make_images.sh: {done.stdout}")


def extents(file):
    """(offset, length) of the data of a sparse file."""
    size, at = os.fstat(file.fileno()).st_size, 0
    while at < size:
        try:
            at = os.lseek(file.fileno(), at, os.SEEK_DATA)
        except OSError:
            return
        end = os.lseek(file.fileno(), at, os.SEEK_HOLE)
        yield at, end - at
        at = end


def blocks_of(path):
    """Digests of all blocks that are allocated, with repetition, zero blocks without."""
    digests = []
    with open(path, "rb") as file:
        for offset, length in extents(file):
            bed.require(offset % BLOCK == 0 and length % BLOCK == 0, f"{path} has an extent at {offset}")
            file.seek(offset)
            for _ in range(length // BLOCK):
                block = file.read(BLOCK)
                digests.append(hashlib.sha256(block).digest() if block.strip(b"\0") else None)
    return digests


def lay_out(hosts, directory):
    for host in hosts.all:
        for name in IMAGES[host.name]:
            inner = f"{three_hosts.IMAGES}/{name}.raw"
            subprocess.run(["cp", "--sparse=always", f"{directory}/debian-{name}.raw", host.path(inner)], check=True)
            if host is hosts.alpha:
                xml = host.path("/var/lib/web.xml")
                Path(xml).write_text(VM.format(path=inner), encoding="utf-8")
                host.virsh("define", "/var/lib/web.xml")


def configure(hosts, confirm):
    for host in hosts.all:
        os.makedirs(host.path("/etc/setmov"), exist_ok=True)
        Path(host.path("/etc/setmov/setmov.conf")).write_text(CONF.format(confirm=confirm), encoding="utf-8")


def expected(hosts):
    """Of each host but alpha: (bytes to send, share of distinct blocks, share with duplicates), by brute force."""
    image = blocks_of(hosts.alpha.path(f"{three_hosts.IMAGES}/{IMAGES['alpha'][0]}.raw"))
    distinct, figures = set(image), {}
    for host in (hosts.beta, hosts.gamma):
        held = set()
        for name in IMAGES[host.name]:
            held.update(blocks_of(host.path(f"{three_hosts.IMAGES}/{name}.raw")))
        figures[host.name] = (sum(BLOCK for digest in distinct - held if digest is not None),
                              100 * len(distinct & held) / len(image),
                              100 * sum(digest in held for digest in image) / len(image))
    return figures


def choose(hosts):
    report = json.loads(hosts.alpha.run("setmov", "choose", "web", "--json"))
    return report, [rank for rank in report["ranking"] if rank["eligible"]]


def check_exact(hosts, figures):
    report, ranks = choose(hosts)
    order = sorted(figures, key=lambda name: figures[name][0])
    bed.require([rank["host"] for rank in ranks] == order, f"ranking {ranks}, by brute force {figures}")
    bed.require(report["choice"] == order[0] == "gamma", f"choice: {report['choice']}")
    for rank in ranks:
        sent, distinct, repeated = figures[rank["host"]]
        bed.require(rank["bytes_to_send"] == sent, f"{rank['host']}: {rank['bytes_to_send']} bytes, by brute force {sent}")
        for mine, theirs in ((distinct, rank["share_distinct"]), (repeated, rank["share_with_duplicates"])):
            bed.require(abs(mine - theirs) < 0.01, f"{rank['host']}: share {theirs}, by brute force {mine}")


def check_sketches(hosts, figures):
    """Without the exact comparison the order is the same, the figures are near."""
    _, ranks = choose(hosts)
    bed.require([rank["host"] for rank in ranks] == sorted(figures, key=lambda name: figures[name][0]), f"ranking {ranks}")
    for rank in ranks:
        bed.require(abs(rank["share_distinct"] - figures[rank["host"]][1]) < 5, f"{rank}, by brute force {figures}")


def check_engine(hosts, figures):
    """`compare` on the images themselves: another path to the same numbers."""
    for host in (hosts.beta, hosts.gamma):
        paths = [host.path(f"{three_hosts.IMAGES}/{name}.raw") for name in IMAGES[host.name]]
        image = hosts.alpha.path(f"{three_hosts.IMAGES}/{IMAGES['alpha'][0]}.raw")
        done = subprocess.run([bed.SETMOV, "compare", "--json", "--block-size", str(BLOCK), "--digest", "sha256", image, *paths],
                              stdout=subprocess.PIPE, text=True, check=True)
        union = json.loads(done.stdout)["union"]
        bed.require(union["bytes_to_send"] == figures[host.name][0], f"{host.name}: {union} against {figures[host.name]}")


def run(hosts):
    directory = Path(os.environ.get("SETMOV_BUILD") or bed.ROOT / "build") / "debian-images"
    directory.mkdir(parents=True, exist_ok=True)
    make_images(directory)
    lay_out(hosts, directory)
    configure(hosts, "confirm-bytes = 1G")
    for host in hosts.all:
        host.run("setmov", "index", "--quiet")
    figures = expected(hosts)
    check_exact(hosts, figures)
    check_engine(hosts, figures)
    configure(hosts, "confirm = 0")
    check_sketches(hosts, figures)
    bed.say(f"by brute force: {figures}")


three_hosts.main(run)

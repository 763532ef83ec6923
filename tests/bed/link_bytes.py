# SPDX-License-Identifier: GPL-2.0-or-later
"""Migrations whose bytes are counted on the link, for tests on three hosts."""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import bed
import three_hosts

sys.path.insert(0, str(Path(bed.HERE).parent / "bench"))
import bench_transfer  # pylint: disable=wrong-import-position

MEBIBYTE = 1 << 20
# What the link carries beside what is told: headers, answers, libvirt's own calls.
OVERHEAD, OVERHEAD_BYTES = 1.02, MEBIBYTE
CONFIGURATION = """[setmov]
log = /var/log/setmov-test.log
[hook]
policy = {policy}
margin = 1M
[choose]
max-cpu-percent = 100%
memory-reserve = 0
space-reserve = 0
weight-cpu = 0
weight-memory = 0
weight-space = 0
[migrate]
old-images-quota = 4G
[host alpha]
uri = qemu+tcp://alpha/system
[host beta]
uri = qemu+tcp://beta/system
[host gamma]
uri = qemu+tcp://gamma/system
{gamma}
"""


def configure(hosts, policy="advise", gamma=""):
    for host in hosts.all:
        path = Path(host.path("/etc/setmov/setmov.conf"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CONFIGURATION.format(policy=policy, gamma=gamma), encoding="utf-8")


def index(*hosts):
    for host in hosts:
        host.virsh("pool-refresh", "default")
        host.run("setmov", "index", "--quiet")


def on_link(host, function):
    """What the function returns, and the bytes that its host sent and received meanwhile."""
    before = sum(host.bytes())
    result = function()
    return result, sum(host.bytes()) - before


def migrate(source, to, guest, *options, meanwhile=None):
    """The summary, and the bytes on the link without memory; both must agree. `meanwhile` is called once the disk is frozen."""
    frozen = re.compile(re.escape(guest) + r"\.[a-z0-9]+\.setmov-(?!old-)")

    def move():
        process = source.start("setmov", "migrate", "--json", "--to", to.name, *options, guest,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if meanwhile is not None:
            bed.poll(lambda: process.poll() is not None or any(map(frozen.match, os.listdir(source.path(three_hosts.IMAGES)))),
                     60, "the disk to be frozen")
            meanwhile()
        out, err = process.communicate(timeout=1500)
        bed.require(process.returncode == 0, f"setmov migrate {guest} to {to.name}: {out} {err}")
        return json.loads(out.splitlines()[-1])

    summary, link = on_link(to, move)
    count = summary["bytes"]
    bed.require(summary["moved"] and not summary["left"], f"{summary}")
    bed.require(count["wire"] == count["parts"] + count["plan"] + count["catalog"] + count["mirror"], f"{summary}")
    told = count["wire"] + count["memory"]
    bed.require(0.98 * told - 65536 <= link <= OVERHEAD * told + OVERHEAD_BYTES,
                f"the link carried {link} bytes, told are {told}: {summary}")
    return summary, link - count["memory"]


def estimate(source, guest, to):
    """What `choose` foretells for a host, and what of it was read of its catalog by this run."""
    report = json.loads(source.run("setmov", "choose", guest, "--json"))
    row = [rank for rank in report["ranking"] if rank["host"] == to.name][0]
    bed.require(row["wire_bytes_estimate"] is not None, f"{row}")
    return row["wire_bytes_estimate"]


def missing(disk, donor, block_size, work, level):
    """The distinct blocks that the donor has not, compressed by zstd itself; None where it is not installed."""
    if not bench_transfer.is_there("zstd"):
        return None
    bench_transfer.missing(disk, donor, block_size, work / "missing")
    return bench_transfer.zstd(work / "missing", level)


def peers(disk, donor, work):
    """{name: bytes} of those that are installed, at their best settings."""
    table = bench_transfer.Table()
    bench_transfer.add_rsync(table, disk, donor, work)
    bench_transfer.add_zsync(table, disk, donor, work)
    bench_transfer.add_casync(table, disk, donor, work)
    return {name: count for name, count, _ in table.rows}


class Goals:
    """What is missed is told in the end, all of it."""

    def __init__(self):
        self.missed = []

    def check(self, what, actual, base, most, least=0.0):
        line = f"  {what}: {actual} of {base} bytes: {actual / base:.3f}, goal: at most {most}" + (f", at least {least}" if least else "")
        bed.say(line)
        if not least * base <= actual <= most * base:
            self.missed.append(line.strip())

    def end(self):
        bed.require(not self.missed, f"goals missed: {'; '.join(self.missed)}")

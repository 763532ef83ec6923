#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A small disk between three hosts: bytes on the link, against what is missing, the peers, `choose` and what the guest wrote."""
# test-timeout: 400
import random
import shutil
import tempfile
from pathlib import Path

import bed
import guest_disk
import link_bytes
import three_hosts
from link_bytes import MEBIBYTE, bench_transfer, estimate, index, migrate

BLOCK = 4096
SIZE, OWN = 24 * MEBIBYTE, 6 * MEBIBYTE
WRITTEN = 4 * MEBIBYTE
# Of 6 MiB to be sent, the fingerprint of the donor is a larger share than of a disk.
CATALOG = 200 << 10


def piece(source):
    """A block that zstd makes about half as large."""
    return bytes(source.choices(range(16), k=BLOCK))


def make(path, donor):
    """The donor holds, elsewhere, all but the last 6 MiB: of its middle, in larger and smaller runs."""
    source = random.Random("setmov")
    shared = [piece(source) for _ in range((SIZE - OWN) // BLOCK)]
    runs = [shared[i:i + 96] for i in range(0, len(shared), 96)]
    Path(path).write_bytes(b"".join(shared) + b"".join(piece(source) for _ in range(OWN // BLOCK)))
    source.shuffle(runs)
    Path(donor).write_bytes(b"".join(piece(source) for _ in range(200)) + b"".join(map(b"".join, runs)))
    guest_disk.prepare(path)


def to_beta(hosts, disk, donor, goals, work):
    """What the guest writes meanwhile is written once it stands frozen, and once only."""
    alpha, beta = hosts.alpha, hosts.beta
    foretold, known = estimate(alpha, "web", beta), estimate(alpha, "web", beta)
    before = Path(work / "before")
    shutil.copyfile(disk, before)
    summary, link = migrate(alpha, beta, "web", "--pack-bandwidth", "8M",
                            meanwhile=lambda: alpha.guest("web", f"write vda {WRITTEN} 1"))
    bytes_ = summary["bytes"]
    reference = link_bytes.missing(before, donor, summary["blocks"]["block_size"], work, 3)
    bed.require(bytes_["catalog"] + foretold - known < CATALOG and bytes_["plan"] < CATALOG, f"{summary}")
    if reference is not None:
        goals.check("parts and plan", bytes_["parts"] + bytes_["plan"], reference + bytes_["plan"], 1.05)
    goals.check("choose, of what crossed the line", known, bytes_["wire"] - bytes_["mirror"], 1.05, 0.95)
    goals.check("mirror, of what the guest wrote", bytes_["mirror"], WRITTEN, 1.05, 0.9)
    if shutil.which("rsync"):
        best = bench_transfer.rsync(before, donor, work, "--block-size=4096", "-z", "--zc=zstd")
        goals.check("parts and plan, of rsync with blocks of 4096 and zstd", bytes_["parts"] + bytes_["plan"], best, 1)
    return link - bytes_["mirror"] + foretold - known


def redirected(hosts, whole, goals):
    """gamma refuses it, since alpha has nearly all of it; `whole` was on the link as it last went by itself."""
    alpha, beta, gamma = hosts.alpha, hosts.beta, hosts.gamma
    index(*hosts.all)
    gamma.run("setmov", "sync")
    link_bytes.configure(hosts, policy="redirect")
    done = beta.migrate("web", gamma)
    bed.require(done.status != 0 and "alpha" in done.err, f"gamma took it in: {done}")
    link_bytes.configure(hosts)
    forwarded = gamma.attempt("setmov", "requests")
    carried, link = link_bytes.on_link(alpha, lambda: beta.attempt("setmov", "requests"))
    bed.require(alpha.state("web") == "running", f"not on alpha: {done} {forwarded} {carried}")
    goals.check("redirected, with memory, and the same by hand", link, whole, 1.05)


def plain(hosts, everything, goals):
    """`virsh migrate --copy-storage-all` to a host that has nothing of it; its memory is most of what crosses."""
    before = sum(hosts.gamma.bytes())
    done = hosts.alpha.migrate("web", hosts.gamma)
    bed.require(done.status == 0, f"virsh migrate: {done}")
    goals.check("all of it, of virsh migrate --copy-storage-all with memory", everything, sum(hosts.gamma.bytes()) - before, 0.5)


def run(hosts):
    goals = link_bytes.Goals()
    link_bytes.configure(hosts)
    disk, donor = hosts.alpha.path(f"{three_hosts.IMAGES}/web.raw"), hosts.beta.path(f"{three_hosts.IMAGES}/donor.raw")
    make(disk, donor)
    hosts.alpha.writers("web")
    hosts.alpha.still("web")
    index(*hosts.all)
    with tempfile.TemporaryDirectory(prefix="setmov-bytes-", dir="/var/tmp") as work:
        everything = to_beta(hosts, disk, Path(donor), goals, Path(work))

    summary, link = migrate(hosts.beta, hosts.alpha, "web")
    bed.say(f"  back: {summary['bytes']}, {link} on the link")
    bytes_ = summary["bytes"]
    bed.require(bytes_["parts"] < WRITTEN / 16 and bytes_["wire"] < WRITTEN / 4, f"back: {summary}")
    summary, link = migrate(hosts.alpha, hosts.beta, "web")
    bed.say(f"  unchanged: {summary['bytes']}, {link} on the link")
    bed.require(summary["bytes"]["parts"] == 0 and summary["bytes"]["wire"] < CATALOG, f"nothing has changed: {summary}")

    redirected(hosts, link + summary["bytes"]["memory"], goals)
    plain(hosts, everything, goals)
    goals.end()


three_hosts.main(run)

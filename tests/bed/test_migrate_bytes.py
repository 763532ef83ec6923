#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian images to hosts that have a neighbour of them: bytes on the link, against what is missing, the peers and `choose`."""
# test-long
# test-timeout: 3600
import os
import subprocess
import tempfile
from pathlib import Path

import bed
import guest_disk
import link_bytes
import three_hosts
from link_bytes import MEBIBYTE, estimate, index, migrate

DONOR = "debian-bookworm.raw"
CASES = (("next", "debian-trixie.raw"), ("more", "debian-bookworm+.raw"))
# Goals: of what is missing there, compressed, and the plan; of the estimate; on a line of 100 Mbit/s of level 19's.
MOST, ESTIMATE, MOST_THIN = 1.05, 0.05, 1.1
# A disk that comes back: the records that the guest wrote, and the fingerprint that says so.
BACK = 3 * MEBIBYTE


def make_images():
    directory = Path(os.environ.get("SETMOV_BUILD") or bed.ROOT / "build") / "debian-images"
    directory.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([Path(bed.HERE).parent / "bench/make_images.sh", directory, DONOR, *(file for _, file in CASES)],
                          stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == 77:
        bed.skip(done.stdout.strip().splitlines()[-1])
    bed.require(done.returncode == 0, f"make_images.sh: {done.stdout}")
    return directory


def lay_out(hosts, guest, image):
    """A guest on alpha with that disk, which does not write any more."""
    disk = hosts.alpha.path(f"{three_hosts.IMAGES}/{guest}.raw")
    subprocess.run(["cp", "--sparse=always", image, disk], check=True)
    guest_disk.prepare(disk)
    hosts.alpha.writers(guest)
    hosts.alpha.still(guest)
    index(hosts.alpha)
    return Path(disk)


def take_away(hosts, guest):
    hosts.alpha.virsh("destroy", guest)
    hosts.alpha.virsh("undefine", guest)
    for name in os.listdir(hosts.alpha.path(three_hosts.IMAGES)):
        os.unlink(hosts.alpha.path(f"{three_hosts.IMAGES}/{name}"))
    index(hosts.alpha)


def to_host(hosts, guest, to):
    """There: what was foretold at first and once all was read, the summary, the bytes on the link."""
    first, second = estimate(hosts.alpha, guest, to), estimate(hosts.alpha, guest, to)
    summary, link = migrate(hosts.alpha, to, guest)
    bytes_ = summary["bytes"]
    bed.say(f"  to {to.name}: parts {bytes_['parts']}, plan {bytes_['plan']}, catalog {first - second} + {bytes_['catalog']}, "
            f"link without memory {link}, estimate {second}, blocks of {summary['blocks']['block_size']}, "
            f"copy-storage-all {bytes_['copy_storage_all']}")
    return first - second, second, summary, link


def and_back(hosts, guest, source):
    """alpha has the old disk still; what the other has then is removed."""
    summary, link = migrate(source, hosts.alpha, guest, "--old-images", "remove")
    bed.say(f"  back from {source.name}: {summary['bytes']}, link without memory {link}")
    bed.require(summary["bytes"]["wire"] <= BACK and summary["bytes"]["parts"] <= MEBIBYTE, f"back: {summary}")


def check_level(what, there, reference, most, goals):
    """`reference`: what is missing there, compressed by zstd alone."""
    _, foretold, summary, _ = there
    bytes_ = summary["bytes"]
    if reference is not None:
        goals.check(f"{what}, parts and plan", bytes_["parts"] + bytes_["plan"], reference + bytes_["plan"], most)
    goals.check(f"{what}, as foretold by choose", foretold, bytes_["wire"] - bytes_["mirror"], 1 + ESTIMATE, 1 - ESTIMATE)


def case(hosts, guest, directory, file, work, goals):
    disk, donor = lay_out(hosts, guest, directory / file), directory / DONOR
    bed.say(f"{file} to hosts that have {DONOR}")
    fast = to_host(hosts, guest, hosts.beta)
    and_back(hosts, guest, hosts.beta)
    thin = to_host(hosts, guest, hosts.gamma)
    and_back(hosts, guest, hosts.gamma)
    for what, there, level, most in (("default level", fast, 3, MOST), ("100 Mbit/s", thin, 19, MOST_THIN)):
        reference = link_bytes.missing(disk, donor, there[2]["blocks"]["block_size"], work, level)
        check_level(what, there, reference, most, goals)
    others = link_bytes.peers(disk, donor, work)
    others["virsh migrate --copy-storage-all, without holes"] = disk.stat().st_blocks * 512
    for name, count in others.items():
        goals.check(f"all on the link but memory, of {name}", fast[3] + fast[0], count, 1)
    take_away(hosts, guest)


def identical(hosts, directory, goals):
    """A disk that is there under another name: nothing but the plan, or a record of the guest where that is less than a catalog."""
    disk = lay_out(hosts, "same", directory / DONOR)
    subprocess.run(["cp", "--sparse=always", disk, hosts.beta.path(f"{three_hosts.IMAGES}/copy.raw")], check=True)
    index(hosts.beta)
    catalog, _, summary, link = to_host(hosts, "same", hosts.beta)
    bed.say(f"  identical: {link} bytes on the link, {catalog} for the catalog")
    goals.check("identical, parts", summary["bytes"]["parts"], MEBIBYTE, 0.1)
    goals.check("identical, plan", summary["bytes"]["plan"], MEBIBYTE, 0.25)


def run(hosts):
    directory, goals = make_images(), link_bytes.Goals()
    link_bytes.configure(hosts, gamma="bandwidth = 100M")
    hosts.gamma.limit("100mbit")
    for host in (hosts.beta, hosts.gamma):
        subprocess.run(["cp", "--sparse=always", directory / DONOR, host.path(f"{three_hosts.IMAGES}/{DONOR}")], check=True)
    index(*hosts.all)
    for guest, file in CASES:
        with tempfile.TemporaryDirectory(prefix="setmov-bytes-", dir="/var/tmp") as work:
            case(hosts, guest, directory, file, Path(work), goals)
    identical(hosts, directory, goals)
    goals.end()


if __name__ == "__main__":
    three_hosts.main(run)

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Real images: Debian's releases and a second edition of one, compared as the 2010 paper compared its images.

    real_images.py DIR [RELEASE...]

Makes the images in DIR where they are missing (tests/bench/make_images.sh: root, mmdebstrap, a mirror) and keeps them.
Prints the table of all pairs for each block size and digest, whether the true figures lie within what the Bloom
filters and sketches tell, and what the block size and the digest cost. RELEASE+ is one with more packages; default:
bullseye bookworm trixie bookworm+
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = Path(os.environ.get("SETMOV_BUILD") or HERE.parent.parent / "build").resolve()
SETMOV = BUILD / "setmov"
RELEASES = ["bullseye", "bookworm", "trixie", "bookworm+"]
BLOCK_SIZES, DIGESTS = (512, 4096), ("md5", "sha256")
FIGURES = ("identical_distinct", "identical_with_duplicates", "bytes_to_send")


def run(*command):
    """Its output, and the CPU time and the time it took."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, check=False)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        print(done.stdout.strip())
        sys.exit(done.returncode)
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


class Set:
    """The fingerprints of all images with one digest and block size."""

    def __init__(self, images, work, digest, block_size):
        self.digest, self.block_size, self.names = digest, block_size, list(images)
        self.paths = {name: work / f"{name}.{digest}-{block_size}" for name in images}
        self.cpu = self.bytes = self.allocated = 0
        self.compared = 0.0
        for name, image in images.items():
            told, cpu, _ = run(SETMOV, "fingerprint", image, "-o", self.paths[name], "--digest", digest,
                               "--block-size", block_size, "--threads", 1, "--quiet", "-j")
            self.cpu += cpu
            self.bytes += self.paths[name].stat().st_size
            self.allocated += json.loads(told)["allocated_bytes"]

    def compare(self, name, engine):
        others = [other for other in self.names if other != name]
        told, _, wall = run(SETMOV, "compare", self.paths[name], *(self.paths[other] for other in others), "--engine",
                            engine, "-j")
        if engine == "exact":
            self.compared += wall
        told = json.loads(told)
        return told["a"], dict(zip([*others, "all others"], [*told["b"], told["union"]]))


def table(each, exact):
    print(f"\n{each.digest}, blocks of {each.block_size} bytes")
    print(f"  {'pair':24} {'total':>9} {'zero':>7} {'identical':>10} {'share %':>8} {'(with dup.)':>12} "
          f"{'to send, MB':>12}")
    for name in each.names:
        a, rows = exact[name]
        for other, row in rows.items():
            print(f"  {name + ' in ' + other:24} {a['total_blocks']:9} {a['zero_blocks']:7} "
                  f"{row['identical_distinct']:10} {row['share_distinct']:8.2f} "
                  f"{'(' + format(row['share_with_duplicates'], '.2f') + ')':>12} {row['bytes_to_send'] / 1e6:12.1f}")


def agreement(each, exact):
    """How often the truth is within what an engine tells, and how far its best guess of the share is off."""
    for engine in ("bloom", "sketch"):
        held = told = 0
        worst = {"share_distinct": 0.0, "share_with_duplicates": 0.0}
        for name in each.names:
            for other, row in each.compare(name, engine)[1].items():
                truth = exact[name][1][other]
                for figure in FIGURES:
                    low, high = row.get(figure + "_low", row[figure]), row.get(figure + "_high", row[figure])
                    told += 1
                    held += low <= truth[figure] <= high
                for share in worst:
                    worst[share] = max(worst[share], abs(row[share] - truth[share]))
        print(f"  {engine:6}: {held} of {told} true figures within what it tells; shares off by at most "
              f"{worst['share_distinct']:.2f} points (with duplicates {worst['share_with_duplicates']:.2f})")


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    directory = Path(sys.argv[1]).resolve()
    directory.mkdir(exist_ok=True)
    releases = sys.argv[2:] or RELEASES
    images = {name: directory / f"debian-{name}.raw" for name in releases}
    run(HERE / "make_images.sh", directory, *(image.name for image in images.values()))
    kept = []
    with tempfile.TemporaryDirectory(prefix="setmov-real-", dir="/var/tmp") as work:
        for block_size in BLOCK_SIZES:
            for digest in DIGESTS:
                each = Set(images, Path(work), digest, block_size)
                exact = {name: each.compare(name, "exact") for name in each.names}
                table(each, exact)
                agreement(each, exact)
                kept.append((each, exact))
        print(f"\nwhat it costs, all {len(images)} images\n  {'':14} {'CPU s, fingerprints':>20} {'their bytes':>12} "
              f"{'of the data':>12} {'compare, s':>11}  to send, MB, all pairs")
        for each, exact in kept:
            sent = sum(row["bytes_to_send"] for _, rows in exact.values() for other, row in rows.items()
                       if other != "all others")
            print(f"  {each.digest + ' ' + str(each.block_size):14} {each.cpu:20.2f} {each.bytes:12} "
                  f"{100 * each.bytes / each.allocated:10.2f} % {each.compared:11.3f}  {sent / 1e6:.1f}")


if __name__ == "__main__":
    main()

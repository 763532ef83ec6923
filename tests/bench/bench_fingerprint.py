#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Fingerprints of whole images, beside reading them only and beside what others do with the same files.

    bench_fingerprint.py [DIR]

Takes the images from DIR, made there where they are missing and kept; without it from a temporary directory. All
contestants of one image run in turn, RUNS times; the table has the medians. Everything is read from the page cache.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from measured import HELPERS, SETMOV, Contestant, compete, make, ratio, show

ROOM = 9 << 30
# As src/image/server.c starts qemu-nbd.
NBD_ENVIRONMENT = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "67108864",
                   "MALLOC_TRIM_THRESHOLD_": "268435456", "MALLOC_TOP_PAD_": "33554432"}
OUTPUTS = Path(tempfile.gettempdir())  # main() makes one


def remove_outputs():
    for left in OUTPUTS.iterdir():
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()


def writing(name, command, **more):
    return Contestant(name, command, before=remove_outputs, **more)


def setmov(image, size, digest, threads):
    return writing(f"setmov {digest} {size}, {threads} thread{'s' if threads > 1 else ''}",
                      [SETMOV, "fingerprint", image, "-o", OUTPUTS / "fingerprint", "--block-size", size, "--digest",
                       digest, "--threads", threads, "--quiet"])


def others(image):
    """What is installed, or a line that says what is not."""
    found = [writing("OpenSSL a block, qsort", [HELPERS / "naive_fingerprint", image, OUTPUTS / "naive"], runs=3)]
    if shutil.which("duperemove"):
        # 4096 bytes is the smallest block size it takes, 128 KiB its default.
        found.append(writing("duperemove 4096, 1 thread", ["duperemove", "-q", "-b", "4096", "--io-threads=1",
                                                              "--cpu-threads=1", f"--hashfile={OUTPUTS}/hashes",
                                                              image], runs=1))
        found.append(writing("duperemove 128K, 1 thread", ["duperemove", "-q", "--io-threads=1", "--cpu-threads=1",
                                                              f"--hashfile={OUTPUTS}/hashes", image], runs=1))
    else:
        print("not measured: duperemove is not installed")
    if shutil.which("casync"):
        found.append(writing("casync digest", ["casync", "digest", "--what=blob", image], runs=1))
        found.append(writing("casync make", ["casync", "make", "--what=blob-index", "--chunk-size=4096",
                                                f"--store={OUTPUTS}/store.castr", OUTPUTS / "index.caibx", image],
                                runs=1))
    else:
        print("not measured: casync is not installed")
    return found


def raw_image(image, title, with_slow):
    read = Contestant("cat >/dev/null", ["cat", image])
    one, two = setmov(image, 512, "md5", 1), setmov(image, 512, "md5", 2)
    index, index_two = setmov(image, 4096, "sha256", 1), setmov(image, 4096, "sha256", 2)
    peers = others(image)
    if not with_slow:
        peers = [peer for peer in peers if peer.name != "casync make"]
    compete([read, one, two, index, index_two, *peers], image)
    show(title, [read, one, two, index, index_two, *peers])
    ratio("CPU of OpenSSL a block and qsort, in setmov's (md5 512, 1 thread)", peers[0].cpu / one.cpu, "to reach: 15")
    ratio("wall of setmov (md5 512, 1 thread), in that of cat", one.wall / read.wall, "aim: 1.5")
    ratio("wall of one thread, in that of two (md5 512)", one.wall / two.wall, "to reach: 1.8")
    ratio("wall of setmov (sha256 4096, 1 thread), in that of cat", index.wall / read.wall)
    ratio("wall of one thread, in that of two (sha256 4096)", index.wall / index_two.wall)
    for peer in peers[1:]:
        ratio(f"CPU of {peer.name}, in setmov's (sha256 4096, 1 thread)", peer.cpu / index.cpu)


def qcow2_image(image, title):
    read = Contestant("qemu-nbd, libnbd: read only", [HELPERS / "nbd_reader", "qcow2", image],
                      environment=NBD_ENVIRONMENT)
    untuned = Contestant("the same, malloc as it comes", [HELPERS / "nbd_reader", "qcow2", image])
    one, two = setmov(image, 512, "md5", 1), setmov(image, 512, "md5", 2)
    index = setmov(image, 4096, "sha256", 2)
    compete([read, untuned, one, two, index], image)
    show(title, [read, untuned, one, two, index])
    ratio("wall of setmov (md5 512, 1 thread), in that of reading only", one.wall / read.wall, "to reach: 1.3")
    ratio("wall of setmov (md5 512, 2 threads), in that of reading only", two.wall / read.wall, "to reach: 1.3")
    ratio("wall of setmov (sha256 4096, 2 threads), in that of reading only", index.wall / read.wall)


def same_count(image):
    """Before anything is measured: both find as many distinct blocks."""
    naive = writing("", [HELPERS / "naive_fingerprint", image, OUTPUTS / "naive"])
    naive.run()
    data = (OUTPUTS / "naive").read_bytes()
    distinct, before = 0, b""
    for at in range(0, len(data), 16):
        digest = data[at:at + 16]
        distinct += digest != before
        before = digest
    told = json.loads(subprocess.run([SETMOV, "fingerprint", image, "--block-size", "512", "--digest", "md5", "-j",
                                      "--quiet", "-o", OUTPUTS / "fingerprint"], check=True,
                                     capture_output=True).stdout)
    if told["distinct_blocks"] != distinct:
        sys.exit(f"setmov finds {told['distinct_blocks']} distinct blocks, OpenSSL and qsort {distinct}")
    print(f"{distinct} distinct blocks of {len(data) // 16}, by both; load of this machine {os.getloadavg()[0]:.1f}")


def bench(directory):
    if make(directory, "made.raw"):
        image = directory / "made.raw"
        same_count(image)
        raw_image(image, "made.raw: 3.2 GB, a quarter zeroes, a quarter duplicates, the rest random", False)
    if shutil.which("qemu-nbd") and make(directory, "made.qcow2"):
        qcow2_image(directory / "made.qcow2", "made.qcow2: the same as qcow2, its zeroes unallocated")
    if make(directory, "debian-bookworm.raw"):
        raw_image(directory / "debian-bookworm.raw", "debian-bookworm.raw: 3.2 GB in virtual size, holes not read by "
                  "setmov", True)


def main():
    global OUTPUTS
    with tempfile.TemporaryDirectory(prefix="setmov-bench-", dir="/var/tmp") as temporary:
        OUTPUTS = Path(temporary, "outputs")
        OUTPUTS.mkdir()
        directory = Path(sys.argv[1] if len(sys.argv) > 1 else temporary).resolve()
        if shutil.disk_usage(directory).free < ROOM:
            print(f"{directory} has not the {ROOM >> 30} GiB that the images need")
            sys.exit(77)
        bench(directory)


if __name__ == "__main__":
    main()

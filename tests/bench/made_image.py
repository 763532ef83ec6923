#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes a made-up image: a quarter zeroes that are written, a quarter duplicates of other blocks, the rest random; in
runs of 64 KiB in random order. The same arguments give the same bytes.

    made_image.py FILE [MIB [SEED]]

3200 MiB by default. Images of different seeds have each third group of 16 MiB in common.
"""

import random
import sys

RUN = 64 << 10
GROUP = 256  # runs that are mixed


def group(source):
    runs = [source.randbytes(RUN) for _ in range(GROUP // 2)]
    runs += [source.choice(runs) for _ in range(GROUP // 4)] + [bytes(RUN)] * (GROUP // 4)
    source.shuffle(runs)
    return b"".join(runs)


def main():
    mebibytes = int(sys.argv[2]) if len(sys.argv) > 2 else 3200
    common, own = random.Random(2010), random.Random(f"own {sys.argv[3] if len(sys.argv) > 3 else 0}")
    with open(sys.argv[1], "wb", buffering=GROUP * RUN) as file:
        for number in range((mebibytes << 20) // (GROUP * RUN)):
            file.write(group(common if number % 3 == 0 else own))


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Comparing two fingerprints: the three engines beside comm and sort on the same digests in hexadecimal, and beside
sets in memory. (bench_similarity has the engines alone, beside a merge, a search and a hash table in C.)

    bench_compare.py [DIR]

Takes the images pair-1.raw and pair-2.raw from DIR, made there where they are missing and kept; without it from a
temporary directory.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from measured import HELPERS, SETMOV, Contestant, compete, make, ratio, show

ROOM = 4 << 30
SETS = """import sys
held = set(open(sys.argv[2]))
print(sum(line in held for line in open(sys.argv[1])))"""


def digests(image, work):
    """The fingerprint, its digests sorted and in another order, a line each; and how many."""
    fingerprint, lines, mixed = (work / f"{image.stem}.{kind}" for kind in ("fingerprint", "hex", "mixed"))
    told = subprocess.run([SETMOV, "fingerprint", image, "-o", fingerprint, "--block-size", "512", "--digest", "md5",
                           "--quiet", "-j"], check=True, stdout=subprocess.PIPE).stdout
    with open(lines, "wb") as output:
        subprocess.run([HELPERS / "hex_digests", fingerprint], check=True, stdout=output)
    subprocess.run(["shuf", f"--random-source={fingerprint}", "-o", mixed, lines], check=True)
    return fingerprint, lines, mixed, json.loads(told)["distinct_blocks"]


def engine(name, one, other, work):
    return Contestant(f"setmov compare --engine {name}", [SETMOV, "compare", one, other, "--engine", name, "-j"],
                      output=work / f"{name}.json")


def told(work, name):
    row = json.loads((work / f"{name}.json").read_text())["b"][0]
    best = row["identical_distinct"]
    return best, row.get("identical_distinct_low", best), row.get("identical_distinct_high", best)


def bench(directory, work):
    if not make(directory, "pair-1.raw", "pair-2.raw"):
        sys.exit(77)
    one, one_lines, one_mixed, count = digests(directory / "pair-1.raw", work)
    other, other_lines, other_mixed, _ = digests(directory / "pair-2.raw", work)
    plain = {"LC_ALL": "C"}
    exact, bloom, sketch = (engine(name, one, other, work) for name in ("exact", "bloom", "sketch"))
    sorted_lines = Contestant("comm on sorted lines", ["comm", "-12", one_lines, other_lines], environment=plain,
                              output=work / "comm")
    unsorted = Contestant("sort both, comm", ["bash", "-c", 'comm -12 <(sort "$1") <(sort "$2")', "bash", one_mixed,
                                              other_mixed], runs=1, environment=plain, output=work / "sorted")
    sets = Contestant("sets of lines, Python", [sys.executable, "-c", SETS, one_mixed, other_mixed], runs=1,
                      output=work / "sets")
    everybody = [exact, bloom, sketch, sorted_lines, unsorted, sets]
    compete(everybody, one, other, one_lines, other_lines, one_mixed, other_mixed)
    found = len((work / "comm").read_bytes().splitlines())
    show(f"{count} distinct digests against as many, {found} in common; from files, processes and all", everybody)
    if {found, len((work / "sorted").read_bytes().splitlines()), int((work / "sets").read_text())} != {
            told(work, "exact")[0]}:
        sys.exit("they do not find the same")
    for name in ("bloom", "sketch"):
        best, low, high = told(work, name)
        print(f"  {name}: {best}, {low} to {high}, {'with' if low <= found <= high else 'without'} the truth")
    for peer in (sorted_lines, unsorted, sets):
        ratio(f"wall of {peer.name}, in that of exact", peer.wall / exact.wall)
    for faster in (bloom, sketch):
        ratio(f"wall of exact, in that of {faster.name}", exact.wall / faster.wall)


def main():
    with tempfile.TemporaryDirectory(prefix="setmov-bench-", dir="/var/tmp") as temporary:
        directory = Path(sys.argv[1] if len(sys.argv) > 1 else temporary).resolve()
        if shutil.disk_usage(directory).free < ROOM:
            print(f"{directory} has not the {ROOM >> 30} GiB that the images need")
            sys.exit(77)
        bench(directory, Path(temporary))


if __name__ == "__main__":
    main()

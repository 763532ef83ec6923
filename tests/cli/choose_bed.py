# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of `setmov choose` share: small images, fingerprints, and the answer with its shape checked."""

import hashlib
import json
import os
import shutil
import struct
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SETMOV = Path(os.environ.get("SETMOV_BUILD") or ROOT / "build").resolve() / "setmov"
BLOCK = 4096
BOUND = 120
ROW_KEYS = ["host", "bytes_to_send", "bytes_to_send_low", "bytes_to_send_high", "share_distinct",
            "share_with_duplicates", "best_donor", "reasons", "problems"]


def checksum(content):
    """Of a fingerprint's head: see src/fingerprint/checksum.c."""
    odd, mask = 0x9e3779b97f4a7c15, 2**64 - 1

    def step(lane, word):
        lane ^= word
        return ((lane << 29 | lane >> 35) & mask) * odd & mask

    lanes = [(i + 1) * odd & mask for i in range(8)]
    padded = content + bytes(-len(content) % 64)
    for i, (word,) in enumerate(struct.iter_unpack("<Q", padded)):
        lanes[i % 8] = step(lanes[i % 8], word)
    value = len(content) * odd & mask
    for lane in lanes:
        value = step(value, lane)
    value = (value ^ value >> 32) * odd & mask
    return value ^ value >> 29


def sections(content):
    """Where the lines of a fingerprint's table of sections are, and their kinds."""
    head, = struct.unpack_from("<I", content, 12)
    return [(at, struct.unpack_from("<I", content, at)[0]) for at in range(144, head, 32)]


def mended(content):
    """With all checksums as they should be."""
    content = bytearray(content)
    head, count = struct.unpack_from("<I", content, 12)[0], struct.unpack_from("<I", content, 132)[0]
    for at in range(144, 144 + 32 * count, 32):
        offset, length = struct.unpack_from("<QQ", content, at + 8)
        struct.pack_into("<Q", content, at + 24, checksum(bytes(content[offset:offset + length])))
    struct.pack_into("<Q", content, 136, checksum(bytes(content[:136] + content[144:head])))
    return content


def swap_digests(path, kind):
    """The first two digests of a section change places, and the checksums follow: whoever made it meant it."""
    content = bytearray(path.read_bytes())
    at, = [at for at, other in sections(content) if other == kind]
    offset, = struct.unpack_from("<Q", content, at + 8)
    content[offset:offset + 32] = content[offset + 16:offset + 32] + content[offset:offset + 16]
    path.write_bytes(mended(content))


def block(number, size=BLOCK):
    """Bytes that no other number has; 0 is a block of zeroes."""
    if number == 0:
        return bytes(size)
    return hashlib.shake_128(str(number).encode()).digest(size)


class Case(unittest.TestCase):
    def setUp(self):
        self.work = Path(tempfile.mkdtemp(prefix="setmov-choose-"))
        self.temporary = self.work / "tmp"
        self.temporary.mkdir()
        self.addCleanup(shutil.rmtree, self.work)

    def tearDown(self):
        self.assertEqual(os.listdir(self.temporary), [], "left in TMPDIR")

    def run_setmov(self, *arguments):
        return subprocess.run([str(SETMOV), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=BOUND, env={**os.environ, "TMPDIR": str(self.temporary)})

    def image(self, name, numbers, size=BLOCK):
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(block(number, size) for number in numbers))
        return path

    def fingerprint(self, image, output, *options):
        output = self.work / output
        output.parent.mkdir(parents=True, exist_ok=True)
        done = self.run_setmov("fingerprint", image, "-o", output, *options)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done)
        return output

    def directory(self, name):
        path = self.work / name
        path.mkdir(exist_ok=True)
        return path

    def choose(self, image, hosts, *options, status=0, stderr=""):
        """The JSON, its shape checked."""
        words = [f"--host={name}={self.work / where}" for name, where in hosts]
        done = self.run_setmov("choose", image, *words, "--json", *options)
        self.assertEqual(done.returncode, status, done)
        self.assertRegex(done.stderr, rf"\A{stderr}\Z")
        result = json.loads(done.stdout)
        self.assertEqual(list(result), ["image", "engine", "block_size", "digest", "provisional", "ranking", "choice"])
        self.assertEqual(result["image"], str(image))
        for row in result["ranking"]:
            self.assertEqual(list(row), ROW_KEYS)
            if row["best_donor"] is not None:
                self.assertEqual(list(row["best_donor"]), ["path", "share_distinct"])
            self.assertTrue(row["reasons"])
        return result

    def refused(self, *arguments, status=2, stderr):
        done = self.run_setmov("choose", *arguments)
        self.assertEqual((done.returncode, done.stdout), (status, ""), done)
        self.assertRegex(done.stderr, rf"\Asetmov choose: {stderr}.*\n\Z")


def order(result):
    return [row["host"] for row in result["ranking"]]


def row_of(result, host):
    return next(row for row in result["ranking"] if row["host"] == host)


def donor_of(result, host):
    donor = row_of(result, host)["best_donor"]
    return donor and os.path.basename(donor["path"])

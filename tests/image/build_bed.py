# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of fingerprint_build share: fingerprint_tool, a reader of the file format, and the same figures by hashlib."""

import hashlib
import json
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

from image_bed import BOUND, BUILD, ImageError, run

TOOL = BUILD / "tests/helpers/fingerprint_tool"
KINDS = {"md5": 1, "sha256": 2, "keyed": 3, "keyed2": 3}
KEYS = {"keyed": b"k" * 32, "keyed2": b"l" * 32}


class Fingerprint:
    """A file as docs/fingerprint-format.md has it, read without the project's code."""

    def __init__(self, path=None):
        if path is None:
            return
        data = Path(path).read_bytes()
        assert data[:8] == b"SETMOVFP" and struct.unpack_from("<I", data, 8) == (1,)
        length, self.kind, self.block_size, self.key_id, self.zero_digest = struct.unpack_from("<QII8s16s", data, 16)
        assert length == len(data), "the file's length is not what it says"
        self.virtual_size, self.blocks, self.zero, distinct, self.made_s = struct.unpack_from("<QQQQq", data, 56)
        self.content_sha256, self.flags, count = struct.unpack_from("<32sII", data, 96)
        self.sections = {}
        for number in range(count):
            kind, _, offset, size, _ = struct.unpack_from("<IIQQQ", data, 144 + 32 * number)
            self.sections[kind] = data[offset: offset + size]
        digests, places = self.sections.get(2, b""), self.sections.get(3, b"")
        assert len(digests) == 16 * distinct and len(places) == 8 * distinct
        self.digests = {}
        for number in range(distinct):
            place, = struct.unpack_from("<Q", places, 8 * number)
            self.digests[digests[16 * number: 16 * number + 16]] = (place & (1 << 40) - 1, place >> 40)
        assert list(self.digests) == sorted(self.digests) and len(self.digests) == distinct
        self.layers = list(self.read_layers(self.sections[1]))

    @staticmethod
    def read_layers(data):
        count, at = struct.unpack_from("<I", data)[0], 8
        for _ in range(count):
            (device, inode, size, modified, changed, modified_ns, changed_ns, flags, path_length,
             format_length) = struct.unpack_from("<QQQqqIIIII", data, at)
            at += 64
            path, at = data[at: at + path_length].decode(), at + path_length + 1
            name, at = data[at: at + format_length].decode(), at + format_length + 1
            yield {"device": device, "inode": inode, "size": size, "modified": (modified, modified_ns),
                   "changed": (changed, changed_ns), "flags": flags, "path": path, "format": name}


def digest(kind, block):
    if kind == "md5":
        return hashlib.md5(block).digest()
    return hashlib.sha256((KEYS[kind] + bytes(32) if kind in KEYS else b"") + block).digest()[:16]


def expected(content, data, size, kind):
    """The figures of a fingerprint from the content and its extents of data (offset, length)."""
    numbers = set()
    for offset, length in data:
        numbers.update(range(offset // size, (offset + length + size - 1) // size))
    found = Fingerprint()
    found.kind, found.block_size = KINDS[kind], size
    found.zero_digest = digest(kind, bytes(size))
    found.blocks, found.zero, found.digests = len(numbers), 0, {}
    known = {}  # content to digest: most of the work is repetition
    for number in sorted(numbers):
        block = content[number * size: (number + 1) * size].ljust(size, b"\0")
        name = known.get(block) or known.setdefault(block, digest(kind, block))
        first, times = found.digests.get(name, (number, 0))
        found.digests[name] = (first, times + 1)
        found.zero += name == found.zero_digest
    return found


def same(made, wanted, what):
    for name in ("kind", "block_size", "zero_digest", "blocks", "zero"):
        assert getattr(made, name) == getattr(wanted, name), (
            f"{what}: {name} is {getattr(made, name)}, not {getattr(wanted, name)}")
    missing = [key.hex() for key in wanted.digests if key not in made.digests]
    more = [key.hex() for key in made.digests if key not in wanted.digests]
    assert not missing and not more, f"{what}: {len(missing)} digests missing, {len(more)} too many"
    for key, place in wanted.digests.items():
        assert made.digests[key] == place, f"{what}: {key.hex()} is said to be at {made.digests[key]}, not {place}"


def data_of_qcow2(path):
    return [(part["start"], part["length"]) for part in json.loads(run("qemu-img", "map", "--output=json", path))
            if part["data"] and not part["zero"]]


def content_of(path, flat):
    run("qemu-img", "convert", "-O", "raw", path, flat)
    return Path(flat).read_bytes()


class Maker:
    """fingerprint_tool on one image, with a directory for its files and a TMPDIR; both are looked at in the end."""

    def __init__(self, image, env=None):
        self.image = str(image)
        self.environment = env or {}
        self.output = tempfile.mkdtemp(prefix="setmov-made-")
        self.temporary = tempfile.mkdtemp(prefix="setmov-tmp-")
        self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        left = os.listdir(self.temporary)
        names = os.listdir(self.output)
        shutil.rmtree(self.output)
        shutil.rmtree(self.temporary)
        if failure[0] is None:
            assert not left, f"left in TMPDIR: {left}"
            assert not [name for name in names if name.startswith(".")], f"left beside the files: {names}"

    def start(self, *arguments):
        """Options first, wishes behind them."""
        options = [word for word in arguments if ":" not in word]
        wishes = [word for word in arguments if ":" in word]
        self.process = subprocess.Popen([str(TOOL), *options, self.image, *wishes], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, "TMPDIR": self.temporary, **self.environment})

    def until_reached(self):
        line = self.process.stdout.readline()
        assert line.startswith("reached "), f"said {line!r}"
        return int(line.split()[1])

    def end(self):
        """Its lines; an error is raised."""
        said = self.process.communicate("\n", timeout=BOUND)[0].splitlines()
        status, self.process = self.process.returncode, None
        assert status in (0, 1), f"fingerprint_tool ended with {status}"
        if said[-1].startswith("error "):
            raise ImageError(said[-1])
        assert status == 0 and said[-1].startswith("ok "), said
        return said

    def run(self, *arguments):
        self.start(*arguments)
        return self.end()

    def wishes(self, wishes):
        return [f"{kind}:{size}:{self.output}/{kind}-{size}" for kind, size in wishes]

    def read(self, wishes):
        return [Fingerprint(f"{self.output}/{kind}-{size}") for kind, size in wishes]

    def build(self, wishes, *options):
        """All in one call; what was made, in that order."""
        self.run(*options, *self.wishes(wishes))
        return self.read(wishes)


def fails(maker, *arguments):
    try:
        said = maker.run(*arguments)
    except ImageError as error:
        assert error.text.strip(), "an error without a text"
        return error
    raise AssertionError(f"{arguments} went well: {said}")

# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of transfer_apply share: a host's directories, plans made by transfer_tool, and what a failure may leave."""

import errno
import hashlib
import json
import os
import random
import subprocess

from image_bed import BOUND, BUILD, run

TOOL = BUILD / "tests/helpers/transfer_tool"
MIB = 1 << 20
BLOCK = 4096


class Host:
    """Directories of a host: `donors` in its `index`, `images` where images may be made."""

    def __init__(self, work, kind="sha256", block=BLOCK):
        self.work, self.kind, self.block = work, kind, block
        for name in ("donors", "images", "incoming", "state", "source"):
            (work / name).mkdir()
        self.donors, self.images, self.source = work / "donors", work / "images", work / "source"
        self.incoming, self.state, self.index = work / "incoming", work / "state", work / "index"
        self.before = set()

    def make_index(self):
        run(BUILD / "setmov", "index", "--index", self.index, "--digest", self.kind, "--block-size", self.block,
            "--quiet", "--reread", self.donors)

    def plan(self, *images, name="vm", part=None, donors=True):
        """`images`: (file, path at the destination, further words). What transfer_tool says of it."""
        words = [",".join([str(file), f"path={path}", *more]) for file, path, *more in images]
        index = ["--index", self.index] if donors else []
        size = ["--part", part] if part else []
        return json.loads(run(TOOL, "make", "--out", self.incoming, "--name", name, "--kind", self.kind, "--block",
                              self.block, *size, *index, *words))

    def extents(self, name="vm"):
        lines = run(TOOL, "show", self.incoming / f"{name}.plan").splitlines()
        return [Extent(line.split()) for line in lines]

    def command(self, *options, name="vm", directories=None):
        words = []
        for directory in directories or [self.images]:
            words += ["--directory", str(directory)]
        return [str(TOOL), "apply", str(self.incoming / f"{name}.plan"), "--index", str(self.index), "--state",
                str(self.state), *words, *[str(option) for option in options]]

    def apply(self, *options, **more):
        done = subprocess.run(self.command(*options, **more), capture_output=True, text=True, timeout=BOUND,
                              check=False)
        assert done.returncode in (0, 1), f"ended with {done.returncode}: {done.stderr}"
        answer = json.loads(done.stdout)
        assert (answer["rc"] == 0) == (done.returncode == 0)
        assert "\n" not in answer["error"]
        return answer

    def serves(self, *options, **more):
        answer = self.apply(*options, **more)
        assert answer["rc"] == 0, answer
        return answer

    def refuses(self, code, *words, **more):
        """Fails with that error, names what is in `words`, and leaves nothing."""
        options = more.pop("options", ())
        before = self.seen()
        answer = self.apply(*options, **more)
        assert answer["rc"] == code, f"{errno.errorcode.get(answer['rc'], 0)}: {answer}"
        for word in words:
            assert str(word) in answer["error"], answer["error"]
        assert answer["made"] == []
        self.left_nothing(before)
        return answer

    def seen(self):
        """All that lies in the directories that transfer_apply() writes to."""
        found = set()
        for top in (self.images, self.state):
            for directory, names, files in os.walk(top):
                for name in names + files:
                    path = os.path.join(directory, name)
                    status = os.lstat(path)
                    found.add((path, status.st_ino, status.st_size))
        return found

    def left_nothing(self, before):
        new = {entry for entry in self.seen() - before if not os.path.isdir(entry[0])}
        assert not new, f"left over: {new}"
        assert {entry[0] for entry in before} <= {entry[0] for entry in self.seen()}, "something was removed"

    def leases(self):
        """The words of each lease's lines, by the path of its image."""
        found = {}
        for path in (self.state / "leases").glob("*.lease"):
            lines = dict(line.split(" ", 1) for line in path.read_text().splitlines())
            image, device, inode = lines["image"].split()
            found[image] = {"device": int(device), "inode": int(inode), "made": int(lines["made"]),
                            "expires": int(lines["expires"])}
        return found


class Extent:
    def __init__(self, words):
        image, number, offset, length, self.kind, source, start = words
        self.image, self.number, self.offset, self.length = int(image), int(number), int(offset), int(length)
        self.source, self.start = int(source), int(start)

    def key(self):
        return [self.image, self.number]


def content_sha256(path, image_format, work):
    """Of what a guest sees, without the project's code."""
    raw = work / "converted.raw"
    run("qemu-img", "convert", "-f", image_format, "-O", "raw", path, raw)
    try:
        return hashlib.sha256(raw.read_bytes()).hexdigest()
    finally:
        raw.unlink()


def same_as_source(host, built, built_format, source, source_format="raw"):
    assert content_sha256(built, built_format, host.work) == content_sha256(source, source_format, host.work), \
        f"{built} is not {source}"


def blocks(seed, count):
    return random.Random(seed).randbytes(count * BLOCK)


def write_at(path, pieces, size):
    with open(path, "wb") as file:
        file.truncate(size)
        for offset, data in pieces:
            file.seek(offset)
            file.write(data)

# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of the commands about images share: made images, brute force, and a look at what is left over."""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "image"))
from image_bed import BOUND, children, data_of_raw, need, passes, wait_for, without_layout  # noqa: E402,F401 - for the tests

ROOT = Path(__file__).resolve().parent.parent.parent
SETMOV = Path(os.environ.get("SETMOV_BUILD") or ROOT / "build").resolve() / "setmov"
MIB = 1 << 20
SANITIZED = bool(os.environ.get("SETMOV_SANITIZED"))


def tool(*command):
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True, timeout=BOUND)


# ---- images -----------------------------------------------------------------------------------


def digits(path, numbers, block_size=512):
    """A raw image whose blocks are these numbers: none of them is a block of zeroes."""
    path.write_bytes(b"".join(bytes([number + 1]) * block_size for number in numbers))
    return path


def mixed(path, source, size=4 * MIB, pool=None, grain=4096):
    """Random blocks, blocks of `pool` (others' blocks), duplicates, written zeroes, and holes."""
    pool = pool if pool is not None else []
    with open(path, "wb") as file:
        file.truncate(size)
        for offset in range(0, size, grain):
            kind = source.random()
            if kind < 0.2:
                continue  # a hole
            if kind < 0.3:
                block = bytes(grain)
            elif kind < 0.6 and pool:
                block = source.choice(pool)
            else:
                block = source.randbytes(grain)
                pool.append(block)
            file.seek(offset)
            file.write(block)
    return pool


def allocated(path, block_size):
    """The blocks of a raw file that hold data, last one padded, by number."""
    blocks = {}
    with open(path, "rb") as file:
        for start, length in data_of_raw(path):
            for number in range(start // block_size, (start + length + block_size - 1) // block_size):
                file.seek(number * block_size)
                blocks[number] = file.read(block_size).ljust(block_size, b"\0")
    return list(blocks.values())


def share(part, blocks, zero):
    """In percent of the blocks that are no zero blocks."""
    rest = sum(block != zero for block in blocks)
    return 100 * part / rest if rest else 0


def brute_force(a, others):
    """SIMILARITY.md's figures of the blocks A against the blocks that are there, one by one."""
    present = set(others)
    zero = bytes(len(a[0])) if a else b""
    distinct = set(a)
    same = distinct & present
    return {
        "identical_distinct": len(same),
        "identical_with_duplicates": sum(block in present for block in a),
        "share_distinct": 100 * len(same) / len(a) if a else 0,
        "share_with_duplicates": 100 * sum(block in present for block in a) / len(a) if a else 0,
        "share_distinct_nonzero": share(len(same - {zero}), a, zero),
        "share_with_duplicates_nonzero": share(sum(block in present and block != zero for block in a), a, zero),
        "bytes_to_send": len(distinct - present - {zero}) * len(zero),
    }


def fingerprint_reference(blocks):
    return {
        "total_blocks": len(blocks),
        "zero_blocks": sum(not any(block) for block in blocks),
        "distinct_blocks": len(set(blocks)),
        "internal_duplicates": len(blocks) - len(set(blocks)),
    }


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


# ---- running ----------------------------------------------------------------------------------


class Bed:
    """A directory to work in; `temporary` is the program's TMPDIR, where nothing may stay."""

    def __init__(self):
        self.directory = Path(tempfile.mkdtemp(prefix="setmov-blocks-"))
        self.work = self.directory / "work"
        self.temporary = self.directory / "tmp"
        self.work.mkdir()
        self.temporary.mkdir()

    def environment(self, more=None):
        return {**os.environ, "TMPDIR": str(self.temporary), **(more or {})}

    def start(self, *arguments, env=None, prefix=(), **streams):
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
        return subprocess.Popen([*prefix, str(SETMOV), *[os.fsencode(part) for part in arguments]], cwd=self.work,
                                env=self.environment(env), **streams)

    def run(self, *arguments, **more):
        process = self.start(*arguments, **more)
        try:
            output, errors = process.communicate(timeout=BOUND)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise AssertionError(f"setmov {arguments} did not end") from None
        self.check_leftovers()
        return process.returncode, output.decode(), errors.decode()

    def ok(self, *arguments, **more):
        status, output, errors = self.run(*arguments, **more)
        assert (status, errors) == (0, ""), f"setmov {arguments}: status {status}: {errors}"
        return output

    def json(self, *arguments, **more):
        output = self.ok(arguments[0], "--json", *arguments[1:], **more)
        assert output.count("\n") == 1, "one line"
        return json.loads(output)

    def refused(self, parts, *arguments, status=1, **more):
        """One line on stderr that has all `parts`, nothing on stdout, nothing new in the directory."""
        before = self.listing()
        ended, output, errors = self.run(*arguments, **more)
        check_refusal(parts, arguments, status, ended, output, errors)
        assert self.listing() == before, f"setmov {arguments} left {self.listing() ^ before}"
        return errors

    def listing(self):
        return {str(path.relative_to(self.work)) for path in self.work.rglob("*")}

    def check_leftovers(self):
        assert not list(self.temporary.iterdir()), f"left in TMPDIR: {list(self.temporary.iterdir())}"
        unfinished = [path for path in self.work.rglob(".*.tmp")]
        assert not unfinished, f"left behind: {unfinished}"
        assert not self.servers(), f"qemu-nbd {self.servers()} still runs"

    def run_whole(self, test):
        test(self)
        self.check_leftovers()

    def servers(self):
        """PIDs of qemu-nbd that serve an image of ours."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes()
                if b"qemu-nbd" in words and str(self.directory).encode() in (process / "environ").read_bytes():
                    found.append(int(process.name))
            except OSError:
                pass  # it ended while we looked
        return found

    def close(self):
        shutil.rmtree(self.directory, ignore_errors=True)


def check_refusal(parts, arguments, status, ended, output, errors):
    parts = [parts] if isinstance(parts, (str, Path)) else parts
    assert ended == status, f"setmov {arguments}: status {ended}, not {status}: {errors}"
    assert output == "", f"setmov {arguments} printed {output}"
    assert errors.count("\n") == 1 and errors.endswith("\n"), f"setmov {arguments}: not one line: {errors!r}"
    assert errors.startswith(f"setmov {arguments[0]}: "), f"does not say who speaks: {errors}"
    for part in parts:
        assert str(part) in errors, f"setmov {arguments}: {errors!r} lacks {part!r}"


def main(tests):
    """Runs the functions one by one, each in a bed of its own."""
    if not SETMOV.is_file():
        print(f"{SETMOV} was not built", file=sys.stderr)
        sys.exit(1)
    failed = 0
    wanted = sys.argv[1:]
    for test in tests:
        if wanted and test.__name__ not in wanted:
            continue
        bed = Bed()
        random.seed(1)
        try:
            failed += not passes(test.__name__, bed.run_whole, test)
        finally:
            bed.close()
    sys.exit(1 if failed else 0)

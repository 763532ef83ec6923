# SPDX-License-Identifier: GPL-2.0-or-later
"""What the image tests share: image_tool as an object, QEMU's tools, and a look at what is left over."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("SETMOV_BUILD") or ROOT / "build").resolve()
TOOL = BUILD / "tests/helpers/image_tool"
WRITER = BUILD / "tests/helpers/write_tool"
BOUND = 60


def need(*programs):
    for name in programs:
        if not shutil.which(name):
            print(f"{name} is not installed")
            sys.exit(77)


def run(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True,
                          timeout=BOUND, **options).stdout


def wait_for(what, condition):
    end = time.monotonic() + BOUND
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(0.01)


def children(pid):
    """PIDs of a process's children, whichever of its threads forked."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(word) for word in task.read_text().split()]
        except OSError:
            pass
    return found


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def without_layout(directory):
    """An environment without qemu-img: what it would tell of an image's parts is not known, so all comes through qemu-nbd."""
    programs = Path(directory) / "without-layout"
    programs.mkdir(exist_ok=True)
    for name in ("qemu-nbd", "stdbuf"):
        if shutil.which(name) and not (programs / name).exists():
            (programs / name).symlink_to(shutil.which(name))
    return {"PATH": str(programs)}


class ImageError(Exception):
    def __init__(self, line):
        super().__init__(line)
        _, code, self.text = line.split(" ", 2)
        self.code = int(code)


class Tool:
    """An image held open. `temporary` is its TMPDIR, which must be empty at the end."""

    program = TOOL

    def __init__(self, image, *options, env=None, cwd=None, prefix=(), behind=()):
        self.temporary = tempfile.mkdtemp(prefix="setmov-tool-")
        environment = {**os.environ, "TMPDIR": self.temporary, **(env or {})}
        self.process = subprocess.Popen([*prefix, str(self.program), *options, str(image), *behind],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
                                        cwd=cwd)
        self.servers = []
        try:
            self.expect()
        except Exception:
            self.close()
            raise
        self.servers = children(self.process.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def expect(self):
        line = self.process.stdout.readline().rstrip("\n")
        if line.startswith("error "):
            raise ImageError(line)
        assert line == "ok" or line.startswith("ok "), f"answered {line!r}"
        return line[3:]

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.expect()

    def info(self):
        return json.loads(self.ask("info"))

    def extents(self):
        return json.loads(self.ask("extents"))

    def close(self):
        self.process.stdin.close()
        status = self.process.wait(BOUND)
        left = os.listdir(self.temporary)
        shutil.rmtree(self.temporary)
        assert status in (0, 1), f"image_tool ended with {status}"
        assert not left, f"left in TMPDIR: {left}"
        for pid in self.servers:
            assert not alive(pid), f"qemu-nbd {pid} still runs"


class Writer(Tool):
    """An image that is made."""

    program = WRITER

    def __init__(self, path, size, *options, **more):
        super().__init__(path, *options, behind=(str(size),), **more)

    def publish(self):
        self.ask("finish")
        self.ask("publish")


def refused(image, *options, **more):
    """The error with which the image is not opened; nothing may be left over."""
    try:
        tool = Tool(image, *options, **more)
    except ImageError as error:
        assert "\n" not in error.text and error.text.strip(), "the error is not one line of text"
        return error
    tool.close()
    raise AssertionError(f"{image} was opened")


def fails(tool, command):
    try:
        answer = tool.ask(command)
    except ImageError as error:
        return error
    raise AssertionError(f"{command} answered {answer}")


def write_pattern(path, ranges, size=None, seed=1):
    """Writes pseudo-random bytes into the ranges (offset, length) of a file."""
    value = seed
    with open(path, "r+b" if os.path.exists(path) else "wb") as file:
        if size is not None:
            file.truncate(size)
        for offset, length in ranges:
            file.seek(offset)
            block = bytearray()
            for _ in range(64):
                value = (value * 6364136223846793005 + 1442695040888963407) % (1 << 64)
                block += value.to_bytes(8, "little")
            for number in range(0, length, len(block)):
                part = (number + offset).to_bytes(8, "little") + bytes(block[8:])
                file.write(part[: length - number])


def same_content(one, other):
    return subprocess.run(["cmp", str(one), str(other)], capture_output=True, check=False).returncode == 0


def passes(name, test, *arguments):
    """Runs a test and says what came of it; all the others shall still run."""
    began = time.monotonic()
    try:
        test(*arguments)
    except Exception as error:
        traceback.print_exc()
        print(f"FAIL  {name}: {error}", flush=True)
        return False
    print(f"ok    {name} ({time.monotonic() - began:.1f} s)", flush=True)
    return True


def data_of_raw(path):
    """Extents of data of a raw file, as the file system tells them."""
    found, size, at = [], os.path.getsize(path), 0
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        while at < size:
            try:
                start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            found.append((start, at - start))
    return found


def main(tests):
    """Runs the functions one by one, each in a directory of its own."""
    if not TOOL.is_file():
        print(f"{TOOL} was not built", file=sys.stderr)
        sys.exit(1)
    failed = 0
    for test in tests:
        work = Path(tempfile.mkdtemp(prefix="setmov-image-"))
        try:
            failed += not passes(test.__name__, test, work)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    sys.exit(1 if failed else 0)

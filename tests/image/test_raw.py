#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Holes of raw files: sparse, fallocated, copied sparsely; and block devices."""

import os
import subprocess

from image_bed import Tool, main, need, refused, run, same_content, wait_for, write_pattern

MIB = 1 << 20
HOLE, DATA = "hole", "data"


def extents_of(image):
    with Tool(image) as tool:
        found = tool.extents()
        tool.ask(f"copy {image}.copied")
    assert same_content(image, f"{image}.copied"), "data extents alone do not make the content"
    os.unlink(f"{image}.copied")
    return found


def drop_cache(path):
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def sparse(work):
    image = work / "sparse.raw"
    write_pattern(image, [(MIB, MIB), (6 * MIB, 8192)], 9 * MIB)
    assert extents_of(image) == [[0, MIB, HOLE], [MIB, MIB, DATA], [2 * MIB, 4 * MIB, HOLE], [6 * MIB, 8192, DATA],
                                 [6 * MIB + 8192, 3 * MIB - 8192, HOLE]]


def all_hole(work):
    image = work / "hole.raw"
    write_pattern(image, [], 5 * MIB)
    assert extents_of(image) == [[0, 5 * MIB, HOLE]]


def can_preallocate(image):
    return subprocess.run(["fallocate", "-l", "8M", str(image)], capture_output=True, check=False).returncode == 0


def fallocated_is_a_hole_whatever_is_cached(work):
    image = work / "allocated.raw"
    if not can_preallocate(image):
        return
    write_pattern(image, [(2 * MIB, MIB)])
    expected = [[0, 2 * MIB, HOLE], [2 * MIB, MIB, DATA], [3 * MIB, 5 * MIB, HOLE]]
    drop_cache(image)
    assert extents_of(image) == expected, "nothing cached"
    image.read_bytes()
    assert extents_of(image) == expected, "everything cached"
    drop_cache(image)
    with open(image, "rb") as file:
        file.seek(5 * MIB)
        file.read(65536)
    assert extents_of(image) == expected, "some pages cached"


def fallocated_and_just_written(work):
    """What was written and has not reached the disk is data, though the file system calls it unwritten."""
    image = work / "allocated.raw"
    if not can_preallocate(image):
        return
    with Tool(image) as tool:
        assert tool.extents() == [[0, 8 * MIB, HOLE]]
        # The one flush is made by now; dirty pages of later are found by their content.
        image_bytes = os.urandom(65536)
        with open(image, "r+b") as file:
            file.seek(4 * MIB)
            file.write(image_bytes)
            file.flush()
            assert tool.extents() == [[0, 4 * MIB, HOLE], [4 * MIB, 65536, DATA],
                                      [4 * MIB + 65536, 4 * MIB - 65536, HOLE]]
    assert extents_of(image)[1] == [4 * MIB, 65536, DATA]


def fallocated_and_zeroes_just_written(work):
    """By content they look like a hole; once flushed, the file system knows better."""
    image = work / "allocated.raw"
    if not can_preallocate(image):
        return
    with open(image, "r+b") as file:
        file.seek(4 * MIB)
        file.write(bytes(65536))
    assert extents_of(image) == [[0, 4 * MIB, HOLE], [4 * MIB, 65536, DATA], [4 * MIB + 65536, 4 * MIB - 65536, HOLE]]


def read_in_small_portions(work):
    """The kernel may give less than was asked for."""
    image = work / "disk.raw"
    write_pattern(image, [(0, MIB)], MIB)
    with Tool(image, "-s", "5000") as tool:
        tool.ask(f"all {work}/copied")
    assert same_content(image, work / "copied")


def written_zeroes_are_data(work):
    image = work / "zeroes.raw"
    image.write_bytes(bytes(MIB))
    assert extents_of(image) == [[0, MIB, DATA]]
    run("cp", "--sparse=always", image, work / "copy.raw")
    assert extents_of(work / "copy.raw") == [[0, MIB, HOLE]]


def many_extents(work):
    """More than one answer of FIEMAP holds."""
    image = work / "many.raw"
    write_pattern(image, [(number * 65536, 4096) for number in range(400)], 400 * 65536)
    found = extents_of(image)
    assert len(found) == 800 and sum(length for _, length, kind in found if kind == DATA) == 400 * 4096


def many_unwritten(work):
    image = work / "many.raw"
    if not can_preallocate(image):
        return
    write_pattern(image, [(number * 65536, 4096) for number in range(128)])
    drop_cache(image)
    image.read_bytes()
    found = extents_of(image)
    assert sum(length for _, length, kind in found if kind == DATA) == 128 * 4096, found


def on_tmpfs(work):
    directory = "/dev/shm"
    if not os.access(directory, os.W_OK):
        return
    image = f"{directory}/setmov-test-{os.getpid()}.raw"
    try:
        write_pattern(image, [(MIB, MIB)], 4 * MIB)
        assert extents_of(image) == [[0, MIB, HOLE], [MIB, MIB, DATA], [2 * MIB, 2 * MIB, HOLE]]
    finally:
        os.unlink(image)


def read_within_bounds(work):
    image = work / "disk.raw"
    write_pattern(image, [(0, 10000)], 10000)
    with Tool(image) as tool:
        tool.ask("read 0 10000")
        tool.ask("read 9999 1")
        tool.ask("read 10000 0")
        for wrong in ("read 0 10001", "read 10001 0", "read 18446744073709551615 2"):
            try:
                tool.ask(wrong)
            except Exception as error:
                assert error.code == 22 and "ends at byte 10000" in error.text, error
            else:
                raise AssertionError(f"{wrong} was answered")


def rate_is_kept(work):
    """At a byte a second the second reading sleeps for days (how long is tests/unit/test_image_rate.c's)."""
    image = work / "disk.raw"
    write_pattern(image, [(0, 3 * MIB)], 3 * MIB)
    tool = Tool(image, "-r", "1")
    tool.ask(f"read 0 {MIB}")
    tool.process.stdin.write(f"read 0 {MIB}\n")
    tool.process.stdin.flush()
    wait_for("the reader to sleep", lambda: is_sleeping(tool.process.pid))
    tool.process.kill()
    tool.process.wait()
    os.rmdir(tool.temporary)


def is_sleeping(pid):
    """In a sleep of so many seconds, not waiting for anything: clock_nanosleep is its system call."""
    with open(f"/proc/{pid}/syscall", encoding="ascii") as file:
        return file.read().split()[0] == {"x86_64": "230", "aarch64": "115"}[os.uname().machine]


def loop_device(work):
    image = work / "disk.raw"
    write_pattern(image, [(0, MIB), (3 * MIB, MIB)], 8 * MIB)
    made = subprocess.run(["losetup", "--find", "--show", "--read-only", str(image)], capture_output=True, text=True,
                          check=False)
    if made.returncode != 0:
        print(f"skip  loop_device: {made.stderr.strip()}")
        return
    device = made.stdout.strip()
    try:
        with Tool(device) as tool:
            info = tool.info()
            assert info["size"] == 8 * MIB and info["format"] == "raw", info
            assert info["layers"][0]["block_device"] is True, info
            assert tool.extents() == [[0, 8 * MIB, DATA]]
            tool.ask(f"all {work}/copied")
            tool.ask("check")
        assert same_content(image, work / "copied")
        overlay(work, device)
        qcow2_on_device(work)
    finally:
        run("losetup", "--detach", device)


def overlay(work, device):
    """A device below a qcow2 file: outside the image's directory, so only by option."""
    run("qemu-img", "create", "-f", "qcow2", "-b", device, "-F", "raw", work / "top.qcow2")
    assert refused(work / "top.qcow2").code == 1
    with Tool(work / "top.qcow2", "-a", "/dev") as tool:
        tool.ask(f"all {work}/copied")
    assert same_content(work / "disk.raw", work / "copied")


def qcow2_on_device(work):
    """A qcow2 image on a device is raw unless the caller says what it is."""
    run("qemu-img", "convert", "-O", "qcow2", work / "disk.raw", work / "inner.qcow2")
    os.truncate(work / "inner.qcow2", 16 * MIB)
    device = run("losetup", "--find", "--show", "--read-only", work / "inner.qcow2").strip()
    try:
        with Tool(device) as tool:
            assert tool.info()["format"] == "raw"
        with Tool(device, "-f", "qcow2") as tool:
            assert tool.info()["size"] == 8 * MIB
            tool.ask(f"all {work}/copied")
        assert same_content(work / "disk.raw", work / "copied")
    finally:
        run("losetup", "--detach", device)


need("qemu-img", "qemu-nbd", "fallocate", "losetup")
main([sparse, all_hole, fallocated_is_a_hole_whatever_is_cached, fallocated_and_just_written,
      fallocated_and_zeroes_just_written, read_in_small_portions, written_zeroes_are_data,
      many_extents, many_unwritten, on_tmpfs, read_within_bounds, rate_is_kept, loop_device])

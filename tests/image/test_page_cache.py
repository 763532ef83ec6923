#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading an image leaves the page cache as it was: what was there stays, what was not does not come."""

import ctypes
import mmap
import os

from image_bed import Tool, main, need, run, write_pattern

MIB = 1 << 20
SIZE = 200 * MIB
libc = ctypes.CDLL(None, use_errno=True)


def resident(path):
    """The pages of the file that are in the page cache, as a set of numbers."""
    length = os.path.getsize(path)
    pages = (length + mmap.PAGESIZE - 1) // mmap.PAGESIZE
    answer = (ctypes.c_ubyte * pages)()
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    fd = os.open(path, os.O_RDONLY)
    address = libc.mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
    assert libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(length), answer) == 0
    libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(length))
    os.close(fd)
    return {number for number in range(pages) if answer[number] & 1}


def drop(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def warm(path, ranges):
    """Brings exactly these pages in; without readahead."""
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    for offset, length in ranges:
        os.pread(fd, length, offset)
    os.close(fd)


# In the middle, single pages, across the bounds of 64 MiB, and a larger stretch.
WARM = [(3 * MIB, 100 * 1024), (20 * MIB, 4096), (64 * MIB - 8192, 16384), (130 * MIB, 20 * MIB)]


TRIES = 5  # the kernel may drop a page of its own accord at any time


def check(path, *tools):
    """Reads in all the ways, again when the kernel may have interfered."""
    for attempt in range(1, TRIES + 1):
        try:
            check_once(path, *tools)
            return
        except AssertionError as error:
            if attempt == TRIES:
                raise
            print(f"again: {error}")


def check_once(path, *tools):
    """`tools` are the options of image_tool."""
    image, watched = path
    for ranges in ([], WARM, [(0, SIZE)]):
        for how in ("speed 1 1048576", "speed 3 262144", "extents"):
            drop(watched)
            if resident(watched):
                print("skip: this file system keeps its pages")
                return
            warm(watched, ranges)
            before = resident(watched)
            with Tool(image, *tools) as tool:
                tool.ask(how)
            after = resident(watched)
            assert before <= after, f"{len(before - after)} pages that were there are gone ({how})"
            assert after <= before, f"{len(after - before)} pages stayed ({how}, {len(before)} before)"


def raw(work):
    image = work / "disk.raw"
    write_pattern(image, [(0, SIZE)], SIZE)
    check((image, image))


def through_qemu(work):
    write_pattern(work / "disk.raw", [(0, SIZE)], SIZE)
    image = work / "disk.qcow2"
    run("qemu-img", "convert", "-O", "qcow2", work / "disk.raw", image)
    check((image, image))


def backing_files_too(work):
    write_pattern(work / "disk.raw", [(0, SIZE)], SIZE)
    run("qemu-img", "create", "-f", "qcow2", "-b", "disk.raw", "-F", "raw", work / "top.qcow2")
    check((work / "top.qcow2", work / "disk.raw"))


def much_is_never_held(work):
    """In the middle of the reading as well: at 200 MB read, not more than what one round brings."""
    image = work / "disk.raw"
    write_pattern(image, [(0, SIZE)], SIZE)
    drop(image)
    with Tool(image) as tool:
        tool.ask("speed 1 1048576")
        held = len(resident(image)) * mmap.PAGESIZE
        assert held <= 72 * MIB, held


def kept_if_wanted(work):
    image = work / "disk.raw"
    write_pattern(image, [(0, 8 * MIB)], 8 * MIB)
    drop(image)
    with Tool(image, "-k") as tool:
        tool.ask("speed 1 1048576")
    assert len(resident(image)) == 8 * MIB // mmap.PAGESIZE


need("qemu-img", "qemu-nbd")
main([raw, through_qemu, backing_files_too, much_is_never_held, kept_if_wanted])

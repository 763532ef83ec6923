#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# test-alone
"""Reading an image leaves the page cache as it was: what was there stays, what was not does not come.

The kernel may give up a page of its own accord at any time (some hosts reclaim
the memory of idle guests every few seconds). So pages that shall be there are
locked, and what shall stay is held against what the program asks to be dropped.
"""

import ctypes
import mmap
import os
import resource

from image_bed import Tool, main, need, run, without_layout, write_pattern

MIB = 1 << 20
PAGE = mmap.PAGESIZE
SIZE = 200 * MIB
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]


class Mapping:
    """A file's mapping, not touched: mmap's own objects cannot be asked for their address read-only."""

    def __init__(self, path):
        self.length = os.path.getsize(path)
        fd = os.open(path, os.O_RDONLY)
        self.address = libc.mmap(None, self.length, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
        os.close(fd)
        libc.madvise(ctypes.c_void_p(self.address), ctypes.c_size_t(self.length), mmap.MADV_RANDOM)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        libc.munmap(ctypes.c_void_p(self.address), ctypes.c_size_t(self.length))

    def lock(self, offset, length):
        """Makes the pages stay until the mapping ends. False: not allowed."""
        return libc.mlock(ctypes.c_void_p(self.address + offset), ctypes.c_size_t(length)) == 0


def resident(path):
    """The pages of the file that are in the page cache, as a set of numbers."""
    with Mapping(path) as mapping:
        pages = (mapping.length + PAGE - 1) // PAGE
        answer = (ctypes.c_ubyte * pages)()
        assert libc.mincore(ctypes.c_void_p(mapping.address), ctypes.c_size_t(mapping.length), answer) == 0
    return {number for number in range(pages) if answer[number] & 1}


def drop(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def warm(path, ranges):
    """Brings exactly these pages in: readahead would still be under way when we look."""
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    for offset, length in ranges:
        os.pread(fd, length, offset)
    os.close(fd)


def dropped_pages(record, path):
    """What image_tool -d wrote, as pages; the kernel drops only those that lie within a range as a whole."""
    inode, pages = os.stat(path).st_ino, set()
    for line in record.read_text().splitlines():
        number, offset, length = map(int, line.split())
        if number == inode:
            pages.update(range((offset + PAGE - 1) // PAGE, (offset + length) // PAGE))
    return pages


# In the middle, single pages, across the bounds of 64 MiB, and a larger stretch.
WARM = [(3 * MIB, 100 * 1024), (20 * MIB, 4096), (64 * MIB - 8192, 16384), (130 * MIB, 4 * MIB)]
# All but single pages: at the bounds of 2 MiB, which are counted one by one, and the file's last.
NEARLY_ALL = [(0, 2 * MIB), (2 * MIB + 4096, 68 * MIB - 8192), (70 * MIB, SIZE - 70 * MIB - 4096)]


def check(path, *tools, env=None):
    """`tools` are the options of image_tool."""
    image, watched = path
    record = image.with_suffix(".dropped")
    for ranges in ([], WARM, NEARLY_ALL, [(0, SIZE)]):
        for how in ("speed 1 1048576", "speed 3 262144", "extents"):
            drop(watched)
            if resident(watched):
                print("skip: this file system keeps its pages")
                return
            with Mapping(watched) as mapping:
                warm(watched, ranges)
                if not all(mapping.lock(*each) for each in ranges):
                    print(f"skip: {sum(length for _, length in ranges)} bytes may not be locked in memory")
                    continue
                before = resident(watched)
                assert len(before) == sum(length for _, length in ranges) // PAGE
                with Tool(image, "-d", record, *tools, env=env) as tool:
                    assert bool(tool.servers) == bool(env)
                    tool.ask(how)
                lost = before & dropped_pages(record, watched)
                stayed = resident(watched) - before
                record.unlink()
                assert not lost, f"{len(lost)} pages that were there were dropped ({how}): {sorted(lost)[:9]}"
                assert not stayed, f"{len(stayed)} pages stayed ({how}, {len(before)} before): {sorted(stayed)[:9]}"


def raw(work):
    image = work / "disk.raw"
    write_pattern(image, [(0, SIZE)], SIZE)
    check((image, image))


def through_qemu(work):
    write_pattern(work / "disk.raw", [(0, SIZE)], SIZE)
    image = work / "disk.qcow2"
    run("qemu-img", "convert", "-O", "qcow2", work / "disk.raw", image)
    check((image, image), env=without_layout(work))


def where_qemu_tells_the_layout(work):
    """In the order of the file, and from its end to its beginning."""
    write_pattern(work / "disk.raw", [(0, SIZE)], SIZE)
    image = work / "disk.qcow2"
    run("qemu-img", "convert", "-O", "qcow2", work / "disk.raw", image)
    check((image, image))
    run("qemu-img", "create", "-f", "qcow2", image, SIZE)
    run("qemu-io", "-f", "qcow2", image, input="".join(
        f"write -P 7 {number * MIB} 1M\n" for number in reversed(range(SIZE // MIB))))
    check((image, image))


def backing_files_too(work):
    write_pattern(work / "disk.raw", [(0, SIZE)], SIZE)
    run("qemu-img", "create", "-f", "qcow2", "-b", "disk.raw", "-F", "raw", work / "top.qcow2")
    check((work / "top.qcow2", work / "disk.raw"))
    check((work / "top.qcow2", work / "disk.raw"), env=without_layout(work))


def much_is_never_held(work):
    """In the middle of the reading as well: at 200 MB read, not more than what one round brings."""
    image = work / "disk.raw"
    write_pattern(image, [(0, SIZE)], SIZE)
    drop(image)
    with Tool(image) as tool:
        tool.ask("speed 1 1048576")
        held = len(resident(image)) * mmap.PAGESIZE
        assert held <= 72 * MIB, held


def much_is_never_held_of_what_qemu_reads(work):
    """The same, in larger rounds, with the layout from qemu-img and through qemu-nbd."""
    image, size = work / "disk.qcow2", 384 * MIB
    write_pattern(work / "disk.raw", [(0, size)], size)
    run("qemu-img", "convert", "-O", "qcow2", work / "disk.raw", image)
    for env in ({}, without_layout(work)):
        drop(image)
        with Tool(image, env=env) as tool:
            tool.ask("speed 1 1048576")
            held = len(resident(image)) * mmap.PAGESIZE
            assert held <= size - 200 * MIB, held


def ahead_of_the_reading(work):
    """A page that readahead brings in between two looks at a chunk was not there before."""
    image = work / "disk.raw"
    write_pattern(image, [(0, SIZE)], SIZE)
    drop(image)
    ahead = 64 * MIB + 5 * MIB
    with Tool(image) as tool:
        tool.ask(f"read 0 {64 * MIB}")  # looks at the next 64 MiB too, and then drops
        with open(image, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            os.pread(file.fileno(), PAGE, ahead)
        tool.ask(f"read {64 * MIB} 4096")
    assert ahead // PAGE not in resident(image)


def what_cannot_be_dropped_yet(work):
    """A page in use at the time when its chunk is dropped goes later."""
    image = work / "disk.raw"
    write_pattern(image, [(0, SIZE)], SIZE)
    drop(image)
    busy = 10 * MIB
    with Tool(image) as tool:
        with Mapping(image) as mapping:
            tool.ask(f"read 0 {32 * MIB}")
            assert mapping.lock(busy, PAGE)
            for offset in range(32 * MIB, SIZE - 8 * MIB, 32 * MIB):
                tool.ask(f"read {offset} {32 * MIB}")
            assert busy // PAGE in resident(image)
    assert not resident(image)


def kept_if_wanted(work):
    image = work / "disk.raw"
    write_pattern(image, [(0, 8 * MIB)], 8 * MIB)
    drop(image)
    with Tool(image, "-k") as tool:
        tool.ask("speed 1 1048576")
    assert len(resident(image)) == 8 * MIB // mmap.PAGESIZE


need("qemu-img", "qemu-nbd", "qemu-io")
resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.getrlimit(resource.RLIMIT_MEMLOCK)[1],) * 2)
main([raw, through_qemu, where_qemu_tells_the_layout, backing_files_too, much_is_never_held, much_is_never_held_of_what_qemu_reads, ahead_of_the_reading, what_cannot_be_dropped_yet,
      kept_if_wanted])

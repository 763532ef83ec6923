#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Bad images, bad fingerprints, files that vanish, disks that fill up: one line, a status, and nothing left over."""

import os
import random
import resource
import struct
import subprocess
import sys

from blocks_bed import (BOUND, MIB, SETMOV, check_refusal, children, digits, main, mixed, need, tool, wait_for,
                        without_layout)


def no_images(bed):
    digits(bed.work / "a", [1])
    (bed.work / "directory").mkdir()
    os.mkfifo(bed.work / "fifo")
    for name, reason in (("directory", "is a directory"), ("fifo", "FIFO"), ("missing", "No such file"),
                         ("/dev/null", "/dev/null"), ("a/x", "a/x")):
        bed.refused([name, reason], "fingerprint", name)
        bed.refused([name, reason], "compare", "a", name)
        bed.refused([name, reason], "compare", name, "a")
        bed.refused(name, "fingerprint", "--show", name)
        bed.refused(name, "fingerprint", "--verify", name)


def no_permission(bed):
    digits(bed.work / "a", [1])
    digits(bed.work / "locked", [1])
    bed.ok("fingerprint", "-o", "locked.fp", "locked")
    (bed.work / "place").mkdir()
    for name, mode in (("locked", 0), ("locked.fp", 0), ("place", 0o555)):
        (bed.work / name).chmod(mode)
    prefix = []
    if os.geteuid() == 0:
        need("setpriv")
        prefix = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]  # root without its powers
    bed.refused(["locked", "Permission denied"], "fingerprint", "locked", prefix=prefix)
    bed.refused(["locked", "Permission denied"], "compare", "a", "locked", prefix=prefix)
    bed.refused(["locked.fp", "Permission denied"], "compare", "a", "locked.fp", prefix=prefix)
    bed.refused(["locked.fp", "Permission denied"], "fingerprint", "--show", "locked.fp", prefix=prefix)
    bed.refused(["place/x", "Permission denied"], "fingerprint", "-o", "place/x", "a", prefix=prefix)


def bad_images(bed):
    need("qemu-img", "qemu-nbd", "qemu-io")
    image = bed.work / "a.qcow2"
    tool("qemu-img", "create", "-f", "qcow2", image, "1M")
    whole = image.read_bytes()
    for content in (whole[:60],  # cut short
                    whole[:4] + struct.pack(">I", 9) + whole[8:],  # a version of tomorrow
                    whole[:24] + struct.pack(">Q", (1 << 63) - 512) + whole[32:],  # its size
                    whole[:24] + struct.pack(">Q", (1 << 64) - 1) + whole[32:],
                    whole[:32] + struct.pack(">I", 1) + whole[36:],  # encrypted
                    whole[:20] + struct.pack(">I", 63) + whole[24:]):  # bits of a cluster
        image.write_bytes(content)
        bed.refused("a.qcow2", "fingerprint", "--format", "qcow2", "a.qcow2")
        bed.refused("a.qcow2", "compare", "--format", "qcow2", "a.qcow2", "a.qcow2")
    # Not taken for a raw disk, or for one of zeroes.
    image.write_bytes(whole[:4] + struct.pack(">I", 9) + whole[8:])
    bed.refused(["a.qcow2", "qcow2 version 9 is not known"], "fingerprint", "a.qcow2")
    image.write_bytes(whole)
    tool("qemu-io", "-c", "write -P 5 0 1M", image)
    length = image.stat().st_size - 65536
    os.truncate(image, length)
    for arguments in (("fingerprint", "a.qcow2"), ("compare", "a.qcow2", "a.qcow2")):
        bed.refused(["a.qcow2", f"cut short: a cluster at {length} lies behind its end at {length}"], *arguments)
    tool("qemu-img", "create", "-f", "qcow2", "-u", "-b", "gone.raw", "-F", "raw", bed.work / "top.qcow2", "1M")
    bed.refused(["top.qcow2", "gone.raw"], "fingerprint", "top.qcow2")


def sizes_near_the_end_of_numbers(bed):
    """Sparse files on a file system without a limit of its own; one block of data in the last place."""
    if not os.access("/dev/shm", os.W_OK):
        return
    huge = f"/dev/shm/setmov-huge-{os.getpid()}"
    try:
        for size, block_size in (((1 << 63) - 4096, "64K"), (1 << 62, "64K"), ((1 << 56) + 512, "64K"), (1 << 50, "512")):
            with open(huge, "wb") as file:
                file.seek(size - 512)
                file.write(b"x" * 512)
            bed.refused([huge, str(size)], "fingerprint", "--block-size", block_size, "-o", "x", huge)
            bed.refused([huge, str(size)], "compare", "--block-size", block_size, huge, huge)
        found = bed.json("fingerprint", "--block-size", "64K", "-o", "x", huge)
        assert (found["virtual_size"], found["total_blocks"]) == (1 << 50, 1), found
    finally:
        os.unlink(huge)


def bad_fingerprints(bed):
    """Cut at any place, any byte of the file changed: an error, or figures that are still right."""
    source = random.Random(2)
    mixed(bed.work / "a", source, MIB // 4)
    bed.ok("fingerprint", "-o", "good", "a")
    whole = (bed.work / "good").read_bytes()
    truth = bed.json("compare", "good", "good")["union"]
    bad = bed.work / "bad"
    for length in (8, 17, 100, 300, 2047, len(whole) // 2, len(whole) - 1):
        bad.write_bytes(whole[:length])
        bed.refused("bad", "compare", "good", "bad")
        bed.refused("bad", "fingerprint", "--verify", "bad")
        bed.refused("bad", "fingerprint", "--show", "bad")
    bad.write_bytes(whole + b"more")
    bed.refused("bad", "fingerprint", "--verify", "bad")
    for place in (9, 16, 40, 64, 100, 200, *(source.randrange(8, len(whole)) for _ in range(20))):
        bad.write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1:])
        status, output, errors = bed.run("compare", "--json", "good", "bad")
        if status:
            check_refusal("bad", ["compare"], 1, status, output, errors)
        else:  # what is damaged was not read: the filter, or nothing but padding
            assert str(truth["identical_distinct"]) in output, place
    for place in (2048, len(whole) - 1):
        bad.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1:])
        bed.refused("bad", "fingerprint", "--verify", "bad")
    for version in (0, 2, 255):
        bad.write_bytes(whole[:8] + struct.pack("<I", version) + whole[12:])
        bed.refused(["bad", "version"], "fingerprint", "--show", "bad")
        bed.refused(["bad", "version"], "compare", "a", "bad")


def full_disk(bed):
    """First no room by limit, then on a file system of our own where that can be mounted."""
    mixed(bed.work / "a", random.Random(6), MIB)
    process = subprocess.run([SETMOV, "fingerprint", "-o", "a.fp", "a"], cwd=bed.work, env=bed.environment(),
                             capture_output=True, text=True, timeout=BOUND, check=False,
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024)))
    check_refusal(["a.fp", "File too large"], ["fingerprint"], 1, process.returncode, process.stdout, process.stderr)
    bed.check_leftovers()
    assert not (bed.work / "a.fp").exists()
    script = 'mount -t tmpfs -o size=16k tmpfs "$1" && shift && exec "$@"'
    inside = ["unshare", "--mount", "sh", "-c", script, "sh"]
    (bed.work / "small").mkdir()
    if os.geteuid() != 0 or subprocess.run([*inside, bed.work / "small", "true"], capture_output=True,
                                           check=False).returncode:
        return
    bed.ok("fingerprint", "-o", "a.fp", "a")
    bed.refused(["small/a.fp", "No space left on device"], "fingerprint", "-o", "small/a.fp", "--block-size", "512", "a",
                prefix=[*inside, bed.work / "small"])
    bed.refused(["No space left on device"], "compare", "a", "a", "--temporary", "small",
                prefix=[*inside, bed.work / "small"])
    # What was there stays as it was.
    script = 'mount -t tmpfs -o size=16k tmpfs "$1" && cp a.fp "$1" && "$2" fingerprint -o "$1/a.fp" --block-size 512 a; ' \
             'cmp a.fp "$1/a.fp" && test "$(ls -A "$1")" = a.fp && echo whole'
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", bed.work / "small", SETMOV], cwd=bed.work,
                          env=bed.environment(), capture_output=True, text=True, timeout=BOUND, check=False)
    assert done.stdout == "whole\n" and "No space left" in done.stderr, done


# ---- what happens meanwhile ---------------------------------------------------------------------


def slow(bed, *arguments, **more):
    """Starts a run that takes seconds."""
    return bed.start(*arguments[:1], "--rate", "2M", *arguments[1:], **more)


def ends_badly(bed, process, parts, command="fingerprint"):
    output, errors = process.communicate(timeout=BOUND)
    check_refusal(parts, [command], 1, process.returncode, output.decode(), errors.decode())
    bed.check_leftovers()


def unfinished(bed):
    return list(bed.work.glob(".*.tmp"))


def image_changes_while_read(bed):
    for change in ("removed", "written", "cut short", "replaced"):
        image = bed.work / "a.raw"
        image.write_bytes(random.Random(8).randbytes(3 * MIB))
        process = slow(bed, "fingerprint", "-o", "a.fp", "a.raw")
        wait_for("the reading to begin", lambda: unfinished(bed))
        if change == "removed":
            image.unlink()
        elif change == "written":
            with open(image, "r+b") as file:
                file.write(b"changed")
        elif change == "cut short":
            os.truncate(image, MIB // 2)
        else:
            (bed.work / "new").write_bytes(image.read_bytes())
            (bed.work / "new").rename(image)
        ends_badly(bed, process, "a.raw")
        assert not (bed.work / "a.fp").exists(), change


def qemu_nbd_is_missing(bed):
    need("qemu-img")
    tool("qemu-img", "create", "-f", "qcow2", bed.work / "a.qcow2", "1M")
    bed.refused(["a.qcow2", "qemu-nbd"], "fingerprint", "a.qcow2", env={"PATH": str(bed.work)})


def qemu_nbd_dies(bed):
    need("qemu-img", "qemu-nbd")
    (bed.work / "a.raw").write_bytes(random.Random(9).randbytes(24 * MIB))
    tool("qemu-img", "convert", "-O", "qcow2", bed.work / "a.raw", bed.work / "a.qcow2")
    for command in (["fingerprint", "-o", "a.fp", "a.qcow2"], ["compare", "a.qcow2", "a.qcow2"]):
        process = slow(bed, *command, env=without_layout(bed.directory))
        wait_for("qemu-nbd", lambda: bed.servers())
        if command[0] == "fingerprint":
            wait_for("the reading to begin", lambda: unfinished(bed))
        for pid in set(bed.servers()) & set(children(process.pid)):
            os.kill(pid, 9)
        ends_badly(bed, process, "a.qcow2", command[0])
        assert not (bed.work / "a.fp").exists()


def fingerprint_is_cut_while_mapped(bed):
    """One that was opened and checked, then cut short while an image is read."""
    mixed(bed.work / "a.raw", random.Random(10), MIB)
    bed.ok("fingerprint", "--block-size", "512", "--digest", "md5", "-o", "a.fp", "a.raw")
    whole = (bed.work / "a.fp").read_bytes()
    (bed.work / "slow.raw").write_bytes(random.Random(11).randbytes(MIB))
    for engine in ("exact", "bloom", "sketch"):
        (bed.work / "a.fp").write_bytes(whole)
        process = slow(bed, "compare", "--engine", engine, "a.fp", "slow.raw")
        mapped = f"{bed.work}/a.fp"
        image = f"{bed.work}/slow.raw"
        wait_for("the image to be read", lambda: holds(process, image) and mapped in maps(process))
        os.truncate(bed.work / "a.fp", 0)
        ends_badly(bed, process, "a.fp", "compare")


def holds(process, path):
    try:
        return path in [os.readlink(f"/proc/{process.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{process.pid}/fd")]
    except OSError:
        return False


def maps(process):
    try:
        with open(f"/proc/{process.pid}/maps", encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main([no_images, no_permission, bad_images, sizes_near_the_end_of_numbers, bad_fingerprints, full_disk,
                   image_changes_while_read, qemu_nbd_is_missing, qemu_nbd_dies, fingerprint_is_cut_while_mapped]))

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Where qemu-img tells the layout of a qcow2 image, it is read without qemu-nbd; whatever is wrong with that, its content is the same."""

import json
import os
import random
import shutil
import subprocess

from build_bed import Maker
from image_bed import Tool, alive, main, need, run, same_content, wait_for, without_layout, write_pattern
from qemu_io import Writer

MIB = 1 << 20
SIZE = 16 * MIB


def merged(extents):
    """Neighbours of one kind put together."""
    found = []
    for start, length, kind in extents:
        if found and found[-1][2] == kind:
            found[-1][1] += length
        else:
            found.append([start, length, kind])
    return found


def check(image, work, servers, *options, env=None):
    """Content and extents are those that qemu-nbd gives; so many qemu-nbd run."""
    told = []
    for name, environment in (("server", without_layout(work)), ("layout", env or {})):
        with Tool(image, *options, env=environment) as tool:
            assert len(tool.servers) == (1 if name == "server" else servers), (name, tool.servers)
            tool.ask(f"all {work}/{name}")
            # Pieces that begin and end within parts.
            odd = [tool.ask(f"read {offset} 70001") for offset in [*range(511, SIZE, 65536 * 3), SIZE - 70001]
                   if offset <= SIZE - 70001]
            odd.append(tool.ask(f"read 511 {SIZE - 1000}"))
            told.append((tool.info(), merged(tool.extents()), odd))
            tool.ask("check")
    assert told[0] == told[1], told
    assert same_content(work / "server", work / "layout"), "content differs"


def write_rows(image, rows):
    """Rows of (offset, length) in that order, each of a pattern of its own."""
    run("qemu-io", "-t", "unsafe", "-f", "qcow2", image, input="".join(
        f"write -P {1 + number % 255} {offset} {length}\n" for number, (offset, length) in enumerate(rows)))


def shuffled(work, *options, grain=65536):
    """Its clusters lie in the file in another order than in the image."""
    image = work / "shuffled.qcow2"
    run("qemu-img", "create", "-f", "qcow2", *options, image, SIZE)
    rows = [(offset, grain) for offset in range(0, SIZE, 2 * grain)]
    random.Random(7).shuffle(rows)
    write_rows(image, rows)
    return image


def plain_images(work):
    check(shuffled(work), work, 0)
    check(shuffled(work, "-o", "cluster_size=512", grain=8192), work, 0)
    check(shuffled(work, "-o", "cluster_size=2M"), work, 0)
    check(shuffled(work, "-o", "extended_l2=on", grain=2048), work, 0)
    check(shuffled(work, "-o", "preallocation=metadata"), work, 0)
    check(shuffled(work, "-o", f"data_file={work}/clusters"), work, 0)
    check(shuffled(work, "-o", f"data_file={work}/clusters2,data_file_raw=on"), work, 0)
    image = shuffled(work)
    run("qemu-img", "snapshot", "-c", "one", image)
    write_rows(image, [(MIB, 3 * MIB)])
    run("qemu-io", "-c", "write -z 5M 1M", "-c", "discard 7M 1M", image)
    check(image, work, 0)


def chains(work):
    shuffled(work)
    write_pattern(work / "base.raw", [(0, MIB), (9 * MIB, MIB)], 12 * MIB)
    run("qemu-img", "create", "-f", "qcow2", "-b", "base.raw", "-F", "raw", work / "middle.qcow2", SIZE)
    write_rows(work / "middle.qcow2", [(9 * MIB, 65536), (300 << 10, 65536), (11 * MIB, 3 * MIB)])
    run("qemu-img", "create", "-f", "qcow2", "-b", "middle.qcow2", "-F", "qcow2", work / "top.qcow2")
    write_rows(work / "top.qcow2", [(12 * MIB, 4096), (0, 512)])
    run("qemu-io", "-c", "write -z 13M 64k", work / "top.qcow2")
    for options in ((), ("-l",)):
        check(work / "top.qcow2", work, 0, *options)
        check(work / "middle.qcow2", work, 0, *options)


def in_part(work):
    """What is compressed, or in another format, comes through qemu-nbd; an image that is nothing else as a whole."""
    image = work / "image.qcow2"
    write_pattern(work / "base.raw", [(0, 4 * MIB), (9 * MIB, MIB)], SIZE)
    run("qemu-img", "convert", "-c", "-O", "qcow2", work / "base.raw", image)
    check(image, work, 1)
    write_rows(image, [(MIB, 65536), (8 * MIB, 3 * MIB)])
    map_of = [row["offset"] for row in json.loads(run("qemu-img", "map", "--output=json", image)) if "offset" in row]
    assert map_of, "nothing is placed"
    check(image, work, 1)
    run("qemu-img", "convert", "-O", "qed", work / "base.raw", work / "base.qed")
    run("qemu-img", "create", "-f", "qcow2", "-b", "base.qed", "-F", "qed", work / "top.qcow2")
    check(work / "top.qcow2", work, 1)
    write_rows(work / "top.qcow2", [(MIB, 65536), (8 * MIB, 3 * MIB)])
    check(work / "top.qcow2", work, 1)


def fingerprints_are_the_same(work):
    """Of every block size, with one thread and with more."""
    write_pattern(work / "base.raw", [(0, 4 * MIB)], SIZE)
    run("qemu-img", "convert", "-c", "-O", "qcow2", work / "base.raw", work / "part.qcow2")
    write_rows(work / "part.qcow2", [(MIB + 4096 * number, 512) for number in range(0, 3000, 7)])
    wishes = [("md5", 512), ("sha256", 4096), ("md5", 65536)]
    for image in (shuffled(work, "-o", "extended_l2=on", grain=2048), work / "part.qcow2"):
        made = []
        for env in ({}, without_layout(work)):
            for threads in ("1", "3"):
                with Maker(image, env) as maker:
                    made.append([(found.digests, found.blocks, found.zero, found.content_sha256)
                                 for found in maker.build(wishes, "-t", threads)])
        assert made.count(made[0]) == 4


def the_last_cluster_in_part(work):
    """Zeroes behind the end of the file."""
    image = work / "image.qcow2"
    run("qemu-img", "create", "-f", "qcow2", image, SIZE)
    write_rows(image, [(0, 4 * MIB), (SIZE - 65536, 65536)])
    os.truncate(image, os.path.getsize(image) - 65535)
    check(image, work, 0)
    with open(work / "layout", "rb") as file:
        file.seek(SIZE - 65536)
        assert file.read() == b"\2" + bytes(65535)
    made = []
    for env in ({}, without_layout(work)):  # its buffers are full of other data by then
        with Maker(image, env) as maker:
            made.append(maker.build([("md5", 4096)], "-t", "1")[0].digests)
    assert made[0] == made[1]


def an_image_in_use(work):
    """Where its data lies changes: all comes through qemu-nbd."""
    image = shuffled(work)
    with Writer(image), Tool(image) as tool:
        assert len(tool.servers) == 1
        tool.ask(f"all {work}/copied")


def programs(work, text):
    """A PATH with a qemu-img that is a script; the real one is $QEMU_IMG."""
    directory = work / "programs"
    directory.mkdir(exist_ok=True)
    for name in ("qemu-nbd", "sh", "cat", "sed", "sleep", "python3"):
        if not (directory / name).exists():
            (directory / name).symlink_to(shutil.which(name))
    (directory / "qemu-img").write_text(f"#!/bin/sh\necho $$ >{work}/pid\n{text}\n")
    (directory / "qemu-img").chmod(0o755)
    return {"PATH": str(directory), "QEMU_IMG": shutil.which("qemu-img")}


def row(start, length, **more):
    """A line of qemu-img map, without what ends it."""
    values = {"start": start, "length": length, "depth": 0, "present": True, "zero": False, "data": True, **more}
    return "{ " + ", ".join(f'"{key}": {str(value).lower()}' for key, value in values.items()) + "}"


def a_qemu_img_that_cannot_be_believed(work):
    """Whatever it says, what is read is the image, and the program is gone."""
    image = shuffled(work)
    size, whole = image.stat().st_size, '"$QEMU_IMG" "$@"'
    said = {
        "nothing": "", "nonsense": "yes", "an empty array": "[]", "cut short": "[" + row(0, MIB, offset=0) + ",",
        "not closed": "[" + row(0, SIZE, offset=0) + ",",
        "a smaller image": "[" + row(0, SIZE - MIB, offset=0) + "]",
        "a larger image": "[" + row(0, SIZE + MIB, offset=0) + "]",
        "a gap": "[" + row(0, MIB, offset=0) + ",\n" + row(2 * MIB, SIZE - 2 * MIB, offset=0) + "]",
        "outside the file": "[" + row(0, SIZE, offset=size) + "]",
        "far outside the file": "[" + row(0, SIZE, offset=1 << 62) + "]",
        "a layer that is none": "[" + row(0, SIZE, depth=1, offset=0) + "]",
        "beyond all numbers": "[" + row(0, 1 << 64, offset=0) + "]",
        "a line without an end": "[" + " " * 100000,
    }
    scripts = {what: f"cat <<'END'\n{text}\nEND" for what, text in said.items()}
    scripts |= {
        "a failure at the end": f"{whole}; exit 1", "a failure": "exit 1", "a signal": f"{whole}; kill -9 $$",
        "lines without an end": f"while :; do echo '[{row(0, 0)},'; done",
        "more parts than are kept": "python3 -c 'for i in range(1100000): print((\"[\" if i == 0 else \"\") + "
                                    "f\"{{ \\\"start\\\": {i}, \\\"length\\\": 1, \\\"depth\\\": 0, \\\"zero\\\": true, "
                                    "\\\"data\\\": false}},\")'",
        "one line more": f"{whole}; echo ']'",
    }
    for what, text in scripts.items():
        try:
            check(image, work, 1, env=programs(work, text))
        except AssertionError as error:
            raise AssertionError(f"{what}: {error}") from error
        assert not alive(int((work / "pid").read_text())), what


def a_qemu_img_that_hangs(work):
    """It is given up after as long as anybody may be silent, and ended."""
    image = shuffled(work)
    for text in ("exec sleep 1000", '"$QEMU_IMG" "$@"; exec sleep 1000'):
        check(image, work, 1, "-t", "1000", env=programs(work, text))
        assert not alive(int((work / "pid").read_text()))


def a_writer_that_comes_meanwhile(work):
    """What was told before it came may be wrong by now."""
    image = shuffled(work)
    lock = work / "lock.py"
    lock.write_text("import fcntl, os, struct, sys, time\n"
                    f"fd = os.open({str(image)!r}, os.O_RDWR)\n"
                    "fcntl.fcntl(fd, 37, struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 1, 0))\n"  # F_OFD_SETLK
                    "os.closerange(0, 3)\n"
                    f"open({str(work / 'locked')!r}, 'w').close()\n"
                    "time.sleep(1000)\n")
    env = programs(work, f'"$QEMU_IMG" "$@"\npython3 {lock} & echo $! >{work}/holder\n'
                         f"while [ ! -e {work}/locked ]; do sleep 0.01; done")
    try:
        with Tool(image, env=env) as tool:
            assert tool.ask("in-use") == "yes"
            assert len(tool.servers) == 1
    finally:
        holder = int((work / "holder").read_text())
        subprocess.run(["kill", str(holder)], check=True)
        wait_for("the holder of the lock to end", lambda: not alive(holder))


need("qemu-img", "qemu-nbd", "qemu-io", "stdbuf")
main([plain_images, chains, in_part, fingerprints_are_the_same, the_last_cluster_in_part, an_image_in_use,
      a_qemu_img_that_cannot_be_believed, a_qemu_img_that_hangs, a_writer_that_comes_meanwhile])

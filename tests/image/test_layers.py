#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The top layer of an image by itself: what it holds, zeroes that it says, and what is not its own."""

import json
import os

from image_bed import Tool, main, need, refused, run, same_content, write_pattern
from qemu_io import Writer as qemu_io_held

MIB = 1 << 20
KIB = 1 << 10
SIZE = 16 * MIB


def alone(path, kind="qcow2"):
    return "json:" + json.dumps({"driver": kind, "backing": None, "file": {"driver": "file", "filename": str(path)}})


def qemu_io(image, *commands):
    """`image`: a path, opened with its layers, or a json: name."""
    run("qemu-io", "-t", "unsafe", *(part for command in commands for part in ("-c", command)), image)


def told(path, kind="qcow2"):
    """By qemu-img map: extents of a layer that is opened without the one below it."""
    found = []
    for row in json.loads(run("qemu-img", "map", "--output=json", alone(path, kind))):
        held = "hole" if not row["present"] else "zero" if row["zero"] else "data"
        if found and found[-1][2] == held:
            found[-1][1] += row["length"]
        else:
            found.append([row["start"], row["length"], held])
    return found


def check(work, path, kinds, kind="qcow2"):
    run("qemu-img", "convert", "-t", "unsafe", "-O", "raw", alone(path, kind), work / "flat")
    with Tool(path, "-l", "-f", kind) as tool:
        extents = tool.extents()
        assert extents == told(path, kind), extents
        assert {row[2] for row in extents} == kinds, extents
        assert [os.path.basename(layer["path"]) for layer in tool.info()["layers"]] == [path.name]
        tool.ask(f"all {work}/all")
        tool.ask(f"copy {work}/data")
        tool.ask("check")
    assert same_content(work / "flat", work / "all") and same_content(work / "flat", work / "data")


def of_qcow2(work):
    """With all that a cluster can be; the layer below has data in each of those places, or is not there."""
    golden = work / "golden.raw"
    write_pattern(golden, [(0, SIZE)], SIZE)
    for number, settings in enumerate(("compat=1.1", "cluster_size=512", "extended_l2=on", "compat=0.10",
                                       "cluster_size=2M")):
        path = work / f"{number}.qcow2"
        run("qemu-img", "create", "-f", "qcow2", "-b", golden, "-F", "raw", "-o", settings, path)
        qemu_io(path, f"write -P 7 0 {3 * MIB}", f"write -P 8 {4 * MIB} 1000", f"write -P 0 {6 * MIB} 1M",
                f"write -z {8 * MIB} 2M", f"write -z -u {10 * MIB} 1M", f"write -P 9 {12 * MIB} 2M",
                f"write -z {12 * MIB + 512 * KIB} 64K", f"discard {13 * MIB} 1M")
        kinds = {"hole", "data"} if "0.10" in settings else {"hole", "data", "zero"}
        check(work, path, kinds)
        os.rename(golden, work / "away")
        assert refused(path).code == 2
        check(work, path, kinds)
        os.rename(work / "away", golden)


def compressed(work):
    golden, top = work / "golden.raw", work / "top.qcow2"
    write_pattern(golden, [(0, SIZE)], SIZE)
    run("qemu-img", "create", "-f", "qcow2", "-b", golden, "-F", "raw", top)
    qemu_io(top, "write -c -P 7 1M 1M", "write -P 7 4M 64K", "write -z 5M 64K")
    check(work, top, {"hole", "data", "zero"})


def in_use(work):
    """Then it is read another way."""
    golden, top = work / "golden.raw", work / "top.qcow2"
    write_pattern(golden, [(0, SIZE)], SIZE)
    run("qemu-img", "create", "-f", "qcow2", "-b", golden, "-F", "raw", top)
    qemu_io(top, "write -P 7 1M 1M", "write -z 4M 1M", "write -P 8 5M 64K", "write -P 8 6M 64K")
    expect = told(top)
    with qemu_io_held(top, "-t", "unsafe"), Tool(top, "-l") as tool:
        assert tool.ask("in-use") == "yes"
        extents = tool.extents()
        assert extents == expect and {row[2] for row in extents} == {"hole", "data", "zero"}, extents
        tool.ask(f"all {work}/all")
    run("qemu-img", "convert", "-t", "unsafe", "-O", "raw", alone(top), work / "flat")
    assert same_content(work / "flat", work / "all")


def without_a_layer_below(work):
    source, path = work / "source.raw", work / "alone.qcow2"
    write_pattern(source, [(0, MIB), (5 * MIB, MIB)], SIZE)
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", source, path)
    qemu_io(path, "write -z 9M 1M")
    check(work, path, {"hole", "data", "zero"})


def other_formats(work):
    golden = work / "golden.qcow2"
    run("qemu-img", "create", "-f", "qcow2", golden, str(SIZE))
    qemu_io(golden, f"write -P 3 0 {SIZE}")
    for kind in ("qed", "qcow"):
        path = work / f"top.{kind}"
        run("qemu-img", "create", "-f", kind, "-b", golden, "-F", "qcow2", path, str(SIZE))
        qemu_io(path, "write -P 7 1M 1M")
        check(work, path, {"hole", "data"}, kind)


def of_raw(work):
    """It lies on nothing: as without the option."""
    path = work / "disk.raw"
    write_pattern(path, [(MIB, MIB)], SIZE)
    with Tool(path, "-l") as tool:
        assert tool.extents() == [[0, MIB, "hole"], [MIB, MIB, "data"], [2 * MIB, SIZE - 2 * MIB, "hole"]]


def a_name_is_not_even_looked_at(work):
    top = work / "top.qcow2"
    run("qemu-img", "create", "-u", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", top, str(SIZE))
    qemu_io(alone(top), "write -P 7 1M 1M")
    with Tool(top, "-l") as tool:
        assert tool.extents() == [[0, MIB, "hole"], [MIB, MIB, "data"], [2 * MIB, SIZE - 2 * MIB, "hole"]]
    assert refused(top).code == 1
    run("qemu-img", "rebase", "-u", "-b", "nbd://127.0.0.1/x", "-F", "raw", top)
    assert refused(top, "-l").code == 1 and refused(top).code == 1


need("qemu-img", "qemu-nbd", "qemu-io")
main([of_qcow2, compressed, in_use, without_a_layer_below, other_formats, of_raw, a_name_is_not_even_looked_at])

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Content and extents of images are what QEMU's own tools say they are, for every format and chain."""

import json

from image_bed import Tool, main, need, run, same_content, without_layout, write_pattern

MIB = 1 << 20
SIZE = 24 * MIB
RANGES = [(0, 4096), (MIB, 3 * MIB), (5 * MIB + 512, 1000), (10 * MIB, 65536), (SIZE - 4096, 4096)]


def convert(image, work, source_format=None):
    flat = work / "flat.raw"
    run("qemu-img", "convert", *(["-f", source_format] if source_format else []), "-O", "raw", image, flat)
    return flat


def qemu_extents(image):
    """qemu-img map, as (start, length, has data); neighbours of one kind put together."""
    merged = []
    for entry in json.loads(run("qemu-img", "map", "--output=json", image)):
        row = [entry["start"], entry["length"], not entry["zero"]]
        if merged and merged[-1][2] == row[2]:
            merged[-1][1] += row[1]
        else:
            merged.append(row)
    return merged


def data_extents(tool):
    merged = []
    for start, length, kind in tool.extents():
        if merged and merged[-1][2] == (kind == "data"):
            merged[-1][1] += length
        else:
            merged.append([start, length, kind == "data"])
    return merged


def check_same(image, work, *options, size=SIZE):
    """Where qemu-img tells the image's layout, and where nobody does."""
    info = check_way(image, work, *options, size=size)
    again = check_way(image, work, *options, size=size, env=without_layout(work))
    assert info == again, (info, again)
    return info


def check_way(image, work, *options, size=SIZE, env=None):
    flat = convert(image, work)
    with Tool(image, *options, env=env) as tool:
        assert tool.servers or not env, "not through qemu-nbd"
        info = tool.info()
        assert info["size"] == size, info
        tool.ask(f"copy {work}/copied")
        tool.ask(f"all {work}/everything")
        assert same_content(flat, work / "copied"), "data extents alone do not make the content"
        assert same_content(flat, work / "everything"), "content differs"
        assert data_extents(tool) == qemu_extents(image), (data_extents(tool), qemu_extents(image))
        tool.ask("check")
        assert tool.ask("in-use") == "no"
    return info


def base(work):
    raw = work / "base.raw"
    write_pattern(raw, RANGES, SIZE)
    return raw


def every_format(work):
    raw = base(work)
    for name, options in (("qcow2", []), ("qcow2", ["-o", "cluster_size=2M"]), ("qcow2", ["-o", "compat=0.10"]),
                          ("qcow2", ["-c"]), ("qcow2", ["-c", "-o", "compression_type=zstd"]),
                          ("qcow2", ["-o", "extended_l2=on"]), ("qcow", []), ("qed", []), ("vmdk", []),
                          ("vmdk", ["-o", "subformat=streamOptimized"]), ("vdi", []), ("vhdx", []),
                          ("parallels", []), ("vpc", ["-o", "force_size=on"])):
        image = work / f"image.{name}"
        run("qemu-img", "convert", "-O", name, *options, raw, image)
        info = check_same(image, work)
        assert info["format"] == name, (name, info)
        assert [layer["path"] for layer in info["layers"]] == [str(image)], info


def split_vmdk(work):
    raw = base(work)
    for kind in ("monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"):
        directory = work / kind
        directory.mkdir()
        run("qemu-img", "convert", "-O", "vmdk", "-o", f"subformat={kind}", raw, directory / "disk.vmdk")
        info = check_same(directory / "disk.vmdk", work)
        assert info["format"] == "vmdk" and len(info["layers"]) == 2, info


def zero_clusters_are_no_data(work):
    image = work / "image.qcow2"
    run("qemu-img", "create", "-f", "qcow2", image, SIZE)
    run("qemu-io", "-c", "write -P 7 0 1M", "-c", "write -z 256k 128k", "-c", "write -z 4M 1M", "-c",
        "write -P 9 8M 64k", image)
    check_same(image, work)
    with Tool(image) as tool:
        data = [(start, length) for start, length, kind in tool.extents() if kind == "data"]
    assert data == [(0, 256 << 10), (384 << 10, 640 << 10), (8 * MIB, 64 << 10)], data


def metadata_preallocation(work):
    image = work / "image.qcow2"
    run("qemu-img", "create", "-f", "qcow2", "-o", "preallocation=metadata", image, SIZE)
    run("qemu-io", "-c", "write -P 7 3M 1M", image)
    check_same(image, work)


def chain_of_three_formats(work):
    """qcow2 over qed over raw, and vmdk over vmdk."""
    raw = base(work)
    run("qemu-img", "create", "-f", "qed", "-b", "base.raw", "-F", "raw", work / "middle.qed")
    run("qemu-io", "-c", "write -P 1 2M 2M", work / "middle.qed")
    run("qemu-img", "create", "-f", "qcow2", "-b", "middle.qed", "-F", "qed", work / "top.qcow2")
    run("qemu-io", "-c", "write -P 2 3M 64k", "-c", "write -z 1M 64k", work / "top.qcow2")
    info = check_same(work / "top.qcow2", work)
    names = [(layer["path"], layer["format"]) for layer in info["layers"]]
    assert names == [(f"{work}/top.qcow2", "qcow2"), (f"{work}/middle.qed", "qed"), (str(raw), "raw")], names


def vmdk_chain(work):
    raw = base(work)
    run("qemu-img", "convert", "-O", "vmdk", raw, work / "base.vmdk")
    run("qemu-img", "create", "-f", "vmdk", "-b", work / "base.vmdk", "-F", "vmdk", work / "top.vmdk")
    run("qemu-io", "-c", "write -P 2 3M 64k", work / "top.vmdk")
    info = check_same(work / "top.vmdk", work)
    assert len(info["layers"]) == 2, info


def smaller_backing_file(work):
    base(work)
    run("qemu-img", "create", "-f", "qcow2", "-b", "base.raw", "-F", "raw", work / "top.qcow2", 2 * SIZE)
    check_same(work / "top.qcow2", work, size=2 * SIZE)


def backing_format_not_told(work):
    raw = base(work)
    run("qemu-img", "convert", "-O", "qcow2", raw, work / "base.qcow2")
    run("qemu-img", "create", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", work / "top.qcow2")
    with open(work / "top.qcow2", "r+b") as file:  # blank out the extension that tells it
        head = file.read(4096)
        at = head.index(b"\xe2\x79\x2a\xca")
        file.seek(at)
        file.write(b"\x01\x02\x03\x04")
    assert check_same(work / "top.qcow2", work)["layers"][1]["format"] == "qcow2"


def external_data_file(work):
    raw = base(work)
    image = work / "image.qcow2"
    run("qemu-img", "convert", "-O", "qcow2", "-o", f"data_file={work}/clusters,data_file_raw=on", raw, image)
    info = check_same(image, work)
    assert [layer["path"] for layer in info["layers"]] == [str(image), f"{work}/clusters"], info


def odd_size(work):
    raw = work / "odd.raw"
    write_pattern(raw, [(0, 70001)], 70001)
    with Tool(raw) as tool:
        assert tool.info()["size"] == 70001
        tool.ask(f"copy {work}/copied")
    assert same_content(raw, work / "copied")


def empty(work):
    (work / "empty.raw").touch()
    with Tool(work / "empty.raw") as tool:
        assert tool.info()["size"] == 0 and tool.extents() == []
    run("qemu-img", "create", "-f", "qcow2", work / "empty.qcow2", 0)
    with Tool(work / "empty.qcow2") as tool:
        assert tool.info()["size"] == 0 and tool.extents() == []


def raw_is_believed(work):
    """A guest that writes a qcow2 header into its raw disk gets read as raw by who knows that it is."""
    image = work / "guest.raw"
    run("qemu-img", "create", "-f", "qcow2", image, SIZE)
    length = image.stat().st_size
    with Tool(image, "-f", "raw") as tool:
        info = tool.info()
        assert info["format"] == "raw" and info["size"] == length
        tool.ask(f"all {work}/copied")
    assert same_content(image, work / "copied")
    with Tool(image) as tool:
        assert tool.info()["format"] == "qcow2"


def threads_read_the_same(work):
    raw = base(work)
    run("qemu-img", "convert", "-O", "qcow2", raw, work / "image.qcow2")
    sums = set()
    image, through_server = work / "image.qcow2", without_layout(work)
    for image, options, env in ((raw, [], {}), (image, [], {}), (image, [], through_server),
                                (image, ["-c", "1"], through_server)):
        with Tool(image, *options, env=env) as tool:
            for threads, piece in ((1, 4 << 20), (5, 65536), (8, MIB)):
                sums.add(tool.ask(f"speed {threads} {piece}").split("sum ")[1])
    assert len(sums) == 1, sums


need("qemu-img", "qemu-nbd", "qemu-io")
main([every_format, split_vmdk, zero_clusters_are_no_data, metadata_preallocation, chain_of_three_formats, vmdk_chain,
      smaller_backing_file, backing_format_not_told, external_data_file, odd_size, empty, raw_is_believed,
      threads_read_the_same])

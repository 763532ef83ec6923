#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Fingerprints of images hold what an independent computation finds, whatever is asked for at once and however many threads read."""

import errno
import hashlib
import os
import random
import subprocess

from build_bed import KINDS, Maker, content_of, data_of_qcow2, expected, fails, same
from image_bed import data_of_raw, main, need, run, write_pattern

MIB = 1 << 20
SIZES = (512, 4096, 65536)


def compare(image, content, data, sizes=SIZES, kinds=("md5",), options=()):
    """One call for all sizes and kinds together, held against what Python finds."""
    wishes = [(kind, size) for kind in kinds for size in sizes]
    with Maker(image) as maker:
        made = maker.build(wishes, *options)
        for (kind, size), fingerprint in zip(wishes, made):
            same(fingerprint, expected(content, data, size, kind), f"{kind} {size}")
            assert fingerprint.virtual_size == len(content)
            assert fingerprint.flags == 0, fingerprint.flags


def mixed(path, size, ranges, seed=1):
    """Data that repeats itself, zeroes that were written, and single blocks of their own."""
    source = random.Random(seed)
    repeated = [source.randbytes(4096) for _ in range(3)]
    with open(path, "wb") as file:
        file.truncate(size)
        for offset, length in ranges:
            file.seek(offset)
            left = length
            while left > 0:
                kind = source.randrange(4)
                part = bytes(4096) if kind == 0 else source.choice(repeated) if kind < 3 else source.randbytes(4096)
                file.write(part[:left])
                left -= min(left, 4096)


def raw_sparse(work):
    """Holes in the middle of large blocks, several pieces of data in one, a hole at both ends."""
    image = work / "sparse.raw"
    mixed(image, 40 * MIB, [(MIB, MIB), (3 * MIB + 4096, 4096), (3 * MIB + 12288, 8192), (3 * MIB + 61440, 8192),
                            (5 * MIB - 4096, 4096), (9 * MIB, 3 * MIB + 4096), (20 * MIB + 28672, 4096)])
    data = data_of_raw(image)
    assert sum(length for _, length in data) == 4 * MIB + 8 * 4096, data
    compare(image, image.read_bytes(), data)


def raw_many_pieces(work):
    """More pieces than a chunk's buffer holds blocks of the largest size."""
    image = work / "pieces.raw"
    mixed(image, 64 * MIB, [(number * 65536 + 4096 * (number % 16), 4096) for number in range(0, 1000, 1)])
    data = data_of_raw(image)
    compare(image, image.read_bytes(), data)
    compare(image, image.read_bytes(), data, sizes=(512, 1024))


def raw_odd_sizes(work):
    """A last block that is shorter is padded, and one that ends the image exactly is not."""
    for number, size in enumerate((1, 511, 512, 513, 65535, 65536, 65537, 5 * 65536 + 1234, 262144, 262145, MIB - 1)):
        image = work / f"odd{number}.raw"
        image.write_bytes(random.Random(number).randbytes(size))
        compare(image, image.read_bytes(), data_of_raw(image))


def raw_empty(work):
    image = work / "empty.raw"
    image.write_bytes(b"")
    compare(image, b"", [])
    os.truncate(image, 3 * MIB)
    compare(image, bytes(3 * MIB), [])


def zeroes_are_counted_apart(work):
    """The lowest zero block is found whichever thread came first."""
    image = work / "zeroes.raw"
    image.write_bytes(random.Random(3).randbytes(MIB + 8192) + bytes(20 * MIB) + b"x" * 4096)
    for threads in ("1", "2", "5"):
        compare(image, image.read_bytes(), data_of_raw(image), options=("-t", threads))


def all_kinds_and_sizes(work):
    image = work / "disk.raw"
    mixed(image, 3 * MIB, [(0, MIB), (MIB + 69632, 300000)])
    compare(image, image.read_bytes(), data_of_raw(image), sizes=(512, 1024, 2048, 8192),
            kinds=("md5", "sha256", "keyed", "keyed2"))


def keys_tell_themselves_apart(work):
    image = work / "disk.raw"
    mixed(image, MIB, [(0, MIB)])
    with Maker(image) as maker:
        one, again, other, plain = maker.build([("keyed", 512), ("keyed", 4096), ("keyed2", 512), ("sha256", 512)])
    assert one.key_id == again.key_id != other.key_id
    assert plain.key_id == bytes(8) != one.key_id


def qcow2_chain(work):
    """Backing files below, zero clusters that hide them, discarded ones, compressed ones, an odd size."""
    mixed(work / "base.raw", 6 * MIB + 5120, [(0, 2 * MIB), (4 * MIB, MIB), (6 * MIB, 5120)])
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", work / "middle.qcow2", "9M")
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "middle.qcow2", "-F", "qcow2", work / "top.qcow2", "9441792")
    for image, *commands in (("middle.qcow2", "write -P 5 1M 200k", "write -z 512k 256k", "write -c -P 7 3M 64k"),
                             ("top.qcow2", "write -P 9 1088k 64k", "write -z 4M 128k", "write -P 3 8M 4k",
                              "discard 8M 64k", "write -P 0 5M 128k", "write -P 11 9441280 512")):
        run("qemu-io", "-f", "qcow2", *[word for text in commands for word in ("-c", text)], work / image)
    image = work / "top.qcow2"
    data = data_of_qcow2(image)
    content = content_of(image, work / "flat.raw")
    assert data and sum(length for _, length in data) < len(content)
    for options in ((), ("-t", "1"), ("-t", "5")):
        compare(image, content, data, kinds=("md5", "sha256"), options=options)


def qcow2_small_clusters(work):
    """Clusters of 512 bytes: extents smaller than every block but the smallest."""
    image = work / "small.qcow2"
    run("qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=512", image, "4M")
    commands = []
    for number in range(0, 400, 3):
        commands += ["-c", f"write -P {number % 255} {number * 7680} {512 * (1 + number % 4)}"]
    run("qemu-io", "-f", "qcow2", *commands, image)
    compare(image, content_of(image, work / "flat.raw"), data_of_qcow2(image))


def single_and_together(work):
    """Files of one call are the files of several calls, but for the time."""
    image = work / "disk.raw"
    mixed(image, 12 * MIB, [(0, MIB), (2 * MIB + 4096, 5 * MIB), (9 * MIB, 12288)])
    wishes = [(kind, size) for kind in KINDS for size in SIZES]
    with Maker(image) as maker:
        together = maker.build(wishes)
    for wish, fingerprint in zip(wishes, together):
        with Maker(image) as maker:
            assert maker.build([wish])[0].sections == fingerprint.sections, wish


def threads_agree(work):
    image = work / "disk.raw"
    mixed(image, 30 * MIB, [(4096, 20 * MIB), (25 * MIB, 65536 + 4096)])
    run("qemu-img", "convert", "-O", "qcow2", image, work / "disk.qcow2")
    for name in ("disk.raw", "disk.qcow2"):
        found = []
        for threads in ("1", "2", "5"):
            with Maker(work / name) as maker:
                found.append([made.sections for made in maker.build([("md5", 512), ("md5", 65536)], "-t", threads)])
        assert found[0] == found[1] == found[2], name


def little_memory(work):
    """Sixteen MiB for four fingerprints of more digests than fit: the same as with much."""
    image = work / "disk.raw"
    image.write_bytes(random.Random(4).randbytes(64 * MIB))
    with open(image, "r+b") as file:  # duplicates far apart, and frequent ones
        content = file.read(8 * MIB)
        file.seek(40 * MIB)
        file.write(content)
        file.seek(20 * MIB)
        file.write(content[:512] * 4000)
    wishes = [(kind, 512) for kind in KINDS]
    with Maker(image) as maker:
        much = [made.sections for made in maker.build(wishes)]
    for threads in ("1", "2"):
        with Maker(image) as maker:
            assert [made.sections for made in maker.build(wishes, "-m", "1", "-t", threads)] == much, threads


def whole_content(work):
    """The SHA-256 of everything, holes too, in order, however many threads read."""
    image = work / "disk.raw"
    mixed(image, 23 * MIB + 77, [(MIB, 9 * MIB), (15 * MIB + 4096, 65536)])
    run("qemu-img", "convert", "-O", "qcow2", "-o", "preallocation=off", image, work / "disk.qcow2")
    full = work / "full.raw"
    full.write_bytes(random.Random(5).randbytes(3 * MIB + 1))
    empty, hole = work / "empty.raw", work / "hole.raw"
    empty.write_bytes(b"")
    hole.write_bytes(b"")
    os.truncate(hole, 5 * MIB + 5)
    for path in (image, work / "disk.qcow2", full, empty, hole):
        content = content_of(path, work / "flat.raw") if path.suffix == ".qcow2" else path.read_bytes()
        for threads in ("1", "2", "5"):
            with Maker(path) as maker:
                made = maker.build([("md5", 4096), ("md5", 512)], "-c", "-t", threads)
            for fingerprint in made:
                assert fingerprint.flags == 2, fingerprint.flags
                assert fingerprint.content_sha256 == hashlib.sha256(content).digest(), f"{path} {threads}"
    with Maker(image) as maker:
        assert maker.build([("md5", 4096)])[0].content_sha256 == bytes(32)


def whole_content_between_pieces(work):
    """A chunk may end in front of data that begins in the middle of a block; nothing is hashed twice."""
    for seed in range(6):
        image = work / f"dotted-{seed}.raw"
        source = random.Random(seed)
        with open(image, "wb") as file:
            for page in range(400):
                if source.random() < 0.5:
                    file.seek(page * 4096)
                    file.write(source.randbytes(4096))
            file.truncate(400 * 4096)
        content = hashlib.sha256(image.read_bytes()).digest()
        for size in (512, 8192, 16384, 65536):
            with Maker(image) as maker:
                assert maker.build([("md5", size)], "-c")[0].content_sha256 == content, f"{image} {size}"


def identity(work):
    """Every layer as it is on disk, and a time that is now."""
    write_pattern(work / "base.raw", [(0, MIB)], 2 * MIB)
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", work / "top.qcow2")
    before = int(subprocess.run(["date", "+%s"], capture_output=True, check=True).stdout)
    with Maker(work / "top.qcow2") as maker:
        made, = maker.build([("md5", 4096)])
    assert before <= made.made_s <= before + 600
    assert [layer["format"] for layer in made.layers] == ["qcow2", "raw"]
    for layer, name in zip(made.layers, ("top.qcow2", "base.raw")):
        status = os.stat(work / name)
        assert layer["path"] == str((work / name).resolve())
        assert (layer["inode"], layer["size"], layer["device"]) == (status.st_ino, status.st_size, status.st_dev)
        assert layer["modified"] == divmod(status.st_mtime_ns, 10**9), layer
        assert layer["changed"] == divmod(status.st_ctime_ns, 10**9), layer


def files_are_handed_over(work):
    """Nameless ones too, which nobody else can see."""
    image = work / "disk.raw"
    mixed(image, 2 * MIB, [(0, MIB)])
    with Maker(image) as maker:
        said = maker.run("-o", "md5:512:", f"sha256:4096:{maker.output}/named")
        assert sorted(os.listdir(maker.output)) == ["named"]
    one, two = (expected(image.read_bytes(), data_of_raw(image), size, kind)
                for kind, size in (("md5", 512), ("sha256", 4096)))
    assert [tuple(map(int, line.split()[1:])) for line in said[:-1]] == [
        (made.blocks, made.zero, len(made.digests)) for made in (one, two)]


def refusals(work):
    image = work / "disk.raw"
    mixed(image, MIB, [(0, MIB)])
    with Maker(image) as maker:
        for arguments, code, word in ((["md5:1000:{}/a"], errno.EINVAL, "1000"),
                                      (["md5:512:{}/a", "md5:256:{}/b"], errno.EINVAL, "256"),
                                      (["md5:512:{}/a", "md5:4096:{}/a"], errno.EINVAL, "one name"),
                                      ([], errno.EINVAL, "disk.raw"),
                                      (["md5:512:{}/a", "md5:4096:{}/missing/b"], errno.ENOENT, "missing/b"),
                                      (["md5:512:{}/a", "md5:4096:{}"], errno.EISDIR, "")):
            error = fails(maker, *[text.format(maker.output) for text in arguments])
            assert error.code == code and word in error.text, (arguments, error.text)
            assert os.listdir(maker.output) == [], arguments


def too_many_blocks(work):
    image = work / "huge.qcow2"
    run("qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=2M", image, "513T")
    with Maker(image) as maker:
        error = fails(maker, f"md5:512:{maker.output}/a")
        assert error.code == errno.EFBIG and "2^40" in error.text and "huge.qcow2" in error.text, error.text
        assert os.listdir(maker.output) == []


if __name__ == "__main__":
    need("qemu-img", "qemu-nbd", "qemu-io")
    main([raw_sparse, raw_many_pieces, raw_odd_sizes, raw_empty, zeroes_are_counted_apart, all_kinds_and_sizes,
          keys_tell_themselves_apart, qcow2_chain, qcow2_small_clusters, single_and_together, threads_agree,
          little_memory, whole_content, whole_content_between_pieces, identity, files_are_handed_over, refusals,
          too_many_blocks])

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Images that are made: what QEMU reads from them afterwards, and what is left where it fails."""

import json
import os
import random
import signal
import subprocess

from image_bed import (ImageError, Tool, Writer, alive, children, data_of_raw, fails, main, need, run, same_content,
                       wait_for, write_pattern)

MIB = 1 << 20
KIB = 1 << 10
SIZE = 24 * MIB
EEXIST, EINVAL, EIO, ELOOP, ENOENT, ENOSPC, ENOTSUP = 17, 22, 5, 40, 2, 28, 95


def some_disk(work):
    """Data in places that fit no cluster and no piece."""
    path = work / "source.raw"
    write_pattern(path, [(0, 70000), (MIB - 512, 3 * MIB), (9 * MIB + 4096, 4096), (SIZE - 1536, 1536)], SIZE)
    return path


def info(path):
    return json.loads(run("qemu-img", "info", "--output=json", path))


def compare(source, made, kind):
    run("qemu-img", "compare", "-f", "raw", "-F", kind, source, made)


def refuses(path, size, *options, **more):
    """The error of an image that is not even begun."""
    try:
        writer = Writer(path, size, *options, **more)
    except ImageError as error:
        assert error.text.strip() and str(path) in error.text, error.text
        return error
    writer.close()
    raise AssertionError(f"{path} was begun")


def raw_is_sparse_and_right(work):
    source, made = some_disk(work), work / "made.raw"
    with Writer(made, SIZE, "-m", "640") as writer:
        writer.ask(f"copy 4 {100 * KIB} {source}")
        writer.ask(f"same {source}")
        assert os.listdir(work) == ["source.raw"], "it has a name before it is published"
        writer.ask("finish")
        identity = writer.ask("identity")
        assert fails(writer, "write 0 1 1").code == EINVAL
        assert fails(writer, "finish").code == EINVAL
        writer.ask("publish")
        assert fails(writer, "publish").code == EINVAL
        status = os.stat(made)
        assert identity == f"{status.st_dev} {status.st_ino}"
    assert same_content(source, made)
    assert status.st_mode & 0o7777 == 0o640 and status.st_nlink == 1
    assert sum(length for _, length in data_of_raw(made)) < 4 * MIB


def other_formats(work):
    source = some_disk(work)
    for kind in ("qcow2", "vmdk", "vdi", "vhdx"):
        made = work / f"made.{kind}"
        with Writer(made, SIZE, "-f", kind) as writer:
            writer.ask(f"copy 4 {128 * KIB} {source}")
            writer.ask(f"same {source}")
            writer.publish()
        compare(source, made, kind)
        assert info(made)["virtual-size"] == SIZE
        assert os.stat(made).st_mode & 0o7777 == 0o600
    run("qemu-img", "check", work / "made.qcow2")


def threads_write_the_same(work):
    source = work / "source.raw"
    rng = random.Random(4)
    with open(source, "wb") as file:
        file.write(rng.randbytes(16 * MIB))
    for kind in ("raw", "qcow2"):
        made = work / f"made.{kind}"
        with Writer(made, 16 * MIB, "-f", kind) as writer:
            writer.ask(f"copy 16 7777 {source}")
            writer.ask(f"same {source}")
            writer.publish()
        compare(source, made, kind)


def settings_are_kept(work):
    """As they are read from one image they are given to the next, and qemu-img sees no difference."""
    source = some_disk(work)
    for number, settings in enumerate((
            "compat=0.10", "compat=0.10,cluster_size=4096", "compat=1.1,cluster_size=512,refcount_bits=64",
            "cluster_size=2M,lazy_refcounts=on", "cluster_size=128k,extended_l2=on", "refcount_bits=1")):
        theirs, made = work / f"{number}.qcow2", work / f"{number}.made"
        run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-o", settings, source, theirs)
        with Tool(theirs) as tool:
            told = tool.info()["settings"]
        with Writer(made, SIZE, "-f", "qcow2", "-s", told) as writer:
            writer.ask(f"copy 2 {64 * KIB} {source}")
            writer.publish()
        compare(source, made, "qcow2")
        run("qemu-img", "check", made)
        assert info(made)["format-specific"] == info(theirs)["format-specific"], settings
        assert info(made)["cluster-size"] == info(theirs)["cluster-size"], settings


def no_other_settings(work):
    made = work / "made"
    for settings in ("data_file=/etc/passwd", "backing_file=/etc/passwd", "encrypt.format=luks", "encryption=on",
                     "preallocation=full", "cluster_size=65537", "cluster_size=64k,", ",", "compat", "compat=",
                     "data_file=x,compat=1.1", "nocow=on", "compat=1.1,,data_file=x", "a" * 600, "size=1", "help",
                     "cluster_size=4096,?"):
        assert refuses(made, SIZE, "-f", "qcow2", "-s", settings).code == EINVAL, settings
    assert refuses(made, SIZE, "-f", "raw", "-s", "compat=1.1").code == EINVAL
    assert not os.listdir(work)


def no_other_options(work):
    made = work / "made"
    for code, options in ((ENOTSUP, ("-f", "dmg")), (ENOTSUP, ("-f", "qcow2:x")), (EINVAL, ("-m", "4755")),
                          (ENOTSUP, ("-f", "raw", "-b", "/x", "-F", "raw")),
                          (ENOTSUP, ("-f", "vmdk", "-b", "/x", "-F", "raw")),
                          (EINVAL, ("-f", "qcow2", "-b", "x", "-F", "raw")),
                          (EINVAL, ("-f", "qcow2", "-b", "json:{}", "-F", "raw")),
                          (EINVAL, ("-f", "qcow2", "-b", "/" + "x" * 1100, "-F", "raw")),
                          (EINVAL, ("-f", "qcow2", "-b", "/x", "-F", "nbd")),
                          (EINVAL, ("-f", "qcow2", "-b", "/x"))):
        assert refuses(made, SIZE, *options).code == code, options
    refuses(made, SIZE, "-f", "qcow2", "-b", "/x\ny", "-F", "raw")
    assert refuses(made, 1000, "-f", "qcow2").code == EINVAL
    refuses(made, 1 << 63)
    assert not os.listdir(work)


def held(path):
    """What the layer itself holds, as qemu-img sees it."""
    layer = {"driver": "qcow2", "backing": None, "file": {"driver": "file", "filename": str(path)}}
    found = []
    for row in json.loads(run("qemu-img", "map", "--output=json", "json:" + json.dumps(layer))):
        kind = "hole" if not row["present"] else "zero" if row["zero"] else "data"
        if found and found[-1][2] == kind:
            found[-1][1] += row["length"]
        else:
            found.append([row["start"], row["length"], kind])
    return found


def layer(work):
    """On a backing image that is not there yet, and then is: zeroes hide it, what was not written does not."""
    backing, made = work / "golden.raw", work / "layer"
    for number, settings in enumerate(("compat=1.1", "compat=0.10", "cluster_size=2097152",
                                       "extended_l2=on,cluster_size=65536", "cluster_size=512")):
        cluster = 2 * MIB if number == 2 else 64 * KIB
        made = work / f"layer{number}"
        with Writer(made, SIZE, "-f", "qcow2", "-b", backing, "-F", "raw", "-s", settings) as writer:
            writer.ask(f"write 0 {cluster} 7")
            writer.ask(f"zero {2 * MIB} {2 * cluster}")
            # Half of it each, in the wrong order, then the end of the image.
            writer.ask(f"write {8 * MIB + cluster // 2} {cluster // 2} 9")
            writer.ask(f"write {8 * MIB} {cluster // 2} 8")
            writer.ask(f"zero {SIZE - cluster} {cluster}")
            assert writer.ask(f"read {4 * MIB + cluster * 4} 2") == "0000"
            assert writer.ask(f"read {8 * MIB + cluster // 2 - 1} 2") == "0809"
            writer.publish()
        zeroes = "data" if number == 1 else "zero"
        assert [row for row in held(made) if row[2] != "hole"] == [
            [0, cluster, "data"], [2 * MIB, 2 * cluster, zeroes], [8 * MIB, cluster, "data"],
            [SIZE - cluster, cluster, zeroes]], (settings, held(made))
        found = info(made)
        assert found["backing-filename"] == str(backing) and found["backing-filename-format"] == "raw", found
        write_pattern(backing, [(0, SIZE)], SIZE)
        expect = bytearray(backing.read_bytes())
        expect[:cluster] = b"\7" * cluster
        expect[2 * MIB:2 * MIB + 2 * cluster] = bytes(2 * cluster)
        expect[8 * MIB:8 * MIB + cluster] = b"\10" * (cluster // 2) + b"\11" * (cluster // 2)
        expect[SIZE - cluster:] = bytes(cluster)
        run("qemu-img", "convert", "-O", "raw", made, work / "flat")
        assert (work / "flat").read_bytes() == expect, settings
        run("qemu-img", "check", made)
        os.unlink(backing)


def a_part_of_a_cluster_is_not_enough(work):
    for settings, short, whole in (("cluster_size=65536", 65535, 1), ("cluster_size=65536,extended_l2=on", 2047, 1),
                                   ("cluster_size=4096", 4096 + 4095, 1)):
        made = work / "layer"
        with Writer(made, SIZE, "-f", "qcow2", "-b", "/golden", "-F", "raw", "-s", settings) as writer:
            writer.ask(f"write {MIB} {short} 1")
            error = fails(writer, "finish")
            assert error.code == EINVAL and "written in part" in error.text, error.text
            assert fails(writer, "publish").code == EINVAL
            writer.ask(f"zero {MIB + short} {whole}")
            writer.publish()
        os.unlink(made)


def zeroes_without_a_backing_image(work):
    raw, qcow2 = work / "made.raw", work / "made.qcow2"
    for made, kind in ((raw, "raw"), (qcow2, "qcow2")):
        with Writer(made, SIZE, "-f", kind) as writer:
            writer.ask(f"zero 0 {SIZE}")
            writer.ask(f"write {4 * MIB} {2 * MIB} 5")
            writer.ask(f"zero {4 * MIB} {MIB}")
            assert writer.ask(f"read {5 * MIB - 2} 4") == "00000505"
            writer.publish()
    assert data_of_raw(raw) == [(5 * MIB, MIB)]
    assert [row for row in held(qcow2) if row[2] == "data"] == [[5 * MIB, MIB, "data"]]
    assert sum(row[1] for row in held(qcow2) if row[2] == "hole") == SIZE - 2 * MIB
    compare(raw, qcow2, "qcow2")


def a_name_is_kept(work):
    made = work / "made"
    for kind in ("raw", "qcow2"):
        made.write_text("somebody's")
        assert refuses(made, SIZE, "-f", kind).code == EEXIST
        os.unlink(made)
        os.symlink(work / "nothing", made)
        assert refuses(made, SIZE, "-f", kind).code == EEXIST
        os.unlink(made)
        for way in ((), ("-n",), ("-N",)):
            with Writer(made, SIZE, "-f", kind, *way) as writer:
                writer.ask("finish")
                made.write_text("somebody's")
                assert fails(writer, "publish").code == EEXIST
            assert made.read_text() == "somebody's" and os.listdir(work) == ["made"]
            os.unlink(made)


def without_nameless_files(work):
    source = some_disk(work)
    for kind in ("raw", "qcow2"):
        for way in ("-n", "-N"):
            made = work / f"made{way}.{kind}"
            before = set(os.listdir(work))
            with Writer(made, SIZE, "-f", kind, way) as writer:
                hidden = (set(os.listdir(work)) - before).pop()
                assert hidden.startswith(f".{made.name}.") and hidden.endswith(".tmp"), hidden
                writer.ask(f"copy 2 {64 * KIB} {source}")
                writer.publish()
                assert set(os.listdir(work)) - before == {made.name}
            compare(source, made, kind)
            with Writer(work / "given-up", SIZE, "-f", kind, way):
                pass
            assert set(os.listdir(work)) - before == {made.name}
    long = work / ("l" * 255)
    with Writer(long, SIZE, "-n") as writer:
        writer.publish()
    assert long.stat().st_size == SIZE


def paths(work):
    (work / "root/in").mkdir(parents=True)
    os.symlink(work / "root/in", work / "root/link")
    os.symlink(work / "root", work / "way")
    (work / "outside").mkdir()
    root = ("-r", str(work / "root"))
    for code, path in ((ELOOP, work / "root/link/made"), (ENOENT, work / "root/none/made"),
                       (EINVAL, f"{work}/root/./made"), (EINVAL, f"{work}/root/in/../made"),
                       (EINVAL, f"{work}/root//made"), (EINVAL, f"{work}/root/"), (EINVAL, f"{work}/root"),
                       (EINVAL, work / "outside/made"), (EINVAL, f"{work}/rootless/made"), (EINVAL, "made"),
                       (EINVAL, f"{work}/root/{'l' * 256}")):
        assert refuses(path, SIZE, *root).code == code, path
    assert refuses(work / "way/link/made", SIZE, "-r", str(work / "way")).code == ELOOP
    os.symlink("/etc", work / "root/in/etc")
    assert refuses(work / "root/in/etc/made", SIZE, *root).code == ELOOP
    # The administrator's own links are fine.
    with Writer(work / "way/in/made", SIZE, "-r", str(work / "way")) as writer:
        writer.publish()
    assert (work / "root/in/made").stat().st_size == SIZE
    with Writer(work / "root/top", SIZE, "-r", str(work / "root") + "/") as writer:
        writer.publish()


def a_directory_that_is_exchanged(work):
    (work / "root/in").mkdir(parents=True)
    (work / "outside").mkdir()
    with Writer(work / "root/in/made", SIZE, "-r", str(work / "root")) as writer:
        os.rename(work / "root/in", work / "root/moved")
        os.symlink(work / "outside", work / "root/in")
        writer.publish()
    assert not os.listdir(work / "outside") and os.listdir(work / "root/moved") == ["made"]


def a_killed_writer_leaves_nothing(work):
    for kind in ("raw", "qcow2"):
        for finished in (False, True):
            writer = Writer(work / "made", SIZE, "-f", kind)
            writer.ask("write 0 1000000 7")
            if finished:
                writer.ask("finish")
            servers = children(writer.process.pid)
            assert len(servers) == (kind == "qcow2" and not finished)
            writer.process.kill()
            writer.process.wait()
            os.rmdir(writer.temporary)
            wait_for("qemu-nbd to end", lambda: not any(alive(pid) for pid in servers))
            assert not os.listdir(work)


def a_lost_server(work):
    with Writer(work / "made", SIZE, "-f", "qcow2") as writer:
        os.kill(writer.servers[0], signal.SIGKILL)
        error = fails(writer, "write 0 1000000 7")
        assert "killed by signal 9" in error.text, error.text
        assert fails(writer, "finish").code == EIO
        assert fails(writer, "publish").code == EINVAL
    with Writer(work / "made", SIZE, "-f", "qcow2") as writer:
        writer.ask("write 0 1000000 7")
        os.kill(writer.servers[0], signal.SIGKILL)
        fails(writer, "finish")
        assert fails(writer, "publish").code == EINVAL
    assert not os.listdir(work)


def a_full_disk(work):
    small = work / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(small)], check=False).returncode != 0:
        print("skip  a_full_disk: nothing can be mounted")
        return
    try:
        for kind, options in (("raw", ()), ("qcow2", ()), ("qcow2", ("-n",))):
            with Writer(small / "made", SIZE, "-f", kind, *options) as writer:
                error = fails(writer, f"write 0 {8 * MIB} 3")
                assert error.code == ENOSPC and str(small / "made") in error.text, error.text
                assert fails(writer, "finish").code == EIO
                assert fails(writer, "publish").code == EINVAL
            assert not os.listdir(small)
            assert os.statvfs(small).f_bavail == os.statvfs(small).f_blocks, "room is not given back"
    finally:
        run("umount", small)


def small_ones(work):
    for size in (0, 1, 511):
        made = work / f"{size}"
        with Writer(made, size) as writer:
            if size:
                writer.ask(f"write 0 {size} 1")
            assert fails(writer, f"write {size} 1 1").code == EINVAL
            assert fails(writer, f"zero 1 {size}").code == EINVAL or size == 0
            writer.publish()
        assert made.read_bytes() == b"\1" * size
    with Writer(work / "q", 512, "-f", "qcow2", "-b", "/golden", "-F", "raw") as writer:
        writer.ask("write 0 512 1")
        writer.publish()
    assert held(work / "q") == [[0, 512, "data"]]


need("qemu-img", "qemu-nbd")
main([raw_is_sparse_and_right, other_formats, threads_write_the_same, settings_are_kept, no_other_settings,
      no_other_options, layer, a_part_of_a_cluster_is_not_enough, zeroes_without_a_backing_image, a_name_is_kept,
      without_nameless_files, paths, a_directory_that_is_exchanged, a_killed_writer_leaves_nothing, a_lost_server,
      a_full_disk, small_ones])

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Fingerprints of images that change, vanish, are cut short or held by a VM while they are read; and work that is stopped."""

import errno
import os
import random
import signal
import subprocess

from build_bed import Maker, content_of, data_of_qcow2, expected, fails, same
from image_bed import BOUND, ImageError, children, main, need, run, wait_for, without_layout
from qemu_io import Writer

MIB = 1 << 20
PROVISIONAL = 1
# Slow enough that much is left to read when the first progress is told.
SLOW = ("-r", str(16 * MIB), "-w", "0")


def prepare(work):
    (work / "disk.raw").write_bytes(random.Random(1).randbytes(6 * MIB))
    run("qemu-img", "convert", "-O", "qcow2", work / "disk.raw", work / "base.qcow2")
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", work / "top.qcow2")


def while_read(image, action, *options, env=None):
    """Does something to the image when a part of it is read. The error, or what was made; old files stay as they are."""
    with Maker(image, env) as maker:
        old = maker.wishes([("md5", 4096)])[0].rpartition(":")[2]
        with open(old, "w", encoding="ascii") as file:
            file.write("old")
        maker.start(*SLOW, *options, *maker.wishes([("md5", 4096), ("sha256", 512)]))
        maker.until_reached()
        action(maker)
        try:
            maker.end()
        except ImageError as error:
            assert os.listdir(maker.output) == ["md5-4096"], "something was left"
            with open(old, encoding="ascii") as file:
                assert file.read() == "old", "the old file was touched"
            return error
        return maker.read([("md5", 4096), ("sha256", 512)])


def changes_are_noticed(work):
    def grow(path):
        with open(path, "ab") as file:
            file.write(b"more" * 1024)

    def rewrite(path):
        with open(path, "r+b") as file:
            file.seek(5 * MIB)
            file.write(b"other")

    def replace(path):
        os.rename(path, f"{path}.old")
        with open(path, "wb") as file:
            file.write(b"new")

    for name, changed in (("disk.raw", "disk.raw"), ("top.qcow2", "base.qcow2")):
        for change, word in ((grow, "changed"), (rewrite, "changed"), (replace, "replaced"), (os.unlink, "removed")):
            prepare(work)
            error = while_read(work / name, lambda _, change=change, path=work / changed: change(path))
            assert isinstance(error, ImageError), f"{change.__name__} of {changed} was not noticed"
            assert error.code == errno.ESTALE and word in error.text and changed in error.text, error.text


def cut_short(work):
    for name, cut in (("disk.raw", "disk.raw"), ("top.qcow2", "base.qcow2")):
        prepare(work)
        error = while_read(work / name, lambda _, path=work / cut: os.truncate(path, 65536))
        assert isinstance(error, ImageError) and error.code == errno.ESTALE and cut in error.text, error


def held_by_a_vm(work):
    """Whatever it does, or nothing: the fingerprint says so and is there. What it does not touch is right."""
    prepare(work)
    with Writer(work / "top.qcow2") as writer, Maker(work / "top.qcow2") as maker:
        writer.ask("write -P 7 64k 64k")
        writer.ask("flush")
        made, = maker.build([("md5", 4096)])
        assert made.flags == PROVISIONAL
    same(made, expected(content_of(work / "top.qcow2", work / "flat.raw"), data_of_qcow2(work / "top.qcow2"), 4096,
                        "md5"), "held")
    with Writer(work / "top.qcow2") as writer:
        made = while_read(work / "top.qcow2", lambda _: (writer.ask("write -P 9 1M 64k"), writer.ask("flush")))
        assert [one.flags for one in made] == [PROVISIONAL] * 2
    with Writer(work / "disk.raw", image_format="raw") as writer:
        made = while_read(work / "disk.raw", lambda _: (writer.ask("write -P 9 5M 64k"), writer.ask("flush")))
        assert [one.flags for one in made] == [PROVISIONAL] * 2


def vm_that_comes_or_goes_meanwhile(work):
    prepare(work)
    held = []

    def come(_):
        held.append(Writer(work / "disk.raw", image_format="raw").__enter__())
        held[0].ask("write -P 9 5M 64k")
        held[0].ask("flush")

    try:
        made = while_read(work / "disk.raw", come)
        assert [one.flags for one in made] == [PROVISIONAL] * 2
    finally:
        held[0].__exit__()
    writer = Writer(work / "disk.raw", image_format="raw").__enter__()
    made = while_read(work / "disk.raw", lambda _: (writer.ask("write -P 8 5M 64k"), writer.__exit__()))
    assert [one.flags for one in made] == [PROVISIONAL] * 2


def vm_that_came_and_went(work):
    """Nobody holds it any more, and it is not what it was."""
    prepare(work)

    def come_and_go(_):
        with Writer(work / "disk.raw", image_format="raw") as writer:
            writer.ask("write -P 9 5M 64k")

    error = while_read(work / "disk.raw", come_and_go)
    assert isinstance(error, ImageError) and error.code == errno.ESTALE, error


def server_dies(work):
    prepare(work)
    for options in ((), ("-c",), ("-t", "5", "-c")):
        def kill(maker):
            for pid in children(maker.process.pid):
                os.kill(pid, signal.SIGKILL)

        error = while_read(work / "top.qcow2", kill, "-r", str(MIB), *options, env=without_layout(work))
        assert isinstance(error, ImageError) and error.code == errno.EIO and "signal 9" in error.text, error


def stopped(work):
    """Nothing is left, whoever waits for whom; old files stay."""
    prepare(work)
    os.truncate(work / "disk.raw", 1 << 40)  # a hole that takes an hour to hash
    for name, options in (("disk.raw", ()), ("disk.raw", ("-t", "1")), ("disk.raw", ("-c",)),
                          ("disk.raw", ("-c", "-t", "5")), ("disk.raw", ("-c", "-t", "1")), ("top.qcow2", ()),
                          ("top.qcow2", ("-c", "-t", "5"))):
        with Maker(work / name) as maker:
            rate = () if "-c" in options and name == "disk.raw" else ("-r", str(8 * MIB))
            error = fails(maker, *rate, *options, "-s", "1", *maker.wishes([("md5", 4096), ("sha256", 512)]))
            assert error.code == errno.ECANCELED, (name, options, error.text)
            assert os.listdir(maker.output) == [], (name, options)


def stopped_before_the_end(work):
    """All was read by then: it still counts."""
    prepare(work)
    with Maker(work / "disk.raw") as maker:
        error = fails(maker, "-s", str(6 * MIB), *maker.wishes([("md5", 4096)]))
        assert error.code == errno.ECANCELED and os.listdir(maker.output) == []


def killed(work):
    """A reader that is killed leaves at most files that begin with a dot, and no qemu-nbd."""
    prepare(work)
    with Maker(work / "top.qcow2", without_layout(work)) as maker:
        maker.start(*SLOW, *maker.wishes([("md5", 4096)]))
        maker.until_reached()
        servers = children(maker.process.pid)
        maker.process.kill()
        maker.process.wait(BOUND)
        assert servers
        wait_for("qemu-nbd to end", lambda: not any(os.path.exists(f"/proc/{pid}") for pid in servers))
        assert not [name for name in os.listdir(maker.output) if not name.startswith(".")]
        for name in os.listdir(maker.output):
            os.unlink(os.path.join(maker.output, name))


def no_room(work):
    """A full disk: one line that names the file, nothing left."""
    prepare(work)
    room = work / "room"
    room.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "setmov-test", str(room)],
                             capture_output=True, check=False)
    if mounted.returncode != 0:
        print("skip  no_room: nothing can be mounted")
        return
    try:
        with Maker(work / "disk.raw") as maker:
            error = fails(maker, f"md5:65536:{maker.output}/a", f"sha256:512:{room}/b")
            assert error.code == errno.ENOSPC and f"{room}/b" in error.text, error.text
            assert os.listdir(maker.output) == [] and os.listdir(room) == []
    finally:
        run("umount", room)


need("qemu-img", "qemu-nbd", "qemu-io", "stdbuf")
main([changes_are_noticed, cut_short, held_by_a_vm, vm_that_comes_or_goes_meanwhile, vm_that_came_and_went,
      server_dies, stopped, stopped_before_the_end, killed, no_room])

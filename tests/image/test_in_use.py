#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Images beside a writer: known to be in use, read all the same, changes noticed, nothing of QEMU's hindered."""

import errno
import os
import signal
import subprocess

from image_bed import (ImageError, Tool, alive, fails, main, need, refused, run, wait_for, without_layout,
                       write_pattern)
from qemu_io import Writer

MIB = 1 << 20


def prepare(work):
    write_pattern(work / "base.raw", [(0, MIB)], 8 * MIB)
    run("qemu-img", "create", "-f", "qcow2", "-b", "base.raw", "-F", "raw", work / "top.qcow2")
    run("qemu-img", "convert", "-O", "raw", work / "base.raw", work / "disk.raw")


def writers_are_seen(work):
    prepare(work)
    for image, name in ((work / "top.qcow2", "qcow2"), (work / "disk.raw", "raw")):
        with Tool(image) as tool:
            assert tool.ask("in-use") == "no"
            with Writer(image, image_format=name):
                assert tool.ask("in-use") == "yes"
                with Tool(image) as other:
                    assert other.ask("in-use") == "yes"
                    other.ask(f"copy {work}/copied")
            wait_for("the lock to go", lambda: tool.ask("in-use") == "no")


def readers_are_not_writers(work):
    prepare(work)
    with Writer(work / "top.qcow2", "-r"), Tool(work / "top.qcow2") as tool:
        assert tool.ask("in-use") == "no"
        with Tool(work / "top.qcow2") as other:
            assert other.ask("in-use") == "no"


def a_writer_of_the_backing_file_is_seen(work):
    prepare(work)
    with Writer(work / "base.raw", image_format="raw"), Tool(work / "top.qcow2") as tool:
        assert tool.ask("in-use") == "yes"


def other_programs_locks_are_seen(work):
    """virtlockd takes a plain write lock."""
    import fcntl
    prepare(work)
    with open(work / "disk.raw", "r+b") as file, Tool(work / "disk.raw") as tool:
        fcntl.lockf(file, fcntl.LOCK_EX, 1, 0)
        assert tool.ask("in-use") == "yes"
        fcntl.lockf(file, fcntl.LOCK_UN, 1, 0)
        assert tool.ask("in-use") == "no"


def reading_keeps_no_vm_from_starting(work):
    prepare(work)
    with Tool(work / "top.qcow2") as tool:
        tool.ask("read 0 65536")
        with Writer(work / "top.qcow2") as writer:
            assert "wrote" in writer.ask("write -P 1 0 64k")
        run("qemu-img", "commit", work / "top.qcow2")


def stale_metadata(work):
    """The writer allocates, frees and moves clusters under a reader that has old tables: no crash, no hang."""
    image = work / "a.qcow2"
    run("qemu-img", "create", "-f", "qcow2", image, "64M")
    with Writer(image) as writer:
        writer.ask("write -P 1 0 8M")
        with Tool(image) as tool:
            for number in range(1, 12):
                writer.ask(f"write -P {number} {number}M 4M")
                writer.ask(f"discard {number - 1}M 512k")
                writer.ask("flush")
                try:
                    tool.extents()
                    tool.ask(f"copy {work}/copied")
                except ImageError as error:
                    assert error.text
            assert fails(tool, "check").code == errno.ESTALE


def changes_are_told(work):
    def touch(path):
        os.utime(path)

    def shorten(path):
        os.truncate(path, 4096)

    def grow(path):
        os.truncate(path, 64 * MIB)

    def replace(path):
        os.rename(path, f"{path}.old")
        subprocess.run(["cp", f"{path}.old", path], check=True)

    for change, word in ((touch, "changed"), (shorten, "cut short"), (grow, "changed"), (replace, "replaced"),
                         (os.unlink, "removed")):
        prepare(work)
        for top, changed in (("disk.raw", "disk.raw"), ("top.qcow2", "top.qcow2"), ("top.qcow2", "base.raw")):
            prepare(work)
            with Tool(work / top) as tool:
                tool.ask("check")
                change(work / changed)
                error = fails(tool, "check")
                assert error.code == errno.ESTALE and word in error.text and changed in error.text, error.text
            subprocess.run(["rm", "-f", work / f"{changed}.old"], check=True)


def removed_image_is_read_on(work):
    for top, env in (("disk.raw", {}), ("top.qcow2", {}), ("top.qcow2", without_layout(work))):
        prepare(work)
        with Tool(work / top, env=env) as tool:
            whole = tool.ask("read 0 8388608")
            os.unlink(work / top)
            assert tool.ask("read 0 8388608") == whole


def cut_short_while_read(work):
    prepare(work)
    for top, file, env in (("disk.raw", "disk.raw", {}), ("top.qcow2", "base.raw", {}),
                           ("top.qcow2", "base.raw", without_layout(work))):
        prepare(work)
        with Tool(work / top, env=env) as tool:
            assert bool(tool.servers) == bool(env)
            tool.ask("read 0 8388608")
            os.truncate(work / file, 65536)
            for place in (4 * MIB, 128 << 10):  # a hole, and data
                error = fails(tool, f"read {place} 65536")
                assert error.code == errno.ESTALE and f"{file} was cut short" in error.text, error.text
            if top == "disk.raw":
                assert fails(tool, "extents").code == errno.ESTALE


def a_killed_server_is_noticed(work):
    prepare(work)
    run("qemu-img", "convert", "-O", "qcow2", work / "base.raw", work / "a.qcow2")
    for command in ("read 0 1048576", "extents", "speed 4 65536"):
        with Tool(work / "a.qcow2", env=without_layout(work)) as tool:
            assert len(tool.servers) == 1
            os.kill(tool.servers[0], signal.SIGKILL)
            error = fails(tool, command)
            assert error.code == errno.EIO and "signal 9" in error.text and "a.qcow2" in error.text, error.text
            assert fails(tool, "read 0 512").code == errno.EIO
            assert tool.ask("in-use") == "no"


def a_killed_reader_leaves_no_server(work):
    prepare(work)
    tool = Tool(work / "top.qcow2", env=without_layout(work))
    assert tool.servers
    assert os.listdir(tool.temporary) == []  # not even while it runs
    tool.process.kill()
    tool.process.wait()
    wait_for("qemu-nbd to end", lambda: not any(alive(pid) for pid in tool.servers))
    assert os.listdir(tool.temporary) == []
    os.rmdir(tool.temporary)


def no_qemu_nbd(work):
    prepare(work)
    error = refused(work / "top.qcow2", env={"PATH": "/nonexistent"})
    assert error.code == errno.ENOENT and "qemu-nbd is needed" in error.text, error.text
    with Tool(work / "disk.raw", env={"PATH": "/nonexistent"}) as tool:
        tool.ask("read 0 4096")


def broken_qemu_nbd(work):
    """One that ends at once, one that talks nonsense, one that cannot be run."""
    prepare(work)
    path = work / "bin"
    path.mkdir()
    program = path / "qemu-nbd"
    for text, code in (("#!/bin/sh\necho broken as can be >&2\nexit 3\n", errno.EIO),
                       ("#!/usr/bin/python3\nimport socket\nsocket.socket(fileno=3).accept()[0].send(b'x' * 100)\n",
                        errno.EIO), ("#!/nonexistent/interpreter\n", errno.ENOENT)):
        program.write_text(text)
        program.chmod(0o755)
        error = refused(work / "top.qcow2", env={"PATH": str(path)})
        assert error.code == code, error.text
        assert code == errno.ENOENT or "top.qcow2" in error.text, error.text
    program.write_text("#!/bin/sh\necho broken as can be >&2\nexit 3\n")
    assert "broken as can be" in refused(work / "top.qcow2", env={"PATH": str(path)}).text


def a_silent_qemu_nbd(work):
    """One that takes the connections and never says a word, and one that falls silent: given up, and ended."""
    prepare(work)
    path = work / "bin"
    path.mkdir()
    program = path / "qemu-nbd"
    program.write_text(f"#!/bin/sh\necho $$ >{work}/pid\nexec /bin/sleep 1000\n")
    program.chmod(0o755)
    error = refused(work / "top.qcow2", "-t", "200", env={"PATH": str(path)})
    assert error.code == errno.ETIMEDOUT and "top.qcow2: qemu-nbd did not open it in time" in error.text, error.text
    assert not alive(int((work / "pid").read_text()))
    for command in ("read 0 1048576", "extents"):
        with Tool(work / "top.qcow2", "-t", "3000", env=without_layout(work)) as tool:
            os.kill(tool.servers[0], signal.SIGSTOP)
            error = fails(tool, command)
            assert error.code == errno.ETIMEDOUT and "qemu-nbd does not answer" in error.text, error.text


def the_environment_does_not_disturb(work):
    prepare(work)
    with Tool(work / "top.qcow2", env={"LISTEN_FDS": "5", "LISTEN_PID": "1", "MALLOC_CHECK_": "3"}) as tool:
        tool.ask("read 0 4096")


need("qemu-img", "qemu-nbd", "qemu-io", "stdbuf")
main([writers_are_seen, readers_are_not_writers, a_writer_of_the_backing_file_is_seen, other_programs_locks_are_seen,
      reading_keeps_no_vm_from_starting, stale_metadata, changes_are_told, removed_image_is_read_on,
      cut_short_while_read, a_killed_server_is_noticed, a_killed_reader_leaves_no_server, no_qemu_nbd,
      broken_qemu_nbd, a_silent_qemu_nbd, the_environment_does_not_disturb])

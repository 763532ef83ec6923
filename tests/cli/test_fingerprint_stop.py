#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Ctrl-C while an image is read, the progress on a terminal, and low priority."""

import fcntl
import os
import pty
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading

from blocks_bed import BOUND, MIB, main, need, tool, wait_for, without_layout

IMAGE_BYTES = 24 * MIB
HANGS = 20  # seconds: what takes longer to end waits for something else than the stop


def make(bed, name="a.raw", size=IMAGE_BYTES):
    (bed.work / name).write_bytes(random.Random(1).randbytes(size))
    return name


def reading(bed, process):
    """Until the image is being read: the fingerprint, or the nameless one, is begun."""
    def begun():
        try:
            names = [os.readlink(f"/proc/{process.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{process.pid}/fd")]
        except OSError:
            return False
        return any(name.endswith((".tmp", "(deleted)")) for name in names)
    wait_for("the reading to begin", begun)


def end(process, what, bound=BOUND):
    try:
        return process.communicate(timeout=bound)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise AssertionError(f"{what}: did not end") from None


# ---- signals --------------------------------------------------------------------------------------


def a_signal_ends_it_by_that_signal(bed):
    need("qemu-img", "qemu-nbd")
    make(bed)
    tool("qemu-img", "convert", "-O", "qcow2", bed.work / "a.raw", bed.work / "a.qcow2")
    before = bed.listing()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        for arguments in (["fingerprint", "-o", "x", "a.raw"], ["fingerprint", "-o", "x", "a.qcow2"],
                          ["compare", "a.raw", "a.qcow2"], ["compare", "a.qcow2", "a.raw"]):
            process = bed.start(*arguments, "--rate", "8M")
            reading(bed, process)
            process.send_signal(number)
            output, errors = end(process, f"{number} while {arguments}")
            assert process.returncode == -number, f"{arguments}: {process.returncode}: {errors}"
            assert (output, errors) == (b"", b""), (output, errors)
            bed.check_leftovers()
            assert bed.listing() == before, f"{arguments} left {bed.listing() ^ before}"


def check_stopped(bed, process, number, what, before):
    process.send_signal(number)
    output, errors = end(process, what, HANGS)
    assert process.returncode == -number, f"{what}: {process.returncode}: {errors}"
    assert (output, errors) == (b"", b""), (output, errors)
    bed.check_leftovers()
    assert bed.listing() == before, f"{what} left {bed.listing() ^ before}"


def a_slow_rate_is_no_reason_to_wait(bed):
    """A single read would take half a minute."""
    need("qemu-img", "qemu-nbd")
    make(bed, size=MIB)
    tool("qemu-img", "convert", "-O", "qcow2", bed.work / "a.raw", bed.work / "a.qcow2")
    before = bed.listing()
    for name in ("a.raw", "a.qcow2"):
        process = bed.start("fingerprint", "--rate", "4K", "-o", "x", name)
        reading(bed, process)
        check_stopped(bed, process, signal.SIGINT, f"{name} at a slow rate", before)


def a_server_that_hangs_is_no_reason_to_wait(bed):
    need("qemu-img", "qemu-nbd")
    make(bed)
    tool("qemu-img", "convert", "-O", "qcow2", bed.work / "a.raw", bed.work / "a.qcow2")
    bed.ok("index", "--index", "index", "a.raw")
    before = bed.listing()
    for arguments in (["fingerprint", "-o", "x", "a.qcow2"], ["index", "--index", "index", "a.qcow2"]):
        process = bed.start(*arguments, "--rate", "8M", env=without_layout(bed.directory))
        reading(bed, process)
        wait_for("qemu-nbd", bed.servers)
        server, = bed.servers()
        os.kill(server, signal.SIGSTOP)
        wait_for("it to stand still", lambda: state(server) == "T")
        check_stopped(bed, process, signal.SIGTERM, f"{arguments} with a server that hangs", before)


def state(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return file.read().rpartition(")")[2].split()[0]


def a_program_that_does_not_begin_is_no_reason_to_wait(bed):
    """qemu-nbd, and qemu-img, which is to tell where data lies."""
    need("qemu-img", "qemu-nbd", "sleep")
    tool("qemu-img", "create", "-q", "-f", "qcow2", bed.work / "a.qcow2", "1M")
    programs = bed.directory / "programs"
    programs.mkdir()
    make(bed, size=MIB)
    bed.ok("index", "--index", "index", "a.raw")
    before = bed.listing()
    for name, arguments in (("qemu-nbd", ["fingerprint", "-o", "x", "a.qcow2"]),
                            ("qemu-nbd", ["index", "--index", "index", "a.qcow2"]),
                            ("qemu-img", ["fingerprint", "-o", "x", "a.qcow2"])):
        program = programs / name
        program.write_text(f"#!/bin/sh\necho $$ >{programs}/pid\n: >{programs}/begun\nexec {shutil.which('sleep')} 1000\n")
        program.chmod(0o755)
        process = bed.start(*arguments, env={"PATH": str(programs)})
        wait_for(name, (programs / "begun").exists)
        (programs / "begun").unlink()
        check_stopped(bed, process, signal.SIGINT, f"{arguments} with a {name} that does not begin", before)
        assert not os.path.exists(f"/proc/{(programs / 'pid').read_text().strip()}"), f"{name} still runs"
        program.unlink()


def holes_are_walked_through_fast_and_can_be_stopped(bed):
    """A petabyte, of which a question for extents can name 4 GiB at most."""
    need("qemu-img", "qemu-nbd")
    tool("qemu-img", "create", "-q", "-f", "qcow2", bed.work / "a.qcow2", "1P")
    before = bed.listing()
    process = bed.start("fingerprint", "-o", "x", "a.qcow2", env=without_layout(bed.directory))
    reading(bed, process)
    check_stopped(bed, process, signal.SIGINT, "holes", before)
    for env in ({}, without_layout(bed.directory)):
        assert bed.json("fingerprint", "-o", "x", "a.qcow2", env=env)["total_blocks"] == 0


def the_second_signal_kills(bed):
    """Both come while it is stopped, so that the second is there before the first has had its effect."""
    make(bed)
    process = bed.start("compare", "--rate", "2M", "a.raw", "a.raw")
    reading(bed, process)
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    end(process, "two signals")
    assert process.returncode == -signal.SIGTERM, process.returncode


def nohup_is_respected(bed):
    make(bed, size=2 * MIB)
    process = bed.start("fingerprint", "--rate", "1M", "-o", "x", "a.raw",
                        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    reading(bed, process)
    process.send_signal(signal.SIGHUP)
    _, errors = end(process, "SIGHUP that is ignored")
    assert process.returncode == 0 and not errors, (process.returncode, errors)


# ---- the terminal ---------------------------------------------------------------------------------


def on_terminal(bed, *arguments, columns=80):
    """(status, stdout, what the terminal saw on stderr)"""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    process = bed.start(*arguments, stderr=follower)
    os.close(follower)
    seen = []

    def read():
        try:
            while part := os.read(leader, 4096):
                seen.append(part)
        except OSError:
            pass  # how a terminal says that nobody is left

    reader = threading.Thread(target=read)
    reader.start()
    output = process.stdout.read()
    process.wait(BOUND)
    reader.join(BOUND)
    os.close(leader)
    return process.returncode, output.decode(), b"".join(seen).decode()


def progress_is_shown_and_cleared(bed):
    make(bed, size=6 * MIB)
    for arguments in (["fingerprint", "-o", "x", "a.raw"], ["compare", "a.raw", "a.raw"]):
        status, output, seen = on_terminal(bed, *arguments, "--rate", "4M")
        assert status == 0 and output, (status, seen)
        lines = [line for line in seen.replace("\x1b[K", "").split("\r") if line]
        assert "a.raw  sorting 100%" in lines, f"the end of the work is not told: {seen!r}"
        lines = [line for line in lines if not re.fullmatch(r"a\.raw  sorting +\d+%", line)]
        assert len(lines) > 3, f"hardly any progress: {seen!r}"
        for line in lines:
            assert re.fullmatch(r"a\.raw  +\d+%  [\d.]+[kMG]? of [\d.]+[kMG]?  ([\d.]+[kMG]?|-)/s  ETA (\d+:\d\d|-)", line), line
            assert len(line) < 80 and " of 6.00M " in line, line
        assert seen.endswith("\r\x1b[K"), f"the line stays: {seen[-80:]!r}"
        percents = [int(re.search(r"(\d+)%", line)[1]) for line in lines]
        if arguments[0] == "fingerprint":
            assert percents == sorted(percents) and percents[-1] > percents[0], percents
        assert "\n" not in seen and "\x1b" not in output


def progress_fits_the_terminal(bed):
    make(bed, "a name that is too long for " * 4, size=2 * MIB)
    for columns in (20, 50, 80):
        status, _, seen = on_terminal(bed, "fingerprint", "--rate", "4M", "-o", "x", "a name that is too long for " * 4,
                                      columns=columns)
        lines = seen.replace("\x1b[K", "").split("\r")
        assert status == 0 and any(lines) and all(len(line) < columns for line in lines), seen


def progress_is_not_shown(bed):
    make(bed, size=2 * MIB)
    status, _, seen = on_terminal(bed, "fingerprint", "--quiet", "--rate", "4M", "-o", "x", "a.raw")
    assert (status, seen) == (0, ""), seen
    bed.ok("fingerprint", "--rate", "4M", "-o", "x", "a.raw")  # and stderr is no terminal


def an_error_stands_alone_on_its_line(bed):
    make(bed, size=4 * MIB)
    leader, follower = pty.openpty()
    process = bed.start("fingerprint", "--rate", "2M", "-o", "x", "a.raw", stderr=follower)
    os.close(follower)
    seen = b""
    while b"ETA" not in seen:
        seen += os.read(leader, 4096)
    (bed.work / "a.raw").unlink()
    try:
        while part := os.read(leader, 4096):
            seen += part
    except OSError:
        pass
    os.close(leader)
    process.communicate(timeout=BOUND)
    assert process.returncode == 1
    assert re.search(rb"\r\x1b\[Ksetmov fingerprint: [^\r\n]+\r\n$", seen), seen[-200:]


# ---- priority -------------------------------------------------------------------------------------


def low_priority(bed):
    """The process, its threads and its qemu-nbd."""
    need("qemu-img", "qemu-nbd", "ionice")
    make(bed)
    tool("qemu-img", "convert", "-O", "qcow2", bed.work / "a.raw", bed.work / "a.qcow2")
    process = bed.start("fingerprint", "--low-priority", "--threads", "2", "--rate", "8M", "-o", "x", "a.qcow2",
                        env=without_layout(bed.directory))
    wait_for("qemu-nbd", lambda: bed.servers())
    reading(bed, process)
    for pid in [*map(int, os.listdir(f"/proc/{process.pid}/task")), *bed.servers()]:
        assert os.getpriority(os.PRIO_PROCESS, pid) == 19, pid
        assert tool("ionice", "-p", pid).stdout == "idle\n", pid
    process.send_signal(signal.SIGTERM)
    end(process, "SIGTERM")


if __name__ == "__main__":
    sys.exit(main([a_signal_ends_it_by_that_signal, a_slow_rate_is_no_reason_to_wait,
                   a_server_that_hangs_is_no_reason_to_wait, a_program_that_does_not_begin_is_no_reason_to_wait,
                   holes_are_walked_through_fast_and_can_be_stopped, the_second_signal_kills, nohup_is_respected,
                   progress_is_shown_and_cleared, progress_fits_the_terminal, progress_is_not_shown,
                   an_error_stands_alone_on_its_line, low_priority]))

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How `setmov stat` ends (Ctrl-C, a reader that goes away) and how it draws on a terminal."""

import fcntl
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SETMOV = Path(os.environ.get("SETMOV_BUILD") or ROOT / "build").resolve() / "setmov"
LIMIT_S = 60  # nothing here takes long; a hang must end


def start(*options, **streams):
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    return subprocess.Popen([SETMOV, "stat", *options], **streams)


def finish(process, what):
    try:
        output, errors = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        sys.exit(f"{what}: did not end")
    assert process.returncode == 0, f"{what}: status {process.returncode}, {errors}"
    assert not errors, f"{what}: {errors}"
    return output


def check_signal_between_samples():
    """An hour's interval: the signal must end the wait."""
    for number in (signal.SIGINT, signal.SIGTERM):
        for vms in (["--no-vms"], ["--connect", "test:///default", "--deadline", "1"]):
            process = start("--json", "--interval", "0.05", *vms)
            assert process.stdout.readline().startswith(b'{"time"')
            process.send_signal(number)
            rest = finish(process, f"signal {number}")
            assert rest == b"" or rest.endswith(b"\n"), "no half line"
    process = start("--no-vms", "--interval", "3600")
    wait_until_asleep(process.pid)
    process.send_signal(signal.SIGINT)
    assert finish(process, "SIGINT in the first interval") == b""


def wait_until_asleep(pid):
    """Until it holds SIGINT back and sleeps, so that the signal comes while it waits."""
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until:
        status = Path(f"/proc/{pid}/status").read_text()
        blocked = int(re.search(r"^SigBlk:\s*(\w+)", status, re.MULTILINE)[1], 16)
        if blocked >> (signal.SIGINT - 1) & 1 and re.search(r"^State:\s*S", status, re.MULTILINE):
            return
        select.select([], [], [], 0.01)
    os.kill(pid, signal.SIGKILL)
    sys.exit("it does not wait with SIGINT held back")


class SilentLibvirt:
    """A socket that takes connections and never says a word."""

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="setmov.")
        path = Path(self.directory.name, "socket")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.listener.settimeout(LIMIT_S)
        self.uri = f"qemu+unix:///system?socket={path}"
        return self

    def __exit__(self, *_):
        self.listener.close()
        self.directory.cleanup()


def check_signal_while_libvirt_is_silent():
    """In the first reading, which may wait for an hour."""
    for number in (signal.SIGINT, signal.SIGTERM):
        with SilentLibvirt() as libvirt:
            process = start("--connect", libvirt.uri, "--interval", "3600", "--deadline", "3600")
            connection, _ = libvirt.listener.accept()
            connection.recv(1)  # it has asked, so it waits
            process.send_signal(number)
            assert finish(process, f"signal {number} while libvirt is silent") == b""
            connection.close()


def check_second_signal_kills():
    """Both come while it is stopped, so that the second is there before the first has had its effect."""
    process = start("--no-vms", "--interval", "3600")
    wait_until_asleep(process.pid)
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    try:
        process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        sys.exit("the second signal does not kill")
    assert process.returncode == -signal.SIGTERM, process.returncode


def check_long_intervals_have_short_deadlines(process):
    """A libvirt that does not answer is given up after some deadlines: seconds, not most of an hour each."""
    try:
        output, errors = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        sys.exit("the default deadline of a long interval is long")
    assert (process.returncode, output) == (1, b"") and errors.count(b"\n") == 1, (process.returncode, errors)


def check_signal_while_nobody_reads():
    """The pipe is full and the writer stuck: Ctrl-C ends it all the same."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    process = start("--no-vms", "--json", "--interval", "0.01", stdout=writer)
    filled = 0
    while filled < 4096 - 1024:
        filled = struct.unpack("i", fcntl.ioctl(reader, termios.FIONREAD, b"\0" * 4))[0]
        select.select([], [], [], 0.01)
    wait_until_asleep(process.pid)
    process.send_signal(signal.SIGINT)
    finish(process, "SIGINT with a full pipe")
    os.close(reader)
    os.close(writer)


def check_reader_goes_away():
    """Without a word, at once, and even within an hour's interval."""
    process = start("--no-vms", "--json", "--interval", "0.05")
    process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    finish(process, "closed pipe")
    process = start("--no-vms", "--interval", "3600")
    process.stdout.close()
    process.stdout = None
    finish(process, "closed pipe in the first interval")


def on_terminal(rows, *options):
    child, terminal = pty.fork()
    if child == 0:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 80, 0, 0))
        os.execv(SETMOV, [SETMOV, "stat", *options])
    output = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # the other side is closed
            break
        if not piece:
            break
        output += piece
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, output
    return output.decode()


def check_terminal():
    output = on_terminal(24, "--connect", "test:///default", "--interval", "0.05", "--count", "3")
    screens = output.split("\x1b[H")[1:]
    assert len(screens) == 3, "drawn over from the top for each sample"
    for screen in screens:
        assert screen.startswith("\x1b[?7l") and screen.endswith("\x1b[J\x1b[?7h"), "wrapping is switched on again"
        assert re.search(r"^test +running", screen, re.MULTILINE), screen
        rows = screen.split("\r\n")
        assert len(rows) <= 24 and all(row.endswith("\x1b[K") for row in rows[:-1]), rows
    output = on_terminal(6, "--no-vms", "--interval", "0.05", "--count", "1")
    assert output.count("\r\n") == 5, "never more rows than the terminal has"
    json = on_terminal(24, "--no-vms", "--json", "--interval", "0.05", "--count", "2")
    assert "\x1b" not in json and json.count("\r\n") == 2


def main():
    with SilentLibvirt() as libvirt:
        process = start("--connect", libvirt.uri, "--interval", "3600")
        check_signal_between_samples()
        check_signal_while_nobody_reads()
        check_signal_while_libvirt_is_silent()
        check_second_signal_kills()
        check_reader_goes_away()
        check_terminal()
        check_long_intervals_have_short_deadlines(process)


if __name__ == "__main__":
    main()

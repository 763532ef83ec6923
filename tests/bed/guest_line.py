#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Gives one command to a test guest over its serial line (a unix socket) and prints the answer.

usage: guest_line.py SOCKET --ready       waits until the guest obeys
       guest_line.py SOCKET COMMAND...
"""
import socket
import sys
import time


def connect(path, deadline):
    while True:
        line = socket.socket(socket.AF_UNIX)
        try:
            line.connect(path)
            return line
        except OSError:
            line.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def command(path, text, timeout=120):
    """Sends one command; returns what follows "ok", as a list of words."""
    deadline = time.monotonic() + timeout
    with connect(path, deadline) as line:
        line.settimeout(timeout)
        line.sendall(text.encode() + b"\n")
        with line.makefile() as answers:
            for answer in answers:
                words = answer.split()
                if words and words[0] == "ok":
                    return words[1:]
                if words and words[0] == "error":
                    raise RuntimeError(f"{text}: {answer.strip()}")
    raise RuntimeError(f"{text}: the guest hung up")


def wait_ready(path, timeout=180):
    """Asks until the guest answers: what is sent before it listens is lost."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return command(path, "memory", 1)
        except (OSError, RuntimeError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    if sys.argv[2] == "--ready":
        print(*wait_ready(sys.argv[1]))
    else:
        print(*command(sys.argv[1], " ".join(sys.argv[2:])))

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""libvirts that take connections and never say a word: many are waited for at once, and a signal ends it."""
import os
import signal
import socket
import subprocess
import sys
import tempfile

BUILD = os.environ.get("SETMOV_BUILD", os.path.join(os.path.dirname(__file__), "../../build"))
HOSTS, BOUND_S = 60, 20


def configure(directory, own, deaf, hosts):
    path = os.path.join(directory, "setmov.conf")
    with open(path, "w", encoding="ascii") as file:
        file.write(f"[setmov]\nname = me\nconnect = {own}\nindex = {directory}/index\nstate = {directory}/state\n"
                   f"[sync]\ncache = {directory}/cache\ntimeout = 1h\n")
        for i in range(hosts):
            file.write(f"[host h{i}]\nuri = {deaf}\n")
    return path


def stopped_at(server, count, *words):
    """Runs setmov until there are so many connections, all of them open, then ends it."""
    taken = []
    with subprocess.Popen([os.path.join(BUILD, "setmov"), *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as child:
        try:
            server.settimeout(BOUND_S)
            while len(taken) < count:
                taken.append(server.accept()[0])
            child.send_signal(signal.SIGTERM)
            child.wait(BOUND_S)
        except (TimeoutError, subprocess.TimeoutExpired) as error:
            child.kill()
            sys.exit(f"setmov {words[0]}: {len(taken)} of {count} connections: {error!r}")
        if child.returncode == 0:
            sys.exit(f"setmov {words[0]}: ended well: {child.stderr.read()}")
    for connection in taken:
        connection.close()


def main():
    with tempfile.TemporaryDirectory() as directory, socket.create_server(("127.0.0.1", 0), backlog=HOSTS) as server:
        deaf = f"qemu+tcp://127.0.0.1:{server.getsockname()[1]}/system"
        stopped_at(server, HOSTS, "sync", "--config", configure(directory, "qemu+tcp://127.0.0.1:1/system", deaf, HOSTS))
        stopped_at(server, 1, "choose", "vm1", "--config", configure(directory, deaf, deaf, 1))
    print("sync asks many at once; choose can be stopped")


main()

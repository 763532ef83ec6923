#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A libvirt that takes connections and never answers costs neither the host's values nor the stop."""

import socket
import sys
import tempfile
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from collectd_run import HOST, Collectd, poll  # noqa: E402


def accept_forever(listener, connections):
    while True:
        try:
            connections.append(listener.accept()[0])
        except OSError:
            return


def main():
    with tempfile.TemporaryDirectory(prefix="setmov.") as directory, \
            socket.socket(socket.AF_UNIX) as listener:
        path = f"{directory}/libvirt-sock"
        listener.bind(path)
        listener.listen(16)
        connections = []
        threading.Thread(target=accept_forever, args=(listener, connections), daemon=True).start()

        options = f'Connection "qemu+unix:///system?socket={path}"\n'
        with Collectd(setmov=options, writers=("csv",)) as collectd:
            collectd.wait_for_values(f"{HOST}/setmov-host/percent-cpu", 6)
            ups = collectd.values(f"{HOST}/setmov-self/gauge-up")
            assert len(ups) >= 6 and set(ups.values()) == {(0,)}, ups
            assert connections, "the plugin did not even connect"
            counts = collectd.values(f"{HOST}/setmov-host/count-vms")
            assert all(value != value for value, in counts.values()), counts  # NaN
            status = collectd.stop()
            assert status == 0, status
            lost = [line for line in collectd.setmov_lines() if line[0] == "warning"]
            assert len(lost) == 1, collectd.setmov_lines()

        # A stop in the middle of a long cycle does not wait for its deadline.
        del connections[:]
        with Collectd(setmov=options + "Deadline 9\n", interval=10, writers=("csv",)) as collectd:
            poll("connection", lambda: connections)
            assert collectd.stop() == 0
            assert not [line for line in collectd.setmov_lines() if line[0] != "info"], collectd.log()
            assert not [name for name in collectd.series() if "setmov-self" in name]
        listener.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    main()

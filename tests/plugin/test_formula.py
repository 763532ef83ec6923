#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens in /proc between two cycles is what a real collectd stores, by hand-made numbers."""

import math
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from collectd_run import HOST, Collectd, poll  # noqa: E402

NET = ("Inter-|   Receive                                                |  Transmit\n"
       " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs "
       "drop fifo colls carrier compressed\n"
       "  eth0: {0} {1} 0 0 0 0 0 0 {2} {3} 0 0 0 0 0 0\n")
# Half of the time in a guest, a quarter idle, a quarter waiting for I/O: 75 % busy.
STAT = "cpu  {0} 0 0 {1} {2} 0 0 0 {0} 0\ncpu0 {0} 0 0 {1} {2} 0 0 0 {0} 0\n"
DISK = "   8       0 sda {0} 0 {1} {2} 0 0 0 0 0 0 0\n"


def write(path, text):
    """In one step, so that no cycle sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text)
    os.replace(temporary, path)


def write_tree(proc, late):
    write(proc / "meminfo", "MemTotal: 8000 kB\nMemFree: 2000 kB\n")
    write(proc / "partitions", "major minor  #blocks  name\n\n   8        0    1000000 sda\n")
    write(proc / "net/dev", NET.format(*((12_500_000_000, 10_000_000, 5000, 50) if late
                                         else (0, 0, 5000, 50))))
    write(proc / "diskstats", DISK.format(*((110, 4096, 150) if late else (100, 2048, 100))))
    write(proc / "stat", STAT.format(*((1200, 1100, 1100) if late else (1000, 1000, 1000))))


def known(collectd, name):
    return [value for value in collectd.values(f"{HOST}/setmov-host/{name}").values()
            if not math.isnan(value[0])]


def main():
    with Collectd(setmov="", writers=("csv",)) as probe:
        directory = probe.directory  # only to have one that is removed at the end
        proc = directory / "proc"
        write_tree(proc, late=False)
        options = f'CollectVMs false\nProcPath "{proc}"\nSysPath "{directory}"\n'
        with Collectd(setmov=options, writers=("csv",)) as collectd:
            cycles = f"{HOST}/setmov-host/percent-memory"
            collectd.wait_for_values(cycles, 2)
            write_tree(proc, late=True)
            poll("figure of the change", lambda: known(collectd, "percent-cpu"))
            collectd.wait_for_values(cycles, len(collectd.values(cycles)) + 2)
            assert collectd.stop() == 0

            # No CPU time passes in the cycles before and after: there is one figure.
            assert known(collectd, "percent-cpu") == [(75,)], known(collectd, "percent-cpu")
            assert known(collectd, "percent-cpu_guest") == [(50,)]
            assert known(collectd, "percent-cpu_user") == [(0,)]
            assert set(known(collectd, "percent-memory")) == {(75,)}
            (read, written), = [v for v in known(collectd, "setmov_disk-sda") if v[0] > 0]
            assert written == 0 and read > 0
            latencies = known(collectd, "setmov_latency-sda")
            assert latencies == [(0.005, latencies[0][1])], latencies
            assert math.isnan(latencies[0][1])
            sizes = known(collectd, "setmov_packet_size-eth0")
            assert [size[0] for size in sizes] == [10020], sizes
            # 100 Gbit/s, over a second or so: far above what a standard type can hold.
            (bits, sent), = [v for v in known(collectd, "setmov_bits-eth0") if v[0] > 0]
            (packets, _), = [v for v in known(collectd, "setmov_packets-eth0") if v[0] > 0]
            assert sent == 0 and abs(bits / (packets * 10020) - 1) < 1e-6, (bits, packets)
            counters = collectd.values(f"{HOST}/setmov-host/if_octets-eth0")
            assert counters[max(counters)] == (12_500_000_000, 5000), counters


if __name__ == "__main__":
    main()

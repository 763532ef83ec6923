#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest moves known bytes and packets: the metrics' integrals say so, live and in RRD files.

Also: every value in the RRDs is the value that was dispatched (the csv plugin's).
"""
import math
import os
import subprocess
import time

import bed

WRITTEN = 24 * 1024 * 1024 + 512
READ = 8 * 1024 * 1024
PACKETS, FRAME = 4000, 700


def disk(name, direction):
    return lambda sample: bed.by_name(bed.by_name(sample["vms"], "mover")["disks"], name)[f"{direction}_bytes_per_s"]


def move(host):
    """Evenly over some seconds: then it does not matter that a reading is some ms early or late."""
    host.guest("mover", f"write vda {WRITTEN} 5")
    host.guest("mover", f"read vdb {READ} 5")


def test_disk_live(host):
    stat = bed.Stat(host, "--connect", "qemu:///system", "--interval", 1, "--count", 14, "--all")
    stat.next()
    move(host)
    samples = stat.rest()
    for name, direction, amount in (("vda", "write", WRITTEN), ("vdb", "read", READ), ("vdb", "write", 0)):
        total = bed.integral(samples, disk(name, direction))
        bed.near(total, amount, amount / 100, f"{name}: bytes of {direction}")
        bed.say(f"{name} {direction}: the guest moved {amount}, the metric says {total:.0f}")


def test_network_live(host, overhead):
    """Guest's view: tx is what the guest sent."""
    stat = bed.Stat(host, "--connect", "qemu:///system", "--interval", 1, "--count", 8, "--all", "--overhead", overhead)
    stat.next()
    host.guest("mover", f"send eth0 {PACKETS} {FRAME} 4")
    samples = stat.rest()
    taps = [bed.by_name(sample["vms"], "mover")["interfaces"][0] for sample in samples]
    packets = sum(tap["tx_packets_per_s"] * sample["interval_s"] for tap, sample in zip(taps, samples))
    bits = sum(tap["tx_bits_per_s"] * sample["interval_s"] for tap, sample in zip(taps, samples))
    bed.near(packets, PACKETS, PACKETS / 100, "packets")
    bed.near(bits, PACKETS * (FRAME * 8 + overhead), PACKETS * (FRAME * 8 + overhead) / 100, "bits")
    busy = 0
    for tap in taps:
        bed.near(tap["rx_packets_per_s"], 0, 0, "packets received")
        bed.near(tap["rx_bits_per_s"], 0, 0, "bits received")
        bed.require(tap["rx_packet_bits"] is None, "a packet size without packets")
        if tap["tx_packets_per_s"] > 0:
            busy += 1
            # Formulas 6 and 7 exactly, but for the printed digits.
            bed.near(tap["tx_packet_bits"], FRAME * 8 + overhead, 0.001, "packet size")
            bed.near(tap["tx_bits_per_s"], tap["tx_packets_per_s"] * (FRAME * 8 + overhead), 0.001 * (FRAME * 8 + overhead),
                     "bits a second")
    bed.require(busy > 0, "no sample with packets")
    bed.say(f"network, overhead {overhead}: sent {PACKETS} packets of {FRAME} bytes, the metric says "
            f"{packets:.1f} packets, {bits:.0f} bits")


def counted(rows, column):
    return rows[-1][column] - rows[0][column]


def rrd_rows(path, start, end):
    """{time: values} at 1 s of `rrdtool fetch`, unknown as NaN."""
    text = subprocess.run(["rrdtool", "fetch", path, "AVERAGE", "--resolution", "1", "--start", str(start), "--end",
                           str(end)], stdout=subprocess.PIPE, text=True, check=True,
                          env={**os.environ, "LC_ALL": "C"}).stdout
    rows = {}
    for line in text.splitlines()[2:]:
        moment, values = line.split(":", 1)
        rows[int(moment)] = tuple(float(value) for value in values.split())
    return rows


def compare_rrd(collectd, host_name, plugin, series, start, end):
    """How many values of the csv file are, to 6 digits, those of the RRD."""
    instance = plugin.partition("-")[2]
    rows = collectd.series(host_name, instance, series)
    path = os.path.join(collectd.dir, "rrd", host_name, plugin, series + ".rrd")
    bed.require(os.path.exists(path), f"no {path}")
    fetched = rrd_rows(path, start, end)
    derive = series.split("-")[0] in ("if_octets", "if_packets", "disk_octets", "disk_ops", "virt_cpu_total")
    same = 0
    for earlier, row in zip(rows, rows[1:]):
        if not start < row[0] <= end:
            continue
        values = row[1:]
        if derive:
            values = tuple((b - a) / (row[0] - earlier[0]) for a, b in zip(earlier[1:], row[1:]))
        for ours, theirs in zip(values, fetched.get(int(row[0]), (math.nan,) * len(values))):
            if math.isnan(ours):
                bed.require(math.isnan(theirs), f"{path}: {theirs} at {row[0]}, dispatched was NaN")
                continue
            # csv has 6 digits behind the point
            bed.near(theirs, ours, abs(ours) * 1e-6 + 1e-6, f"{host_name}/{plugin}/{series} at {row[0]:.0f}")
            same += 1
    return same


def test_rrd(host):
    collectd = bed.Collectd(host, rrd=True)
    bed.poll(lambda: len(collectd.vm("mover", "disk_octets-vda")) > 2, 30, "values of the guest")
    move(host)
    host.guest("mover", f"send eth0 {PACKETS} {FRAME} 4")
    count = len(collectd.vm("mover", "disk_octets-vda"))
    bed.poll(lambda: len(collectd.vm("mover", "disk_octets-vda")) > count + 2, 30, "values after the work")
    collectd.stop()
    bed.require(not collectd.errors(), f"collectd's log: {collectd.errors()}")

    rows = collectd.vm("mover", "disk_octets-vda")
    bed.require(counted(rows, 2) == WRITTEN, f"counter of bytes written: {counted(rows, 2)}, the guest wrote {WRITTEN}")
    start, end = int(rows[1][0]), int(rows[-1][0])
    for step in zip(rows, rows[1:]):
        bed.require(step[1][0] - step[0][0] == 1, f"a sample is missing after {step[0][0]:.0f}")
    gauge = rrd_rows(os.path.join(collectd.dir, "rrd/mover/setmov/setmov_disk-vda.rrd"), start, end)
    total = sum(values[1] for moment, values in gauge.items() if start < moment <= end)
    bed.near(total, WRITTEN, WRITTEN / 100, "bytes written, from the RRD of setmov_disk-vda")
    (interface,) = {name for _, plugin, name in collectd.series_names()
                    if plugin == "setmov" and name.startswith("if_packets-")
                    and counted(collectd.vm("mover", name), 2) > 0}
    rows = collectd.vm("mover", interface)
    bed.require(counted(rows, 2) == PACKETS, f"counter of packets sent: {counted(rows, 2)}")
    bed.say(f"RRD: the guest wrote {WRITTEN}, the integral of setmov_disk says {total:.0f}")

    same = files = 0
    for host_name, plugin, series in collectd.series_names():
        kind = series.split("-")[0]
        # The first and the last row of an RRD made just now are half an interval.
        if kind.startswith("setmov_") or kind in ("percent", "memory", "gauge", "disk_octets", "if_packets", "count"):
            same += compare_rrd(collectd, host_name, plugin, series, start, end - 1)
            files += 1
    bed.require(files > 30 and same > 5 * files, f"only {same} values in {files} files")
    bed.say(f"RRD: {same} values in {files} files equal those dispatched")


def run(host):
    host.linux_guests("mover")
    host.guest("mover", "net eth0")
    test_disk_live(host)
    for overhead in (20, 160):
        test_network_live(host, overhead)
    test_rrd(host)


bed.main(run)

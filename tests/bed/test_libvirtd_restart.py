#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""libvirtd is killed and comes back, or is not there when collectd starts: two intervals, one line each."""
import time

import bed

OUTAGE_CYCLES = 8


def disk_rows_since(collectd, moment):
    return [row for row in bed.known(collectd.vm("vm001", "setmov_disk-vda")) if row[0] > moment]


def plugin_lines(collectd):
    """What the plugin says of the connection, without notifications."""
    return [line for line in collectd.log() if "setmov" in line and "Notification" not in line
            and ("libvirt" in line.lower() or "connect" in line.lower())]


def up(collectd):
    rows = collectd.self_metric("gauge-up")
    return rows[-1][1] if rows else None


def wait_cycles(collectd, count):
    now = len(collectd.self_metric("gauge-up"))
    bed.poll(lambda: len(collectd.self_metric("gauge-up")) >= now + count, 30 + 2 * count, f"{count} cycles without libvirtd")


def check_return(collectd, host, what):
    host.libvirtd("start")
    back = time.time()  # virsh has had an answer: it is back since a little earlier
    first = bed.poll(lambda: collectd.vm("vm001", "domain_state") and
                     [row for row in collectd.vm("vm001", "domain_state") if row[0] > back - 2], 30, f"{what}: values")[0]
    # Two whole intervals, from the tick that follows.
    bed.require(first[0] <= back + 3, f"{what}: first value at {first[0]}, libvirtd back at {back:.1f}")
    bed.poll(lambda: disk_rows_since(collectd, back), 15, f"{what}: rates")
    return first[0] - back


def run(host):
    host.idle_guests(2, "vm")
    collectd = bed.Collectd(host)
    bed.poll(lambda: len(disk_rows_since(collectd, 0)) > 1, 30, "first values")
    bed.require(not collectd.errors(), f"collectd's log: {collectd.errors()}")
    before = len(plugin_lines(collectd))

    host.libvirtd("kill")
    bed.poll(lambda: up(collectd) == 0, 15, "gauge-up falls to 0")
    wait_cycles(collectd, OUTAGE_CYCLES)
    lines = plugin_lines(collectd)[before:]
    bed.require(len(lines) == 1, f"one line when libvirtd goes, not {lines}")
    bed.require(collectd.series("bedhost", "host", "percent-cpu")[-1][0] >= time.time() - 3, "host metrics stopped too")
    late = check_return(collectd, host, "after an outage")
    bed.poll(lambda: up(collectd) == 1, 10, "gauge-up is 1 again")
    lines = plugin_lines(collectd)[before:]
    bed.require(len(lines) == 2, f"one line when libvirtd goes and one when it returns, not {lines}")
    collectd.stop()
    rows = [row for row in collectd.vm("vm001", "virt_cpu_total")]
    bed.require(all(a[1] <= b[1] for a, b in zip(rows, rows[1:])), "CPU time of a VM that ran on fell")

    # not there when collectd starts
    host.libvirtd("kill")
    collectd = bed.Collectd(host)
    bed.poll(lambda: up(collectd) == 0, 30, "gauge-up is told without libvirtd")
    wait_cycles(collectd, 3)
    lines = plugin_lines(collectd)
    bed.require(len(lines) == 1, f"one line when libvirtd is absent at the start, not {lines}")
    absent = check_return(collectd, host, "absent at the start")
    bed.poll(lambda: len(plugin_lines(collectd)) == 2, 10, "one line when it is there")
    collectd.stop()
    bed.say(f"libvirtd restart: first value {late:+.1f} s from its return, {absent:+.1f} s when absent at the start; "
            "one log line each way")


bed.main(run)

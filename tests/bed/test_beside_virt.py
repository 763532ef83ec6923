#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""collectd's own virt plugin and setmov in one collectd: both tell the same VM, also after libvirtd came back."""
import csv
import glob
import os

import bed

VIRT = """
LoadPlugin virt
<Plugin virt>
    Connection "qemu:///system"
    RefreshInterval 1
</Plugin>
"""


def virt_rows(collectd, series):
    """What virt stored; it stamps its values with the moment of each."""
    rows = []
    for path in sorted(glob.glob(os.path.join(collectd.dir, "csv/beside001/virt", series + "-????-??-??"))):
        with open(path, encoding="ascii", newline="") as file:
            text = file.read()
        rows += [tuple(map(float, row)) for row in csv.reader(text[:text.rfind("\n") + 1].splitlines()[1:])]
    return rows


def wait_both(collectd, moment, what):
    for name, rows in (("virt", lambda: virt_rows(collectd, "virt_cpu_total")),
                       ("setmov", lambda: collectd.vm("beside001", "virt_cpu_total"))):
        bed.poll(lambda rows=rows: sum(1 for row in rows() if row[0] > moment) > 3, 60, f"{what}: values of {name}")


def check_same(collectd):
    """CPU time only rises, so each of virt's values lies between setmov's before and behind it."""
    ours = collectd.vm("beside001", "virt_cpu_total")
    compared = 0
    for moment, theirs in virt_rows(collectd, "virt_cpu_total"):
        before = [row[1] for row in ours if row[0] <= moment - 1]
        behind = [row[1] for row in ours if row[0] >= moment + 1]
        if before and behind:
            # Times are those of ticks; libvirt counts in 10 ms where it has no cgroup.
            bed.require(before[-1] - 2e7 <= theirs <= behind[0] + 2e7,
                        f"CPU time at {moment}: virt {theirs}, setmov {before[-1]} to {behind[0]}")
            compared += 1
    bed.require(compared > 3, f"only {compared} values to compare")
    return compared


def run(host):
    if not os.path.exists(os.path.join(bed.COLLECTD_PLUGINS, "virt.so")):
        bed.skip("collectd's virt plugin is not installed")
    host.idle_guests(2, "beside")
    collectd = bed.Collectd(host, more=VIRT)
    wait_both(collectd, 0, "start")
    bed.require(not collectd.errors(), f"collectd's log: {collectd.errors()}")
    host.libvirtd("kill")
    bed.poll(lambda: collectd.self_metric("gauge-up")[-1][1] == 0, 15, "gauge-up falls to 0")
    host.libvirtd("start")
    bed.poll(lambda: collectd.self_metric("gauge-up")[-1][1] == 1, 30, "gauge-up is 1 again")
    wait_both(collectd, collectd.self_metric("gauge-up")[-1][0], "libvirtd is back")
    collectd.stop()
    bed.say(f"beside virt: {check_same(collectd)} CPU times agree; both went on after libvirtd was restarted")


bed.main(run)

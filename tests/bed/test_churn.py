#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""VMs start, pause, stop, crash and are killed under a running collectd: values, notifications, log."""
import math
import signal
import time

import bed

RUNNING, PAUSED, SHUTOFF, CRASHED = 1, 3, 5, 6


def states(collectd, name):
    return [(row[0], int(row[1])) for row in collectd.vm(name, "domain_state")]


def wait_state(collectd, name, state, since, what):
    """The state is told at most one interval after it was there: at the first tick that follows."""
    def told():
        return [moment for moment, value in states(collectd, name) if value == state and moment >= math.floor(since)]

    moment = bed.poll(told, 20, f"{what}: state {state} of {name}")[0]
    # The tick after `since`; another one where the cycle of that tick had begun before it.
    bed.require(moment <= math.ceil(since) + 1, f"{what}: told at {moment}, it was so at {since:.2f}")
    return moment


def wait_gone(collectd, name, since, what):
    """The VM's values end (state shut off, or no rows at all), again within an interval."""
    def quiet():
        rows = collectd.self_metric("gauge-up")
        return rows and rows[-1][0] >= since + 3

    bed.poll(quiet, 20, f"{what}: cycles afterwards")
    rows = bed.known(collectd.vm(name, "setmov_percent-cpu"))
    bed.require(rows and rows[-1][0] <= math.ceil(since) + 1, f"{what}: still CPU values at {rows[-1:]}, since {since:.2f}")


class Notifications:
    """What is to be told of one VM, in order; an earlier line never answers for a later event."""

    def __init__(self, collectd, name):
        self.collectd, self.name, self.expected = collectd, name, []

    def told(self):
        """The words behind the VM's name: "started", "stopped" ..."""
        mark = f"VM {self.name}"
        return [line.partition(mark)[2].strip(" :") for line in self.collectd.notifications() if mark in line]

    def expect(self, *words):
        self.expected += words
        bed.poll(lambda: len(self.told()) >= len(self.expected), 15, f"notifications {self.expected}")
        self.check()

    def check(self):
        bed.require(self.told() == self.expected, f"notifications {self.told()}, expected {self.expected}")


def check_no_spike(collectd):
    for host, plugin, series in collectd.series_names():
        kind = series.split("-")[0]
        limit = {"percent": 100.1, "setmov_percent": 105, "setmov_disk": 2e9, "setmov_bits": 1e10,
                 "setmov_packets": 1e6, "setmov_latency": 60}.get(kind)
        if limit is None:
            continue
        for row in collectd.series(host, plugin.partition("-")[2], series):
            for value in row[1:]:
                bed.require(math.isnan(value) or 0 <= value <= limit, f"spike in {host}/{plugin}/{series}: {row}")


def check_counters(collectd, name):
    """Between restarts counters only rise; a restart begins below where the run before ended."""
    rows = collectd.vm(name, "virt_cpu_total")
    bed.require(len(rows) > 4, f"only {len(rows)} rows of {name}'s CPU time")
    falls = sum(1 for earlier, later in zip(rows, rows[1:]) if later[1] < earlier[1])
    bed.require(falls <= 3, f"CPU time of {name} fell {falls} times")


def run(host):
    host.idle_guests(2, "stay")
    collectd = bed.Collectd(host)
    bed.poll(lambda: len(bed.known(collectd.vm("stay001", "setmov_percent-cpu"))) > 1, 30, "first values")

    host.idle_guests(1, "churn")
    name = "churn001"
    notifications = Notifications(collectd, name)
    # start: the state at once, figures at the second reading
    now = time.time()
    first = wait_state(collectd, name, RUNNING, now, "start")
    figures = bed.poll(lambda: bed.known(collectd.vm(name, "setmov_percent-cpu")), 15, "CPU of the new VM")
    bed.require(figures[0][0] <= first + 2, f"first CPU value at {figures[0][0]}, running since {first}")
    notifications.expect("started")

    host.virsh("suspend", name)
    wait_state(collectd, name, PAUSED, time.time(), "suspend")
    notifications.expect("paused")
    host.virsh("resume", name)
    wait_state(collectd, name, RUNNING, time.time(), "resume")
    notifications.expect("resumed")

    host.virsh("destroy", name)
    wait_gone(collectd, name, time.time(), "destroy")
    notifications.expect("stopped")

    host.virsh("start", name)
    wait_state(collectd, name, RUNNING, time.time(), "start again")
    notifications.expect("started")
    # within one interval: off and on again between two readings
    host.virsh("destroy", name)
    host.virsh("start", name)
    wait_state(collectd, name, RUNNING, time.time(), "restart")
    notifications.expect("stopped", "started")
    count = len(collectd.vm(name, "virt_cpu_total"))
    bed.poll(lambda: len(collectd.vm(name, "virt_cpu_total")) > count + 2, 15, "values after the restart")

    host.signal_qemu(name, signal.SIGKILL)
    wait_gone(collectd, name, time.time(), "kill -9 of QEMU")
    notifications.expect("crashed")

    host.virsh("undefine", name)
    count = len(collectd.self_metric("gauge-up"))
    bed.poll(lambda: len(collectd.self_metric("gauge-up")) > count + 2, 15, "cycles after undefine")
    bed.require(states(collectd, name)[-1][0] < collectd.self_metric("gauge-up")[-1][0] - 1, "an undefined VM is told of")

    collectd.stop()
    notifications.check()
    bed.require(not collectd.errors(), f"collectd's log: {collectd.errors()}")
    check_no_spike(collectd)
    check_counters(collectd, name)
    rows = collectd.vm("stay001", "setmov_percent-cpu")
    gaps = [row[0] for earlier, row in zip(rows, rows[1:]) if row[0] - earlier[0] != 1 or math.isnan(row[1])]
    bed.require(not gaps, f"the VM that stayed lost samples at {gaps}")
    bed.say(f"churn: {len(collectd.notifications())} notifications, no error line, no spike, "
            f"{len(rows)} samples of the VM that stayed without a gap")


bed.main(run)

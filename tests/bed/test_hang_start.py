#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A QEMU hangs already when libvirtd is restarted, or when collectd starts: the others are not held up."""
import signal

import bed


def rows_since(collectd, name, moment, series="setmov_disk-vda"):
    return [row for row in bed.known(collectd.vm(name, series)) if row[0] > moment]


def last_tick(collectd):
    rows = collectd.self_metric("gauge-up")
    return rows[-1][0] if rows else 0


def is_silent(collectd, number):
    rows = collectd.self_metric("count-silent_vms")
    return rows and rows[-1][1] == number


def not_answering(collectd, name):
    return [line for line in collectd.notifications() if f"VM {name} does not answer" in line]


def in_a_row(rows):
    return all(b[0] - a[0] == 1 for a, b in zip(rows[-3:], rows[-2:]))


def wait_others(collectd, names, moment, what):
    """Disk figures, which only the monitor tells, of all of them, three seconds in a row."""
    for name in names:
        def has_three(name=name):
            rows = rows_since(collectd, name, moment)
            return len(rows) > 3 and in_a_row(rows)
        bed.poll(has_three, 30, f"{what}: disk figures of {name}, three seconds in a row")


def test_start(host, hung, others):
    """collectd starts while one hangs: it is told as such, the others have all their figures."""
    host.signal_qemu(hung, signal.SIGSTOP)
    collectd = bed.Collectd(host)
    bed.poll(lambda: is_silent(collectd, 1), 30, "collectd started: the VM that hangs is counted")
    wait_others(collectd, others, 0, "collectd started")
    bed.require(not rows_since(collectd, hung, 0), "figures of disks of a VM that hangs")
    return collectd


def test_restart(host, collectd, hung, others):
    """libvirtd is killed and comes back while that one still hangs."""
    host.libvirtd("kill")
    bed.poll(lambda: collectd.self_metric("gauge-up")[-1][1] == 0, 15, "gauge-up falls to 0")
    host.libvirtd("start")
    bed.poll(lambda: collectd.self_metric("gauge-up")[-1][1] == 1, 20, "gauge-up is 1 again")
    back = last_tick(collectd)
    wait_others(collectd, others, back, "libvirtd restarted")
    bed.poll(lambda: is_silent(collectd, 1), 30, "libvirtd restarted: the VM that hangs is counted")
    bed.require(len(not_answering(collectd, hung)) <= 2, f"told again and again: {not_answering(collectd, hung)}")


def run(host):
    names = host.idle_guests(3, "late")
    hung, others = names[0], names[1:]
    collectd = test_start(host, hung, others)
    test_restart(host, collectd, hung, others)

    host.signal_qemu(hung, signal.SIGCONT)
    bed.poll(lambda: is_silent(collectd, 0), 30, "all VMs answer")
    moment = last_tick(collectd)
    wait_others(collectd, names, moment, "it goes on")
    lines = [line for line in collectd.errors() if "connect" not in line.lower() and "libvirt" not in line.lower()
             and "Notification" not in line]
    bed.require(not lines, f"collectd's log: {lines}")
    collectd.stop()
    bed.say("hang: one QEMU hung when collectd started and when libvirtd was restarted; the others had their figures")


bed.main(run)

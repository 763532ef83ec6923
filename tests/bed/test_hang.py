#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMUs that hang (SIGSTOP): the other VMs go on, the hung one is reported, collectd can be stopped."""
import math
import signal

import bed

STOP_SECONDS = 15  # generous: the point is that it does not wait for the hung QEMU


def lost(collectd, name, start, end):
    """Ticks in (start, end] without a known disk reading of the VM, which only the monitor tells."""
    have = {int(row[0]) for row in bed.known(collectd.vm(name, "setmov_disk-vda"))}
    return [moment for moment in range(int(start) + 1, int(end) + 1) if moment not in have]


def last_tick(collectd):
    return collectd.self_metric("gauge-up")[-1][0]


def wait_ticks(collectd, count):
    now = last_tick(collectd)
    return bed.poll(lambda: last_tick(collectd) >= now + count and last_tick(collectd), 30 + 2 * count, f"{count} cycles")


def wait_silent(collectd, number, what):
    bed.poll(lambda: collectd.self_metric("count-silent_vms")[-1][1] == number, 30, what)


def count_notified(collectd, name, text):
    return sum(1 for line in collectd.notifications() if name in line and text in line.lower())


def run(host):
    names = host.idle_guests(8, "hang")
    collectd = bed.Collectd(host)
    bed.poll(lambda: all(len(bed.known(collectd.vm(name, "setmov_disk-vda"))) > 1 for name in names), 40, "first values")
    others = names[2:]

    # one
    start = last_tick(collectd)
    host.signal_qemu(names[0], signal.SIGSTOP)
    wait_silent(collectd, 1, "one VM reported as not answering")
    end = wait_ticks(collectd, 6) - 1
    for name in others + names[1:2]:
        bed.require(len(lost(collectd, name, start, end)) <= 1, f"one hangs: {name} lost {lost(collectd, name, start, end)}")
    bed.poll(lambda: count_notified(collectd, names[0], "not answer"), 10, "notification of the hung VM")

    # a second one while the first still hangs
    start = last_tick(collectd)
    host.signal_qemu(names[1], signal.SIGSTOP)
    wait_silent(collectd, 2, "two VMs reported as not answering")
    end = wait_ticks(collectd, 6) - 1
    for name in others:
        bed.require(len(lost(collectd, name, start, end)) <= 1, f"two hang: {name} lost {lost(collectd, name, start, end)}")
    bed.require(count_notified(collectd, names[0], "not answer") == 1, "the hung VM is notified more than once")

    # both come back, one after the other
    for number, name in ((1, names[1]), (0, names[0])):
        start = last_tick(collectd)
        host.signal_qemu(name, signal.SIGCONT)
        wait_silent(collectd, number, f"{number} VMs not answering after {name} went on")
        bed.poll(lambda name=name, start=start: not math.isnan(collectd.vm(name, "setmov_disk-vda")[-1][1])
                 and collectd.vm(name, "setmov_disk-vda")[-1][0] > start + 1, 30, f"{name} has disk values again")
        end = wait_ticks(collectd, 2) - 1
        for other in others:
            bed.require(len(lost(collectd, other, start, end)) <= 1, f"after SIGCONT: {other} lost {lost(collectd, other, start, end)}")

    # storage goes away: five at once, more than libvirt calls may be left hanging
    start = last_tick(collectd)
    for name in names[:5]:
        host.signal_qemu(name, signal.SIGSTOP)
    wait_silent(collectd, 5, "five VMs reported as not answering")
    end = wait_ticks(collectd, 6) - 1
    for name in names[5:]:
        bed.require(len(lost(collectd, name, start, end)) <= 2, f"five hang: {name} lost {lost(collectd, name, start, end)}")
    for name in names[:5]:
        host.signal_qemu(name, signal.SIGCONT)
    wait_silent(collectd, 0, "all VMs answer again")
    bed.require(not collectd.errors(), f"collectd's log: {collectd.errors()}")

    # an end while one hangs
    host.signal_qemu(names[0], signal.SIGSTOP)
    wait_silent(collectd, 1, "the VM hangs again")
    seconds = collectd.stop(STOP_SECONDS)
    host.signal_qemu(names[0], signal.SIGCONT)
    bed.say(f"hang: others lost at most one sample each time, two when five hung; collectd stopped in {seconds:.1f} s with a hung QEMU")


bed.main(run)

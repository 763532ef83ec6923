#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A busy guest migrates live between two libvirt hosts; collectd runs on both. Right within an interval, no spike."""
import math
import os
import time

import bed

NAME = "mover"
HERE, THERE = 2, 3  # numbers of the two hosts on the wire
PAUSED, SHUTOFF = 3, 5


def share_images(here, there):
    """Both see the same images, as with shared storage."""
    there.run("mount", "--bind", os.path.join(here.dir, "lib/images"), "/var/lib/libvirt/images")


def state_rows(collectd, state=None):
    return [row for row in collectd.vm(NAME, "domain_state") if state is None or row[1] == state]


def told(collectd):
    mark = f"VM {NAME} "
    return [line.partition(mark)[2] for line in collectd.notifications() if mark in line]


def migrate(here):
    began = time.time()
    here.virsh("migrate", "--live", "--unsafe", NAME, f"qemu+tcp://10.77.0.{THERE}/system", f"tcp://10.77.0.{THERE}")
    return began, time.time()


def check_destination(collectd, began, ended):
    """The state at the tick that follows the arrival, figures one interval later, none of them a spike."""
    bed.poll(lambda: state_rows(collectd, 1), 20, "the guest runs at the destination")
    arrived = state_rows(collectd, 1)[0][0]
    bed.require(math.floor(began) <= arrived <= math.ceil(ended) + 1, f"told at {arrived}, it came before {ended:.2f}")
    rows = collectd.wait_rows(lambda: bed.known(collectd.vm(NAME, "setmov_percent-vcpu")), 4, 20, "CPU at the destination")
    bed.require(rows[0][0] <= arrived + 2, f"first CPU figure at {rows[0][0]}, there since {arrived}")
    bed.require(all(0 <= row[1] <= 110 for row in rows), f"CPU: {rows}")
    bed.require(rows[-1][1] > 20, f"the guest keeps a CPU busy, the figure says {rows}")
    for series in ("setmov_disk-vda", "disk_octets-vda", "memory-actual_balloon", "memory-rss"):
        bed.poll(lambda series=series: collectd.vm(NAME, series), 10, f"{series} at the destination")
    for _, plugin, series in [each for each in collectd.series_names() if each[0] == NAME]:
        limit = {"setmov_percent": 110, "setmov_disk": 1e6, "setmov_bits": 1e6, "setmov_packets": 1e3}.get(series.split("-")[0])
        for row in collectd.series(NAME, plugin.partition("-")[2], series) if limit else ():
            bed.require(all(math.isnan(value) or 0 <= value <= limit for value in row[1:]), f"spike of {series}: {row}")
    return arrived


def run_on(here, there):
    share_images(here, there)
    here.linux_guests(NAME)
    source, destination = bed.Collectd(here), bed.Collectd(there)
    here.guest(NAME, "burn 60")
    bed.poll(lambda: len(bed.known(source.vm(NAME, "setmov_percent-vcpu"))) > 1, 30, "CPU at the source")
    bed.poll(lambda: len(destination.self_metric("gauge-up")) > 1, 30, "cycles at the destination")
    bed.require(not state_rows(destination), "the guest is at the destination before it goes there")
    began, ended = migrate(here)
    arrived = check_destination(destination, began, ended)
    bed.poll(lambda: told(source) and told(destination), 20, "both tell it")
    last = source.self_metric("gauge-up")[-1][0]
    bed.poll(lambda: source.self_metric("gauge-up")[-1][0] > last + 2, 20, "cycles at the source")
    source.stop()
    destination.stop()

    bed.require(told(source) == ["migrated to another host"], f"the source tells {told(source)}")
    bed.require(told(destination) == ["migrated to this host"], f"the destination tells {told(destination)}")
    gone = bed.known(source.vm(NAME, "setmov_percent-vcpu"))[-1][0]
    bed.require(gone <= math.ceil(ended) + 1, f"figures at the source at {gone}, it left before {ended:.2f}")
    for collectd in (source, destination):
        bed.require(not collectd.errors(), f"collectd's log: {collectd.errors()}")
    bed.say(f"migration of {ended - began:.1f} s: told at the destination {arrived - ended:+.1f} s from its end, "
            f"last figure at the source {gone - ended:+.1f} s; one event on each side")


def run(switch):
    hosts = []
    try:
        for number in (HERE, THERE):
            hosts.append(bed.Host("--network", f"{switch.dir}/{number}"))
        run_on(*hosts)
    finally:
        for host in hosts:
            host.down()


bed.main(run, ("--no-libvirtd",))

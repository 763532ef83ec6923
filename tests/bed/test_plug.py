#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""An interface is plugged into a running guest and out again: its figures come and go, no other's are lost."""
import math

import bed

PACKETS, FRAME = 2000, 500
MAC = "52:54:00:77:aa:bb"


def interfaces(host):
    """{MAC: name on the host} as libvirt says."""
    return {line.split()[4]: line.split()[0] for line in host.virsh("domiflist", "plugged").splitlines() if line.strip()}


def last_tick(collectd):
    return collectd.self_metric("gauge-up")[-1][0]


def wait_cycles(collectd, count):
    now = last_tick(collectd)
    bed.poll(lambda: last_tick(collectd) >= now + count, 30, f"{count} cycles")


def attach(host, collectd):
    """Plugs; returns the new tap's name once its figures are there."""
    host.virsh("attach-interface", "plugged", "bridge", "bed0", "--model", "virtio", "--mac", MAC, "--live")
    plugged = last_tick(collectd)
    tap = interfaces(host)[MAC]
    rows = bed.poll(lambda: bed.known(collectd.vm("plugged", f"setmov_packets-{tap}")), 20, f"figures of {tap}")
    # A counter in the first cycle that begins after it, a figure in the one that follows.
    bed.require(rows[0][0] <= plugged + 3, f"{tap}: first figure at {rows[0][0]}, plugged after the tick of {plugged}")
    bed.require(all(value == 0 for value in rows[0][1:]), f"{tap} begins with {rows[0]}")
    return tap


def send(host, collectd, tap):
    """The guest's new interface is eth2; what it sends is what the metric says."""
    def there():
        try:
            return host.guest("plugged", "net eth2")
        except bed.Failed:
            return None

    bed.poll(there, 30, "eth2 in the guest")
    first = last_tick(collectd)
    host.guest("plugged", f"send eth2 {PACKETS} {FRAME} 3")
    wait_cycles(collectd, 2)
    rows = [row for row in collectd.vm("plugged", f"setmov_packets-{tap}") if row[0] >= first]
    total = sum(row[2] for row in rows if not math.isnan(row[2]))
    # Readings are a second apart to a few ms.
    bed.near(total, PACKETS, PACKETS / 50, f"packets sent through {tap}")
    counters = collectd.vm("plugged", f"if_packets-{tap}")
    bed.require(counters[-1][2] - counters[0][2] == PACKETS, f"{tap} counts {counters[-1][2] - counters[0][2]} packets")
    octets = collectd.vm("plugged", f"if_octets-{tap}")
    bed.require(octets[-1][2] - octets[0][2] == PACKETS * FRAME, f"{tap} counts {octets[-1][2] - octets[0][2]} bytes")


def check_others(collectd, taps):
    """Every second, known from the second one on."""
    for series in [f"{kind}-{tap}" for tap in taps for kind in ("setmov_packets", "if_octets")] + ["setmov_disk-vda"]:
        rows = collectd.vm("plugged", series)
        gaps = [b[0] for a, b in zip(rows, rows[1:]) if b[0] - a[0] != 1 or math.isnan(b[1])]
        bed.require(len(rows) > 8 and not gaps, f"{series}: {len(rows)} rows, gaps at {gaps}")


def run(host):
    host.linux_guests("plugged")
    taps = sorted(interfaces(host).values())
    collectd = bed.Collectd(host)
    bed.poll(lambda: len(bed.known(collectd.vm("plugged", f"setmov_packets-{taps[0]}"))) > 1, 30, "first values")
    tap = attach(host, collectd)
    send(host, collectd, tap)

    host.virsh("detach-interface", "plugged", "bridge", "--mac", MAC, "--live")
    bed.poll(lambda: MAC not in interfaces(host), 30, "the guest lets its interface go")
    wait_cycles(collectd, 1)
    gone = last_tick(collectd)
    wait_cycles(collectd, 3)
    for kind in ("if_octets", "setmov_packets"):
        last = collectd.vm("plugged", f"{kind}-{tap}")[-1][0]
        bed.require(last <= gone, f"{kind}-{tap} is told at {last}, it was gone before {gone}")
    collectd.stop()
    check_others(collectd, taps)
    bed.require(not collectd.errors() and not collectd.notifications(),
                f"collectd's log: {collectd.errors()} {collectd.notifications()}")
    bed.say(f"plug: {tap} came and went with {PACKETS} packets counted; {', '.join(taps)} and vda without a gap")


bed.main(run)

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""BalloonPeriod with a real guest: its memory is told at the period, and is what the guest itself says."""
import bed

HELD = 32 * 2**20


def memory(host):
    """What the guest reads from its own /proc/meminfo: (total, free)."""
    total, free, _ = host.guest("report", "memory")[-3:]
    return int(total), int(free)


def rows_since(collectd, series, moment):
    return [row for row in bed.known(collectd.vm("report", series)) if row[0] > moment]


def wait_unused(collectd, low, high, what):
    """The first row of memory-unused within the bounds."""
    return bed.poll(lambda: [row for row in collectd.vm("report", "memory-unused") if low <= row[1] <= high], 30, what)[0]


def wait_percent(collectd, expected):
    bed.poll(lambda: abs(bed.known(collectd.vm("report", "percent-memory"))[-1][1] - expected) < 4, 30,
             f"percentage of memory: {expected:.1f}")


def period(host):
    text = host.virsh("dumpxml", "report")
    return "<stats period='2'/>" in text


def last_report(host):
    return int(host.domstats("--balloon")["report"]["balloon.last-update"])


def run(host):
    host.linux_guests("report")
    bed.require(not period(host), "the guest has a period before collectd sets one")
    # A guest tells its memory once as it boots, and never again without a period.
    booted = last_report(host)
    host.guest("report", f"hold {HELD}")
    collectd = bed.Collectd(host, "BalloonPeriod 2")
    reports = set()

    def several_reports():
        reports.add(last_report(host))
        return len(reports - {booted}) >= 3

    bed.poll(several_reports, 30, "reports of the guest")
    reports = sorted(reports - {booted})
    gaps = [b - a for a, b in zip(reports, reports[1:])]
    bed.require(period(host), "the period was not set")
    total, free = memory(host)
    wait_unused(collectd, free - 4 * 2**20, free + 4 * 2**20, "the memory that the guest holds")
    available = collectd.vm("report", "memory-available")[-1][1]
    bed.near(available, total, 2**20, "available memory, against the guest's MemTotal")
    wait_percent(collectd, 100 * (total - free) / total)

    # It goes on reporting: what the guest takes is seen, and all values are there every second.
    host.guest("report", f"hold {HELD // 2}")
    total, free = memory(host)
    row = wait_unused(collectd, free - 4 * 2**20, free + 4 * 2**20, "the memory that the guest took")
    rows = collectd.wait_rows(lambda: rows_since(collectd, "percent-memory", row[0]), 4, 20, "values every second")
    wait_percent(collectd, 100 * (total - free) / total)
    late = [b[0] for a, b in zip(rows, rows[1:]) if b[0] - a[0] != 1]
    bed.require(not late, f"gaps of percent-memory before {late}")
    bed.require(not collectd.errors(), f"collectd's log: {collectd.errors()}")
    collectd.stop()
    bed.say(f"balloon: {available:.0f} of {total} bytes available, {row[1]:.0f} unused, "
            f"the guest says {free} free; reports {gaps} s apart")


bed.main(run)

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever goes wrong with setmov migrate: one VM, all of its bytes, nothing left behind. All of it."""
# test-timeout: 2400
# test-long
import sys

import migrate_failures as failures
import three_hosts
from migrate_failures import Case

PHASES = ("freezing", "reading", "planning", "sending", "building", "moving", "finishing")


def run(hosts):
    failures.configure(hosts)
    case = Case(hosts, failures.make_guest(hosts.alpha, "vm1"), hosts.alpha, hosts.beta)
    only = sys.argv[1:]
    for kill in (failures.kill_setmov, failures.kill_libvirtd_here, failures.kill_libvirtd_there, failures.kill_qemu_here):
        for phase in PHASES:
            if not only or f"{kill.__name__}:{phase}" in only or kill.__name__ in only or phase in only:
                failures.kill_at(case, phase, kill)
    if not only or "kill_qemu_there" in only:
        failures.kill_at(case, "moving", failures.kill_qemu_there)


three_hosts.main(run)

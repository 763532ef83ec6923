#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes wrong with setmov migrate, some of all kinds (test_migrate_all.py has them all): one VM, all of its bytes, nothing left."""
# test-timeout: 400
import migrate_failures as failures
import migrate_hostile as hostile
import three_hosts
from migrate_failures import Case


def run(hosts):
    failures.configure(hosts)
    case = Case(hosts, failures.make_guest(hosts.alpha, "vm1"), hosts.alpha, hosts.beta)
    failures.kill_at(case, "sending", failures.kill_qemu_here)
    failures.kill_at(case, "building", failures.kill_setmov)
    failures.kill_at(case, "moving", failures.kill_libvirtd_there)
    hostile.check_hook_killed(case, "builder")
    hostile.check_part(case, "altered in a bit", hostile.flip)
    hostile.check_full(case, three_hosts.IMAGES, True)
    hostile.check_lost_donor(case)
    hostile.check_taken_name(case, True)


three_hosts.main(run)

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever goes wrong with setmov migrate: one VM, all of its bytes, nothing left behind. All of it; words choose."""
# test-timeout: 2400
# test-long
import sys

import migrate_failures as failures
import migrate_hostile as hostile
import three_hosts
from migrate_failures import Case

PHASES = ("freezing", "reading", "planning", "sending", "building", "moving", "finishing")


def cases(case):
    """(name, what is done)"""
    for kill in (failures.kill_setmov, failures.kill_libvirtd_here, failures.kill_libvirtd_there, failures.kill_qemu_here):
        for phase in PHASES:
            if (kill, phase) != (failures.kill_qemu_here, "finishing"):
                yield f"{kill.__name__} {phase}", lambda kill=kill, phase=phase: failures.kill_at(case, phase, kill)
    yield "kill_qemu_there moving", lambda: failures.kill_at(case, "moving", failures.kill_qemu_there)
    for which in ("hook", "builder"):
        yield f"kill_hook {which}", lambda which=which: hostile.check_hook_killed(case, which)
    yield "part cut", lambda: hostile.check_part(case, "cut short", hostile.cut)
    yield "part flip", lambda: hostile.check_part(case, "altered in a bit", hostile.flip)
    yield "plan", lambda: hostile.check_plan(case)
    for path in (three_hosts.IMAGES, failures.INCOMING):
        for late in (False, True):
            if (path, late) != (failures.INCOMING, True):
                yield f"full {path} {late}", lambda path=path, late=late: hostile.check_full(case, path, late)
    yield "donor changes", lambda: hostile.check_changed_donor(case)
    yield "donor lost", lambda: hostile.check_lost_donor(case)
    yield "claim", lambda: hostile.check_false_claim(case)
    for late in (False, True):
        yield f"taken {late}", lambda late=late: hostile.check_taken_name(case, late)
    yield "last answer", lambda: hostile.check_last_answer_lost(case)
    yield "last answer, postcopy", lambda: hostile.check_last_answer_lost_with_post_copy(case)
    yield "last killed", lambda: hostile.check_killed_in_last_phase(case)
    yield "refused behind", lambda: hostile.check_refused_after(case)


def run(hosts):
    failures.configure(hosts)
    case = Case(hosts, failures.make_guest(hosts.alpha, "vm1"), hosts.alpha, hosts.beta)
    several = [("md5", lambda: hostile.check_equal_md5(hosts)), ("at once", lambda: hostile.check_two_at_once(hosts)),
               ("clones", lambda: hostile.check_clones_at_once(hosts)), ("paths", lambda: hostile.check_paths(hosts)),
               ("off early", lambda: hostile.check_off_recovered_early(hosts)),
               ("resumed there", lambda: hostile.check_resumed_there(hosts)),
               ("started after", lambda: hostile.check_started_after(hosts)),
               ("broken", lambda: hostile.check_broken_connection(hosts))]
    for name, check in [*cases(case), ("end", lambda: hostile.remove_guest(case.here, "vm1", case.image)), *several]:
        if not sys.argv[1:] or name == "end" or any(word in name for word in sys.argv[1:]):
            check()


three_hosts.main(run)

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""setmov migrate that is stopped in each phase: the VM goes on where it was, nothing is left, and the next try sends the rest; donors that lie."""
# test-timeout: 400
import fcntl
import json
import os
import re
import signal
import subprocess

import bed
import three_hosts

MEBIBYTE = 1 << 20
IMAGES, STATE = three_hosts.IMAGES, "/var/lib/setmov"
TRACE = re.compile(r"setmov\.org|\.setmov-")  # the kernel may lie in a directory called setmov
CONFIGURATION = """[setmov]
log = /var/log/setmov-test.log
[choose]
max-cpu-percent = 100%
memory-reserve = 0
space-reserve = 0
[host alpha]
uri = qemu+tcp://alpha/system
[host beta]
uri = qemu+tcp://beta/system
"""


def configure(host):
    path = host.path("/etc/setmov/setmov.conf")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(CONFIGURATION)


def files(host, directory):
    path = host.path(directory)
    return sorted(os.listdir(path)) if os.path.isdir(path) else []


def undone(hosts, what):
    """As before: but for parts, which serve the next try."""
    alpha, beta = hosts.alpha, hosts.beta
    bed.require(alpha.state("vm1") == "running" and beta.state("vm1") is None,
                f"{what}: {alpha.state('vm1')} here, {beta.state('vm1')} there")
    bed.require(files(alpha, IMAGES) == ["vm1.raw"], f"{what}: {files(alpha, IMAGES)}")
    bed.require("vm1.raw" not in files(beta, IMAGES), f"{what}: {files(beta, IMAGES)}")
    bed.require(files(alpha, f"{STATE}/migrations") == [], f"{what}: {files(alpha, STATE + '/migrations')}")
    left = [name for name in files(beta, f"{STATE}/incoming") if not name.startswith("part-")]
    bed.require(not left, f"{what}: {left}")
    for xml in (alpha.virsh("dumpxml", "vm1"), alpha.virsh("dumpxml", "--inactive", "vm1")):
        found = re.findall(r"<source file='(/var/lib/libvirt/images/[^']*)'", xml)
        bed.require(found == [f"{IMAGES}/vm1.raw"] and not TRACE.search(xml), f"{what}: {xml}")
    count = alpha.count("vm1")
    bed.poll(lambda: alpha.count("vm1") > count, 30, f"{what}: vm1 to count on")


def stop_in(hosts, phase, number):
    """SIGINT and the like once that phase is told of; it ends by the signal."""
    process = hosts.alpha.start("setmov", "migrate", "--progress", "json", "--to", "beta", "vm1",
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    seen = []
    for line in process.stdout:
        if not line.startswith("{"):
            continue
        seen.append(json.loads(line)["phase"])
        if seen[-1] == phase:
            os.kill(bed.child_of(process), number)
            break
    bed.require(phase in seen, f"{phase} was not seen: {seen}")
    out, err = process.communicate(timeout=100)
    bed.require(process.returncode in (128 + number, -number), f"stopped in {phase}: status {process.returncode}: {out} {err}")
    undone(hosts, f"stopped in {phase}")


def stops(hosts):
    alpha, beta = hosts.alpha, hosts.beta
    alpha.writers("vm1")
    for host in (alpha, beta):
        host.run("setmov", "index")
    for phase, number in (("freezing", signal.SIGINT), ("reading", signal.SIGTERM), ("planning", signal.SIGHUP)):
        stop_in(hosts, phase, number)
    beta.limit("100mbit")
    stop_in(hosts, "sending", signal.SIGINT)
    beta.limit(None)
    stop_in(hosts, "building", signal.SIGTERM)
    beta.limit("100mbit")
    stop_in(hosts, "moving", signal.SIGINT)
    beta.limit(None)
    alpha.still("vm1")


def reuses(hosts):
    """What was sent by then is not sent again. Once it has moved only the indexing of the old disk is stopped."""
    alpha, beta = hosts.alpha, hosts.beta
    with open(alpha.path(f"{three_hosts.INDEX}/lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = alpha.start("setmov", "migrate", "--json", "--to", "beta", "vm1", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        bed.poll(lambda: beta.state("vm1") == "running" and "vm1.raw" not in files(alpha, IMAGES)
                 and not [name for name in files(alpha, f"{STATE}/migrations") if name.endswith(".journal")], 100, "vm1 to move")
        bed.require(process.poll() is None, "it did not wait for the index")
        os.kill(bed.child_of(process), signal.SIGINT)
        out, err = process.communicate(timeout=100)
    bed.require(process.returncode == 3, f"stopped while indexing: status {process.returncode}: {out} {err}")
    moved = json.loads(out)
    bed.require(moved["moved"] and len(moved["left"]) == 1 and "are not indexed until setmov index runs: stopped" in moved["left"][0], f"{moved}")
    alpha.run("setmov", "index")
    bed.require(moved["blocks"]["reused"] > 50 * MEBIBYTE and moved["bytes"]["parts"] < 10 * MEBIBYTE, f"{moved}")


def change(path, offset, length):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(os.urandom(length))


def lying_donor(hosts):
    """The old image at alpha has changed since it was indexed: what is wrong there is sent, no more."""
    alpha, beta = hosts.alpha, hosts.beta
    old = [name for name in files(alpha, IMAGES) if ".setmov-old-" in name]
    bed.require(len(old) == 1, f"{old}")
    change(alpha.path(f"{IMAGES}/{old[0]}"), 3 * MEBIBYTE + 77, 5)
    change(alpha.path(f"{IMAGES}/{old[0]}"), 20 * MEBIBYTE, 3 * MEBIBYTE)
    done = beta.attempt("setmov", "migrate", "--json", "--to", "alpha", "vm1")
    bed.require(done.status == 0 and "are sent" in done.err, f"{done}")
    moved = json.loads(done.out)
    bed.require(moved["attempts"] == 2 and 3 * MEBIBYTE <= moved["bytes"]["parts"] <= 6 * MEBIBYTE, f"{moved}")
    beta_left = [name for name in files(beta, IMAGES) if ".setmov-old-" not in name]
    bed.require(not beta_left and files(alpha, f"{STATE}/incoming") == [], f"{beta_left} {files(alpha, STATE + '/incoming')}")
    last = alpha.still("vm1")
    alpha.virsh("suspend", "vm1")
    bed.require(alpha.check_disk("vm1", last) == last, "a record is lost")


def run(hosts):
    for host in hosts.all:
        configure(host)
    for test in (stops, reuses, lying_donor):
        test(hosts)
        print(f"ok: {test.__name__}", flush=True)


three_hosts.main(run)

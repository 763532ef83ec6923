#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""setmov migrate: where to, without a word; how far overlays grow; a guest that is too busy for the line; bandwidth; a host that is not configured."""
# test-long
# test-timeout: 500
import json
import os
import time

import bed
import three_hosts

MEBIBYTE = 1 << 20
IMAGES = three_hosts.IMAGES
CONFIGURATION = """[setmov]
log = /var/log/setmov-test.log
[choose]
max-cpu-percent = 100%
memory-reserve = 0
space-reserve = 0
[migrate]
old-images = remove
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


def files(host):
    return sorted(os.listdir(host.path(IMAGES)))


def migrate(host, *words, status=0, text=""):
    done = host.attempt("setmov", "migrate", *words, timeout=200)
    bed.require(done.status == status and text in done.err, f"setmov migrate {words} on {host.name}: {done}")
    return done


def stays(host, other, guest):
    bed.require(host.state(guest) == "running" and other.state(guest) is None, f"{guest}: {host.state(guest)}, {other.state(guest)}")
    bed.require(files(host) == [f"{guest}.raw"] and files(other) == [], f"{files(host)} {files(other)}")
    count = host.count(guest)
    bed.poll(lambda: host.count(guest) > count, 30, f"{guest} to count on")


def chosen(hosts):
    """Without --to: as setmov choose says; one line tells where and why."""
    alpha, beta = hosts.alpha, hosts.beta
    done = migrate(alpha, "vm1")
    bed.require(done.out.startswith("vm1 goes to beta: ") and beta.state("vm1") == "running", f"{done}")
    with open(beta.path("/etc/setmov/setmov.conf"), "a", encoding="utf-8") as file:
        file.write("maintenance = no\n[group apart]\nvms = vm1, other\n")
    with open(beta.path("/etc/setmov/setmov.conf"), encoding="utf-8") as file:
        text = file.read()
    with open(beta.path("/etc/setmov/setmov.conf"), "w", encoding="utf-8") as file:
        file.write(text.replace("[host alpha]", "[host alpha]\nmaintenance = yes"))
    done = migrate(beta, "vm1")
    bed.require(done.out.startswith("vm1 stays: ") and beta.state("vm1") == "running", f"{done}")
    configure(beta)
    migrate(beta, "--to", "alpha", "vm1")


def overlay(hosts):
    """A guest that writes more than it may meanwhile stays."""
    hosts.beta.limit("20mbit")
    migrate(hosts.alpha, "--to", "beta", "--overlay-limit", "1M", "vm1", status=1, text="more than the overlays may grow to")
    hosts.beta.limit(None)
    stays(hosts.alpha, hosts.beta, "vm1")


def bandwidth(hosts):
    """As much as is said, and no more; nothing is lost by it."""
    alpha, beta = hosts.alpha, hosts.beta
    began = time.monotonic()
    done = migrate(alpha, "--to", "beta", "--json", "--pack-bandwidth", "80M", "--level", "1", "vm1")
    seconds = json.loads(done.out)["seconds"]
    parts = json.loads(done.out)["bytes"]["parts"]
    bed.require(seconds["sending"] > 0.8 * parts * 8 / 80e6, f"{parts} bytes in {seconds}, {time.monotonic() - began}")
    migrate(beta, "--to", "alpha", "vm1")


def busy(hosts):
    """Memory that changes faster than the line takes it: given up, or the guest stands still, as is said."""
    alpha, beta = hosts.alpha, hosts.beta
    alpha.guest("vm1", "hold 64")
    alpha.guest("vm1", "burn 600")
    alpha.limit("60mbit")
    migrate(alpha, "--to", "beta", "--timeout", "4", "--on-timeout", "abort", "vm1", status=1, text="did not end within 4 s")
    stays(alpha, beta, "vm1")
    done = migrate(alpha, "--to", "beta", "--json", "--timeout", "4", "--on-timeout", "suspend", "vm1")
    bed.require(json.loads(done.out)["moved"] and beta.state("vm1") == "running", f"{done}")
    alpha.limit(None)
    beta.limit("60mbit")
    done = migrate(beta, "--to", "alpha", "--json", "--timeout", "4", "--on-timeout", "postcopy", "vm1")
    bed.require(json.loads(done.out)["moved"] and alpha.state("vm1") == "running", f"{done}")
    beta.limit(None)


def stranger(hosts):
    """A host that no section names: all is sent, and it says so."""
    alpha, beta = hosts.alpha, hosts.beta
    with open(alpha.path("/etc/setmov/setmov.conf"), "w", encoding="utf-8") as file:
        file.write(CONFIGURATION[:CONFIGURATION.index("[host")])
    done = migrate(alpha, "--to", "qemu+tcp://beta/system", "--json", "vm1", text="what it has is not known, all is sent")
    bed.require(json.loads(done.out)["blocks"]["local"] == 0 and beta.state("vm1") == "running", f"{done}")
    last = beta.still("vm1")
    beta.virsh("suspend", "vm1")
    bed.require(beta.check_disk("vm1", last) == last, "a record is lost")


def run(hosts):
    for host in (hosts.alpha, hosts.beta):
        configure(host)
    hosts.alpha.writers("vm1")
    for host in (hosts.alpha, hosts.beta):
        host.run("setmov", "index")
    for test in (chosen, overlay, bandwidth, busy, stranger):
        test(hosts)
        print(f"ok: {test.__name__}", flush=True)


three_hosts.main(run)

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The hook between real daemons: what it lets in, advises and refuses, what virsh shows, and that nothing else is harmed."""
# test-timeout: 400
import os
import re
import shutil
import time

import bed
import three_hosts

CONF, LOG, HOOK = "/etc/setmov/setmov.conf", "/var/log/setmov-hook.log", "/etc/libvirt/hooks/qemu.d/setmov"
# Every host of the bed reports the machine's own memory, space and load.
TEXT = """[choose]
memory-reserve = 0
space-reserve = 0
max-cpu-percent = 100
[host alpha]
uri = qemu+tcp://alpha/system
[host beta]
uri = qemu+tcp://beta/system
[host gamma]
uri = qemu+tcp://gamma/system
[hook]
margin = 1M 10%
log = {log}
policy = {policy}
{more}
"""
AFTER = """#!/bin/sh
[ "$2 $3" = "migrate begin" ] && cat >/var/lib/setmov/after.xml
exit 0
"""
OFFLINE = ("--offline", "--persistent")


def configure(hosts, policy, more=""):
    for host in hosts.all:
        os.makedirs(os.path.dirname(host.path(CONF)), exist_ok=True)
        with open(host.path(CONF), "w", encoding="utf-8") as file:
            file.write(TEXT.format(log=LOG, policy=policy, more=more))


def catalog(hosts):
    """As the timers keep it."""
    for host in hosts.all:
        host.run("setmov", "index", "--quiet")
    for host in hosts.all:
        host.run("setmov", "sync")


def logged(host):
    with open(host.path(LOG), encoding="utf-8") as file:
        return file.read().splitlines()[-1]


def passes(source, guest, to, said, *flags):
    done = source.migrate(guest, to, *flags)
    bed.require(done.status == 0, f"{guest} from {source.name} to {to.name}: {done.err}")
    bed.require(re.search(said, logged(to)), f"the log of {to.name}: {logged(to)}")


def refused(source, guest, to, said, *flags):
    """Stays, and runs on; virsh shows the line, whole and alone. Returns it."""
    before = source.state(guest)
    done = source.migrate(guest, to, *flags)
    bed.require(done.status != 0, f"{guest} came to {to.name}")
    line, = [line for line in done.err.splitlines() if "setmov re" in line]
    line = line[line.index("setmov re"):]
    bed.require(re.fullmatch(said, line), f"refused with: {done.err}")
    bed.require(re.search(": refused", logged(to)), f"the log of {to.name}: {logged(to)}")
    bed.require(source.state(guest) == before and to.state(guest) is None, f"{guest} is not where it was")
    if before == "running":
        counted = source.count(guest)
        writes_on(source, guest, counted, "when it was refused")
    return line


def writes_on(host, guest, beyond, when):
    """A guest that boots does not answer yet, or not to all of it."""
    def count():
        try:
            return host.count(guest) > beyond
        except bed.Failed:
            return False
    bed.poll(count, 90, f"{guest} writes on at {host.name} {when}")


# ---- verdicts ----

def worse(here, there, how="refuses"):
    return (rf"setmov {how} vm1: {here} has 0\.00 % of its blocks and needs 6\d\.\dM, "
            rf"{there} has (9\d|100)\.\d\d % and needs (nothing|[\d.]+[kM]), which saves 6\d\.\dM\. .*")


def check_unknown(hosts):
    """Without configuration and catalog, and of a VM that no catalog has."""
    alpha, beta, gamma = hosts.all
    bed.require(not os.path.exists(beta.path(CONF)), "a configuration is there")
    done = alpha.migrate("vm1", beta)
    bed.require(done.status == 0, f"without a configuration: {done.err}")
    configure(hosts, "enforce")
    passes(beta, "vm1", alpha, r": passed: the catalog cannot tell: there is none in /var/lib/setmov/peers")
    catalog(hosts)
    gamma.writers("new")
    passes(gamma, "new", beta, r": passed: the catalog cannot tell: no host is known to have the VM")
    configure(hosts, "enforce", "unknown = refuse")
    refused(beta, "new", alpha, r"setmov refuses new: the catalog of alpha cannot tell where it should go: .*")
    with open(beta.path(CONF), "a", encoding="utf-8") as file:
        file.write("polcy = enforce\n")
    done = alpha.migrate("vm1", beta, *OFFLINE)
    bed.require(done.status == 0, f"with a broken configuration: {done.err}")
    configure(hosts, "enforce")
    beta.virsh("undefine", "vm1")
    beta.virsh("destroy", "new")
    beta.virsh("undefine", "new")
    for host in (beta, gamma):
        os.unlink(host.image("new"))


def check_policies(hosts):
    alpha, beta, gamma = hosts.all
    shutil.copyfile(alpha.image("vm1"), gamma.path(f"{three_hosts.IMAGES}/old.raw"))
    os.unlink(beta.image("vm1"))  # what earlier moves left
    catalog(hosts)
    configure(hosts, "enforce")
    line = refused(alpha, "vm1", beta, worse("beta", "gamma"))
    refused(alpha, "vm1", beta, worse("beta", "gamma"), *OFFLINE)
    configure(hosts, "redirect")
    refused(alpha, "vm1", beta, worse("beta", "gamma", "redirects"))
    uuid = alpha.virsh("domuuid", "vm1").strip()
    request = beta.path(f"{three_hosts.INDEX}/{uuid}.request")
    with open(request, encoding="utf-8") as file:
        text = file.read()
    bed.require(f"vm {uuid} vm1\nholder alpha\nrefuser beta " in text and "\ntarget gamma " in text, f"the request: {text}")
    os.unlink(request)
    configure(hosts, "advise")
    beta.hook("zz-after", AFTER)  # what setmov does not print is no XML for others
    passes(alpha, "vm1", beta, r": passed \(policy advise\), but gamma is the better host: ", *OFFLINE)
    beta.virsh("undefine", "vm1")
    beta.hook("zz-after", None)
    with open(beta.path("/var/lib/setmov/after.xml"), encoding="utf-8") as file:
        bed.require("<name>vm1</name>" in file.read(), "a hook behind setmov's got no XML")
    return line


def check_override(hosts, line):
    """What the refusal says, word by word."""
    alpha, beta, _ = hosts.all
    configure(hosts, "enforce")
    command = line[line.index("To override: ") + len("To override: "):]
    alpha.run("sh", "-c", command)
    passes(alpha, "vm1", beta, r": passed: overridden by <setmov:override/> in the domain's metadata")
    bed.require("override" in beta.virsh("dumpxml", "vm1"), "the override did not come along")
    beta.virsh("metadata", "vm1", "https://setmov.org/xmlns/domain/1", "--remove")
    done = beta.migrate("vm1", alpha)
    bed.require(done.status == 0, f"back to where it was: {done.err}")


def check_right_host(hosts):
    alpha, _, gamma = hosts.all
    catalog(hosts)
    passes(alpha, "vm1", gamma, r" from alpha: passed: gamma has (9\d|100)\.\d\d % of its blocks .*; next beta has ")
    writes_on(gamma, "vm1", gamma.count("vm1"), "when it came")


def check_astray(hosts):
    alpha, beta, _ = hosts.all
    configure(hosts, "enforce", "directories = /srv/vm")
    alpha.writers("stray")
    refused(alpha, "stray", beta, r"setmov refuses stray: its disk vda, /var/lib/libvirt/images/stray\.raw, does not lie in "
            r"/srv/vm \(directories of \[hook\] in beta's setmov\.conf\)\. beta allows no override\.")
    configure(hosts, "enforce")


# ---- what is none of its own ----

def check_unharmed(host, guest):
    """More XML than a pipe holds: the hook reads none of it, which libvirt must not mind."""
    with open(host.path(CONF), "w", encoding="utf-8") as file:
        file.write("[hook\n")
    host.virsh("metadata", guest, "urn:test", "--key", "test", "--set", f"<note>{'x' * 120000}</note>", "--live", "--config")
    bed.require(len(host.virsh("dumpxml", guest)) > 120000, "the XML is not that long")
    host.virsh("suspend", guest)
    host.virsh("resume", guest)
    saved = "/var/lib/libvirt/saved"
    host.virsh("save", guest, saved)
    host.virsh("restore", saved)
    bed.require(host.state(guest) == "running", "after save and restore")
    host.libvirtd("stop")
    host.libvirtd("start")  # `reconnect`, of each guest
    bed.require(host.state(guest) == "running", "after a restart of libvirtd")
    counted = host.count(guest)
    writes_on(host, guest, counted, "after a restart of libvirtd")
    host.virsh("destroy", guest)
    host.virsh("start", guest)
    writes_on(host, guest, counted, "after a start")
    host.virsh("destroy", guest)


def check_found(host):
    """It is the installed file that acts: taken away, nobody refuses."""
    bed.require(os.path.isfile(host.path(HOOK)) and not os.path.islink(host.path(HOOK)), "the hook is no file of its own")


def run(hosts):
    alpha, _, gamma = hosts.all
    began = time.monotonic()
    for host in hosts.all:
        check_found(host)
    alpha.writers("vm1")
    check_unknown(hosts)
    line = check_policies(hosts)
    check_override(hosts, line)
    check_astray(hosts)
    check_right_host(hosts)
    check_unharmed(gamma, "vm1")
    bed.say(f"all of it in {time.monotonic() - began:.0f} s")


three_hosts.main(run)

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A migration that the hook redirects: the request goes where the VM is, and is carried out, once; what is hostile is not."""
# test-timeout: 240
import json
import os
import shutil
import subprocess
import time
import uuid

import bed
import three_hosts

TOOL = os.path.join(os.path.dirname(bed.SETMOV), "tests/helpers/request_tool")
LOG, NOTES = "/var/log/setmov-test.log", "/var/lib/setmov/requests"
# delta is a host of theirs that never was there.
CONFIGURATION = f"""[setmov]
log = {LOG}
[sync]
timeout = 4s
[hook]
policy = POLICY
margin = 1M
[host alpha]
uri = qemu+tcp://alpha/system
[host beta]
uri = qemu+tcp://beta/system
[host gamma]
uri = qemu+tcp://gamma/system
migrate-uri = tcp://gamma
[host delta]
uri = qemu+tcp://10.77.0.99/system
[host resting]
uri = qemu+tcp://10.77.0.98/system
maintenance = yes
[host foreign]
uri = qemu+tcp://10.77.0.97/system
trust-domain = another
"""


def configure(host, policy="off"):
    path = host.path("/etc/setmov/setmov.conf")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(CONFIGURATION.replace("POLICY", policy))


def waiting(host, name=""):
    return [file for file in sorted(os.listdir(host.path(three_hosts.INDEX))) if file.endswith(".request") and name in file]


def put(host, vm, holder, refuser, target, made=-5, expires=600, name=None, age=0, damage=None):
    """A request in a host's index; returns its file's name."""
    text = subprocess.run([TOOL, "request", vm, "a vm", holder, refuser, target, str(made), str(expires)],
                          check=True, stdout=subprocess.PIPE).stdout
    name = name or f"{vm}.request"
    path = host.path(f"{three_hosts.INDEX}/{name}")
    with open(path, "wb") as file:
        file.write(damage(text) if damage else text)
    os.utime(path, (time.time() - age,) * 2)
    return name


def requests(host, status=0):
    """{file: row} of one run."""
    done = host.attempt("setmov", "requests", "--json", timeout=100)
    bed.require(done.status == status, f"setmov requests on {host.name}: {done}")
    return {row["file"]: row for row in json.loads(done.out)["requests"]}


def expect(rows, name, result, text):
    row = rows.get(name, {"result": "nothing", "text": ""})
    bed.require(row["result"] == result and text in row["text"], f"{name}: {row}, expected {result} '{text}'")


def logged(host):
    with open(host.path(LOG), encoding="utf-8") as file:
        return file.read()


def where(hosts, guest):
    return [host.name for host in hosts.all if host.state(guest) == "running"]


def check_bad(host, vm):
    """What cannot be believed is dropped, and says why; what may still be coming in stays."""
    host.run("sh", "-c", "sed s,vm1,off1,g /etc/libvirt/qemu/vm1.xml | sed /uuid/d >/run/off1.xml")
    host.virsh("define", "/run/off1.xml")
    off = host.virsh("domuuid", "off1").strip()

    def other():
        return str(uuid.uuid4())

    cut = {"damage": lambda text: text[:-30], "age": 100}
    expected = {
        put(host, other(), "alpha", "beta", "gamma", -100, -1): ": it expired ",
        put(host, other(), "alpha", "beta", "nowhere"): "names nowhere, which is no configured host",
        put(host, other(), "alpha", "beta", "foreign"): "names foreign, which is no configured host",
        put(host, other(), "alpha", "beta", "resting"): "resting is in maintenance",
        put(host, other(), "alpha", "beta", "alpha"): "to the same host",
        put(host, other(), "alpha", "nowhere", "gamma"): "from nowhere, which is no configured host",
        put(host, other(), "foreign", "alpha", "gamma"): "foreign is said to have the VM",
        put(host, other(), "beta", "gamma", "alpha"): "gamma left it here, but beta is said to have",
        put(host, other(), "alpha", "beta", "gamma"): "not here, and not known to be elsewhere",
        put(host, off, "alpha", "beta", "gamma"): "does not run",
        put(host, vm, "alpha", "beta", "gamma", name=f"{other()}.request"): "its name is not the VM's UUID",
        put(host, vm, "alpha", "beta", "gamma", name="web1.request"): "its name is not the VM's UUID",
        put(host, other(), "alpha", "beta", "gamma", **cut): ".request",
        put(host, other(), "alpha", "beta", "gamma", damage=lambda text: b"", age=100): ".request",
        put(host, other(), "alpha", "beta", "gamma", damage=lambda text: text * 1000, age=100): ".request",
    }
    young = put(host, other(), "alpha", "beta", "gamma", damage=lambda text: text[:-30], age=40)
    link = f"{other()}.request"
    os.symlink("/etc/hostname", host.path(f"{three_hosts.INDEX}/{link}"))
    before = waiting(host)
    listed = host.run("setmov", "requests", "--list").splitlines()
    bed.require(len(listed) == len(before) == len(expected) + 2 and waiting(host) == before, f"--list: {listed}")
    rows = requests(host)
    for name, text in expected.items():
        expect(rows, name, "dropped", text)
        bed.require(name in logged(host) or rows[name].get("uuid", "?") in logged(host), f"{name} is not in the log")
    expect(rows, young, "nothing", "")
    # A link is as old as it is.
    expect(rows, link, "nothing", "")
    bed.require(waiting(host) == sorted([young, link]), f"left: {waiting(host)}")
    os.mkdir(host.path(f"{three_hosts.INDEX}/a.request"))
    os.utime(host.path(f"{three_hosts.INDEX}/a.request"), (1, 1))
    expect(requests(host), "a.request", "dropped", "passed over: it is a directory")
    os.rmdir(host.path(f"{three_hosts.INDEX}/a.request"))
    bed.require(host.state("vm1") == "running", "vm1 did not stay")
    for name in (young, link):
        os.unlink(host.path(f"{three_hosts.INDEX}/{name}"))
    host.virsh("undefine", "off1")


def check_unreachable(hosts, vm):
    """What is for a host that does not answer stays until it does, and costs nobody else anything."""
    kept = put(hosts.beta, str(uuid.uuid4()), "delta", "beta", "gamma")
    name = put(hosts.beta, vm, "alpha", "beta", "gamma", expires=500)
    hosts.alpha.libvirtd("stop")
    rows = requests(hosts.beta, status=1)
    hosts.alpha.libvirtd("start")
    expect(rows, name, "kept", "it is for alpha, which cannot be reached")
    expect(rows, kept, "kept", "it is for delta, which cannot be reached")
    bed.require(waiting(hosts.beta) == sorted([name, kept]), f"kept: {waiting(hosts.beta)}")
    os.unlink(hosts.beta.path(f"{three_hosts.INDEX}/{name}"))
    return kept


def check_refused(hosts, vm):
    """A move that fails is not tried again, and the VM stays."""
    hosts.beta.hook("refuse", "#!/bin/sh\n[ \"$2\" != migrate ] || { echo 'not today' >&2; exit 1; }\n")
    name = put(hosts.alpha, vm, "alpha", "gamma", "beta")
    hosts.alpha.virsh("blockcopy", "vm1", "vda", "--transient-job", f"{three_hosts.IMAGES}/copy.img")
    expect(requests(hosts.alpha, status=1), name, "kept", "kept until it expires: a block job")
    bed.require(waiting(hosts.alpha) == [name], "a request is gone for a job that ends")
    hosts.alpha.virsh("blockjob", "vm1", "vda", "--abort")
    os.unlink(hosts.alpha.path(f"{three_hosts.IMAGES}/copy.img"))
    rows = requests(hosts.alpha, status=1)
    expect(rows, name, "failed", "not moved to beta, as gamma asked: ")
    bed.require("not today" in rows[name]["text"], rows)
    hosts.beta.hook("refuse", None)
    name = put(hosts.alpha, vm, "alpha", "gamma", "beta")
    expect(requests(hosts.alpha), name, "dropped", "another one for this VM was carried out, or tried")
    # Its refuser lets it live longer than this host lets notes.
    os.utime(hosts.alpha.path(f"{NOTES}/{vm}.done"), (time.time() - 80000,) * 2)
    put(hosts.alpha, vm, "alpha", "gamma", "beta", made=-80100, expires=9000)
    expect(requests(hosts.alpha), name, "dropped", "another one for this VM was carried out, or tried")
    bed.require(where(hosts, "vm1") == ["alpha"] and not waiting(hosts.alpha), f"vm1 is on {where(hosts, 'vm1')}")
    os.unlink(hosts.alpha.path(f"{NOTES}/{vm}.done"))


def leave_by_hook(hosts, vm):
    """gamma has nearly all of vm1's disk; beta's hook refuses it, and leaves a request."""
    shutil.copyfile(hosts.alpha.image("vm1"), hosts.gamma.path(f"{three_hosts.IMAGES}/golden.raw"))
    for host in hosts.all:
        host.virsh("pool-refresh", "default")
        host.run("setmov", "index")
    hosts.beta.attempt("setmov", "sync")
    configure(hosts.beta, "redirect")
    done = hosts.alpha.migrate("vm1", hosts.beta)
    bed.require(done.status != 0 and "gamma" in done.err, f"beta took it in: {done}")
    configure(hosts.beta)
    bed.require(f"{vm}.request" in waiting(hosts.beta), f"no request on beta: {done.err}{waiting(hosts.beta)}")


def check_carried_out(hosts, vm, kept):
    """From beta to alpha, and vm1 from alpha to gamma; while it moves, others are served, and no second run."""
    name = f"{vm}.request"
    rows = requests(hosts.beta, status=1)
    expect(rows, name, "forwarded", "forwarded to alpha, which has the VM: beta refused it and names gamma")
    bed.require(waiting(hosts.beta) == [kept] and waiting(hosts.alpha) == [name], "it was not forwarded")
    os.unlink(hosts.beta.path(f"{three_hosts.INDEX}/{kept}"))
    counted = hosts.alpha.count("vm1")
    hosts.gamma.limit("60mbit")
    first = hosts.alpha.start("setmov", "requests", stdout=subprocess.PIPE)
    bed.poll(lambda: os.path.exists(hosts.alpha.path(f"{NOTES}/{vm}.done")), 30, "the move begins")
    busy = hosts.alpha.attempt("setmov", "requests")
    bed.require(busy.status == 0 and "another run is at work" in busy.out, f"a second run: {busy}")
    meanwhile = put(hosts.alpha, str(uuid.uuid4()), "beta", "alpha", "gamma")
    bed.poll(lambda: not waiting(hosts.alpha), 30, "what comes in meanwhile is forwarded")
    still_moving = first.poll() is None
    hosts.gamma.limit(None)
    out = first.communicate(timeout=90)[0]
    bed.require(first.returncode == 0 and f"vm1 ({vm}): moved to gamma, as beta asked, in " in out, out)
    bed.require("sent of disks of 64.0M" in out, f"not by setmov migrate: {out}")
    bed.require(still_moving and "forwarded to beta" in out and out.index("forwarded") < out.index("moved"), out)
    expect(requests(hosts.beta), meanwhile, "dropped", "the VM is not here")
    bed.require(where(hosts, "vm1") == ["gamma"] and hosts.alpha.state("vm1") is None, f"vm1 is on {where(hosts, 'vm1')}")
    bed.require(hosts.gamma.count("vm1") >= counted and "moved to gamma" in logged(hosts.alpha), "not as it was")


def check_second(hosts, vm):
    """vm1 is back on alpha: nobody sends it away again."""
    done = hosts.gamma.migrate("vm1", hosts.alpha)
    bed.require(done.status == 0, f"back to alpha: {done}")
    name = put(hosts.alpha, vm, "alpha", "beta", "gamma")
    expect(requests(hosts.alpha), name, "dropped", "another one for this VM was carried out")
    bed.require(where(hosts, "vm1") == ["alpha"] and not waiting(hosts.alpha), f"vm1 is on {where(hosts, 'vm1')}")


def check_followed(hosts, vm):
    """vm1 has left alpha for gamma, and alpha knows: a request goes after it, once."""
    done = hosts.alpha.migrate("vm1", hosts.gamma)
    bed.require(done.status == 0, f"to gamma: {done}")
    hosts.gamma.run("setmov", "index")
    hosts.alpha.attempt("setmov", "sync", "gamma")
    os.unlink(hosts.alpha.path(f"{NOTES}/{vm}.done"))
    name = put(hosts.alpha, vm, "alpha", "delta", "beta")
    expect(requests(hosts.alpha), name, "forwarded", "forwarded to gamma, which has the VM: delta refused it")
    put(hosts.alpha, vm, "alpha", "delta", "beta")
    expect(requests(hosts.alpha), name, "dropped", "one for it was forwarded a short time ago")
    expect(requests(hosts.gamma), name, "moved", "moved to beta, as delta asked")
    bed.require(where(hosts, "vm1") == ["beta"], f"vm1 is on {where(hosts, 'vm1')}")


def check(hosts):
    for host in hosts.all:
        configure(host)
    hosts.alpha.writers("vm1")
    vm = hosts.alpha.virsh("domuuid", "vm1").strip()
    check_bad(hosts.alpha, vm)
    kept = check_unreachable(hosts, vm)
    check_refused(hosts, vm)
    leave_by_hook(hosts, vm)
    check_carried_out(hosts, vm, kept)
    check_second(hosts, vm)
    check_followed(hosts, vm)
    last = hosts.beta.still("vm1")
    hosts.beta.virsh("suspend", "vm1")
    hosts.beta.check_disk("vm1", last)
    for host in hosts.all:
        left = [name for name in os.listdir(host.path(three_hosts.INDEX)) if name.endswith((".tmp", ".request"))]
        bed.require(not left, f"{host.name}: {left} left over")


three_hosts.main(check)

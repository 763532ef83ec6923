#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""setmov migrate is killed, in each of its phases: setmov recover finds one VM, no byte lost, and leaves nothing behind."""
# test-timeout: 900
# test-long
import json
import os
import signal
import time

import bed
import three_hosts

CONF, STATE, IMAGES = "/etc/setmov/setmov.conf", "/var/lib/setmov", three_hosts.IMAGES
HELD, RELEASED = "/run/setmov-held", "/run/setmov-released"
TEXT = """[setmov]
log = none
[choose]
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
log = none
policy = advise
{more}
"""
# Holds a migration at its beginning there, and then lets it be as it is told.
HOLD = f"""#!/bin/sh
[ "$2 $3" = "migrate begin" ] || exit 0
cat >/dev/null
: >{HELD}
while [ ! -e {RELEASED} ]; do sleep 0.05; done
exit $(cat {RELEASED})
"""
GUEST = "vm1"
# Before its name those hooks run that come before setmov's; behind it, the disks are built already.
BEFORE, BEHIND = "00-hold", "zz-hold"


def configure(hosts, more=""):
    for host in hosts.all:
        os.makedirs(os.path.dirname(host.path(CONF)), exist_ok=True)
        with open(host.path(CONF), "w", encoding="utf-8") as file:
            file.write(TEXT.format(more=more))


def hold(host, name):
    for path in (HELD, RELEASED):
        host.run("rm", "-f", path)
    host.hook(name, HOLD)


def release(host, status=0):
    host.run("sh", "-c", f"echo {status} >{RELEASED}.new; mv {RELEASED}.new {RELEASED}")


class Migration:
    """A `setmov migrate` under way."""

    def __init__(self, source, to, *options):
        self.process = source.start("setmov", "migrate", GUEST, "--to", to.name, "--progress", "json", *options,
                                    stdout=-1, stderr=-1)
        self.seen = []

    def until(self, phase):
        while phase not in self.seen:
            line = self.process.stdout.readline()
            if not line:
                raise bed.Failed(f"it ended before it was {phase}: {self.process.stderr.read()}")
            self.seen.append(json.loads(line)["phase"])
        return self

    def kill(self):
        if self.process.poll() is not None:
            raise bed.Failed(f"it ended by itself: {self.seen} {self.process.returncode} {self.process.communicate()}")
        os.kill(bed.child_of(self.process), signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


def recover(host, *options, status=0):
    """The rows of what came of it."""
    done = host.attempt("setmov", "recover", "--json", *options, timeout=120)
    bed.require(done.status == status, f"setmov recover {options}: {done}")
    return json.loads(done.out)["migrations"] if done.out else done.err


def recovers(host, result, text="", status=0, left=0):
    rows = recover(host, status=status)
    bed.require(len(rows) == 1 and rows[0]["result"] == result and text in rows[0]["text"] and
                len(rows[0]["left"]) == left, f"expected {result} ({text}): {rows}")
    return rows[0]


def recovers_at_last(host, result):
    """Once libvirt has cleared away what is its own, as it does soon after a start."""
    def done():
        row, = recover(host)
        return row if row["result"] != "waits" else None
    row = bed.poll(done, 60, "libvirt to be done with it")
    bed.require(row["result"] == result, row)


def files(host, path):
    try:
        return sorted(os.listdir(host.path(path)))
    except FileNotFoundError:
        return []


def counts_on(host):
    """A guest that boots does not answer yet."""
    def count(beyond=-1):
        try:
            return host.count(GUEST) > beyond
        except bed.Failed:
            return False
    bed.poll(count, 90, f"{GUEST} answers at {host.name}")
    before = host.count(GUEST)
    bed.poll(lambda: count(before), 90, f"{GUEST} writes on at {host.name}")
    return before


def is_clean(source, to):
    """Nothing of a migration is left but parts, which wait for the next one."""
    bed.require(not files(source, f"{STATE}/migrations"), f"journals: {files(source, f'{STATE}/migrations')}")
    for host in (source, to):
        rest = [name for name in files(host, f"{STATE}/incoming") if not name.startswith("part-")]
        bed.require(not rest, f"sent to {host.name}: {rest}")
        rest = [name for name in files(host, IMAGES) if ".setmov-" in name and ".setmov-old-" not in name]
        bed.require(not rest, f"overlays at {host.name}: {rest}")


def is_as_before(source, to, state="running"):
    bed.require(source.state(GUEST) == state and to.state(GUEST) is None,
                f"it is {source.state(GUEST)} and {to.state(GUEST)}")
    bed.require(f"{GUEST}.raw" not in files(to, IMAGES), f"a disk at {to.name}")
    is_clean(source, to)
    chain = source.virsh("domblklist", GUEST)
    bed.require(f"{IMAGES}/{GUEST}.raw" in chain and ".setmov-" not in chain, f"disks: {chain}")
    if state == "running":
        counts_on(source)


def has_moved(source, to):
    bed.require(source.state(GUEST) is None and to.state(GUEST) == "running",
                f"it is {source.state(GUEST)} and {to.state(GUEST)}")
    bed.require(f"{IMAGES}/{GUEST}.raw" in to.virsh("domblklist", GUEST), "its disk")
    bed.require("setmov:plan" not in to.virsh("dumpxml", GUEST), "the plan is still in its metadata")
    is_clean(source, to)
    old = [name for name in files(source, IMAGES) if name.startswith(f"{GUEST}.raw")]
    bed.require(len(old) == 1 and ".setmov-old-" in old[0], f"old disks: {old}")
    counts_on(to)
    for name in old:
        os.unlink(source.path(f"{IMAGES}/{name}"))


def disk_is_whole(host):
    """Every record that the guest has told of is on the disk, which is read from outside."""
    last = host.still(GUEST)
    host.check_disk(GUEST, last)


# ---- what happens when --------------------------------------------------------------------------


def check_prepared(source, to):
    """Before libvirt has it: it is undone, whatever the destination says."""
    for phase in ("freezing", "reading", "planning", "sending"):
        source.limit("20mbit" if phase == "sending" else None)
        migration = Migration(source, to).until(phase)
        if phase == "sending":
            row, = recover(source)
            bed.require(row["result"] == "waits" and "is at work" in row["text"] and row["phase"] == "sending", row)
        migration.kill()
        source.limit(None)
        rows = recover(source, "--list")
        # It may have got no further than to the lock.
        bed.require(len(rows) == 1 or phase == "freezing", f"killed while {phase}: {rows}")
        if rows:
            bed.require(rows[0]["result"] == "waits" and rows[0]["destination"] == to.name, rows)
            again = source.attempt("setmov", "migrate", GUEST, "--to", to.name)
            bed.require(again.status == 1 and f"run setmov recover {GUEST}" in again.err, f"a second one: {again}")
            recovers(source, "undone", "it is here as before (running)")
        else:
            recover(source)
        is_as_before(source, to)
        bed.say(f"killed while {phase}: undone")


def check_names(source, to):
    """By name, by UUID, or not at all."""
    Migration(source, to).until("reading").kill()
    uuid = source.virsh("domuuid", GUEST).strip()
    for name in ("vm2", "00000000-0000-4000-8000-000000000000"):
        bed.require(recover(source, name, status=1) == [], f"{name} has no journal")
    bed.require("no migration of vm2 waits" in source.attempt("setmov", "recover", "vm2").err, "what it says")
    for name in (GUEST, uuid, uuid.upper()):
        row, = recover(source, "--list", name)
        bed.require(row["uuid"] == uuid and row["vm"] == GUEST, row)
    row, = recover(source, uuid)
    bed.require(row["result"] == "undone", row)
    is_as_before(source, to)


def check_recover_killed(source, to):
    """Recovering is killed as well, at one moment after the other."""
    Migration(source, to).until("planning").kill()
    for tenths in range(1, 7):
        process = source.start("setmov", "recover", stdout=-3)
        child = bed.child_of(process)
        time.sleep(tenths * 0.05)  # not to wait for something, but to be at another place each time
        try:
            if child is not None:
                os.kill(child, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
    rows = recover(source)
    bed.require(all(row["result"] == "undone" for row in rows), rows)
    is_as_before(source, to)
    bed.say("recover was killed: undone in the end")


def check_built(source, to):
    """While the hook is at work libvirt goes on by itself; then it fails, or it moves."""
    for name, status, result in ((BEFORE, 1, "undone"), (BEHIND, 1, "undone"), (BEFORE, 0, "finished")):
        hold(to, name)
        migration = Migration(source, to).until("building")
        bed.poll(lambda: to.attempt("test", "-e", HELD).status == 0, 60, "held")
        migration.kill()
        recovers(source, "waits", "libvirt is still moving it")
        bed.require((f"{GUEST}.raw" in files(to, IMAGES)) == (name == BEHIND), f"what is built: {files(to, IMAGES)}")
        release(to, status)
        bed.poll(lambda: settled(source), 120, "libvirt ends it")
        recovers_at_last(source, result)
        to.hook(name, None)
        if result == "undone":
            is_as_before(source, to)
        else:
            has_moved(source, to)
        bed.say(f"killed while building, {name} ended with {status}: {result}")


def check_somebodys_file(source, to):
    """The name is taken meanwhile: what is there was not made for this VM, and stays."""
    theirs = to.path(f"{IMAGES}/{GUEST}.raw")
    hold(to, BEFORE)
    migration = Migration(source, to).until("building")
    bed.poll(lambda: to.attempt("test", "-e", HELD).status == 0, 60, "held")
    migration.kill()
    with open(theirs, "w", encoding="utf-8") as file:
        file.write("somebody's")
    release(to)
    bed.poll(lambda: settled(source), 120, "libvirt ends it")
    recovers_at_last(source, "undone")
    to.hook(BEFORE, None)
    with open(theirs, encoding="utf-8") as file:
        bed.require(file.read() == "somebody's", "it is another file")
    os.unlink(theirs)
    is_as_before(source, to)
    bed.say("killed while building, and the name was taken: undone, what has the name stays")


def settled(source):
    """No job of libvirt's any more."""
    done = source.attempt("virsh", "-q", "-c", "qemu:///system", "domjobinfo", GUEST)
    return done.status != 0 or "None" in done.out


def check_moving(source, to):
    """libvirt ends by itself what was begun, and the guest runs there."""
    migration = Migration(source, to).until("building")
    source.limit("10mbit")
    migration.until("moving").kill()
    recovers(source, "waits", "libvirt is still moving it")
    source.limit(None)
    bed.poll(lambda: source.state(GUEST) is None, 120, "it moves")
    recovers_at_last(source, "finished")
    has_moved(source, to)
    bed.say("killed while moving: finished")


def check_finishing(source, to):
    """The VM is there; what is left here is put away by whoever is there to do it."""
    migration = Migration(source, to).until("finishing")
    migration.kill()
    rows = recover(source)
    bed.require(not rows or rows[0]["result"] == "finished", rows)
    has_moved(source, to)
    bed.say(f"killed while finishing: {'finished' if rows else 'it was done'}")


def check_lost_destination(source, to):
    """Its libvirtd is gone: that the VM is there as well cannot be told, so nothing is done until it can."""
    migration = Migration(source, to).until("building")
    source.limit("10mbit")
    migration.until("moving").kill()
    to.libvirtd("kill")
    source.limit(None)
    bed.poll(lambda: settled(source), 120, "libvirt ends it")
    row = recovers(source, "unknown", "nothing was undone", status=1)
    bed.require(to.name in row["text"], row)
    bed.require(source.state(GUEST) == "running", source.state(GUEST))
    bed.require(len(files(source, f"{STATE}/migrations")) == 1, "its journal")
    counts_on(source)
    to.libvirtd("start")
    recovers_at_last(source, "undone")
    is_as_before(source, to)
    bed.say("libvirtd of the destination was lost: undone when it was back")


def check_lost_source(source, to):
    """libvirtd here is killed as well: the guest goes on, and all is undone."""
    migration = Migration(source, to).until("building")
    source.limit("10mbit")
    migration.until("moving").kill()
    source.libvirtd("kill")
    source.limit(None)
    row = recovers(source, "failed", "libvirt of this host cannot be asked", status=1)
    bed.require(row["vm"] == GUEST, row)
    source.libvirtd("start")
    recovers_at_last(source, "undone")
    is_as_before(source, to)
    bed.say("libvirtd here was killed while moving: undone")


def check_host_down(source, to):
    """The VM is gone with its host; what it wrote on the overlay is merged, and it starts."""
    Migration(source, to).until("planning").kill()
    last = counts_on(source)
    source.signal_qemu(GUEST, signal.SIGKILL)
    bed.poll(lambda: source.state(GUEST) == "shut off", 60, "it is off")
    recovers(source, "undone", "it is here as before (off)")
    is_as_before(source, to, "shut off")
    source.check_disk(GUEST, last)
    source.virsh("start", GUEST)
    bed.poll(lambda: counts_on(source) >= last, 90, "it goes on where it was")
    bed.say("its QEMU was killed as well: undone, nothing is lost")


def check_not_known(source, to):
    """Somebody undefined it: its disk and its overlay are left for him."""
    migration = Migration(source, to).until("planning")
    migration.kill()
    xml = source.virsh("dumpxml", "--migratable", GUEST)
    source.virsh("destroy", GUEST)
    inactive = source.virsh("dumpxml", "--inactive", GUEST)
    source.virsh("undefine", GUEST)
    row = recovers(source, "failed", "does not know it here", status=1)
    bed.require(row["phase"] in ("reading", "planning"), row)
    overlay, = [name for name in files(source, IMAGES) if ".setmov-" in name]
    bed.require(overlay in xml or overlay in inactive, f"{overlay}: {xml}")
    with open(source.path("/var/lib/setmov/again.xml"), "w", encoding="utf-8") as file:
        file.write(inactive)
    source.virsh("define", "/var/lib/setmov/again.xml")
    # Without its disk it is no better: what it wrote last is in that overlay alone.
    source.virsh("detach-disk", GUEST, "vda", "--config")
    row = recovers(source, "failed", f"so {IMAGES}/{overlay} stays", status=1)
    bed.require(overlay in files(source, IMAGES), files(source, IMAGES))
    source.virsh("define", "/var/lib/setmov/again.xml")
    os.unlink(source.path("/var/lib/setmov/again.xml"))
    recovers(source, "undone", "it is here as before (off)")
    is_as_before(source, to, "shut off")
    source.virsh("start", GUEST)
    counts_on(source)


def check_left_files(source, to):
    """Locks and halves of journals go; what is no journal stays, and is told of."""
    directory = source.path(f"{STATE}/migrations")
    uuid = source.virsh("domuuid", GUEST).strip()
    for name in (f"{uuid}.lock", f".{uuid}.journal.abcdef.tmp", "somebody's"):
        with open(f"{directory}/{name}", "w", encoding="utf-8") as file:
            file.write("x")
    bed.require(recover(source) == [], "there is none")
    bed.require(files(source, f"{STATE}/migrations") == ["somebody's"], os.listdir(directory))
    os.unlink(f"{directory}/somebody's")
    with open(f"{directory}/{uuid}.journal", "w", encoding="utf-8") as file:
        file.write("setmov-migration 1\n")
    row = recovers(source, "failed", status=1)
    bed.require(row["vm"] is None and row["phase"] is None and f"{uuid}.journal" in row["text"], row)
    bed.require(files(source, f"{STATE}/migrations") == [f"{uuid}.journal"], os.listdir(directory))
    os.unlink(f"{directory}/{uuid}.journal")
    is_as_before(source, to)


def check(hosts):
    alpha, beta, _ = hosts.all
    configure(hosts)
    alpha.writers(GUEST)
    for host in hosts.all:
        host.run("setmov", "index", "--quiet")
    for host in hosts.all:
        host.run("setmov", "sync")
    counts_on(alpha)
    check_prepared(alpha, beta)
    check_names(alpha, beta)
    check_recover_killed(alpha, beta)
    check_left_files(alpha, beta)
    check_host_down(alpha, beta)
    check_not_known(alpha, beta)
    check_lost_destination(alpha, beta)
    check_lost_source(alpha, beta)
    check_somebodys_file(alpha, beta)
    check_built(alpha, beta)
    check_moving(beta, alpha)
    check_finishing(alpha, beta)
    disk_is_whole(beta)
    for host in (alpha, beta):
        host.run("setmov", "gc")


three_hosts.main(check)

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The steps of a migration by libvirt: freezing and thawing, moving, what is where after what has gone wrong, files in pools."""
# test-timeout: 600
# test-long
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading

import bed
import guest_disk
import three_hosts

TOOL = os.path.join(bed.BUILD, "tests/helpers/migrate_tool")
IMAGES, POOL = three_hosts.IMAGES, "default"
HERE = "qemu:///system"
MIB = 1 << 20
CHUNK = 64 << 10
SLOW, FAST = "bandwidth=8000000", "bandwidth=400000000"  # bits a second: a minute or two, a second or two
NAMESPACE = "https://setmov.org/xmlns/domain/1"

HOOK = """#!/bin/sh
[ "$2 $3" = "migrate begin" ] || exit 0
cat >/var/lib/setmov/hook.xml
%s
"""


def tool(host, *words, timeout=200):
    """(status, lines, stderr) of the helper inside a host, at its own libvirtd."""
    done = host.attempt(TOOL, words[0], HERE, *map(str, words[1:]), timeout=timeout)
    return done.status, done.out.splitlines(), done.err.strip()


def good(host, *words):
    status, lines, err = tool(host, *words)
    bed.require(status == 0, f"{words} on {host.name}: {err}")
    return lines


def bad(host, said, *words):
    """Fails with that regular expression."""
    status, _, err = tool(host, *words)
    bed.require(status == 1 and re.fullmatch(said, err), f"{words} on {host.name}: {status} '{err}', expected '{said}'")


def identity(host, guest):
    return host.virsh("domuuid", guest).strip()


def overlay_of(guest, target="vda"):
    return f"{IMAGES}/{guest}-{target}.setmov-0001"


def remove(host, path):
    if os.path.exists(host.path(path)):
        os.unlink(host.path(path))


def chain(host, uuid, target="vda"):
    """["qcow2:/path", ...] of a disk, top first."""
    found = [line.split()[1:] for line in good(host, "chains", uuid) if line.split()[0] == target]
    bed.require(len(found) == 1, f"chains of {uuid}: no {target}")
    return found[0]


def expect_chain(host, uuid, layers, when, target="vda"):
    bed.require(chain(host, uuid, target) == layers, f"chain {when}: {chain(host, uuid, target)}, expected {layers}")


def definition(host, guest, target="vda"):
    """<disk> of the persistent definition."""
    xml = host.virsh("dumpxml", "--inactive", guest)
    found = [disk for disk in re.findall("<disk .*?</disk>", xml, re.S) if f"dev='{target}'" in disk]
    bed.require(len(found) == 1, f"definition of {guest}: {xml}")
    return found[0]


def define(host, xml):
    with open(host.path(f"{IMAGES}/defined.xml"), "w", encoding="utf-8") as file:
        file.write(xml)
    host.virsh("define", f"{IMAGES}/defined.xml")
    remove(host, f"{IMAGES}/defined.xml")


def where(host, uuid):
    """("running", "persistent 1 job 0: running")"""
    line, = good(host, "where", uuid)
    return tuple(line.split(" ", 1))


def expect_where(hosts, uuid, places, when):
    """Place at each of these hosts; settles by itself soon, if at all."""
    def as_expected():
        return [where(host, uuid)[0] for host in hosts] == places
    try:
        bed.poll(as_expected, 20, "places")
    except bed.Failed:
        found = {host.name: where(host, uuid) for host in hosts}
        raise bed.Failed(f"{when}: {found}, expected {places}") from None


def counts_on(host, guest):
    before = host.count(guest)
    bed.poll(lambda: host.count(guest) > before, 60, f"{guest} writes on at {host.name}")


def freeze(host, guest, uuid):
    remove(host, overlay_of(guest))
    good(host, "freeze", uuid, 0, "vda", overlay_of(guest))
    return overlay_of(guest)


# ---- freezing and thawing ------------------------------------------------------------------------


def make_clone(host):
    """A guest on a qcow2 clone of a golden raw image."""
    gold, clone = f"{IMAGES}/gold.raw", f"{IMAGES}/clone.qcow2"
    with open(os.devnull, "w", encoding="ascii") as nothing:
        subprocess.run([guest_disk.__file__, "make", host.path(gold), "64", "clone"], check=True, stdout=nothing)
    host.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", gold, "-F", "raw", clone)
    return [f"qcow2:{clone}", f"raw:{gold}"]


def check_freeze(host, guest, uuid, layers):
    """The overlay goes on top, in both definitions, and nothing else changes when it has gone again."""
    before, defined = chain(host, uuid), definition(host, guest)
    bed.require(before == layers, f"{guest} has {before}")
    overlay = freeze(host, guest, uuid)
    expect_chain(host, uuid, [f"qcow2:{overlay}"] + layers, "when frozen")
    about = json.loads(host.run("qemu-img", "info", "-U", "--output=json", overlay))
    form, path = layers[0].split(":", 1)
    bed.require(about["backing-filename"] == path and about["backing-filename-format"] == form, f"overlay: {about}")
    bed.require(f"<source file='{overlay}'/>" in definition(host, guest), "the definition does not follow")
    content = subprocess.run(["sha256sum", host.path(path)], check=True, capture_output=True, text=True).stdout
    counts_on(host, guest)
    again = subprocess.run(["sha256sum", host.path(path)], check=True, capture_output=True, text=True).stdout
    bed.require(content == again, "the frozen layer changes")
    bad(host, f"E[A-Z]+: '{guest}': its disks cannot be frozen: .*already exists.*", "freeze", uuid, 0, "vda", overlay)
    good(host, "thaw", uuid, "vda", overlay)
    expect_chain(host, uuid, layers, "when thawed")
    bed.require(definition(host, guest) == defined, f"the definition was {defined}, is {definition(host, guest)}")
    good(host, "thaw", uuid, "vda", overlay)  # nothing to do
    bad(host, f"ENODEV: it has no disk 'vdz' any more, so {overlay} stays",
        "thaw", uuid, "vdz", overlay)
    bad(host, "ENOENT: it lacks a disk that was to be frozen", "freeze", uuid, 0, "vdz", overlay)
    counts_on(host, guest)


def check_interrupted_thaw(host, guest, uuid, layers):
    """A commit that a process which is gone began is joined; one that is given up leaves the overlay on top."""
    overlay = freeze(host, guest, uuid)
    bed.poll(lambda: os.path.getsize(host.path(overlay)) > 2 * MIB, 90, "the overlay grows")
    commit = ("blockcommit", guest, "vda", "--active", "--base", layers[0].split(":", 1)[1], "--top", overlay)
    host.virsh(*commit, "--bytes", "--bandwidth", "100000")
    bad(host, "ECANCELED: stopped", "thaw", uuid, "vda", overlay, 3)
    expect_chain(host, uuid, [f"qcow2:{overlay}"] + layers, "when a thaw was stopped")
    bed.require(not host.virsh("blockjob", guest, "vda").strip(), "the job goes on")
    host.virsh(*commit)
    good(host, "thaw", uuid, "vda", overlay)
    expect_chain(host, uuid, layers, "when a commit was joined")
    overlay = freeze(host, guest, uuid)
    remove(host, overlay + "2")
    host.virsh("blockcopy", guest, "vda", overlay + "2", "--transient-job", "--bytes", "--bandwidth", "1000")
    bad(host, "EBUSY: disk 'vda': another block job is under way", "thaw", uuid, "vda", overlay)
    host.virsh("blockjob", guest, "vda", "--abort")
    remove(host, overlay + "2")
    good(host, "freeze", uuid, 0, "vda", overlay + "2")
    bad(host, f"EBUSY: disk 'vda': a layer lies on {overlay} by now; once it is merged .* this works", "thaw", uuid, "vda", overlay)
    good(host, "thaw", uuid, "vda", overlay + "2")
    good(host, "thaw", uuid, "vda", overlay)
    expect_chain(host, uuid, layers, "in the end")
    counts_on(host, guest)


def check_two_disks(host):
    """Both at once, or neither; a disk that is not named stays."""
    guest, = host.idle_guests(1)
    uuid = identity(host, guest)
    layers = {target: chain(host, uuid, target) for target in ("vda", "vdb")}
    one, other = overlay_of(guest, "vda"), overlay_of(guest, "vdb")
    good(host, "freeze", uuid, 0, "vda", one, "vdb", other)
    for target, overlay in (("vda", one), ("vdb", other)):
        expect_chain(host, uuid, [f"qcow2:{overlay}"] + layers[target], "with both frozen", target)
        good(host, "thaw", uuid, target, overlay)
        expect_chain(host, uuid, layers[target], "thawed", target)
    remove(host, one)
    bad(host, "E[A-Z]+: .*already exists.*", "freeze", uuid, 0, "vda", one, "vdb", other)
    expect_chain(host, uuid, layers["vda"], "when the other cannot be frozen")
    bed.require(not os.path.exists(host.path(one)), "an overlay is left over")
    good(host, "freeze", uuid, 0, "vda", one)
    expect_chain(host, uuid, layers["vdb"], "of the disk left out", "vdb")
    bad(host, "EIO: 'idle001': its disks cannot be frozen: .*agent.*", "freeze", uuid, 1, "vdb", overlay_of(guest, "x"))
    host.virsh("destroy", guest)
    bad(host, "EOPNOTSUPP: 'idle001' is off", "thaw", uuid, "vda", one)
    bad(host, "EOPNOTSUPP: 'idle001' is off: there is nothing to freeze", "freeze", uuid, 0, "vdb", other + "2")
    good(host, "thaw-off", uuid, "vda", one)
    expect_chain(host, uuid, layers["vda"], "thawed when off")
    good(host, "discard", uuid, 1)
    bed.require(host.state(guest) is None, "it is still defined")
    bad(host, f"ENOENT: no VM has the UUID {uuid} there", "chains", uuid)


def check_thaw_off(host, guest, uuid, layers):
    """Its QEMU was killed: no record that the guest has told of is lost, and it starts as it was defined."""
    defined = definition(host, guest)
    overlay = freeze(host, guest, uuid)
    counts_on(host, guest)
    last = host.count(guest)
    bad(host, f"EBUSY: '{guest}' runs", "thaw-off", uuid, "vda", overlay)
    host.signal_qemu(guest, signal.SIGKILL)
    bed.poll(lambda: host.state(guest) == "shut off", 30, "its end")
    expect_chain(host, uuid, [f"qcow2:{overlay}"] + layers, "of the definition")
    for layer in layers:  # the definition names neither
        bad(host, "EBUSY: .* belongs to a VM there", "file-delete", layer.split(":", 1)[1])
    bed.poll(lambda: host.attempt("qemu-img", "info", overlay).status == 0, 20, "its QEMU lets go of it")
    holder = host.start("qemu-io", "-f", "qcow2", "-c", "sleep 100000", overlay, stdout=subprocess.DEVNULL)
    try:
        bed.poll(lambda: host.attempt("qemu-img", "info", overlay).status != 0, 20, "its lock")
        bed.poll(lambda: tool(host, "thaw-off", uuid, "vda", overlay)[2].startswith("EBUSY:"), 20, "an overlay in use")
    finally:
        host.attempt("pkill", "qemu-io")
        holder.wait()
    expect_chain(host, uuid, [f"qcow2:{overlay}"] + layers, "when it could not be thawed")
    frozen = host.virsh("dumpxml", "--inactive", guest)
    define(host, frozen.replace(overlay, layers[0].split(":", 1)[1]))
    bad(host, f"ESTALE: the definition has .*, but what the guest wrote last is in {overlay}: .*",
        "thaw-off", uuid, "vda", overlay)
    define(host, frozen)
    bad(host, f"ENODEV: it has no disk 'vdz' any more, so {overlay} stays",
        "thaw-off", uuid, "vdz", overlay)
    good(host, "thaw-off", uuid, "vda", overlay)
    good(host, "thaw-off", uuid, "vda", overlay)
    bed.require(definition(host, guest) == defined, f"the definition was {defined}, is {definition(host, guest)}")
    remove(host, overlay)
    good(host, "thaw-off", uuid, "vda", overlay)
    flat = f"{IMAGES}/flat"  # a layer's path is one inside the host
    host.run("qemu-img", "convert", "-O", "raw", layers[0].split(":", 1)[1], flat)
    try:
        bed.require(guest_disk.check(host.path(flat), last) >= last, "records are lost")
    except guest_disk.Wrong as wrong:
        raise bed.Failed(str(wrong)) from None
    remove(host, flat)
    host.virsh("start", guest)
    bed.poll(lambda: host.attempt("true") and is_up(host, guest), 90, "it starts")


def is_up(host, guest):
    try:
        return host.count(guest) > 0
    except bed.Failed:
        return False


# ---- moving ------------------------------------------------------------------------------------------


class Moving:
    """vm_migrate() of a guest whose disks are there as they were frozen."""

    def __init__(self, source, guest, uuid, to, *options, disk=None):
        self.source, self.uuid, self.result = source, uuid, None
        disk = disk or f"vda,raw:{IMAGES}/{guest}.raw"
        words = ("migrate", uuid, to.uri, f"disk={disk}", "persistent=1", "plan=vm.plan", *options)
        self.thread = threading.Thread(target=self._run, args=(words,))
        self.thread.start()

    def _run(self, words):
        self.result = tool(self.source, *words)

    def progress(self):
        words = good(self.source, "progress", self.uuid, 0)[0].split()
        return {"active": words[1] == "1", "memory": int(words[4]), "disk": int(words[8])}

    def wait_for_memory(self):
        bed.poll(lambda: self.result or self.progress()["memory"] > 0, 60, "memory is sent")
        bed.require(self.result is None, f"the migration is over: {self.result}")

    def end(self):
        self.thread.join(120)
        bed.require(self.result is not None, "the migration does not end")
        return self.result

    def fails(self, said):
        status, _, err = self.end()
        bed.require(status == 1 and re.fullmatch(said, err), f"the migration: {status} '{err}', expected '{said}'")

    def succeeds(self):
        status, _, err = self.end()
        bed.require(status == 0, f"the migration: {err}")


def stand_in(source, to, *paths):
    """What the hook makes of a plan: the frozen layers, there."""
    for path in paths:
        shutil.copyfile(source.path(path), to.path(path))
    to.virsh("pool-refresh", POOL)


def prepared(source, guest, uuid, to):
    overlay = freeze(source, guest, uuid)
    stand_in(source, to, f"{IMAGES}/{guest}.raw")
    return overlay


def thaw(host, guest, uuid):
    good(host, "thaw", uuid, "vda", overlay_of(guest))
    counts_on(host, guest)


def signal_libvirtd(host, number):
    host.run("sh", "-c", f"kill -{number} $(pgrep -x libvirtd)")


def check_refused(source, guest, uuid, to):
    """The hook's line alone, nothing there; an abort in the middle of a hook counts when that has ended."""
    both = [source, to]
    to.hook("test", HOOK % "echo 'this is why' >&2; exit 1")
    prepared(source, guest, uuid, to)
    Moving(source, guest, uuid, to).fails("EPERM: this is why")
    expect_where(both, uuid, ["running", "absent"], "refused")
    with open(to.path("/var/lib/setmov/hook.xml"), encoding="utf-8") as file:
        xml = file.read()
    bed.require(re.search(rf"<metadata>\s*<setmov:plan xmlns:setmov=[\"']{NAMESPACE}[\"'] name=[\"']vm.plan[\"'] "
                          r"sha256=[\"']ab010203(00){28}[\"']/>", xml), f"the hook got: {xml}")
    bed.require(f"<source file='{IMAGES}/{guest}.raw'" in xml and "setmov-0001" not in xml, f"the hook got: {xml}")
    remove(to, "/var/lib/setmov/go")
    to.hook("test", HOOK % "while ! [ -e /var/lib/setmov/go ]; do sleep 0.1; done")
    moving = Moving(source, guest, uuid, to)
    bed.poll(lambda: moving.progress()["active"], 30, "it is being prepared")
    expect_where(both, uuid, ["running", "absent"], "being prepared")
    bed.require("job 1" in where(source, uuid)[1], f"no job: {where(source, uuid)}")
    good(source, "abort", uuid)
    bed.require(moving.result is None, "an abort ended the hook")
    to.run("touch", "/var/lib/setmov/go")
    moving.fails("ECANCELED: .*")
    expect_where(both, uuid, ["running", "absent"], "aborted while prepared")
    to.hook("test", None)
    moving = Moving(source, guest, uuid, to, SLOW)
    moving.wait_for_memory()
    expect_where(both, uuid, ["running", "incoming"], "on its way")
    good(source, "abort", uuid)
    moving.fails("ECANCELED: .*")
    expect_where(both, uuid, ["running", "absent"], "aborted")
    bad(source, f"E[A-Z]+: '{guest}': its migration cannot be aborted: .*", "abort", uuid)
    thaw(source, guest, uuid)


def check_killed(source, guest, uuid, to):
    """Before the last phase libvirt itself undoes all, whoever dies."""
    both = [source, to]
    prepared(source, guest, uuid, to)
    for what, kill, again in (
            ("libvirtd there", lambda: to.libvirtd("kill"), lambda: to.libvirtd("start")),
            ("libvirtd here", lambda: source.libvirtd("kill"), lambda: source.libvirtd("start")),
            ("QEMU there", lambda: to.signal_qemu(guest, signal.SIGKILL), lambda: None)):
        moving = Moving(source, guest, uuid, to, SLOW)
        moving.wait_for_memory()
        kill()
        moving.fails("EIO: .*")
        again()
        expect_where(both, uuid, ["running", "absent"], f"{what} was killed")
    thaw(source, guest, uuid)


def check_last_answer_lost(source, guest, uuid, to, *options):
    """
    libvirtd there hangs in the last phase until the line is given up: libvirt lets the guest run on here and,
    when that libvirtd goes on, also there, unless it was to stand still.
    """
    prepared(source, guest, uuid, to)
    moving = Moving(source, guest, uuid, to, FAST, *options)
    moving.wait_for_memory()
    signal_libvirtd(to, "STOP")
    expect_where([source], uuid, ["outgoing"], "libvirtd there hangs")
    moving.fails("EIO: .*")
    signal_libvirtd(to, "CONT")


def check_last_phase(source, guest, uuid, to):
    both = [source, to]
    check_last_answer_lost(source, guest, uuid, to)
    expect_where(both, uuid, ["running", "running"], "the last answer was lost")
    good(to, "discard", uuid, 1)
    thaw(source, guest, uuid)
    check_last_answer_lost(source, guest, uuid, to, "paused=1")
    expect_where(both, uuid, ["running", "paused"], "the last answer was lost, standing still")
    good(to, "discard", uuid, 1)
    good(to, "discard", uuid, 1)
    thaw(source, guest, uuid)


def check_killed_in_last_phase(source, guest, uuid, to):
    """libvirtd here dies when memory is over there: it stands still on both sides, either may go on."""
    both = [source, to]
    prepared(source, guest, uuid, to)
    moving = Moving(source, guest, uuid, to, FAST, "paused=1")
    moving.wait_for_memory()
    signal_libvirtd(to, "STOP")
    expect_where([source], uuid, ["outgoing"], "libvirtd there hangs")
    source.libvirtd("kill")
    moving.fails("EIO: .*")
    source.libvirtd("start")
    signal_libvirtd(to, "CONT")
    expect_where([source], uuid, ["outgoing"], "libvirtd here was killed in the last phase")
    bed.poll(lambda: where(to, uuid)[0] in ("absent", "paused"), 20, "the other side knows")
    good(to, "discard", uuid, 1)
    good(source, "resume", uuid)
    expect_where(both, uuid, ["running", "absent"], "taken back")
    thaw(source, guest, uuid)


def check_moved(source, guest, uuid, to):
    """The disk is there, nothing is left here, the plan is forgotten."""
    source.virsh("metadata", guest, NAMESPACE, "--key", "setmov", "--set", "<override/>", "--live", "--config")
    defined = definition(source, guest)
    overlay = prepared(source, guest, uuid, to)
    counts_on(source, guest)
    Moving(source, guest, uuid, to, FAST, "paused=1", "downtime=700").succeeds()
    expect_where([source, to], uuid, ["absent", "paused"], "moved")
    bed.require("setmov:plan" in to.virsh("dumpxml", guest), "the plan did not come along")
    good(to, "forget", uuid)
    good(to, "resume", uuid)
    bed.require(":plan" not in to.virsh("dumpxml", guest) and "override" in to.virsh("dumpxml", "--inactive", guest),
                f"metadata: {to.virsh('dumpxml', guest)}")
    bed.require(definition(to, guest) == defined, f"the definition was {defined}, is {definition(to, guest)}")
    expect_chain(to, uuid, [f"raw:{IMAGES}/{guest}.raw"], "there")
    counts_on(to, guest)
    last = to.still(guest)
    to.virsh("suspend", guest)
    bed.require(to.check_disk(guest, last) == last, "its disk is not as it was")
    to.virsh("resume", guest)
    for path in (overlay, f"{IMAGES}/{guest}.raw"):
        remove(source, path)


def check_mirrored(source, guest, uuid, to):
    """Of the disk of a guest that writes no more, only the overlay crosses the line."""
    chunks = 64
    overlay = prepared(source, guest, uuid, to)
    source.guest(guest, f"write vda {chunks * CHUNK} 1")
    before, mirrored = to.bytes()[1], 0
    moving = Moving(source, guest, uuid, to, FAST)
    while moving.result is None:
        status, lines, _ = tool(source, "progress", uuid, 0)  # in the end it is gone
        if status == 0:
            mirrored = max(mirrored, int(lines[0].split()[8]))
    moving.succeeds()
    received = to.bytes()[1] - before
    memory = int(good(to, "progress", uuid, 1)[0].split()[4])
    bed.say(f"{chunks * CHUNK} bytes written: {mirrored} mirrored; {received} came, {memory} of memory")
    bed.require(chunks * CHUNK <= mirrored <= 1.05 * chunks * CHUNK, f"{mirrored} bytes mirrored of {chunks} chunks")
    bed.require(received <= 1.05 * chunks * CHUNK + 1.02 * memory, f"{received} bytes came, {memory} of memory")
    top = subprocess.run(["head", "-c", str(chunks * CHUNK), to.path(f"{IMAGES}/{guest}.raw")], check=True, capture_output=True)
    below = subprocess.run(["head", "-c", str(chunks * CHUNK), source.path(f"{IMAGES}/{guest}.raw")], check=True, capture_output=True)
    bed.require(top.stdout != below.stdout, "what was written is not there, or was written into the frozen layer")
    remove(source, overlay)


def check_offline(source, guest, uuid, to, layers):
    """A definition goes, with its chain, and is gone here."""
    source.virsh("destroy", guest)
    defined = definition(source, guest)
    disk = "vda," + ",".join(layers)
    to.hook("test", HOOK % "echo 'not here' >&2; exit 1")
    Moving(source, guest, uuid, to, "offline=1", disk=disk).fails("EPERM: not here")
    expect_where([source, to], uuid, ["off", "absent"], "refused when off")
    to.hook("test", None)
    stand_in(source, to, *(layer.split(":", 1)[1] for layer in layers))
    Moving(source, guest, uuid, to, "offline=1", disk=disk).succeeds()
    expect_where([source, to], uuid, ["absent", "off"], "moved when off")
    bed.require(":plan" in to.virsh("dumpxml", guest), "of a VM that is off, libvirt takes DEST_XML as definition")
    good(to, "forget", uuid)
    bed.require(definition(to, guest) == defined and ":plan" not in to.virsh("dumpxml", guest),
                f"the definition was {defined}, is {to.virsh('dumpxml', guest)}")
    expect_chain(to, uuid, layers, "there")
    to.virsh("start", guest)
    bed.poll(lambda: is_up(to, guest), 90, "it starts there")


def make_certificates(*hosts):
    """For QEMU, where libvirt looks for them; libvirtd finds them when it starts."""
    directory = tempfile.mkdtemp(prefix="setmov-pki-")

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=bed", "-keyout", "ca.key",
            "-out", "ca-cert.pem", "-addext", "keyUsage=critical,keyCertSign")
    for host in hosts:
        inside = host.path("/etc/pki/qemu")
        os.makedirs(inside)
        with open(f"{directory}/extensions", "w", encoding="ascii") as file:
            file.write(f"subjectAltName=DNS:{host.name}\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={host.name}", "-keyout", "key", "-out", "request")
        openssl("x509", "-req", "-in", "request", "-CA", "ca-cert.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                "-extfile", "extensions", "-out", "certificate")
        for role in ("server", "client"):
            shutil.copy(f"{directory}/key", f"{inside}/{role}-key.pem")
            shutil.copy(f"{directory}/certificate", f"{inside}/{role}-cert.pem")
        shutil.copy(f"{directory}/ca-cert.pem", inside)
        host.libvirtd("stop")
        host.libvirtd("start")
    shutil.rmtree(directory)


def check_clone_moved(source, guest, uuid, to, layers, without_certificates):
    """Live, with its chain, by TLS: the base stays as it is there."""
    freeze(source, guest, uuid)
    disk = "vda," + ",".join(layers)
    stand_in(source, without_certificates, *(layer.split(":", 1)[1] for layer in layers))
    Moving(source, guest, uuid, without_certificates, "tls=1", disk=disk).fails("EIO: .*credentials.*")
    expect_where([source, without_certificates], uuid, ["running", "absent"], "without certificates")
    for layer in layers:
        remove(without_certificates, layer.split(":", 1)[1])
    stand_in(source, to, *(layer.split(":", 1)[1] for layer in layers))
    gold = os.stat(to.path(layers[-1].split(":", 1)[1])).st_mtime_ns
    Moving(source, guest, uuid, to, FAST, "tls=1", disk=disk).succeeds()
    expect_where([source, to], uuid, ["absent", "running"], "moved")
    expect_chain(to, uuid, layers, "there")
    counts_on(to, guest)
    bed.require(os.stat(to.path(layers[-1].split(":", 1)[1])).st_mtime_ns == gold, "the golden image was written to")


def check_post_copy(source, guest, uuid, to, layers):
    freeze(source, guest, uuid)
    stand_in(source, to, *(layer.split(":", 1)[1] for layer in layers))
    disk = "vda," + ",".join(layers)
    Moving(source, guest, uuid, to, "post-copy=1", "paused=1", disk=disk).fails("EOPNOTSUPP: .*post-copy.*paused.*")
    moving = Moving(source, guest, uuid, to, SLOW, "post-copy=1", disk=disk)
    bed.poll(lambda: moving.result or moving.progress()["memory"] > 0, 60, "memory is sent")
    if moving.result:
        bed.say(f"no post-copy on this machine: {moving.result[2]}")
        thaw(source, guest, uuid)
        return
    good(source, "post-copy", uuid)
    expect_where([source, to], uuid, ["outgoing", "running"], "in post-copy")
    source.attempt("virsh", "migrate-setspeed", guest, "1000", "--postcopy")
    moving.succeeds()
    expect_where([source, to], uuid, ["absent", "running"], "after post-copy")
    counts_on(to, guest)


# ---- files ---------------------------------------------------------------------------------------------


def check_volumes(host, guest):
    """At the host itself; it is the same from elsewhere."""
    big = host.path("/var/lib/setmov/big")
    with open(big, "wb") as file:
        file.write(os.urandom(3 * MIB + 17))
    host.run("cp", "/var/lib/setmov/big", f"{IMAGES}/part.b")  # behind libvirt's back
    calls, = good(host, "send", POOL, "part.a", "/var/lib/setmov/big", 0)
    bed.require(re.fullmatch(rf"calls [3-9] last {3 * MIB + 17}", calls), calls)
    bed.require(good(host, "volumes", POOL, "part.") == [f"part.a {3 * MIB + 17}", f"part.b {3 * MIB + 17}"]
                or good(host, "volumes", POOL, "part.")[::-1] == [f"part.a {3 * MIB + 17}", f"part.b {3 * MIB + 17}"],
                f"volumes: {good(host, 'volumes', POOL, 'part.')}")
    bed.require(subprocess.run(["cmp", "-s", big, host.path(f"{IMAGES}/part.a")], check=False).returncode == 0, "other bytes")
    with open(big, "wb") as file:
        file.write(os.urandom(MIB))
    good(host, "send", POOL, "part.a", "/var/lib/setmov/big", 100 * MIB)  # in the old one's place
    bed.require(subprocess.run(["cmp", "-s", big, host.path(f"{IMAGES}/part.a")], check=False).returncode == 0, "other bytes")
    bad(host, "ECANCELED: writing volume .part.c. of pool .default.: ended", "send", POOL, "part.c", "/var/lib/setmov/big",
        MIB, 300000)
    bed.require(not os.path.exists(host.path(f"{IMAGES}/part.c")), "a volume is left over")
    good(host, "volume-delete", POOL, "part.a")
    good(host, "volume-delete", POOL, "part.a")
    bed.require(good(host, "volumes", POOL, "part.") == [f"part.b {3 * MIB + 17}"], "a removed volume is listed")
    bad(host, 'ENOENT: pool "none".*', "volumes", "none", "")
    good(host, "file-delete", f"{IMAGES}/part.b")
    good(host, "file-delete", f"{IMAGES}/part.b")
    bed.require(not os.path.exists(host.path(f"{IMAGES}/part.b")), "a file is left over")
    for path in (f"{IMAGES}/{guest}.raw", f"{IMAGES}/gold.raw", f"{IMAGES}/clone.qcow2"):
        bad(host, f"EBUSY: {path} belongs to a VM there", "file-delete", path)
        bed.require(os.path.exists(host.path(path)), f"{path} was removed")
    good(host, "file-delete", "/var/lib/setmov/big")  # in no pool
    bed.require(os.path.exists(big), "a file in no pool was removed")
    bad(host, "EINVAL: 'relative' is no path.*", "file-delete", "relative")


def run(hosts):
    alpha, beta, gamma = hosts.all
    for host in hosts.all:  # there is no plan: the disks are put there by this test
        host.hook("setmov", None)
    make_certificates(alpha, gamma)
    clone = make_clone(alpha)
    alpha.writers("plain", "clone")
    plain, clone_uuid = identity(alpha, "plain"), identity(alpha, "clone")
    raw = [f"raw:{IMAGES}/plain.raw"]
    check_freeze(alpha, "plain", plain, raw)
    check_freeze(alpha, "clone", clone_uuid, clone)
    check_interrupted_thaw(alpha, "plain", plain, raw)
    check_two_disks(alpha)
    check_thaw_off(alpha, "clone", clone_uuid, clone)
    check_volumes(alpha, "plain")
    check_refused(alpha, "plain", plain, beta)
    check_killed(alpha, "plain", plain, beta)
    check_killed_in_last_phase(alpha, "plain", plain, beta)
    check_last_phase(alpha, "plain", plain, beta)
    check_moved(alpha, "plain", plain, beta)
    check_mirrored(beta, "plain", plain, alpha)
    check_clone_moved(alpha, "clone", clone_uuid, gamma, clone, beta)
    check_post_copy(gamma, "clone", clone_uuid, beta, clone)
    check_offline(beta, "clone", clone_uuid, gamma, clone)


three_hosts.main(run)

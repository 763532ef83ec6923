#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""setmov migrate with odd VMs: names, sizes, formats, flags; images that would lose something; disks that somebody changes meanwhile."""
# test-timeout: 300
import json
import os
import re
import subprocess
from xml.sax import saxutils

import bed
import migrate_failures as failures
import three_hosts

MEBIBYTE = 1 << 20
IMAGES, STATE = three_hosts.IMAGES, "/var/lib/setmov"
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
# Nothing to boot: the firmware gives up and halts.
DOMAIN = """<domain type='qemu'><name>{name}</name>{more}<memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features><on_crash>destroy</on_crash>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>{disks}<memballoon model='virtio'/></devices></domain>"""
OTHERS = ("<title>A &amp; B \u00fc</title><description>two\nlines</description>"
          "<metadata><o:x xmlns:o='urn:other'>kept</o:x></metadata>")


def qemu_img(*words):
    subprocess.run(["qemu-img", *words], check=True, stdout=subprocess.DEVNULL)


def configure(host):
    path = host.path("/etc/setmov/setmov.conf")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(CONFIGURATION)
    host.run("setmov", "index")


def files(host, directory=IMAGES):
    path = host.path(directory)
    return sorted(os.listdir(path)) if os.path.isdir(path) else []


def disk(number, name, form):
    return (f"<disk type='file' device='disk'><driver name='qemu' type='{form}'/>"
            f"<source file={saxutils.quoteattr(IMAGES + '/' + name)}/>"
            f"<target dev='vd{'abcdefgh'[number]}' bus='virtio'/></disk>")


def define(host, name, disks, more=""):
    path = os.path.join(host.dir, "odd.xml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(DOMAIN.format(name=saxutils.escape(name), more=more,
                                 disks="".join(disk(i, *each) for i, each in enumerate(disks))))
    host.virsh("define", path)


def random_file(host, name, length):
    content = os.urandom(length)
    with open(host.path(f"{IMAGES}/{name}"), "wb") as file:
        file.write(content)
    return content


def nothing_left(*hosts):
    for host in hosts:
        left = [name for name in files(host) if ".setmov-" in name and ".setmov-old-" not in name]
        left += files(host, f"{STATE}/migrations")
        left += [name for name in files(host, f"{STATE}/incoming") if not name.startswith("part-")]
        bed.require(not left, f"left on {host.name}: {left}")


def seen(path, form):
    """What a guest would see, while it may be in use."""
    target = path + ".seen"
    qemu_img("convert", "-U", "-f", form, "-O", "raw", path, target)
    with open(target, "rb") as file:
        content = file.read()
    os.unlink(target)
    return content


def odd_names_sizes_and_flags(hosts):
    """All of it in one VM, which an operator has paused, and which starts with its host."""
    alpha, beta = hosts.alpha, hosts.beta
    name = "vm 'x' & \u00fc \u20ac"
    raws = {"d\u00edsk & 'a' \"b\",x=1.raw": 65537, "none.raw": 0, "511.raw": 511, "long" * 50 + ".raw": MEBIBYTE + 1, "plugged.raw": MEBIBYTE}
    contents = {raw: random_file(alpha, raw, length) for raw, length in raws.items()}
    for qcow2, size, options in (("odd.qcow2", 1536, "compat=1.1"), ("old.qcow2", MEBIBYTE, "compat=0.10"), ("sub.qcow2", MEBIBYTE, "extended_l2=on,cluster_size=128k")):
        path = alpha.path(f"{IMAGES}/{qcow2}")
        qemu_img("create", "-q", "-f", "qcow2", "-o", options, path, str(size))
        subprocess.run(["qemu-io", "-c", "write -P 7 512 1024", path], check=True, stdout=subprocess.DEVNULL)
        contents[qcow2] = seen(path, "qcow2")
    define(alpha, name, [(each, each.rsplit(".", 1)[1]) for each in contents if each != "plugged.raw"], OTHERS)
    alpha.virsh("start", name)
    alpha.virsh("suspend", name)
    alpha.virsh("autostart", name)
    alpha.virsh("attach-disk", name, f"{IMAGES}/plugged.raw", "vdz", "--live")
    before = alpha.virsh("dumpxml", "--inactive", name)
    done = alpha.attempt("setmov", "migrate", "--json", "--to", "beta", name)
    bed.require(done.status == 0 and done.err == "" and not json.loads(done.out)["left"], f"{done}")
    bed.require(alpha.state(name) is None and beta.state(name) == "paused", f"{alpha.state(name)} {beta.state(name)}")
    for each, content in contents.items():
        path = beta.path(f"{IMAGES}/{each}")
        if each.endswith(".raw"):
            with open(path, "rb") as file:
                found = file.read()
        else:
            found = seen(path, "qcow2")
        bed.require(found == content, f"{each}: {len(found)} bytes, not {len(content)}, or others")
    flat = [re.sub(r"\s+", " ", xml) for xml in (before, beta.virsh("dumpxml", "--inactive", name))]
    bed.require(flat[0] == flat[1], f"its definition was\n{before}, and is\n{flat[1]}")
    bed.require("plugged.raw" in beta.virsh("dumpxml", name), "the plugged disk")
    bed.require(re.search(r"Autostart: +enable", beta.virsh("dominfo", name)), "it does not start with its host any more")
    nothing_left(alpha, beta)


def what_would_be_lost(hosts):
    """libvirt knows nothing of it: the image says so."""
    alpha = hosts.alpha
    qemu_img("create", "-q", "-f", "qcow2", alpha.path(f"{IMAGES}/snap.qcow2"), "1M")
    qemu_img("snapshot", "-c", "s1", alpha.path(f"{IMAGES}/snap.qcow2"))
    data = alpha.path(f"{IMAGES}/out.data")
    qemu_img("create", "-q", "-f", "qcow2", "-o", f"data_file={data}", alpha.path(f"{IMAGES}/out.qcow2"), "1M")
    for name, text in (("snap", "1 internal snapshot,"), ("out", "data_file")):
        define(alpha, name, [(f"{name}.qcow2", "qcow2")])
        before = files(alpha)
        for words in (("--offline",), ("--dry-run",)):
            done = alpha.attempt("setmov", "migrate", "--to", "beta", *words, "--old-images", "remove", name)
            bed.require(done.status == 1 and text in done.err and len(done.err.splitlines()) == 1, f"{name}: {done}")
        bed.require(alpha.state(name) == "shut off" and files(alpha) == before, f"{name}: {files(alpha)}")
    nothing_left(alpha, hosts.beta)


def changed_meanwhile(hosts):
    """A snapshot on top of an overlay: QEMU's mirror would not take what lies between."""
    alpha, beta = hosts.alpha, hosts.beta
    random_file(alpha, "vm1.raw", 24 * MEBIBYTE)
    define(alpha, "vm1", [("vm1.raw", "raw")])
    alpha.virsh("start", "vm1")
    beta.limit("40mbit")
    process = alpha.start("setmov", "migrate", "--progress", "json", "--to", "beta", "vm1", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for line in process.stdout:
        if '"phase":"sending"' in line.replace(" ", ""):
            break
    alpha.virsh("snapshot-create-as", "vm1", "s1", "--disk-only", "--no-metadata")
    beta.limit(None)
    _, err = process.communicate(timeout=200)
    bed.require(process.returncode == 1 and "changed meanwhile" in err, f"{process.returncode}: {err}")
    bed.require(alpha.state("vm1") == "running" and beta.state("vm1") is None, "it is not where it was")
    done = alpha.attempt("setmov", "recover", "vm1")
    bed.require(done.status == 1 and "virsh blockcommit" in done.out, f"{done}")
    alpha.virsh("blockcommit", "vm1", "vda", "--shallow", "--active", "--pivot", "--wait")
    done = alpha.attempt("setmov", "recover", "vm1")
    bed.require(done.status == 0 and "undone" in done.out, f"{done}")
    found = re.findall(r"<source file='([^']*)'", alpha.virsh("dumpxml", "--inactive", "vm1"))
    bed.require(found == [f"{IMAGES}/vm1.raw"], f"its definition names {found}")
    nothing_left(alpha, beta)


def started_while_off(hosts):
    """Somebody starts a VM that moves as one that is off, while its disk is built there: it stays."""
    alpha, beta = hosts.alpha, hosts.beta
    random_file(alpha, "off.raw", MEBIBYTE)
    define(alpha, "off", [("off.raw", "raw")])
    with failures.Hold(beta) as hold:
        migration = failures.Migration(alpha, beta, "off", "--offline")
        hold.wait(migration)
        # It waits for libvirt's job, and may get in between that and the end.
        starting = alpha.start("virsh", "start", "off", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        hold.release()
        status, said = migration.end()
        started = starting.wait(120) == 0
    if started:
        bed.require(status == 1 and alpha.state("off") == "running" and beta.state("off") is None,
                    f"{status}: {said} {alpha.state('off')} {beta.state('off')}")
        bed.require("off.raw" not in files(beta), f"{files(beta)}")
    else:
        bed.require(status == 0 and alpha.state("off") is None and beta.state("off") == "shut off",
                    f"{status}: {said} {alpha.state('off')} {beta.state('off')}")
    print(f"    started here: {started}", flush=True)
    nothing_left(alpha, beta)


def suspended_meanwhile(hosts):
    """An operator's word holds at the destination."""
    alpha, beta = hosts.alpha, hosts.beta
    with failures.Hold(beta) as hold:
        migration = failures.Migration(alpha, beta, "vm1")
        hold.wait(migration)
        alpha.virsh("suspend", "vm1")
        hold.release()
        status, said = migration.end()
    bed.require(status == 0, f"{status}: {said}")
    bed.require(alpha.state("vm1") is None and beta.state("vm1") == "paused", f"{alpha.state('vm1')} {beta.state('vm1')}")
    nothing_left(alpha, beta)


def run(hosts):
    for host in (hosts.alpha, hosts.beta):
        configure(host)
    for test in (odd_names_sizes_and_flags, what_would_be_lost, changed_meanwhile, started_while_off, suspended_meanwhile):
        test(hosts)
        print(f"ok: {test.__name__}", flush=True)


three_hosts.main(run)

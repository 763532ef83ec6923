#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""setmov migrate, end to end: live, and back; raw and qcow2, two disks, a linked clone, off; what is refused leaves all as it was."""
# test-timeout: 400
import glob
import hashlib
import json
import os
import re
import shutil
import subprocess

import bed
import guest_disk
import three_hosts

MEBIBYTE = 1 << 20
IMAGES, STATE = three_hosts.IMAGES, "/var/lib/setmov"
TRACE = re.compile(r"setmov\.org|\.setmov-")  # the kernel may lie in a directory called setmov
CONFIGURATION = """[setmov]
log = /var/log/setmov-test.log
[hook]
policy = advise
[choose]
max-cpu-percent = 100%
memory-reserve = 0
space-reserve = 0
[migrate]
old-images-quota = 1G
[host alpha]
uri = qemu+tcp://alpha/system
[host beta]
uri = qemu+tcp://beta/system
[host gamma]
uri = qemu+tcp://gamma/system
"""


def configure(host):
    path = host.path("/etc/setmov/setmov.conf")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(CONFIGURATION)


def index(*hosts):
    for host in hosts:
        host.run("setmov", "index")


def images(host):
    return sorted(os.listdir(host.path(IMAGES)))


def below(host, directory):
    root = host.path(f"{STATE}/{directory}")
    return sorted(os.path.relpath(path, root) for path in glob.glob(f"{root}/**", recursive=True) if os.path.isfile(path))


def content(path):
    """SHA-256 of what a guest sees of the image, by qemu-img."""
    target = f"{path}.as-raw"
    subprocess.run(["qemu-img", "convert", "-U", "-O", "raw", path, target], check=True)
    try:
        with open(target, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    finally:
        os.unlink(target)


def format_of(path):
    return json.loads(subprocess.run(["qemu-img", "info", "-U", "--output=json", path], check=True,
                                     stdout=subprocess.PIPE).stdout)


def migrate(host, *words, status=0):
    """The summary; the link has carried what is told, at least."""
    done = host.attempt("setmov", "migrate", "--json", *words, timeout=200)
    bed.require(done.status == status, f"setmov migrate {words} on {host.name}: {done}")
    return json.loads(done.out.splitlines()[-1]) if done.out else {"error": done.err}


def clean(*hosts):
    """Nothing of a migration is left but old images and their records, and leases."""
    for host in hosts:
        for directory in ("migrations", "incoming"):
            left = [name for name in below(host, directory) if not name.startswith("part-")]
            bed.require(not left, f"{directory} of {host.name}: {left}")
        overlays = [name for name in images(host) if re.search(r"\.setmov-(?!old-)", name)]
        bed.require(not overlays, f"overlays on {host.name}: {overlays}")


def definitions(host, guest):
    return [host.virsh("dumpxml", guest), host.virsh("dumpxml", "--inactive", guest)]


def check_there(host, guest, *paths, backing=None):
    """Running there, from exactly these images, with no trace of setmov in either definition."""
    bed.require(host.state(guest) == "running", f"{guest} on {host.name}: {host.state(guest)}")
    expected = set(paths)
    for xml in definitions(host, guest):
        found = set(re.findall(r"<source file='([^']*)'", xml)) - {backing}
        bed.require(found == expected and not TRACE.search(xml), f"{guest} on {host.name}: {xml}")
    live = host.virsh("dumpxml", guest)
    bed.require(backing is None or live.count(f"<source file='{backing}'") == 1, f"{guest} on {host.name}: {live}")


def goes_on(host, guest, least):
    """It counts on, and all that it has synced is on its disk."""
    first = host.count(guest)
    bed.require(first >= least, f"{guest} has {first}, not {least}")
    bed.poll(lambda: host.count(guest) > first, 30, f"{guest} to count on")


def stands_still(host, guest):
    last = host.still(guest)
    host.virsh("suspend", guest)
    bed.require(host.check_disk(guest, last) == last, f"{guest} has lost a record")
    host.virsh("resume", guest)


# ---- the tests --------------------------------------------------------------------------------


def to_beta_and_back(hosts):
    alpha, beta = hosts.alpha, hosts.beta
    alpha.writers("vm1")
    index(alpha, beta, hosts.gamma)
    before = (images(alpha), images(beta), below(beta, "incoming"))
    dry = migrate(alpha, "--dry-run", "--to", "beta", "vm1")
    bed.require((images(alpha), images(beta), below(beta, "incoming")) == before and not dry["moved"], f"--dry-run: {dry}")
    bed.require(abs(dry["blocks"]["sent"] - 63 * MEBIBYTE) < 2 * MEBIBYTE, f"--dry-run: {dry}")
    count = alpha.count("vm1")
    moved = migrate(alpha, "--to", "beta", "vm1")
    bed.require(abs(dry["bytes"]["parts"] - moved["bytes"]["parts"]) < 0.05 * moved["bytes"]["parts"], f"{dry} {moved}")
    bed.require(moved["moved"] and not moved["left"] and moved["attempts"] == 1, f"{moved}")
    bed.require(moved["blocks"]["local"] == 0 and moved["bytes"]["parts"] > 60 * MEBIBYTE, f"{moved}")
    bed.require(alpha.state("vm1") is None, "it is defined at the source as well")
    check_there(beta, "vm1", f"{IMAGES}/vm1.raw")
    goes_on(beta, "vm1", count)
    clean(alpha, beta)
    old = images(alpha)
    bed.require(len(old) == 1 and old[0].startswith("vm1.raw.setmov-old-"), f"old images: {old}")
    bed.require(len(below(alpha, "old")) == 1 and below(beta, "incoming") == [], "record of the old image, parts")

    count = beta.count("vm1")
    sent = beta.bytes()[0]
    moved = migrate(beta, "--to", "alpha", "vm1")
    sent = beta.bytes()[0] - sent
    bed.require(moved["moved"] and moved["blocks"]["local"] > 60 * MEBIBYTE, f"back: {moved}")
    bed.require(moved["bytes"]["wire"] < 6 * MEBIBYTE, f"back: {moved}")
    most = moved["bytes"]["wire"] + moved["bytes"]["memory"]
    bed.require(sent < 1.1 * most + MEBIBYTE, f"back: {sent} bytes on the link, told were {most}")
    check_there(alpha, "vm1", f"{IMAGES}/vm1.raw")
    goes_on(alpha, "vm1", count)
    stands_still(alpha, "vm1")
    clean(alpha, beta)
    bed.require(old[0] in images(alpha), "the old image was touched")


def identical(hosts):
    """Nothing but the plan is sent of a disk that did not change."""
    moved = migrate(hosts.alpha, "--to", "beta", "vm1")
    bed.require(moved["moved"] and moved["bytes"]["parts"] < MEBIBYTE and moved["bytes"]["plan"] < 65536, f"{moved}")
    stands_still(hosts.beta, "vm1")
    clean(hosts.alpha, hosts.beta)


def two_disks(hosts):
    """A qcow2 with clusters of its own size, and a second disk."""
    alpha, gamma = hosts.alpha, hosts.gamma
    raw, qcow2 = alpha.path(f"{IMAGES}/two.raw"), alpha.path(f"{IMAGES}/two.qcow2")
    guest_disk.make(raw, 16 * MEBIBYTE, "two")
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", "-o", "cluster_size=16k", raw, qcow2], check=True)
    os.unlink(raw)
    data = alpha.path(f"{IMAGES}/data.qcow2")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", data, "1G"], check=True)
    subprocess.run(["qemu-io", "-c", "write -P 7 5M 3M", "-c", "write -P 9 900M 64k", data], check=True, stdout=subprocess.DEVNULL)
    alpha.writers("two")
    alpha.virsh("attach-disk", "two", f"{IMAGES}/data.qcow2", "vdb", "--subdriver", "qcow2", "--persistent")
    expected, count = content(data), alpha.count("two")
    moved = migrate(alpha, "--to", "gamma", "--old-images", "remove", "two")
    bed.require(moved["moved"] and not moved["left"], f"{moved}")
    check_there(gamma, "two", f"{IMAGES}/two.qcow2", f"{IMAGES}/data.qcow2")
    goes_on(gamma, "two", count)
    stands_still(gamma, "two")
    bed.require(content(gamma.path(f"{IMAGES}/data.qcow2")) == expected, "the second disk differs")
    info = format_of(gamma.path(f"{IMAGES}/two.qcow2"))
    bed.require(info["format"] == "qcow2" and info["cluster-size"] == 16384 and "backing-filename" not in info, f"{info}")
    bed.require(not [name for name in images(alpha) if name.startswith(("two", "data"))], f"old images stay: {images(alpha)}")
    clean(alpha, gamma)


def clones(hosts):
    """Two on one golden image: it is sent once, and each layer stays one."""
    alpha, gamma = hosts.alpha, hosts.gamma
    golden = alpha.path(f"{IMAGES}/golden.raw")
    guest_disk.make(golden, 16 * MEBIBYTE, "golden")
    for name in ("clone1", "clone2"):
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", "golden.raw", "-F", "raw",
                        alpha.path(f"{IMAGES}/{name}.qcow2")], check=True)
    # libvirt's own view of the chain needs the absolute path inside the host.
    for name in ("clone1", "clone2"):
        subprocess.run(["qemu-img", "rebase", "-u", "-b", f"{IMAGES}/golden.raw", "-F", "raw",
                        alpha.path(f"{IMAGES}/{name}.qcow2")], check=True)
    alpha.writers("clone1", "clone2")
    first = migrate(alpha, "--to", "gamma", "clone1")
    bed.require(first["moved"] and first["bytes"]["parts"] > 14 * MEBIBYTE, f"{first}")
    index(gamma)
    count = alpha.count("clone2")
    second = migrate(alpha, "--to", "gamma", "clone2")
    bed.require(second["moved"] and second["bytes"]["parts"] < 4 * MEBIBYTE, f"{second}")
    check_there(gamma, "clone2", f"{IMAGES}/clone2.qcow2", backing=f"{IMAGES}/golden.raw")
    goes_on(gamma, "clone2", count)
    for name in ("clone1", "clone2"):
        info = format_of(gamma.path(f"{IMAGES}/{name}.qcow2"))
        bed.require(info["backing-filename"] == f"{IMAGES}/golden.raw" and info["backing-filename-format"] == "raw", f"{info}")
    with open(golden, "rb") as here, open(gamma.path(f"{IMAGES}/golden.raw"), "rb") as there:
        bed.require(here.read() == there.read(), "the golden image differs")
    clean(alpha, gamma)


def off(hosts):
    alpha, beta = hosts.alpha, hosts.beta
    alpha.writers("cold")
    alpha.virsh("destroy", "cold")
    expected = content(alpha.path(f"{IMAGES}/cold.raw"))
    refused = alpha.attempt("setmov", "migrate", "--to", "beta", "cold")
    bed.require(refused.status == 1 and "--offline" in refused.err, f"{refused}")
    moved = migrate(alpha, "--offline", "--to", "beta", "cold")
    bed.require(moved["moved"] and not moved["left"], f"{moved}")
    bed.require(alpha.state("cold") is None and beta.state("cold") == "shut off", f"{beta.state('cold')}")
    bed.require(content(beta.path(f"{IMAGES}/cold.raw")) == expected, "its disk differs")
    bed.require(not TRACE.search(beta.virsh("dumpxml", "cold")), "its definition names a plan")
    beta.virsh("start", "cold")
    clean(alpha, beta)


def define(host, name, disk, driver):
    """An idle guest with that disk, which is off."""
    with open(host.path(f"{STATE}/{name}.xml"), "w", encoding="utf-8") as file:
        file.write(f"""<domain type='qemu'><name>{name}</name><memory unit='MiB'>16</memory>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='file' device='disk'><driver name='qemu' type='{driver}'/><source file='{disk}'/><target dev='vda' bus='virtio'/></disk>
<controller type='usb' model='none'/></devices></domain>""")
    host.virsh("define", f"{STATE}/{name}.xml")


def template(hosts):
    """It moves, but its disk stays: another VM's lies on it, with one in between that nobody names."""
    alpha, beta = hosts.alpha, hosts.beta
    disk, between, top = (f"{IMAGES}/{name}" for name in ("template.raw", "between.qcow2", "top.qcow2"))
    guest_disk.make(alpha.path(disk), 16 * MEBIBYTE, "template")
    alpha.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", disk, "-F", "raw", between)
    alpha.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", between, "-F", "qcow2", top)
    define(alpha, "user", top, "qcow2")
    index(alpha, beta)
    for wish, name in (("remove", "template"), ("keep", "template2")):
        define(alpha, name, disk, "raw")
        moved = migrate(alpha, "--offline", "--to", "beta", "--old-images", wish, name, status=3)
        reason = f"the old image {disk} stays as it is: {top}, which a domain names, is made of it"
        bed.require(moved["moved"] and len(moved["left"]) == 1 and reason in moved["left"][0], f"{moved}")
        bed.require(os.path.exists(alpha.path(disk)) and beta.state(name) == "shut off", f"{images(alpha)}")
        beta.virsh("undefine", name)
        os.unlink(beta.path(disk))
    clean(alpha, beta)


def same(hosts):
    """Its disk is there under another name: nothing but the plan crosses, for the exact fingerprint is here by its like."""
    alpha, beta = hosts.alpha, hosts.beta
    shutil.copyfile(alpha.path(f"{IMAGES}/template.raw"), beta.path(f"{IMAGES}/other.raw"))
    index(alpha, beta)
    fingerprint = 16 * MEBIBYTE // 4096 * 24
    for name in ("template", "copy"):  # the copy is in no index
        disk = f"{IMAGES}/{name}.raw"
        if name == "copy":
            shutil.copyfile(alpha.path(f"{IMAGES}/template.raw"), alpha.path(disk))
        define(alpha, name, disk, "raw")
        alpha.run("setmov", "sync")
        moved = migrate(alpha, "--offline", "--to", "beta", name, status=3 if name == "template" else 0)
        bytes_ = moved["bytes"]
        bed.require(moved["moved"] and bytes_["parts"] == 0 and bytes_["catalog"] < fingerprint // 2, f"{moved}")
        bed.require(content(beta.path(disk)) == content(beta.path(f"{IMAGES}/other.raw")), "its disk differs")
        beta.virsh("undefine", name)
        os.unlink(beta.path(disk))
    clean(alpha, beta)


def refusals(hosts):
    """One line each, status 1, and all is as it was."""
    beta = hosts.beta
    before = (images(beta), images(hosts.alpha), beta.state("vm1"))
    for words, text in (
            (("--to", "nowhere", "vm1"), "has no [host nowhere]"),
            (("--to", "beta", "vm1"), "is this host"),
            (("--to", "alpha", "nothing"), "nothing"),
            (("--to", "alpha", "--offline", "vm1"), "runs"),
            (("--to", "qemu+tcp://10.77.0.99/system", "vm1"), "10.77.0.99")):
        done = beta.attempt("setmov", "migrate", *words, timeout=100)
        lines = [line for line in done.err.splitlines() if ": note: " not in line]
        bed.require(done.status == 1 and len(lines) == 1 and text in lines[0], f"{words}: {done}")
    with open(hosts.alpha.path(f"{IMAGES}/vm1.raw"), "w", encoding="utf-8") as file:
        file.write("somebody else's")
    done = beta.attempt("setmov", "migrate", "--to", "alpha", "vm1")
    bed.require(done.status == 1 and "vm1.raw" in done.err, f"{done}")
    with open(hosts.alpha.path(f"{IMAGES}/vm1.raw"), encoding="utf-8") as file:
        bed.require(file.read() == "somebody else's", "a file was touched")
    os.unlink(hosts.alpha.path(f"{IMAGES}/vm1.raw"))
    bed.require((images(beta), images(hosts.alpha), beta.state("vm1")) == before, "something changed")
    clean(hosts.alpha, beta)


def run(hosts):
    for host in hosts.all:
        configure(host)
    for test in (to_beta_and_back, identical, refusals, two_disks, clones, off, template, same):
        test(hosts)
        print(f"ok: {test.__name__}", flush=True)


three_hosts.main(run)

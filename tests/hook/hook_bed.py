# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of the hook share: a made-up catalog of small images, and the real program on the XML of a domain."""

import os
import random
import re
import shutil
import stat
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("SETMOV_BUILD") or ROOT / "build").resolve()
SETMOV, HOOK, MADE_CATALOG = BUILD / "setmov", BUILD / "hooks/setmov", BUILD / "tests/helpers/made_catalog"
VM1_XML = (ROOT / "tests/data/vm/incoming-vm1.xml").read_text()
VM1 = "2db7cae2-c8d0-48ea-b4f7-e72afac42b96"
VM2 = "11111111-2222-3333-4444-555555555555"
NAMESPACE = "https://setmov.org/xmlns/domain/1"
OVERRIDE = f"virsh metadata {VM1} {NAMESPACE} --key setmov --set '<override/>'"
BLOCK, MIB = 4096, 1 << 20
BOUND = 60  # seconds; far more than anything here takes


def blocks(seed, count):
    """Random blocks, the same ones for a seed; a shorter row is the beginning of a longer one."""
    return random.Random(seed).randbytes(count * BLOCK)


class Park(unittest.TestCase):
    """beta is this host; alpha has vm1; gamma has what a test gives it."""

    maxDiff = None

    def setUp(self):
        self.work = Path(tempfile.mkdtemp(prefix="hook-"))
        self.addCleanup(shutil.rmtree, self.work)
        self.images, self.cache, self.index = self.work / "images", self.work / "cache", self.work / "index"
        self.disk = f"{self.images}/vm1.raw"
        self.log, self.config = self.work / "hook.log", self.work / "setmov.conf"
        self.now = int(time.time())
        self.hosts = {}
        self.block_sizes = [BLOCK]
        self.images.mkdir()
        self.cache.mkdir()
        self.configure()

    # ---- the catalog ----

    def directory(self, host):
        return self.index if host == "beta" else self.cache / "hosts" / host

    def holds(self, host, images=None, vms=(), **facts):
        """The host has these images (name: content) and VMs (uuid, name, [(target, path)])."""
        directory = self.directory(host)
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in (images or {}).items():
            (self.images / name).write_bytes(content)
        if images:
            command = [SETMOV, "index", "--quiet", "--index", directory, "--block-size",
                       ",".join(map(str, self.block_sizes)), *(self.images / name for name in images)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=BOUND)
        self.hosts[host] = (vms, facts)

    def sync(self, made=None):
        """Makes `known` and the merged indexes of what the hosts hold."""
        lines = [f"made {self.now - 60 if made is None else made}"]
        for host in sorted(self.hosts):
            vms, facts = self.hosts[host]
            words = [f"{key}={value}" for key, value in facts.items()]
            lines.append(" ".join(["host", host, str(self.directory(host)), *words] + ["self=1"] * (host == "beta")))
            for uuid, name, active, disks in vms:
                lines.append(f"vm {uuid} {name} active={active:d}")
                lines += [f"disk {' '.join(map(str, disk))}" for disk in disks]
        lines += [f"merged {size}" for size in self.block_sizes]
        subprocess.run([MADE_CATALOG, self.cache], input="\n".join(lines) + "\n", text=True, check=True, timeout=BOUND)

    def vm1(self, *disks, active=True):
        return (VM1, "vm1", active, disks or [("vda", self.disk)])

    def usual(self, here=b"", there=None, image=None):
        """alpha has vm1, of 8 MiB; beta and gamma hold what is given (gamma: all of it)."""
        image = blocks(1, 2048) if image is None else image
        self.holds("alpha", {"vm1.raw": image}, [self.vm1()])
        self.holds("beta", {"beta.raw": here} if here else None)
        there = image if there is None else there
        self.holds("gamma", {"gamma.raw": there} if there else None)
        self.sync()

    # ---- setmov.conf ----

    def configure(self, policy="advise", hook="", setmov="", hosts="", text=None):
        if text is None:
            text = f"""
[setmov]
name = beta
index = {self.index}
{setmov}
[host alpha]
uri = qemu+tls://alpha/system
[host gamma]
uri = qemu+tls://gamma/system
{hosts}
[sync]
cache = {self.cache}
[hook]
policy = {policy}
margin = 1M 10%
directories = {self.images}
log = {self.log}
{hook}
"""
        self.config.write_text(text)

    # ---- the hook ----

    def xml(self, disk=None, metadata=""):
        """vm1's as libvirt gives it, its disk where the test has it."""
        text = VM1_XML.replace("/var/lib/libvirt/images/vm1.raw", disk or self.disk)
        self.assertIn(disk or self.disk, text)
        return text.replace("<memory ", f"<metadata>{metadata}</metadata>\n  <memory ", 1)

    def ask(self, xml=None, words=("vm1", "migrate", "begin", "-"), config=None):
        """(exit status, stderr); stdout is empty, whatever happens."""
        xml = self.xml() if xml is None else xml
        done = subprocess.run([HOOK, *words, "--config", config or self.config],
                              input=xml.encode() if isinstance(xml, str) else xml,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, timeout=BOUND)
        self.assertEqual(done.stdout, b"", "libvirt takes what is printed for XML")
        self.assertIn(done.returncode, (0, 1))
        return done.returncode, done.stderr.decode()

    def logged(self):
        """The last line of the log, without what stands in front of it and how long it took."""
        line = self.log.read_text().splitlines()[-1]
        match = re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} setmov-hook\[\d+\]: (.*); took \d+\.\d ms", line)
        self.assertTrue(match, line)
        return re.sub(r"catalog \d+ (s|min) old", "catalog N old", match[1])

    def passes(self, log, **ask):
        """Exit status 0, nothing said, one line in the log."""
        before = len(self.log.read_text().splitlines()) if self.log.exists() else 0
        self.assertEqual(self.ask(**ask), (0, ""))
        self.assertEqual(self.logged(), log)
        self.assertEqual(len(self.log.read_text().splitlines()), before + 1)

    def refuses(self, text, log=None, **ask):
        """Exit status 1 and exactly this line."""
        self.assertEqual(self.ask(**ask), (1, text + "\n"))
        if log is not None:
            self.assertEqual(self.logged(), log)

    def requests(self):
        return sorted(path.name for path in self.index.iterdir() if path.name.endswith((".request", ".tmp")))

    def mode(self, path):
        return stat.S_IMODE(os.stat(path).st_mode)


def main():
    for program in (HOOK, MADE_CATALOG, SETMOV):
        if not program.exists():
            raise SystemExit(f"{program} is not built")
    unittest.main(verbosity=0)

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A VM that arrives with a plan: its disks are built, or nothing is, and whatever is wrong is said in one line."""

import fcntl
import hashlib
import os
import re
import resource
import shutil
import signal
import stat
import struct
import subprocess
import time

import hook_bed
from hook_bed import BOUND, HOOK, MIB, NAMESPACE, VM1, VM2, blocks

PLAN_TOOL = hook_bed.BUILD / "tests/helpers/plan_tool"
WAITING, BEGUN, BUILDING, PUBLISHED, REFUSED = range(5)
STRETCH = 64 << 10  # of a plan
PLAN_NAME = "vm1-a"


class Build(hook_bed.Park):
    """beta's index has an image that has most of vm1's; the rest was sent."""

    def setUp(self):
        super().setUp()
        self.state, self.incoming = self.work / "state", self.work / "incoming"
        self.incoming.mkdir(mode=0o700)
        self.content = blocks(1, 512) + bytes(MIB) + blocks(2, 256)  # 2 MiB, a hole, 1 MiB
        self.donor = self.images / "donor.raw"
        self.donor_content = blocks(1, 512) + bytes(MIB)
        self.holds("beta", {"donor.raw": self.donor_content})
        self.wanted = self.work / "wanted"
        self.wanted.write_bytes(self.content)
        self.configure("enforce")

    def configure(self, policy="advise", hook="", setmov="", hosts="", text=None):
        super().configure(policy, hook, f"state = {self.work}/state\nincoming = {self.work}/incoming\n{setmov}",
                          f"{hosts}\n[choose]\nspace-reserve = 0\n", text)

    # ---- plans ----

    def plan(self, *images, name=PLAN_NAME, uuid=VM1, progress=True):
        """Makes it; its SHA-256. Images are (path, format, content's file, donor, backing)."""
        images = images or [(self.disk, "raw", self.wanted, self.donor, "-")]
        done = subprocess.run([PLAN_TOOL, self.incoming, name, uuid, "vm1", *(str(word) for image in images for word in image)],
                              check=True, stdout=subprocess.PIPE, text=True, timeout=BOUND)
        if progress:
            (self.incoming / f"{name}.progress").write_bytes(bytes(512))
        return done.stdout.strip()

    def planned(self, sha256, name=PLAN_NAME, disk=None):
        """vm1's XML with a plan."""
        return self.xml(disk, f'<s:plan xmlns:s="{NAMESPACE}" name="{name}" sha256="{sha256}"/>')

    def parts(self):
        return sorted(self.incoming.glob("part-*"))

    def progress(self, name=PLAN_NAME):
        """(phase, done, total, failed, message)"""
        record = (self.incoming / f"{name}.progress").read_bytes()
        self.assertEqual((len(record), record[:8]), (512, b"SETMOVPR"))
        phase, done, total, failed = struct.unpack_from("<IQQQ", record, 12)
        return phase, done, total, failed, record[40:440].split(b"\0")[0].decode()

    # ---- what is there ----

    def left(self):
        """All files but those that the test made."""
        own = {"setmov.conf", "wanted", "hook.log"}
        return sorted(str(path.relative_to(self.work)) for path in self.work.rglob("*")
                      if path.is_file() and path.name not in own and not path.is_relative_to(self.index)
                      and path != self.donor and not path.is_relative_to(self.incoming))

    def leases(self):
        return sorted((self.state / "leases").glob("*.lease"))

    def is_built(self, path=None, content=None):
        path = path or self.disk
        with open(path, "rb") as file:
            self.assertEqual(file.read(), content or self.content)
        self.assertEqual(self.mode(path), 0o600)
        found = [lease for lease in self.leases() if f"inode {os.stat(path).st_ino}" in lease.read_text() or str(path) in lease.read_text()]
        self.assertEqual(len(found), 1, f"leases of {path}")

    def logged_last(self):
        line = self.log.read_text().splitlines()[-1]
        return re.sub(r"^\S+ setmov-hook\[\d+\]: |; took \d+\.\d s$", "", line)

    def refused(self, why, sha256=None, code=REFUSED, xml=None, left=(), **planned):
        """Exit status 1, this line, nothing made."""
        xml = xml or self.planned(sha256 or self.plan(), **planned)
        self.refuses(f"setmov refuses vm1: {why}", xml=xml)
        self.assertEqual(self.logged_last(), f"vm1 ({VM1}): refused, with plan {shown(planned.get('name', PLAN_NAME))}: {why}")
        self.nothing_left(left)
        if code is not None:
            self.assertEqual((self.progress()[0], self.progress()[4]), (code, why))

    def nothing_left(self, but=()):
        self.assertEqual([path for path in self.left() if path not in but], [])

    # ---- a hook that runs ----

    def begin(self, xml, hook=HOOK, pass_fds=()):
        process = subprocess.Popen([hook, "vm1", "migrate", "begin", "-", "--config", self.config], pass_fds=pass_fds,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(self.end, process)
        process.stdin.write(xml.encode())
        process.stdin.close()
        process.stdin = None
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()

    def finish(self, process):
        out, err = process.communicate(timeout=BOUND)
        self.assertEqual(out, b"")
        return process.returncode, err.decode()

    def wait_for(self, what, condition):
        end = time.monotonic() + BOUND
        while not condition():
            self.assertLess(time.monotonic(), end, what)
            time.sleep(0.01)

    @staticmethod
    def children(pid):
        try:
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
                return [int(word) for word in file.read().split()]
        except (FileNotFoundError, ProcessLookupError):
            return []

    def builder(self, process):
        """Process id of setmov-apply."""
        def found():
            return [pid for pid in self.children(process.pid) if self.comm(pid) == "setmov-apply"]
        self.wait_for("setmov-apply is started", found)
        return found()[0]

    @staticmethod
    def comm(pid):
        try:
            with open(f"/proc/{pid}/comm", encoding="ascii") as file:
                return file.read().strip()
        except (FileNotFoundError, ProcessLookupError):
            return None

    def hold(self, path):
        """Somebody else builds the image of that path: who wants it waits. Returns what to close."""
        (self.state / "locks").mkdir(parents=True, exist_ok=True)
        lock = open(self.state / "locks" / (hashlib.sha256(os.fsencode(path)).hexdigest()[:32] + ".lock"), "wb")
        fcntl.flock(lock, fcntl.LOCK_EX)
        self.addCleanup(lock.close)
        return lock

    def waiting(self, name=PLAN_NAME):
        """A hook that waits, and its builder."""
        sha256 = self.plan(name=name)
        lock = self.hold(self.disk)
        process = self.begin(self.planned(sha256, name=name))
        builder = self.builder(process)
        self.wait_for("it builds", lambda: (self.incoming / f"{name}.progress").read_bytes()[12:13] == bytes([BUILDING]))
        return process, builder, lock


class Success(Build):
    def test_a_disk_is_built_of_donor_and_parts(self):
        sha256 = self.plan()
        self.assertEqual(self.ask(self.planned(sha256)), (0, ""))
        self.is_built()
        self.assertEqual(self.progress(), (PUBLISHED, 3 * MIB, 3 * MIB, 0, ""))
        self.assertEqual(self.logged_last(), f"vm1 ({VM1}): passed: built 1 of 1 image by plan {PLAN_NAME}: "
                                             "2.00M from here, 0 replicated, 1.00M sent")
        self.assertEqual(self.left(), sorted(["images/vm1.raw", *(str(path.relative_to(self.work)) for path in self.leases())]))
        self.assertLess(os.stat(self.disk).st_blocks * 512, 3 * MIB + 65536, "holes stay holes")
        self.assertFalse((self.incoming / f"{PLAN_NAME}.failed").exists())

    def test_whatever_the_policy_says_of_the_ranking(self):
        """gamma has all of it; who migrates has chosen beta."""
        self.usual()
        os.unlink(self.disk)
        for policy in ("advise", "enforce", "redirect"):
            self.configure(policy, "unknown = refuse")
            self.assertEqual(self.ask(self.planned(self.plan())), (0, ""))
            self.is_built()
            os.unlink(self.disk)
            shutil.rmtree(self.state)
        self.assertEqual(self.requests(), [])

    def test_off_judges_nothing_but_builds(self):
        self.usual()
        os.unlink(self.disk)
        self.configure("off", "unknown = refuse")
        self.assertEqual(self.ask(self.planned(self.plan())), (0, ""))
        self.is_built()

    def test_nobody_needs_to_look(self):
        """Without a record of progress none is made; one that is no such record is left alone."""
        sha256 = self.plan(progress=False)
        path = self.incoming / f"{PLAN_NAME}.progress"
        self.assertEqual(self.ask(self.planned(sha256)), (0, ""))
        self.assertFalse(path.exists())
        victim = self.work / "victim"
        victim.write_bytes(bytes(512))
        for make in (lambda: path.write_bytes(bytes(511)), lambda: path.symlink_to(victim), lambda: os.mkfifo(path), path.mkdir):
            os.unlink(self.disk)
            make()
            self.assertEqual(self.ask(self.planned(sha256)), (0, ""))
            self.assertEqual(victim.read_bytes(), bytes(512))
            if path.is_file() and not path.is_symlink():
                self.assertEqual(path.read_bytes(), bytes(511))
            os.rmdir(path) if path.is_dir() else path.unlink()

    def test_layers(self):
        """A linked clone on its golden image, which a second clone finds there."""
        golden = self.images / "golden.raw"
        own = self.work / "own"
        own.write_bytes(bytes(MIB) + blocks(3, 64) + bytes(len(self.content) - MIB - 64 * 4096))
        layers = [(golden, "raw", self.wanted, self.donor, "-"), (f"{self.images}/vm1.qcow2", "qcow2", own, "-", golden)]
        disk = f"{self.images}/vm1.qcow2"
        xml = self.planned(self.plan(*layers), disk=disk).replace("name='qemu' type='raw'", "name='qemu' type='qcow2'")
        self.assertEqual(self.ask(xml), (0, ""))
        self.is_built(golden)
        expected = bytearray(self.content)
        expected[MIB:MIB + 64 * 4096] = blocks(3, 64)
        subprocess.run(["qemu-img", "convert", "-O", "raw", disk, self.work / "flat"], check=True, timeout=BOUND)
        self.assertEqual((self.work / "flat").read_bytes(), bytes(expected))

    def test_shared_layers(self):
        """The golden image may be there already, the VM's own layer may not."""
        golden = self.images / "golden.raw"
        own = self.work / "own"
        own.write_bytes(bytes(MIB) + blocks(3, 64) + bytes(len(self.content) - MIB - 64 * 4096))
        disk = f"{self.images}/vm1.qcow2"
        golden.write_bytes(self.content)
        for form, passes in (("qcow2,may-exist", False), ("qcow2", True)):
            sha256 = self.plan((golden, "raw,may-exist", self.wanted, self.donor, "-"), (disk, form, own, "-", golden))
            xml = self.planned(sha256, disk=disk).replace("name='qemu' type='raw'", "name='qemu' type='qcow2'")
            status, err = self.ask(xml)
            self.assertEqual((status, os.path.exists(disk)), (0, True) if passes else (1, False), err)
            if not passes:
                self.assertEqual(err, f"setmov refuses vm1: its disk vda, {shown(disk)}, may be one that is there already, by "
                                      "its plan: the VM would write to another one's\n")
        self.assertEqual(len(self.leases()), 1, "one that was there is nobody's to remove")

    def test_without_the_key(self):
        """What is copied is verified by the plan's own SHA-256; the key tells nothing here."""
        self.configure("enforce", setmov=f"digest = keyed\nkey-file = {self.work}/no-key")
        self.assertEqual(self.ask(self.planned(self.plan())), (0, ""))
        self.is_built()

    def test_a_list_of_an_earlier_try_is_gone(self):
        sha256 = self.plan()
        (self.incoming / f"{PLAN_NAME}.failed").write_bytes(b"old")
        self.assertEqual(self.ask(self.planned(sha256)), (0, ""))
        self.assertFalse((self.incoming / f"{PLAN_NAME}.failed").exists())

    def test_two_at_once(self):
        """Two VMs; and the same one twice, of which one is refused."""
        process, builder, lock = self.waiting()
        other = f"{self.images}/vm2.raw"
        sha256 = self.plan((other, "raw", self.wanted, self.donor, "-"), name="vm2-a", uuid=VM2)
        xml = self.planned(sha256, name="vm2-a", disk=other).replace(VM1, VM2).replace("<name>vm1", "<name>vm2")
        self.assertEqual(self.ask(xml), (0, ""))
        self.is_built(other)
        same = hashlib.sha256((self.incoming / f"{PLAN_NAME}.plan").read_bytes()).hexdigest()
        self.refuses("setmov refuses vm1: its disks are being built by the same plan already", xml=self.planned(same))
        self.assertEqual(self.progress()[0], BUILDING, "that of the first one")
        self.assertIsNotNone(self.comm(builder))
        lock.close()
        self.assertEqual(self.finish(process), (0, ""))
        self.is_built()

    def test_one_of_a_directory_that_links_lead_to(self):
        """What [hook] names may be a link; what lies below may not."""
        real = self.work / "real"
        self.images.rename(real)
        self.images.symlink_to(real)
        self.donor = real / "donor.raw"
        shutil.rmtree(self.index)
        subprocess.run([hook_bed.SETMOV, "index", "--quiet", "--index", self.index, self.donor], check=True, stdout=subprocess.DEVNULL)
        self.assertEqual(self.ask(self.planned(self.plan())), (0, ""))
        self.is_built()


class Refused(Build):
    def test_a_plan_that_is_not_there(self):
        self.refused(f"its plan, {self.incoming}/{PLAN_NAME}.plan: No such file or directory", "0" * 64, None)
        shutil.rmtree(self.incoming)
        self.refused(f"{self.incoming} cannot be opened: No such file or directory ('setmov index' makes it)", "0" * 64, None)

    def test_a_name_that_leads_elsewhere(self):
        sha256 = self.plan()
        os.rename(self.incoming / f"{PLAN_NAME}.plan", self.work / "x.plan")
        for name in ("../x", "x/../y", ".x", "x" * 101, "-x"):
            self.refused(f"'{name[:80]}' cannot be the name of a plan", sha256, None, left=["x.plan"], name=name)

    def test_a_plan_that_is_no_file(self):
        sha256 = self.plan()
        path = self.incoming / f"{PLAN_NAME}.plan"
        os.rename(path, self.work / "x.plan")
        path.symlink_to(self.work / "x.plan")
        self.refused(f"its plan, {path}, is a symbolic link", sha256, None, left=["x.plan"])
        path.unlink()
        path.mkdir()
        self.refused(f"its plan, {path}, is no regular file", sha256, None, left=["x.plan"])
        path.rmdir()
        os.mkfifo(path)
        self.refused(f"its plan, {path}, is no regular file", sha256, None, left=["x.plan"])

    def test_another_plan_than_the_xml_has(self):
        sha256 = self.plan()
        path = self.incoming / f"{PLAN_NAME}.plan"
        whole = path.read_bytes()
        other = f"{PLAN_NAME}.plan is not the plan that it was sent with (its SHA-256 is another one)"
        self.refused(other, "0" * 64)
        for damaged in (whole[:-1], whole + b"x", whole[:20] + bytes([whole[20] ^ 1]) + whole[21:], b""):
            path.write_bytes(damaged)
            self.refused(other, sha256)
        path.write_bytes(b"no plan at all")
        sha256 = hashlib.sha256(b"no plan at all").hexdigest()
        status, err = self.ask(self.planned(sha256))
        self.assertEqual((status, err.count("\n")), (1, 1))
        self.assertTrue(err.startswith("setmov refuses vm1: its plan"), err)

    def test_another_vms_plan(self):
        self.refused("its plan is that of another VM", self.plan(uuid=VM2))

    def test_disks_that_are_not_the_plans(self):
        other = f"{self.images}/other.raw"
        image = (other, "raw", self.wanted, self.donor, "-")
        mine = (self.disk, "raw", self.wanted, self.donor, "-")
        self.refused(f"its disk vda, {shown(self.disk)}, is no image of its plan", self.plan(image))
        self.refused(f"an image of its plan, {shown(other)}, is none of its disks", self.plan(mine, image))
        self.refused(f"its disk vda, {shown(self.disk)}, is raw, but qcow2 in its plan",
                     self.plan((self.disk, "qcow2", self.wanted, self.donor, "-")))
        sha256 = self.plan()
        device = self.planned(sha256).replace("<disk type='file' device='disk'>", "<disk type='block' device='disk'>")
        device = device.replace(f"source file='{self.disk}'", f"source dev='{self.disk}'")
        self.refused(f"its disk vda, {shown(self.disk)}, is no image of its plan", sha256, xml=device)

    def test_what_lies_elsewhere(self):
        """Whatever the policy, the override and the administrator's file say."""
        outside = self.work / "outside"
        outside.mkdir()
        override = self.work / "override"
        override.mkdir()
        (override / VM1).touch()
        for policy, hook in (("advise", ""), ("enforce", ""), ("redirect", f"override = {override} metadata")):
            self.configure(policy, hook)
            for path in (f"{outside}/vm1.raw", "/etc/shadow", "/dev/sda", f"{self.images}2/vm1.raw"):
                sha256 = self.plan((path, "raw", self.wanted, self.donor, "-"))
                self.refused(f"its disk vda, {shown(path)}, does not lie in the directories of [hook] in beta's setmov.conf",
                             sha256, disk=path, left=[f"override/{VM1}"])
        golden = f"{outside}/golden.raw"
        disk = f"{self.images}/vm1.qcow2"
        sha256 = self.plan((golden, "raw", self.wanted, self.donor, "-"), (disk, "qcow2", self.wanted, "-", golden))
        xml = self.planned(sha256, disk=disk).replace("name='qemu' type='raw'", "name='qemu' type='qcow2'")
        self.refused(f"an image of its plan, {shown(golden)}, does not lie in the directories of [hook] in beta's setmov.conf",
                     sha256, xml=xml, left=[f"override/{VM1}"])

    def test_upwards(self):
        path = f"{self.images}/../outside.raw"
        self.refuses(f"setmov refuses vm1: domain XML: disk 'vda': path '{path}' leads upwards (..)",
                     xml=self.planned(self.plan(), disk=path))
        self.nothing_left()

    def test_a_symbolic_link_on_the_way(self):
        (self.work / "real").mkdir()
        (self.images / "sub").symlink_to(self.work / "real")
        disk = f"{self.images}/sub/vm1.raw"
        self.refused(f"{disk} cannot be made: {self.images}/sub is a symbolic link",
                     self.plan((disk, "raw", self.wanted, self.donor, "-")), disk=disk)
        self.assertEqual(list((self.work / "real").iterdir()), [])

    def test_a_name_that_is_taken(self):
        victim = self.work / "victim"
        victim.write_bytes(b"mine")
        path = self.images / "vm1.raw"
        for make in (lambda: path.write_bytes(b"mine"), lambda: path.symlink_to(victim), lambda: path.symlink_to("/nowhere"),
                     lambda: os.mkfifo(path), path.mkdir):
            make()
            status, err = self.ask(self.planned(self.plan()))
            self.assertEqual(status, 1)
            self.assertRegex(err, rf"^setmov refuses vm1: {re.escape(self.disk)}\b[^\n]*\n$")
            self.assertEqual(self.progress()[0], REFUSED)
            self.assertEqual(victim.read_bytes(), b"mine")
            if path.is_file() and not path.is_symlink():
                self.assertEqual(path.read_bytes(), b"mine")
            os.rmdir(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            self.nothing_left(["victim"])

    def test_a_full_disk(self):
        """By the figures, before anything is made."""
        self.configure("enforce", hosts="")
        text = self.config.read_text().replace("space-reserve = 0", "space-reserve = 1024T")
        self.config.write_text(text)
        status, err = self.ask(self.planned(self.plan()))
        self.assertEqual((status, err.count("\n")), (1, 1))
        self.assertIn("setmov refuses vm1: ", err)
        self.nothing_left()
        self.config.write_text(text.replace("space-reserve = 1024T", "space-reserve = 0"))
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        sha256 = self.plan()
        done = subprocess.run([HOOK, "vm1", "migrate", "begin", "-", "--config", self.config], input=self.planned(sha256).encode(),
                              capture_output=True, check=False, timeout=BOUND,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, limit[1])))
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertRegex(done.stderr.decode(), r"^setmov refuses vm1: [^\n]*File too large[^\n]*\n$")
        self.nothing_left()

    def test_broken_configuration(self):
        """Without a plan it passes; with one, the disks would not be there."""
        self.configure(text=self.config.read_text().replace("policy = enforce", "polcy = enforce"))
        line = self.config.read_text().splitlines().index("polcy = enforce") + 1
        self.assertEqual(self.ask(), (0, ""))
        status, err = self.ask(self.planned(self.plan()))
        self.assertEqual((status, err.count("\n")), (1, 1))
        self.assertTrue(err.startswith(f"setmov refuses a VM that comes with a plan: {self.config}:{line}: "), err)

    def test_xml_that_names_two_plans(self):
        sha256 = self.plan()
        element = f'<s:plan xmlns:s="{NAMESPACE}" name="{PLAN_NAME}" sha256="{sha256}"/>'
        self.refuses("setmov refuses vm1: domain XML: more than one plan", xml=self.xml(metadata=element * 2))
        self.nothing_left()


class DoesNotHold(Build):
    """Nothing is guessed: what is not what the plan says is listed, and the rest is not published."""

    def failed(self):
        """(extents, parts) of the list."""
        record = (self.incoming / f"{PLAN_NAME}.failed").read_bytes()
        self.assertEqual(record[:8], b"SETMOVFL")
        parts, = struct.unpack_from("<I", record, 12)
        extents, = struct.unpack_from("<Q", record, 16)
        return extents, parts

    def stale(self, extents, parts):
        status, err = self.ask(self.planned(self.sha256))
        self.assertEqual((status, err.count("\n")), (1, 1))
        self.assertTrue(err.startswith("setmov refuses vm1: "), err)
        self.assertEqual(self.failed(), (extents, parts), err)
        self.assertEqual((self.progress()[0], self.progress()[3]), (REFUSED, extents + parts))
        self.nothing_left()

    def setUp(self):
        super().setUp()
        self.sha256 = self.plan()
        self.part, = self.parts()

    def test_a_donor_that_changed(self):
        changed = bytearray(self.donor_content)
        changed[5 * STRETCH + 17] ^= 1
        changed[9 * STRETCH] ^= 1
        self.donor.write_bytes(changed)
        self.stale(2, 0)
        self.donor.write_bytes(self.donor_content)
        self.assertEqual(self.ask(self.planned(self.sha256)), (0, ""))
        self.is_built()
        self.assertFalse((self.incoming / f"{PLAN_NAME}.failed").exists())

    def test_a_donor_that_is_gone(self):
        self.donor.unlink()
        self.stale(2 * MIB // STRETCH, 0)

    def test_a_donor_that_is_a_link_to_what_is_not_given(self):
        """The index says which file it is; it is not read from where it does not lie."""
        self.donor.unlink()
        self.donor.symlink_to("/etc/shadow")
        self.stale(2 * MIB // STRETCH, 0)

    def test_a_donor_that_the_index_does_not_have(self):
        shutil.rmtree(self.index)
        self.index.mkdir()
        self.stale(2 * MIB // STRETCH, 0)

    def test_parts(self):
        whole = self.part.read_bytes()
        other = self.work / "other"
        other.write_bytes(bytes(len(self.content) - MIB) + blocks(9, 256))
        self.plan((f"{self.images}/x.raw", "raw", other, "-", "-"), name="other")
        another, = set(self.parts()) - {self.part}
        other.unlink()
        for damage in (lambda: self.part.write_bytes(whole[:len(whole) // 2]), lambda: self.part.write_bytes(b""),
                       lambda: self.part.write_bytes(whole[:100] + bytes([whole[100] ^ 4]) + whole[101:]),
                       lambda: self.part.write_bytes(whole + b"x"), lambda: shutil.copy(another, self.part), self.part.unlink,
                       lambda: self.part.symlink_to("/etc/shadow"), self.part.mkdir):
            if self.part.is_symlink():
                self.part.unlink()
            damage()
            self.stale(0, 1)
            if self.part.is_symlink():
                self.part.unlink()
        self.part.rmdir()
        self.part.write_bytes(whole)
        self.assertEqual(self.ask(self.planned(self.sha256)), (0, ""))
        self.is_built()


class Ends(Build):
    def test_cancelled(self):
        process, builder, _ = self.waiting()
        (self.incoming / f"{PLAN_NAME}.cancel").touch()
        self.assertEqual(self.finish(process), (1, "setmov refuses vm1: building its disks was cancelled\n"))
        self.assertEqual((self.progress()[0], self.progress()[4]), (REFUSED, "building its disks was cancelled"))
        self.assertIsNone(self.comm(builder))
        self.nothing_left([str(self.lock_of(self.disk))])

    def lock_of(self, path):
        return (self.state / "locks" / (hashlib.sha256(os.fsencode(path)).hexdigest()[:32] + ".lock")).relative_to(self.work)

    def test_the_hook_is_killed(self):
        process, builder, _ = self.waiting()
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.wait_for("setmov-apply ends with the hook", lambda: self.comm(builder) is None)
        self.nothing_left([str(self.lock_of(self.disk))])
        self.assertEqual(self.progress()[0], REFUSED)

    def test_libvirtd_is_killed(self):
        """A shell stands for it."""
        sha256 = self.plan()
        self.hold(self.disk)
        (self.work / "xml").write_text(self.planned(sha256))
        parent = subprocess.Popen(["sh", "-c", '"$0" vm1 migrate begin - --config "$1" <"$2"; true', HOOK, self.config, self.work / "xml"],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(self.end, parent)
        self.wait_for("the hook begins", lambda: self.children(parent.pid))
        hook, = self.children(parent.pid)
        self.wait_for("it builds", lambda: [pid for pid in self.children(hook) if self.comm(pid) == "setmov-apply"])
        builder, = self.children(hook)
        parent.send_signal(signal.SIGKILL)
        self.wait_for("the hook ends with libvirtd", lambda: self.comm(hook) is None)
        self.wait_for("setmov-apply, too", lambda: self.comm(builder) is None)

    def test_the_builder_is_killed(self):
        process, builder, lock = self.waiting()
        os.kill(builder, signal.SIGKILL)
        why = "its disks were not built: setmov-apply was ended by signal 9 (Killed)"
        self.assertEqual(self.finish(process), (1, f"setmov refuses vm1: {why}\n"))
        self.nothing_left([str(self.lock_of(self.disk))])
        lock.close()
        # What it left behind stands in nobody's way.
        sha256 = hashlib.sha256((self.incoming / f"{PLAN_NAME}.plan").read_bytes()).hexdigest()
        self.assertEqual(self.ask(self.planned(sha256)), (0, ""))
        self.is_built()
        self.assertEqual(sorted((self.state / "locks").iterdir()), [])

    def test_killed_at_any_time(self):
        """Whole with a lease, or not there."""
        sha256 = self.plan()
        for pause in (0, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1):
            process = self.begin(self.planned(sha256))
            time.sleep(pause)
            process.send_signal(signal.SIGKILL)
            process.wait()
            self.wait_for("nothing of it runs", lambda: not self.running())
            if os.path.exists(self.disk):
                self.is_built()
                os.unlink(self.disk)
            self.assertEqual([path for path in self.images.iterdir() if path != self.donor], [])
            shutil.rmtree(self.state, ignore_errors=True)

    def running(self):
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit() and self.comm(entry) == "setmov-apply":
                try:
                    with open(f"/proc/{entry}/cmdline", "rb") as file:
                        found += [entry] if os.fsencode(self.config) in file.read() else []
                except (FileNotFoundError, ProcessLookupError):
                    pass
        return found


class Program(Build):
    """A hook elsewhere, with another program to start."""

    def setUp(self):
        super().setUp()
        (self.work / "hooks/qemu.d").mkdir(parents=True)
        self.hook = self.work / "hooks/qemu.d/setmov"
        shutil.copy(HOOK, self.hook)
        self.program = self.work / "hooks/setmov-apply"
        self.document = self.planned(self.plan())

    def answer(self, script=None, where=None):
        if script is not None:
            where = where or self.program
            where.write_text("#!/bin/sh\n" + script)
            where.chmod(0o755)
        return self.finish(self.begin(self.document, self.hook))

    def not_built(self, why, script=None):
        self.assertEqual(self.answer(script), (1, f"setmov refuses vm1: its disks were not built: {why}\n"))

    def test_missing(self):
        self.not_built(f"setmov-apply is neither in {self.hook.parent} nor above it")
        self.program.mkdir()
        self.not_built("setmov-apply ended without a result (exit status 127)")

    def test_above_or_beside(self):
        self.assertEqual(self.answer("exit 0\n", self.hook.parent / "setmov-apply"), (0, ""))
        self.assertEqual(self.answer("echo here >&2; exit 1\n"), (1, "here\n"))

    def test_answers(self):
        self.assertEqual(self.answer("exit 0\n"), (0, ""))
        self.assertEqual(self.answer("echo warning >&2; echo ....; exit 0\n"), (0, ""))
        self.assertEqual(self.answer("printf 'no\\001way\\nmore\\n' >&2; exit 1\n"), (1, "no way\n"))
        self.assertEqual(self.answer("head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 1\n"), (1, "x" * 4095 + "\n"))
        self.not_built("setmov-apply ended without a result (exit status 1)", "exit 1\n")
        self.not_built("setmov-apply ended without a result (exit status 3)", "echo why >&2; exit 3\n")
        self.not_built("setmov-apply was ended by signal 11 (Segmentation fault)", "kill -SEGV $$\n")

    def test_what_it_gets(self):
        """The XML, a small environment, no descriptors but its three."""
        seen = self.work / "seen"
        secret = os.open(self.config, os.O_RDONLY)
        self.addCleanup(os.close, secret)
        self.program.write_text(f"#!/bin/sh\ncat >{seen}; env >{seen}.env; echo \"$@\" >{seen}.words; ls -l /proc/self/fd >{seen}.fds\n")
        self.program.chmod(0o755)
        self.assertEqual(self.finish(self.begin(self.document, self.hook, (secret,))), (0, ""))
        self.assertEqual(seen.read_text(), self.document)
        self.assertEqual((self.work / "seen.words").read_text(), f"--config {self.config}\n")
        names = {line.split("=")[0] for line in (self.work / "seen.env").read_text().splitlines()}
        self.assertEqual(names - {"PWD", "OLDPWD", "SHLVL", "_"}, {"LC_ALL", "PATH"})
        self.assertNotIn(str(self.config), (self.work / "seen.fds").read_text())

    def test_by_hand(self):
        """The program by itself."""
        apply = HOOK.parent / "setmov-apply"
        done = subprocess.run([apply, "--config", self.config], input=self.xml().encode(), capture_output=True, check=False, timeout=BOUND)
        self.assertEqual((done.returncode, done.stderr), (1, b"setmov refuses vm1: it has no plan\n"))
        done = subprocess.run([apply, "--config", self.config], input=b"<domain>", capture_output=True, check=False, timeout=BOUND)
        self.assertEqual((done.returncode, done.stderr.count(b"\n")), (1, 1))
        self.assertTrue(done.stderr.startswith(b"setmov refuses a VM: domain XML: "), done.stderr)
        done = subprocess.run([apply, "x"], input=b"", capture_output=True, check=False, timeout=BOUND)
        self.assertEqual(done.returncode, 2)


class Small(Build):
    def test_the_hook_stays_small(self):
        """It is started for every operation on every domain."""
        libraries = subprocess.run(["ldd", HOOK], capture_output=True, text=True, check=True).stdout
        names = {line.split()[0].split("/")[-1].split(".")[0] for line in libraries.splitlines()}
        if "SETMOV_SANITIZED" not in os.environ:
            self.assertLessEqual(names, {"linux-vdso", "libm", "libc", "ld-linux-x86-64"})
        self.assertTrue(stat.S_ISREG(os.stat(HOOK).st_mode))


def shown(path):
    """As messages have it: the end of a long one."""
    path = str(path)
    return path if len(path) <= 80 else "..." + path[-77:]


if __name__ == "__main__":
    hook_bed.main()

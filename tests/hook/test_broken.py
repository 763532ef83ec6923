#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the hook does with what is missing, old, damaged or hostile: it says so, and stops nothing that it need not stop."""

import os
import random
import re
import resource
import signal
import subprocess
import tempfile
import time

import hook_bed
from hook_bed import BLOCK, HOOK, OVERRIDE, ROOT, VM1, VM2, blocks

PASSED = f"vm1 ({VM1}): passed: the catalog cannot tell: "
CORPUS = ROOT / "tests/fuzz/corpus/vm_incoming"


class Unknown(hook_bed.Park):
    def setUp(self):
        super().setUp()
        self.usual()

    def unknown(self, reason, policy="enforce", **ask):
        """Passed with a line in the log, or refused as configured."""
        self.configure(policy)
        self.passes(PASSED + reason, **ask)
        self.configure(policy, "unknown = refuse")
        self.refuses(f"setmov refuses vm1: the catalog of beta cannot tell where it should go: {reason}. "
                     f"To override: {OVERRIDE}",
                     f"vm1 ({VM1}): refused: the catalog cannot tell: {reason}", **ask)

    def test_no_catalog(self):
        (self.cache / "known").unlink()
        for policy in ("advise", "enforce", "redirect"):
            self.unknown(f"there is none in {self.cache} ('setmov sync' makes it)", policy)

    def test_a_vm_that_nobody_has(self):
        self.holds("alpha", None, [(VM2, "vm1", True, [("vda", self.disk)])])
        self.sync()
        self.unknown("no host is known to have the VM")

    def test_a_catalog_that_is_too_old_or_from_the_future(self):
        for made in (self.now - 86400 - 100, self.now + 86400):
            self.sync(made)
            self.configure("enforce")
            self.assertEqual(self.ask(), (0, ""))
            self.assertRegex(self.logged(), f"known was made -?\\d+ s ago; more than 86400 s are too old$")
        self.sync(self.now - 86400 + 100)
        self.assertEqual(self.ask()[0], 1)
        self.sync(self.now - 7200)
        self.configure("enforce", "max-age = 1h")
        self.assertEqual(self.ask(), (0, ""))

    def test_a_holder_that_was_not_read_for_long(self):
        self.holds("alpha", None, [self.vm1()], read=self.now - 2 * 86400)
        self.sync()
        self.configure("enforce")
        self.assertEqual(self.ask(), (0, ""))
        self.assertRegex(self.logged(), r"nothing was read from alpha, which has the VM, for \d+ s$")

    def test_disks_without_fingerprints(self):
        self.holds("alpha", None, [self.vm1(("vda", self.disk, "image=no"))])
        self.sync()
        self.unknown("alpha has no fingerprint of disk vda")
        xml = re.sub(r"<disk .*?</disk>", "", self.xml(), flags=re.DOTALL)
        self.unknown("the VM has no disk of its own that is a file or a device", xml=xml.replace("<controller", f"<!--{self.disk}--><controller"))

    def test_other_digests_than_those_configured(self):
        self.configure("enforce", setmov="digest = md5")
        self.passes(PASSED + "alpha has no fingerprints of the digest and block sizes of setmov.conf")

    def test_without_a_merged_index(self):
        (self.cache / "sha256-4096.merged").unlink()
        self.configure("enforce")
        self.assertEqual(self.ask(), (0, ""))
        self.assertTrue(self.logged().startswith(PASSED + f"{self.cache}/sha256-4096.merged: "), self.logged())

    def test_without_this_host_in_it(self):
        merged = (self.cache / "sha256-4096.merged").read_bytes()
        del self.hosts["beta"]
        (self.cache / "sha256-4096.merged").unlink()
        self.sync()
        self.configure("enforce")
        self.passes(PASSED + "it does not know this host")
        self.holds("beta")
        self.sync()
        other = (self.cache / "sha256-4096.merged").read_bytes()
        self.assertEqual(self.ask()[0], 1)
        del self.hosts["beta"]
        (self.cache / "sha256-4096.merged").unlink()
        known = (self.cache / "known").read_bytes()
        self.sync()
        (self.cache / "known").write_bytes(known)
        self.passes(PASSED + "this host's own fingerprints are not in the merged index")
        self.assertEqual(len(merged), len(other))


class Damage(hook_bed.Park):
    def setUp(self):
        super().setUp()
        self.usual()
        self.configure("enforce")

    def survives(self, path, content):
        """Passed with a reason, or decided as ever where the damage is nowhere that matters; one line either way."""
        path.write_bytes(content)
        status, err = self.ask()
        self.assertEqual(len(err.splitlines()), status)
        return status, self.logged()

    def damage(self, path, sure):
        """`sure`: every damage is found out."""
        whole, found, changes = path.read_bytes(), 0, random.Random(7)
        tries = []
        for length in (0, 1, 50, len(whole) // 2, len(whole) - 1):
            tries.append(whole[:length])
        for _ in range(30):
            at = changes.randrange(len(whole))
            tries.append(whole[:at] + bytes([whole[at] ^ 1 << changes.randrange(8)]) + whole[at + 1:])
        for content in (b"\0" * len(whole), b"\xff" * len(whole), changes.randbytes(len(whole)), whole + b"x"):
            tries.append(content)
        for content in tries:
            status, logged = self.survives(path, content)
            if status == 0:
                self.assertIn("the catalog cannot tell: ", logged)
                self.assertIn(path.name, logged)
                found += 1
        self.assertGreaterEqual(found, len(tries) if sure else 7, f"{path}: found {found} of {len(tries)}")
        path.write_bytes(whole)
        self.assertEqual(self.ask()[0], 1)

    def test_known(self):
        self.damage(self.cache / "known", True)

    def test_merged(self):
        self.damage(self.cache / "sha256-4096.merged", False)

    def test_fingerprint(self):
        path, = (self.cache / "hosts/alpha").glob("*.fingerprint")
        self.damage(path, False)

    def test_what_is_no_file(self):
        for name in ("known", "sha256-4096.merged"):
            path = self.cache / name
            whole = path.read_bytes()
            for make in (os.mkdir, os.mkfifo, lambda path: os.symlink("/dev/zero", path), lambda path: os.symlink(path, path)):
                path.unlink()
                make(path)
                self.assertEqual(self.ask(), (0, ""))
                self.assertIn("the catalog cannot tell: ", self.logged())
                os.rmdir(path) if path.is_dir() else path.unlink()
                path.write_bytes(whole)
        self.assertEqual(self.ask()[0], 1)


class Configuration(hook_bed.Park):
    def setUp(self):
        super().setUp()
        self.usual()

    def broken(self, message, **ask):
        """Passes, whatever else is wrong; where the log should be is not known."""
        words = ("vm1", "migrate", "begin", "-", "--verbose")
        status, err = self.ask(words=words, **ask)
        self.assertEqual(status, 0)
        self.assertRegex(err, rf"^vm1: passed: {re.escape(message)}.*; took \d+\.\d ms\n$")
        self.assertFalse(self.log.exists())

    def test_broken_ones_name_file_and_line(self):
        text = self.config.read_text().replace("policy = advise", "polcy = enforce")
        line = text.splitlines().index("polcy = enforce") + 1
        self.configure(text=text)
        self.broken(f"{self.config}:{line}: ")
        self.broken(f"{self.config}:{line}: ", xml="<!DOCTYPE x>")
        self.configure(text="[hook\n")
        self.broken(f"{self.config}:1: ")

    def test_missing_or_unreadable(self):
        self.broken(f"{self.work}/none: No such file or directory", config=self.work / "none")
        self.broken(f"{self.work}: ", config=self.work)
        os.mkfifo(self.work / "pipe")
        self.broken(f"{self.work}/pipe: ", config=self.work / "pipe")

    def test_none_at_all_is_advice(self):
        """Without an option it is /etc/setmov/setmov.conf; here an empty one stands for it: its defaults."""
        self.configure(text="[setmov]\nname = beta\n[sync]\ncache = /nowhere\n[hook]\nlog = " + str(self.log))
        self.passes(PASSED + "there is none in /nowhere ('setmov sync' makes it); its disk vda, " + self.disk +
                    ", does not lie in /var/lib/libvirt/images")
        self.refuses("setmov refuses vm1: domain XML: the root is not <domain>", xml="<a/>")

    def test_the_log_never_decides(self):
        for log in (self.work / "none/hook.log", self.work, "/dev/full", self.work / "link", self.work / "pipe"):
            self.configure("enforce")
            self.config.write_text(self.config.read_text().replace(f"log = {self.log}", f"log = {log}"))
            if not (self.work / "link").is_symlink():
                os.symlink(self.work / "victim", self.work / "link")
                os.mkfifo(self.work / "pipe")
            status, err = self.ask()
            self.assertEqual((status, len(err.splitlines())), (1, 1), log)
        self.assertFalse((self.work / "victim").exists())

    def test_the_log_is_for_its_group(self):
        os.umask(0)
        self.assertEqual(self.ask(), (0, ""))
        self.assertEqual(self.mode(self.log), 0o640)


class Hostile(hook_bed.Park):
    def setUp(self):
        super().setUp()
        self.usual(here=blocks(1, 2048))

    def refused(self, xml, part):
        for policy in ("advise", "enforce"):
            self.configure(policy)
            status, err = self.ask(xml=xml)
            self.assertEqual(status, 1, err)
            self.assertEqual(len(err.splitlines()), 1)
            self.assertTrue(err.startswith("setmov refuses vm1: domain XML: "), err)
            self.assertIn(part, err)
            self.assertLess(len(err), 1000)
            self.assertEqual("vm1: " + err.removeprefix("setmov refuses vm1: ").rstrip(), self.logged().replace("refused: ", "", 1))

    def test_entities_and_document_types(self):
        secret = self.work / "secret"
        secret.write_text("do not tell")
        for entity in ("'x'", f"SYSTEM 'file://{secret}'", "SYSTEM 'http://127.0.0.1:1/'"):
            xml = f"<!DOCTYPE domain [<!ENTITY e {entity}>]>" + self.xml().replace("<name>vm1", "<name>&e;")
            self.refused(xml, "document type")
        self.refused(self.xml().replace("<name>vm1", "<name>&e;"), "entity")

    def test_depth_and_size(self):
        self.refused(self.xml(metadata="<a>" * 100 + "</a>" * 100), "deep")
        self.refused(self.xml(metadata="<a>" * 200000), "deep")
        self.refused(self.xml(metadata=f"<a b='{'x' * (5 << 20)}'/>"), "")
        self.refused(self.xml() + " " * (64 << 20), "")
        self.refused(self.xml(metadata="<a/>" * 100000), "")
        self.refused(self.xml(metadata="<a " + " ".join(f"b{i}=''" for i in range(5000)) + "/>"), "")

    def test_paths_that_lead_outside(self):
        for path, part in ((f"{self.images}/../../etc/shadow", "leads upwards"), ("vm1.raw", "not absolute"),
                           ("/a\x7f/b", "control"), (f"{self.images}/", "directory")):
            self.refused(self.xml(path), part)

    def test_what_is_no_domain(self):
        for xml in ("", "<", "<a/>", "\0", "vm1", self.xml()[:-10], b"\xff\xfe<\0", self.xml().replace("<name>vm1</name>", ""),
                    self.xml().replace(VM1, "1"), self.xml().replace("<domain type='qemu'>", "<domain xmlns='x'>")):
            self.refused(xml, "")

    def test_nothing_that_ever_made_trouble_makes_any(self):
        self.configure("enforce")
        count = 0
        for path in sorted(CORPUS.iterdir()):
            status, err = self.ask(xml=path.read_bytes())
            self.assertEqual(len(err.splitlines()), status, path)
            count += status
        self.assertGreater(count, 10)

    def test_names_make_no_lines_of_their_own(self):
        xml = self.xml().replace("<name>vm1<", "<name>vm1 x‮\u2028y<")
        self.configure("enforce", "unknown = refuse")
        self.holds("alpha", None, [])
        self.sync()
        for words in (("vm1", "migrate", "begin", "-"), ("vm\n1\x1b[2J", "migrate", "begin", "-")):
            for text in (xml, "<a/>"):
                status, err = self.ask(xml=text, words=words)
                self.assertEqual((status, err.count("\n"), "\x1b" in err), (1, 1, False))


class Trouble(hook_bed.Park):
    """A crash, a hang: passed. The test is what goes wrong, since the program does not."""

    def setUp(self):
        super().setUp()
        self.usual()
        self.configure("enforce")

    def start(self, *words, **streams):
        process = subprocess.Popen([HOOK, *(words or ("vm1", "migrate", "begin", "-", "--config", self.config, "--verbose"))],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **streams)
        self.addCleanup(process.communicate)
        return process

    def child(self, process):
        path = f"/proc/{process.pid}/task/{process.pid}/children"
        for _ in range(hook_bed.BOUND * 100):
            with open(path, encoding="ascii") as file:
                children = file.read().split()
            # It is at work when it has its limits.
            if children:
                with open(f"/proc/{children[0]}/limits", encoding="ascii") as file:
                    if re.search(r"^Max cpu time +6 ", file.read(), re.MULTILINE):
                        return int(children[0])
            time.sleep(0.01)
        self.fail("the hook has no child")

    def test_a_crash_passes(self):
        process = self.start()
        os.kill(self.child(process), signal.SIGABRT)
        out, err = process.communicate(timeout=hook_bed.BOUND)
        self.assertEqual((process.returncode, out), (0, b""))
        self.assertEqual(err.decode(), "vm1: passed: the decision was ended by signal 6 (Aborted)\n")

    def test_a_hang_passes(self):
        """Nothing comes, and nothing ends: the XML is never there."""
        process = self.start()
        child = self.child(process)
        process.wait(timeout=hook_bed.BOUND)
        self.assertEqual(process.returncode, 0)
        self.assertEqual(process.stderr.read().decode(), "vm1: passed: no decision within 5 s\n")
        for _ in range(hook_bed.BOUND * 100):
            if not os.path.exists(f"/proc/{child}"):
                return
            time.sleep(0.01)
        self.fail("the child goes on")

    def test_the_child_holds_no_output(self):
        """libvirtd waits until all ends of it are closed."""
        process = self.start()
        child = self.child(process)
        ends = {os.readlink(f"/proc/{process.pid}/fd/{fd}") for fd in (1, 2)}
        held = [os.readlink(f"/proc/{child}/fd/{fd}") for fd in os.listdir(f"/proc/{child}/fd")]
        self.assertEqual([end for end in held if end in ends], [])

    def test_no_stdin_at_all_passes(self):
        done = subprocess.run(["sh", "-c", 'exec "$@" <&-', "sh", HOOK, "vm1", "migrate", "begin", "-", "--config", self.config,
                               "--verbose"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                              timeout=hook_bed.BOUND)
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        self.assertRegex(done.stderr, r"^vm1: passed: cannot read the domain's XML: Bad file descriptor; took \d+\.\d ms\n$")

    def test_closed_descriptors_and_limits_change_nothing(self):
        """What is opened later does not become stdout or stderr; what nobody takes ends nothing."""
        command = [HOOK, "vm1", "migrate", "begin", "-", "--config", str(self.config), "--verbose"]

        def ends(policy, close=(), pipe=False):
            def prepare():
                resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
                for fd in close:
                    os.close(fd)

            self.configure(policy)
            with tempfile.TemporaryFile() as xml, tempfile.TemporaryFile() as err:
                xml.write(self.xml().encode())
                xml.seek(0)
                reader, writer = os.pipe()
                os.close(reader)
                done = subprocess.run(command, stdin=xml, stdout=subprocess.DEVNULL, stderr=writer if pipe else err,
                                      preexec_fn=prepare, check=False, timeout=hook_bed.BOUND)
                os.close(writer)
                return done.returncode

        for close in ((), (1,), (2,), (1, 2)):
            self.assertEqual((ends("enforce", close), ends("advise", close)), (1, 0), close)
        self.assertEqual((ends("enforce", pipe=True), ends("advise", pipe=True)), (1, 0))

    def test_foreign_operations_read_nothing(self):
        text = b"x" * 60000
        for words in (("vm1", "start", "begin", "-"), ("vm1", "reconnect", "begin", "-"), ("vm1",), ()):
            reader, writer = os.pipe()
            os.write(writer, text)
            done = subprocess.run([HOOK, *words], stdin=reader, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  check=False, timeout=hook_bed.BOUND)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))
            os.close(writer)
            with open(reader, "rb") as file:
                self.assertEqual(len(file.read()), len(text), words)

    def test_wrong_options_are_told_and_stop_nothing(self):
        done = subprocess.run([HOOK, "vm1", "migrate", "begin", "-", "--confg"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, timeout=hook_bed.BOUND)
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        self.assertIn("usage: ", done.stderr)


hook_bed.main()

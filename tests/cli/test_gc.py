#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""setmov gc without a hypervisor: old images, and what migrations sent; tests/bed/test_gc.py has the rest."""

import ctypes
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
import unittest
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("SETMOV_BUILD") or ROOT / "build").resolve()
SETMOV, TOOL = BUILD / "setmov", BUILD / "tests/helpers/request_tool"
MIB, DAY = 1 << 20, 86400
BOUND = 60
IN_OPEN = 0x20  # of inotify
HEX = "0123456789abcdef" * 4

NODE = """<node>
  <pool type='dir'><name>default</name><uuid>35bb2ad9-388a-cdfe-461a-b8907f6e53fe</uuid>
    <target><path>{images}</path></target></pool>
  <domain type='test'><name>vm</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid><memory>8192</memory>
    <os><type>hvm</type></os>
    <devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{used}'/><target dev='vda'/></disk></devices>
  </domain>
</node>
"""


class Gc(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.work = Path(tempfile.mkdtemp(prefix="gc-"))
        self.addCleanup(shutil.rmtree, self.work)
        self.images, self.incoming, self.state = (self.work / name for name in ("images", "incoming", "state"))
        for directory in (self.images, self.incoming, self.state / "leases", self.state / "old"):
            directory.mkdir(parents=True)
        self.node, self.config = self.work / "node.xml", self.work / "setmov.conf"
        self.used = self.images / "used.raw"
        self.node.write_text(NODE.format(images=self.images, used=self.used))
        self.configure()

    def configure(self, migrate="", connect=None):
        self.config.write_text(f"""
[setmov]
name = alpha
connect = {connect or f"test://{self.node}"}
state = {self.state}
incoming = {self.incoming}
index = {self.work}/index
log = {self.work}/log
[sync]
cache = {self.work}/cache
[hook]
directories = {self.images}
[migrate]
{migrate}
""")

    def gc(self, *options, status=0):
        done = subprocess.run([SETMOV, "gc", "--json", "--config", self.config, *options], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False, timeout=BOUND)
        self.assertEqual(done.returncode, status, done.stderr)
        answer = json.loads(done.stdout)
        return {Path(row["path"]).name: row for row in answer["images"] if row["path"]}, answer, done.stderr

    def image(self, name, size=MIB):
        path = self.images / name
        path.write_bytes(os.urandom(size))
        return path

    def record(self, name, kind="old", made=0, expires=0, size=MIB):
        """An image with a record; the record's path."""
        path = self.image(name, size)
        # An image that was made after its record is another one: so `made` is no time before now.
        status = os.stat(path)
        text = subprocess.run([TOOL, "lease", str(uuid.uuid4()), path, str(status.st_dev), str(status.st_ino), str(made), str(expires)],
                              check=True, stdout=subprocess.PIPE).stdout
        lease = self.state / kind / f"{name}.lease"
        lease.write_bytes(text)
        return lease

    def there(self):
        return sorted(path.name for path in self.images.iterdir())


class Old(Gc):
    def test_by_their_time(self):
        gone = self.record("gone.raw")
        young = self.record("young.raw", expires=DAY)
        never = self.record("never.raw", expires=400 * 365 * DAY)
        used = self.record("used.raw")
        leased = self.record("leased.raw", "leases")
        before = self.there()
        rows, answer, _ = self.gc("--dry-run")
        self.assertEqual((rows["gone.raw"]["result"], rows["gone.raw"]["old"]), ("removed", True))
        self.assertEqual(self.there(), before)
        self.assertTrue(gone.exists() and answer["dry_run"])
        rows, _, _ = self.gc()
        self.assertEqual(rows["gone.raw"]["text"], "removed: nobody uses it, and the time of an old image is over")
        self.assertEqual(rows["leased.raw"]["text"], "removed: nobody uses it, and its lease is over")
        self.assertFalse(rows["leased.raw"]["old"])
        self.assertRegex(rows["young.raw"]["text"], r"^kept: an old image, which expires in 8\d{4} s$")
        self.assertEqual(rows["never.raw"]["text"], "kept: an old image, without an expiry")
        self.assertEqual(rows["used.raw"]["text"], "kept for good: a domain names it; record removed")
        self.assertEqual(self.there(), ["never.raw", "used.raw", "young.raw"])
        self.assertEqual([path.exists() for path in (gone, young, never, used, leased)], [False, True, True, False, False])

    def test_by_their_quota(self):
        """The oldest go first, whatever their names; what expired, is used or cannot be looked at is no reason for others to go."""
        self.configure("old-images-quota = 5M")
        for name, made in (("c.raw", 10), ("a.raw", 20), ("b.raw", 30), ("d.raw", 40)):
            self.record(name, made=made, expires=DAY, size=2 * MIB)
        self.rows_are({"c.raw": "removed", "a.raw": "removed", "b.raw": "kept", "d.raw": "kept"})
        self.rows_are({"b.raw": "kept", "d.raw": "kept"})
        self.record("expired.raw", size=4 * MIB)
        link = self.record("link.raw", expires=DAY, size=4 * MIB)
        os.rename(self.images / "link.raw", self.images / "elsewhere.raw")
        (self.images / "link.raw").symlink_to("elsewhere.raw")
        self.rows_are({"b.raw": "kept", "d.raw": "kept", "expired.raw": "removed", "link.raw": "kept"})
        self.assertTrue(link.exists())
        self.configure("old-images-quota = none")
        self.record("big.raw", expires=DAY, size=16 * MIB)
        self.rows_are({"b.raw": "kept", "d.raw": "kept", "big.raw": "kept", "link.raw": "kept"})

    def rows_are(self, expected):
        rows, answer, _ = self.gc()
        self.assertEqual({name: row["result"] for name, row in rows.items()}, expected, rows)
        for name, row in rows.items():
            self.assertEqual((self.images / name).exists(), row["result"] != "removed")
            if row["result"] == "removed" and name != "expired.raw":
                self.assertEqual(row["text"], "removed: nobody uses it, and old images take more than old-images-quota")
        return answer

    def test_one_that_is_listed_twice_counts_once(self):
        self.configure("old-images-quota = 3M")
        lease = self.record("a.raw", expires=DAY, size=2 * MIB)
        shutil.copy(lease, lease.parent / "b.lease")
        _, answer, _ = self.gc()
        self.assertEqual([row["result"] for row in answer["images"]], ["kept", "kept"])

    def test_a_lease_that_is_renewed_meanwhile(self):
        """libvirt takes its time; who waits for the image has said so anew."""
        self.node.unlink()
        os.mkfifo(self.node)
        lease = self.record("a.raw", "leases")
        old = lease.read_bytes()
        renewed = self.record("a2.raw", "leases", expires=DAY).read_bytes()
        (self.state / "leases/a2.raw.lease").unlink()
        for replace, why in ((lambda: lease.write_bytes(renewed), "kept: its lease was renewed"),
                             (lease.unlink, "kept: its lease is not what it was: No such file or directory")):
            answers = iter([replace])

            def libvirt(answers=answers):
                for _ in range(2):
                    with open(self.node, "w", encoding="ascii") as file:
                        next(answers, lambda: None)()
                        os.mkfifo(self.work / "next")  # for the next question
                        os.rename(self.work / "next", self.node)
                        file.write(NODE.format(images=self.images, used=self.used))

            thread = threading.Thread(target=libvirt, daemon=True)
            thread.start()
            rows, _, _ = self.gc()
            thread.join(BOUND)
            self.assertFalse(thread.is_alive())
            self.assertEqual((rows["a.raw"]["result"], rows["a.raw"]["text"]), ("kept", why))
            self.assertIn("a.raw", self.there())
            lease.write_bytes(old)


class Incoming(Gc):
    def put(self, name, age_s=2 * DAY, directory=None):
        path = (directory or self.incoming) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        os.utime(path, (time.time() - age_s,) * 2)
        return path

    def is_opened(self, path):
        """By a run that leaves it where it is."""
        libc = ctypes.CDLL(None)
        with os.fdopen(libc.inotify_init1(os.O_NONBLOCK), "rb", buffering=0) as events:
            self.assertGreater(libc.inotify_add_watch(events.fileno(), os.fsencode(path), IN_OPEN), 0)
            self.remain(path, incoming=0)
            return events.read(4096) is not None

    def remain(self, *paths, incoming):
        _, answer, _ = self.gc("--dry-run")
        self.assertEqual(answer["incoming"], incoming)
        _, answer, _ = self.gc()
        self.assertEqual(answer["incoming"], incoming)
        found = {path for path in [*self.incoming.rglob("*"), *(self.state / "parts").rglob("*.blocks")]}
        self.assertEqual(found, set(paths))

    def test_what_is_old_goes(self):
        for suffix in ("plan", "progress", "failed", "cancel"):
            self.put(f"vm1-a.{suffix}")
        self.put("lonely.progress")
        self.put(f"part-{HEX}")
        self.put(f"{HEX}.blocks", directory=self.state / "parts/beta")
        self.put(f"{HEX}.blocks", directory=self.state / "parts/gamma")
        self.remain(incoming=8)

    def test_what_is_young_stays(self):
        self.remain(self.put("vm1-a.plan", 100), self.put("vm1-a.progress", 100), self.put(f"part-{HEX}", DAY - 1000),
                    self.put("from-the-future.plan", -1000), self.put(f"{HEX}.blocks", 100, self.state / "parts/beta"), incoming=0)
        self.configure("parts-expiry = 1min")
        self.remain(self.incoming / f"part-{HEX}", self.incoming / "from-the-future.plan", incoming=3)  # a plan of this hour may need it
        (self.incoming / "from-the-future.plan").unlink()
        self.remain(incoming=1)

    def test_a_fresh_plan_is_not_touched(self):
        """Its hook may want the lock this very moment."""
        self.assertTrue(self.is_opened(self.put("vm1-a.plan", 4000)))
        self.assertFalse(self.is_opened(self.put("vm1-a.plan", 100)))

    def test_what_is_not_ours_stays(self):
        paths = [self.put(name) for name in ("notes", "x.iso", ".hidden.plan", "a b.plan", ".plan", "part-", f"part-{HEX[1:]}",
                                             f"part-{HEX}0", f"part-{HEX.upper()}", f"{'x' * 101}.plan", f"{HEX}.blocks", "vm1.plan.bak")]
        paths += [self.put(name, directory=self.state / "parts/beta") for name in (f"{HEX[1:]}.blocks",)]
        (self.incoming / "link.plan").symlink_to(self.put("target", directory=self.work))
        (self.incoming / f"part-{HEX}").mkdir()
        os.mkfifo(self.incoming / "pipe.plan")
        for name in ("link.plan", "pipe.plan"):
            os.utime(self.incoming / name, (1, 1), follow_symlinks=False)
        self.remain(*paths, self.incoming / "link.plan", self.incoming / f"part-{HEX}", self.incoming / "pipe.plan", incoming=0)
        self.assertTrue((self.work / "target").exists())

    def test_what_is_in_use_stays(self):
        """Who builds by a plan holds its lock; which parts he needs only the plan says."""
        mine = [self.put(f"vm1-a.{suffix}") for suffix in ("plan", "progress")]
        part = self.put(f"part-{HEX}")
        self.put("vm2-a.plan")
        with open(mine[0], "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self.remain(*mine, part, incoming=1)
        self.remain(incoming=3)

    def test_whatever_libvirt_says(self):
        """Images are judged by what libvirt says, these are not."""
        self.record("a.raw", "leases")
        self.record("b.raw")
        self.put("vm1-a.plan")
        self.put(f"part-{HEX}")
        temporary = self.put(".vm1-a.failed.AbCdEf.tmp")
        self.configure(connect="test:///nowhere.xml")
        rows, answer, errors = self.gc(status=1)
        self.assertEqual({name: row["text"] for name, row in rows.items()},
                         {name: "kept: what is in use cannot be known" for name in ("a.raw", "b.raw")})
        self.assertEqual((answer["incoming"], answer["temporary"], temporary.exists()), (2, 1, False))
        self.assertIn("no image was removed: ", errors)
        self.assertEqual(self.there(), ["a.raw", "b.raw"])

    def test_the_line_at_the_end(self):
        self.put("vm1-a.plan")
        self.record("a.raw")
        done = subprocess.run([SETMOV, "gc", "--dry-run", "--config", self.config], capture_output=True, text=True, check=True, timeout=BOUND)
        self.assertEqual(done.stdout, f"{self.images}/a.raw: would be removed: nobody uses it, and the time of an old image is over\n"
                                      "would remove 0 images, 1 old image, 0 leases alone, 1 file of migrations, 0 expired requests, "
                                      "0 unfinished files; kept 0 images\n")


if __name__ == "__main__":
    for program in (SETMOV, TOOL):
        if not program.exists():
            raise SystemExit(f"{program} is not built")
    unittest.main(verbosity=0)

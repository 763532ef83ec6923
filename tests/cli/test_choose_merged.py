#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`setmov choose --merged FILE`: the same answers from one file, which is made anew when, and only when, it must be."""

import os
import shutil
import subprocess
import time
import unittest

from choose_bed import BOUND, SETMOV, Case, donor_of, order, row_of, swap_digests


class Merged(Case):
    """--merged FILE: the same answers, and FILE is made anew when a host's index has changed, and only then."""

    def setUp(self):
        super().setUp()
        moving = self.image("moving", range(1, 8001), 512)
        self.query = self.fingerprint(moving, "moving.fingerprint", "--block-size", 512)
        for i, host in enumerate("abc"):
            self.add(host, "vm", range(1, 8001 - 2000 * i))
        self.hosts = [(host, host) for host in "abc"]
        self.file = self.work / "merged"

    def add(self, host, name, numbers, *options):
        image = self.image(f"images/{name}", numbers, 512)
        return self.fingerprint(image, f"{host}/{name}.fingerprint", "--block-size", 512, *options)

    def ask(self, hosts=None, *options, **more):
        result = self.choose(self.query, hosts or self.hosts, "--merged", self.file, *options, **more)
        left = [name for name in os.listdir(self.work) if name.startswith(".")]
        self.assertEqual(left, [], "left beside FILE")
        return result

    def version(self):
        """Of FILE: each is a file of its own."""
        status = os.stat(self.file)
        return status.st_ino, status.st_mtime_ns

    def settle(self, hosts=None):
        """Asks until FILE is used as it is: directories that changed just now are not trusted."""
        end = time.monotonic() + BOUND
        result, made = self.ask(hosts), self.version()
        while time.monotonic() < end:
            before, again = made, self.ask(hosts)
            self.assertEqual((order(again), again["choice"]), (order(result), result["choice"]))
            made = self.version()
            if made == before:
                return again
            time.sleep(0.05)
        raise AssertionError("FILE is made anew each time")

    def test_the_answers_are_those_of_the_sketches_and_the_file_is_used_again(self):
        merged, sketch = self.settle(), self.choose(self.query, self.hosts, "--engine", "sketch")
        self.assertEqual((merged["engine"], merged["choice"], order(merged)), ("sketch", "a", ["a", "b", "c"]))
        self.assertEqual(merged["ranking"], sketch["ranking"])
        self.assertEqual([donor_of(merged, host) for host in "abc"], ["vm", "vm", "vm"])
        self.assertIn("in 1 image;", merged["ranking"][1]["reasons"][0])
        self.damage_is_mended()
        self.other_hosts_and_kinds()

    def damage_is_mended(self):
        whole = self.file.read_bytes()
        for bad in (b"", whole[:50], whole[:-1], whole[:20] + bytes([whole[20] ^ 1]) + whole[21:]):
            self.file.write_bytes(bad)
            before = self.version()
            self.ask()
            self.assertNotEqual(self.version(), before)
            self.assertEqual(self.file.read_bytes(), whole)

    def other_hosts_and_kinds(self):
        image = self.work / "images/vm"
        other = self.fingerprint(image, "other.fingerprint", "--digest", "md5", "--block-size", 512)
        for query, hosts in ((self.query, [("a", "b"), ("b", "a"), ("c", "c")]), (self.query, [("x", "a"), ("y", "b"), ("z", "c")]),
                             (self.query, [("y", "b"), ("x", "a"), ("z", "c")]), (self.query, [("a", "a")]), (other, [("a", "a")])):
            self.ask()
            before = self.version()
            result = self.choose(query, hosts, "--merged", self.file, status=query == other, stderr=".*\n" if query == other else "")
            self.assertNotEqual(self.version(), before, hosts)
            if query != other:
                self.assertEqual(result["ranking"], self.choose(query, hosts, "--engine", "sketch")["ranking"])

    def test_made_anew_when_an_index_changes(self):
        """A file for each host, so that what is trusted of one says nothing of another."""
        spare = self.fingerprint(self.work / "images/vm", "spare/vm.fingerprint", "--block-size", 512)
        changes = {"a": lambda: self.add("a", "more", range(9000, 9100)), "b": lambda: (self.work / "b/vm.fingerprint").unlink(),
                   "c": lambda: os.replace(spare, self.work / "c/vm.fingerprint"), "d": lambda: os.rename(self.work / "e", self.work / "d")}
        for name in "de":
            shutil.copytree(self.work / "b", self.work / name)
        files = {name: self.work / f"merged-{name}" for name in changes}

        def version(name):
            self.file = files[name]
            self.ask([(name, name)])
            return self.version()

        end = time.monotonic() + BOUND
        while (before := {name: version(name) for name in changes}) != {name: version(name) for name in changes}:
            self.assertLess(time.monotonic(), end, "made anew each time")
            time.sleep(0.05)
        shutil.rmtree(self.work / "d")
        for name, change in changes.items():
            change()
            self.assertNotEqual(version(name), before[name], name)

    def test_with_indexes_that_are_kept(self):
        store, index = self.work / "store", self.directory("kept")

        def update(numbers):
            self.image("store/vm", numbers, 512)
            done = self.run_setmov("index", store, "--index", index, "--block-size", "512,4096", "--quiet")
            self.assertEqual(done.returncode, 0, done)

        hosts = [("kept", "kept"), ("c", "c")]
        update(range(1, 2001))
        self.assertEqual(self.ask(hosts)["choice"], "c")
        update(range(1, 7001))
        self.assertEqual(self.ask(hosts)["choice"], "kept")
        exact = self.choose(self.work / "moving", [("kept", "kept")])
        self.assertEqual((exact["block_size"], exact["ranking"][0]["bytes_to_send"]), (512, 1000 * 512))
        self.assertEqual(donor_of(exact, "kept"), "vm")
        (store / "vm").unlink()
        self.assertEqual(self.run_setmov("index", store, "--index", index, "--block-size", "512,4096", "--quiet").returncode, 0)
        self.assertEqual(row_of(self.ask(hosts), "kept")["reasons"][0], "holds no images; all of 3.91M to send")

    def test_what_changed_just_now_is_not_trusted(self):
        """Another change within the same tick of the clock could not be seen."""
        for _ in range(BOUND):
            self.add("a", "more", range(9000, 9100))
            self.ask()
            before, age = self.version(), time.time() - os.stat(self.work / "a").st_ctime
            self.ask()
            if age < 1:
                self.assertNotEqual(self.version(), before)
                return
        self.skipTest("this machine is too slow")

    def test_what_cannot_be_used(self):
        self.directory("empty")
        self.add("kinds", "vm", range(1, 100), "--digest", "md5")
        for host in ("damaged", "partly"):
            shutil.copytree(self.work / "a", self.work / host)
            (self.work / host / "bad.fingerprint").write_bytes(b"SETMOVFP" + bytes(3000))
        (self.work / "damaged/vm.fingerprint").unlink()
        (self.work / "empty/lock").write_bytes(b"")
        hosts = self.hosts + [(name, name) for name in ("empty", "gone", "kinds", "damaged", "partly", "images")]
        first = self.ask(hosts)
        self.assertRegex(row_of(first, "damaged")["reasons"][0], "^unusable: nothing of what it holds can be used: .*bad.fingerprint")
        self.assertRegex(row_of(first, "partly")["problems"][0], "partly/bad.fingerprint")
        result = self.settle(hosts)
        self.assertEqual(order(result), ["a", "partly", "b", "c", "empty", "damaged", "gone", "images", "kinds"])
        for name, why in (("empty", "holds no images"), ("gone", "unusable: No such file or directory: .*gone"), ("partly", "holds"),
                          ("damaged", "unusable: nothing of what it holds can be used"),
                          ("images", "unusable: its directory has no fingerprints"),
                          ("kinds", "unusable: its index has no sha256 digests of 512 bytes")):
            self.assertRegex(row_of(result, name)["reasons"][0], f"^{why}")
        self.assertIn("some of what its index holds could not be used", row_of(result, "partly")["reasons"])
        self.assertIsNone(self.ask([("a", "gone")], status=1, stderr="setmov choose: no host can be used\n")["choice"])

    def test_a_fingerprint_that_somebody_disordered_costs_itself(self):
        often = [number for number in range(1, 51) for _ in range(40)]
        for kind, host in ((7, "b"), (4, "f")):
            self.add(host, "false", [*often, *range(1, 4000)])
            swap_digests(self.work / host / "false.fingerprint", kind)
        result = self.ask(self.hosts + [("f", "f")])
        self.assertEqual(order(result), ["a", "b", "c", "f"])
        self.assertIn("in 1 image;", row_of(result, "b")["reasons"][0])
        self.assertIn("some of what its index holds could not be used", row_of(result, "b")["reasons"])
        self.assertRegex(row_of(result, "b")["problems"][0], "/b/false.fingerprint: its sampled digests are not in ascending order$")
        self.assertRegex(row_of(result, "f")["reasons"][0], "^unusable: nothing .*/f/false.fingerprint: its frequent digests are not in")

    def test_what_occurs_often_on_both_sides_is_known(self):
        often = [number for number in range(1, 51) for _ in range(40)]
        query = self.add("often", "query", [*often, *range(70000, 75000)])
        self.add("f", "vm", often[::2] + [*range(80000, 82000)])
        row = self.choose(query, [("a", "a"), ("f", "f")], "--merged", self.file)["ranking"][0]
        self.assertEqual(row["host"], "f")
        self.assertAlmostEqual(row["share_with_duplicates"], 100 * 2000 / 7000, delta=1)

    def test_donors_of_the_best_only(self):
        hosts = [(f"h{i}", "a") for i in range(7)]
        result = self.ask(hosts)
        self.assertEqual([donor_of(result, f"h{i}") for i in range(7)], ["vm"] * 5 + [None] * 2)
        self.assertEqual(result["ranking"][6]["bytes_to_send"], 0)

    def test_what_is_no_merged_index_stays(self):
        words = [self.query, f"--host=a={self.work}/a", "--merged"]
        self.file.write_text("precious and long enough")
        self.refused(*words, self.file, status=1, stderr=f"{self.file} is there and is no merged index: not overwritten")
        self.assertEqual(self.file.read_text(), "precious and long enough")
        for content in (bytes(4096), b"\0" + b"precious" * 100, b"\0", b"SETMOVM", b"SETMOVMX" + bytes(600)):
            self.file.write_bytes(content)
            self.refused(*words, self.file, status=1, stderr=f"{self.file} is there and is no merged index: not overwritten")
            self.assertEqual(self.file.read_bytes(), content)
        os.mkfifo(self.work / "fifo")
        for path in ("fifo", "a"):
            self.refused(*words, self.work / path, status=1, stderr=f"{self.work / path} is not a regular file")
        self.refused(*words, self.work / "none/x", status=1, stderr=f"{self.work}/none/x: .*No such file")
        self.refused(*words, "/dev/full", status=1, stderr="/dev/full is not a regular file")

    def test_a_link_stays_and_a_long_name_is_no_obstacle(self):
        self.directory("elsewhere")
        target, link = self.work / "elsewhere/file", self.file
        link.symlink_to(target)
        self.refused(self.query, f"--host=a={self.work}/a", "--merged", link, status=1, stderr=f"{link} is a symbolic link that leads nowhere")
        target.write_bytes(b"")
        self.ask()
        self.assertTrue(link.is_symlink())
        self.assertEqual(target.read_bytes()[:8], b"SETMOVMI")
        self.file = self.work / ("n" * 255)
        self.assertEqual(self.ask()["choice"], "a")

    def test_a_relative_directory_of_temporary_files_is_passed_over(self):
        done = subprocess.run([str(SETMOV), "choose", str(self.query), f"--host=a={self.work}/a", "--merged", str(self.file)],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=BOUND, cwd=self.work,
                              env={**os.environ, "TMPDIR": "none"})
        self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`setmov choose` on small images: the ranking, its JSON, what hosts may hold, and what goes wrong."""

import hashlib
import os
import re
import shutil
import signal
import struct
import subprocess
import time
import unittest

from choose_bed import BLOCK, BOUND, ROW_KEYS, SETMOV, Case, block, donor_of, mended, order, row_of, sections


def without_filter(path):
    """Makes the fingerprint's Bloom filter a section of a kind that nobody knows."""
    content = bytearray(path.read_bytes())
    for at, kind in sections(content):
        if kind == 6:
            struct.pack_into("<I", content, at, 99)
    path.write_bytes(mended(content))


class Ranking(Case):
    def test_figure_4_of_the_paper(self):
        moving = self.image("moving", range(1, 101))
        self.image("B/vm1", [*range(1, 51), *range(1000, 1020)])
        self.image("B/vm2", range(2000, 2010))
        self.image("C/vm3", [*range(91, 101), *range(3000, 3050)])
        result = self.choose(moving, [("C", "C"), ("B", "B")])
        self.assertEqual((order(result), result["choice"]), (["B", "C"], "B"))
        self.assertEqual((result["engine"], result["block_size"], result["digest"]), ("exact", 4096, "sha256"))
        b, c = result["ranking"]
        self.assertEqual((b["share_distinct"], b["share_with_duplicates"], b["bytes_to_send"]), (50, 50, 50 * BLOCK))
        self.assertEqual((c["share_distinct"], c["bytes_to_send"]), (10, 90 * BLOCK))
        self.assertEqual((b["bytes_to_send_low"], b["bytes_to_send_high"]), (50 * BLOCK, 50 * BLOCK))
        self.assertEqual(b["best_donor"]["share_distinct"], 50)
        self.assertEqual((donor_of(result, "B"), donor_of(result, "C")), ("vm1", "vm3"))
        self.assertEqual(b["reasons"][0], "holds 50.00 % of the blocks (50.00 % with duplicates) in 2 images; "
                                          "200k to send instead of 400k")

    def test_the_union_beats_the_best_single_donor(self):
        moving = self.image("moving", [*range(1, 101), *range(1, 11)])
        self.image("halves/left", range(1, 46))
        self.image("halves/right", range(41, 91))
        self.image("one/whole", range(1, 61))
        result = self.choose(moving, [("halves", "halves"), ("one", "one")])
        self.assertEqual((order(result), result["choice"]), (["halves", "one"], "halves"))
        halves, one = result["ranking"]
        self.assertEqual((halves["bytes_to_send"], one["bytes_to_send"]), (10 * BLOCK, 40 * BLOCK))
        self.assertAlmostEqual(halves["share_distinct"], 100 * 90 / 110, places=3)
        self.assertAlmostEqual(halves["share_with_duplicates"], 100 * 100 / 110, places=3)
        self.assertEqual(donor_of(result, "halves"), "right")
        self.assertAlmostEqual(halves["best_donor"]["share_distinct"], 100 * 50 / 110, places=3)
        self.assertIn("alone leaves 200k to send", halves["reasons"][1])
        self.assertIn("one has a better single donor (54.55 %)", " ".join(halves["reasons"]))

    def test_the_order_of_options_changes_nothing(self):
        moving = self.image("moving", range(1, 11))
        hosts = [("b", "same"), ("a", "same"), ("c", "more"), ("d", "gone")]
        self.image("same/vm", range(1, 6))
        self.image("more/vm", range(1, 9))
        first = self.choose(moving, hosts)
        self.assertEqual(order(first), ["c", "a", "b", "d"])
        self.assertEqual(self.choose(moving, hosts[::-1]), first)

    def test_the_image_itself_is_there(self):
        moving = self.image("store/moving", [0, 0, *range(1, 9), 1])
        result = self.choose(moving, [("a", "store")])
        row = result["ranking"][0]
        self.assertEqual((row["share_with_duplicates"], row["bytes_to_send"]), (100, 0))
        self.assertIn("nothing to send", row["reasons"][0])
        self.assertEqual(result["choice"], "a")

    def test_nobody_has_anything(self):
        moving = self.image("moving", range(1, 11))
        self.image("other/vm", range(100, 110))
        self.directory("empty")
        result = self.choose(moving, [("z", "empty"), ("b", "other")])
        self.assertEqual((order(result), result["choice"]), (["b", "z"], "b"))
        self.assertIn("no host saves anything, so any is as good", result["ranking"][0]["reasons"])
        self.assertEqual(row_of(result, "z")["reasons"][0], "holds no images; all of 40.0k to send")
        self.assertEqual([row["best_donor"] for row in result["ranking"]], [None, None])

    def test_zero_blocks_are_shared_and_never_sent(self):
        moving = self.image("moving", [0] * 6 + [1, 2])
        self.image("zeroes/vm", [0, 7])
        result = self.choose(moving, [("a", "zeroes")])
        row = result["ranking"][0]
        self.assertEqual((row["share_with_duplicates"], row["bytes_to_send"]), (75, 2 * BLOCK))
        self.assertIn("nothing but zero blocks", row["reasons"][0])


class Engines(Case):
    """Enough blocks that one of 256 are some."""

    def setUp(self):
        super().setUp()
        self.moving = self.image("moving", range(1, 20001), 512)
        images = {"half": range(1, 10001), "tenth": range(1, 2001), "all": range(1, 20001), "none": range(50000, 60000)}
        for name, numbers in images.items():
            image = self.image(f"images/{name}", numbers, 512)
            self.fingerprint(image, f"{name}/{name}.fingerprint", "--block-size", 512, "--digest", "md5")
        self.query = self.fingerprint(self.moving, "moving.fingerprint", "--block-size", 512, "--digest", "md5")
        self.hosts = [(name, name) for name in images]

    def test_they_agree_within_their_error(self):
        exact = self.choose(self.query, self.hosts)
        self.assertEqual(order(exact), ["all", "half", "tenth", "none"])
        self.assertEqual([row["bytes_to_send"] for row in exact["ranking"]], [0, 512 * 10000, 512 * 18000, 512 * 20000])
        for engine in ("bloom", "sketch"):
            result = self.choose(self.query, self.hosts, "--engine", engine)
            self.assertEqual((result["engine"], result["choice"], order(result)), (engine, "all", order(exact)))
            for row in result["ranking"]:
                true = row_of(exact, row["host"])["bytes_to_send"]
                self.assertLessEqual(row["bytes_to_send_low"], row["bytes_to_send"], row)
                self.assertLessEqual(row["bytes_to_send"], row["bytes_to_send_high"], row)
                self.assertLessEqual(row["bytes_to_send_low"], true, row)
                self.assertGreaterEqual(row["bytes_to_send_high"], true, row)
        half = row_of(self.choose(self.query, self.hosts, "--engine", "sketch"), "half")
        self.assertLess(half["bytes_to_send_low"], half["bytes_to_send_high"])
        self.assertIn(" to send instead of ", half["reasons"][0])

    def test_bloom_counts_are_a_bound_and_no_reason(self):
        """Wrong answers of filters add up over images that have nothing of the one that moves."""
        exact = self.choose(self.query, self.hosts)
        for row in self.choose(self.query, self.hosts, "--engine", "bloom")["ranking"]:
            self.assertLessEqual(row["bytes_to_send_low"], row_of(exact, row["host"])["bytes_to_send"])
            self.assertAlmostEqual(row["share_distinct"], row_of(exact, row["host"])["share_distinct"], delta=0.5)
        for i in range(100):
            image = self.image("images/one", range(100000 + 1000 * i, 101000 + 1000 * i), 512)
            self.fingerprint(image, f"many/{i}.fingerprint", "--block-size", 512, "--digest", "md5")
        hosts = [("many", "many"), ("half", "half")]
        result = self.choose(self.query, hosts, "--engine", "bloom")
        self.assertEqual(order(result), ["half", "many"])
        many = row_of(result, "many")
        self.assertLess(many["share_distinct"], 5)
        self.assertGreater(many["bytes_to_send"], 512 * 19000)
        self.assertLess(many["bytes_to_send_low"], 512 * 10000)  # what was counted
        self.assertGreaterEqual(many["bytes_to_send_high"], 512 * 20000)

    def test_a_fingerprint_without_filter_costs_itself(self):
        shutil.copy(self.work / "tenth/tenth.fingerprint", self.work / "half/without.fingerprint")
        without_filter(self.work / "half/without.fingerprint")
        self.assertEqual(len(self.choose(self.query, [("half", "half")])["ranking"][0]["reasons"]), 2)
        row = self.choose(self.query, [("half", "half")], "--engine", "bloom")["ranking"][0]
        self.assertAlmostEqual(row["share_distinct"], 50, delta=1)
        self.assertRegex(row["reasons"][-1], "^1 of 2 could not be used: .*tenth: its fingerprint has no Bloom filter$")

    def test_the_sketch_asks_filters_for_what_occurs_often(self):
        moving = self.image("often", [number for number in range(1, 51) for _ in range(40)] + [*range(70000, 75000)], 512)
        query = self.fingerprint(moving, "often.fingerprint", "--block-size", 512, "--digest", "md5")
        row = self.choose(query, [("all", "all")], "--engine", "sketch")["ranking"][0]
        self.assertAlmostEqual(row["share_with_duplicates"], 100 * 2000 / 7000, delta=3)

    def test_hosts_that_an_estimate_cannot_tell_apart(self):
        image = self.image("images/nearly", range(1, 10051), 512)
        self.fingerprint(image, "nearly/nearly.fingerprint", "--block-size", 512, "--digest", "md5")
        result = self.choose(self.query, [("half", "half"), ("nearly", "nearly")], "--engine", "sketch")
        self.assertIn("1 other host cannot be told from it within the estimate's error",
                      result["ranking"][0]["reasons"])
        self.assertIn(f"same as {result['choice']} within the estimate's error", result["ranking"][1]["reasons"])


class Kinds(Case):
    """Which digest and block size the image is read with."""

    def setUp(self):
        super().setUp()
        self.moving = self.image("moving", range(1, 41))
        self.vm = self.image("images/vm", range(1, 21))

    def index(self, host, *kinds):
        for digest, size in kinds:
            self.fingerprint(self.vm, f"{host}/vm.{digest}-{size}.fingerprint", "--digest", digest, "--block-size", size)

    def kind(self, image, hosts, *options, **more):
        result = self.choose(image, [(host, host) for host in hosts], *options, **more)
        return result["digest"], result["block_size"]

    def test_what_all_indexes_hold(self):
        self.index("a", ("md5", 512), ("sha256", 8192), ("sha256", 1024))
        self.index("b", ("md5", 512), ("sha256", 8192))
        self.index("c", ("sha256", 8192), ("sha256", 1024), ("md5", 65536))
        self.assertEqual(self.kind(self.moving, "a"), ("md5", 512))
        self.assertEqual(self.kind(self.moving, "ab"), ("md5", 512))
        self.assertEqual(self.kind(self.moving, "ac"), ("sha256", 1024))
        self.assertEqual(self.kind(self.moving, "abc"), ("sha256", 8192))

    def test_names_tell_without_a_look_into_the_file(self):
        self.directory("index")
        (self.work / f"index/{'0f' * 16}.md5-1024.fingerprint").write_bytes(b"damaged")
        self.assertEqual(self.kind(self.moving, ["index"], status=1, stderr=".*\n"), ("md5", 1024))
        self.index("index", ("sha256", 512))
        self.assertEqual(self.kind(self.moving, ["index"]), ("sha256", 512))

    def test_options_win_over_indexes(self):
        self.index("a", ("md5", 512), ("sha256", 8192))
        self.assertEqual(self.kind(self.moving, "a", "--digest", "sha256"), ("sha256", 8192))
        self.assertEqual(self.kind(self.moving, "a", "--block-size", "8192"), ("sha256", 8192))
        self.directory("images")
        result = self.choose(self.moving, [("a", "a"), ("i", "images")], "--block-size", "2048", "--digest", "md5")
        self.assertEqual((result["digest"], result["block_size"], result["choice"]), ("md5", 2048, "i"))
        self.assertEqual(row_of(result, "a")["reasons"],
                         ["unusable: its index has no md5 digests of 2048 bytes, only other fingerprints"])
        self.assertIsNone(row_of(result, "a")["bytes_to_send"])

    def test_no_index_no_wish(self):
        self.assertEqual(self.kind(self.moving, ["images"]), ("sha256", 4096))

    def test_most_hosts_count_where_not_all_agree(self):
        self.index("a", ("md5", 512))
        self.index("b", ("sha256", 1024))
        self.index("c", ("sha256", 1024))
        result = self.choose(self.moving, [("a", "a"), ("b", "b"), ("c", "c")])
        self.assertEqual((result["digest"], result["block_size"]), ("sha256", 1024))
        self.assertEqual(order(result), ["b", "c", "a"])
        self.assertIn("unusable", row_of(result, "a")["reasons"][0])

    def test_a_fingerprint_says_it_and_images_beside_it_follow(self):
        self.index("both", ("md5", 1024), ("sha256", 512))
        self.image("both/other", range(21, 31))
        query = self.fingerprint(self.moving, "query.fingerprint", "--digest", "md5", "--block-size", 1024)
        result = self.choose(query, [("both", "both")])
        self.assertEqual((result["digest"], result["block_size"]), ("md5", 1024))
        self.assertEqual((result["ranking"][0]["share_distinct"], donor_of(result, "both")), (75, "vm"))
        done = self.run_setmov("choose", query, f"--host=a={self.work}/both", "--block-size", "512")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertRegex(done.stderr, r"\Asetmov choose: .*query\.fingerprint.*1024.*512.*\n\Z")

    def test_keys(self):
        for name in ("one", "two"):
            (self.work / name).write_text(hashlib.sha256(name.encode()).hexdigest() + "\n")
        keyed = ("--digest", "keyed", "--key-file", self.work / "one")
        self.fingerprint(self.vm, "a/vm.fingerprint", *keyed)
        result = self.choose(self.moving, [("a", "a")], *keyed)
        self.assertEqual((result["digest"], result["ranking"][0]["share_distinct"]), ("keyed", 50))
        result = self.choose(self.moving, [("a", "a"), ("i", "images")], "--key-file", self.work / "two")
        self.assertEqual((order(result), result["ranking"][0]["share_distinct"]), (["i", "a"], 50))
        self.assertIn("with this key", result["ranking"][1]["reasons"][0])


class Hosts(Case):
    """What is at the other end of NAME=DIR."""

    def setUp(self):
        super().setUp()
        self.moving = self.image("moving", range(1, 11))
        self.image("good/vm", range(1, 6))

    def test_directories_that_are_none(self):
        self.image("file", [1])
        os.mkfifo(self.work / "fifo")
        hosts = [("good", "good"), ("gone", "nowhere"), ("file", "file"), ("fifo", "fifo")]
        result = self.choose(self.moving, hosts)
        self.assertEqual((order(result), result["choice"]), (["good", "fifo", "file", "gone"], "good"))
        for name, why in (("gone", "No such file or directory"), ("file", "Not a directory"), ("fifo", "Not a directory")):
            row = row_of(result, name)
            self.assertRegex(row["reasons"][0], rf"^unusable: {why}: {self.work}/.*")
            self.assertEqual([row[key] for key in ROW_KEYS[1:-2]], [None] * 6)

    def test_nobody_can_be_used(self):
        result = self.choose(self.moving, [("a", "x"), ("b", "y")], status=1, stderr="setmov choose: no host can be used\n")
        self.assertIsNone(result["choice"])
        done = self.run_setmov("choose", self.moving, "--host=a=/nonexistent")
        self.assertEqual((done.returncode, done.stderr), (1, "setmov choose: no host can be used\n"))
        self.assertEqual(done.stdout.splitlines()[-1], "choice: none, no host can be used")

    def test_a_damaged_fingerprint_costs_itself(self):
        for name, numbers in (("left", range(1, 5)), ("right", range(5, 9))):
            image = self.image(f"images/{name}", numbers)
            self.fingerprint(image, f"index/{name}.fingerprint")
        damaged = self.work / "index/left.fingerprint"
        content = bytearray(damaged.read_bytes())
        for at in range(2048, len(content), 64):  # in whatever section
            content[at] ^= 1
        damaged.write_bytes(content)
        (self.work / "index/cut.fingerprint").write_bytes(content[:3000])
        result = self.choose(self.moving, [("a", "index")])
        row = result["ranking"][0]
        self.assertEqual((row["share_distinct"], donor_of(result, "a"), result["choice"]), (40, "right", "a"))
        self.assertRegex(row["reasons"][-1], r"^2 of 3 could not be used: .*/index/cut\.fingerprint")
        self.assertRegex("\n".join(row["problems"]), r"\A\S*/index/cut\.fingerprint.*\n\S*/index/left\.fingerprint.*\Z")
        done = self.run_setmov("choose", self.moving, f"--host=a={self.work}/index", "--explain")
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"(?s)\na:\n  holds 40\.00 %.*\n  problem: .*cut\.fingerprint.*\n  problem: .*left\.fingerprint")
        done = self.run_setmov("choose", self.moving, f"--host=a={self.work}/index")
        self.assertRegex(done.stdout, r"(?m)^note: some of what a holds could not be used \(--explain says what\)$")

    def test_only_damage(self):
        self.directory("index")
        (self.work / "index/a.fingerprint").write_bytes(b"SETMOVFP" + bytes(3000))
        result = self.choose(self.moving, [("a", "index"), ("good", "good")])
        self.assertEqual(order(result), ["good", "a"])
        self.assertRegex(row_of(result, "a")["reasons"][0], r"^unusable: nothing of what it holds can be used: .*a\.fingerprint")

    def test_a_bad_image_costs_itself(self):
        (self.work / "good/bad.vmdk").write_bytes(b"KDMV" + b"\xff" * 4096)
        result = self.choose(self.moving, [("a", "good")])
        row = result["ranking"][0]
        self.assertEqual(row["share_distinct"], 50)
        self.assertRegex(row["reasons"][-1], r"^1 of 2 could not be used: .*bad\.vmdk")

    def test_the_format_is_the_moving_image_s_only(self):
        if not shutil.which("qemu-img") or not shutil.which("qemu-nbd"):
            self.skipTest("QEMU's tools are not installed")
        qcow2 = self.work / "moving.qcow2"
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", "-f", "raw", self.moving, qcow2], check=True)
        result = self.choose(qcow2, [("a", "good")], "--format", "qcow2", "--block-size", "512")
        row = result["ranking"][0]
        self.assertEqual((row["bytes_to_send"], len(row["reasons"])), (5 * BLOCK, 2))

    def test_an_index_and_images_in_one_directory(self):
        image = self.image("elsewhere/other", range(6, 9))
        self.fingerprint(image, "good/other.fingerprint")
        result = self.choose(self.moving, [("a", "good")])
        self.assertEqual(result["ranking"][0]["share_distinct"], 80)

    def test_a_cause_is_told_whatever_the_path_is_like(self):
        deep = self.work.joinpath(*["long" * 20] * 4)
        deep.mkdir(parents=True)
        (deep / "bad.fingerprint").write_bytes(b"SETMOVFP" + bytes(3000))
        result = self.choose(self.moving, [("a", deep), ("b", deep / "none"), ("good", "good")])
        a, b = row_of(result, "a"), row_of(result, "b")
        self.assertEqual(len(a["problems"]), 1)
        cause = a["problems"][0][a["problems"][0].index("bad.fingerprint") + len("bad.fingerprint"):]
        self.assertRegex(cause, r"\w{4}")
        self.assertEqual(a["reasons"], [f"unusable: nothing of what it holds can be used: {a['problems'][0]}"])
        self.assertEqual(b["reasons"], [f"unusable: No such file or directory: {deep}/none"])
        self.assertEqual(row_of(result, "good")["problems"], [])

    def test_an_image_beside_its_fingerprint_counts_once(self):
        image = self.work / "good/vm"
        end = time.monotonic() + BOUND
        while time.time() < os.stat(image).st_ctime + 4:  # what changed just now is not believed
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)
        self.fingerprint(image, "good/vm.fingerprint")
        self.image("good/other", range(100, 103))
        words = (self.moving, [("a", "good")])
        result = self.choose(*words)
        row = result["ranking"][0]
        self.assertIn(" in 2 images;", row["reasons"][0])
        self.assertEqual((row["share_distinct"], os.path.basename(row["best_donor"]["path"])), (50, "vm"))
        # It is believed, so the image is not read: what it says from here on is not what is there.
        content = bytearray((self.work / "good/vm.fingerprint").read_bytes())
        at, = [at for at, kind in sections(content) if kind == 2]
        content[struct.unpack_from("<Q", content, at + 8)[0] + 15] ^= 1
        (self.work / "good/vm.fingerprint").write_bytes(mended(content))
        self.assertEqual(self.choose(*words)["ranking"][0]["share_distinct"], 40)
        image.write_bytes(b"".join(block(number) for number in range(200, 205)))
        row = self.choose(*words)["ranking"][0]
        self.assertIn(" in 2 images;", row["reasons"][0])
        self.assertEqual(row["share_distinct"], 0)

    def test_what_is_provisional_is_called_so(self):
        held = self.fingerprint(self.work / "good/vm", "index/vm.fingerprint")
        content = bytearray(held.read_bytes())
        struct.pack_into("<I", content, 128, struct.unpack_from("<I", content, 128)[0] | 1)
        held.write_bytes(mended(content))
        words = "was held for writing by another process (a running VM?) while it was read"
        self.assertFalse(self.choose(self.moving, [("a", "index")])["provisional"])
        result = self.choose(held, [("a", "index")], stderr=rf"setmov choose: note: {re.escape(str(held))} {re.escape(words)}.*provisional\n")
        self.assertTrue(result["provisional"])
        self.assertIn(f"1 of its images {words}", result["ranking"][0]["reasons"])
        done = self.run_setmov("choose", held, f"--host=a={self.work}/index")
        self.assertEqual((done.returncode, done.stderr.count("\n")), (0, 1), done)
        self.assertIn(words, done.stderr)

    def test_images_below_the_directory(self):
        self.image("good/below/deep", range(6, 11))
        self.assertEqual(self.choose(self.moving, [("a", "good")])["ranking"][0]["share_distinct"], 100)

    def test_a_bad_image_to_move(self):
        os.mkfifo(self.work / "fifo")
        for bad, why in ((self.work, "directory"), (self.work / "fifo", ".*"), (self.work / "none", "No such file")):
            self.refused(bad, f"--host=a={self.work}/good", status=1, stderr=rf".*{bad}.*{why}")

    def test_interrupted(self):
        big = self.work / "store/big"
        big.parent.mkdir()
        big.write_bytes(os.urandom(32 << 20))
        process = subprocess.Popen([str(SETMOV), "choose", str(self.moving), f"--host=a={big.parent}", "--rate", "1M"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "TMPDIR": str(self.temporary)})
        end = time.monotonic() + BOUND
        while not any(os.path.realpath(f"/proc/{process.pid}/fd/{fd}") == str(big) for fd in os.listdir(f"/proc/{process.pid}/fd")):
            self.assertLess(time.monotonic(), end, "it never opened the image")
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=BOUND)
        self.assertEqual((process.returncode, output, errors), (-signal.SIGINT, b"", b""))

    def test_hostile_names(self):
        name = "a\033[2J\nb\u202e"
        self.image("good/x\033[2J\ny", range(1, 8))
        done = self.run_setmov("choose", self.moving, f"--host={name}={self.work}/good", "--explain")
        self.assertEqual(done.returncode, 0)
        for bad in ("\033", "\u202e"):
            self.assertNotIn(bad, done.stdout + done.stderr)
        result = self.choose(self.moving, [(name, "good")])
        self.assertEqual((result["choice"], donor_of(result, name)), (name, "x\033[2J\ny"))

    def test_the_table(self):
        self.image("better/vm", range(1, 9))
        done = self.run_setmov("choose", self.moving, f"--host=good={self.work}/good", f"--host=b={self.work}/better",
                               f"--host=gone={self.work}/gone")
        lines = done.stdout.splitlines()
        self.assertEqual((done.returncode, done.stderr, len(lines)), (0, "", 5))
        self.assertRegex(lines[0], r"^rank  host  to send  share \(w\. duplicates\) +best single donor$")
        self.assertRegex(lines[1], rf"^   1  b     8\.00k    80\.00 % \(80\.00 %\) +{self.work}/better/vm \(80\.00 %\)$")
        self.assertRegex(lines[2], r"^   2  good  20\.0k    50\.00 % ")
        self.assertRegex(lines[3], r"^   -  gone  unusable: ")
        self.assertEqual(lines[4], "choice: b, 8.00k to send instead of 40.0k")


class Arguments(Case):
    def setUp(self):
        super().setUp()
        self.moving = self.image("moving", range(1, 11))
        self.image("good/vm", range(1, 6))

    def test_bad_words(self):
        good = f"--host=a={self.work}/good"
        for words, why in (
                ([self.moving], "no host given"),
                ([good], "no VM and no image given"),
                ([self.moving, "--engine", "sketch"], "--engine goes with --host or --hosts-file"),
                ([self.moving, "--merged", "x"], "--merged goes with --host or --hosts-file"),
                ([self.moving, good, "--config", "x"], "--config does not go with --host or --hosts-file"),
                ([self.moving, self.moving, good], "unexpected word"),
                ([self.moving, "--host", "a"], "--host: 'a' is not NAME=DIR"),
                ([self.moving, "--host", "=dir"], "--host: '=dir' has no name"),
                ([self.moving, "--host", "a="], "--host: 'a=' has no directory"),
                ([self.moving, good, "--host", "a=/elsewhere"], "--host: there are two hosts 'a'"),
                ([self.moving, good, "--engine", "guess"], "--engine: 'guess' is none of"),
                ([self.moving, good, "--engine", "exact", "--merged", "x"], "--merged goes with --engine sketch"),
                ([self.moving, good, "--block-size", "1000"], "--block-size"),
                ([self.moving, good, "--digest", "crc"], "--digest"),
                ([self.moving, good, "--block-size", "512", "--block-size", "1024"], "more than one --block-size")):
            self.refused(*words, stderr=why)

    def test_a_directory_with_an_equals_sign(self):
        self.image("x=y/vm", range(1, 6))
        self.assertEqual(self.choose(self.moving, [("a", "x=y")])["ranking"][0]["share_distinct"], 50)

    def test_hosts_from_a_file(self):
        hosts = self.work / "hosts"
        hosts.write_text(f"# all hosts\n\n  b={self.work}/good  \r\n\tc={self.work}/gone\n#d=/x\nx#1={self.work}/good")
        result = self.choose(self.moving, [("a", "good")], "--hosts-file", hosts)
        self.assertEqual(order(result), ["a", "b", "x#1", "c"])
        self.assertEqual(result["ranking"][1]["share_distinct"], 50)

    def test_bad_files_of_hosts(self):
        hosts = self.work / "hosts"
        for text, why in (("a=/x\n\nb\n", "3: 'b' is not NAME=DIR"), ("=/x", "1: '=/x' has no name"),
                          ("# c\na=", "2: 'a=' has no directory"), ("a=/x\nb=/y\na=/z\n", "3: there is another host 'a'"),
                          ("\na=\0/x", "2: a NUL byte")):
            hosts.write_text(text)
            self.refused(self.moving, "--hosts-file", hosts, stderr=f"{hosts}:{why}")
        hosts.write_text("a=/x\n")
        self.refused(self.moving, "--hosts-file", hosts, "--host=a=/y", stderr=f"{hosts}:1: there is another host 'a'")
        hosts.write_text("# nobody\n")
        self.refused(self.moving, "--hosts-file", hosts, stderr=f"no host given in {hosts}")
        os.mkfifo(self.work / "fifo")
        for path, why in (("none", "No such file"), ("good", "Is a directory"), ("fifo", "not a regular file")):
            self.refused(self.moving, "--hosts-file", self.work / path, status=1, stderr=f".*{path}.*{why}")


if __name__ == "__main__":
    unittest.main()

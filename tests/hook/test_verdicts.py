#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The hook's verdicts, their exact words and exit status, on a recorded domain and made-up catalogs."""

import re
import time

import hook_bed
from hook_bed import BLOCK, MIB, OVERRIDE, VM1, VM2, blocks

WORSE = "beta has 0.00 % of its blocks and needs 8.00M, gamma has 100.00 % and needs nothing, which saves 8.00M."
WORSE_LOG = ("beta has 0.00 % of its blocks (0.00 % with duplicates), 8.00M to send; "
             "gamma has 100.00 % (100.00 % with duplicates), nothing to send; catalog N old, 3 hosts")
FROM = f"vm1 ({VM1}) from alpha: "


class Policies(hook_bed.Park):
    def test_the_right_host_lets_it_in_under_every_policy(self):
        self.usual(here=blocks(1, 2048), there=blocks(2, 2048))
        for policy in ("advise", "enforce", "redirect"):
            self.configure(policy)
            self.passes(FROM + "passed: beta has 100.00 % of its blocks (100.00 % with duplicates), nothing to send; "
                        "next gamma has 0.00 % (0.00 % with duplicates), 8.00M to send; catalog N old, 3 hosts")
        self.assertEqual(self.requests(), [])

    def test_advise_logs_the_better_host(self):
        self.usual()
        self.passes(FROM + "passed (policy advise), but gamma is the better host: " + WORSE_LOG)
        self.assertEqual(self.requests(), [])

    def test_enforce_refuses(self):
        self.usual()
        self.configure("enforce")
        self.refuses(f"setmov refuses vm1: {WORSE} To override: {OVERRIDE}",
                     FROM + "refused (policy enforce), the better host is gamma: " + WORSE_LOG)
        self.assertEqual(self.requests(), [])

    def test_redirect_refuses_and_leaves_a_request(self):
        self.usual()
        self.configure("redirect")
        before = int(time.time())
        self.refuses(f"setmov redirects vm1: {WORSE} alpha will migrate it there by itself, or not at all after 15 min. "
                     f"To override: {OVERRIDE}", FROM + "refused (policy redirect), redirected to gamma: " + WORSE_LOG)
        self.assertEqual(self.requests(), [VM1 + ".request"])
        path = self.index / (VM1 + ".request")
        self.assertEqual(self.mode(path), 0o600)
        text = path.read_text()
        fields = dict(line.split(" ", 1) for line in text.splitlines())
        self.assertEqual([fields[key] for key in ("vm", "holder", "refuser", "target")],
                         [f"{VM1} vm1", "alpha", "beta 8388608", "gamma 0"])
        self.assertTrue(before <= int(fields["made"]) <= time.time())
        self.assertEqual(int(fields["expires"]) - int(fields["made"]), 15 * 60)
        # A second one takes the place of the first.
        self.configure("redirect", "request-expiry = 1h")
        self.assertEqual(self.ask()[0], 1)
        self.assertEqual(self.requests(), [VM1 + ".request"])
        self.assertNotEqual(path.read_text(), text)

    def test_a_request_that_cannot_be_written_is_a_plain_refusal(self):
        self.usual()
        self.configure("redirect", setmov="", text=None)
        self.config.write_text(self.config.read_text().replace(f"index = {self.index}", f"index = {self.work}/nowhere"))
        nowhere = f"{self.work}/nowhere/{VM1}.request: cannot make a file beside it: No such file or directory"
        self.refuses(f"setmov refuses vm1: {WORSE} To override: {OVERRIDE} (It could not be redirected: {nowhere})",
                     FROM + "refused (policy redirect), the better host is gamma: " + WORSE_LOG +
                     f"; no request was left: {nowhere}")

    def test_off_says_nothing_at_all(self):
        self.usual()
        self.configure("off")
        self.assertEqual(self.ask(), (0, ""))
        self.assertEqual(self.ask(xml="<!DOCTYPE x [<!ENTITY y 'z'>]><domain/>"), (0, ""))
        self.assertFalse(self.log.exists())

    def test_verbose_shows_what_is_logged(self):
        self.usual()
        status, err = self.ask(words=("vm1", "migrate", "begin", "-", "--verbose"))
        self.assertEqual(status, 0)
        self.assertIn("passed (policy advise), but gamma is the better host", err)
        self.assertIn(err.strip(), self.log.read_text())

    def test_other_operations_are_none_of_its_own(self):
        self.usual()
        self.configure("enforce")
        for operation in ("prepare", "start", "started", "stopped", "release", "reconnect", "attach", "restore", "migrate"):
            for sub in ("begin", "end", "-") if operation != "migrate" else ("end", "-"):
                self.assertEqual(self.ask(words=("vm1", operation, sub, "-")), (0, ""), operation)
        self.assertFalse(self.log.exists())


class Figures(hook_bed.Park):
    def test_both_margins_must_be_exceeded(self):
        self.usual(here=blocks(1, 2048)[:1536 * BLOCK], there=blocks(1, 2048))
        self.configure("enforce", "")
        status, err = self.ask()
        self.assertEqual(status, 1)
        self.assertIn("gamma has 100.00 % and needs nothing", err)
        # A quarter of the image is missing here, by the estimate's measure.
        match = re.search(r"beta has (\d+\.\d\d) % of its blocks and needs ([\d.]+)M, ", err)
        self.assertTrue(50 < float(match[1]) < 95, err)
        for margin, expected in (("7M 10%", 0), ("1M 100%", 0), ("7M", 0), ("100%", 0), ("1M", 1), ("99%", 1)):
            self.configure("enforce")
            self.config.write_text(self.config.read_text().replace("margin = 1M 10%", f"margin = {margin}"))
            self.assertEqual(self.ask()[0], expected, margin)

    def test_shares_are_close_to_the_truth(self):
        image = blocks(1, 16384)
        self.usual(image=image, here=image[:len(image) // 4], there=image[:len(image) * 3 // 4])
        self.configure("enforce")
        status, err = self.ask()
        self.assertEqual(status, 1)
        match = re.search(r"beta has ([\d.]+) % .* gamma has ([\d.]+) % and needs ([\d.]+)M, which saves ([\d.]+)M", err)
        # 64 sampled digests: two standard deviations are 11 points.
        for found, true, whole in zip(map(float, match.groups()), (25, 75, 16, 32), (100, 100, 64, 64)):
            self.assertLess(abs(found - true), 0.11 * whole, err)

    def test_the_union_of_a_hosts_images_counts(self):
        image = blocks(1, 2048)
        self.holds("alpha", {"vm1.raw": image}, [self.vm1()])
        self.holds("beta", {"beta.raw": blocks(9, 256)})
        self.holds("gamma", {"one.raw": image[:1024 * BLOCK], "two.raw": image[1024 * BLOCK:]})
        self.sync()
        self.configure("enforce")
        self.assertIn("gamma has 100.00 % and needs nothing", self.ask()[1])

    def test_disks_are_summed_and_what_has_no_fingerprint_is_left_out(self):
        one, two = blocks(1, 2048), blocks(2, 2048)
        other = f"{self.images}/vm1-b.raw"
        xml = self.xml().replace("<controller ", f"""<disk type='file' device='disk'><source file='{other}'/>
            <target dev='vdb'/></disk><disk type='file' device='cdrom'><source file='/iso'/><target dev='sda'/><readonly/>
            </disk><controller """, 1)
        self.holds("alpha", {"vm1.raw": one, "vm1-b.raw": two}, [self.vm1(("vda", self.disk), ("vdb", other))])
        self.holds("beta", {"beta.raw": one})
        self.holds("gamma", {"gamma.raw": two + one})
        self.sync()
        self.passes(FROM + "passed (policy advise), but gamma is the better host: "
                    "beta has 50.00 % of its blocks (50.00 % with duplicates), 8.00M to send; "
                    "gamma has 100.00 % (100.00 % with duplicates), nothing to send; catalog N old, 3 hosts", xml=xml)
        self.holds("alpha", None, [self.vm1(("vda", self.disk), ("vdb", other, "image=no"))])
        self.sync()
        self.passes(FROM + "passed: beta has 100.00 % of its blocks (100.00 % with duplicates), nothing to send; "
                    "next gamma has 100.00 % (100.00 % with duplicates), nothing to send; "
                    "1 of 2 disks left out, without fingerprints; catalog N old, 3 hosts", xml=xml)

    def test_a_disk_is_found_by_its_target_where_the_path_is_another(self):
        self.usual()
        self.configure("enforce")
        self.assertEqual(self.ask(xml=self.xml(f"{self.images}/elsewhere.raw"))[0], 1)

    def test_the_smallest_configured_blocks_are_taken(self):
        image = blocks(1, 2048)
        self.block_sizes = [512, 4096]
        # Moved by a sector: nothing in common at 4096, nearly all at 512.
        self.usual(image=image, here=image[512:], there=image)
        for sizes, expected in (("4096", 1), ("512", 0), ("4096 512", 0)):
            self.configure("enforce", setmov=f"block-sizes = {sizes}")
            self.assertEqual(self.ask()[0], expected, sizes)

    def test_blocks_by_which_it_cannot_be_told_leave_nothing_for_the_next(self):
        """The index of small blocks is as old as alpha and gamma; that of large ones knows this host."""
        image = blocks(1, 2048)
        self.block_sizes = [512, 4096]
        self.holds("alpha", {"vm1.raw": image}, [self.vm1()])
        self.holds("gamma", {"gamma.raw": image})
        self.sync()
        old = self.cache / "sha256-512.merged"
        content = old.read_bytes()
        self.holds("beta", {"beta.raw": image[:1024 * BLOCK]})
        self.sync()
        old.write_bytes(content)
        self.configure("enforce", setmov="block-sizes = 512 4096")
        status, err = self.ask()
        self.assertEqual((status, "beta has 50.00 % of its blocks and needs" in err), (1, True), (err, self.logged()))


class Candidates(hook_bed.Park):
    """gamma has all of it, delta half; the margin is far below either."""

    def refused_for(self, other):
        status, err = self.ask()
        self.assertEqual((status, f", {other} has " in err), (1, True), err)

    def set_up(self, **facts):
        image = blocks(1, 2048)
        self.holds("alpha", {"vm1.raw": image}, [self.vm1()])
        self.holds("beta")
        self.holds("delta", {"delta.raw": image[:1024 * BLOCK]})
        self.holds("gamma", {"gamma.raw": image}, facts.pop("vms", ()), **facts)
        self.sync()
        self.configure("enforce", hosts="[host delta]\nuri = qemu+tls://delta/system")

    def test_the_best_is_named(self):
        self.set_up()
        self.refused_for("gamma")

    def test_hosts_that_cannot_take_it_are_passed_over(self):
        # It has 128 MiB of memory and an image of 8 MiB; 512 MiB and 1 GiB stay free.
        memory, space = 640 * MIB, 1032 * MIB
        self.set_up(cpu=79, free=memory, pool=space)
        self.refused_for("gamma")
        for facts in ({"cpu": 81}, {"free": memory - 1}, {"pool": space - 1}, {"read": self.now - 3 * 86400},
                      {"read": 0, "problem": "connection_refused"}, {"vms": [self.vm1(active=False)]}):
            with self.subTest(facts):
                self.set_up(**facts)
                self.refused_for("delta")

    def test_maintenance_trust_domains_and_hosts_that_are_not_configured(self):
        self.set_up()
        gamma, text = "[host gamma]\nuri = qemu+tls://gamma/system\n", self.config.read_text()
        for instead in (gamma + "maintenance = yes\n", gamma + "trust-domain = other\n", ""):
            with self.subTest(instead):
                self.config.write_text(text.replace(gamma, instead))
                self.refused_for("delta")

    def test_a_group_is_kept_apart(self):
        self.set_up(vms=[(VM2, "vm2", True, [])])
        text = self.config.read_text()
        for members in ("vm1 vm2", f"{VM1} {VM2}", f"{VM1.upper()} vm2 nobody"):
            with self.subTest(members):
                self.config.write_text(text + f"[group pair]\nvms = {members}\n")
                self.refused_for("delta")
        self.config.write_text(text + "[group others]\nvms = vm2 vm3\n")
        self.refused_for("gamma")

    def test_where_it_runs_decides_whose_image_counts(self):
        image, old = blocks(1, 2048), blocks(3, 2048)
        self.holds("alpha", {"vm1.raw": image}, [self.vm1()])
        # An old definition here, and an old copy of the image: what arrives is alpha's.
        for facts in ({"active": False}, {"active": True}):
            self.holds("beta", {"vm1.raw": old}, [self.vm1(**facts)], made=self.now)
            self.holds("gamma", {"gamma.raw": image})
            self.sync()
            self.configure("enforce")
            self.refuses(f"setmov refuses vm1: {WORSE} To override: {OVERRIDE}")
        # Only known here, from the time before it left: its image is, too.
        self.holds("alpha", None, [])
        self.sync()
        self.passes(f"vm1 ({VM1}) from beta: passed: beta has 100.00 % of its blocks (100.00 % with duplicates), nothing "
                    "to send; next alpha has 0.00 % (0.00 % with duplicates), 8.00M to send; catalog N old, 3 hosts")

    def test_nobody_else(self):
        self.holds("alpha", {"vm1.raw": blocks(1, 2048)}, [self.vm1()])
        self.holds("beta")
        self.sync()
        self.configure("enforce")
        self.passes(FROM + "passed: beta has 0.00 % of its blocks (0.00 % with duplicates), 8.00M to send; "
                    "no other host can take it; catalog N old, 2 hosts")


class Overrides(hook_bed.Park):
    METADATA = f'<setmov:override xmlns:setmov="{hook_bed.NAMESPACE}"/>'

    def setUp(self):
        super().setUp()
        self.usual()
        self.overrides = self.work / "overrides"
        self.overrides.mkdir()

    def test_by_metadata(self):
        self.configure("enforce")
        log = f"vm1 ({VM1}): passed: overridden by <setmov:override/> in the domain's metadata"
        self.passes(log, xml=self.xml(metadata=self.METADATA))
        self.configure("enforce", "override = none")
        self.refuses(f"setmov refuses vm1: {WORSE} beta allows no override.", xml=self.xml(metadata=self.METADATA))

    def test_by_a_file(self):
        self.configure("enforce", f"override = {self.overrides}")
        self.refuses(f"setmov refuses vm1: {WORSE} To override, on beta: touch {self.overrides}/{VM1}",
                     xml=self.xml(metadata=self.METADATA))
        for name in (VM1, "vm1"):
            (self.overrides / name).touch()
            self.passes(f"vm1 ({VM1}): passed: overridden by {self.overrides}/{name}")
            (self.overrides / name).unlink()
        (self.overrides / "vm2").touch()
        self.assertEqual(self.ask()[0], 1)

    def test_a_name_is_no_path(self):
        (self.work / "elsewhere").touch()
        self.configure("enforce", f"override = {self.overrides}")
        for name in ("..", ".", "../elsewhere", ".hidden"):
            (self.overrides / ".hidden").touch()
            status, _ = self.ask(xml=self.xml().replace("<name>vm1<", f"<name>{name}<"))
            self.assertEqual(status, 1, name)


class Directories(hook_bed.Park):
    ASTRAY = "its disk vda, /etc/vm1.raw, does not lie in "

    def test_a_disk_elsewhere_is_refused_by_who_refuses_at_all(self):
        self.usual(here=blocks(1, 2048))
        for policy in ("enforce", "redirect"):
            self.configure(policy)
            self.refuses(f"setmov refuses vm1: {self.ASTRAY}{self.images} (directories of [hook] in beta's setmov.conf). "
                         "beta allows no override.",
                         f"vm1 ({VM1}) from alpha: refused (policy {policy}): {self.ASTRAY}{self.images}",
                         xml=self.xml("/etc/vm1.raw"))
        self.configure("advise")
        self.passes(FROM + "passed: beta has 100.00 % of its blocks (100.00 % with duplicates), nothing to send; next gamma "
                    "has 100.00 % (100.00 % with duplicates), nothing to send; catalog N old, 3 hosts; "
                    f"{self.ASTRAY}{self.images}", xml=self.xml("/etc/vm1.raw"))

    def test_the_xml_does_not_say_what_this_host_allows(self):
        self.usual(here=blocks(1, 2048))
        overrides = self.work / "overrides"
        overrides.mkdir()
        self.configure("enforce", f"override = metadata {overrides}")
        xml = self.xml("/etc/vm1.raw", metadata=Overrides.METADATA)
        self.refuses(f"setmov refuses vm1: {self.ASTRAY}{self.images} (directories of [hook] in beta's setmov.conf). "
                     f"To override, on beta: touch {overrides}/{VM1}", xml=xml)
        (overrides / VM1).touch()
        self.assertEqual(self.ask(xml=xml), (0, ""))

    def test_below_means_below(self):
        self.usual(here=blocks(1, 2048))
        self.configure("enforce")
        for path, expected in ((f"{self.images}/a/b.raw", 0), (f"{self.images}2/b.raw", 1), (f"{self.work}/b.raw", 1)):
            self.assertEqual(self.ask(xml=self.xml(path))[0], expected, path)
        self.config.write_text(self.config.read_text().replace(f"directories = {self.images}",
                                                               f"directories = /srv {self.work}"))
        self.assertEqual(self.ask(xml=self.xml(f"{self.work}/b.raw"))[0], 0)

    def test_devices_and_what_is_only_read_lie_where_they_do(self):
        self.usual(here=blocks(1, 2048))
        self.configure("enforce")
        cdrom = "<disk type='file' device='cdrom'><source file='/iso'/><target dev='sda'/><readonly/></disk>"
        device = "<disk type='block' device='disk'><source dev='/dev/sdz'/><target dev='vdb'/></disk>"
        self.assertEqual(self.ask(xml=self.xml().replace("<controller ", cdrom + device + "<controller ", 1)), (0, ""))


hook_bed.main()

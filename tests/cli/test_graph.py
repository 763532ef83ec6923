#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`setmov graph` on RRD files made as collectd's rrdtool plugin makes them."""

import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import xml.etree.ElementTree
import zlib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SETMOV = os.path.join(os.environ.get("SETMOV_BUILD", os.path.join(ROOT, "build")), "setmov")
END = 1700000000
START = END - 1200
GAP = (END - 700, END - 500)  # nothing arrived in between
SVG = "{http://www.w3.org/2000/svg}"
VM_GRAPHS = ("cpu", "memory", "disk", "latency", "network", "packets")
HOST_GRAPHS = VM_GRAPHS + ("vms",)
HOSTILE = ["db:100%s \\l<b>&x", "..hidden", " lead", "new\nline", "a=b:STACK", "caf\u00e9 \U0001f427",
           "-rf", "$(touch pwned)'\""]


def rrdtool(*arguments):
    return subprocess.run(["rrdtool", *arguments], check=True, capture_output=True, text=True,
                          env={**os.environ, "LC_ALL": "C"}).stdout


def make_rrd(path, sources, values, start=START, updates=True):
    """Step 1 s, heartbeat 2 s and three functions, as collectd's rrdtool plugin; with a gap."""
    rrdtool("create", path, "--step", "1", "--start", str(start - 1),
            *[f"DS:{name}:GAUGE:2:0:U" for name in sources],
            *[f"RRA:{function}:0.1:{steps}:1200"
              for steps in (1, 72) for function in ("AVERAGE", "MIN", "MAX")])
    line = ":".join(str(value) for value in values)
    times = [t for t in range(start, END + 1) if not GAP[0] <= t < GAP[1]] if updates else []
    for i in range(0, len(times), 500):
        rrdtool("update", path, *[f"{t}:{line}" for t in times[i:i + 500]])


class Png:
    """Enough of PNG for 8-bit RGB and RGBA pictures that are not interlaced."""

    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        assert data[:8] == b"\x89PNG\r\n\x1a\n", path
        at, packed, self.ended = 8, b"", False
        while at < len(data):
            length, kind = struct.unpack(">I4s", data[at:at + 8])
            body = data[at + 8:at + 8 + length]
            crc, = struct.unpack(">I", data[at + 8 + length:at + 12 + length])
            assert zlib.crc32(kind + body) == crc, path
            if kind == b"IHDR":
                self.width, self.height, depth, color, _, _, interlace = struct.unpack(">IIBBBBB", body)
                assert depth == 8 and color in (2, 6) and interlace == 0, path
                self.pixel = 3 if color == 2 else 4
            elif kind == b"IDAT":
                packed += body
            elif kind == b"IEND":
                self.ended = True
            at += 12 + length
        self.raw = zlib.decompress(packed)

    def rows(self):
        size, n = self.width * self.pixel, self.pixel
        before = bytearray(size)
        for y in range(self.height):
            kind = self.raw[y * (size + 1)]
            row = bytearray(self.raw[y * (size + 1) + 1:(y + 1) * (size + 1)])
            for i in range(size):
                left, up = row[i - n] if i >= n else 0, before[i]
                corner = before[i - n] if i >= n else 0
                if kind == 1:
                    add = left
                elif kind == 2:
                    add = up
                elif kind == 3:
                    add = (left + up) // 2
                elif kind == 4:
                    guess = left + up - corner
                    add = min((left, up, corner), key=lambda v: abs(guess - v))
                else:
                    add = 0
                row[i] = (row[i] + add) & 255
            yield row
            before = row

    def columns_of(self, color, height=10):
        """The columns in which at least `height` pixels have very nearly this colour."""
        counts = [0] * self.width
        for row in self.rows():
            for x in range(self.width):
                pixel = row[x * self.pixel:x * self.pixel + 3]
                # The grid shines over it and darkens it.
                counts[x] += all(c * 0.75 - 2 <= p <= c for p, c in zip(pixel, color))
        return [x for x in range(self.width) if counts[x] >= height]


class GraphTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.templates = tempfile.mkdtemp(prefix="setmov-graph-")
        make_rrd(cls.templates + "/value.rrd", ["value"], [40])
        make_rrd(cls.templates + "/disk.rrd", ["read", "write"], [3e6, 1e6])
        make_rrd(cls.templates + "/net.rrd", ["rx", "tx"], [60e9, 20e9])

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.templates)

    def setUp(self):
        self.place = tempfile.mkdtemp(prefix="setmov-graph-")
        self.addCleanup(shutil.rmtree, self.place)
        self.rrd = self.place + "/rrd"
        self.out = self.place + "/out"
        os.mkdir(self.rrd)

    def put(self, directory, template, *metrics):
        os.makedirs(f"{self.rrd}/{directory}", exist_ok=True)
        for metric in metrics:
            shutil.copy(f"{self.templates}/{template}.rrd", f"{self.rrd}/{directory}/{metric}.rrd")

    def put_vm(self, directory):
        self.put(directory, "value", "setmov_percent-cpu", "setmov_percent-vcpu", "memory-rss",
                 "percent-memory")
        self.put(directory, "disk", "setmov_disk-vda", "setmov_disk-vdb", "setmov_latency-vda")
        self.put(directory, "net", "setmov_bits-vnet0", "setmov_packets-vnet0")

    def put_host(self, name):
        directory = name + "/setmov-host"
        self.put(directory, "value", "percent-cpu", "percent-cpu_user", "percent-cpu_idle",
                 "memory-used", "memory-total", "percent-memory", "count-vms", "count-vms_running")
        self.put(directory, "disk", "setmov_disk-sda", "setmov_disk-total", "setmov_latency-sda")
        self.put(directory, "net", "setmov_bits-eth0:1", "setmov_packets-eth0:1")
        self.put(name + "/setmov-self", "value", "gauge-up")
        self.put(name + "/cpu-0", "value", "cpu-user")

    def graph(self, *arguments, out=None, rrd=None, environment=None, prefix=()):
        result = subprocess.run(
            [*prefix, SETMOV, "graph", "--rrd", rrd or self.rrd, "--out", out or self.out,
             "--start", str(START), "--end", str(END), *arguments],
            capture_output=True, text=True, timeout=300,
            env={"PATH": os.environ["PATH"], "HOME": self.place, "TZ": "UTC", **(environment or {})})
        if os.path.isdir(self.out):
            left = [name for name in os.listdir(self.out) if not name.endswith((".png", ".svg"))]
            self.assertEqual(left, [], "left over")
        return result

    def fails(self, status, pattern, *arguments, **options):
        """It says so in one line, and prints and leaves nothing."""
        result = self.graph(*arguments, **options)
        self.assertEqual(result.returncode, status, result.stderr)
        self.assertRegex(result.stderr, pattern)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertEqual(os.listdir(self.out) if os.path.isdir(self.out) else [], [])

    def drawn(self, result):
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        names = sorted(os.path.basename(line) for line in result.stdout.splitlines())
        self.assertEqual(names, sorted(os.listdir(self.out)))
        return names

    def title(self, name):
        tree = xml.etree.ElementTree.parse(f"{self.out}/{name}").getroot()
        self.assertEqual(tree.tag, SVG + "svg")
        self.assertEqual(tree.find(SVG + "desc").text,
                         "2023-11-14 21:53:20 to 2023-11-14 22:13:20 UTC")
        return tree.find(SVG + "title").text

    # ---- what is drawn

    def test_host_and_vm_of_the_layout_by_name(self):
        self.put_host("node1")
        self.put_vm("web01/setmov")
        names = self.drawn(self.graph())
        self.assertEqual(names, sorted(
            [f"node1-{g}.{e}" for g in HOST_GRAPHS for e in ("png", "svg")] +
            [f"web01-{g}.{e}" for g in VM_GRAPHS for e in ("png", "svg")]))
        sizes = {(p.width, p.ended) for p in (Png(f"{self.out}/{n}") for n in names if n.endswith("png"))}
        self.assertEqual(len(sizes), 1)
        self.assertTrue(sizes.pop()[1])
        self.assertEqual(self.title("node1-cpu.svg"), "Host node1: CPU")
        self.assertEqual(self.title("web01-network.svg"), "VM web01: network traffic")

    def test_vms_of_the_layout_by_host(self):
        self.put_host("node1")
        self.put_vm("node1/setmov-web01")
        self.put_vm("node2/setmov-web01")
        self.put_vm("node2/setmov-web02")
        self.drawn(self.graph("--format", "svg"))
        self.assertEqual(self.title("web01-cpu.svg"), "VM web01 on node1: CPU")
        self.assertEqual(self.title("node2-web01-cpu.svg"), "VM web01 on node2: CPU")
        self.assertEqual(self.title("web02-cpu.svg"), "VM web02 on node2: CPU")

    def test_host_and_vm_choose(self):
        self.put_host("node1")
        self.put_host("node2")
        self.put_vm("web01/setmov")
        self.put_vm("node2/setmov-web02")

        def subjects(*choice):
            shutil.rmtree(self.out, ignore_errors=True)
            return {n.split("-")[0] for n in self.drawn(self.graph("--format", "svg", *choice))}
        self.assertEqual(subjects("--host", "node1"), {"node1"})
        self.assertEqual(subjects("--host", "node2"), {"node2", "web02"})
        self.assertEqual(subjects("--vm", "web01"), {"web01"})
        self.assertEqual(subjects("--vm", "web02"), {"web02"})
        self.assertEqual(subjects("--host", "node1", "--vm", "web01"), {"node1", "web01"})

    def test_hostile_names_are_shown_and_stored_safely(self):
        for name in HOSTILE:
            self.put(name + "/setmov", "value", "setmov_percent-cpu")
            self.put(name + "/setmov", "disk", f"setmov_disk-{name}")
        names = self.drawn(self.graph())
        self.assertEqual(len(names), len(HOSTILE) * 2 * 2)
        for name in names:
            self.assertRegex(name, r"\A[\w+@=][\w.+@=\U00010000-\U0010ffff-]*\.(png|svg)\Z")
        titles = {self.title(name) for name in names if name.endswith("-cpu.svg")}
        self.assertEqual(titles, {f"VM {name.replace(chr(10), '?')}: CPU" for name in HOSTILE})
        self.assertFalse(os.path.exists("pwned"))

    def test_size_is_that_of_the_plotting_area(self):
        self.put("a/setmov", "value", "setmov_percent-cpu")
        narrow, small, large = [
            self.drawn(self.graph("--size", size)) and Png(self.out + "/a-cpu.png")
            for size in ("400x150", "800x150", "1000x300")]
        self.assertEqual((large.width - small.width, large.height - small.height), (200, 150))
        self.assertEqual(small.width - narrow.width, 400)
        self.assertLessEqual(narrow.height, small.height, "the legend does not fit")
        svg = xml.etree.ElementTree.parse(self.out + "/a-cpu.svg").getroot()
        self.assertGreater(float(re.match(r"[\d.]+", svg.get("width")).group()), 1000)

    def test_the_unknown_is_a_gap(self):
        self.put("n/setmov-host", "value", "percent-cpu", "percent-cpu_user")
        fetched = rrdtool("fetch", f"{self.rrd}/n/setmov-host/percent-cpu_user.rrd", "AVERAGE",
                          "-s", str(START), "-e", str(END))
        unknown = [int(t) for t, v in re.findall(r"(\d+): (\S+)", fetched) if "nan" in v]
        self.assertEqual([t for t in unknown if START < t <= END], list(range(GAP[0], GAP[1] + 1)))
        self.drawn(self.graph("--format", "png", "--size", "600x150"))
        columns = Png(self.out + "/n-cpu.png").columns_of((0x00, 0x72, 0xb2), 40)
        first, last = columns[0], columns[-1]
        self.assertLessEqual(abs(last - first + 1 - 600), 3)
        holes = [x for x in range(first, last) if x not in columns]
        self.assertEqual(holes, list(range(holes[0], holes[-1] + 1)), "more than one hole")
        self.assertLessEqual(abs(len(holes) - 600 * (GAP[1] - GAP[0]) / (END - START)), 2)
        self.assertLessEqual(abs(holes[0] - first - 600 * (GAP[0] - START) / (END - START)), 2)

    def test_fifty_interfaces_are_drawn_and_few_lines(self):
        self.put("n/setmov-host", "net", *[f"setmov_bits-vnet{i}" for i in range(50)])
        make_rrd(f"{self.rrd}/n/setmov-host/setmov_bits-busy.rrd", ["rx", "tx"], [99e9, 99e9])
        self.drawn(self.graph("--format", "png", "--size", "400x100"))
        many = Png(self.out + "/n-network.png").height
        for i in range(6, 50):
            os.remove(f"{self.rrd}/n/setmov-host/setmov_bits-vnet{i}.rrd")
        self.drawn(self.graph("--format", "png", "--size", "400x100"))
        self.assertEqual(many, Png(self.out + "/n-network.png").height)

    def test_a_period_without_any_value(self):
        self.put_host("n")
        names = self.drawn(self.graph("--start", str(END - 86400 * 90), "--end", str(END - 86400 * 80)))
        self.assertIn("n-latency.png", names)

    def test_archives_of_averages_suffice(self):
        os.makedirs(self.rrd + "/a/setmov")
        rrdtool("create", self.rrd + "/a/setmov/memory-rss.rrd", "--start", str(START),
                "DS:value:GAUGE:600:0:U", "RRA:AVERAGE:0.5:1:100")
        self.assertEqual(self.drawn(self.graph("--format", "svg")), ["a-memory.svg"])

    def test_pictures_are_replaced_and_readable_for_all(self):
        self.put("a/setmov", "value", "setmov_percent-cpu")
        os.mkdir(self.out)
        os.symlink("/dev/null", self.out + "/a-cpu.svg")
        self.drawn(self.graph("--format", "svg"))
        self.assertFalse(os.path.islink(self.out + "/a-cpu.svg"))
        mask = os.umask(0)
        os.umask(mask)
        self.assertEqual(os.stat(self.out + "/a-cpu.svg").st_mode & 0o777, 0o666 & ~mask)

    # ---- what cannot be drawn

    def test_no_rrd_directory(self):
        self.fails(1, r"RRD directory .*/nope: No such file", rrd=self.place + "/nope")

    def test_rrd_is_no_directory(self):
        self.fails(1, "Not a directory", rrd="/dev/null")

    def test_nothing_of_setmov(self):
        self.put("n/cpu-0", "value", "cpu-user")
        os.makedirs(self.rrd + "/empty/setmov")
        self.fails(1, "holds no RRD files of setmov")

    def test_unknown_vm_and_host(self):
        self.put_vm("web01/setmov")
        self.fails(1, "no VM 'web02'", "--vm", "web02")
        self.fails(1, "no host 'web01'", "--host", "web01")
        self.fails(1, r"no VM 'a\?b'", "--vm", "a\nb")

    def test_bad_options(self):
        self.put_vm("web01/setmov")
        for pattern, *arguments in (
                ("bad start time 'bogus'", "--start", "bogus"),
                ("bad start time ''", "--start", ""),
                ("bad end time", "--end", "9" * 100),
                ("bad period", "--start", str(END), "--end", str(START)),
                ("bad period", "--start", str(END), "--end", str(END)),
                ("--format gif", "--format", "gif"),
                ("--size 800", "--size", "800"),
                ("--size 0x0", "--size", "0x0"),
                ("--size 99999999999x100", "--size", "99999999999x100"),
                ("unexpected argument 'x'", "x"),
                ("--rrd is missing", "--rrd", ""),
                ("--out is missing", "--out", "")):
            with self.subTest(pattern):
                self.fails(2, pattern, *arguments)

    def test_output_directory_cannot_be_written(self):
        self.put_vm("web01/setmov")
        self.fails(1, "cannot make directory", out="/proc/nope/out")
        self.fails(1, "cannot write", out="/proc/self")
        self.fails(1, "cannot write .*Not a directory", out="/dev/null")

    def test_full_disk_leaves_nothing(self):
        self.put("a/setmov", "value", "setmov_percent-cpu")
        script = ('mount -t tmpfs -o size=8k tmpfs "$1" && shift && { "$@"; status=$?; '
                  'ls -A "$OUT" >&2; exit $status; }')
        if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode != 0:
            self.skipTest("cannot make a mount namespace")
        os.mkdir(self.out)
        result = self.graph("--format", "png", prefix=["unshare", "-rm", "sh", "-c", script, "sh", self.out],
                            environment={"OUT": self.out})
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, r"\Asetmov graph: cannot write .*: No space left on device\n\Z")
        self.assertEqual(result.stdout, "")

    def expect_damage(self, name, pattern):
        """Costs one complaint, status 1 and what `name` would have shown."""
        self.put("a/setmov", "value", "memory-rss")
        result = self.graph("--format", "svg")
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, rf"\Asetmov graph: {re.escape(self.rrd)}/a/setmov/{name}.rrd: {pattern}.*\n\Z")
        return result.stdout.replace(self.out + "/", "").split()

    def test_damaged_files_cost_what_they_show(self):
        path = self.rrd + "/a/setmov/setmov_percent-cpu.rrd"
        with open(self.templates + "/value.rrd", "rb") as file:
            good = file.read()
        for what, data, pattern in (
                ("empty", b"", "is empty"),
                ("cut", good[:len(good) // 2], ""),
                ("header cut", good[:60], ""),
                ("text", b"not an RRD\n" * 100, ""),
                ("absurd step", good[:40] + b"\0\0\0\0\0\0\0\x7f" + good[48:], "is damaged")):
            with self.subTest(what):
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "wb") as file:
                    file.write(data)
                self.assertEqual(self.expect_damage("setmov_percent-cpu", pattern), ["a-memory.svg"])
                # beside another, only the row goes
                self.put("a/setmov", "value", "setmov_percent-vcpu")
                self.assertEqual(self.expect_damage("setmov_percent-cpu", pattern),
                                 ["a-cpu.svg", "a-memory.svg"])
                os.remove(self.rrd + "/a/setmov/setmov_percent-vcpu.rrd")

    def test_an_rrd_of_another_type(self):
        self.put("a/setmov", "value", "setmov_disk-vda")
        self.assertEqual(self.expect_damage("setmov_disk-vda", "has no data source 'read'"),
                         ["a-memory.svg"])

    def test_what_is_no_file_is_passed_over(self):
        self.put("a/setmov", "value", "memory-rss")
        os.mkfifo(self.rrd + "/a/setmov/memory-max.rrd")
        os.mkdir(self.rrd + "/a/setmov/memory-usable.rrd")
        os.symlink("nowhere", self.rrd + "/a/setmov/memory-unused.rrd")
        self.assertEqual(self.drawn(self.graph("--format", "svg")), ["a-memory.svg"])

    def test_a_crash_of_librrd_costs_one_graph(self):
        self.put("a/setmov", "value", "setmov_percent-cpu", "memory-rss")
        source, library = self.place + "/crash.c", self.place + "/crash.so"
        with open(source, "w") as file:
            file.write("""
                #define _GNU_SOURCE
                #include <dlfcn.h>
                #include <stdlib.h>
                #include <string.h>
                void *rrd_graph_v(int count, char **arguments) {
                    void *(*real)(int, char **) = dlsym(RTLD_NEXT, "rrd_graph_v");
                    for (int i = 0; i < count; i++)
                        if (strstr(arguments[i], "percent-cpu.rrd")) abort();
                    return real(count, arguments);
                }""")
        compiler = shutil.which("cc") or shutil.which("gcc")
        if not compiler:
            self.skipTest("no C compiler")
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        result = self.graph("--format", "svg", environment={"LD_PRELOAD": library})
        if "ASan runtime does not come first" in result.stderr:
            self.skipTest("sanitizers do not let a library be put before them")
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, r"\Asetmov graph: a, cpu: librrd crashed \(Aborted\).*\n\Z")
        self.assertEqual(result.stdout, self.out + "/a-memory.svg\n")

    # ---- rrdcached

    def test_rrdcached_writes_out_first(self):
        daemon = shutil.which("rrdcached") or "/usr/bin/rrdcached"
        if not os.path.exists(daemon):
            self.skipTest("rrdcached is not installed")
        address = "unix:" + self.place + "/cached"
        path = self.rrd + "/a/setmov/memory-rss.rrd"
        os.makedirs(os.path.dirname(path))
        make_rrd(path, ["value"], [1], updates=False)
        process = subprocess.Popen([daemon, "-g", "-l", address, "-w", "3600", "-f", "7200",
                                    "-p", self.place + "/pid", "-b", self.rrd],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        deadline = time.monotonic() + 20
        while True:
            with socket.socket(socket.AF_UNIX) as probe:
                if probe.connect_ex(self.place + "/cached") == 0:
                    break
            self.assertLess(time.monotonic(), deadline, "rrdcached does not listen")
            time.sleep(0.02)
        rrdtool("update", "--daemon", address, path, f"{END}:5")
        self.assertNotEqual(int(rrdtool("last", path)), END)
        self.drawn(self.graph("--format", "svg"))
        self.assertNotEqual(int(rrdtool("last", path)), END)
        self.drawn(self.graph("--format", "svg", "--daemon", address))
        self.assertEqual(int(rrdtool("last", path)), END)
        rrdtool("update", "--daemon", address, path, f"{END + 1}:5")
        self.drawn(self.graph("--format", "svg", environment={"RRDCACHED_ADDRESS": address}))
        self.assertEqual(int(rrdtool("last", path)), END + 1)

    def test_rrdcached_is_not_there(self):
        self.put("a/setmov", "value", "memory-rss")
        self.fails(1, "rrdcached: ", "--daemon", "unix:" + self.place + "/nobody")

    # ---- manual

    def test_manual_and_help_name_the_same_options(self):
        shown = subprocess.run([SETMOV, "graph", "--help"], check=True, capture_output=True, text=True).stdout
        with open(ROOT + "/docs/setmov-graph.1", encoding="utf-8") as file:
            manual = file.read().replace("\\-", "-")
        options = set(re.findall(r"^ +(?:-\w, )?(--[a-z]+)", shown, re.M))
        self.assertIn("--rrd", options)
        self.assertEqual(options, set(re.findall(r"^\.(?:BI|BR -h \", \") ?(--[a-z]+)", manual, re.M)))


if __name__ == "__main__":
    if not shutil.which("rrdtool"):
        print("rrdtool is not installed")
        sys.exit(77)
    unittest.main(verbosity=2)

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What crosses the line when a host that has one image gets another: setmov's parts and plan beside rsync, zsync and
casync, for the same image and the same donor.

    bench_transfer.py [DIR [quick]]

Takes Debian's images from DIR, made there where they are missing and kept (root, mmdebstrap, a mirror); without it from
a temporary directory. Two cases: a release on a host that has the one before, and a release installed anew with more
packages on a host that has it without. A peer that is not installed, or takes too long, is said so and left out. Most of
the time is the peers' and level 19's; quick: without what is for thin lines.
"""

import hashlib
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from measured import HELPERS, SETMOV, make

ROOM = 12 << 30
PATIENCE = 300  # seconds: zsync needs far longer with smaller blocks
TOOL = HELPERS / "transfer_tool"
CASES = (("the next release", "debian-bookworm.raw", "debian-trixie.raw"),
         ("the same release installed anew with more packages", "debian-bookworm.raw", "debian-bookworm+.raw"))
BLOCK_SIZES = (4096, 512)
LINE = 100_000_000  # bits a second
READ = 1 << 20
RANGES = re.compile(r"(\d+)-(\d*)")


def run(*command, **more):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=False, **more)
    if done.returncode != 0:
        sys.exit(f"{command[0]} ended with {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def is_there(program):
    if shutil.which(program):
        return True
    print(f"  {program} is not installed: not measured")
    return False


class Table:
    """Rows of bytes, and how they stand to setmov's at the default level."""

    def __init__(self):
        self.rows = []

    def add(self, name, length, remark=""):
        self.rows.append((name, length, remark))
        print(f"    ({name}: {length})", file=sys.stderr, flush=True)

    def show(self, base):
        print(f"  {'':46} {'MB':>8} {'of setmov':>10}")
        for name, length, remark in self.rows:
            print(f"  {name:46} {length / 1e6:8.2f} {length / base:10.3f}  {remark}")


# ---- what is missing, without setmov --------------------------------------------------------


def blocks(path, size):
    """All that are allocated."""
    with open(path, "rb", buffering=0) as file:
        end = os.fstat(file.fileno()).st_size
        at = 0
        while at < end:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                return
            hole = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            while at < hole:
                piece = os.pread(file.fileno(), min(READ, hole - at), at)
                for i in range(0, len(piece), size):
                    yield piece[i:i + size]
                at += len(piece)


def missing(image, donor, size, path):
    """The distinct blocks that the donor has not, one behind the other, as a file."""
    seen = {hashlib.md5(bytes(size)).digest()}
    seen.update(hashlib.md5(block).digest() for block in blocks(donor, size))
    with open(path, "wb") as file:
        for block in blocks(image, size):
            digest = hashlib.md5(block).digest()
            if digest not in seen:
                seen.add(digest)
                file.write(block)
    return path.stat().st_size


def zstd(path, level):
    with subprocess.Popen(["zstd", "-q", "-c", f"-{level}", str(path)], stdout=subprocess.PIPE) as process:
        return sum(len(piece) for piece in iter(lambda: process.stdout.read(READ), b""))


# ---- setmov -------------------------------------------------------------------------------------


def setmov(image, donor, work, size, *options):
    """Bytes of the parts, of the plan, and of the donor's fingerprint."""
    index, out = work / f"index-{size}", work / "out"
    if not index.is_dir():
        run(SETMOV, "index", "--index", index, "--block-size", size, "--quiet", donor)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    told = json.loads(run(TOOL, "make", "--out", out, "--index", index, "--block", size, *options, image))
    fingerprint = sum(path.stat().st_size for path in index.rglob("*") if path.suffix == ".fingerprint")
    return told["packed"], told["plan"], fingerprint


def add_setmov(table, image, donor, work, with_slow):
    """The bytes that are held against all others."""
    goals = {}
    for size in BLOCK_SIZES:
        file = work / f"missing-{size}"
        packed, plan, fingerprint = setmov(image, donor, work, size, "--level", 0)
        ours = goals[size] = {"setmov": packed + plan}
        table.add(f"setmov, blocks of {size}", packed + plan,
                  f"plan {plan / 1e6:.2f}; the donor's fingerprint, read once: {fingerprint / 1e6:.2f}")
        if shutil.which("zstd"):
            missing(image, donor, size, file)
            ours[3] = zstd(file, 3) + plan
            table.add(f"  missing blocks of {size}, zstd -3, and the plan", ours[3])
        if not with_slow or size != BLOCK_SIZES[0]:
            continue
        thin, _, _ = setmov(image, donor, work, size, "--level", 0, "--bandwidth", LINE)
        ours["thin"] = thin + plan
        table.add(f"setmov, blocks of {size}, 100 Mbit/s", thin + plan)
        if shutil.which("zstd"):
            ours[19] = zstd(file, 19) + plan
            table.add(f"  missing blocks of {size}, zstd -19, and the plan", ours[19])
    return goals


# ---- the peers --------------------------------------------------------------------------------------


def rsync(image, donor, work, *options):
    target = work / "rsync.raw"
    run("cp", "--sparse=always", donor, target)
    told = run("rsync", "--no-whole-file", "--ignore-times", "--sparse", "--stats", *options, image, target)
    if not same(image, target):
        sys.exit("rsync made something else")
    target.unlink()
    return sum(int(re.search(rf"^Total bytes {way}: ([\d,]+)", told, re.M)[1].replace(",", ""))
               for way in ("sent", "received"))


def same(one, other):
    return subprocess.run(["cmp", "-s", str(one), str(other)], check=False).returncode == 0


def add_rsync(table, image, donor, work):
    if not is_there("rsync"):
        return
    table.add("rsync", rsync(image, donor, work))
    for name, *options in (
            ("rsync, zstd", "-z", "--zc=zstd"),
            ("rsync, blocks of 4096, zstd", "--block-size=4096", "-z", "--zc=zstd"),
            ("rsync, blocks of 1024, zstd", "--block-size=1024", "-z", "--zc=zstd"),
            ("rsync, blocks of 4096, zstd -19", "--block-size=4096", "-z", "--zc=zstd", "--zl=19")):
        table.add(name, rsync(image, donor, work, *options))


class Ranges(http.server.BaseHTTPRequestHandler):
    """Files of a directory, whole or in ranges, several at once too; counts the bytes of its answers."""

    protocol_version = "HTTP/1.1"
    directory, sent = None, 0

    def send_bytes(self, data):
        Ranges.sent += len(data)
        self.wfile.write(data)

    def flush_headers(self):
        if hasattr(self, "_headers_buffer"):
            Ranges.sent += sum(len(line) for line in self._headers_buffer)
        super().flush_headers()

    def answer(self, status, kind, bodies):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(sum(len(body) for body in bodies)))
        if status == 206 and len(bodies) == 1:
            self.send_header("Content-Range", self.range_line)
        self.end_headers()
        for body in bodies:
            self.send_bytes(body)

    def do_GET(self):
        path = self.directory / Path(self.path).name
        length = path.stat().st_size
        wanted = [(int(first), min(int(last) if last else length - 1, length - 1))
                  for first, last in RANGES.findall(self.headers.get("Range", ""))]
        with open(path, "rb") as file:
            if not wanted:
                self.answer(200, "application/octet-stream", [file.read()])
                return
            pieces = []
            for first, last in wanted:
                file.seek(first)
                pieces.append(file.read(last - first + 1))
        if len(wanted) == 1:
            self.range_line = f"bytes {wanted[0][0]}-{wanted[0][1]}/{length}"
            self.answer(206, "application/octet-stream", pieces)
            return
        bodies = []
        for (first, last), piece in zip(wanted, pieces):
            head = f"\r\n--setmov\r\nContent-Range: bytes {first}-{last}/{length}\r\n\r\n"
            bodies += [head.encode(), piece]
        self.answer(206, "multipart/byteranges; boundary=setmov", bodies + [b"\r\n--setmov--\r\n"])

    def log_message(self, format, *arguments):  # pylint: disable=redefined-builtin
        pass


def zsync(image, donor, work, size, *options):
    """The control file and all that is fetched by it."""
    served = work / "served"
    shutil.rmtree(served, ignore_errors=True)
    served.mkdir()
    (served / "image").symlink_to(image)
    run("zsyncmake", "-b", size, "-u", "image", "-o", "image.zsync", *options, "image", cwd=served)
    Ranges.directory, Ranges.sent = served, 0
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ranges)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        run("zsync", "-q", "-i", donor, "-o", work / "zsync.raw",
            f"http://127.0.0.1:{server.server_address[1]}/image.zsync", cwd=work,
            env={name: value for name, value in os.environ.items() if name.lower() != "http_proxy"}, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return None
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    if not same(image, work / "zsync.raw"):
        sys.exit("zsync made something else")
    (work / "zsync.raw").unlink()
    return Ranges.sent


def add_zsync(table, image, donor, work):
    if is_there("zsync") and is_there("zsyncmake"):
        count = zsync(image, donor, work, 4096)
        if count is None:
            print(f"  zsync, blocks of 4096: it had not ended after {PATIENCE} s")
        else:
            table.add("zsync, blocks of 4096", count)


def casync(image, donor, work, size):
    """The index, and the chunks that the donor's store has not."""
    stores = []
    for number, path in enumerate((donor, image)):
        store = work / f"casync-{number}"
        shutil.rmtree(store, ignore_errors=True)
        run("casync", "make", f"--store={store}", f"--chunk-size={size}", "--compression=zstd",
            work / f"{number}.caibx", path)
        stores.append({chunk.name: chunk.stat().st_size for chunk in store.rglob("*.cacnk")})
        shutil.rmtree(store)
    return (work / "1.caibx").stat().st_size + sum(length for name, length in stores[1].items()
                                                   if name not in stores[0])


def add_casync(table, image, donor, work):
    if is_there("casync"):
        for size in (65536, 4096):
            table.add(f"casync, chunks of {size >> 10} KiB, zstd", casync(image, donor, work, size))


# ---- all of it ----------------------------------------------------------------------------------------


def judge(table, goals):
    """The goals of docs/benchmarks.md: figures, not failures."""
    ours, peers = goals[BLOCK_SIZES[0]], [row for row in table.rows if not row[0].strip().startswith(("setmov", "miss"))]
    if 3 in ours:
        print(f"  as zstd -3 of the missing blocks, and the plan: {ours['setmov'] / ours[3]:.3f} (goal: at most 1.05)")
    if 19 in ours:
        print(f"  at 100 Mbit/s as zstd -19 of them, and the plan: {ours['thin'] / ours[19]:.3f} (goal: at most 1.1)")
    if peers:
        best = min(peers, key=lambda row: row[1])
        print(f"  as the best of the others, {best[0]}: {ours['setmov'] / best[1]:.3f} (goal: below 1)")


def bench(directory, work, with_slow):
    if not make(directory, *{name for case in CASES for name in case[1:]}):
        sys.exit(77)
    for title, donor, image in CASES:
        donor, image = directory / donor, directory / image
        table, place = Table(), work / image.name
        place.mkdir()
        print(f"\n{title}: {image.name} to a host that has {donor.name}", flush=True)
        goals = add_setmov(table, image, donor, place, with_slow)
        table.add("the image without its holes", sum(len(block) for block in blocks(image, READ)))
        add_rsync(table, image, donor, place)
        add_zsync(table, image, donor, place)
        add_casync(table, image, donor, place)
        table.show(goals[BLOCK_SIZES[0]]["setmov"])
        judge(table, goals)
        shutil.rmtree(place)


def main():
    with tempfile.TemporaryDirectory(prefix="setmov-bench-", dir="/var/tmp") as temporary:
        directory = Path(sys.argv[1] if len(sys.argv) > 1 else temporary).resolve()
        if shutil.disk_usage(temporary).free < ROOM:
            print(f"{temporary} has not the {ROOM >> 30} GiB that this needs")
            sys.exit(77)
        bench(directory, Path(temporary), "quick" not in sys.argv[2:])


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Donors that changed or lie, parts that are damaged, names and paths that must not be, disks that are full."""

import errno
import fcntl
import hashlib
import json
import os
import random
import subprocess

from apply_bed import BLOCK, MIB, Host, blocks, same_as_source, write_at
from image_bed import BOUND, main, need, run

# Wang, Feng, Lai, Yu 2004: two messages of 128 bytes with one MD5.
COLLISION = tuple(bytes.fromhex(text) for text in (
    "d131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f8955ad340609f4b30283e488832571415a"
    "085125e8f7cdc99fd91dbdf280373c5bd8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd02396306d248cda0"
    "e99f33420f577ee8ce54b67080a80d1ec69821bcb6a8839396f9652b6ff72a70",
    "d131dd02c5e6eec4693d9a0698aff95c2fcab50712467eab4004583eb8fb7f8955ad340609f4b30283e4888325f1415a"
    "085125e8f7cdc99fd91dbd7280373c5bd8823e3156348f5bae6dacd436c919c6dd53e23487da03fd02396306d248cda0"
    "e99f33420f577ee8ce54b67080280d1ec69821bcb6a8839396f965ab6ff72a70"))


def two_donors(work):
    """A disk of two donors, in turns, and a bit of its own. The plan is made."""
    host = Host(work)
    first, second = blocks(1, 1000), blocks(2, 1000)
    write_at(host.donors / "first.raw", [(0, first)], 5 * MIB)
    write_at(host.donors / "second.raw", [(0, second)], 5 * MIB)
    pieces = []
    for number in range(0, 1000, 50):
        data = (first if number % 100 else second)[number * BLOCK : (number + 50) * BLOCK]
        pieces.append((number * BLOCK, data))
    pieces.append((1010 * BLOCK, blocks(3, 30)))
    write_at(host.source / "disk.raw", pieces, 5 * MIB)
    host.make_index()
    host.plan((host.source / "disk.raw", host.images / "disk.raw"))
    return host


def copies(host, donor, start=0, end=1 << 62):
    """Extents that are copied from that range of a donor, which is told by what lies there."""
    disk = (host.source / "disk.raw").read_bytes()
    found = []
    for extent in host.extents():
        here = disk[extent.offset : extent.offset + extent.length]
        if extent.kind == "copy" and extent.start < end and extent.start + extent.length > start and \
                host.original(donor)[extent.start : extent.start + extent.length] == here:
            found.append(extent)
    return found


def keys(extents):
    return [extent.key() for extent in extents]


def keep_originals(host):
    kept = {path.name: path.read_bytes() for path in host.donors.iterdir()}
    host.original = kept.__getitem__


def donor_changed(work):
    """Exactly the extents that changed are listed, however many and wherever."""
    host = two_donors(work)
    keep_originals(host)
    order = random.Random(5)
    all_copies = copies(host, "first.raw")
    changed = set()
    for count in (1, 4):
        for extent in order.sample(all_copies, count):
            at = extent.start + order.randrange(extent.length)
            with open(host.donors / "first.raw", "r+b") as file:
                file.seek(at)
                file.write(bytes([host.original("first.raw")[at] ^ 1]))
            changed.add(extent.number)
        answer = host.refuses(errno.ESTALE, "donor", host.images / "disk.raw", f"{len(changed)} extents")
        assert answer["failed"] == [[0, number] for number in sorted(changed)], (answer, changed)
        assert answer["parts"] == []


def donor_cut_short(work):
    """What lies behind the cut is listed."""
    host = two_donors(work)
    keep_originals(host)
    os.truncate(host.donors / "first.raw", 560 * BLOCK + 100)
    answer = host.refuses(errno.ESTALE)
    expected = copies(host, "first.raw", 560 * BLOCK + 100)
    assert expected and answer["failed"] == keys(expected), (answer, keys(expected))


def donor_is_no_more(work):
    host = two_donors(work)
    keep_originals(host)
    expected = keys(copies(host, "second.raw"))
    name = hashlib.sha256(str(host.donors / "second.raw").encode()).hexdigest()[:32]
    for spoil in (lambda: os.unlink(host.donors / "second.raw"), lambda: os.mkfifo(host.donors / "second.raw"),
                  lambda: next(host.index.glob(name + ".*")).unlink()):
        spoil()
        answer = host.refuses(errno.ESTALE, "donor")
        assert answer["failed"] == expected, (answer, expected)


CUT = 80 * MIB + (600 << 10)  # in the middle of what is read at once


def donor_lost_or_written_meanwhile(work):
    """Whatever becomes of a donor while it is read: the image is right, or it is not there."""
    host = Host(work)
    size = 96
    write_at(host.source / "disk.raw", [(0, os.urandom(size * MIB))], size * MIB)
    for form in ("raw", "qcow2"):
        run("qemu-img", "convert", "-f", "raw", "-O", form, host.source / "disk.raw", host.donors / f"disk.{form}")
        kept = (host.donors / f"disk.{form}").read_bytes()
        host.make_index()
        host.plan((host.source / "disk.raw", host.images / "disk.raw"))

        def cut(donor):
            os.truncate(donor, CUT)

        def scribble(donor):
            with open(donor, "r+b") as file:
                for offset in range(4 * MIB, size * MIB, MIB):
                    file.seek(offset)
                    file.write(b"a guest's")

        for change in (cut, scribble):
            process = subprocess.Popen(host.command("--progress", "--threads", "1"), stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)
            while process.stderr.readline().split()[1:2] == ["0"]:
                pass
            change(host.donors / f"disk.{form}")
            answer = json.loads(process.communicate(timeout=BOUND)[0])
            assert answer["rc"] in (0, errno.ESTALE), answer
            assert (answer["rc"] == 0) == (answer["failed"] == []), answer
            if change is cut and form == "raw":
                numbers = {number for _, number in answer["failed"]}
                assert all(extent.start + extent.length > CUT for extent in host.extents()
                           if extent.number in numbers), "an extent before the cut is listed"
            if answer["rc"] == 0:
                same_as_source(host, host.images / "disk.raw", "raw", host.source / "disk.raw")
                os.unlink(host.images / "disk.raw")
            assert os.listdir(host.images) == []
            (host.donors / f"disk.{form}").write_bytes(kept)
        os.unlink(host.donors / f"disk.{form}")


def index_lies(work):
    """A fingerprint under another image's name is not believed, though that image had the content."""
    host = two_donors(work)
    keep_originals(host)
    expected = keys(copies(host, "second.raw"))
    (host.donors / "third.raw").write_bytes(host.original("second.raw"))
    host.make_index()
    names = {name: next(host.index.glob(hashlib.sha256(str(host.donors / name).encode()).hexdigest()[:32] + ".*"))
             for name in ("second.raw", "third.raw")}
    os.replace(names["third.raw"], names["second.raw"])
    answer = host.refuses(errno.ESTALE, "third.raw")
    assert answer["failed"] == expected, (answer, expected)


def planted_md5(work):
    """Blocks of equal MD5 and other content cost their extents, and no wrong byte is written."""
    assert hashlib.md5(COLLISION[0]).digest() == hashlib.md5(COLLISION[1]).digest() and COLLISION[0] != COLLISION[1]
    host = Host(work, "md5", 512)
    tail = random.Random(9).randbytes(384)
    good = random.Random(10).randbytes(512 * 64)
    write_at(host.donors / "planted.raw", [(0, good), (512 * 64, COLLISION[0] + tail)], MIB)
    write_at(host.source / "disk.raw", [(0, good), (512 * 100, COLLISION[1] + tail)], MIB)
    host.make_index()
    figures = host.plan((host.source / "disk.raw", host.images / "disk.raw"))
    assert figures["sent"] == 0 and figures["local"] == 512 * 65, figures
    answer = host.refuses(errno.ESTALE)
    planted = [extent.key() for extent in host.extents() if extent.offset <= 512 * 100 < extent.offset + extent.length]
    assert answer["failed"] == planted and len(planted) == 1, (answer, planted)


def own_md5(work):
    """Such blocks in the VM's own disk: one would be replicated from the other, which the content tells."""
    host = Host(work, "md5", 512)
    (work / "index").mkdir()
    tail = random.Random(9).randbytes(384)
    write_at(host.source / "disk.raw", [(512 * 64, COLLISION[0] + tail), (512 * 100, COLLISION[1] + tail)], MIB)
    figures = host.plan((host.source / "disk.raw", host.images / "disk.raw"), donors=False)
    assert (figures["sent"], figures["replicated"]) == (512, 512), figures
    answer = host.refuses(errno.ESTALE, "disk.raw: what was built is not what the plan says")
    assert answer["failed"] == keys(host.extents()) and len(answer["failed"]) == 2 and not answer["parts"], answer


def parts(host):
    return sorted(path for path in host.incoming.iterdir() if path.name.startswith("part-"))


def parts_damaged(work):
    host = Host(work)
    (work / "index").mkdir()
    write_at(host.source / "disk.raw", [(0, blocks(6, 1024))], 5 * MIB)
    host.plan((host.source / "disk.raw", host.images / "disk.raw"), donors=False, part=MIB)
    names = parts(host)
    assert len(names) > 3, names
    kept = {path: path.read_bytes() for path in names}

    def flip(path):
        data = bytearray(kept[path])
        data[len(data) // 2] ^= 4
        path.write_bytes(data)

    def swap(path):
        path.write_bytes(kept[names[0] if path != names[0] else names[1]])

    def link(path):
        path.rename(work / "elsewhere")
        path.symlink_to(work / "elsewhere")

    for spoil in (flip, swap, link, lambda path: path.write_bytes(kept[path][:-1]),
                  lambda path: path.write_bytes(kept[path] + b"x"), os.unlink,
                  lambda path: (os.unlink(path), os.mkfifo(path)), lambda path: (os.unlink(path), os.mkdir(path))):
        for path in names[1:3]:
            spoil(path)
        answer = host.refuses(errno.ESTALE)
        assert len(answer["parts"]) == 2 and answer["failed"] == [], answer
        for path in names:
            if path.is_dir():
                path.rmdir()
            elif path.is_symlink() or path.is_fifo():
                path.unlink()
            path.write_bytes(kept[path])
    host.serves()
    same_as_source(host, host.images / "disk.raw", "raw", host.source / "disk.raw")


def all_failures_at_once(work):
    """Donors and parts that do not hold are listed together."""
    host = two_donors(work)
    keep_originals(host)
    expected = keys(copies(host, "first.raw"))
    os.truncate(host.donors / "first.raw", 0)
    parts(host)[0].unlink()
    answer = host.refuses(errno.ESTALE)
    assert answer["failed"] == expected and answer["parts"] == [0], answer


def simple(work):
    host = Host(work)
    (work / "index").mkdir()
    write_at(host.source / "disk.raw", [(0, blocks(6, 300))], 2 * MIB)
    return host


def names_that_are_taken(work):
    host = simple(work)
    target = host.images / "disk.raw"
    host.plan((host.source / "disk.raw", target), donors=False)
    host.plan((host.source / "disk.raw", target, "may-exist"), name="shared", donors=False)
    other = work / "other"
    other.write_bytes((host.source / "disk.raw").read_bytes())

    def changed():
        data = bytearray(other.read_bytes())
        data[1000] ^= 1
        target.write_bytes(data)

    for make in (lambda: target.write_text("mine"), lambda: target.mkdir(), lambda: target.symlink_to(other),
                 lambda: target.symlink_to(work / "nowhere"), lambda: os.mkfifo(target), changed):
        make()
        for name in ("vm", "shared"):
            host.refuses(errno.ELOOP if target.is_symlink() and name == "shared" else errno.EEXIST, target, name=name)
        if target.is_dir():
            target.rmdir()
        else:
            target.unlink()
    # The same content serves whoever shares it, and nobody else.
    target.write_bytes(other.read_bytes())
    assert host.serves(name="shared")["made"] == []
    assert host.leases() == {}, "what is somebody's own got a lease"
    host.refuses(errno.EEXIST, target)
    # Whoever has it locked may remove it, or write to it.
    with open(target, "r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0)
        host.refuses(errno.EEXIST, target, "is there, but is locked by somebody", name="shared")
    assert host.serves(name="shared")["made"] == []
    # But not in another format, though a guest could see the same.
    target.unlink()
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", other, target)
    host.refuses(errno.EEXIST, target, name="shared")
    # Nor what lies on another image.
    qcow2 = host.images / "disk.qcow2"
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", other, host.source / "disk.qcow2")
    host.plan((host.source / "disk.qcow2", qcow2, "format=qcow2", "may-exist"), name="flat", donors=False)
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", target, "-F", "qcow2", qcow2)
    host.refuses(errno.EEXIST, qcow2, name="flat")


def paths_that_lead_outside(work):
    host = simple(work)
    (work / "outside").mkdir()
    (host.images / "link").symlink_to(work / "outside")
    (host.images / "below").mkdir()
    (host.images / "below" / "link").symlink_to(work / "outside")
    for path, code in ((work / "outside/disk.raw", errno.EACCES), ("/etc/shadow", errno.EACCES),
                       ("/dev/vda", errno.EACCES), (f"{host.images}-more/disk.raw", errno.EACCES),
                       (host.images, errno.EACCES), (host.images / "link/disk.raw", errno.ELOOP),
                       (host.images / "below/link/disk.raw", errno.ELOOP),
                       (host.images / "missing/disk.raw", errno.ENOENT)):
        for more in ((), ("may-exist",)):
            host.plan((host.source / "disk.raw", path, *more), donors=False)
            host.refuses(code, path)
    assert os.listdir(work / "outside") == []
    # Links above are the administrator's.
    (work / "here").symlink_to(host.images)
    host.plan((host.source / "disk.raw", work / "here/below/disk.raw"), donors=False)
    host.serves(directories=[work / "here"])
    same_as_source(host, host.images / "below/disk.raw", "raw", host.source / "disk.raw")


def room(work):
    host = simple(work)
    host.plan((host.source / "disk.raw", host.images / "disk.raw"), donors=False)
    host.refuses(errno.ENOSPC, 300 * BLOCK, 1 << 60, options=("--reserve", 1 << 60))
    # In a file system of 2 MiB there is room for one of them, not for two.
    inside = in_tmpfs(host, "2m")
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode != 0:
        print("note: no mount namespace here, so no full disk")
        return
    done = subprocess.run([*inside, *host.command()], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    write_at(host.source / "large.raw", [(0, blocks(7, 600))], 4 * MIB)
    host.plan((host.source / "large.raw", host.images / "large.raw"), donors=False)
    done = subprocess.run([*inside, *host.command()], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and f'"rc":{errno.ENOSPC},' in done.stdout and "large.raw" in done.stdout, done.stdout


def room_by_clusters(work):
    """A cluster is written whole, and once; zeroes of old layers are written as well."""
    host = Host(work)
    (work / "index").mkdir()
    cluster = 2 * MIB
    pieces = [(at, blocks(at, 1)) for at in (0, 8 * BLOCK, cluster + BLOCK, 4 * cluster - BLOCK, 4 * cluster)]
    write_at(host.source / "disk.raw", pieces, 16 * MIB)
    for settings, needed in (("cluster_size=2097152", 4 * cluster), ("cluster_size=65536", 4 * 65536)):
        run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-o", settings, host.source / "disk.raw",
            host.source / "disk.qcow2")
        host.plan((host.source / "disk.qcow2", host.images / "disk.qcow2", "format=qcow2"), donors=False)
        host.refuses(errno.ENOSPC, f" {needed} bytes are needed", options=("--reserve", 1 << 60))
    golden, top = host.images / "golden.qcow2", host.images / "top.qcow2"
    for compat, needed in (("1.1", 65536), ("0.10", 3 * 65536)):
        run("qemu-img", "create", "-q", "-f", "qcow2", "-o", f"compat={compat}", "-b", host.source / "disk.qcow2", "-F",
            "qcow2", host.source / "top.qcow2")
        run("qemu-io", "-f", "qcow2", "-c", "write -P 7 64k 64k", "-c", "write -P 0 1M 128k", host.source / "top.qcow2")
        host.plan((host.source / "disk.qcow2", golden, "format=qcow2", "may-exist"),
                  (host.source / "top.qcow2", top, "format=qcow2", f"backing={golden}", "backing-format=qcow2"),
                  donors=False)
        run("cp", host.source / "disk.qcow2", golden)
        host.refuses(errno.ENOSPC, f" {needed} bytes are needed", options=("--reserve", 1 << 60))


def in_tmpfs(host, size):
    script = f"""mount -t tmpfs -o size={size} none {host.images} && exec "$@" """
    return ["unshare", "--mount", "sh", "-c", script, "sh"]


# Fills the disk once something was built, and says what is there in the end.
FILL = """
"$@" --progress --threads 1 2>"$FIFO" & run=$!
exec 3<"$FIFO"
while read -r word built total <&3; do [ "$built" = 0 ] || break; done
dd if=/dev/zero of="$IMAGES/fill" bs=1M 2>/dev/null
cat <&3 >/dev/null &
wait $run
ls -A "$IMAGES"
"""


def disk_fills_up(work):
    """Somebody else takes the room that was there when it began."""
    host = Host(work)
    (work / "index").mkdir()
    os.mkfifo(work / "fifo")
    inside = in_tmpfs(host, "140m")
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode != 0:
        print("note: no mount namespace here, so no full disk")
        return
    write_at(host.source / "disk.raw", [(0, os.urandom(128 * MIB))], 128 * MIB)
    for form in ("raw", "qcow2"):
        run("qemu-img", "convert", "-f", "raw", "-O", form, host.source / "disk.raw", host.source / f"disk-{form}")
        host.plan((host.source / f"disk-{form}", host.images / f"disk.{form}", f"format={form}"), donors=False,
                  part=4 * MIB)
        done = subprocess.run([*inside, "sh", "-c", FILL, "sh", *host.command()], capture_output=True, text=True,
                              check=False, env={**os.environ, "FIFO": str(work / "fifo"), "IMAGES": str(host.images)})
        answer, *there = done.stdout.splitlines()
        assert json.loads(answer)["rc"] in (errno.ENOSPC, errno.EIO), answer
        assert f"disk.{form}" in answer and there == ["fill"], done.stdout
        assert host.leases() == {}


if __name__ == "__main__":
    need("qemu-img", "qemu-io", "qemu-nbd")
    main([donor_changed, donor_cut_short, donor_is_no_more, donor_lost_or_written_meanwhile, index_lies, planted_md5,
          own_md5, parts_damaged, all_failures_at_once, names_that_are_taken, paths_that_lead_outside, room,
          room_by_clusters, disk_fills_up])

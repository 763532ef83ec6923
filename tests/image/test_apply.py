#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Plans carried out: images equal to their sources, made of donors, of parts and of themselves, with leases."""

import errno
import fcntl
import hashlib
import json
import os
import random
import signal
import subprocess
import time

from apply_bed import BLOCK, MIB, Host, blocks, same_as_source, write_at
from image_bed import BOUND, children, data_of_raw, main, need, run, wait_for


def made_of_everything(host):
    """A disk of 5.5 MiB and a bit: of two donors, of itself, of zeroes, of what is new; with holes."""
    first, second, new = blocks(1, 600), blocks(2, 300), blocks(3, 200)
    write_at(host.donors / "first.raw", [(MIB, first)], 8 * MIB)
    write_at(host.donors / "plain.raw", [(0, second)], 2 * MIB)
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", host.donors / "plain.raw", host.donors / "second.qcow2")
    os.unlink(host.donors / "plain.raw")
    pieces = [
        (0, first[: 100 * BLOCK]),
        (100 * BLOCK, second[50 * BLOCK : 250 * BLOCK]),
        (300 * BLOCK, new),
        (500 * BLOCK, bytes(100 * BLOCK)),
        (600 * BLOCK, new[40 * BLOCK : 180 * BLOCK]),  # again, over the end of a piece
        (1000 * BLOCK, first[200 * BLOCK : 600 * BLOCK]),
        (1400 * BLOCK, b"end of the disk"),
    ]
    write_at(host.source / "disk.raw", pieces, 1400 * BLOCK + 1000)


def raw_and_qcow2(work):
    host = Host(work)
    made_of_everything(host)
    host.make_index()
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", host.source / "disk.raw", host.source / "disk.qcow2")
    for name, form in (("disk.raw", "raw"), ("disk.qcow2", "qcow2")):
        target = host.images / name
        figures = host.plan((host.source / name, target, f"format={form}"), part=128 * BLOCK)
        kinds = {extent.kind for extent in host.extents()}
        assert {"copy", "replicate", "sent"} <= kinds, kinds
        assert figures["parts"] > 1, figures
        before = time.time()
        answer = host.serves()
        assert answer["made"] == [str(target)]
        assert (answer["local"], answer["replicated"]) == (figures["local"], figures["replicated"]), (answer, figures)
        same_as_source(host, target, form, host.source / name, form)
        status = os.stat(target)
        lease = host.leases()[str(target)]
        assert (lease["device"], lease["inode"]) == (status.st_dev, status.st_ino), lease
        assert int(before) <= lease["made"] <= time.time() + 1 and lease["expires"] - lease["made"] == 3600, lease
        assert os.listdir(host.state / "locks") == []
    assert sum(length for _, length in data_of_raw(host.images / "disk.raw")) <= \
        sum(length for _, length in data_of_raw(host.source / "disk.raw")), "holes were written"


def identical_image_is_there(work):
    """Nothing but the plan is sent, and all threads and one build the same."""
    host = Host(work)
    write_at(host.source / "disk.raw", [(0, blocks(4, 700)), (5 * MIB, blocks(5, 10))], 8 * MIB)
    run("cp", host.source / "disk.raw", host.donors / "same.raw")
    host.make_index()
    for threads in (1, 2, 7):
        target = host.images / f"disk-{threads}.raw"
        figures = host.plan((host.source / "disk.raw", target))
        assert figures["parts"] == 0 and figures["sent"] == 0, figures
        host.serves("--threads", threads)
        same_as_source(host, target, "raw", host.source / "disk.raw")


def many_replicates(work):
    """Chains of them, near and far: whoever waits for a piece gets it."""
    host = Host(work)
    (work / "index").mkdir()
    pool = [blocks(seed, 1) for seed in range(40)]
    order = random.Random(7)
    data = b"".join(order.choice(pool) for _ in range(4096))
    write_at(host.source / "disk.raw", [(0, data)], len(data))
    write_at(host.source / "other.raw", [(0, data[MIB:] + data[:MIB])], len(data))
    for threads in (1, 8):
        target, other = host.images / f"disk-{threads}.raw", host.images / f"other-{threads}.raw"
        host.plan((host.source / "disk.raw", target), (host.source / "other.raw", other), donors=False)
        assert any(extent.kind == "replicate" and extent.image == 1 and extent.source == 0
                   for extent in host.extents()), "nothing comes from the image before"
        host.serves("--threads", threads)
        same_as_source(host, target, "raw", host.source / "disk.raw")
        same_as_source(host, other, "raw", host.source / "other.raw")


def make_clone(host, name, seed):
    """An overlay on golden.qcow2, some of it zeroes that hide what the golden image has."""
    top = host.source / name
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", host.source / "golden.qcow2", "-F", "qcow2", top)
    run("qemu-io", "-f", "qcow2", "-c", f"write -P {seed} 1M 300k", "-c", "write -z 2M 128k", top)
    return top


def make_golden(host, size=6):
    write_at(host.source / "golden.raw", [(0, blocks(8, size * 200))], size * MIB)
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", host.source / "golden.raw", host.source / "golden.qcow2")
    (host.work / "index").mkdir(exist_ok=True)


def plan_clone(host, name, seed, **more):
    make_clone(host, f"{name}.qcow2", seed)
    golden, top = host.images / "golden.qcow2", host.images / f"{name}.qcow2"
    host.plan((host.source / "golden.qcow2", golden, "format=qcow2", "may-exist"),
              (host.source / f"{name}.qcow2", top, "format=qcow2", f"backing={golden}", "backing-format=qcow2"),
              name=name, donors=False, **more)
    return top


def linked_clones(work):
    """Each has its own layer; the golden image is there once, and waits for the last of them."""
    host = Host(work)
    make_golden(host)
    for number, name in enumerate(("one", "two", "three")):
        top = plan_clone(host, name, number + 1)
        answer = host.serves("--lease", (100, 5000, 10)[number], name=name)
        assert len(answer["made"]) == 2 - min(number, 1), answer
        lease = host.leases()[str(host.images / "golden.qcow2")]
        assert (lease["expires"] - lease["made"]) // 100 * 100 == (100, 5000, 5000)[number], lease
        info = json.loads(run("qemu-img", "info", "--output=json", top))
        assert info["full-backing-filename"] == str(host.images / "golden.qcow2")
        assert info["backing-filename-format"] == "qcow2"
        same_as_source(host, top, "qcow2", host.source / f"{name}.qcow2", "qcow2")
    assert len(host.leases()) == 4
    # The zeroes hide what the golden image has there.
    mapped = json.loads(run("qemu-img", "map", "--output=json", host.images / "two.qcow2"))
    assert any(part["start"] <= 2 * MIB < part["start"] + part["length"] and part["zero"] and part["depth"] == 0
               for part in mapped), mapped


def overlay_that_exists(work):
    """A layer that lies on another one serves only where it hides the same of it."""
    host = Host(work)
    make_golden(host)
    top = plan_clone(host, "one", 1)
    host.serves(name="one")
    golden = host.images / "golden.qcow2"
    host.plan((host.source / "golden.qcow2", golden, "format=qcow2", "may-exist"),
              (host.source / "one.qcow2", top, "format=qcow2", f"backing={golden}", "backing-format=qcow2", "may-exist"),
              name="again", donors=False)
    assert host.serves(name="again")["made"] == []
    run("qemu-io", "-f", "qcow2", "-c", "write -z 4M 64k", top)
    host.refuses(errno.EEXIST, top, "other content", name="again")


def golden_twice_at_once(work):
    """Who comes second waits, and takes what is there."""
    host = Host(work)
    make_golden(host, 48)
    names = ("one", "two", "three")
    tops = [plan_clone(host, name, number + 1) for number, name in enumerate(names)]
    runs = [subprocess.Popen(host.command(name=name), stdout=subprocess.PIPE, text=True) for name in names]
    answers = [json.loads(process.communicate(timeout=BOUND)[0]) for process in runs]
    assert [answer["rc"] for answer in answers] == [0, 0, 0], answers
    golden = str(host.images / "golden.qcow2")
    assert sum(golden in answer["made"] for answer in answers) == 1, answers
    for name, top in zip(names, tops):
        same_as_source(host, top, "qcow2", host.source / f"{name}.qcow2", "qcow2")
    assert os.listdir(host.state / "locks") == []
    assert len(host.leases()) == 4


def big_plan(host, count=1, size=192):
    """Images of which much is left to build when the first progress is told."""
    (host.work / "index").mkdir(exist_ok=True)
    images = []
    for number in range(count):
        source = host.source / f"big-{number}.raw"
        write_at(source, [(0, os.urandom(size * MIB))], size * MIB)
        images.append((source, host.images / f"big-{number}.raw"))
    host.plan(*images, donors=False, part=4 * MIB)
    return images


def until_it_builds(host):
    """A run that has built something and has much left to build."""
    process = subprocess.Popen(host.command("--progress", "--threads", "1"), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    while int(process.stderr.readline().split()[1]) == 0:
        pass
    return process


def killed(work):
    """Nothing is left of the image, and the next run finds its way."""
    host = Host(work)
    big_plan(host)
    before = host.seen()
    process = until_it_builds(host)
    servers = children(process.pid)
    process.kill()
    process.communicate(timeout=BOUND)
    assert process.returncode < 0, "it was too fast"
    wait_for("the end of its servers", lambda: not any(os.path.exists(f"/proc/{pid}") for pid in servers))
    assert os.listdir(host.images) == []
    assert len(os.listdir(host.state / "locks")) == 1
    host.serves()
    assert os.listdir(host.state / "locks") == []
    assert len(host.seen() - before) == 4  # the image, its lease, and two directories


def cancelled(work):
    host = Host(work)
    big_plan(host)
    total = 192 * MIB
    for at in (0, 1):
        answer = host.refuses(errno.ECANCELED, options=("--stop-at", at, "--threads", 1))
        assert answer["sent"] < total, "all was built before it ended"
    # Who waits for another one's lock can be stopped as well.
    process = until_it_builds(host)
    answer = host.apply("--stop-at", 0)
    assert answer["rc"] == errno.ECANCELED, answer
    output = process.communicate(timeout=BOUND)[0]
    assert json.loads(output)["rc"] == 0, output


def lines_of(process, word, count):
    """So many more of its lines on standard error that begin with that word; all lines up to then."""
    lines = []
    while sum(line.startswith(word) for line in lines) < count:
        line = process.stderr.readline()
        assert line, f"it ended: {lines}"
        lines.append(line)
    return lines


def another_run_has_the_image(work):
    """It waits as long as the other one gets on, and no longer."""
    host = Host(work)
    make_golden(host)
    top = plan_clone(host, "one", 1)
    (host.state / "locks").mkdir()
    path = host.state / "locks" / (hashlib.sha256(os.fsencode(host.images / "golden.qcow2")).hexdigest()[:32] + ".lock")
    for touched in (False, True):
        lock = open(path, "wb")
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen(host.command("--progress", "--moves", "--lock-patience", 2, name="one"),
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(40 if touched else 0):  # four seconds of its ticks
            assert any(line == "moved\n" for line in lines_of(process, "progress", 1)), "waiting is no standstill"
            os.utime(lock.fileno())
        if touched:
            lock.close()
        answer = json.loads(process.communicate(timeout=BOUND)[0])
        lock.close()
        assert answer["rc"] == (0 if touched else errno.ETIMEDOUT), answer
        if not touched:
            assert "golden.qcow2 is being built by another migration, which has not got on for 2 s" in answer["error"], answer
            assert os.listdir(host.images) == []
    same_as_source(host, top, "qcow2", host.source / "one.qcow2", "qcow2")


def lock_is_touched(work):
    """Who waits for this run sees that it gets on."""
    host = Host(work)
    big_plan(host)
    process = until_it_builds(host)
    path, = (host.state / "locks").iterdir()
    status = os.stat(path)
    wait_for("a touch", lambda: process.poll() is not None or os.stat(path).st_mtime_ns > status.st_mtime_ns)
    assert process.poll() is None, "it ended before"
    process.kill()
    process.communicate(timeout=BOUND)


def image_that_hangs(work):
    """While nothing can be read of an image that is there, it does not get on."""
    host = Host(work)
    make_golden(host)
    # What compresses, and is compressed, is read through qemu-nbd.
    write_at(host.source / "golden.raw", [(0, blocks(8, 4096).hex().encode())], 32 * MIB)
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", host.source / "golden.raw", host.source / "golden.qcow2")
    top = plan_clone(host, "one", 1)
    golden = host.images / "golden.qcow2"
    run("qemu-img", "convert", "-c", "-f", "qcow2", "-O", "qcow2", host.source / "golden.qcow2", golden)
    process = subprocess.Popen(host.command("--progress", "--moves", name="one"), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    servers = []

    def found():
        servers[:] = [pid for pid in children(process.pid) if comm(pid) == "qemu-nbd"]
        return servers or process.poll() is not None

    wait_for("its server", found)
    os.kill(servers[0], signal.SIGSTOP)
    lines_of(process, "progress", 3)
    still = lines_of(process, "progress", 10)
    os.kill(servers[0], signal.SIGCONT)
    assert "moved\n" not in still, still
    assert "moved\n" in lines_of(process, "moved", 1)
    answer = json.loads(process.communicate(timeout=BOUND)[0])
    assert answer["rc"] == 0 and answer["made"] == [str(top)], answer


def comm(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="ascii") as file:
            return file.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None


def all_or_none(work):
    """A name that is taken at the last moment costs the others theirs."""
    host = Host(work)
    images = big_plan(host, 2, 96)
    process = until_it_builds(host)
    images[1][1].write_text("mine")
    answer = json.loads(process.communicate(timeout=BOUND)[0])
    assert answer["rc"] == errno.EEXIST and str(images[1][1]) in answer["error"], answer
    assert answer["made"] == []
    assert os.listdir(host.images) == [images[1][1].name], os.listdir(host.images)
    assert images[1][1].read_text() == "mine"
    assert host.leases() == {} and os.listdir(host.state / "locks") == []


if __name__ == "__main__":
    need("qemu-img", "qemu-io", "qemu-nbd")
    main([raw_and_qcow2, identical_image_is_there, many_replicates, linked_clones, overlay_that_exists,
          golden_twice_at_once, another_run_has_the_image, lock_is_touched, image_that_hangs, killed, cancelled, all_or_none])

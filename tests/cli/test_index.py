#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""setmov index: what is read and what is not, what is dropped, bad images, two at once, kill -9, odd names."""

import fcntl
import hashlib
import os
import random
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

from blocks_bed import (BOUND, MIB, SANITIZED, SETMOV, Bed, allocated, check_refusal, fingerprint_reference, mixed, need,
                        passes, tool, wait_for)

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "image"))
from qemu_io import Writer  # noqa: E402

AS_ROOT = os.geteuid() == 0
# Files that changed within two seconds of being read are read again.
SETTLED_S = 4


def raw(path, size=MIB, seed=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    mixed(path, random.Random(seed), size)
    return path


def overlay(path, base):
    tool("qemu-img", "create", "-q", "-f", "qcow2", "-b", base.name, "-F", "raw", path)
    tool("qemu-io", "-f", "qcow2", "-c", "write -P 7 0 128k", path)
    return path


def entries(bed, index="index"):
    return {path.name: path for path in (bed.work / index).iterdir() if path.name.endswith(".fingerprint")}


def held(bed, index="index"):
    """{(path of the image, block size): what --list says}"""
    listed = bed.json("index", "--list", "--index", index)["fingerprints"]
    result = {(row["image"], row["block_size"]): row for row in listed}
    assert len(result) == len(listed) == len(entries(bed, index)), "one fingerprint an image and block size"
    return result


def images(bed, index="index"):
    return {os.path.relpath(path, bed.work) for path, _ in held(bed, index)}


def identities(bed, index="index"):
    return {name: (path.stat().st_ino, path.stat().st_mtime_ns) for name, path in entries(bed, index).items()}


def index(bed, *arguments, status=0, directory="index", **more):
    """({path: what came of it}, summary); errors are the summary's "errors"."""
    import json
    ended, output, errors = bed.run("index", "--json", "--index", directory, *arguments, **more)
    assert ended == status, f"setmov index {arguments}: status {ended}, not {status}: {errors}"
    assert output.count("\n") == 1, f"not one line: {output!r}"
    answer = json.loads(output)
    results = {row["path"]: row for row in answer["images"]}
    assert len(results) == len(answer["images"]), "one result an image"
    summary = answer["summary"]
    summary["errors"] = errors
    assert errors.count("\n") >= len(answer["problems"]), answer
    summary["problems"] = [problem["path"] for problem in answer["problems"]]
    for what in ("read", "unchanged", "failed", "dropped", "same"):
        count = sum(row["result"] == what for row in results.values())
        assert summary[what] == count, f"{what}: summary {summary[what]}, images {count}"
    assert summary["images"] == summary["read"] + summary["unchanged"] + summary["failed"]
    return {path: row["result"] for path, row in results.items()}, summary


def check_name(bed, name, image, kind="sha256-4096"):
    digest = hashlib.sha256(os.fsencode(bed.work / image)).hexdigest()[:32]
    assert name == f"{digest}.{kind}.fingerprint", f"{name} is not the name of {image}"


# ---- what is read ---------------------------------------------------------------------------------


def prepare_images(bed):
    raw(bed.work / "img/alone.raw")
    base = raw(bed.work / "img/base.raw", seed=2)
    overlay(bed.work / "img/overlay.qcow2", base)
    raw(bed.work / "img/sub/deep.raw", seed=3)


def unchanged_images_are_not_read(bed):
    first, summary = index(bed, "img")
    assert first == {name: "read" for name in ("img/alone.raw", "img/base.raw", "img/overlay.qcow2",
                                               "img/sub/deep.raw")}, first
    assert summary["bytes_read"] > 0
    assert stat.S_IMODE((bed.work / "index").stat().st_mode) == 0o700
    rows = held(bed)
    for name in ("alone.raw", "base.raw", "sub/deep.raw"):
        path = bed.work / "img" / name
        row = rows[str(path), 4096]
        reference = fingerprint_reference(allocated(path, 4096))
        assert {key: row[key] for key in reference} == reference, f"{name}: {row}, expected {reference}"
        assert (row["format"], row["virtual_size"], row["provisional"]) == ("raw", MIB, False), row
        check_name(bed, row["fingerprint"], f"img/{name}")
    before = identities(bed)
    # From elsewhere, and under another name of the directory: the same images.
    second, summary = index(bed, bed.work / "img/../img")
    assert set(second.values()) == {"unchanged"} and len(second) == 4, second
    assert summary["bytes_read"] == 0
    assert identities(bed) == before, "a fingerprint was written anew"
    third, summary = index(bed, "--reread", "img")
    assert set(third.values()) == {"read"} and not identities(bed).items() & before.items(), third


def what_changed_is_read(bed):
    index(bed, "img")
    before = identities(bed)
    with open(bed.work / "img/base.raw", "r+b") as file:
        file.seek(512 * 1024)
        file.write(b"changed")
    results, _ = index(bed, "img")
    assert results == {"img/alone.raw": "unchanged", "img/base.raw": "read", "img/overlay.qcow2": "read",
                       "img/sub/deep.raw": "unchanged"}, results
    assert len(before.items() & identities(bed).items()) == 2
    # The times as they were: the status changed all the same.
    path = bed.work / "img/alone.raw"
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=times)
    results, _ = index(bed, "img/alone.raw")
    assert results == {"img/alone.raw": "read"}, results


def a_backing_file_that_is_another_one_is_noticed(bed):
    """The names in the chain are the same, only a link in between leads elsewhere."""
    index(bed, "img")
    (bed.work / "img/link.raw").unlink()
    (bed.work / "img/link.raw").symlink_to("two.raw")
    results, _ = index(bed, "img")
    assert results["img/over.qcow2"] == "read" and results["img/one.raw"] == "unchanged", results
    rows = held(bed)
    layers = [Path(layer["path"]).name for layer in rows[str(bed.work / "img/over.qcow2"), 4096]["layers"]]
    assert layers == ["over.qcow2", "two.raw"], layers


def prepare_link(bed):
    raw(bed.work / "img/one.raw", seed=1)
    raw(bed.work / "img/two.raw", seed=2)
    (bed.work / "img/link.raw").symlink_to("one.raw")
    tool("qemu-img", "create", "-q", "-f", "qcow2", "-b", "link.raw", "-F", "raw", bed.work / "img/over.qcow2")


def what_changed_just_before_is_read_again(bed):
    """A second change within the same tick of the clock would show in no time stamp."""
    raw(bed.work / "new.raw")
    for _ in range(2):
        results, _ = index(bed, "new.raw")
        assert results == {"new.raw": "read"}, results


def what_vanished_is_dropped(bed):
    index(bed, "img")
    (bed.work / "img/alone.raw").unlink()
    (bed.work / "img/sub/deep.raw").rename(bed.work / "img/sub/.hidden.raw")
    results, summary = index(bed, "img/base.raw")
    # Its file is gone, wherever it was looked for; the other one was only not asked for.
    assert results == {"img/base.raw": "unchanged", str(bed.work / "img/alone.raw"): "dropped",
                       str(bed.work / "img/sub/deep.raw"): "dropped"}, results
    assert images(bed) == {"img/base.raw", "img/overlay.qcow2"}
    results, _ = index(bed, "--exclude", "*.qcow2", "img")
    assert results == {"img/base.raw": "unchanged", str(bed.work / "img/overlay.qcow2"): "dropped"}, results
    (bed.work / "img/base.raw").unlink()
    (bed.work / "img/overlay.qcow2").unlink()
    results, summary = index(bed, "img")
    assert (summary["dropped"], summary["images"]) == (1, 0) and not entries(bed), results


def several_block_sizes(bed):
    results, summary = index(bed, "--block-size", "512,4096", "--block-size", "64K", "img")
    once = summary["bytes_read"]
    rows = held(bed)
    assert len(rows) == 12 and {size for _, size in rows} == {512, 4096, 65536}
    row = rows[str(bed.work / "img/alone.raw"), 512]
    reference = fingerprint_reference(allocated(bed.work / "img/alone.raw", 512))
    assert {key: row[key] for key in reference} == reference
    assert index(bed, "--block-size", "512,65536", "img")[1]["unchanged"] == 4
    # One of an image's wishes is missing: all of its own are made anew, from one reading.
    alone = [rows[str(bed.work / "img/alone.raw"), size]["fingerprint"] for size in (512, 4096, 65536)]
    before = identities(bed)
    (bed.work / "index" / alone[0]).unlink()
    results, summary = index(bed, "--block-size", "512,4096", "img")
    assert results["img/alone.raw"] == "read" and summary["unchanged"] == 3, results
    assert 0 < summary["bytes_read"] < once and summary["bytes_read"] <= MIB
    after = identities(bed)
    # The third one, not wished for now, was of the former reading.
    assert alone[2] not in after and after[alone[1]] != before[alone[1]] and alone[0] in after
    assert len(after) == 11
    digests, _ = index(bed, "--digest", "md5", "img/alone.raw")
    assert digests == {"img/alone.raw": "read"}
    names = [row["fingerprint"] for (path, _), row in held(bed).items() if path.endswith("alone.raw")]
    assert len(names) == 1 and ".md5-4096." in names[0], names


def keys(bed):
    raw(bed.work / "a.raw")
    (bed.work / "key").write_bytes(bytes(range(32)))
    (bed.work / "other").write_bytes(bytes(range(1, 33)))
    index(bed, "--key-file", "key", "a.raw")
    row, = held(bed).values()
    check_name(bed, row["fingerprint"], "a.raw", f"keyed-{row['key_id']}-4096")
    index(bed, "--key-file", "other", "a.raw")
    other, = held(bed).values()
    assert other["key_id"] != row["key_id"]


def what_is_damaged_is_made_anew(bed):
    """Anywhere: its head may well be whole."""
    index(bed, "img/alone.raw")
    name, = entries(bed)
    path = bed.work / "index" / name
    whole = path.read_bytes()
    for at in (5000, len(whole) - 1, 200):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:])
        results, summary = index(bed, "img/alone.raw")
        assert (results, summary["errors"]) == ({"img/alone.raw": "read"}, ""), f"byte {at}: {results}"
        bed.ok("fingerprint", "--verify", path)
    assert index(bed, "img/alone.raw")[0] == {"img/alone.raw": "unchanged"}


# ---- what there is ---------------------------------------------------------------------------------


def prepare_odd(bed):
    odd = bed.work / "odd"
    raw(odd / "a.raw")
    (odd / "link.raw").symlink_to("a.raw")
    (odd / "sub").mkdir()
    os.link(odd / "a.raw", odd / "sub/hard.raw")
    raw(odd / os.fsdecode(b"caf\xe9 \x1b[31m.raw"), seed=2)
    raw(odd / "two\nlines.raw", seed=3)
    raw(odd / ".hidden.raw", seed=4)
    raw(bed.work / "elsewhere/b.raw", seed=5)
    (odd / "loop").symlink_to("..")
    (odd / "nowhere").symlink_to("missing")
    (odd / "small").write_bytes(b"x" * 511)
    (odd / "sector").write_bytes(b"x" * 512)
    os.mkfifo(odd / "fifo")


def odd_names_and_files(bed):
    odd = bed.work / "odd"
    results, summary = index(bed, "odd", directory="odd/index")
    read = {os.path.relpath(path, bed.work) for path in (row["image"] for row in held(bed, "odd/index").values())}
    assert summary["read"] == 4 and summary["same"] == 2 and summary["errors"] == "", results
    assert results["odd/link.raw"] == results["odd/sub/hard.raw"] == "same", results
    assert {"odd/a.raw", "odd/sector"} < read and len(read) == 4, read
    names = {row["fingerprint"] for row in held(bed, "odd/index").values()}
    for name in (os.fsdecode(b"odd/caf\xe9 \x1b[31m.raw"), "odd/two\nlines.raw"):
        wanted = hashlib.sha256(os.fsencode(bed.work / name)).hexdigest()[:32]
        assert any(entry.startswith(wanted) for entry in names), name
    # What lies in the index is no image, whole or damaged, and what was copied from it neither.
    name, path = sorted(entries(bed, "odd/index").items())[0]
    (odd / "copy.fingerprint").write_bytes(path.read_bytes())
    damaged = odd / "index" / ("0" * 32 + ".sha256-4096.fingerprint")
    damaged.write_bytes(b"SETMOVFX" + path.read_bytes()[8:])
    listing = bed.run("index", "--list", "--index", "odd/index")
    assert listing[0] == 1 and damaged.name in listing[2] and listing[2].count("\n") == 1, listing
    assert "\x1b" not in listing[1] and listing[1].count("\n") == 1 + 2 * 4, listing[1]
    results, summary = index(bed, "odd", directory="odd/index")
    assert (summary["unchanged"], summary["read"], summary["same"], summary["dropped"]) == (4, 0, 2, 0), results
    assert not damaged.exists(), "a damaged fingerprint stayed"
    # Without the first name the file goes on under its next.
    (odd / "a.raw").unlink()
    results, summary = index(bed, "odd", directory="odd/index")
    assert results[str(odd / "a.raw")] == "dropped" and results["odd/sub/hard.raw"] == "read", results


def merged_indexes_are_no_images(bed):
    raw(bed.work / "img/a.raw")
    for name in ("img/all.merged", "named.merged"):
        (bed.work / name).write_bytes(b"SETMOVMI" + bytes(1000))
    results, summary = index(bed, "img", "named.merged", status=1)
    assert results == {"img/a.raw": "read"}, results
    assert summary["errors"].count("\n") == 1 and "named.merged is a merged index" in summary["errors"], summary


def guests_do_not_hide_their_disks(bed):
    """What a guest writes to the beginning of its disk makes no fingerprint and no merged index of it."""
    for name, magic in (("f.raw", b"SETMOVFP"), ("m.raw", b"SETMOVMI")):
        raw(bed.work / "img" / name)
        (bed.work / "img" / name).write_bytes(magic + random.Random(1).randbytes(8184))
    results, _ = index(bed, "img")
    assert results == {"img/f.raw": "read", "img/m.raw": "read"}, results


def what_cannot_be_removed_costs_itself(bed):
    """A directory under the name of a fingerprint."""
    index(bed, "img")
    name = next(row["fingerprint"] for (path, _), row in held(bed).items() if path.endswith("alone.raw"))
    (bed.work / "index" / name).unlink()
    (bed.work / "index" / name).mkdir()
    with open(bed.work / "img/base.raw", "ab") as file:
        file.write(b"x" * 512)
    results, summary = index(bed, "img", status=1)
    assert results == {"img/alone.raw": "failed", "img/base.raw": "read", "img/overlay.qcow2": "read",
                       "img/sub/deep.raw": "unchanged"}, results
    assert summary["problems"] == [f"index/{name}"] and summary["errors"].count("\n") == 2, summary
    (bed.work / "index" / name).rmdir()
    results, summary = index(bed, "img")
    assert results["img/alone.raw"] == "read", results


def text_output(bed):
    raw(bed.work / "a.raw")
    status, output, errors = bed.run("index", "--index", "index", "a.raw")
    assert (status, errors) == (0, "") and output.startswith("1 image: 1 read (") and output.count("\n") == 1, output
    output = bed.ok("index", "--index", "index", "-v", "--reread", "a.raw")
    assert output.splitlines()[0].startswith("read       a.raw  (") and output.count("\n") == 2, output
    output = bed.ok("index", "--index", "index", "--list")
    assert str(bed.work / "a.raw") in output and "sha256-4096" in output, output
    # The numbers of the line add up, as those of the JSON do.
    (bed.work / "no.qcow2").write_bytes(b"QFI\xfb\0\0\0\3" + b"\xff" * 1000)
    status, output, errors = bed.run("index", "--index", "index", "a.raw", "no.qcow2", "missing", "nowhere")
    assert status == 1 and errors.count("\n") == 3, errors
    assert re.fullmatch(r"2 images: [01] read \(\S+\), [01] unchanged, 1 failed; 0 dropped; 2 other problems\n",
                        output), output


def bad_images_cost_themselves(bed):
    index(bed, "img")
    good = bed.work / "img/alone.raw"
    (bed.work / "img/bad.qcow2").write_bytes(b"QFI\xfb\0\0\0\3" + b"\xff" * 1000)
    tool("qemu-img", "create", "-q", "-f", "qcow2", bed.work / "img/secret.qcow2", "1M")
    with open(bed.work / "img/secret.qcow2", "r+b") as file:
        file.seek(32)
        file.write((1).to_bytes(4, "big"))  # the header's crypt_method: AES
    tool("qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", "missing.raw", "-F", "raw",
         bed.work / "img/headless.qcow2", "1M")
    # Once a good image: what is known of it is not true any more.
    (bed.work / "img/overlay.qcow2").write_bytes(b"QFI\xfb\0\0\0\3" + b"\xff" * 1000)
    results, summary = index(bed, "img", status=1)
    assert results == {"img/alone.raw": "unchanged", "img/base.raw": "unchanged", "img/sub/deep.raw": "unchanged",
                       "img/bad.qcow2": "failed", "img/secret.qcow2": "failed", "img/headless.qcow2": "failed",
                       "img/overlay.qcow2": "failed"}, results
    lines = summary["errors"].splitlines()
    assert len(lines) == 4, lines
    for name, word in (("bad", ""), ("secret", "encrypted"), ("headless", "missing.raw"), ("overlay", "")):
        assert sum(f"img/{name}.qcow2" in line and word in line for line in lines) == 1, lines
    assert images(bed) == {"img/alone.raw", "img/base.raw", "img/sub/deep.raw"}
    assert good.exists()


def what_is_named_must_be_an_image(bed):
    os.mkfifo(bed.work / "fifo")
    raw(bed.work / "a.raw")
    (bed.work / "small").write_bytes(b"x")
    results, summary = index(bed, "missing", "fifo", "small", "a.raw", status=1)
    assert results == {"a.raw": "read"}, results
    assert (summary["failed"], sorted(summary["problems"])) == (0, ["fifo", "missing", "small"]), summary
    lines = summary["errors"].splitlines()
    assert len(lines) == 3 and all(any(name in line for line in lines) for name in ("missing", "fifo", "small")), lines


def wrong_use(bed):
    (bed.work / "file").write_bytes(b"x" * 512)
    (bed.work / "bad.conf").write_text("[setmov]\nindx = /srv\n")
    bed.refused("no.conf: No such file", "index", "--config", "no.conf")
    bed.refused("bad.conf:2: ", "index", "--config", "bad.conf")
    bed.refused("bad.conf:2: ", "index", "--list", "--config", "bad.conf")
    bed.refused("--config", "index", "--config", "bad.conf", "file", status=2)
    bed.refused("--config", "index", "--config", "bad.conf", "--index", "x", "--list", status=2)
    for option in (("--index", "x"), ("--block-size", "512"), ("--digest", "md5")):
        bed.refused(option[0], "index", *option, status=2)
    bed.refused("--list", "index", "--list", "file", status=2)
    bed.refused("--key-file", "index", "--digest", "keyed", "file", status=2)
    bed.refused("513", "index", "--block-size", "512,513", "file", status=2)
    bed.refused("block-size", "index", "--block-size", "512,", "file", status=2)
    bed.refused("index directory missing", "index", "--index", "missing", "--list")
    bed.refused("index directory file", "index", "--index", "file", "file")
    bed.refused("index directory file/x/y", "index", "--index", "file/x/y", "file")
    bed.refused("nonsense", "index", "--index", "index", "--connect", "nonsense:///x")


# ---- file systems ----------------------------------------------------------------------------------------


def need_mounts():
    if not AS_ROOT or subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        print("      (this part needs root and mount namespaces)", flush=True)
        return False
    return True


def with_mounts(bed, script):
    """Runs the lines in a mount namespace of their own; $1 is setmov."""
    done = subprocess.run(["unshare", "-m", "--propagation", "private", "bash", "-ec", script, "bash", str(SETMOV)],
                          cwd=bed.work, env=bed.environment(), capture_output=True, text=True, timeout=BOUND)
    assert done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"
    return done.stdout


def what_is_not_mounted_is_not_gone(bed):
    if not need_mounts():
        return
    raw(bed.work / "a.raw")
    (bed.work / "mnt/sub").mkdir(parents=True)
    said = with_mounts(bed, """
        mount -t tmpfs none mnt/sub
        cp a.raw mnt/sub/
        "$1" index --index index mnt
        umount mnt/sub
        "$1" index --index index mnt
        "$1" index --index index a.raw
        mount -t tmpfs none mnt/sub
        cp a.raw mnt/sub/b.raw
        "$1" index --index index mnt
    """).splitlines()
    dropped = [int(line.split(" dropped")[0].split()[-1]) for line in said]
    assert dropped == [0, 0, 0, 1], said


def what_may_not_be_searched_is_not_gone(bed):
    raw(bed.work / "img/closed/a.raw")
    raw(bed.work / "img/open/b.raw", seed=2)
    prefix = ()
    for path in [bed.directory, *bed.directory.rglob("*")]:
        path.chmod(0o755)
        if AS_ROOT:
            os.chown(path, 65534, 65534)
    for path in bed.directory.parents:
        if path.stat().st_uid == os.geteuid() and not path.stat().st_mode & stat.S_IXOTH:
            path.chmod(path.stat().st_mode | 0o011)  # the test runner's own
    if AS_ROOT:
        prefix = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")
    if subprocess.run([*prefix, str(SETMOV), "--version"], capture_output=True, check=False).returncode:
        print("      (nobody may run the program here)", flush=True)
        return
    index(bed, "img", prefix=prefix)
    (bed.work / "img/open/b.raw").unlink()
    # Nothing may be looked at there; or files may, but nobody says which there are.
    for mode, dropped in ((0, {str(bed.work / "img/open/b.raw"): "dropped"}), (0o111, {})):
        (bed.work / "img/closed").chmod(mode)
        try:
            results, summary = index(bed, "img", status=1, prefix=prefix)
        finally:
            (bed.work / "img/closed").chmod(0o755)
        assert results == dropped, results
        assert "img/closed" in summary["errors"] and summary["errors"].count("\n") == 1, summary
    assert images(bed) == {"img/closed/a.raw"}


def a_full_disk_keeps_what_is_true(bed):
    if not need_mounts():
        return
    said = with_mounts(bed, """
        mkdir index
        mount -t tmpfs -o size=1M none index
        "$1" index --index index img 2>&1
        dd if=/dev/zero of=index/filler bs=4k 2>/dev/null || true
        # Nothing fits, but what is there is true.
        "$1" index --index index --reread img 2>&1 && exit 1
        "$1" index --index index img 2>&1
        # What changed is true no longer, and what went is of no use to anybody.
        echo x >>img/alone.raw
        touch img/overlay.qcow2
        rm img/sub/deep.raw
        dd if=/dev/zero of=index/filler2 bs=4k 2>/dev/null || true
        "$1" index --index index img 2>&1 && exit 1
        echo left $(ls index | grep -c fingerprint)
        rm index/filler*
        "$1" index --index index img 2>&1
        ls -A index
    """)
    lines = [line for line in said.splitlines() if " images: " in line]
    assert [line.split(": ")[1].split(" read")[0] for line in lines] == ["4", "0", "2"], said
    assert "4 unchanged" in lines[1] and "1 unchanged" in lines[2] and len(lines) == 3, said
    # After the first that cannot be written no other one is tried; what went is dropped all the same.
    assert "4 of 4 images were not read: index/" in said and "2 of 3 images were not read: index/" in said
    assert said.count("No space left") == 2 and ".tmp" not in said and said.count("\nleft 1\n") == 1, said


def block_devices_are_always_read(bed):
    if not AS_ROOT:
        print("      (loop devices need root)", flush=True)
        return
    raw(bed.work / "disk.raw")
    done = subprocess.run(["losetup", "--find", "--show", str(bed.work / "disk.raw")], capture_output=True, text=True,
                          check=False)
    if done.returncode:
        print(f"      (no loop device: {done.stderr.strip()})", flush=True)
        return
    device = done.stdout.strip()
    try:
        (bed.work / "dev").mkdir()
        (bed.work / "dev/volume").symlink_to(device)
        for _ in range(2):
            results, summary = index(bed, "dev")
            assert results == {"dev/volume": "read"} and summary["bytes_read"] == MIB, (results, summary)
        row, = held(bed).values()
        assert row["image"] == device and row["layers"][0]["block_device"], row
        assert row["total_blocks"] == MIB // 4096
    finally:
        tool("losetup", "-d", device)


# ---- others at the same time -----------------------------------------------------------------------------


def the_lock_is_waited_for(bed):
    raw(bed.work / "a.raw")
    (bed.work / "index").mkdir()
    with open(bed.work / "index/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        status, output, errors = bed.run("index", "--index", "index", "--no-wait", "a.raw")
        check_refusal("index directory index", ["index"], 1, status, output, errors)
        for end in (signal.SIGTERM, None):
            process = bed.start("index", "--index", "index", "a.raw")
            said = process.stderr.readline().decode()
            assert "waiting" in said and "index" in said, said
            if end:
                process.send_signal(end)
                process.communicate(timeout=BOUND)
                assert process.returncode == -end, process.returncode
        assert not entries(bed)
        fcntl.flock(lock, fcntl.LOCK_UN)
        output, errors = process.communicate(timeout=BOUND)
    assert process.returncode == 0 and errors == b"" and b"1 read" in output, (output, errors)


def two_at_once(bed):
    wanted = set()
    for number in range(8):
        wanted.add(f"img/{number}.raw")
        raw(bed.work / f"img/{number}.raw", seed=number)
    runs = [bed.start("index", "--index", "index", "--reread", "img") for _ in range(3)]
    for process in runs:
        output, errors = process.communicate(timeout=BOUND)
        assert process.returncode == 0 and b"8 read" in output, (output, errors)
    assert images(bed) == wanted
    verify(bed)


def verify(bed):
    for path in entries(bed).values():
        bed.ok("fingerprint", "--verify", path)


def kill_nine(bed):
    source = random.Random(5)
    for number in range(4):
        raw(bed.work / f"img/{number}.raw", seed=number)
    overlay(bed.work / "img/over.qcow2", bed.work / "img/0.raw")
    began = time.monotonic()
    index(bed, "--block-size", "512,4096", "img")
    took = time.monotonic() - began
    killed, wanted, turns = 0, 8 if SANITIZED else 30, 0
    while killed < wanted:
        turns += 1
        assert turns < 20 * wanted, f"only {killed} of {turns} could be killed"
        process = bed.start("index", "--index", "index", "--block-size", "512,4096", "--reread", "img",
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(source.uniform(0, took))
            took *= 0.8  # it was faster than the first
        except subprocess.TimeoutExpired:
            process.kill()
            killed += process.wait(BOUND) == -signal.SIGKILL
        wait_for("qemu-nbd's end", lambda: not bed.servers())
        # What is there is whole, at any time.
        listed = subprocess.run([SETMOV, "index", "--list", "--json", "--index", "index"], cwd=bed.work,
                                capture_output=True, timeout=BOUND)
        assert listed.returncode == 0 and listed.stderr == b"", listed
    for left in bed.temporary.iterdir():
        tool("rm", "-r", left)
    results, _ = index(bed, "--block-size", "512,4096", "img")
    assert len(results) == 5 and "failed" not in results.values(), results
    assert len(held(bed)) == 10
    verify(bed)


def unfinished_files_are_removed(bed):
    raw(bed.work / "a.raw")
    index(bed, "a.raw")
    name, = entries(bed)
    left = bed.work / "index" / f".{name}.Ab3xyz.tmp"
    others = [bed.work / "index" / other for other in (".mine.tmp", "notes", "x.fingerprint.tmp")]
    for path in [left, *others]:
        path.write_bytes(b"x" * 1000)
    process = bed.start("index", "--index", "index", "--list")
    _, errors = process.communicate(timeout=BOUND)
    assert (process.returncode, errors) == (0, b"") and left.exists(), "looking changed something"
    process = bed.start("index", "--index", "index", "a.raw")
    process.communicate(timeout=BOUND)
    assert process.returncode == 0 and not left.exists() and all(path.exists() for path in others)
    others[0].unlink()  # none of ours


def a_stop_leaves_the_index_as_it_was(bed):
    raw(bed.work / "a.raw", 4 * MIB)
    raw(bed.work / "b.raw", 4 * MIB, seed=2)
    index(bed, "a.raw", "b.raw")
    before = identities(bed)
    process = bed.start("index", "--index", "index", "--reread", "--rate", "64K", "a.raw", "b.raw")
    wait_for("the reading", lambda: any((bed.work / "index").glob(".*.tmp")))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=BOUND)
    assert process.returncode == -signal.SIGTERM, process.returncode
    assert identities(bed) == before and {path.name for path in (bed.work / "index").iterdir()} == {"lock", *before}
    bed.check_leftovers()


def what_a_vm_writes_is_provisional(bed):
    need("qemu-io")
    with Writer(bed.work / "img/alone.raw", image_format="raw"):
        for _ in range(2):
            results, _ = index(bed, "img/alone.raw")
            assert results == {"img/alone.raw": "read"}, results
            row, = held(bed).values()
            assert row["provisional"], row
    results, _ = index(bed, "img/alone.raw")
    assert results == {"img/alone.raw": "read"}, results
    row, = held(bed).values()
    assert not row["provisional"], row
    results, _ = index(bed, "img/alone.raw")
    assert results == {"img/alone.raw": "unchanged"}, results


def libvirts_test_driver(bed):
    """Its disks are not there: nothing to read, nothing wrong."""
    results, summary = index(bed, "--connect", "test:///default")
    assert results == {} and summary["errors"] == "", (results, summary)


TESTS = [
    (prepare_images, unchanged_images_are_not_read),
    (prepare_images, what_changed_is_read),
    (prepare_link, a_backing_file_that_is_another_one_is_noticed),
    (None, what_changed_just_before_is_read_again),
    (prepare_images, what_vanished_is_dropped),
    (prepare_images, several_block_sizes),
    (prepare_images, what_is_damaged_is_made_anew),
    (None, keys),
    (prepare_odd, odd_names_and_files),
    (None, merged_indexes_are_no_images),
    (None, guests_do_not_hide_their_disks),
    (prepare_images, what_cannot_be_removed_costs_itself),
    (None, text_output),
    (prepare_images, bad_images_cost_themselves),
    (None, what_is_named_must_be_an_image),
    (None, wrong_use),
    (None, what_is_not_mounted_is_not_gone),
    (None, what_may_not_be_searched_is_not_gone),
    (prepare_images, a_full_disk_keeps_what_is_true),
    (None, block_devices_are_always_read),
    (None, the_lock_is_waited_for),
    (None, two_at_once),
    (None, kill_nine),
    (None, unfinished_files_are_removed),
    (None, a_stop_leaves_the_index_as_it_was),
    (prepare_images, what_a_vm_writes_is_provisional),
    (None, libvirts_test_driver),
]


def main():
    """All images are made first, so that all have settled after one wait."""
    if not SETMOV.is_file():
        sys.exit(f"{SETMOV} was not built")
    need("qemu-img", "qemu-io", "qemu-nbd")
    wanted = sys.argv[1:]
    tests = [(prepare, test, Bed()) for prepare, test in TESTS if not wanted or test.__name__ in wanted]
    failed = 0
    try:
        for prepare, _, bed in tests:
            if prepare:
                prepare(bed)
        settled = time.time() + SETTLED_S
        wait_for("files to settle", lambda: time.time() >= settled)
        for _, test, bed in tests:
            failed += not passes(test.__name__, bed.run_whole, test)
    finally:
        for _, _, bed in tests:
            bed.close()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

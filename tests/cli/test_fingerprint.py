#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`setmov fingerprint`: what it writes and prints, what it does not overwrite, and --show and --verify."""

import os
import random
import re
import subprocess
import sys

from blocks_bed import BOUND, MIB, allocated, digits, fingerprint_reference, main, mixed, need, sha256, tool


def totals(found):
    return {key: found[key] for key in ("total_blocks", "zero_blocks", "distinct_blocks", "internal_duplicates")}


def made_and_shown(bed):
    image = bed.work / "a.raw"
    mixed(image, random.Random(3), MIB)
    text = bed.ok("fingerprint", "a.raw")
    file = bed.work / "a.raw.sha256-4096.fingerprint"
    reference = fingerprint_reference(allocated(image, 4096))
    for label, value in (("Fingerprint", "a.raw.sha256-4096.fingerprint"), ("Image", re.escape(str(image))),
                         ("Format", "raw"), ("Virtual size", r"1\.00M \(1,048,576\)"),
                         ("Digest", "sha256, blocks of 4096 bytes"), ("Total blocks", str(reference["total_blocks"])),
                         ("Zero blocks", rf"{reference['zero_blocks']} \(\d+\.\d\d %\)"),
                         ("Distinct blocks", rf"{reference['distinct_blocks']} \(\d+\.\d\d %\)"),
                         ("Internal duplicates", rf"{reference['internal_duplicates']} \(\d+\.\d\d %\)")):
        assert re.search(rf"^{label} +{value}$", text, re.MULTILINE), f"{label} is not {value}:\n{text}"
    for option, verified in (("--show", None), ("--verify", True)):
        found = bed.json("fingerprint", option, file)
        assert totals(found) == reference and found.get("verified") == verified, found
        status = image.stat()
        assert found["layers"] == [{"path": str(image), "format": "raw", "size": MIB, "device": status.st_dev,
                                    "inode": status.st_ino, "modified": int(status.st_mtime),
                                    "changed": int(status.st_ctime), "block_device": False}]
        assert found["file_bytes"] == file.stat().st_size and found["virtual_size"] == MIB
        assert found["allocated_bytes"] == 4096 * reference["total_blocks"] and not found["provisional"]
        shown = bed.ok("fingerprint", option, file)
        assert ("Verified" in shown) == bool(verified) and re.search(rf"^Image +{re.escape(str(image))}$", shown, re.M)


def sizes_and_digests(bed):
    image = bed.work / "a.raw"
    mixed(image, random.Random(4), MIB, grain=512)
    for digest, size, word in (("md5", 512, "512"), ("sha256", 4096, "4k"), ("md5", 65536, "64K")):
        found = bed.json("fingerprint", "--digest", digest, "--block-size", word, "a.raw")
        assert found["fingerprint"] == f"a.raw.{digest}-{size}.fingerprint"
        assert (found["digest"], found["block_size"]) == (digest, size)
        assert totals(found) == fingerprint_reference(allocated(image, size))
        distinct = found["distinct_blocks"]
        assert found["file_bytes"] <= 24 * distinct + 10 * distinct / 8 + 4096 + 16 * distinct / 8, found
    found = bed.json("fingerprint", "--content-sha256", "--threads", "2", "--memory", "16M", "--low-priority",
                     "--rate", "1G", "--keep-cache", "--quiet", "--temporary", bed.temporary, "-o", "x", "a.raw")
    assert found["content_sha256"] == sha256(image)


def chain(bed):
    """All layers are told; a backing file elsewhere is followed only by option."""
    need("qemu-img", "qemu-nbd")
    (bed.work / "below").mkdir()
    mixed(bed.work / "below/base.raw", random.Random(5), MIB)
    tool("qemu-img", "create", "-f", "qcow2", "-F", "raw", "-b", bed.work / "below/base.raw", bed.work / "top.qcow2")
    (bed.work / "other").mkdir()
    (bed.work / "top.qcow2").rename(bed.work / "other/top.qcow2")
    bed.refused(["other/top.qcow2", "below/base.raw", "outside"], "fingerprint", "other/top.qcow2")
    bed.refused(["other/top.qcow2", "outside"], "fingerprint", "--allow-backing", "other", "other/top.qcow2")
    bed.refused(["other/top.qcow2", "outside"], "compare", "other/top.qcow2", "below/base.raw")
    found = bed.json("fingerprint", "--allow-backing", "below", "--allow-backing", "other", "other/top.qcow2")
    assert [layer["path"] for layer in found["layers"]] == [str(bed.work / "other/top.qcow2"),
                                                          str(bed.work / "below/base.raw")]
    assert found["format"] == "qcow2" and found["virtual_size"] == MIB
    text = bed.ok("fingerprint", "--show", found["fingerprint"])
    assert re.search(rf"^Layers below +{re.escape(str(bed.work))}/below/base.raw \(raw\)$", text, re.M), text
    # The image's owner says what it is: as raw it is its qcow2 file, and nothing is followed.
    found = bed.json("fingerprint", "--format", "raw", "other/top.qcow2")
    assert found["format"] == "raw" and found["virtual_size"] == (bed.work / "other/top.qcow2").stat().st_size
    bed.refused("nonsense", "fingerprint", "--format", "nonsense", "other/top.qcow2")


def provisional(bed):
    """A VM that holds the image (here: qemu-io) makes the fingerprint provisional, and is not disturbed."""
    need("qemu-io", "stdbuf")
    digits(bed.work / "a.raw", range(64))
    writer = subprocess.Popen(["stdbuf", "-o0", "qemu-io", "-f", "raw", bed.work / "a.raw"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, bufsize=0)
    try:
        assert os.read(writer.stdout.fileno(), 100), "qemu-io holds it when it prompts"
        status, output, errors = bed.run("fingerprint", "a.raw", "-o", "a.fp")
        assert status == 0 and "Provisional" in output and "a.raw" in errors and errors.count("\n") == 1, errors
        # Nothing was written: what is said is what is known.
        for said in (output, errors):
            assert "was held for writing by another process" in said and "written to" not in said, said
        status, output, errors = bed.run("compare", "a.raw", "a.fp", "--digest", "sha256")
        assert status == 0 and errors.count("\n") == 2 and errors.count("provisional") == 2, errors
        assert errors.count("was held for writing by another process") == 2, errors
    finally:
        writer.stdin.close()
        writer.wait(BOUND)
    assert bed.json("fingerprint", "--show", "a.fp")["provisional"] is True
    assert bed.json("fingerprint", "a.raw", "-o", "a.fp")["provisional"] is False


def nothing_else_is_overwritten(bed):
    digits(bed.work / "a", [1, 2])
    (bed.work / "letter").write_text("dear sister")
    (bed.work / "empty").touch()
    (bed.work / "directory").mkdir()
    for name in ("letter", "empty", "a", "/dev/null"):
        bed.refused([name, "not overwritten"], "fingerprint", "-o", name, "a")
    assert (bed.work / "letter").read_text() == "dear sister"
    bed.refused("directory", "fingerprint", "-o", "directory", "a")
    bed.refused("nowhere/x", "fingerprint", "-o", "nowhere/x", "a")
    bed.refused("letter/x", "fingerprint", "-o", "letter/x", "a")
    bed.refused("stdout", "fingerprint", "-o", "-", "a", status=2)
    bed.ok("fingerprint", "-o", "a.fp", "a")
    before = (bed.work / "a.fp").stat().st_ino
    bed.ok("fingerprint", "-o", "a.fp", "--block-size", "512", "a")
    assert (bed.work / "a.fp").stat().st_ino != before, "replaced, not written over"
    assert bed.json("fingerprint", "--verify", "a.fp")["block_size"] == 512
    bed.refused(["a.fp", "--show"], "fingerprint", "a.fp")
    bed.refused("a", "fingerprint", "--show", "a")


def disks_that_begin_like_fingerprints(bed):
    """A guest can copy a fingerprint to its raw disk: with --format it is a disk, and it is never overwritten."""
    image, other = bed.work / "a.raw", bed.work / "evil.raw"
    mixed(image, random.Random(5), MIB)
    bed.ok("fingerprint", "-o", "a.fingerprint", "a.raw")
    whole = (bed.work / "a.fingerprint").read_bytes()
    other.write_bytes(whole + bytes(-len(whole) % 512))
    bed.refused(["evil.raw", "is a fingerprint already"], "fingerprint", "-o", "x", "evil.raw")
    found = bed.json("fingerprint", "--format", "raw", "-o", "x", "evil.raw")
    assert totals(found) == fingerprint_reference(allocated(other, 4096)), found
    found = bed.json("compare", "--format", "raw", "evil.raw", "a.fingerprint")
    assert found["a"]["distinct_blocks"] == fingerprint_reference(allocated(other, 4096))["distinct_blocks"], found
    other.write_bytes(whole[:8] + random.Random(6).randbytes(MIB))
    before = other.read_bytes()
    bed.refused(["evil.raw", "not overwritten"], "fingerprint", "-o", "evil.raw", "a.raw")
    assert other.read_bytes() == before


def wrong_options(bed):
    digits(bed.work / "a", [1])
    for value in ("0", "511", "256", "131072", "1M", "x", "-1", "", "4096x", "99999999999999999999"):
        bed.refused(f"--block-size: '{value}'", "fingerprint", "--block-size", value, "a", status=2)
    for value in ("0", "-1", "x", "1.5G", "", "K", "99999999999T", "18446744073709551616"):
        bed.refused(f"--rate: '{value}'", "fingerprint", "--rate", value, "a", status=2)
    for value in ("1M", "x"):
        bed.refused(f"--memory: '{value}'", "fingerprint", "--memory", value, "a", status=2)
    for value in ("0", "65", "two"):
        bed.refused(f"--threads: '{value}'", "fingerprint", "--threads", value, "a", status=2)
    bed.refused("--digest: 'sha1'", "fingerprint", "--digest", "sha1", "a", status=2)
    bed.refused("--key-file", "fingerprint", "--digest", "keyed", "a")
    bed.refused("no image", "fingerprint", status=2)
    bed.refused("no fingerprint", "fingerprint", "--show", status=2)
    bed.refused("'b'", "fingerprint", "a", "b", status=2)
    bed.refused("--output", "fingerprint", "--show", "-o", "x", "a", status=2)
    bed.refused("more than one --block-size", "fingerprint", "--block-size", "512", "--block-size", "1024", "a", status=2)
    bed.refused("nowhere", "compare", "--temporary", "nowhere", "a", "a")


def images_are_called_as_they_were_given(bed):
    """Before an image is open and behind it."""
    need("qemu-img", "qemu-nbd")
    tool("qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=2M", bed.work / "huge.qcow2", "1P")
    said = bed.refused("2^40 blocks", "fingerprint", "--block-size", "512", "huge.qcow2")
    assert said.startswith("setmov fingerprint: huge.qcow2: "), said
    said = bed.refused("2^40 blocks", "compare", "./huge.qcow2", "huge.qcow2")
    assert said.startswith("setmov compare: ./huge.qcow2: "), said
    said = bed.refused("No such file", "fingerprint", "none.qcow2")
    assert said.startswith("setmov fingerprint: none.qcow2: "), said


if __name__ == "__main__":
    sys.exit(main([made_and_shown, sizes_and_digests, chain, provisional, nothing_else_is_overwritten, wrong_options,
                   disks_that_begin_like_fingerprints, images_are_called_as_they_were_given]))

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`setmov compare`: the paper's example, and brute force on made images, for every engine, format and block size."""

import itertools
import json
import os
import random
import re
import sys

from blocks_bed import (SANITIZED, allocated, brute_force, check_refusal, digits, fingerprint_reference, main, mixed,
                        need, tool)

EXAMPLE = [0, 1, 2, 1, 0, 4, 4, 4, 3, 5]  # the paper's table 1
FIELDS = ("identical_distinct", "identical_with_duplicates", "share_distinct", "share_with_duplicates",
          "share_distinct_nonzero", "share_with_duplicates_nonzero", "bytes_to_send")


def same_figures(found, expected, what):
    for field in FIELDS:
        assert abs(found[field] - expected[field]) < 1e-5, f"{what}: {field} is {found[field]}, not {expected[field]}"


def outside(found, expected, what):
    """The fields whose intervals do not hold what is true."""
    wrong = []
    for field in FIELDS:
        low, best, high = found[field + "_low"], found[field], found[field + "_high"]
        assert low <= best <= high, f"{what}: {field}: {low}, {best}, {high}"
        if not low - 1e-5 <= expected[field] <= high + 1e-5:
            wrong.append(f"{what}: {field} {expected[field]} not in {low}..{high}")
    return wrong


def within(found, expected, what):
    wrong = outside(found, expected, what)
    assert not wrong, wrong


# ---- the paper ----------------------------------------------------------------------------------


def worked_example(bed):
    digits(bed.work / "a", EXAMPLE)
    digits(bed.work / "b", [1, 2, 3, 4, 7, 8])
    text = bed.ok("compare", "a", "b")
    for label, figure in (("Total blocks", "10"), (r"Identical blocks \(with duplicates\)", "7"),
                          (r"Identical blocks \(distinct\)", "4"),
                          (r"Similarity \(with duplicates\)", "70.00 %   to send 30.00 %"),
                          (r"Similarity \(distinct\)", "40.00 %   to send 60.00 %"),
                          ("Internal duplicates", "4"), ("Zero blocks", "0"),
                          (r"Without zero blocks \(with dup.\)", "70.00 %   to send 30.00 %"),
                          (r"Without zero blocks \(distinct\)", "40.00 %   to send 60.00 %"),
                          ("Bytes to send", "1,024   2 blocks, 1.00k")):
        assert re.search(rf"^{label} +{re.escape(figure)}$", text, re.MULTILINE), f"{label} is not {figure}:\n{text}"
    assert bed.json("compare", "a", "b") == {
        "block_size": 512, "digest": "md5", "engine": "exact",
        "a": {"path": "a", "total_blocks": 10, "zero_blocks": 0, "distinct_blocks": 6, "provisional": False},
        "b": [{"path": "b", "identical_distinct": 4, "identical_with_duplicates": 7, "share_distinct": 40.0,
               "share_with_duplicates": 70.0, "share_distinct_nonzero": 40.0,
               "share_with_duplicates_nonzero": 70.0, "bytes_to_send": 1024}],
        "union": {"identical_distinct": 4, "identical_with_duplicates": 7, "share_distinct": 40.0,
                  "share_with_duplicates": 70.0, "share_distinct_nonzero": 40.0,
                  "share_with_duplicates_nonzero": 70.0, "bytes_to_send": 1024}}


def zero_blocks_are_never_sent(bed):
    (bed.work / "a").write_bytes(bytes(512 * 3) + b"x" * 512)
    digits(bed.work / "b", [1])
    found = bed.json("compare", "a", "b")
    assert (found["a"]["total_blocks"], found["a"]["zero_blocks"], found["a"]["distinct_blocks"]) == (4, 3, 2)
    same_figures(found["b"][0], {"identical_distinct": 0, "identical_with_duplicates": 0, "share_distinct": 0,
                                 "share_with_duplicates": 0, "share_distinct_nonzero": 0,
                                 "share_with_duplicates_nonzero": 0, "bytes_to_send": 512}, "zero blocks")
    assert re.search(r"^Zero blocks +3$", bed.ok("compare", "a", "b"), re.MULTILINE)


def zero_blocks_are_left_out_of_two_rows(bed):
    """Of seven blocks three are zero, of the four others two are in B, one of them once more."""
    block = {name: name.encode() * 512 for name in "xyz"}
    (bed.work / "a").write_bytes(bytes(512 * 3) + block["x"] + block["y"] + block["x"] + block["z"])
    (bed.work / "b").write_bytes(bytes(512) + block["x"])
    (bed.work / "c").write_bytes(block["x"])
    for engine in ("exact", "bloom"):
        for other, shares in (("b", (2 / 7, 5 / 7, 1 / 4, 2 / 4)), ("c", (1 / 7, 2 / 7, 1 / 4, 2 / 4))):
            found = bed.json("compare", "--engine", engine, "a", other)["b"][0]
            names = ("share_distinct", "share_with_duplicates", "share_distinct_nonzero", "share_with_duplicates_nonzero")
            assert all(abs(found[name] - 100 * share) < 1e-5 for name, share in zip(names, shares)), (other, found)
    text = bed.ok("compare", "a", "b")
    assert re.search(r"^Without zero blocks \(with dup.\) +50.00 %   to send 50.00 %$", text, re.MULTILINE), text
    assert re.search(r"^Without zero blocks \(distinct\) +25.00 %   to send 75.00 %$", text, re.MULTILINE), text
    lines = bed.ok("compare", "a", "c", "b").splitlines()[-3:]
    assert [line.split()[-5:-1] for line in lines] == [["14.29", "(28.57)", "25.00", "(50.00)"],
                                                       ["28.57", "(71.43)", "25.00", "(50.00)"],
                                                       ["28.57", "(71.43)", "25.00", "(50.00)"]], lines
    grid = bed.ok("compare", "--matrix", "a", "c").split("without zero blocks")[1].splitlines()
    assert grid[2].split() == ["1", "-", "25.00", "(50.00)", "25.00", "(50.00)"], grid


def several(bed):
    """The form of tables 3 and 4, with a last row for all of them together."""
    digits(bed.work / "9.04", EXAMPLE * 200)
    digits(bed.work / "9.10", [1, 2, 3, 4, 7, 8])
    digits(bed.work / "xp", [0, 9])
    lines = bed.ok("compare", "9.04", "9.10", "xp").splitlines()
    assert "2,000 blocks, 0 zero blocks, 1,994 internal duplicates" in lines[1], lines
    assert [line.split() for line in lines[-3:]] == [
        ["9.04-9.10", "2,000", "4", "0.20", "(70.00)", "0.20", "(70.00)", "1,024"],
        ["9.04-xp", "2,000", "1", "0.05", "(20.00)", "0.05", "(20.00)", "2,560"],
        ["9.04-all", "of", "them", "2,000", "5", "0.25", "(90.00)", "0.25", "(90.00)", "512"]], lines
    (bed.work / "other").mkdir()
    digits(bed.work / "other/xp", [0, 9])
    text = bed.ok("compare", "9.04", "xp", "other/xp")
    assert "9.04-xp " in text and "9.04-other/xp " in text, "names that clash are told apart"


def empty_images(bed):
    (bed.work / "holes").touch()
    os.truncate(bed.work / "holes", 1 << 20)
    digits(bed.work / "b", [1])
    for pair in (("holes", "b"), ("b", "holes"), ("holes", "holes")):
        found = bed.json("compare", *pair)["b"][0]
        assert found["share_distinct"] == 0 and found["bytes_to_send"] == (512 if pair[0] == "b" else 0), found
        text = bed.ok("compare", *pair)
        told = re.findall(r"%   to send ([0-9.]+) %$", text, re.MULTILINE)
        assert told == ["100.00" if pair[0] == "b" else "0.00"] * 4, f"{pair}: {text}"


# ---- brute force --------------------------------------------------------------------------------


def make_images(bed, names):
    source = random.Random(7)
    pool = []
    for name in names:
        mixed(bed.work / name, source, (1 if SANITIZED else 4) << 20, pool)
    # The last block of one is not whole.
    os.truncate(bed.work / names[0], os.path.getsize(bed.work / names[0]) - 4096 * 3 - 100)
    with open(bed.work / names[0], "ab") as file:
        file.write(b"end")


def against_brute_force(bed):
    names = ["a.raw", "b.raw", "c.raw"]
    make_images(bed, names)
    compared, missed = 0, {"bloom": [], "sketch": []}
    for block_size, digest in itertools.product((512, 4096, 65536), ("md5", "sha256")):
        blocks = {name: allocated(bed.work / name, block_size) for name in names}
        for order in (names, names[::-1]):
            what = f"{order} {digest} {block_size}"
            options = ["--block-size", str(block_size), "--digest", digest]
            exact = bed.json("compare", *options, *order)
            totals = fingerprint_reference(blocks[order[0]])
            assert all(exact["a"][key] == totals[key] for key in ("total_blocks", "zero_blocks", "distinct_blocks")), what
            truth = [brute_force(blocks[order[0]], blocks[name]) for name in order[1:]]
            truth.append(brute_force(blocks[order[0]], blocks[order[1]] + blocks[order[2]]))
            for found, expected in zip([*exact["b"], exact["union"]], truth):
                same_figures(found, expected, what)
            bloom = bed.json("compare", "--engine", "bloom", *options, *order)
            for found, expected in zip([*bloom["b"], bloom["union"]], truth):
                assert found["identical_distinct"] >= expected["identical_distinct"], f"{what}: bloom counts too little"
                missed["bloom"] += outside(found, expected, what + " bloom")[:1]
                compared += 1
            sketch = bed.json("compare", "--engine", "sketch", *options, *order)
            for found, expected in zip([*sketch["b"], sketch["union"]], truth):
                missed["sketch"] += outside(found, expected, what + " sketch")[:1]
    # 95 of 100 are promised.
    assert all(len(wrong) <= compared // 10 for wrong in missed.values()), missed


def fingerprints_and_formats(bed):
    """A fingerprint stands for its image, a qcow2 for its content (zero blocks apart)."""
    need("qemu-img", "qemu-nbd")
    make_images(bed, ["a.raw", "b.raw"])
    plain = bed.json("compare", "--block-size", "4096", "a.raw", "b.raw")
    for name in ("a", "b"):
        bed.ok("fingerprint", "--digest", "md5", "-o", f"{name}.fingerprint", f"{name}.raw")
        tool("qemu-img", "convert", "-O", "qcow2", bed.work / f"{name}.raw", bed.work / f"{name}.qcow2")
    for pair in (("a.fingerprint", "b.fingerprint"), ("a.raw", "b.fingerprint"), ("a.fingerprint", "b.raw")):
        found = bed.json("compare", *pair)
        assert (found["block_size"], found["digest"]) == (4096, "md5"), "the fingerprint says which"
        assert found["union"] == plain["union"], pair
        for engine in ("bloom", "sketch"):
            within(bed.json("compare", "--engine", engine, *pair)["union"], plain["union"], f"{pair} {engine}")
    through = bed.json("compare", "--block-size", "4096", "a.qcow2", "b.qcow2")
    for field in ("bytes_to_send", "share_distinct_nonzero", "share_with_duplicates_nonzero"):
        assert through["union"][field] == plain["union"][field], f"{field} is another one of qcow2"


def matrix(bed):
    names = ["a.raw", "b.raw", "c.raw"]
    make_images(bed, names)
    for name in names:
        bed.ok("fingerprint", "--digest", "md5", "--block-size", "512", "-o", f"{name}.fp", name)
    for engine in ("exact", "bloom", "sketch"):
        found = bed.json("compare", "--engine", engine, "--matrix", *names)
        read = bed.json("compare", "--engine", engine, "--matrix", *[f"{name}.fp" for name in names])
        assert read["matrix"] == found["matrix"] and read["unions"] == found["unions"], "of fingerprints"
        assert [image["path"] for image in found["images"]] == names and found["engine"] == engine
        for i, name in enumerate(names):
            others = names[:i] + names[i + 1:]
            alone = bed.json("compare", "--engine", engine, name, *others)
            assert {key: found["images"][i][key] for key in alone["a"]} == alone["a"]
            assert found["matrix"][i][i] is None and found["unions"][i] == alone["union"]
            for column, one in zip([j for j in range(3) if j != i], alone["b"]):
                assert {"path": names[column], **found["matrix"][i][column]} == one, (engine, name, column)
    text = bed.ok("compare", "--matrix", *names)
    share = bed.json("compare", names[0], names[2])["union"]
    row = next(line for line in text.split("Share of", 1)[1].splitlines() if line.startswith("   1"))
    assert row.split()[1] == "-" and f"{share['share_distinct']:.2f}" in row.split(), text


# ---- what does not fit --------------------------------------------------------------------------


def conflicts(bed):
    digits(bed.work / "a", EXAMPLE)
    bed.ok("fingerprint", "-o", "sha4096.fp", "a")
    bed.ok("fingerprint", "--block-size", "512", "-o", "sha512.fp", "a")
    bed.ok("fingerprint", "--block-size", "512", "--digest", "md5", "-o", "md5.fp", "a")
    bed.refused(["sha4096.fp", "sha512.fp", "4096", "512"], "compare", "sha4096.fp", "sha512.fp")
    bed.refused(["sha512.fp", "md5.fp"], "compare", "a", "sha512.fp", "md5.fp")
    bed.refused(["--block-size", "sha4096.fp", "1024"], "compare", "--block-size", "1K", "a", "sha4096.fp")
    bed.refused(["--digest", "md5.fp", "sha256"], "compare", "--digest", "sha256", "a", "md5.fp")
    bed.refused("two images", "compare", status=2)
    bed.refused("two images", "compare", "a", status=2)
    bed.refused("exact, bloom and sketch", "compare", "--engine", "psychic", "a", "a", status=2)
    bed.refused("more than one --block-size", "compare", "--block-size", "512", "--block-size", "1K", "a", "a", status=2)
    found = bed.json("compare", "--block-size", "512", "--digest", "md5", "a", "md5.fp")
    assert found["union"]["share_with_duplicates"] == 100


def keys(bed):
    digits(bed.work / "a", EXAMPLE)
    (bed.work / "key").write_bytes(bytes(range(32)))
    (bed.work / "hex").write_text(bytes(range(32)).hex() + "\n")
    (bed.work / "other").write_bytes(b"k" * 32)
    bed.ok("fingerprint", "--block-size", "512", "--key-file", "key", "-o", "a.fp", "a")
    for file in ("key", "hex"):
        found = bed.json("compare", "--key-file", file, "a", "a.fp")
        assert (found["digest"], found["b"][0]["identical_distinct"]) == ("keyed", 6), found
    assert bed.json("compare", "a.fp", "a.fp")["union"]["identical_distinct"] == 6, "needs no key"
    bed.refused(["a", "--key-file"], "compare", "a", "a.fp")
    bed.refused(["a.fp", "keys"], "compare", "--key-file", "other", "a", "a.fp")
    bed.refused(["--key-file", "md5"], "compare", "--digest", "md5", "--key-file", "key", "a", "a", status=2)
    bed.refused(["a.fp", "keyed"], "compare", "--digest", "sha256", "a", "a.fp")
    (bed.work / "other").write_bytes(b"k" * 33)
    bed.refused(["key file other", "32 bytes"], "compare", "--key-file", "other", "a", "a")
    bed.refused(["key file gone"], "compare", "--key-file", "gone", "a", "a")
    os.mkfifo(bed.work / "pipe")  # nobody writes to it
    bed.refused(["key file pipe", "no regular file"], "compare", "--key-file", "pipe", "a", "a")


def hostile_names(bed):
    """A name cannot forge a line, steer the terminal or break the JSON."""
    name = b"x\n\x1b[2J\xff\xe2\x80\xae\xc2\x9b31m\""
    raw = os.fsencode(bed.work) + b"/" + name
    with open(raw, "wb") as file:
        file.write(b"y" * 512)
    digits(bed.work / "b", [1])
    for form in ([], ["--matrix"]):
        for images in ([name, b"b"], [b"b", name], [name, b"b", b"b"]):
            status, output, errors = bed.run(*["compare", *form, *images])
            assert status == 0 and not errors, errors
            assert "\x1b" not in output and "\x9b" not in output and "\n\x1b" not in output, repr(output)
            status, output, errors = bed.run(*["compare", *form, "--json", *images])
            assert status == 0 and output.count("\n") == 1 and "\u202e" not in output, repr(output)
            found = json.loads(output)
            paths = [image["path"] for image in (found["images"] if form else [found["a"], *found["b"]])]
            assert "x\n\x1b[2J\ufffd\u202e\x9b31m\"" in paths, paths
    os.unlink(raw)
    status, output, errors = bed.run(*["compare", name, b"b"])
    check_refusal("x ", ["compare"], 1, status, output, errors)


if __name__ == "__main__":
    sys.exit(main([worked_example, zero_blocks_are_never_sent, zero_blocks_are_left_out_of_two_rows, several, empty_images, against_brute_force,
                   fingerprints_and_formats, matrix, conflicts, keys, hostile_names]))

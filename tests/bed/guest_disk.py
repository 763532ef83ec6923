#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes and checks the disks of guests that keep writing (guest_records.c), without asking the guest.

usage: guest_disk.py make IMAGE MEBIBYTES [SEED]  a raw image full of bytes that follow from SEED
       guest_disk.py prepare IMAGE                takes a raw image as it is, with its records behind its end
       guest_disk.py check IMAGE [LEAST]          prints the number of the last record; qcow2 as well

The last 4 KiB of the disk are a line of text, the label, which says where the records are.
Record N (from 1) lies in slot (N - 1) modulo SLOTS: 8 sectors, each with the number and a checksum of
its own. The guest syncs one before it writes the next. So on the disk of a guest that stands still,
every slot holds the newest record of those that belong there, whole; `check` says so, and that a disk
from `make` is elsewhere as it was made, and that the last record is not before LEAST, which the guest
has told. No guest may be writing meanwhile.
"""
import os
import random
import re
import struct
import subprocess
import sys
import tempfile
import zlib

MEBIBYTE = 1 << 20
BLOCK, SECTOR = 4096, 512
SLOTS, STRIDE, RATE = 256, 4 * BLOCK, 10
MAGIC = b"BEDRECRD"
LABEL = "setmov test guest: records at %d, %d slots, %d apart, %d a second, seed %s\n"
LABEL_PATTERN = re.compile(rb"setmov test guest: records at (\d+), (\d+) slots, (\d+) apart, \d+ a second, seed ([ -~]+)\n")


class Wrong(Exception):
    """What is not as it should be, in one line."""


def content(size, seed):
    """The disk's bytes, a MiB at a time."""
    source = random.Random(seed)
    for at in range(0, size, MEBIBYTE):
        yield source.randbytes(min(MEBIBYTE, size - at))


def write_label(file, offset, size, seed):
    file.seek(size - BLOCK)
    file.write((LABEL % (offset, SLOTS, STRIDE, RATE, seed)).encode().ljust(BLOCK, b"\0"))


def make(path, size, seed):
    """The records are spread over the second quarter from the end on, amid other content."""
    offset = size // 2 // BLOCK * BLOCK
    if offset + SLOTS * STRIDE > size - BLOCK:
        raise Wrong(f"{path}: a disk of {size} bytes has no room for the records")
    with open(path, "wb") as file:
        for block in content(size, seed):
            file.write(block)
        for slot in range(SLOTS):
            file.seek(offset + slot * STRIDE)
            file.write(bytes(BLOCK))
        write_label(file, offset, size, seed)


def prepare(path):
    with open(path, "r+b") as file:
        offset = -(-file.seek(0, os.SEEK_END) // BLOCK) * BLOCK
        size = offset + SLOTS * STRIDE + BLOCK
        file.truncate(size)
        write_label(file, offset, size, "-")


def read_label(path, file, size):
    file.seek(max(size - BLOCK, 0))
    match = LABEL_PATTERN.fullmatch(file.read(BLOCK).rstrip(b"\0"))
    if not match:
        raise Wrong(f"{path}: no label of a test guest in its last 4 KiB")
    offset, slots, stride = map(int, match.group(1, 2, 3))
    if size % BLOCK or slots < 1 or stride < BLOCK or offset + slots * stride > size - BLOCK:
        raise Wrong(f"{path}: its label does not fit it")
    return offset, slots, stride, match.group(4).decode()


def sequence_of(path, slot, block):
    """The number of the record, 0 for a slot that was never written."""
    if block == bytes(BLOCK):
        return 0
    numbers = set()
    for index in range(BLOCK // SECTOR):
        sector = block[index * SECTOR:(index + 1) * SECTOR]
        magic, number, place = struct.unpack_from("<8sQI", sector)
        (checksum,) = struct.unpack_from("<I", sector, SECTOR - 4)
        if magic != MAGIC or place != index or checksum != zlib.crc32(sector[:-4]):
            raise Wrong(f"{path}: slot {slot}: sector {index} is not one that the guest wrote")
        numbers.add(number)
    if len(numbers) != 1:
        raise Wrong(f"{path}: slot {slot}: torn between the records {sorted(numbers)}")
    return numbers.pop()


def check_records(path, file, offset, slots, stride):
    found = []
    for slot in range(slots):
        file.seek(offset + slot * stride)
        found.append(sequence_of(path, slot, file.read(BLOCK)))
    last = max(found)
    for slot, number in enumerate(found):
        expected = last - (last - 1 - slot) % slots
        if number != max(expected, 0):
            raise Wrong(f"{path}: slot {slot} holds record {number}, it should be {max(expected, 0)}: the last is {last}")
    return last


def check_content(path, file, size, seed, records):
    file.seek(0)
    for at, made in zip(range(0, size, MEBIBYTE), content(size, seed)):
        read = file.read(MEBIBYTE)
        if read == made:
            continue
        for inner in range(0, len(made), BLOCK):
            if at + inner not in records and read[inner:inner + BLOCK] != made[inner:inner + BLOCK]:
                raise Wrong(f"{path}: byte {at + inner} and on: not what the disk was made with")


def check_raw(path, name, least):
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        offset, slots, stride, seed = read_label(name, file, size)
        last = check_records(name, file, offset, slots, stride)
        if seed != "-":
            records = {offset + slot * stride for slot in range(slots)} | {size - BLOCK}
            check_content(name, file, size, seed, records)
    if last < least:
        raise Wrong(f"{name}: the last record is {last}, but the guest had synced {least}")
    return last


def check(path, least=0):
    """The number of the last record; raises Wrong."""
    with open(path, "rb") as file:
        if file.read(4) != b"QFI\xfb":
            return check_raw(path, path, least)
    with tempfile.NamedTemporaryFile(dir=os.path.dirname(os.path.abspath(path)), suffix=".check") as flat:
        done = subprocess.run(["qemu-img", "convert", "-U", "-O", "raw", path, flat.name], stdin=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise Wrong(done.stderr.strip())
        return check_raw(flat.name, path, least)


def main(words):
    if len(words) in (3, 4) and words[0] == "make":
        make(words[1], int(words[2]) * MEBIBYTE, words[3] if len(words) == 4 else "1")
    elif len(words) == 2 and words[0] == "prepare":
        prepare(words[1])
    elif len(words) in (2, 3) and words[0] == "check":
        print(check(words[1], int(words[2]) if len(words) == 3 else 0))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (Wrong, OSError, ValueError) as error:
        sys.exit(f"guest_disk.py: {error}")

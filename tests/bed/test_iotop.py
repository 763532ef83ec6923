#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Disk of the host: a known number of bytes to a block device; and beside iotop, as the paper did it."""
import os
import re
import subprocess
import tempfile

import bed

WRITTEN = 16 * 1024 * 1024


def loop_attach(directory):
    image = os.path.join(directory, "image")
    with open(image, "wb") as file:
        file.truncate(2 * WRITTEN)
    done = subprocess.run(["losetup", "--find", "--show", image], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    if done.returncode != 0:
        bed.skip(f"no loop device: {done.stdout.strip()}")
    return done.stdout.strip()


def write_direct(path, bytes_count):
    subprocess.run(["dd", "if=/dev/zero", f"of={path}", "bs=64k", f"count={bytes_count // 65536}", "oflag=direct"],
                   check=True, stderr=subprocess.DEVNULL)


def test_loop_device(device):
    stat = bed.Stat(None, "--no-vms", "--all", "--interval", 1, "--count", 4)
    stat.next()
    write_direct(device, WRITTEN)
    samples = stat.rest()
    name = os.path.basename(device)
    total = bed.integral(samples, lambda s: bed.by_name(s["host"]["disks"], name)["write_bytes_per_s"])
    bed.near(total, WRITTEN, WRITTEN / 100, f"bytes written to {name}")
    bed.require(bed.by_name(samples[-1]["host"]["disks"], name)["kind"] == "memory", "a loop device counts as a disk")
    bed.say(f"{name}: written {WRITTEN}, the metric says {total:.0f}")


def test_beside_iotop(directory):
    """The same seconds seen by both: iotop's sum of the processes' writes is what dd wrote."""
    bed.need("iotop")
    probe = subprocess.run(["iotop", "-b", "-n", "1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                           check=False)
    if probe.returncode != 0 or "DISK WRITE" not in probe.stdout:
        bed.skip(f"iotop does not work here: {(probe.stdout.strip().splitlines() or ['no output'])[-1]}")
    iotop = subprocess.Popen(["iotop", "-b", "-k", "-d", "1", "-n", "9"], stdout=subprocess.PIPE, text=True)
    stat = bed.Stat(None, "--no-vms", "--interval", 1, "--count", 9)
    stat.next()
    target = os.path.join(directory, "file")
    # As slow as 4 MiB/s, so that the process lives while iotop looks.
    script = f"for i in 1 2 3 4 5 6; do dd if=/dev/zero of={target} bs=64k count=64 seek=$((i*64)) " \
             "oflag=direct conv=notrunc 2>/dev/null; sleep 0.7; done"
    subprocess.run(["sh", "-c", script], check=True)
    samples = stat.rest()
    ours = bed.integral(samples, lambda s: s["host"]["disk_write_bytes_per_s"])
    text = iotop.communicate()[0]
    theirs = sum(float(kilobytes) for kilobytes in re.findall(r"(?:Current|Actual) DISK WRITE: +([0-9.]+)", text)) * 1024
    wrote = 6 * 64 * 65536
    bed.require(ours >= wrote * 0.99, f"host disks: {ours:.0f} bytes a metric says, {wrote} were written")
    # iotop's seconds are not ours, and others write too: a quarter.
    bed.near(ours, theirs, max(ours, theirs) / 4, "bytes written, against iotop")
    bed.say(f"written {wrote}; host disks say {ours:.0f}, iotop says {theirs:.0f} (others write too)")


def main():
    if os.geteuid() != 0:
        bed.skip("needs root")
    bed.need("losetup", "dd")
    with tempfile.TemporaryDirectory(dir=bed.BUILD) as directory:
        device = loop_attach(directory)
        try:
            test_loop_device(device)
        finally:
            subprocess.run(["losetup", "--detach", device], check=False)
        test_beside_iotop(directory)


if __name__ == "__main__":
    try:
        main()
    except bed.Failed as failure:
        bed.say(f"FAILED: {failure}")
        raise SystemExit(1) from None

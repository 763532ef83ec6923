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


def kernel_written():
    """Bytes written to whole disks, by anybody."""
    total = 0
    for name in os.listdir("/sys/block"):
        if not re.match(r"(loop|ram|zram|dm-|md)", name):
            with open(f"/sys/block/{name}/stat", encoding="ascii") as file:
                total += int(file.read().split()[6]) * 512
    return total


def iotop_total(text):
    """Bytes of all its intervals; its rates are for the interval that was asked for, whatever passed."""
    rates = [float(rate) for rate in re.findall(r"(?:Current|Actual) DISK WRITE: +([0-9.]+)", text)]
    bed.require(len(rates) > 1, f"iotop's output has changed: {text[:300]}")
    return sum(rates) * 1024


def beside_iotop(directory, wrote):
    """The same seconds seen by three: (setmov, iotop, the kernel over a little longer)."""
    kernel = kernel_written()
    iotop = subprocess.Popen(["iotop", "-b", "-k", "-d", "1", "-n", "12"], stdout=subprocess.PIPE, text=True,
                             env={**os.environ, "LC_ALL": "C"})
    stat = bed.Stat(None, "--no-vms", "--interval", 1, "--count", 11)
    stat.next()
    target = os.path.join(directory, "file")
    # As slow as 4 MiB/s, so that iotop sees it in more than one interval.
    script = f"for i in 1 2 3 4 5 6; do dd if=/dev/zero of={target} bs=64k count={wrote // 65536 // 6} seek=$((i*64)) " \
             "oflag=direct conv=notrunc 2>/dev/null; sleep 0.7; done"
    subprocess.run(["sh", "-c", script], check=True)
    ours = bed.integral(stat.rest(), lambda s: s["host"]["disk_write_bytes_per_s"])
    return ours, iotop_total(iotop.communicate()[0]), kernel_written() - kernel


def test_beside_iotop(directory):
    bed.need("iotop")
    probe = subprocess.run(["iotop", "-b", "-n", "1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                           check=False)
    if probe.returncode != 0 or "DISK WRITE" not in probe.stdout:
        bed.skip(f"iotop does not work here: {(probe.stdout.strip().splitlines() or ['no output'])[-1]}")
    wrote = 6 * 64 * 65536
    for _ in range(3):
        ours, theirs, kernel = beside_iotop(directory, wrote)
        bed.require(wrote * 0.99 <= ours <= kernel * 1.01, f"host disks: {ours:.0f} bytes a metric says, {wrote} were "
                    f"written by the test and {kernel} by all")
        bed.say(f"written {wrote}, by all {kernel}; host disks say {ours:.0f}, iotop says {theirs:.0f}")
        # Its seconds are not ours, and on a busy machine it is late: a quarter, and another try.
        if abs(ours - theirs) <= max(ours, theirs) / 4:
            return
    raise bed.Failed("setmov and iotop disagree three times")


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

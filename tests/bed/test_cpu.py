#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""CPU of host and VM: against independent computations, mpstat and virt-top's formula.

Tolerances: none from identical snapshots but the printed digits; live, what
10 ms ticks and the few ms between two programs' readings make of a window.
"""
import os
import shutil
import subprocess
import tempfile
import threading
import time

import bed

HELPER = os.path.join(bed.BUILD, "tests/helpers/domstats_usage")


def busy(before, after):
    """Formula 1 from two texts of /proc/stat, not the way the program does it."""
    def read(text):
        numbers = [int(word) for word in text.split("\n", 1)[0].split()[1:9]]
        return sum(numbers), numbers[3]  # guest time is inside user

    (total_before, idle_before), (total_after, idle_after) = read(before), read(after)
    return 100 - 100 / (total_after - total_before) * (idle_after - idle_before)


def snapshots():
    """Real ones of this machine under load, then made ones: half in guests, iowait, steal."""
    texts = []
    with subprocess.Popen(["sh", "-c", "while :; do :; done"]) as load:
        try:
            for _ in range(5):
                with open("/proc/stat", encoding="ascii") as file:
                    texts.append(file.read())
                time.sleep(0.2)  # lets the counters of the machine move
        finally:
            load.kill()
    numbers = [int(word) for word in texts[-1].split("\n", 1)[0].split()[1:]]
    numbers += [0] * (10 - len(numbers))
    for step in ((500, 0, 0, 500, 0, 0, 0, 0, 500, 0), (10, 20, 30, 40, 50, 5, 5, 40, 7, 3),
                 (0, 0, 0, 1, 0, 0, 0, 0, 0, 0), (1, 0, 0, 0, 0, 0, 0, 0, 1, 0)):
        numbers = [a + b for a, b in zip(numbers, step)]
        line = " ".join(map(str, numbers))
        texts.append(f"cpu  {line}\ncpu0 {line}\nbtime 1\n")
    return texts


def test_identical_host_snapshots():
    texts = snapshots()
    with tempfile.TemporaryDirectory() as proc:
        def show(text):
            with open(os.path.join(proc, "new"), "w", encoding="ascii") as file:
                file.write(text)
            os.rename(os.path.join(proc, "new"), os.path.join(proc, "stat"))

        for name in ("meminfo", "diskstats", "partitions"):
            shutil.copy(f"/proc/{name}", proc)
        os.makedirs(proc + "/net")
        shutil.copy("/proc/net/dev", proc + "/net/dev")
        show(texts[0])
        stat = bed.Stat(None, "--no-vms", "--proc", proc, "--interval", 0.3)
        try:
            # It has taken the first reading when the second, the same one, is out: then swap.
            bed.require(stat.next()["host"]["cpu_percent"] is None, "no time passed, yet a percentage")
            for number in range(1, len(texts)):
                show(texts[number])
                sample = stat.next()
                bed.near(sample["host"]["cpu_percent"], busy(texts[number - 1], texts[number]), 0.001,
                         f"host CPU from snapshots {number - 1} and {number}")
        finally:
            stat.process.kill()
            stat.process.wait()
    bed.say(f"host CPU equals the independent computation on {len(texts) - 1} pairs of snapshots")


def test_against_mpstat():
    bed.need("mpstat")
    with subprocess.Popen(["sh", "-c", "while :; do :; done"]) as load:
        try:
            with subprocess.Popen(["mpstat", "4", "1"], stdout=subprocess.PIPE, text=True,
                                  env={**os.environ, "LC_ALL": "C"}) as mpstat:
                stat = bed.Stat(None, "--no-vms", "--interval", 4, "--count", 1)
                ours = stat.rest()[-1]["host"]["cpu_percent"]
                lines = mpstat.communicate()[0].splitlines()
        finally:
            load.kill()
    theirs = 100 - float(next(line for line in lines if line.startswith("Average:") and " all " in line).split()[-1])
    # The two windows of 4 s begin up to 100 ms apart: 2.5 points at most.
    bed.near(ours, theirs, 2.5, "host CPU against mpstat")
    bed.say(f"host CPU {ours:.1f} %, mpstat {theirs:.1f} %")


def virt_top(before, after, seconds, cores):
    return 100 * (int(after["cpu.time"]) - int(before["cpu.time"])) / (seconds * cores * 1e9)


def test_identical_vm_snapshots(host, cores):
    bed.require(os.path.exists(HELPER), f"{HELPER} is not built")
    texts, times = [], []
    for _ in range(4):
        texts.append(host.virsh("domstats"))
        times.append(time.monotonic())
        time.sleep(0.37)  # jitter: the pairs below are 0.4 to 1.2 s apart
    compared = 0
    for first, second in ((0, 1), (1, 3), (0, 3), (2, 3)):
        paths = []
        for number in (first, second):
            paths.append(os.path.join(host.dir, f"domstats{number}"))
            with open(paths[-1], "w", encoding="ascii") as file:
                file.write(texts[number])
        elapsed = times[second] - times[first]
        answer = subprocess.run([HELPER, *paths, repr(elapsed), str(cores)], stdout=subprocess.PIPE, text=True,
                                check=True).stdout
        fields = [dict(field.strip().split("=", 1) for field in text.splitlines() if "cpu.time" in field)
                  for text in (texts[first], texts[second])]
        for line in answer.splitlines():
            name, ours = line.split()
            if name == "busy":
                bed.near(float(ours), virt_top(fields[0], fields[1], elapsed, cores), 0.1, "VM CPU")
                compared += 1
    bed.require(compared == 4, "the helper did not tell of the VM")
    bed.say("VM CPU equals virt-top's formula on 4 pairs of identical snapshots")


def test_live_vm(host, cores):
    """The program is stopped and continued at odd moments: its sampling times jitter."""
    curve, ended = [], threading.Event()

    def record():
        while not ended.is_set():
            before = time.time()
            value = int(host.domstats("--cpu-total")["busy"]["cpu.time"])
            curve.append((before, time.time(), value))

    def bounds(moment):
        """CPU time only rises: it was at least what an earlier reading said, at most what a later one says."""
        low = [value for _, end, value in curve if end <= moment]
        high = [value for begin, _, value in curve if begin >= moment]
        bed.require(low and high, f"no virsh reading around {moment}")
        return max(low), min(high)

    def check(what, cpu_s, start, end):
        (low0, high0), (low1, high1) = bounds(start), bounds(end)
        low, high = (low1 - high0) / 1e9, (high1 - low0) / 1e9
        # 2 ticks of 10 ms, and what lies between a sample's time and its reading.
        bed.require(low - 0.05 <= cpu_s <= high + 0.05, f"{what}: {cpu_s:.3f} s, virsh says {low:.3f} to {high:.3f}")
        return low, high

    thread = threading.Thread(target=record)
    thread.start()
    try:
        bed.poll(lambda: len(curve) > 2, 20, "virsh readings")
        stat = bed.Stat(host, "--connect", "qemu:///system", "--interval", 1)
        for pause in (0.45, 0.05, 0.3, 0.5, 0.2):
            stat.next()
            time.sleep(0.8)
            stat.pause()  # over the moment when the next reading is due
            time.sleep(0.2 + pause)
            stat.resume()
        stat.next()
        samples = stat.samples
        stat.end()
    finally:
        count = len(curve)
        try:
            bed.poll(lambda: len(curve) > count + 2, 20, "virsh readings")
        finally:
            ended.set()
            thread.join()
    lengths = [sample["interval_s"] for sample in samples]
    total = 0.0
    for sample in samples:
        seconds = sample["interval_s"]
        cpu_s = bed.by_name(sample["vms"], "busy")["cpu_percent"] / 100 * cores * seconds
        total += cpu_s
        check(f"VM CPU over {seconds:.3f} s", cpu_s, sample["time"] - seconds, sample["time"])
    low, high = check("VM CPU over the whole time", total, samples[0]["time"] - lengths[0], samples[-1]["time"])
    bed.say(f"VM CPU live, intervals of {min(lengths):.2f} to {max(lengths):.2f} s: "
            f"{total:.3f} s in all, virsh says {low:.3f} to {high:.3f}")


def run(host):
    test_identical_host_snapshots()
    test_against_mpstat()
    cores = int(next(line for line in host.virsh("nodeinfo").splitlines() if line.startswith("CPU(s)")).split()[1])
    host.linux_guests("busy")
    host.guest("busy", "burn 60")
    test_identical_vm_snapshots(host, cores)
    test_live_vm(host, cores)


bed.main(run)

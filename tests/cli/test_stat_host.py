#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`setmov stat --no-vms` over recorded readings of /proc gives the figures that lie between them."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SETMOV = Path(os.environ.get("SETMOV_BUILD") or ROOT / "build").resolve() / "setmov"
DATA = ROOT / "tests/data/usage/host"
FILES = ("stat", "meminfo", "diskstats", "partitions", "net/dev")
INTERVAL = "0.2"
MOST_SAMPLES = 50


def make_tree(work):
    """A /proc whose files are links through `current`, so that one rename changes all of them."""
    for name in FILES:
        link = work / "proc" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(work / "current" / name)
    show_reading(work, 1)


def show_reading(work, number):
    (work / "next").symlink_to(DATA / str(number))
    os.rename(work / "next", work / "current")


def run(work, *options):
    command = [SETMOV, "stat", "--no-vms", "--proc", work / "proc", "--sys", DATA / "sys",
               "--interval", INTERVAL, *options]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def by_name(things):
    return {thing["name"]: thing for thing in things}


def moved(host):
    """Do all groups hold the difference? The rename can fall between two files of a reading."""
    return (host["cpu_percent"] is not None and by_name(host["disks"])["sda"]["read_ops_per_s"]
            and by_name(host["interfaces"])["eth0"]["rx_packets_per_s"])


def take_samples(work):
    """(the first sample, the one in which the reading changed); tries again where it was torn."""
    for _ in range(10):
        show_reading(work, 1)
        with run(work, "--json") as process:
            line = process.stdout.readline()
            assert rb'b\ufffd\"\u009b2J' in line.replace("\ufffd".encode(), rb"\ufffd"), line
            first = json.loads(line)
            show_reading(work, 2)
            changed = None
            for _ in range(MOST_SAMPLES):
                sample = json.loads(process.stdout.readline().decode("utf-8"))
                if moved(sample["host"]):
                    changed = sample
                    break
                if sample["host"]["memory_percent"] == 75:
                    break
            process.terminate()
            process.communicate()
            assert process.returncode == 0, process.returncode
        if changed:
            return first, changed
    sys.exit("the readings were torn ten times")


def near(value, expected, what):
    assert value is not None and abs(value - expected) <= 1e-3 * max(1, abs(expected)), f"{what}: {value}, not {expected}"


def ratio(thing, above, below, expected):
    """Rates over the same time: their ratio is known exactly."""
    near(thing[above] / thing[below], expected, f"{above}/{below} of {thing['name']}")


def check_first(sample):
    host = sample["host"]
    assert host["cpu_percent"] is None, "no ticks passed, so the CPU's use is unknown"
    assert host["cpu"]["idle"] is None
    assert host["memory_percent"] == 25
    assert by_name(host["disks"])["sda"]["read_bytes_per_s"] == 0
    assert by_name(host["disks"])["sda"]["read_latency_s"] is None
    eth0 = by_name(host["interfaces"])["eth0"]
    assert eth0["rx_packets_per_s"] == 0 and eth0["rx_bits_per_s"] == 0 and eth0["rx_packet_bits"] is None


def check_cpu(host):
    expected = {"user": 2.5, "nice": 0, "system": 5, "idle": 50, "iowait": 2.5, "irq": 0, "softirq": 1,
                "steal": 1.5, "guest": 37.5, "guest_nice": 0}
    near(host["cpu_percent"], 50, "CPU")
    assert host["cpu"].keys() == expected.keys()
    for state, percent in expected.items():
        near(host["cpu"][state], percent, state)
    assert [cpu["number"] for cpu in host["cpus"]] == [0, 1]
    near(host["cpus"][0]["cpu_percent"], 75, "CPU 0")
    near(host["cpus"][1]["cpu_percent"], 25, "CPU 1")


def check_disks(host, elapsed_s):
    disks = by_name(host["disks"])
    sda = disks["sda"]
    near(sda["read_latency_s"], 0.002, "latency")
    near(sda["write_latency_s"], 0.025, "latency")
    ratio(sda, "read_bytes_per_s", "read_ops_per_s", 1048576 / 10)
    ratio(sda, "write_bytes_per_s", "write_ops_per_s", 3145728 / 4)
    ratio(sda, "write_bytes_per_s", "read_bytes_per_s", 3)
    # The groups of a reading have times of their own, next to each other.
    read_bytes = sda["read_bytes_per_s"] * elapsed_s
    assert 0.5 < read_bytes / 1048576 < 2, f"{read_bytes} bytes were read, not 1 MiB"
    near(host["disk_read_bytes_per_s"], sda["read_bytes_per_s"], "total: sda alone read")
    near(host["disk_write_bytes_per_s"], sda["write_bytes_per_s"] * 4 / 3, "total: sda 3 MiB, nvme0n1 1 MiB")
    kinds = {name: disk["kind"] for name, disk in disks.items()}
    odd = "b\ufffd\"\x9b2J"  # no UTF-8, a quote, and a control character of a terminal
    assert kinds == {"sda": "whole", "sda1": "partition", "dm-0": "stacked", "loop0": "memory",
                     "nvme0n1": "whole", odd: "whole", "sdb": "whole"}, kinds
    assert all(value is None for key, value in disks["sdb"].items() if key not in ("name", "kind")), "sdb is new"


def check_interfaces(host):
    interfaces = by_name(host["interfaces"])
    eth0 = interfaces["eth0"]
    assert eth0["mac"] == "52:54:00:12:34:56", eth0["mac"]
    near(eth0["rx_packet_bits"], 8020, "packet size")
    near(eth0["tx_packet_bits"], 1620, "packet size")
    ratio(eth0, "rx_bits_per_s", "rx_packets_per_s", 8020)
    ratio(eth0, "tx_bits_per_s", "tx_packets_per_s", 1620)
    ratio(eth0, "rx_packets_per_s", "tx_packets_per_s", 2)
    ratio(eth0, "rx_packets_per_s", "rx_dropped_per_s", 1000 / 3)
    assert eth0["tx_errors_per_s"] > 0 and eth0["rx_errors_per_s"] == 0
    assert interfaces["tap9"]["rx_packets_per_s"] is None and interfaces["tap9"]["tx_bits_per_s"] is None, "tap9 is new"
    assert interfaces["tap9"]["mac"] is None


def check_overhead(work):
    show_reading(work, 1)
    with run(work, "--json", "--overhead", "160") as process:
        process.stdout.readline()
        show_reading(work, 2)
        for _ in range(MOST_SAMPLES):
            eth0 = by_name(json.loads(process.stdout.readline())["host"]["interfaces"])["eth0"]
            if eth0["rx_packet_bits"]:
                break
        process.terminate()
        process.communicate()
    near(eth0["rx_packet_bits"], 8160, "packet size with the wire's overhead")


def check_table(work):
    show_reading(work, 2)
    with run(work, "--count", "2", "--all") as process:
        output, errors = process.communicate()
    assert process.returncode == 0 and errors == b"", errors
    text = output.decode("utf-8")
    assert "\x9b" not in text and "\x1b" not in text, "a control character of a name reached the output"
    lines = text.splitlines()
    assert all(len(line) <= 80 for line in lines), max(lines, key=len)
    assert text.count("CPU %") == 2, "two samples"
    for name in ("sda1", "nvme0n1", "loop0", "b?\"?2J", "eth0", "tap9"):
        assert any(line.startswith(name + " ") for line in lines), f"no row for {name}"
    memory = lines[lines.index(next(line for line in lines if line.startswith("memory"))) + 1].split()
    assert memory[:4] == ["75.0", "16.0G", "4.00G", "13.4G"], memory
    assert "nan" not in text.lower()


def main():
    work = Path(tempfile.mkdtemp(prefix="setmov."))
    try:
        make_tree(work)
        first, changed = take_samples(work)
        check_first(first)
        host = changed["host"]
        check_cpu(host)
        assert host["memory_percent"] == 75 and host["memory"]["total_bytes"] == 16 << 30
        check_disks(host, changed["interval_s"])
        check_interfaces(host)
        assert host["vms"] is None and changed["vms"] == [] and changed["connected"] is False
        check_overhead(work)
        check_table(work)
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A real collectd on a recorded /proc and libvirt's test driver: series, values, RRDs, types."""

import math
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from collectd_run import HOST, ROOT, Collectd  # noqa: E402

TREE = ROOT / "tests/data/host/linux-6.1-kvm"
STATES = "user nice system idle iowait irq softirq steal guest guest_nice".split()


def proc_lines(name):
    return [line.split() for line in (TREE / "proc" / name).read_text().splitlines()]


def expected_host_series():
    """From the recorded tree alone, by the names that the manual gives."""
    names = {"percent-cpu", "percent-memory", "setmov_disk-total", "count-vms",
             "count-vms_running"}
    names |= {f"percent-cpu_{state}" for state in STATES}
    names |= {f"cpu-{state}" for state in
              "user nice system idle wait interrupt softirq steal guest guest_nice".split()}
    names |= {f"percent-{line[0]}" for line in proc_lines("stat")
              if re.fullmatch(r"cpu\d+", line[0])}
    names |= {f"memory-{piece}" for piece in "total free available buffered cached slab_recl used "
              "swap_total swap_free".split()}
    partitions = {line[3] for line in proc_lines("partitions") if len(line) == 4}
    for line in proc_lines("diskstats"):
        if len(line) >= 14 and line[2] in partitions:
            names |= {f"{kind}-{line[2]}" for kind in
                      "disk_octets disk_ops disk_merged disk_time disk_io_time setmov_disk "
                      "setmov_latency".split()}
            names.add(f"percent-disk_busy-{line[2]}")
    for interface in interfaces():
        names |= {f"{kind}-{interface}" for kind in
                  "if_octets if_packets if_errors if_dropped setmov_packets setmov_packet_size "
                  "setmov_bits".split()}
    return {f"{HOST}/setmov-host/{name}" for name in names}


def interfaces():
    """{name: counters} of the recorded /proc/net/dev."""
    result = {}
    for line in (TREE / "proc/net/dev").read_text().splitlines()[2:]:
        name, _, counters = line.rpartition(":")
        result[name.strip()] = [int(field) for field in counters.split()]
    return result


SELF = {f"{HOST}/setmov-self/{name}" for name in
        ("gauge-up", "duration-cycle", "count-silent_vms", "count-rpc", "count-missed_cycles")}
# What libvirt's test driver tells of its one VM at least.
VM = {f"test/setmov/{name}" for name in
      ("domain_state", "virt_cpu_total", "setmov_percent-cpu", "memory-actual_balloon",
       "disk_octets-vda", "disk_ops-vda", "setmov_disk-vda", "if_octets-testnet0",
       "if_packets-testnet0", "setmov_packets-testnet0", "setmov_packet_size-testnet0",
       "setmov_bits-testnet0")}


def check_series(collectd):
    series = collectd.series()
    host = {name for name in series if name.startswith(f"{HOST}/setmov-host/")}
    expected = expected_host_series()
    assert host == expected, f"missing {expected - host}, too many {host - expected}"
    assert SELF <= series, SELF - series
    assert VM <= series, VM - series
    assert all(name.split("/")[0] in (HOST, "test") for name in series), series


def check_times(values):
    times = sorted(values)
    assert all(t == int(t) for t in times), times
    assert len(set(times)) == len(times)


def check_values(collectd):
    """Raw counters and memory are those of the recorded files."""
    def latest(name):
        values = collectd.values(f"{HOST}/setmov-host/{name}")
        check_times(values)
        return values[max(values)]

    meminfo = {line[0].rstrip(":"): int(line[1]) for line in proc_lines("meminfo")}
    percent = 100 * (meminfo["MemTotal"] - meminfo["MemFree"]) / meminfo["MemTotal"]
    assert abs(latest("percent-memory")[0] - percent) < 1e-4, (latest("percent-memory"), percent)
    assert latest("memory-total")[0] == meminfo["MemTotal"] * 1024
    cpu = [int(field) for field in proc_lines("stat")[0][1:]]
    for index, name in enumerate("user nice system idle wait interrupt softirq steal".split()):
        assert latest(f"cpu-{name}") == (cpu[index],), name
    for line in proc_lines("diskstats"):
        name = f"{HOST}/setmov-host/disk_octets-{line[2]}"
        if name in collectd.series():
            assert latest(f"disk_octets-{line[2]}") == (int(line[5]) * 512, int(line[9]) * 512)
            assert latest(f"setmov_disk-{line[2]}") == (0, 0)
    for name, counters in interfaces().items():
        assert latest(f"if_octets-{name}") == (counters[0], counters[8])
        assert latest(f"if_packets-{name}") == (counters[1], counters[9])
        assert latest(f"setmov_bits-{name}") == (0, 0)
        assert math.isnan(latest(f"setmov_packet_size-{name}")[0])
    assert latest("count-vms") == (1,)
    assert latest("count-vms_running") == (1,)
    assert collectd.values("test/setmov/domain_state").popitem()[1][0] == 1


def rrd_values(path):
    """{time: (value, ...)} of the single-second archive."""
    times = [int(word) for word in
             subprocess.run(["rrdtool", "lastupdate", path], check=True, capture_output=True,
                            text=True).stdout.split("\n")[2].split(":")[0].split()]
    output = subprocess.run(
        ["rrdtool", "fetch", path, "AVERAGE", "-r", "1", "-s", str(times[0] - 60),
         "-e", str(times[0])], check=True, capture_output=True, text=True).stdout
    result = {}
    for line in output.splitlines():
        time, _, fields = line.partition(":")
        if time.isdigit():
            result[int(time)] = tuple(float(field) for field in fields.split())
    return result


def check_rrds(collectd):
    """What is in the files of gauges is what was dispatched at the same second."""
    compared = 0
    for name in sorted(collectd.series()):
        path = collectd.rrd / f"{name}.rrd"
        assert path.is_file(), f"no {path}"
        info = subprocess.run(["rrdtool", "info", path], check=True, capture_output=True,
                              text=True).stdout
        if 'type = "GAUGE"' not in info:
            continue
        stored = rrd_values(path)
        for time, dispatched in collectd.values(name).items():
            for one, other in zip(dispatched, stored.get(int(time), ())):
                if not math.isnan(other):
                    assert abs(one - other) <= 1e-5 * max(1, abs(one)), (name, time, one, other)
                    compared += 1
    assert compared > 100, compared


def check_types(collectd):
    """The types that the plugin registers are those of the shipped file."""
    shipped = {}
    for line in (ROOT / "etc/setmov.types.db").read_text().splitlines():
        name, *sources = line.split("#")[0].replace(",", " ").split() or [""]
        if name:
            shipped[name] = sources
    seen = {}
    for name in collectd.series():
        kind = name.split("/")[2].split("-")[0]
        if kind.startswith("setmov_") and kind not in seen:
            info = subprocess.run(["rrdtool", "info", collectd.rrd / f"{name}.rrd"], check=True,
                                  capture_output=True, text=True).stdout
            found = dict(re.findall(r"^(ds\[.*) = (.*)$", info, re.M))
            names = sorted({key.split("[")[1].split("]")[0] for key in found},
                           key=lambda ds: int(found[f"ds[{ds}].index"]))
            seen[kind] = [
                f"{ds}:{found[f'ds[{ds}].type'][1:-1]}:{float(found[f'ds[{ds}].min']):g}:"
                + ("U" if found[f"ds[{ds}].max"] == "NaN" else found[f"ds[{ds}].max"])
                for ds in names]
    for kind, sources in seen.items():
        assert sources == shipped[kind], (kind, sources, shipped.get(kind))
    assert set(shipped) == set(seen), set(shipped) ^ set(seen)


def main():
    options = (f'Connection "test:///default"\nProcPath "{TREE}/proc"\nSysPath "{TREE}/sys"\n')
    with Collectd(setmov=options) as collectd:
        collectd.wait_for_values("test/setmov/setmov_percent-cpu", 3)
        collectd.wait_for_values(f"{HOST}/setmov-self/duration-cycle", 5)
        assert collectd.stop() == 0
        lines = collectd.setmov_lines()
        hostname = (TREE / "proc/sys/kernel/hostname").read_text().strip()
        assert len(lines) == 1 and lines[0][0] == "info", lines
        assert re.fullmatch(rf"host `{hostname}', address \S+, every 1 s, VMs of test:///default",
                            lines[0][1]), lines
        check_series(collectd)
        check_values(collectd)
        check_rrds(collectd)
        check_types(collectd)


if __name__ == "__main__":
    main()

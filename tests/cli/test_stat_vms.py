#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`setmov stat` on libvirt's own test driver: the VM's figures, the shape of the JSON, the table."""

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SETMOV = Path(os.environ.get("SETMOV_BUILD") or ROOT / "build").resolve() / "setmov"
TEST_URI = "test:///default"
NOWHERE = "qemu+unix:///system?socket=/nonexistent/socket"

DISK_KEYS = {"name", "read_bytes_per_s", "write_bytes_per_s"}
INTERFACE_KEYS = {"name", "mac", "rx_packets_per_s", "tx_packets_per_s", "rx_bits_per_s", "tx_bits_per_s"}
HOST_KEYS = {"cpu_percent", "memory_percent", "disks", "interfaces", "vms"}
VM_KEYS = {"name", "uuid", "state", "cpu_percent", "memory_percent", "disks", "interfaces"}


def stat(*options, default_uri=NOWHERE):
    environment = dict(os.environ, LIBVIRT_DEFAULT_URI=default_uri)
    done = subprocess.run([SETMOV, "stat", "--interval", "0.3", *options], stdin=subprocess.DEVNULL,
                          capture_output=True, env=environment, timeout=120)
    return done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8")


def samples_of(output):
    def refuse(text):
        raise AssertionError(f"{text} is no JSON")
    return [json.loads(line, parse_constant=refuse) for line in output.splitlines()]


def check_number(value, what, most=None):
    assert value is None or (isinstance(value, float) and value >= 0), f"{what} is {value!r}"
    if most is not None and value is not None:
        assert value <= most, f"{what} is {value!r}"


def check_devices(owner):
    for disk in owner["disks"]:
        assert DISK_KEYS <= disk.keys(), disk.keys()
    for interface in owner["interfaces"]:
        assert INTERFACE_KEYS <= interface.keys(), interface.keys()
    for device in owner["disks"] + owner["interfaces"]:
        assert isinstance(device["name"], str)
        for key, value in device.items():
            if key not in ("name", "mac", "kind"):
                check_number(value, f"{key} of {device['name']}")


def check_shape(sample):
    assert {"time", "host", "vms"} <= sample.keys()
    assert isinstance(sample["time"], float)
    host = sample["host"]
    assert HOST_KEYS <= host.keys(), host.keys()
    check_number(host["cpu_percent"], "CPU of the host", 100)
    check_number(host["memory_percent"], "memory of the host", 100)
    check_devices(host)
    for vm in sample["vms"]:
        assert VM_KEYS <= vm.keys(), vm.keys()
        check_devices(vm)


def check_json():
    status, output, errors = stat("--connect", TEST_URI, "--json", "--count", "3")
    assert (status, errors) == (0, ""), errors
    samples = samples_of(output)
    assert len(samples) == 3, "as many samples as were asked for"
    times = [sample["time"] for sample in samples]
    assert times == sorted(set(times)), times
    for sample in samples:
        check_shape(sample)
        assert sample["connected"] is True
        assert sample["host"]["vms"] == 1 and len(sample["vms"]) == 1
        check_test_vm(sample["vms"][0])


def check_test_vm(vm):
    """The driver derives its counters from the clock: bytes read at 1/20, written at 1/40 of its microseconds."""
    assert vm["name"] == "test" and vm["state"] == "running" and vm["answering"] is True
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", vm["uuid"]), vm["uuid"]
    assert vm["cpu_percent"] > 0 and vm["vcpu_percent"] > vm["cpu_percent"], "2 vCPUs of a host with 16 CPUs"
    assert abs(vm["vcpu_percent"] / vm["cpu_percent"] - 8) < 0.1, (vm["vcpu_percent"], vm["cpu_percent"])
    [disk], [interface] = vm["disks"], vm["interfaces"]
    assert disk["name"] == "vda" and interface["name"] == "testnet0"
    assert interface["mac"] == "aa:bb:cc:dd:ee:ff", interface["mac"]
    assert abs(disk["read_bytes_per_s"] / disk["write_bytes_per_s"] - 2) < 0.01, disk
    assert interface["rx_bits_per_s"] > 0 and interface["tx_bits_per_s"] > 0
    assert vm["memory"]["current_bytes"] == 2 << 30, vm["memory"]


def check_table():
    status, output, errors = stat("--connect", TEST_URI, "--count", "2")
    assert (status, errors) == (0, ""), errors
    assert "\x1b" not in output, "no terminal, no control sequences"
    assert len(re.findall(r"^test +running +\d", output, re.MULTILINE)) == 2, output
    assert output.count("1 VM, 1 running") == 2, output
    assert all(len(line) <= 80 for line in output.splitlines())


def check_default_connection():
    status, output, errors = stat("--json", "--count", "1", default_uri=TEST_URI)
    assert (status, errors) == (0, ""), errors
    assert [vm["name"] for vm in samples_of(output)[0]["vms"]] == ["test"]

    status, output, errors = stat("--json", "--count", "2")
    assert status == 0, status
    assert errors.count("\n") == 1 and "showing the host only" in errors, errors
    for sample in samples_of(output):
        check_shape(sample)
        assert sample["connected"] is False and sample["vms"] == [] and sample["host"]["vms"] is None

    status, output, errors = stat("--count", "1")
    assert status == 0 and "VMs unknown" in output, output


def check_no_vms():
    status, output, errors = stat("--json", "--count", "1", "--no-vms")
    assert (status, errors) == (0, ""), errors
    assert samples_of(output)[0]["host"]["vms"] is None


def check_named_connection_must_be_there():
    status, output, errors = stat("--connect", NOWHERE, "--count", "1")
    assert status == 1 and output == "", (status, output)
    assert errors.startswith("setmov stat: ") and errors.count("\n") == 1, errors


NODE = """<node>
<cpu><nodes>1</nodes><sockets>1</sockets><cores>4</cores><threads>1</threads><active>4</active><mhz>1000</mhz>
<model>x</model></cpu><memory>4194304</memory>
{domains}</node>"""
DOMAIN = """<domain type='test'><name>{name}</name><uuid>{uuid}</uuid><memory>65536</memory><vcpu>{vcpus}</vcpu>
<os><type>hvm</type></os></domain>
"""


def check_odd_names():
    """Names that are wide, long or would steer a terminal; the row keeps its columns."""
    names = ["\u30ab\u30ca\u30ab\u30ca\u30ab\u30ca\u30ab\u30ca\u30ab\u30ca", 'q"uo\\te', "very-long-name-of-a-virtual-machine",
             "turned\u202eround", "caf\u00e9"]
    domains = "".join(DOMAIN.format(name=name, uuid=f"00000000-0000-0000-0000-{i:012x}", vcpus=1)
                      for i, name in enumerate(names, 1))
    with tempfile.TemporaryDirectory(prefix="setmov.") as directory:
        path = Path(directory, "node.xml")
        path.write_text(NODE.format(domains=domains), encoding="utf-8")
        status, output, errors = stat("--connect", f"test://{path}", "--json", "--count", "1")
        assert (status, errors) == (0, ""), errors
        assert sorted(vm["name"] for vm in samples_of(output)[0]["vms"]) == sorted(names)
        status, output, errors = stat("--connect", f"test://{path}", "--all", "--count", "1")
    assert "\u202e" not in output and "turned?round" in output, output
    assert "very-long-name-o~ " in output, output
    rows = output[output.index("\nVM  ") + 1:].splitlines()
    assert rows[1].startswith(("caf\u00e9 ", "q", "t", "v", "\u30ab")), rows
    wide = next(row for row in rows if row.startswith("\u30ab"))
    plain = next(row for row in rows if row.startswith("caf\u00e9"))
    shown = wide.split(" ")[0]
    assert wide.index("running") + shown.count("\u30ab") + shown.count("\u30ca") == plain.index("running"), (wide, plain)


def main():
    check_json()
    check_table()
    check_default_connection()
    check_no_vms()
    check_named_connection_must_be_there()
    check_odd_names()


if __name__ == "__main__":
    main()

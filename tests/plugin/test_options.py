#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Options in a real collectd: a bad one stops this plugin alone, with one line; good ones work."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from collectd_run import HOST, Collectd  # noqa: E402

TEST = 'Connection "test:///default"\n'
UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"

# What is written, and the one line that answers it.
BAD = [
    ('Colour "red"', "option `Colour' 'red': there is no such option"),
    ("Deadline -3", "option `Deadline': '-3' is not a number of seconds from 0.001 to 86400 without quotes"),
    ("Deadline 2", "option `Deadline': '2' is not below the interval of 1 s"),
    ('Deadline "fast"',
     "option `Deadline': 'fast' is not a number of seconds from 0.001 to 86400 without quotes"),
    ("Deadline 0.5\nDeadline 0.6", "option `Deadline': '0.6' is the second value; it takes one"),
    ('Connection "a" "b"', "option `Connection': 'a' 'b' are 2 values; it takes one"),
    ("Connection 5", "option `Connection': '5' is not a libvirt URI"),
    ('Domain "/[/"',
     "option `Domain': '/[/': is not a regular expression: Invalid regular expression"),
    ('BlockDevice "/(/"',
     "option `BlockDevice': '/(/': is not a regular expression: Unmatched ( or \\("),
    ("HostnameFormat metadata",
     "option `HostnameFormat': 'metadata' is not a list of `name', `uuid' and `hostname', with spaces between"),
    ("HostnameFormat hostname", "option `HostnameFormat': 'hostname' does not tell VMs apart; "
     "add `PluginInstanceFormat name'"),
    ("IgnoreSelected 3", "option `IgnoreSelected': '3' is not true or false"),
    ("BalloonPeriod 1.5",
     "option `BalloonPeriod': '1.5' is not a whole number of seconds from 0 to 86400 without quotes"),
    ("PacketOverhead cable", "option `PacketOverhead': 'cable' is not `paper', `wire' or a number "
     "of bits from 0 to 1000000"),
    ('ProcPath "proc"', "option `ProcPath': 'proc' is not an absolute path"),
    ('ProcPath "/nowhere"',
     "option `ProcPath': '/nowhere': cannot open /nowhere: No such file or directory"),
    ("CollectHost false\nCollectVMs false",
     "option `CollectHost': 'false' and `CollectVMs' 'false' leave nothing to collect"),
    ('<Domain "a">\nName "b"\n</Domain>', "option `Domain': is not a block"),
    ('ExtraStats "cpu_util"', "option `ExtraStats' 'cpu_util': is the virt plugin's; here all "
     "statistics are on: remove it"),
]

OTHER_PLUGIN = "<LoadPlugin uptime>\n  Interval 1\n</LoadPlugin>\n"


def check_bad(text, line):
    with Collectd(setmov=text, writers=("csv",), extra=OTHER_PLUGIN) as collectd:
        collectd.wait_for_values(f"{HOST}/uptime/uptime", 1)  # collectd is alive
        collectd.stop()
        lines = collectd.setmov_lines()
        assert lines == [("error", line)], f"{text}: {lines}"
        names = {name for name in collectd.series() if "/setmov" in name}
        assert not names, names


def check_good(options, wanted, unwanted=(), name=f"{HOST}/setmov-self/duration-cycle"):
    with Collectd(setmov=options, writers=("csv",)) as collectd:
        collectd.wait_for_values(name, 3)
        assert collectd.stop() == 0
        series = collectd.series()
        assert not [line for line in collectd.setmov_lines() if line[0] != "info"], collectd.log()
    for one in wanted:
        assert one in series, (options, one, series)
    for one in unwanted:
        assert not [name for name in series if name.startswith(one)], (options, one, series)


def main():
    for text, line in BAD:
        check_bad(text, line)
    check_good(TEST + "HostnameFormat uuid\nCollectHost false\n",
               [f"{UUID}/setmov/domain_state", f"{HOST}/setmov-host/count-vms"],
               [f"{HOST}/setmov-host/percent", f"{HOST}/setmov-host/cpu",
                f"{HOST}/setmov-host/disk", "test/"])
    check_good(TEST + 'HostnameFormat hostname\nPluginInstanceFormat "name uuid"\nPerCPU false\n',
               [f"{HOST}/setmov-test:{UUID}/disk_ops-vda", f"{HOST}/setmov-host/percent-cpu"],
               [f"{HOST}/setmov-host/percent-cpu0", f"{HOST}/setmov-test:{UUID}/virt_vcpu"])
    check_good(TEST + 'Domain "other"\n', [f"{HOST}/setmov-self/gauge-up"], ["test/"])
    check_good(TEST + 'BlockDevice "/:vda$/"\nInterfaceDevice "test:testnet0"\n'
               "IgnoreSelected true\n", ["test/setmov/domain_state"],
               ["test/setmov/disk", "test/setmov/if", "test/setmov/setmov_bits"])
    check_good("CollectVMs false\n", [f"{HOST}/setmov-host/percent-cpu"],
               [f"{HOST}/setmov-host/count", f"{HOST}/setmov-self/gauge", "test/"])
    # Two blocks are one configuration; the virt plugin's habit gets a hint.
    check_good(TEST + "</Plugin>\n<Plugin setmov>\nRefreshInterval 60\nInterfaceFormat address\n"
               "BlockDeviceFormat source\n",
               ["test/setmov/domain_state"], ["test/setmov/if_octets-testnet0"])


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""collectd-setmov(5) has every option of the plugin's table, and every series that it makes."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from collectd_run import HOST, ROOT, Collectd  # noqa: E402


def manual_sections():
    """{heading: [words of the tags that follow]}."""
    sections, heading, tag_next = {}, None, False
    for line in (ROOT / "docs/collectd-setmov.5").read_text().splitlines():
        line = line.replace("\\-", "-")
        if line.startswith((".SH ", ".SS ")):
            heading = line[4:]
            sections[heading] = []
        elif line in (".TP", ".TQ"):
            tag_next = True
        elif tag_next:
            sections[heading].append(line.split(None, 1)[1])
            tag_next = False
    return sections


def check_options(sections):
    source = (ROOT / "plugins/setmov_config.c").read_text()
    table = source.split("static const struct key keys[] = {")[1].split("\n};")[0]
    keys = set(re.findall(r'^\s*\{"(\w+)",', table, re.M))
    assert len(keys) > 20, keys
    documented = {tag.split()[0] for heading, tags in sections.items() for tag in tags
                  if heading in ("Which connection", "Which VMs and devices", "Names", "Figures")}
    documented |= {tag.split()[0] for tag in sections["OPTIONS/The host"]}
    assert keys == documented, f"not in the manual {keys - documented}, not in the table " \
                               f"{documented - keys}"


def pattern(name):
    """cpuN, disk_ops-DISK and the like as expressions."""
    text = re.escape(name).replace("DISK", ".+").replace("IF", ".+")
    return re.sub(r"(?<=cpu)N$|(?<=-)N$|(?<=vcpu)N$", r"\\d+", text)


def check_series(metrics, series):
    for name in series:
        assert any(re.fullmatch(pattern(metric), name) for metric in metrics), \
            f"{name} is not in the manual"


def main():
    sections = manual_sections()
    text = (ROOT / "docs/collectd-setmov.5").read_text()
    # "The host" heads a part of the options and one of the metrics.
    options, metrics = text.split(".SH METRICS")
    tags = {}
    for part, body in (("OPTIONS", options), ("METRICS", metrics)):
        body = body.replace("\\-", "-").split(".SS The host\n")[1].split("\n.SS ")[0]
        tags[f"{part}/The host"] = re.findall(r"^\.T[PQ]\n\.BI? (.*)$", body, re.M)
    sections.update(tags)
    check_options(sections)

    with Collectd(setmov='Connection "test:///default"\n', writers=("csv",)) as collectd:
        collectd.wait_for_values("test/setmov/setmov_percent-cpu", 2)
        collectd.stop()
        series = [name.split("/") for name in collectd.series()]
    for source, heading in (((HOST, "setmov-host"), "METRICS/The host"),
                            ((HOST, "setmov-self"), "The plugin itself"),
                            (("test", "setmov"), "Each VM")):
        names = [name for host, plugin, name in series if (host, plugin) == source]
        assert len(names) > 4, (source, series)
        check_series([name for tag in sections[heading] for name in tag.split()], names)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The configurations in etc/ work as they are; only directories and the connection are moved."""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from collectd_run import HOST, ROOT, Collectd, need, poll  # noqa: E402


def shipped(name, moved):
    """The text of the file, each string of `moved` replaced where it stands, exactly once."""
    text = (ROOT / "etc" / name).read_text()
    for old, new in moved.items():
        assert text.count(f'"{old}"') == 1, f"{name}: {old}"
        text = text.replace(f'"{old}"', f'"{new}"')
    return text


def last_update(path):
    result = subprocess.run(["rrdtool", "lastupdate", path], capture_output=True, text=True,
                            check=False)
    return result.stdout.split()[-1] if result.returncode == 0 else None


def known_value(path):
    def look():
        value = last_update(path)
        return value if value not in (None, "NaN", "nan", "U", "-nan") else None
    return poll(f"value in {path}", look)


def check_archives(path):
    info = subprocess.run(["rrdtool", "info", path], check=True, capture_output=True,
                          text=True).stdout
    assert "step = 1\n" in info, info
    assert "rra[0].pdp_per_row = 1\n" in info and "rra[0].rows = 3600\n" in info, info


def check_rrdtool():
    with_paths = Collectd(setmov=None, writers=())
    directory = with_paths.directory / "rrd"
    with_paths.text += shipped("collectd-setmov.conf", {
        "qemu:///system": "test:///default", "/var/lib/collectd/rrd": directory})
    with with_paths as collectd:
        known_value(directory / HOST / "setmov-host/percent-cpu.rrd")
        known_value(directory / "test/setmov/setmov_percent-cpu.rrd")
        assert collectd.stop() == 0
        check_archives(directory / HOST / "setmov-host/percent-cpu.rrd")
        assert not [line for line in collectd.setmov_lines() if line[0] != "info"], collectd.log()


def check_rrdcached():
    daemon = need("rrdcached")
    collectd = Collectd(setmov=None, writers=())
    base = collectd.directory / "db"
    base.mkdir()
    socket = collectd.directory / "rrdcached.sock"
    collectd.text += shipped("collectd-setmov-rrdcached.conf", {
        "qemu:///system": "test:///default", "unix:/run/rrdcached.sock": f"unix:{socket}",
        "/var/lib/rrdcached/db/collectd": base / "collectd"})
    # As the head of the file says, in the foreground and with its own directories.
    cached = subprocess.Popen(
        [daemon, "-g", "-l", f"unix:{socket}", "-b", base, "-B", "-R", "-w", "1", "-f", "60",
         "-p", collectd.directory / "rrdcached.pid"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        poll("socket of rrdcached", socket.exists)
        with collectd:
            path = base / "collectd" / HOST / "setmov-host/percent-cpu.rrd"
            known_value(path)
            known_value(base / "collectd/test/setmov/setmov_percent-cpu.rrd")
            check_archives(path)
            assert collectd.stop() == 0
            assert not [line for line in collectd.setmov_lines() if line[0] != "info"]
    finally:
        cached.kill()
        cached.wait()
        collectd.__exit__()


def main():
    check_rrdtool()
    check_rrdcached()


if __name__ == "__main__":
    main()

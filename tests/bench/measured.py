# SPDX-License-Identifier: GPL-2.0-or-later
"""What the benchmarks of whole commands share: contestants that run in turn, medians, and the images."""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = Path(os.environ.get("SETMOV_BUILD") or HERE.parent.parent / "build").resolve()
SETMOV, HELPERS = BUILD / "setmov", BUILD / "tests/helpers"
RUNS = 5


class Contestant:
    """A command. `before` is called before each run, untimed."""

    def __init__(self, name, command, runs=RUNS, environment=None, before=None, output=os.devnull):
        self.name, self.runs, self.before, self.output = name, runs, before, output
        self.command = [str(part) for part in command]
        self.environment = {**os.environ, **(environment or {})}
        self.walls, self.cpus = [], []

    def run(self):
        """CPU time is that of the process and of all that it waited for."""
        if self.before:
            self.before()
        with open(self.output, "wb") as output:
            began = time.monotonic()
            process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE,
                                       env=self.environment)
            said = process.stderr.read()
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stderr.close()
        if process.returncode != 0:
            sys.exit(f"{self.name}: ended with {process.returncode}: {said.decode(errors='replace').strip()}")
        self.walls.append(wall)
        self.cpus.append(usage.ru_utime + usage.ru_stime)

    @property
    def wall(self):
        return statistics.median(self.walls)

    @property
    def cpu(self):
        return statistics.median(self.cpus)


def warm(path):
    """Into the page cache, from which a virtual machine may lose pages at any time."""
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 20):
            pass


def compete(contestants, *read):
    """All in turn; what they read is in the page cache before each run."""
    for number in range(max(each.runs for each in contestants)):
        for each in contestants:
            if number < each.runs:
                for path in read:
                    warm(path)
                each.run()


def show(title, contestants):
    """Figures beside those of the first."""
    base = contestants[0]
    print(f"\n{title}\n  {'':38} {'wall s':>8} {'CPU s':>8} {'wall, of the first':>18} {'runs':>5}")
    for each in contestants:
        print(f"  {each.name:38} {each.wall:8.3f} {each.cpu:8.3f} {each.wall / base.wall:18.2f} {each.runs:5}")


def ratio(what, value, goal=None):
    print(f"  {what:72} {value:6.2f}{'   (' + goal + ')' if goal else ''}", flush=True)


def make(directory, *names):
    """False, with a line that says why, where they cannot be made here."""
    made = subprocess.run([HERE / "make_images.sh", directory, *names], stdout=subprocess.PIPE, text=True, check=False)
    if made.returncode == 77:
        print(f"not measured: {made.stdout.strip()}")
    elif made.returncode != 0:
        sys.exit(f"not made: {', '.join(names)}")
    return made.returncode == 0

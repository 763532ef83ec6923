# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests with a real libvirtd share: a host, its guests, collectd inside, readings.

Import first, then `bed.main(function)`: function gets a Host that is up, and
everything that was started ends with it, however the test ends.
"""
import csv
import glob
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.abspath(os.environ.get("SETMOV_BUILD") or os.path.join(ROOT, "build"))
SETMOV = os.path.join(BUILD, "setmov")
PLUGIN = os.path.join(BUILD, "plugins", "setmov.so")
COLLECTD_PLUGINS = os.environ.get("COLLECTD_PLUGIN_DIR", "/usr/lib/collectd")


class Failed(Exception):
    """What the test is there to find."""


def skip(reason):
    print(f"skipped: {reason}", flush=True)
    sys.exit(77)


def require(truth, message):
    if not truth:
        raise Failed(message)


def near(actual, expected, tolerance, what):
    require(actual is not None and abs(actual - expected) <= tolerance,
            f"{what}: {actual}, expected {expected} +- {tolerance}")


def say(text):
    print(text, flush=True)


def need(*commands):
    for command in commands:
        if shutil.which(command) is None:
            skip(f"{command} is not installed")


def poll(question, seconds, what):
    """Asks until the answer is true; returns it."""
    end = time.monotonic() + seconds
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {seconds} s")
        time.sleep(0.05)


class Host:
    """A libvirt host of its own (host.sh)."""

    def __init__(self, *options):
        self.dir = tempfile.mkdtemp(prefix="bed-")
        self.processes = []
        try:
            self._script("host.sh", "up", self.dir, *options)
        except BaseException:
            self.down()
            raise

    def _script(self, name, *arguments):
        done = subprocess.run([os.path.join(HERE, name), *arguments], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode == 77:
            skip((done.stdout.strip().splitlines() or ["no reason"])[-1].removeprefix("skipped: "))
        require(done.returncode == 0, f"{name} {' '.join(arguments)}: {done.stdout.strip()}")
        return done.stdout

    def down(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        self._script("host.sh", "down", self.dir)
        shutil.rmtree(self.dir, ignore_errors=True)

    def command(self, *words):
        return [os.path.join(HERE, "host.sh"), "enter", self.dir, *map(str, words)]

    def run(self, *words, check=True):
        done = subprocess.run(self.command(*words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False)
        require(not check or done.returncode == 0, f"{words}: status {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def start(self, *words, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        process = subprocess.Popen(self.command(*words), text=True, **options)
        self.processes.append(process)
        return process

    def virsh(self, *words, check=True):
        return self.run("virsh", "-q", "-c", "qemu:///system", *words, check=check)

    def libvirtd(self, action):
        return self._script("host.sh", "libvirtd", self.dir, action)

    def idle_guests(self, count, prefix="idle"):
        self._script("guests.sh", self.dir, "idle", str(count), prefix)
        return [f"{prefix}{number:03d}" for number in range(1, count + 1)]

    def linux_guests(self, *names):
        self._script("guests.sh", self.dir, "linux", *names)

    def guest(self, name, command):
        """One command of guest.c; the words behind "ok"."""
        return self._script("guests.sh", self.dir, "command", name, command).split()

    def qemu_pid(self, name):
        """As this process sees it: the inner number is of no use outside."""
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                with open(path, "rb") as file:
                    words = file.read().split(b"\0")
                inside = os.readlink(path.replace("cmdline", "ns/pid"))
            except OSError:
                continue
            if words[0].endswith(b"qemu-system-x86_64") and f"guest={name},".encode() in b"\0".join(words) \
                    and inside == self.pid_namespace():
                return int(path.split("/")[2])
        raise Failed(f"no QEMU of {name}")

    def pid_namespace(self):
        with open(os.path.join(self.dir, "init.pid"), encoding="ascii") as file:
            return os.readlink(f"/proc/{file.read().strip()}/ns/pid")

    def signal_qemu(self, name, number):
        os.kill(self.qemu_pid(name), number)

    def domstats(self, *flags):
        """{name: {field: text}} of `virsh domstats`."""
        result, fields = {}, None
        for line in self.virsh("domstats", *flags).splitlines():
            match = re.match(r"Domain: '(.*)'$", line)
            if match:
                fields = result.setdefault(match.group(1), {})
            elif "=" in line:
                key, value = line.strip().split("=", 1)
                fields[key] = value
        return result


def child_of(process):
    """The program that nsenter runs for a Host.start(); None: it has ended already."""
    path = f"/proc/{process.pid}/task/{process.pid}/children"

    def children():
        try:
            with open(path, encoding="ascii") as file:
                found = file.read().split()
        except OSError:
            found = []
        return found or (process.poll() is not None and [None])

    child = poll(children, 10, "the start inside the host")[0]
    return child and int(child)


class Stat:
    """`setmov stat --json` inside a host, or outside when host is None; samples as they come."""

    def __init__(self, host, *options):
        words = [SETMOV, "stat", "--json", *map(str, options)]
        if host is not None:
            self.process = host.start(*words, stdout=subprocess.PIPE)
        else:
            self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self.samples = []

    def next(self):
        line = self.process.stdout.readline()
        require(line, f"setmov stat ended with status {self.process.wait() if not line else 0}")
        self.samples.append(json.loads(line))
        return self.samples[-1]

    def pause(self):
        self._signal(signal.SIGSTOP)

    def resume(self):
        self._signal(signal.SIGCONT)
        # nsenter stops itself when its child is stopped.
        os.kill(self.process.pid, signal.SIGCONT)

    def _signal(self, number):
        os.kill(child_of(self.process), number)

    def end(self):
        """Ends it; what was not read is dropped."""
        if self.process.poll() is None:
            self._signal(signal.SIGTERM)
        self.process.stdout.close()
        self.process.wait()

    def rest(self):
        """All samples, when it ended by itself."""
        for line in self.process.stdout:
            self.samples.append(json.loads(line))
        require(self.process.wait() == 0, "setmov stat failed")
        return self.samples


def by_name(items, name):
    for item in items:
        if item["name"] == name:
            return item
    return None


def integral(samples, figure, elapsed=lambda sample: sample["interval_s"]):
    """Sum of figure(sample) * elapsed; an unknown is a failure of the test."""
    total = 0.0
    for sample in samples:
        value = figure(sample)
        require(value is not None, f"unknown value in the sample of {sample['time']}")
        total += value * elapsed(sample)
    return total


COLLECTD_CONF = """
Hostname "bedhost"
FQDNLookup false
Interval 1
BaseDir "{dir}"
PIDFile "{dir}/collectd.pid"
TypesDB "/usr/share/collectd/types.db"
PluginDir "{system}"
LoadPlugin logfile
<Plugin logfile>
    File "{dir}/log"
    LogLevel info
    Timestamp true
    PrintSeverity true
</Plugin>
LoadPlugin csv
<Plugin csv>
    DataDir "{dir}/csv"
    StoreRates false
</Plugin>
{more}
PluginDir "{plugins}"
LoadPlugin setmov
<Plugin setmov>
    Connection "qemu:///system"
    {options}
</Plugin>
"""

RRD_CONF = """
LoadPlugin rrdtool
<Plugin rrdtool>
    DataDir "{dir}/rrd"
    CacheTimeout 0
    CreateFilesAsync false
</Plugin>
"""


class Collectd:
    """The real collectd with the plugin, inside a host; csv, and RRDs when asked."""

    def __init__(self, host, options="", rrd=False, more=""):
        self.dir = tempfile.mkdtemp(prefix="collectd-", dir=host.dir)
        self.conf = os.path.join(self.dir, "collectd.conf")
        with open(self.conf, "w", encoding="ascii") as file:
            file.write(COLLECTD_CONF.format(dir=self.dir, system=COLLECTD_PLUGINS, plugins=os.path.dirname(PLUGIN),
                                            options=options,
                                            more=more + (RRD_CONF.format(dir=self.dir) if rrd else "")))
        self.process = host.start("collectd", "-f", "-C", self.conf, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.STDOUT)
        self.host = host

    def stop(self, patience=30):
        """Ends it as a service manager would; returns the seconds it took."""
        began = time.monotonic()
        os.kill(child_of(self.process), signal.SIGTERM)
        try:
            status = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise Failed(f"collectd did not stop within {patience} s") from None
        require(status == 0, f"collectd ended with status {status}: {self.log()[-3:]}")
        return time.monotonic() - began

    def log(self):
        try:
            with open(os.path.join(self.dir, "log"), encoding="utf-8", errors="replace") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []

    def errors(self):
        return [line for line in self.log() if "[error]" in line or "[warning]" in line]

    def notifications(self):
        return [line for line in self.log() if "Notification:" in line]

    def series(self, host, plugin_instance, series):
        """[(time, values...)] from the csv files; a whole line at a time. [] when there is none."""
        plugin = f"setmov-{plugin_instance}" if plugin_instance else "setmov"
        pattern = os.path.join(glob.escape(os.path.join(self.dir, "csv", host, plugin, series)) + "-????-??-??")
        rows = []
        for path in sorted(glob.glob(pattern)):
            with open(path, encoding="ascii", newline="") as file:
                text = file.read()
            for row in csv.reader(text[:text.rfind("\n") + 1].splitlines()[1:]):
                rows.append(tuple(float(cell) for cell in row))
        return rows

    def vm(self, name, series):
        return self.series(name, "", series)

    def self_metric(self, series):
        return self.series("bedhost", "self", series)

    def series_names(self):
        """(host, plugin directory, series) of all csv files."""
        names = set()
        for path in glob.glob(os.path.join(self.dir, "csv/*/*/*")):
            host, plugin, name = path.split("/")[-3:]
            names.add((host, plugin, re.sub(r"-\d{4}-\d\d-\d\d$", "", name)))
        return sorted(names)

    def wait_rows(self, question, count, seconds, what):
        return poll(lambda: (lambda rows: rows if len(rows) >= count else None)(question()), seconds, what)


def known(rows):
    return [row for row in rows if not math.isnan(row[1])]


def run_on_host(function, options):
    host = None
    status = 1
    try:
        host = Host(*options)
        function(host)
        status = 0
    except Failed as failure:
        say(f"FAILED: {failure}")
    finally:
        if host is not None:
            if status != 0 and os.environ.get("BED_KEEP"):
                say(f"kept: {host.dir}")
            else:
                host.down()
    return status


def main(function, *variants):
    """Runs function(host) on a host for each variant (a tuple of options of host.sh up); exits 0, 1 or 77."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if not os.path.exists(SETMOV):
        sys.exit(f"{SETMOV} is not built")
    status = 0
    for options in variants or ((),):
        if options:
            say(f"with {' '.join(options)}")
        status = run_on_host(function, options)
        if status != 0:
            break
    sys.exit(status)

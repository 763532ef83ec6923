# SPDX-License-Identifier: GPL-2.0-or-later
"""A private collectd with the plugin that was built: own directories, files of values, log."""

import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SETMOV_BUILD", ROOT / "build")).resolve()
BOUND_S = 60  # for whatever has to happen at all; nothing is expected to take that long
HOST = "node1.test"


def skip(reason):
    print(reason)
    sys.exit(77)


def plugin_directory():
    for directory in ("/usr/lib/collectd", "/usr/lib64/collectd", "/usr/local/lib/collectd"):
        if Path(directory, "csv.so").is_file():
            return Path(directory)
    skip("collectd's plugins are not installed")


def need(*programs):
    """Their paths; Debian has daemons where an ordinary user's PATH does not look."""
    path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    found = [shutil.which(program, path=path) for program in programs]
    for program, where in zip(programs, found):
        if where is None:
            skip(f"{program} is not installed")
    return found[0]


def poll(what, condition, bound=BOUND_S):
    """The first true result of the condition; fails when there is none in time."""
    end = time.monotonic() + bound
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"in {bound} s there was no {what}")
        time.sleep(0.05)


class Collectd:
    """Use as a context: `with Collectd(setmov='...') as collectd:`."""

    def __init__(self, setmov="", interval=1, writers=("csv", "rrdtool"), extra="", before=""):
        self.program = need("collectd", "rrdtool")
        self.directory = Path(tempfile.mkdtemp(prefix="setmov."))
        self.csv = self.directory / "csv"
        self.rrd = self.directory / "rrd"
        self.log_path = self.directory / "log"
        self.plugins = self.directory / "plugins"
        self.plugins.mkdir()
        self.process = None
        self._copied = plugin_directory()
        writers_text = {
            "csv": f'LoadPlugin csv\n<Plugin csv>\n  DataDir "{self.csv}"\n</Plugin>\n',
            "rrdtool": f'LoadPlugin rrdtool\n<Plugin rrdtool>\n  DataDir "{self.rrd}"\n'
                       "  CacheTimeout 0\n  RRARows 600\n  RRATimespan 600\n</Plugin>\n",
        }
        self.text = (
            f'BaseDir "{self.directory}"\nPIDFile "{self.directory}/pid"\n'
            f'PluginDir "{self.plugins}"\nHostname "{HOST}"\nFQDNLookup false\n'
            f'LoadPlugin logfile\n<Plugin logfile>\n  File "{self.log_path}"\n'
            f"  LogLevel info\n  PrintSeverity true\n</Plugin>\n{before}"
            + "".join(writers_text[writer] for writer in writers))
        if setmov is not None:
            self.text += (f"<LoadPlugin setmov>\n  Interval {interval}\n</LoadPlugin>\n"
                          f"<Plugin setmov>\n{setmov}\n</Plugin>\n")
        self.text += extra
        self.config = self.directory / "collectd.conf"

    def install_plugins(self):
        """Copies what the configuration loads: collectd takes no links."""
        for line in self.text.splitlines():
            words = line.replace("<", "").replace(">", "").split()
            if words[:1] == ["LoadPlugin"]:
                name = words[1].strip('"')
                source = BUILD / "plugins" if name == "setmov" else self._copied
                if not (source / f"{name}.so").is_file():
                    if name == "setmov":
                        raise AssertionError(f"{source}/setmov.so was not built")
                    skip(f"collectd's plugin {name} is not installed")
                shutil.copy(source / f"{name}.so", self.plugins)

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self):
        self.install_plugins()
        self.config.write_text(self.text)
        environment = {k: v for k, v in os.environ.items() if k != "LIBVIRT_DEFAULT_URI"}
        with open(self.directory / "output", "wb") as output:
            self.process = subprocess.Popen(
                [self.program, "-f", "-C", self.config], stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, cwd="/", env=environment)
        self.wait_for_log("Initialization complete, entering read-loop.")

    def __exit__(self, *_):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def stop(self):
        """Its exit status; it has to end by itself."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=BOUND_S)
        except subprocess.TimeoutExpired:
            raise AssertionError("collectd does not stop") from None

    def log(self):
        try:
            return self.log_path.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def wait_for_log(self, text):
        def there():
            if self.process.poll() is not None:
                raise AssertionError("collectd ended: " +
                                     (self.directory / "output").read_text() + self.log())
            return text in self.log()
        try:
            poll(f"log line '{text}'", there)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()}") from None

    def setmov_lines(self):
        """What the plugin logged: (severity, text)."""
        lines = []
        for line in self.log().splitlines():
            severity, _, text = line.partition("] ")[2].partition("] ")
            if text.startswith("setmov plugin: "):
                lines.append((severity.lstrip("["), text.removeprefix("setmov plugin: ")))
        return lines

    def series(self):
        """Names HOST/PLUGIN/TYPE of all csv files."""
        return {str(path.relative_to(self.csv))[:-len("-2000-01-01")]
                for path in self.csv.glob("*/*/*")}

    def values(self, name):
        """{time: (value, ...)} of a series; lines still being written are left out."""
        result = {}
        directory, _, base = name.rpartition("/")
        for path in sorted((self.csv / directory).glob(base + "-2*")):
            if str(path.relative_to(self.csv))[:-len("-2000-01-01")] != name:
                continue
            for line in path.read_text().split("\n")[:-1]:
                fields = line.split(",")
                if fields[0] != "epoch":
                    result[float(fields[0])] = tuple(float(field) for field in fields[1:])
        return result

    def wait_for_values(self, name, count):
        """Its values once there are `count` times that are known."""
        def known():
            values = {t: v for t, v in self.values(name).items() if not math.isnan(v[0])}
            return values if len(values) >= count else None
        try:
            return poll(f"{count} values of {name}", known)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()}") from None

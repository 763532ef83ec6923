# SPDX-License-Identifier: GPL-2.0-or-later
"""Three libvirt hosts for tests (bed.sh): alpha, beta and gamma, with pools, collectd and setmov.

Import, then `three_hosts.main(function)`: function gets a ThreeHosts that is up, and everything
that was started ends with it, however the test ends.
"""
import collections
import os
import shutil
import signal
import subprocess
import sys
import tempfile

import bed
import guest_disk

NAMES = ("alpha", "beta", "gamma")
IMAGES, INDEX = "/var/lib/libvirt/images", "/var/lib/setmov/index"  # of the pools "default" and "setmov"
MIGRATE_LIVE = ("--live", "--persistent", "--undefinesource", "--copy-storage-all")

Done = collections.namedtuple("Done", "status out err")


class Recorded(bed.Collectd):
    """What the host's own collectd writes; it came up with the host."""

    def __init__(self, host):  # pylint: disable=super-init-not-called
        self.host = host
        self.dir = host.path("/var/lib/collectd")

    def log(self):
        with open(self.host.path("/var/log/collectd.log"), encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()

    def self_metric(self, series):
        return self.series(self.host.name, "self", series)

    def of_host(self, series):
        return self.series(self.host.name, "host", series)


class Member(bed.Host):
    """One of the three; what bed.Host does, it does too."""

    def __init__(self, hosts, name):  # pylint: disable=super-init-not-called
        self.hosts, self.name = hosts, name
        self.dir = os.path.join(hosts.dir, name)
        self.processes = []
        self.uri = f"qemu+tcp://{name}/system"
        self.collectd = Recorded(self)

    def path(self, inner):
        """Where a path of the host's own (/etc, /usr/local, /var/lib, /var/log, /var/cache) lies outside."""
        return os.path.join(self.dir, "root", inner.lstrip("/"))

    def image(self, guest):
        """The disk of a guest from writers()."""
        raw = self.path(f"{IMAGES}/{guest}.raw")
        return raw if os.path.exists(raw) else self.path(f"{IMAGES}/{guest}.qcow2")

    def attempt(self, *words, timeout=300):
        """As run(), but the caller judges: status, out and err."""
        done = subprocess.run(self.command(*words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False, timeout=timeout)
        return Done(done.returncode, done.stdout, done.stderr)

    def writers(self, *guests):
        """Starts guests that keep writing; a disk that is there already (guest_disk.py) is taken."""
        self._script("guests.sh", self.dir, "writer", *guests)

    def count(self, guest):
        """Number of the last record that the guest has synced."""
        return int(self.guest(guest, "count")[0])

    def still(self, guest):
        """The guest stops writing; the number of its last record."""
        return int(self.guest(guest, "still")[0])

    def check_disk(self, guest, least):
        """The guest must not be writing. Returns the number of the last record."""
        try:
            return guest_disk.check(self.image(guest), least)
        except guest_disk.Wrong as wrong:
            raise bed.Failed(str(wrong)) from None

    def state(self, guest):
        """As virsh says it ("running", "shut off"); None when the host does not know the guest."""
        done = self.attempt("virsh", "-q", "-c", "qemu:///system", "domstate", guest)
        return done.out.strip() if done.status == 0 else None

    def migrate(self, guest, to, *flags):
        """Migrates by the other's host name; returns Done."""
        return self.attempt("virsh", "-q", "-c", "qemu:///system", "migrate", *(flags or MIGRATE_LIVE), guest, to.uri)

    def hook(self, name, text):
        """Puts a script among the hooks of QEMU; None takes it away. libvirtd knows when this returns."""
        path = self.path(f"/etc/libvirt/hooks/qemu.d/{name}")
        if text is None:
            os.unlink(path)
        else:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(path, 0o755)
        self.libvirtd("reload")

    def bytes(self):
        """(sent, received) through its link so far."""
        sent, received = self.hosts.bed("bytes", self.name).split()
        return int(sent), int(received)

    def limit(self, rate):
        """Of its link, each way, as tc says it; None for none."""
        self.hosts.bed("limit", self.name, rate or "off")


class ThreeHosts:
    def __init__(self):
        self.dir = os.path.join(tempfile.mkdtemp(prefix="bed-"), "bed")
        self.alpha, self.beta, self.gamma = self.all = tuple(Member(self, name) for name in NAMES)
        try:
            self.bed("up")
        except BaseException:
            self.down()
            raise

    def bed(self, *words):
        """bed.sh; a reason why it cannot work here ends the test as skipped."""
        done = subprocess.run([os.path.join(bed.HERE, "bed.sh"), "-d", self.dir, *words], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode == 77:
            bed.skip((done.stdout.strip().splitlines() or ["no reason"])[-1].removeprefix("skipped: "))
        bed.require(done.returncode == 0, f"bed.sh {' '.join(words)}: {done.stdout.strip()}")
        return done.stdout

    def down(self):
        for member in self.all:
            for process in member.processes:
                if process.poll() is None:
                    process.kill()
                process.wait()
        self.bed("down")
        shutil.rmtree(os.path.dirname(self.dir), ignore_errors=True)


def main(function):
    """Runs function(three hosts); exits 0, 1 or 77."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if not os.path.exists(bed.SETMOV):
        sys.exit(f"{bed.SETMOV} is not built")
    hosts, status = None, 1
    try:
        hosts = ThreeHosts()
        function(hosts)
        status = 0
    except bed.Failed as failure:
        bed.say(f"FAILED: {failure}")
    finally:
        if hosts is not None:
            if status != 0 and os.environ.get("BED_KEEP"):
                bed.say(f"kept: {hosts.dir}")
            else:
                hosts.down()
    sys.exit(status)

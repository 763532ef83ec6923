# SPDX-License-Identifier: GPL-2.0-or-later
"""What can go wrong with `setmov migrate`, made to happen on three hosts, and what must hold after it.

After each: the VM runs in exactly one place, or, its QEMU killed, can be started in exactly one; no record
that its guest had synced is missing and no other byte of its disk differs; after `setmov recover` and
`setmov gc` nothing is left; who looked at stderr read one clear line.
"""
import json
import os
import re
import signal
import subprocess
import threading
import time

import bed
import guest_disk
import three_hosts

IMAGES, STATE = three_hosts.IMAGES, "/var/lib/setmov"
INCOMING, LEASES = f"{STATE}/incoming", f"{STATE}/leases"
TOOL = os.path.join(bed.BUILD, "tests/helpers/request_tool")
HELD, RELEASED = "/run/setmov-held", "/run/setmov-released"
BEFORE, BEHIND = "00-hold", "zz-hold"  # setmov's hook comes between
SIZE = 16  # MiB, of the guests' disks
CONFIGURATION = """[setmov]
log = none
{setmov}
[choose]
memory-reserve = 0
space-reserve = 0
max-cpu-percent = 100
[migrate]
old-images = remove
{migrate}
[host alpha]
uri = qemu+tcp://alpha/system
[host beta]
uri = qemu+tcp://beta/system
[host gamma]
uri = qemu+tcp://gamma/system
[hook]
log = none
policy = advise
"""
# Holds each migration at its beginning; what it writes into HELD tells that it does.
HOLD = f"""#!/bin/sh
[ "$2 $3" = "migrate begin" ] || exit 0
cat >/dev/null
: >{HELD}
while [ ! -e {RELEASED} ]; do sleep 0.05; done
exit $(cat {RELEASED})
"""


def configure(hosts, setmov="", migrate=""):
    for host in hosts.all:
        os.makedirs(os.path.dirname(host.path("/etc/setmov/setmov.conf")), exist_ok=True)
        with open(host.path("/etc/setmov/setmov.conf"), "w", encoding="utf-8") as file:
            file.write(CONFIGURATION.format(setmov=setmov, migrate=migrate))
    index(*hosts.all)


def index(*hosts):
    for host in hosts:
        host.run("setmov", "index", "--quiet")
    for host in hosts:
        host.run("setmov", "sync", check=False)


def make_guest(host, name, seed=None):
    guest_disk.make(host.path(f"{IMAGES}/{name}.raw"), SIZE << 20, seed or name)
    host.writers(name)
    return name


def files(host, path):
    try:
        return sorted(os.listdir(host.path(path)))
    except FileNotFoundError:
        return []


# ---- a migration under way ------------------------------------------------------------------------


class Migration:
    """`setmov migrate --progress json`; what it prints is read as it comes."""

    def __init__(self, source, to, guest, *options):
        self.source, self.to, self.guest = source, to, guest
        self.process = source.start("setmov", "migrate", guest, "--to", to.name, "--progress", "json", "--json", *options,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.seen, self.err, self.summary = [], [], None
        self.threads = [threading.Thread(target=self._read, daemon=True), threading.Thread(target=self._read_errors, daemon=True)]
        for thread in self.threads:
            thread.start()

    def _read(self):
        for line in self.process.stdout:
            row = json.loads(line)
            if "phase" not in row:
                self.summary = row
            elif not self.seen or self.seen[-1] != row["phase"]:
                self.seen.append(row["phase"])

    def _read_errors(self):
        for line in self.process.stderr:
            self.err.append(line.rstrip("\n"))

    def signal(self, number):
        os.kill(bed.child_of(self.process), number)
        if number in (signal.SIGCONT, signal.SIGKILL):
            os.kill(self.process.pid, signal.SIGCONT)  # nsenter stops itself when its child is stopped

    def until(self, phase, seconds=120):
        def reached():
            bed.require(self.process.poll() is None or phase in self.seen, f"it ended before it was {phase}: {self.seen} {self.err}")
            return phase in self.seen
        bed.poll(reached, seconds, f"it is {phase} (was {self.seen})")
        return self

    def kill(self):
        bed.require(self.process.poll() is None, f"it ended by itself: {self.seen} {self.err}")
        self.signal(signal.SIGKILL)
        self.end()

    def end(self, seconds=200):
        """Its status and what it said beside notes."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise bed.Failed(f"it does not end: {self.seen} {self.err}") from None
        for thread in self.threads:
            thread.join()
        self.process.stdout.close()
        self.process.stderr.close()
        return self.process.returncode, [line for line in self.err if ": note: " not in line and not line.startswith("left: ")]

    def succeeds(self):
        status, said = self.end()
        bed.require(status == 0, f"it failed: {status} {self.seen} {said} {self.err} {self.summary and self.summary['left']}")

    def fails(self, pattern, status=1):
        """With one line, that says so."""
        ended, said = self.end()
        bed.require(ended == status and len(said) == 1 and re.search(pattern, said[0]),
                    f"{ended} {said} (all: {self.err}), expected {status} '{pattern}'")
        return said[0]


class Hold:
    """A hook that waits at the destination, before or behind setmov's."""

    def __init__(self, host, name=BEFORE):
        self.host, self.name = host, name
        host.run("rm", "-f", HELD, RELEASED)
        host.hook(name, HOLD)

    def __enter__(self):
        return self

    def wait(self, migration):
        def held():
            bed.require(migration.process.poll() is None, f"it ended: {migration.seen} {migration.err}")
            return self.host.attempt("test", "-e", HELD).status == 0
        bed.poll(held, 120, "the hook that waits")

    def release(self, status=0):
        self.host.run("sh", "-c", f"echo {status} >{RELEASED}.new; mv {RELEASED}.new {RELEASED}")

    def __exit__(self, *_):
        self.release()
        self.host.hook(self.name, None)


# ---- what must hold ---------------------------------------------------------------------------------


def counted(host, guest, beyond=-1):
    """Its last record, once it has one beyond that; None as long as it does not answer."""
    try:
        count = host.count(guest)
    except (bed.Failed, ValueError):
        return None
    return count if count > beyond else None


def count(host, guest, beyond=-1):
    return bed.poll(lambda: counted(host, guest, beyond), 120, f"{guest} counts at {host.name}")


def recover(host):
    """Until nothing waits any more; the last lines."""
    said = []

    def done():
        answer = host.attempt("setmov", "recover", timeout=200)
        said[:] = [answer.out.strip(), answer.err.strip()]
        return not [name for name in files(host, f"{STATE}/migrations") if name.endswith(".journal")]
    try:
        bed.poll(done, 120, "setmov recover")
    except bed.Failed as failed:
        raise bed.Failed(f"{failed}: {said}") from None
    return said


def places(hosts, guest):
    return {host.name: state for host in hosts.all if (state := host.state(guest)) is not None}


def is_only_at(hosts, guest, host, state="running"):
    """libvirt may still be clearing up what is its own."""
    try:
        bed.poll(lambda: places(hosts, guest) == {host.name: state}, 60, "")
    except bed.Failed:
        raise bed.Failed(f"{guest} is at {places(hosts, guest)}, expected {host.name}: {state}") from None


def is_whole(host, guest, least):
    """It counts on, and its disk has all records up to `least` and else what it was made with."""
    bed.require(f"{IMAGES}/{guest}." in host.virsh("domblklist", guest), f"disks of {guest}")
    last = count(host, guest, least)
    count(host, guest, last)
    host.virsh("suspend", guest)
    try:
        host.check_disk(guest, last)
    finally:
        host.virsh("resume", guest)


def expire(host):
    """As if what waits had waited for days."""
    for name in files(host, INCOMING):
        os.utime(host.path(f"{INCOMING}/{name}"), (1, 1))
    for name in [name for name in files(host, LEASES) if name.endswith(".lease")]:
        path = host.path(f"{LEASES}/{name}")
        with open(path, encoding="utf-8") as file:
            words = dict(re.findall(r"^(\w+) (.*)$", file.read(), re.M))
        bed.require({"image", "vm"} <= words.keys(), f"a lease: {words}")
        made = str(int(words["made"]) - int(time.time()))
        text = subprocess.run([TOOL, "lease", words["vm"].split()[0], *words["image"].split(), made, made], check=True,
                              stdout=subprocess.PIPE).stdout
        with open(path, "wb") as file:
            file.write(text)
    root = host.path(f"{STATE}/parts")
    for directory, _, names in os.walk(root):
        for name in names:
            os.utime(os.path.join(directory, name), (1, 1))


def leftovers(host):
    """Of all that setmov keeps, what would not be there had nobody migrated; names of images."""
    found = []
    for directory, _, names in os.walk(host.path(STATE)):
        inner = os.path.relpath(directory, host.path(STATE))
        if inner.split("/")[0] not in ("index", "peers"):
            found += [os.path.join(inner, name) for name in names if name != "lock"]
    found += [f"pool incoming: {name}" for name in host.virsh("vol-list", "incoming", check=False).split() if name.startswith("part-")]
    return found


def is_clean(hosts, expected):
    """`expected`: {host: names of images}."""
    for host in hosts.all:
        expire(host)
    for host in hosts.all:
        done = host.attempt("setmov", "gc", "--json", timeout=100)
        bed.require(done.status == 0, f"setmov gc on {host.name}: {done}")
        bed.require(not leftovers(host), f"left at {host.name}: {leftovers(host)}")
        names = files(host, IMAGES)
        bed.require(names == sorted(expected.get(host, [])), f"images at {host.name}: {names}, expected {expected.get(host, [])}")


# ---- processes that are killed ------------------------------------------------------------------------


class Case:
    """One guest on its way between two hosts; `here` is where it is."""

    def __init__(self, hosts, guest, here, there):
        self.hosts, self.guest, self.here, self.there = hosts, guest, here, there
        self.image = f"{guest}.raw"
        self.others = {}  # images that are there for other reasons

    def migrate(self, *options):
        return Migration(self.here, self.there, self.guest, *options)

    def swap(self):
        self.here, self.there = self.there, self.here

    def settle(self, least, moved=None):
        """Recovers, and finds it in one place: here, there if `moved`, wherever if None."""
        for host in self.hosts.all:
            host.limit(None)
        said = recover(self.here)
        bed.poll(lambda: len(places(self.hosts, self.guest)) == 1, 60, f"one place of {places(self.hosts, self.guest)} {said}")
        is_there = list(places(self.hosts, self.guest)) == [self.there.name]
        bed.require(moved in (None, is_there), f"it is at {places(self.hosts, self.guest)}, moved: {moved}; {said}")
        if is_there:
            self.swap()
        if self.here.state(self.guest) == "shut off":
            self.here.check_disk(self.guest, least)
            self.here.virsh("start", self.guest)
        is_only_at(self.hosts, self.guest, self.here)
        is_whole(self.here, self.guest, least)
        self.clean()
        return is_there

    def clean(self):
        expected = {host: list(names) for host, names in self.others.items()}
        expected[self.here] = [self.image] + expected.get(self.here, [])
        is_clean(self.hosts, expected)


def kill_nobody(_case, _migration):
    pass


def kill_setmov(_case, migration):
    migration.kill()


def kill_libvirtd_here(case, _migration):
    case.here.libvirtd("kill")


def kill_libvirtd_there(case, _migration):
    case.there.libvirtd("kill")


def kill_qemu_here(case, _migration):
    case.here.signal_qemu(case.guest, signal.SIGKILL)


def kill_qemu_there(case, _migration):
    case.there.signal_qemu(case.guest, signal.SIGKILL)


def kill_at(case, phase, kill):
    """In that phase, which lasts until all is done: setmov stands still, the hook is held, the line is thin."""
    least = count(case.here, case.guest)
    case.here.limit("20mbit" if phase == "sending" else None)
    hold = Hold(case.there) if phase == "building" else None
    migration = case.migrate()
    try:
        if phase in ("moving", "finishing"):
            migration.until("building")
            case.here.limit("10mbit" if phase == "moving" else None)
        migration.until(phase)
        if hold:
            hold.wait(migration)
        else:
            migration.signal(signal.SIGSTOP)
        if phase == "moving":
            bed.poll(lambda: case.there.state(case.guest), 60, "it is on its way")
        kill(case, migration)
        if migration.process.poll() is None and not hold:
            migration.signal(signal.SIGCONT)
    finally:
        if hold:
            hold.release()
        case.here.limit(None)
    if kill in (kill_libvirtd_here, kill_libvirtd_there):
        (case.here if kill is kill_libvirtd_here else case.there).libvirtd("start")
    if hold:
        hold.__exit__()
    status, said = migration.end() if kill is not kill_setmov else (None, [])
    bed.require(status in (None, 0, 3) or len(said) == 1, f"status {status}: {said} {migration.summary}")
    moved = case.settle(least, True if status in (0, 3) else None)
    bed.say(f"{kill.__name__} {phase}: {'moved' if moved else 'stayed'}, {status} {said}")

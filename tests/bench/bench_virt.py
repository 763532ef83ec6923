#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""collectd's own virt plugin and setmov side by side, on 100 running guests, in one run.

usage: bench_virt.py [GUESTS [SECONDS]]       (100 guests, 30 s each)
What each figure is: docs/benchmarks.md. Exit status 77 where the test bed cannot run.
"""
import math
import os
import re
import statistics
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../bed"))
import bed  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
WARM_UP_S = 6
RPC_SECONDS = 8
LINGER_S = 4  # after the window: what was sampled in it has to arrive
TARGET_WALL, TARGET_CPU = 0.25, 1 / 3
AS_IT_COMES, COMPARABLE = "virt, as it comes", "virt with ExtraStats"

CONF = """
Hostname "bedhost"
FQDNLookup false
Interval 1
BaseDir "{dir}"
PIDFile "{dir}/collectd.pid"
TypesDB "/usr/share/collectd/types.db" "{types}"
PluginDir "{system}"
LoadPlugin logfile
<Plugin logfile>
    File "{dir}/log"
</Plugin>
LoadPlugin network
<Plugin network>
    Server "127.0.0.1" "{port}"
</Plugin>
PluginDir "{plugins}"
LoadPlugin {name}
<Plugin {name}>
    Connection "qemu:///system"
    {options}
</Plugin>
"""


class Receiver:
    """Takes collectd's network packets: a writer that costs collectd little. Parsed afterwards.

    Option 33 is SO_RCVBUFFORCE: a cycle's packets come at once, and net.core.rmem_max is small.
    """

    def __init__(self, host):
        script = ("import socket,sys\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n"
                  "s.setsockopt(socket.SOL_SOCKET,33,1<<24)\ns.bind(('127.0.0.1',0))\n"
                  "print(s.getsockname()[1],flush=True)\nout=open(sys.argv[1],'wb')\n"
                  "while True:\n p=s.recv(65536)\n out.write(len(p).to_bytes(4,'little')+p)\n out.flush()\n")
        self.path = os.path.join(host.dir, f"packets-{time.monotonic_ns()}")
        self.process = host.start("python3", "-c", script, self.path, stdout=-1)
        self.port = int(self.process.stdout.readline())

    def dropped(self):
        """Datagrams that the kernel had no room for."""
        with open(f"/proc/{bed.child_of(self.process)}/net/udp", encoding="ascii") as file:
            return sum(int(line.split()[-1]) for line in file if f":{self.port:04X} " in line)

    def end(self):
        os.kill(bed.child_of(self.process), 9)
        self.process.wait()
        self.process.stdout.close()

    def series(self):
        """{(host, plugin_instance, type, type_instance): [(time, value...)]}"""
        with open(self.path, "rb") as file:
            data = file.read()
        result, at = {}, 0
        while at + 4 <= len(data):
            length = int.from_bytes(data[at:at + 4], "little")
            self._packet(data[at + 4:at + 4 + length], result)
            at += 4 + length
        return result

    @staticmethod
    def _packet(packet, result):
        names, moment, at = {0: "", 2: "", 3: "", 4: "", 5: ""}, 0.0, 0
        while at + 4 <= len(packet):
            kind, length = struct.unpack_from(">HH", packet, at)
            body = packet[at + 4:at + length]
            if kind in names:
                names[kind] = body.rstrip(b"\0").decode()
            elif kind == 8:
                moment = struct.unpack(">Q", body)[0] / 2**30
            elif kind == 1:
                moment = float(struct.unpack(">Q", body)[0])
            elif kind == 6:
                count = struct.unpack_from(">H", body)[0]
                kinds = body[2:2 + count]
                values = tuple(struct.unpack_from({0: ">Q", 1: "<d", 2: ">q", 3: ">Q"}[kinds[i]], body,
                                                  2 + count + 8 * i)[0] for i in range(count))
                result.setdefault((names[0], names[3], names[4], names[5]), []).append((moment, *values))
            at += max(length, 4)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def outer_pid(host, name):
    """The process of that name inside the host, by its number outside."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/comm", encoding="ascii") as file:
                if file.read().strip() == name and os.readlink(f"/proc/{entry}/ns/pid") == host.pid_namespace():
                    return int(entry)
        except OSError:
            continue
    raise bed.Failed(f"no process {name}")


def qemu_cpu(host):
    total = 0.0
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{entry}/comm", encoding="ascii") as file:
                if file.read().startswith("qemu-system") and os.readlink(f"/proc/{entry}/ns/pid") == host.pid_namespace():
                    total += cpu_seconds(entry)
        except (OSError, ValueError):
            continue
    return total


class Run:
    """One collectd with one plugin for some seconds, measured from outside."""

    def __init__(self, host, label, name, options="", seconds=30, count_rpc=False):
        self.label = label
        self.receiver = Receiver(host)
        directory = os.path.join(host.dir, f"bench-{time.monotonic_ns()}")
        os.makedirs(directory)
        conf = os.path.join(directory, "collectd.conf")
        with open(conf, "w", encoding="ascii") as file:
            file.write(CONF.format(dir=directory, types=os.path.join(bed.ROOT, "etc/setmov.types.db"),
                                   system=bed.COLLECTD_PLUGINS, port=self.receiver.port, name=name, options=options,
                                   plugins=os.path.dirname(bed.PLUGIN) if name == "setmov" else bed.COLLECTD_PLUGINS))
        process = host.start("collectd", "-f", "-C", conf, stdout=-3, stderr=-3)
        try:
            time.sleep(WARM_UP_S)  # what only the start costs is not measured
            if process.poll() is not None:
                with open(os.path.join(directory, "log"), encoding="utf-8") as file:
                    raise bed.Failed(f"collectd ended: {file.read()[-500:]}")
            self._measure(host, bed.child_of(process), seconds, count_rpc)
            # A tick's values arrive when its cycle ends: a stop at once would lose the last one.
            time.sleep(LINGER_S)
            self.dropped = self.receiver.dropped()
        finally:
            if process.poll() is None:
                os.kill(bed.child_of(process), 15)
            process.wait(60)
            self.receiver.end()
        self.series = self.receiver.series()

    def _measure(self, host, collectd, seconds, count_rpc):
        libvirtd = outer_pid(host, "libvirtd")
        log = os.path.join(host.dir, "log/libvirtd.log")
        if count_rpc:
            host.run("virt-admin", "-q", "daemon-log-outputs", "1:file:/var/log/libvirt/libvirtd.log")
            host.run("virt-admin", "-q", "daemon-log-filters", "1:rpc.netserverclient")
        offset = os.path.getsize(log)
        self.start = time.time()  # not before: what switches the log on takes time
        before = cpu_seconds(collectd), cpu_seconds(libvirtd), qemu_cpu(host)
        time.sleep(seconds)
        after = cpu_seconds(collectd), cpu_seconds(libvirtd), qemu_cpu(host)
        self.end = time.time()
        self.collectd_s, self.libvirtd_s, self.qemu_s = (b - a for a, b in zip(before, after))
        self.calls = None
        if count_rpc:
            with open(log, encoding="utf-8", errors="replace") as file:
                file.seek(offset)
                self.calls = len(re.findall(r"RPC_SERVER_CLIENT_MSG_RX: .* type=0 ", file.read()))
            host.run("virt-admin", "-q", "daemon-log-filters", "")
            host.run("virt-admin", "-q", "daemon-log-outputs", "3:file:/var/log/libvirt/libvirtd.log")

    def rows(self, key):
        return [row for row in self.series.get(key, []) if self.start <= row[0] < self.end]

    def guests(self, kind):
        return [key for key in self.series if key[2] == kind and key[0].startswith("idle")]

    def cycles(self):
        """How many samples of every guest there are in the window."""
        keys = self.guests("virt_cpu_total")
        bed.require(keys, f"{self.label}: no values")
        return statistics.mean(len(self.rows(key)) for key in keys)

    def losses(self):
        """What a row of the table cannot say of samples that are missing; "" for none.

        setmov's times are whole seconds, so it can be said which are missing.
        """
        text = f"{self.dropped} datagrams lost on the way" if self.dropped else ""
        own = self.rows(("bedhost", "self", "count", "missed_cycles"))
        if own:
            have = {round(row[0]) for row in self.rows(self.guests("virt_cpu_total")[0])}
            wanted = range(math.ceil(self.start), math.ceil(self.end))
            missing = [moment - math.ceil(self.start) for moment in wanted if moment not in have]
            if missing:
                text += f" seconds {missing} of the window missing; the plugin itself counts {own[-1][1] - own[0][1]:.0f}"
        return text.strip()

    def values(self):
        return sum(len(self.rows(key)) for key in self.series) / self.cycles()


def wall_of_virt(run):
    """virt stamps each value as it dispatches it: a period without its longest pause.

    The pause also holds the calls before the first value, so virt looks a little better than it is.
    """
    moments = sorted(row[0] for key in run.series for row in run.rows(key))
    begins = [row[0] for row in run.rows(run.guests("virt_cpu_total")[0])]
    walls = []
    for begin, end in zip(begins, begins[1:]):
        inside = [moment for moment in moments if begin <= moment < end] + [end]
        walls.append(end - begin - max(b - a for a, b in zip(inside, inside[1:])))
    return statistics.mean(walls)


def wall_of_setmov(run):
    return statistics.mean(row[1] for row in run.rows(("bedhost", "self", "duration", "cycle")))


def settle(host, guests):
    """Waits until the guests' firmware has given up and they idle: about half a per cent of a CPU each."""
    def idle():
        before = qemu_cpu(host)
        time.sleep(1)
        return qemu_cpu(host) - before < 0.01 * guests

    bed.poll(idle, 180, "the guests idle")


def block_alone(host):
    """What the block statistics of all guests cost in libvirtd: (CPU s, wall s) of one bulk call."""
    script = os.path.join(host.dir, "block.virsh")
    with open(script, "w", encoding="ascii") as file:
        file.write("domstats --block\n" * 10)
    libvirtd = outer_pid(host, "libvirtd")
    cpu, wall = cpu_seconds(libvirtd), time.monotonic()
    host.run("sh", "-c", f"virsh -q -c qemu:///system <{script} >/dev/null")
    return (cpu_seconds(libvirtd) - cpu) / 10, (time.monotonic() - wall) / 10


def report(runs, seconds, block):
    print(f"{'':34}{'wall s':>9}{'CPU s a cycle':>30}{'RPCs':>8}{'samples':>9}{'missed':>8}{'values':>8}")
    print(f"{'':34}{'a cycle':>9}{'collectd':>11}{'libvirtd':>10}{'sum':>9}{'a cycle':>8}{'got':>9}{'of ' + str(seconds):>8}"
          f"{'a cycle':>8}")
    for run in runs:
        cycles = run.cycles()
        print(f"{run.label:34}{run.wall:9.3f}{run.collectd_s / cycles:11.4f}{run.libvirtd_s / cycles:10.4f}"
              f"{(run.collectd_s + run.libvirtd_s) / cycles:9.4f}{run.rpcs:8.0f}{cycles:9.1f}"
              f"{max(seconds - cycles, 0):8.1f}{run.values():8.0f}")
    for run in runs:
        if run.losses():
            print(f"  {run.label}: {run.losses()}")
    print(f"block statistics alone (virsh domstats --block): {block[0]:.4f} CPU s in libvirtd, {block[1]:.3f} s wall\n")


def compare(virt, setmov, block):
    """Ratios beside the targets. No verdict: on a busy machine a figure says little, and it is no test."""
    cost = [(run.collectd_s + run.libvirtd_s) / run.cycles() for run in (virt, setmov)]
    print(f"setmov (all metrics) as a share of: {virt.label}")
    print(f"  wall of a cycle   {setmov.wall / virt.wall:6.3f}   target: at most {TARGET_WALL:.3f}")
    print(f"  CPU of a cycle    {cost[1] / cost[0]:6.3f}   target: at most {TARGET_CPU:.3f}")
    print(f"  values of a cycle {setmov.values() / virt.values():6.1f} times as many")
    print(f"  CPU over the block statistics alone: {cost[1] / block[0]:.2f} times")


def bench(host):
    guests = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 30
    began = time.monotonic()
    host.idle_guests(guests)
    print(f"{guests} guests (2 disks, 2 interfaces, 16 MiB, TCG) started in {time.monotonic() - began:.0f} s")
    settle(host, guests)
    runs = []
    for label, name, options in ((AS_IT_COMES, "virt", ""),
                                 (COMPARABLE, "virt", 'ExtraStats "disk vcpu memory domain_state"'),
                                 ("setmov", "setmov", ""),
                                 ("setmov, KernelPath false", "setmov", "KernelPath false")):
        run = Run(host, label, name, options, seconds)
        run.wall = wall_of_setmov(run) if name == "setmov" else wall_of_virt(run)
        counting = Run(host, label, name, options, RPC_SECONDS, count_rpc=True)
        run.rpcs = counting.calls / counting.cycles()
        runs.append(run)
    block = block_alone(host)
    report(runs, seconds, block)
    print("virt as it comes has no states, no vCPU times, no disk times; with ExtraStats it tells the most that is comparable.")
    for virt in runs[:2]:
        compare(virt, runs[2], block)


bed.main(bench)

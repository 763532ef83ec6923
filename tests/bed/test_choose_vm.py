#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`setmov choose VM` on three hosts: figures against brute force, each filter, peers that are down or say nothing."""
# test-timeout: 400
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import bed
import three_hosts

MIB, BLOCK = 1 << 20, 4096
ZERO = bytes(BLOCK)
CONF = "/etc/setmov/setmov.conf"
SETTINGS = {"bandwidth": "1G"}
DEAF_PORT = 9999

# A socket that takes connections and never says a word.
DEAF = """
import socket
server = socket.create_server(("0.0.0.0", {port}))
print("ready", flush=True)
taken = []
while True:
    taken.append(server.accept())
"""

XML = """<domain type='qemu'>
  <name>{name}</name>
  <memory unit='KiB'>{memory}</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    {devices}
  </devices>
</domain>
"""
DISK = """<disk type='file' device='disk'><driver name='qemu' type='{format}'/><source file='{path}'/>
    <target dev='{target}' bus='virtio'/></disk>"""
INTERFACE = "<interface type='network'><source network='{network}'/></interface>"
NETWORK = "<network><name>{name}</name><bridge name='{bridge}'/><forward mode='bridge'/></network>"


# ---- what lies where ------------------------------------------------------------------------------


def blocks_of(data):
    return [data[at:at + BLOCK] for at in range(0, len(data), BLOCK)]


def write_image(host, name, data):
    """A raw image of the pool default; all of it is allocated. Its path inside."""
    inner = f"{three_hosts.IMAGES}/{name}"
    with open(host.path(inner), "wb") as file:
        file.write(data)
    return inner


def mix(source, *parts):
    """So many blocks of each (blocks, count), shuffled."""
    blocks = [block for blocks, count in parts for block in source.sample(blocks, count)]
    source.shuffle(blocks)
    return b"".join(blocks)


class Scene:
    """vm "web" of two disks on alpha; beta has most of the first, gamma most of the second and less in all."""

    def __init__(self, hosts):
        self.hosts = hosts
        source = random.Random(4)
        fresh = lambda count: [source.randbytes(BLOCK) for _ in range(count)]  # noqa: E731
        root, data = fresh(1500), fresh(500)
        self.disks = [mix(source, (root, 1500), (root, 200), ([ZERO] * 100, 100)), mix(source, (data, 500))]
        self.held = {
            "beta": [mix(source, (root, 1100), (fresh(300), 300)), mix(source, (root, 700), (data, 100))],
            "gamma": [mix(source, (root, 300), (data, 450), (fresh(200), 200), ([ZERO] * 50, 50))],
        }
        alpha = hosts.alpha
        paths = [write_image(alpha, "web-root.raw", self.disks[0]), write_image(alpha, "web-data.raw", self.disks[1])]
        alpha.run("qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", paths[1], f"{three_hosts.IMAGES}/web-data.qcow2")
        os.unlink(alpha.path(paths[1]))
        paths[1] = f"{three_hosts.IMAGES}/web-data.qcow2"
        self.define(alpha, "web", disks=[("raw", paths[0]), ("qcow2", paths[1])])
        for host in (hosts.beta, hosts.gamma):
            for number, image in enumerate(self.held[host.name]):
                write_image(host, f"old{number}.raw", image)
        for host in hosts.all:
            configure(host, self.sections())
            host.virsh("pool-refresh", "default")  # libvirt has not seen who wrote there
            host.run("setmov", "index")

    @staticmethod
    def sections(**more):
        """The configuration's text; beta={"maintenance": "yes"} adds to a section, group={...} is one."""
        text = "[setmov]\n" + "".join(f"{key} = {value}\n" for key, value in (SETTINGS | more.pop("setmov", {})).items())
        # Loads and free memory are those of one machine, and change: the bytes alone shall decide.
        text += "[choose]\nmax-cpu-percent = 100%\nweight-cpu = 0\nweight-memory = 0\nweight-space = 0\n"
        text += "".join(f"{key} = {value}\n" for key, value in more.pop("choose", {}).items())
        text += "[sync]\n" + "".join(f"{key} = {value}\n" for key, value in more.pop("sync", {"max-age": "0"}).items())
        for name in three_hosts.NAMES:
            text += f"[host {name}]\nuri = qemu+tcp://{name}/system\n"
            text += "".join(f"{key} = {value}\n" for key, value in more.pop(name, {}).items())
        for name, keys in more.items():
            text += f"[{name.replace('_', ' ')}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())
        return text

    def define(self, host, name, memory=64 << 10, disks=(), networks=()):
        devices = [DISK.format(format=kind, path=path, target=f"vd{chr(ord('a') + i)}") for i, (kind, path) in enumerate(disks)]
        devices += [INTERFACE.format(network=network) for network in networks]
        text = XML.format(name=name, memory=memory, devices="\n".join(devices))
        path = host.path("/var/lib/setmov/define.xml")
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        host.virsh("define", "/var/lib/setmov/define.xml")
        os.unlink(path)

    def expected(self, name):
        """(bytes to send, share of distinct blocks, share with duplicates), by sets of whole blocks."""
        held = {block for image in self.held[name] for block in blocks_of(image)}
        total = sum(len(disk) // BLOCK for disk in self.disks)
        missing = distinct = blocks = 0
        for disk in self.disks:
            here = blocks_of(disk)
            missing += len({block for block in here if block != ZERO} - held)
            distinct += len(set(here) & held)
            blocks += sum(block in held for block in here)
        return missing * BLOCK, 100 * distinct / total, 100 * blocks / total

    def choose(self, *words, text=None, vm="web"):
        """The JSON of alpha's choice; `text` is another configuration."""
        if text is not None:
            configure(self.hosts.alpha, text, "/etc/setmov/other.conf")
            words += ("--config", "/etc/setmov/other.conf")
        done = self.hosts.alpha.attempt("setmov", "choose", vm, "--json", *words)
        bed.require(done.status == 0, f"choose: status {done.status}: {done.err}")
        result = json.loads(done.out)
        validate(result)
        return result

    def row_out(self, name, reason, **how):
        """The host is out, for that reason before all others; the rest of the ranking stands."""
        result = self.choose(**how)
        row = row_of(result, name)
        bed.require(not row["eligible"] and reason in row["reasons"][0], f"{name}: expected '{reason}': {row}")
        other = "gamma" if name == "beta" else "beta"
        if name in ("beta", "gamma"):
            bed.require(result["choice"] == other, f"{name} is out, so {other}: {result['choice']}")
        return row


def configure(host, text, path=CONF):
    os.makedirs(os.path.dirname(host.path(path)), exist_ok=True)
    with open(host.path(path), "w", encoding="ascii") as file:
        file.write(text)


def row_of(result, name):
    return next(row for row in result["ranking"] if row["host"] == name)


def order(result):
    return [row["host"] for row in result["ranking"]]


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def validate(result):
    """All that is promised of the JSON is there, of the right kind."""
    bed.require(set(result) >= {"vm", "ranking", "choice", "stay"}, f"keys {sorted(result)}")
    bed.require(isinstance(result["stay"], bool) and result["stay"] == (result["choice"] is None), "stay or choice")
    eligible = True
    for row in result["ranking"]:
        bed.require(set(row) >= {"host", "eligible", "bytes_to_send", "wire_bytes_estimate", "share_distinct",
                                 "share_with_duplicates", "headroom", "score", "reasons"}, f"keys {sorted(row)}")
        bed.require(set(row["headroom"]) == {"cpu_percent", "memory_bytes", "pool_bytes"}, f"{row['headroom']}")
        bed.require(all(value is None or is_number(value) for value in row["headroom"].values()), f"{row['headroom']}")
        bed.require(row["reasons"] and all(isinstance(reason, str) for reason in row["reasons"]), f"{row['reasons']}")
        bed.require(is_number(row["score"]) and 0 <= row["score"] <= 1, f"score {row['score']}")
        bed.require(eligible or not row["eligible"], "who is out comes last")
        eligible = row["eligible"]
        if eligible:
            bed.require(is_number(row["bytes_to_send"]), f"{row}")
    first = result["ranking"][0]["host"] if result["ranking"] and result["ranking"][0]["eligible"] else None
    bed.require(result["choice"] == first, f"choice {result['choice']}, first {first}")


# ---- the checks -----------------------------------------------------------------------------------------


def check_figures(scene):
    """Bytes and shares are those of sets of whole blocks; the order is theirs; twice the same."""
    result = scene.choose()
    bed.require((result["vm"], result["choice"], order(result)) == ("web", "beta", ["beta", "gamma", "alpha"]), f"{result}")
    for name in ("beta", "gamma"):
        row, (missing, distinct, blocks) = row_of(result, name), scene.expected(name)
        bed.require(row["exact"] and row["bytes_to_send"] == missing, f"{name}: {row['bytes_to_send']} bytes, not {missing}")
        bed.require(row["bytes_to_send_low"] == row["bytes_to_send_high"] == missing, f"{name}: intervals stand")
        bed.require(abs(row["share_distinct"] - distinct) < 1e-5, f"{name}: {row['share_distinct']} %, not {distinct}")
        bed.require(abs(row["share_with_duplicates"] - blocks) < 1e-5, f"{name}: {row['share_with_duplicates']}, not {blocks}")
        # Random blocks do not compress; extents of single blocks and the catalogs come to that.
        bed.require(missing < row["wire_bytes_estimate"] < 1.15 * missing + MIB, f"{name}: wire {row['wire_bytes_estimate']}")
        bed.require(row["seconds"] is not None and abs(row["seconds"] - row["wire_bytes_estimate"] * 8 / 1e9) < 0.001, f"{row}")
    alpha = row_of(result, "alpha")
    bed.require(not alpha["eligible"] and alpha["reasons"][0] == "the VM is on this host", f"{alpha}")
    again = scene.choose()
    for left, right in zip(result["ranking"], again["ranking"]):
        for key in ("host", "eligible", "bytes_to_send", "share_distinct", "share_with_duplicates"):
            bed.require(left[key] == right[key], f"{key} changes from run to run: {left} {right}")
    uuid = scene.hosts.alpha.virsh("domuuid", "web").strip()
    by_uuid = scene.choose(vm=uuid)
    bed.require((by_uuid["vm"], by_uuid["uuid"], order(by_uuid)) == ("web", uuid, order(result)), "by UUID")
    bed.say(f"beta gets {row_of(result, 'beta')['bytes_to_send']} bytes, gamma {row_of(result, 'gamma')['bytes_to_send']}")


def check_estimates(scene):
    """Without confirmation there are intervals, and they hold the truth; with a small budget the reason says so."""
    estimates_hold(scene, scene.choose(text=scene.sections(choose={"confirm": "0"})), [])


def estimates_hold(scene, result, notes):
    bed.require(len(result["notes"]) == len(notes), f"notes: {result['notes']}")
    for note in notes:
        bed.require(any(note in line for line in result["notes"]), f"'{note}' is not in {result['notes']}")
    for name in ("beta", "gamma"):
        row, (missing, _, _) = row_of(result, name), scene.expected(name)
        bed.require(not row["exact"] and row["wire_bytes_estimate"] is None, f"{row}")
        bed.require(row["bytes_to_send_low"] <= missing <= row["bytes_to_send_high"], f"{name}: {missing} not in {row}")
        bed.require(row["bytes_to_send_low"] < row["bytes_to_send_high"], f"{name}: an estimate without an interval")


def merged_counts(path):
    """Every host's mark says what its directory was like (docs/merged-format.md)."""
    data = path.read_bytes()
    hosts = struct.unpack_from("<I", data, 20)[0]
    return all(struct.unpack_from("<Q", data, 128 + 24 * row)[0] >> 24 for row in range(hosts))


def check_merged(scene):
    """Figures come from the merged index: nobody opens what lies in the cache; without a good one everybody does."""
    alpha, text = scene.hosts.alpha, scene.sections(choose={"confirm": "0"}, sync={"max-age": "1h"})
    cache = Path(alpha.path("/var/lib/setmov/peers"))
    merged = cache / "sha256-4096.merged"
    configure(alpha, text, "/etc/setmov/other.conf")

    def synced():  # again and again: directories that have just changed could change unseen
        alpha.run("setmov", "sync", "--config", "/etc/setmov/other.conf")
        return merged_counts(merged)

    bed.poll(synced, 60, "the merged index counts for every host")
    kept = {path: path.read_bytes() for path in (cache / "hosts").glob("*/*.fingerprint")}
    bed.require(len(kept) == 3, f"fingerprints of peers: {sorted(kept)}")
    for path in kept:  # in place, so that the directory stays as it was
        os.truncate(path, 100)
    estimates_hold(scene, scene.choose(text=text), [])
    for path, data in kept.items():
        path.write_bytes(data)
    merged.write_bytes(b"what somebody else keeps under this name")
    estimates_hold(scene, scene.choose(text=text), ["not overwritten", "were read by themselves"])
    bed.require(merged.read_bytes().startswith(b"what somebody"), "it was overwritten")
    merged.unlink()


def check_words(scene):
    """What a person sees: a line a host and the choice."""
    done = scene.hosts.alpha.attempt("setmov", "choose", "web")
    lines = done.out.splitlines()
    bed.require(done.status == 0 and lines[0].startswith("rank  host"), f"{done}")
    bed.require([line.split()[1] for line in lines[1:4]] == ["beta", "gamma", "alpha"], f"{lines}")
    bed.require(lines[3].endswith("out: the VM is on this host"), lines[3])
    bed.require(lines[-1].startswith("choice: beta, ") and " instead of " in lines[-1], lines[-1])
    explained = scene.hosts.alpha.run("setmov", "choose", "web", "--explain")
    bed.require("\nbeta:\n  holds " in explained and "compared exactly with 2 images" in explained, explained)
    for words, status, message in ((("nobody",), 1, "no domain 'nobody'"), (("web", "--config", "/none"), 1, "/none"),
                                   (("web", "--engine", "exact"), 2, "--engine goes with --host")):
        done = scene.hosts.alpha.attempt("setmov", "choose", *words)
        bed.require(done.status == status and message in done.err and not done.out, f"{words}: {done}")


def check_image(scene):
    """A path is an image, although the hosts are those of the configuration."""
    result = scene.choose(vm=f"{three_hosts.IMAGES}/web-root.raw")
    bed.require(result["vm"] is None and result["choice"] == "beta", f"{result}")
    held = {block for image in scene.held["beta"] for block in blocks_of(image)}
    missing = BLOCK * len({block for block in blocks_of(scene.disks[0]) if block != ZERO} - held)
    bed.require(row_of(result, "beta")["bytes_to_send"] == missing, f"{row_of(result, 'beta')}")


def check_filters_of_configuration(scene):
    scene.row_out("beta", "in maintenance", text=scene.sections(beta={"maintenance": "yes"}))
    text = scene.sections(beta={"trust-domain": "guests"})
    row = scene.row_out("beta", "trust domain guests, the VM is in default", text=text)
    bed.require(row["bytes_to_send"] is None and row["headroom"]["memory_bytes"] is None, f"another domain was asked: {row}")
    scene.row_out("gamma", "pool nowhere: ", text=scene.sections(gamma={"pool": "nowhere"}))
    for key, reason in (("memory-reserve", "needs 64 MiB and 15 TiB"), ("space-reserve", "needs 8.6 MiB and 15 TiB")):
        result = scene.choose(text=scene.sections(choose={key: "15T"}))
        bed.require(result["stay"] and reason in row_of(result, "beta")["reasons"][0], f"{key}: {result}")
        bed.require("free " in result["stay_reason"] and "beta: " in result["stay_reason"], f"{result}")


def check_filters_of_hosts(scene):
    hosts = scene.hosts
    scene.define(hosts.beta, "web")  # another one of that name
    scene.row_out("beta", "web")
    hosts.beta.virsh("undefine", "web")
    for host in (hosts.alpha, hosts.gamma):
        path = host.path("/var/lib/setmov/net.xml")
        with open(path, "w", encoding="ascii") as file:
            file.write(NETWORK.format(name="front", bridge="bed0"))
        host.virsh("net-define", "/var/lib/setmov/net.xml")
        host.virsh("net-start", "front")
    scene.define(hosts.alpha, "netted", networks=["front"])
    row = row_of(scene.choose(vm="netted"), "beta")
    bed.require(not row["eligible"] and "front" in row["reasons"][0], f"no network front on beta: {row}")
    bed.require(scene.choose(vm="netted")["choice"] == "gamma", "gamma has the network")
    scene.define(hosts.alpha, "huge", memory=1 << 40)
    result = scene.choose(vm="huge")
    bed.require(result["stay"] and "needs 1 PiB" in row_of(result, "beta")["reasons"][0], f"{result}")


def check_history(scene):
    """The load of a host is that of its RRD file, if there is one and it is sound."""
    history = scene.hosts.alpha.path("/var/lib/history")
    path = os.path.join(history, "beta/setmov-host/percent-cpu.rrd")
    os.makedirs(os.path.dirname(path))
    now = int(time.time())
    subprocess.run(["rrdtool", "create", path, "--step", "10", "--start", str(now - 1000), "DS:value:GAUGE:20:0:100",
                    "RRA:AVERAGE:0.5:1:200"], check=True)
    updates = [f"{now - 990 + 10 * i}:{97 if i > 40 else 3}" for i in range(100)]  # 97 for the last 580 s
    subprocess.run(["rrdtool", "update", path, *updates], check=True)
    more = {"history": "/var/lib/history", "max-cpu-percent": "90%"}
    text = scene.sections(choose=more, sync={"load-window": "5min", "max-age": "0"}).replace("max-cpu-percent = 100%\n", "")
    row = row_of(scene.choose(text=text), "beta")
    bed.require(not row["eligible"] and row["reasons"][0] == "CPU load 97.0 %, at most 90 %", f"{row}")
    bed.require(abs(row["headroom"]["cpu_percent"] - 3) < 0.01, f"{row['headroom']}")
    with open(path, "r+b") as file:
        file.truncate(100)
    result = scene.choose(text=text.replace("90%", "100%"))
    row = row_of(result, "beta")
    bed.require(result["choice"] == "beta" and any("percent-cpu.rrd" in reason for reason in row["reasons"]), f"{row}")


def check_load(scene):
    """A host that was read a while ago: its counters of then and those that it tells now make its load."""
    shutil.rmtree(scene.hosts.alpha.path("/var/lib/setmov/peers"))
    text = scene.sections(sync={"max-age": "1h"})
    until = time.monotonic() + 30
    load = None
    while load is None and time.monotonic() < until:
        load = row_of(scene.choose(text=text), "beta")["headroom"]["cpu_percent"]
    bed.require(load is not None and 0 <= load <= 100, f"load of beta: {load}")


def check_groups(scene):
    scene.define(scene.hosts.beta, "db1")
    scene.hosts.beta.run("setmov", "index")
    text = scene.sections(group_db={"vms": "db1 web"})
    scene.row_out("beta", "has db1 of the same group, db", text=text)
    scene.hosts.beta.virsh("undefine", "db1")
    scene.hosts.beta.run("setmov", "index")
    result = scene.choose(text=text)
    bed.require(result["choice"] == "beta" and any("db1" in note for note in result["notes"]), f"{result}")


def check_obstacles(scene):
    """What keeps the VM from any move keeps it here, and every row says why."""
    alpha = scene.hosts.alpha
    alpha.run("qemu-img", "create", "-q", "-f", "qcow2", f"{three_hosts.IMAGES}/snap.qcow2", "1M")
    scene.define(alpha, "snapped", disks=[("qcow2", f"{three_hosts.IMAGES}/snap.qcow2")])
    alpha.virsh("snapshot-create-as", "snapped", "one")
    result = scene.choose(vm="snapped")
    bed.require(result["stay"] and result["choice"] is None and "snapshot" in result["stay_reason"], f"{result}")
    bed.require(all("snapshot" in row["reasons"][0] and not row["eligible"] for row in result["ranking"]), f"{result}")
    done = alpha.attempt("setmov", "choose", "snapped")
    bed.require(done.status == 0 and done.out.splitlines()[-1].startswith("stay: it cannot move: "), f"{done}")


def check_running(scene):
    """A VM that writes to its disk: what the index has counts, and a note says so."""
    alpha = scene.hosts.alpha
    alpha.writers("busy")
    alpha.run("setmov", "index")
    result = scene.choose(vm="busy")
    bed.require(result["choice"] is not None, f"{result}")
    bed.require(any("while the VM was running" in note for note in result["notes"]), f"{result['notes']}")
    bed.require(result["disks"][0]["provisional"] is True, f"{result['disks']}")
    alpha.virsh("destroy", "busy")


def check_bad_peers(scene):
    """A host that is down, and one that takes connections and says nothing: a row each, within the time limit."""
    gamma = scene.hosts.gamma
    deaf = gamma.start(sys.executable, "-c", DEAF.format(port=DEAF_PORT), stdout=subprocess.PIPE)
    bed.require(deaf.stdout.readline() == "ready\n", "the deaf socket is not there")
    text = scene.sections(sync={"timeout": "3s", "max-age": "0"}, host_mute={"uri": f"qemu+tcp://gamma:{DEAF_PORT}/system"},
                          host_nobody={"uri": "qemu+tcp://gamma:9998/system"})
    result = scene.choose(text=text)
    bed.require(result["choice"] == "beta", f"{result}")
    row = row_of(result, "mute")
    bed.require(not row["eligible"] and "did not answer within 3 s" in row["reasons"][0], f"{row}")
    row = row_of(result, "nobody")
    bed.require(not row["eligible"] and "9998" in row["reasons"][0], f"{row}")
    bed.require(row["bytes_to_send"] is None and row["share_distinct"] is None, f"{row}")
    gamma.run("pkill", "-x", "libvirtd")
    row = scene.row_out("gamma", "qemu+tcp://gamma/system")
    bed.require(row["bytes_to_send"] is not None, "what was known of gamma's images is forgotten")


def run(hosts):
    scene = Scene(hosts)
    check_figures(scene)
    check_estimates(scene)
    check_merged(scene)
    check_words(scene)
    check_image(scene)
    check_filters_of_configuration(scene)
    check_filters_of_hosts(scene)
    check_load(scene)
    check_history(scene)
    check_groups(scene)
    check_obstacles(scene)
    check_running(scene)
    check_bad_peers(scene)


three_hosts.main(run)

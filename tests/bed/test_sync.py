#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""setmov index and sync between three libvirt hosts: what is read, what is not read twice, who costs what when it fails."""
# test-timeout: 240
import json
import os
import random
import signal
import struct
import subprocess
import time

import bed
import three_hosts

KIB, MIB = 1 << 10, 1 << 20
CACHE = "/var/lib/setmov/peers"
CONF = "/etc/setmov/setmov.conf"
HEAD = 2048
SKETCH_SECTIONS = (1, 4, 5, 7, 8)
M64 = (1 << 64) - 1

# Hands on what beta's libvirtd says, up to so many bytes; then it is silent. In the end it tells how many there were.
PROXY = """
import select, socket, sys
most, server = int(sys.argv[1]), socket.create_server(("127.0.0.1", 7778))
print("up", flush=True)
client, total = server.accept()[0], 0
libvirtd = socket.create_connection(("beta", 16509))
while True:
    for end in select.select([client, libvirtd], [], [])[0]:
        data = end.recv(65536)
        if not data:
            sys.exit(print(total, flush=True))
        if end is client:
            libvirtd.sendall(data)
        elif total < most:
            client.sendall(data[:most - total])
            total += len(data[:most - total])
"""


# ---- what the formats say, computed apart from setmov ---------------------------------------------------


def checksum(data):
    """docs/fingerprint-format.md."""
    odd = 0x9e3779b97f4a7c15

    def step(lane, word):
        lane ^= word
        return ((lane << 29 | lane >> 35) & M64) * odd & M64

    lanes = [(i + 1) * odd & M64 for i in range(8)]
    padded = data + bytes(-len(data) % 64)
    for number, (word,) in enumerate(struct.iter_unpack("<Q", padded)):
        lanes[number % 8] = step(lanes[number % 8], word)
    value = len(data) * odd & M64
    for lane in lanes:
        value = step(value, lane)
    value = (value ^ value >> 32) * odd & M64
    return value ^ value >> 29


def signed(lines):
    """A manifest of these lines, with its last line."""
    text = "".join(line + "\n" for line in lines)
    return f"{text}checksum {checksum(text.encode()):016x}\n"


def sections(data):
    """{kind: (offset, length)} of a fingerprint."""
    count = struct.unpack_from("<I", data, 132)[0]
    found = (struct.unpack_from("<IIQQQ", data, 144 + 32 * i) for i in range(count))
    return {kind: (offset, length) for kind, _, offset, length, _ in found}


def sketch_bytes(data):
    """What has to be read of a fingerprint, without its head."""
    return sum(length for kind, (_, length) in sections(data).items() if kind in SKETCH_SECTIONS)


# ---- hosts ---------------------------------------------------------------------------------------------------


def configuration(*hosts, **sync):
    """setmov.conf: each host is a name, or the whole text of a section."""
    text = "".join(f"{key.replace('_', '-')} = {value}\n" for key, value in {"timeout": "3s", **sync}.items())
    parts = [host if "\n" in host else f"[host {host}]\nuri = qemu+tcp://{host}/system\n" for host in hosts]
    return "[setmov]\n[sync]\n" + text + "".join(parts)


def put(host, inner, text):
    path = host.path(inner)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb" if isinstance(text, bytes) else "w") as file:
        file.write(text)


def get(host, inner):
    with open(host.path(inner), "rb") as file:
        return file.read()


def image(host, name, seed, size=4 * MIB):
    put(host, f"{three_hosts.IMAGES}/{name}", random.Random(seed).randbytes(size))


def settle(host):
    """Images that were changed less than two seconds before they are read are read again."""
    names = [host.path(f"{three_hosts.IMAGES}/{name}") for name in os.listdir(host.path(three_hosts.IMAGES))]
    bed.poll(lambda: max(os.stat(name).st_ctime for name in names) < time.time() - 3.1, 10, "images that are old enough")


def index(host, status=0):
    settle(host)
    done = host.attempt("setmov", "index")
    bed.require(done.status == status, f"setmov index on {host.name}: {done}")
    return done


def fingerprints(host):
    return sorted(name for name in os.listdir(host.path(three_hosts.INDEX)) if name.endswith(".fingerprint"))


def manifest(host):
    return get(host, f"{three_hosts.INDEX}/manifest")


def kept(host, peer, cache=CACHE):
    try:
        return sorted(os.listdir(host.path(f"{cache}/hosts/{peer}")))
    except FileNotFoundError:
        return None


def sync(host, *options, status=0):
    """{host: row} of setmov sync."""
    done = host.attempt("setmov", "sync", "--json", *options, timeout=60)
    bed.require(done.status == status, f"setmov sync {options}: {done}")
    leave_nothing(host)
    return {row["host"]: row for row in json.loads(done.out)["hosts"]}


def leave_nothing(host):
    for directory, _, names in os.walk(host.path("/var/lib/setmov")):
        left = [name for name in names if name.endswith(".tmp")]
        bed.require(not left, f"{directory}: {left} left over")


def figures(row):
    return tuple(row[key] for key in ("result", "fingerprints", "read", "dropped", "damaged"))


# ---- the checks ---------------------------------------------------------------------------------------------------


def check_offer(host):
    """The index is a pool, has a manifest that names what is there, and libvirt sees it."""
    text = index(host).out
    bed.require("offered to peers: 2 fingerprints, 1 VM\n" in text, text)
    lines = manifest(host).decode().splitlines()
    bed.require(lines[:2] == ["setmov-manifest 1", f"host {host.name}"], lines)
    for name in fingerprints(host):
        data = get(host, f"{three_hosts.INDEX}/{name}")
        line = f"fingerprint {name} {len(data)} {checksum(data[:HEAD]):016x}"
        bed.require(line in lines, f"{line} is not in {lines}")
    uuid = host.virsh("domuuid", "vm1").strip()
    bed.require(any(line.startswith(f"vm {uuid} vm1 inactive {32 * MIB} 1") for line in lines), lines)
    disk = f"disk vda {three_hosts.IMAGES}/a.raw "
    bed.require(any(line.startswith(disk) and f"{line.split()[3]}.sha256-4096.fingerprint" in fingerprints(host)
                    for line in lines), lines)
    volumes = host.virsh("vol-list", "setmov")
    bed.require(all(name in volumes for name in ["manifest", *fingerprints(host)]), volumes)
    bed.require(manifest(host).decode() == signed(lines[:-1]), "the manifest's own checksum")
    before = os.stat(host.path(f"{three_hosts.INDEX}/manifest"))
    done = index(host)
    after = os.stat(host.path(f"{three_hosts.INDEX}/manifest"))
    bed.require(before.st_ino == after.st_ino, f"a manifest that says nothing new was written anew: {done.out}{lines}"
                f"{manifest(host).decode().splitlines()}")


def check_old_manifest(host):
    """One that is older than half of what peers believe is made anew, though it says the same."""
    lines = manifest(host).decode().splitlines()[:-1]
    lines[2] = f"made {int(lines[2].split()[1]) - 13 * 3600}"
    put(host, f"{three_hosts.INDEX}/manifest", signed(lines))
    index(host)
    made = int(manifest(host).decode().splitlines()[2].split()[1])
    bed.require(abs(made - time.time()) < 100, f"made {made}")


def check_pool(host):
    """An index directory that is no pool becomes one; a pool of that name elsewhere is not touched."""
    host.virsh("pool-destroy", "setmov")
    host.virsh("pool-undefine", "setmov")
    index(host)
    bed.require("setmov" in host.virsh("pool-list", "--autostart", "--name").split(), "no pool was made")
    host.virsh("pool-destroy", "setmov")
    host.virsh("pool-undefine", "setmov")
    host.run("mkdir", "-p", "/var/lib/other")
    host.virsh("pool-create-as", "setmov", "dir", "--target", "/var/lib/other")
    done = index(host, status=1)
    bed.require("/var/lib/other" in done.err and done.err.count("\n") == 1, done)
    host.virsh("pool-destroy", "setmov")
    index(host)


def check_incoming(host):
    """VMs bring their blocks into a pool that is root's alone; where it cannot be one, the index is offered all the same."""
    directory, pool = "/var/lib/setmov/incoming", "setmov-incoming"

    def is_private():
        return os.stat(host.path(directory)).st_mode & 0o777 == 0o700

    index(host)
    bed.require(pool in host.virsh("pool-list", "--autostart", "--name").split() and is_private(), "no pool for what comes")
    # What lies there is no image, though libvirt lists it.
    put(host, f"{directory}/part-x", b"x" * MIB)
    host.virsh("pool-refresh", pool)
    before = fingerprints(host)
    os.chmod(host.path(directory), 0o755)
    index(host)
    bed.require(fingerprints(host) == before and is_private(), f"{fingerprints(host)}, not {before}")
    os.unlink(host.path(f"{directory}/part-x"))
    host.virsh("pool-destroy", pool)
    host.virsh("pool-undefine", pool)
    host.virsh("pool-create-as", pool, "dir", "--target", "/var/lib/other")
    done = index(host, status=1)
    bed.require("/var/lib/other" in done.err and done.err.count("\n") == 1 and "offered to peers: " in done.out, done)
    host.virsh("pool-destroy", pool)
    index(host)


def check_copy(host, peer):
    """What is kept of the peer's fingerprints: heads, layers and sketches as they are there, holes for the rest."""
    bed.require(kept(host, peer.name) == fingerprints(peer), f"{kept(host, peer.name)} of {peer.name} are kept")
    for name in fingerprints(peer):
        theirs, ours = get(peer, f"{three_hosts.INDEX}/{name}"), get(host, f"{CACHE}/hosts/{peer.name}/{name}")
        bed.require(len(ours) == len(theirs) and ours[:HEAD] == theirs[:HEAD], f"{name}: another head or length")
        wanted = bytearray(len(theirs))
        wanted[:HEAD] = theirs[:HEAD]
        for kind, (offset, length) in sections(theirs).items():
            if kind in SKETCH_SECTIONS:
                wanted[offset:offset + length] = theirs[offset:offset + length]
        bed.require(bytes(wanted) == ours, f"{name}: other bytes than the sketch, or not all of it")


def check_first(alpha, peers):
    rows = sync(alpha)
    bed.require(figures(rows["alpha"])[:2] == ("read", 2) and rows["alpha"]["self"], rows["alpha"])
    for peer in peers:
        expected = len(manifest(peer))
        for name in fingerprints(peer):
            expected += HEAD + sketch_bytes(get(peer, f"{three_hosts.INDEX}/{name}"))
        bed.require(figures(rows[peer.name]) == ("read", 2, 2, 0, 0), rows[peer.name])
        bed.require(rows[peer.name]["bytes_read"] == expected, f"{rows[peer.name]}, and it should be {expected} bytes")
        check_copy(alpha, peer)
    there = sorted(os.listdir(alpha.path(CACHE)))
    bed.require(there == ["about", "hosts", "known", "lock", "sha256-4096.merged"], there)


def check_changes(alpha, beta, gamma):
    """Only what changed is read; what is gone goes."""
    rows = sync(alpha)
    for peer in (beta, gamma):
        bed.require(figures(rows[peer.name]) == ("read", 2, 0, 0, 0), rows[peer.name])
        bed.require(rows[peer.name]["bytes_read"] == len(manifest(peer)), rows[peer.name])
    before = {name: get(beta, f"{three_hosts.INDEX}/{name}") for name in fingerprints(beta)}
    image(beta, "a.raw", 50)
    os.unlink(gamma.path(f"{three_hosts.IMAGES}/b.raw"))
    index(beta)
    index(gamma)
    changed = [name for name, data in before.items() if get(beta, f"{three_hosts.INDEX}/{name}") != data]
    bed.require(len(changed) == 1, f"{changed} changed")
    rows = sync(alpha)
    expected = len(manifest(beta)) + HEAD + sketch_bytes(get(beta, f"{three_hosts.INDEX}/{changed[0]}"))
    bed.require(figures(rows["beta"]) == ("read", 2, 1, 0, 0) and rows["beta"]["bytes_read"] == expected, rows["beta"])
    bed.require(figures(rows["gamma"]) == ("read", 1, 0, 1, 0), rows["gamma"])
    for peer in (beta, gamma):
        check_copy(alpha, peer)


def fetch(host, budget, *wants):
    """[(result, bytes, error)] of peers_fetch()."""
    helper = os.path.join(os.path.dirname(bed.SETMOV), "tests/helpers/fetch_exact")
    words = [word for want in wants for word in want]
    lines = host.run(helper, CONF, budget, *words).splitlines()
    return [(int(line.split(" ")[0]), int(line.split(" ")[1]), line.split(" ", 2)[2]) for line in lines]


def check_exact(alpha, beta, gamma):
    """Exact parts come when they are wanted, within the budget, once; what is there costs nothing."""
    first, second = fingerprints(beta)
    path = f"{CACHE}/hosts/beta/{first}"
    theirs = get(beta, f"{three_hosts.INDEX}/{first}")
    there = sections(theirs)
    missing = sum(there[kind][1] for kind in (2, 3, 6)) - sum(there[kind][1] for kind in (7, 8) if kind in there)
    needed = HEAD + missing
    rows = fetch(alpha, needed - 1, ("beta", first))
    bed.require(rows[0][:2] == (-122, 0) and "budget" in rows[0][2], rows)
    rows = fetch(alpha, needed + 100, ("beta", first), ("beta", second), ("gamma", fingerprints(gamma)[0]))
    bed.require([row[0] for row in rows] == [0, -122, -122] and rows[0][1] == needed, rows)
    bed.require(get(alpha, path) == theirs, "what was fetched is not what is there")
    rows = fetch(alpha, 0, ("beta", first), ("alpha", fingerprints(alpha)[0]))
    bed.require([row[:2] for row in rows] == [(0, 0), (0, 0)], rows)
    bed.require(sync(alpha)["beta"]["read"] == 0 and get(alpha, path) == theirs, "sync takes the exact parts away")
    rows = fetch(alpha, MIB, ("beta", "../../x.fingerprint"), ("nobody", first), ("beta", "f" * 32 + ".md5-512.fingerprint"))
    bed.require([row[0] for row in rows] == [-22, -2, -2], rows)
    data = get(beta, f"{three_hosts.INDEX}/{second}")
    offset = sections(data)[2][0] + sections(data)[2][1] - 16
    put(beta, f"{three_hosts.INDEX}/{second}", data[:offset] + bytes(16) + data[offset + 16:])
    rows = fetch(alpha, MIB, ("beta", second))
    bed.require(rows[0][0] == -22 and "damaged" in rows[0][2], rows)
    put(beta, f"{three_hosts.INDEX}/{second}", data[:20] + b"x" + data[21:])
    rows = fetch(alpha, MIB, ("beta", second))
    bed.require(rows[0][0] == -116 and "changed" in rows[0][2], rows)
    put(beta, f"{three_hosts.INDEX}/{second}", data)
    bed.require(fetch(alpha, MIB, ("beta", second))[0][0] == 0, "not fetched in the end")
    bed.require(get(alpha, f"{CACHE}/hosts/beta/{second}") == data, "not all of it")


def check_repair(alpha, beta):
    """What went bad in the cache is read again."""
    name = fingerprints(beta)[0]
    path = alpha.path(f"{CACHE}/hosts/beta/{name}")
    offset = sections(get(beta, f"{three_hosts.INDEX}/{name}"))[7][0]
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(bytes(16))
    os.unlink(alpha.path(f"{CACHE}/sha256-4096.merged"))
    sync(alpha)
    bed.require(figures(sync(alpha)["beta"])[:3] == ("read", 2, 1), "a damaged sketch stays")
    check_copy(alpha, beta)


def check_down(alpha, beta, gamma):
    """One that is down, and one that says nothing: a line each, within the time limit; what was known stays."""
    known = kept(alpha, "gamma")
    gamma.libvirtd("stop")
    listener = alpha.start("python3", "-c", "import socket, time\nserver = socket.create_server(('127.0.0.1', 7777), backlog=50)\n"
                           "print('up', flush=True)\ntime.sleep(1000)", stdout=-1)
    bed.require(listener.stdout.readline() == "up\n", "no silent peer")
    silent = "[host silent]\nuri = qemu+tcp://127.0.0.1:7777/system\n"
    put(alpha, CONF, configuration("alpha", "beta", "gamma", silent))
    begun = time.monotonic()
    rows = sync(alpha, status=1)
    took = time.monotonic() - begun
    bed.require(3 < took < 8, f"it took {took:.1f} s: {rows}")
    bed.require(figures(rows["beta"])[:3] == ("read", 2, 0), rows["beta"])
    bed.require(rows["gamma"]["result"] == "failed" and "gamma" in rows["gamma"]["error"], rows["gamma"])
    bed.require(rows["silent"]["result"] == "failed" and "3 s" in rows["silent"]["error"], rows["silent"])
    bed.require(kept(alpha, "gamma") == known and rows["gamma"]["last_read"] > 0 and rows["silent"]["last_read"] is None, rows)
    text = alpha.attempt("setmov", "sync", timeout=60).out.splitlines()
    bed.require(len(text) == 4 and "last read" in text[2] and "never read" in text[3], text)
    check_interrupted(alpha)
    listener.kill()
    listener.wait()
    gamma.libvirtd("start")
    put(alpha, CONF, configuration("alpha", "beta", "gamma"))
    bed.require(figures(sync(alpha)["gamma"])[0] == "read", "gamma is back, and not read")
    bed.require(kept(alpha, "silent") is None, "what is not configured any more stays")


def check_interrupted(alpha):
    """While it waits for the silent one."""
    process = alpha.start("sh", "-c", "setmov sync & echo $!; wait $!; echo ended $?", stdout=-1)
    inner = process.stdout.readline().strip()
    bed.poll(lambda: alpha.attempt("flock", "-n", f"{CACHE}/lock", "true").status != 0, 20, "the lock is taken")
    alpha.run("kill", "-TERM", inner)
    bed.require(process.stdout.readline() == f"ended {128 + signal.SIGTERM}\n", "not ended by the signal")
    process.wait()
    leave_nothing(alpha)


def check_stalled(alpha, beta):
    """A peer that falls silent in the middle: what was whole by then stays, nothing half is left."""
    cache = "/var/lib/setmov/stalled"
    put(alpha, "/etc/stalled.conf", configuration("[host beta]\nuri = qemu+tcp://127.0.0.1:7778/system\n", cache=cache,
                                                  timeout="1s"))

    def through(most, status):
        proxy = alpha.start("python3", "-c", PROXY, most, stdout=subprocess.PIPE)
        bed.require(proxy.stdout.readline() == "up\n", "no proxy")
        row = sync(alpha, "--config", "/etc/stalled.conf", "beta", status=status)["beta"]
        total = int(proxy.stdout.readline())
        proxy.wait()
        return row, total

    row, total = through(1 << 40, 0)
    bed.require(figures(row) == ("read", 2, 2, 0, 0), row)
    whole = {name: get(alpha, f"{cache}/hosts/beta/{name}") for name in kept(alpha, "beta", cache)}
    counts = set()
    for percent in (40, 77, 79, 81, 86, 95):
        alpha.run("rm", "-rf", cache)
        row, _ = through(total * percent // 100, 1)
        names = kept(alpha, "beta", cache)
        bed.require(row["result"] == "failed" and "1 s" in row["error"] and row["read"] == len(names), row)
        for name in names:
            bed.require(get(alpha, f"{cache}/hosts/beta/{name}") == whole[name], f"{name} is not whole at {percent} %")
        counts.add(len(names))
    bed.require({0, 1} <= counts, f"{counts} fingerprints were whole")
    row, _ = through(1 << 40, 0)
    bed.require(row["read"] == 2 - len(names) and kept(alpha, "beta", cache) == sorted(whole), row)


def check_lies(alpha, beta):
    """A damaged fingerprint costs itself, a lie its host; none of it leaves its place."""
    cache = "/var/lib/setmov/lies"
    put(alpha, "/etc/lies.conf", configuration("alpha", "beta", "gamma", cache=cache))
    name = fingerprints(beta)[0]
    path = f"{three_hosts.INDEX}/{name}"
    true_data, true_manifest = get(beta, path), manifest(beta)
    offset = sections(true_data)[7][0]
    put(beta, path, true_data[:offset] + bytes(16) + true_data[offset + 16:])
    rows = sync(alpha, "--config", "/etc/lies.conf", status=1)
    bed.require(figures(rows["beta"]) == ("read", 2, 1, 0, 1), rows["beta"])
    bed.require(name in rows["beta"]["error"] and "damaged" in rows["beta"]["error"], rows["beta"])
    bed.require(figures(rows["gamma"])[:3] == ("read", 1, 1), rows["gamma"])
    bed.require(kept(alpha, "beta", cache) == fingerprints(beta)[1:], "another than the good one is kept")
    put(beta, path, true_data[:offset + 8])
    bed.require(sync(alpha, "--config", "/etc/lies.conf", status=1)["beta"]["damaged"] == 1, "a cut file goes unnoticed")
    put(beta, path, true_data)

    def with_manifest(change, rows_are):
        lines = true_manifest.decode().splitlines()[:-1]
        put(beta, f"{three_hosts.INDEX}/manifest", signed(change(lines)))
        row = sync(alpha, "--config", "/etc/lies.conf", status=1)["beta"]
        bed.require(rows_are(row), row)

    def line_of(lines):
        return next(number for number, line in enumerate(lines) if name in line)

    def changed(word, value):
        def change(lines):
            words = lines[line_of(lines)].split()
            words[word] = value
            return [*lines[:line_of(lines)], " ".join(words), *lines[line_of(lines) + 1:]]
        return change

    with_manifest(changed(2, str(10 << 40)), lambda row: row["damaged"] == 1 and "not believed" in row["error"])
    with_manifest(changed(3, "0" * 16), lambda row: row["damaged"] == 1 and "another one" in row["error"])
    with_manifest(changed(1, "f" * 32 + ".sha256-4096.fingerprint"), lambda row: row["result"] == "failed")
    with_manifest(changed(1, "../../../x.fingerprint"), lambda row: row["result"] == "failed" and "name" in row["error"])
    with_manifest(changed(1, "%2e%2e%2fx.fingerprint"), lambda row: row["result"] == "failed")
    with_manifest(changed(1, "!x.fingerprint"), lambda row: row["damaged"] == 1 and "no name" in row["error"])
    with_manifest(lambda lines: [lines[0], "host gamma", *lines[2:]],
                  lambda row: row["result"] == "failed" and "'gamma'" in row["error"])
    put(beta, f"{three_hosts.INDEX}/manifest", true_manifest[:-3])
    bed.require(sync(alpha, "--config", "/etc/lies.conf", status=1)["beta"]["result"] == "failed", "a cut manifest")
    put(beta, f"{three_hosts.INDEX}/manifest", true_manifest)
    outside = [directory for directory in os.listdir(alpha.path(cache)) if directory.startswith("x")]
    bed.require(not outside, outside)
    rows = sync(alpha, "--config", "/etc/lies.conf")
    bed.require(figures(rows["beta"])[::2] == ("read", rows["beta"]["read"], 0), rows["beta"])
    bed.require(kept(alpha, "beta", cache) == fingerprints(beta), "not all is well again")


def check_full(alpha, beta):
    """A full disk: one line, nothing left over, and all is well when there is room again."""
    cache = "/var/lib/setmov/small"
    put(alpha, "/etc/small.conf", configuration("alpha", "beta", "gamma", cache=cache))
    alpha.run("mkdir", "-p", cache)
    alpha.run("mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", cache)
    done = alpha.attempt("setmov", "sync", "--config", "/etc/small.conf")
    bed.require(done.status == 1 and "No space left" in done.err and done.err.count("\n") == 1, done)
    left = alpha.run("find", cache, "-name", "*.tmp")
    bed.require(left == "", left)
    alpha.run("mount", "-o", "remount,size=8m", cache)
    done = alpha.attempt("setmov", "sync", "--config", "/etc/small.conf")
    bed.require(done.status == 0, done)
    names = alpha.run("ls", f"{cache}/hosts/beta").split()
    bed.require(names == fingerprints(beta), names)
    alpha.run("umount", cache)


def check_in_the_way(alpha):
    """What lies in the place of a host's file costs that host's row only, and is named."""
    for name, make in (("load", os.mkdir), ("load", os.mkfifo), ("state", os.mkdir), ("state", os.mkfifo)):
        inner = f"{CACHE}/about/beta/{name}"
        if os.path.exists(alpha.path(inner)):
            os.unlink(alpha.path(inner))
        make(alpha.path(inner))
        rows = sync(alpha, status=1)
        bed.require(inner in rows["beta"]["error"] and rows["gamma"]["result"] == "read", f"{make} {name}: {rows}")
        (os.rmdir if make is os.mkdir else os.unlink)(alpha.path(inner))
        rows = sync(alpha)
        bed.require(rows["beta"]["result"] == "read", f"{name} is out of the way: {rows}")


def check_budget(alpha, beta):
    """A small budget: the next run goes on, until all is there."""
    cache = "/var/lib/setmov/budget"
    put(alpha, "/etc/budget.conf", configuration("alpha", "beta", cache=cache, budget="64K"))
    for number in range(40):
        image(beta, f"small{number}.raw", 100 + number, 16 * KIB)
    index(beta)
    rows = sync(alpha, "--config", "/etc/budget.conf", status=1)["beta"]
    bed.require(rows["budget_ended"] and 0 < rows["read"] < 42 and rows["bytes_read"] <= 64 * KIB, rows)
    first = kept(alpha, "beta", cache)
    rows = sync(alpha, "--config", "/etc/budget.conf")["beta"]
    bed.require(not rows["budget_ended"] and rows["read"] == 42 - len(first), rows)
    bed.require(kept(alpha, "beta", cache) == fingerprints(beta), "not all is there")


def check_trust(alpha):
    """Hosts of another trust domain are neither read nor kept."""
    foreign = "[host gamma]\nuri = qemu+tcp://gamma/system\ntrust-domain = other\n"
    put(alpha, CONF, configuration("alpha", "beta", foreign))
    rows = sync(alpha)
    bed.require(sorted(rows) == ["alpha", "beta"] and kept(alpha, "gamma") is None, rows)
    bed.require(not os.path.exists(alpha.path(f"{CACHE}/about/gamma")), "what was told of it stays")
    done = alpha.attempt("setmov", "sync", "gamma")
    bed.require(done.status == 1 and "trust domain" in done.err, done)
    put(alpha, CONF, configuration("alpha", "beta", "gamma"))
    rows = sync(alpha, "gamma")
    bed.require(sorted(rows) == ["gamma"] and rows["gamma"]["read"] == 1, rows)


def check_at_once(alpha):
    """Three at a time all end well."""
    processes = [alpha.start("setmov", "sync", stdout=subprocess.DEVNULL) for _ in range(3)]
    bed.require([process.wait(60) for process in processes] == [0, 0, 0], "one of three at a time failed")


def run(hosts):
    alpha, beta, gamma = hosts.all
    for number, host in enumerate(hosts.all):
        put(host, CONF, configuration("alpha", "beta", "gamma"))
        image(host, "a.raw", number)
        image(host, "b.raw", 10 + number)
    for host in hosts.all:
        put(host, "/root.xml", "<domain type='qemu'><name>vm1</name><memory unit='MiB'>32</memory><os><type>hvm</type></os>"
            f"<devices><disk type='file'><driver name='qemu' type='raw'/><source file='{three_hosts.IMAGES}/a.raw'/>"
            "<target dev='vda'/></disk></devices></domain>")
        host.virsh("define", host.path("/root.xml"))
        check_offer(host)
    check_old_manifest(gamma)
    check_pool(gamma)
    check_incoming(gamma)
    check_first(alpha, (beta, gamma))
    check_changes(alpha, beta, gamma)
    check_repair(alpha, beta)
    check_exact(alpha, beta, gamma)
    check_trust(alpha)
    check_stalled(alpha, beta)
    check_lies(alpha, beta)
    check_full(alpha, beta)
    check_in_the_way(alpha)
    check_down(alpha, beta, gamma)
    check_budget(alpha, beta)
    check_at_once(alpha)


if __name__ == "__main__":
    three_hosts.main(run)

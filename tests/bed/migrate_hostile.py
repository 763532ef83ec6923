# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wrong or hostile at the destination of `setmov migrate`: parts, donors, indexes, names, disks that fill up."""
import fcntl
import glob
import hashlib
import json
import os
import random
import re
import shutil
import signal
import struct
import threading

import bed
import guest_disk
import migrate_failures as failures
from migrate_failures import (BEHIND, IMAGES, INCOMING, STATE, Case, Hold, Migration, count, files, is_only_at, is_whole,
                              places)

# Two beginnings of the same MD5 (X. Wang, H. Yu, 2005), whatever follows, if it is the same for both.
COLLISION = tuple(bytes.fromhex(
    f"d131dd02c5e6eec4693d9a0698aff95c2fcab5{a}12467eab4004583eb8fb7f8955ad340609f4b30283e4888325{b}415a085125e8f7cdc99fd91dbd"
    f"{c}80373c5bd8823e3156348f5bae6dacd436c919c6dd53e2{d}87da03fd02396306d248cda0e99f33420f577ee8ce54b67080{e}0d1ec69821bcb6a8"
    f"839396f965{f}6ff72a70") for a, b, c, d, e, f in (("87", "71", "f2", "b4", "a8", "2b"), ("07", "f1", "72", "34", "28", "ab")))


def parts(host):
    return [host.path(f"{INCOMING}/{name}") for name in files(host, INCOMING) if name.startswith("part-")]


# ---- parts that are altered between their upload and the hook --------------------------------------


def cut(path):
    os.truncate(path, os.path.getsize(path) // 2)


def flip(path):
    with open(path, "r+b") as file:
        file.seek(os.path.getsize(path) // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0x10]))


def check_part(case, what, alter):
    """It is found out, sent again, and it moves; or it stays."""
    least = count(case.here, case.guest)
    with Hold(case.there) as hold:
        migration = case.migrate()
        hold.wait(migration)
        bed.require(parts(case.there), "no parts were sent")
        alter(max(parts(case.there), key=os.path.getsize))
        hold.release()
        status, said = migration.end()
    bed.require(status == 0 or len(said) == 1, f"{what}: {status} {said}")
    moved = case.settle(least, status == 0)
    bed.say(f"a part was {what}: {'moved' if moved else 'stayed'}, {said} {migration.summary and migration.summary['attempts']}")


def check_plan(case):
    """Another plan than the XML tells of."""
    least = count(case.here, case.guest)
    with Hold(case.there) as hold:
        migration = case.migrate()
        hold.wait(migration)
        plan, = glob.glob(case.there.path(f"{INCOMING}/*.plan"))
        flip(plan)
        hold.release()
        said = migration.fails("plan")
    case.settle(least, False)
    bed.say(f"plan altered: {said}")


# ---- disks that are full --------------------------------------------------------------------------


class Small:
    """A small file system over a directory of a host."""

    def __init__(self, host, path, size):
        self.host, self.path = host, path
        host.run("mount", "-t", "tmpfs", "-o", f"size={size},mode=0711", "none", path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.host.run("umount", "-l", self.path)


def check_full(case, path, late):
    least = count(case.here, case.guest)
    if late:
        with Hold(case.there) as hold:
            migration = case.migrate()
            hold.wait(migration)
            with Small(case.there, path, "4m"):
                hold.release()
                said = migration.fails("space|fit|room|[Nn]o ")
    else:
        with Small(case.there, path, "4m"):
            said = case.migrate().fails("space|fit|room")
    case.settle(least, False)
    bed.say(f"{path} is full{' when the hook begins' if late else ''}: {said}")


# ---- donors and indexes ----------------------------------------------------------------------------


def make_donor(case, name):
    path = case.there.path(f"{IMAGES}/{name}")
    shutil.copyfile(case.here.image(case.guest), path)
    failures.index(case.there)
    return path


def check_changed_donor(case):
    """Somebody writes to it all the time, before and while it is copied from."""
    least = count(case.here, case.guest)
    donor = make_donor(case, "donor.raw")
    ended = threading.Event()
    source = random.Random(1)

    def write():
        with open(donor, "r+b") as file:
            while not ended.is_set():
                file.seek(source.randrange(os.path.getsize(donor) // 4096) * 4096)
                file.write(source.randbytes(4096))
                file.flush()
                ended.wait(0.002)
    writer = threading.Thread(target=write)
    with Hold(case.there) as hold:
        migration = case.migrate()
        hold.wait(migration)
        writer.start()
        hold.release()
        status, said = migration.end()
        ended.set()
        writer.join()
    os.unlink(donor)
    bed.require(status == 0 or len(said) == 1, f"{status} {said}")
    failures.index(case.there)
    moved = case.settle(least, status == 0)
    bed.say(f"a donor that changes: {'moved' if moved else 'stayed'}, {said} {migration.summary['attempts']} attempts, "
            f"{migration.summary['blocks']}")


def check_lost_donor(case):
    """What was indexed is other content by now."""
    least = count(case.here, case.guest)
    donor = make_donor(case, "donor.raw")
    with Hold(case.there) as hold:
        migration = case.migrate()
        hold.wait(migration)
        with open(donor, "r+b") as file:
            file.write(os.urandom(os.path.getsize(donor)))
        hold.release()
        migration.succeeds()
    bed.require(migration.summary["attempts"] > 1, f"nothing was refused: {migration.summary}")
    os.unlink(donor)
    failures.index(case.there)
    case.settle(least, True)
    bed.say(f"a donor that is another image: {migration.summary['attempts']} attempts")


def check_false_claim(case):
    """The destination's index has an image that nobody has there any more."""
    least = count(case.here, case.guest)
    os.unlink(make_donor(case, "donor.raw"))
    migration = case.migrate()
    migration.succeeds()
    bed.require(migration.summary["attempts"] > 1, f"nothing was refused: {migration.summary}")
    failures.index(case.there)
    case.settle(least, True)
    bed.say(f"a claim that is false: {migration.summary['attempts']} attempts")


# ---- names -----------------------------------------------------------------------------------------


def check_taken_name(case, late):
    """Somebody's file is not touched, whenever it came."""
    least = count(case.here, case.guest)
    path = case.there.path(f"{IMAGES}/{case.image}")

    def take():
        with open(path, "w", encoding="ascii") as file:
            file.write("somebody's")
    if late:
        with Hold(case.there) as hold:
            migration = case.migrate()
            hold.wait(migration)
            take()
            hold.release()
            said = migration.fails(case.image)
    else:
        take()
        said = case.migrate().fails(case.image)
    with open(path, encoding="ascii") as file:
        bed.require(file.read() == "somebody's", "somebody's file was changed")
    os.unlink(path)
    case.settle(least, False)
    bed.say(f"a name that is taken{' late' if late else ''}: {said}")


# ---- the hook and its builder ----------------------------------------------------------------------


def processes(host, comm):
    """Of a host, by the name of the program."""
    found = []
    for path in glob.glob("/proc/[0-9]*/comm"):
        try:
            with open(path, encoding="ascii") as file:
                if file.read().strip() == comm and os.readlink(path.replace("comm", "ns/pid")) == host.pid_namespace():
                    found.append(int(path.split("/")[2]))
        except OSError:
            continue
    return found


def is_hook(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"/hooks/" in file.read() and b"qemu.d/setmov" in open(f"/proc/{pid}/cmdline", "rb").read()
    except OSError:
        return False


def check_hook_killed(case, which):
    """While it waits for the lock of a name that somebody else builds, as it believes."""
    least = count(case.here, case.guest)
    locks = case.there.path(f"{STATE}/locks")
    os.makedirs(locks, exist_ok=True)
    name = hashlib.sha256(os.fsencode(f"{IMAGES}/{case.image}")).hexdigest()[:32] + ".lock"
    with open(f"{locks}/{name}", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        migration = case.migrate()
        builder, = bed.poll(lambda: processes(case.there, "setmov-apply"), 120, "setmov-apply runs")
        hooks = [pid for pid in processes(case.there, "setmov") if is_hook(pid)]
        bed.require(len(hooks) == 1, f"hooks: {hooks}")
        os.kill(builder if which == "builder" else hooks[0], signal.SIGKILL)
        said = migration.fails("hook|built|killed|signal")
        bed.poll(lambda: not processes(case.there, "setmov-apply"), 60, "setmov-apply ends")
    if os.path.exists(f"{locks}/{name}"):
        os.unlink(f"{locks}/{name}")
    case.settle(least, False)
    bed.say(f"the {which} is killed: {said}")


def wait_for_memory(case):
    """The mirror has begun, and memory is sent: QEMU needs no libvirtd for the rest of it."""
    def is_sent():
        job = case.here.attempt("virsh", "-q", "-c", "qemu:///system", "domjobinfo", case.guest).out
        return re.search(r"Memory processed: *[1-9]", job)
    bed.poll(is_sent, 60, "memory is sent")


def lose_last_answer(case, *options):
    """libvirtd there hangs in the last phase until the line is given up: libvirt lets the guest go on here. What was said."""
    case.here.limit("20mbit")
    migration = case.migrate(*options).until("moving")
    wait_for_memory(case)
    libvirtd, = processes(case.there, "libvirtd")
    try:
        case.here.limit(None)
        # Its memory comes over without libvirtd, and stands still when that is done.
        os.kill(libvirtd, signal.SIGSTOP)
        bed.poll(lambda: case.here.state(case.guest) == "paused", 120, "the last phase")
        bed.poll(lambda: case.here.state(case.guest) == "running", 120, "the line is given up")
    finally:
        os.kill(libvirtd, signal.SIGCONT)
    status, said = migration.end()
    bed.require(status == 1 and len(said) == 1, f"{status} {said}")
    return said


def check_last_answer_lost(case):
    least = count(case.here, case.guest)
    said = lose_last_answer(case)
    case.settle(least, False)
    bed.say(f"the last answer is lost: {said}")


def check_last_answer_lost_with_post_copy(case):
    """It need not stand still there then: where it runs on both sides, the second one is suspended."""
    least = count(case.here, case.guest)
    said = lose_last_answer(case, "--timeout", "600", "--on-timeout", "postcopy")
    found = places(case.hosts, case.guest)
    if case.there.name in found:
        bed.require(found == {case.here.name: "running", case.there.name: "paused"} and "both sides" in said[0], f"{found} {said}")
        answer = case.here.attempt("setmov", "recover")
        bed.require(answer.status != 0 and "both sides" in answer.err + answer.out, f"recover does not choose: {answer}")
        bed.require(places(case.hosts, case.guest) == found, f"recover chose: {answer}")
        case.there.virsh("destroy", case.guest)
        case.there.virsh("undefine", case.guest)
    case.settle(least, False)
    bed.say(f"the last answer is lost with post-copy: {found} {said}")


def check_killed_in_last_phase(case):
    """libvirtd here dies when all is over there, and setmov as well: it stands still on both sides."""
    least = count(case.here, case.guest)
    case.here.limit("20mbit")
    migration = case.migrate().until("moving")
    wait_for_memory(case)
    libvirtd, = processes(case.there, "libvirtd")
    try:
        case.here.limit(None)
        os.kill(libvirtd, signal.SIGSTOP)
        bed.poll(lambda: case.here.state(case.guest) == "paused", 120, "the last phase")
        migration.kill()
        case.here.libvirtd("kill")
    finally:
        os.kill(libvirtd, signal.SIGCONT)
    case.here.libvirtd("start")
    moved = case.settle(least)
    bed.say(f"killed in the last phase: {'moved' if moved else 'stayed'}")


def check_refused_after(case):
    """A hook behind setmov's refuses what is built already."""
    least = count(case.here, case.guest)
    with Hold(case.there, BEHIND) as hold:
        migration = case.migrate()
        hold.wait(migration)
        built = files(case.there, IMAGES)
        hold.release(1)
        said = migration.fails(".")
    bed.require(case.image in built, f"it is built: {built} {said}")
    case.settle(least, False)
    bed.say(f"refused after it was built: {said}")


# ---- more than one VM ------------------------------------------------------------------------------


def check_equal_md5(hosts):
    """The donor, and the disk itself, have blocks of equal digests and other content: they are sent, and none gets in."""
    failures.configure(hosts, setmov="digest = md5")
    here, there = hosts.gamma, hosts.beta
    content = random.Random(5).randbytes(4 << 20)
    blocks = [COLLISION[0] + bytes([i]) * (4096 - len(COLLISION[0])) for i in range(8)]
    planted = [COLLISION[1] + block[len(COLLISION[0]):] for block in blocks]
    bed.require(all(hashlib.md5(a).digest() == hashlib.md5(b).digest() and a != b for a, b in zip(blocks, planted)), "no collision")
    disk = content[:2 << 20] + b"".join(blocks) + content[2 << 20:] + b"".join(planted)
    for path, data in ((here.path(f"{IMAGES}/md5.raw"), disk),
                       (there.path(f"{IMAGES}/planted.raw"), content[:2 << 20] + b"".join(planted) + content[2 << 20:])):
        with open(path, "wb") as file:
            file.write(data)
    guest_disk.prepare(here.path(f"{IMAGES}/md5.raw"))
    here.writers("md5")
    failures.index(*hosts.all)
    least = count(here, "md5")
    migration = Migration(here, there, "md5")
    migration.succeeds()
    # The donor's are found by their extents, then the disk's own by what they come to.
    bed.require(migration.summary["attempts"] == 3 and migration.summary["blocks"]["local"] > 3 << 20, f"{migration.summary}")
    case = Case(hosts, "md5", there, here)
    case.others = {there: ["planted.raw"]}
    failures.is_only_at(hosts, "md5", there)
    failures.is_whole(there, "md5", least)
    there.virsh("destroy", "md5")
    with open(there.path(f"{IMAGES}/md5.raw"), "rb") as file:
        bed.require(file.read(len(disk)) == disk, "other bytes of equal digest got in")
    bed.say(f"blocks of equal MD5: {migration.summary['attempts']} attempts, {migration.summary['blocks']}")
    there.virsh("undefine", "md5")
    for name in ("md5.raw", "planted.raw"):
        os.unlink(there.path(f"{IMAGES}/{name}"))
    failures.configure(hosts)


def remove_guest(host, guest, *names):
    host.virsh("destroy", guest)
    host.virsh("undefine", guest)
    for name in names:
        os.unlink(host.path(f"{IMAGES}/{name}"))


def recover_once(host):
    """What it says of the one migration that waits."""
    answer = host.attempt("setmov", "recover", "--json", timeout=100)
    row, = json.loads(answer.out)["migrations"]
    return row


def check_off_recovered_early(hosts):
    """libvirt still moves one that is off, of which nothing can be seen but that nobody can change it: nothing is undone."""
    alpha, beta = hosts.alpha, hosts.beta
    guest = failures.make_guest(alpha, "cold")
    count(alpha, guest)
    alpha.virsh("destroy", guest)
    failures.index(alpha, beta)
    with Hold(beta, BEHIND) as hold:
        migration = Migration(alpha, beta, guest, "--offline")
        hold.wait(migration)
        migration.kill()
        row = recover_once(alpha)
        bed.require(row["result"] == "waits" and f"{guest}.raw" in files(beta, IMAGES), f"{row} {files(beta, IMAGES)}")
        hold.release()
        bed.poll(lambda: beta.state(guest) == "shut off" and alpha.state(guest) is None, 60, "libvirt has moved it")
    row = recover_once(alpha)
    bed.require(row["result"] == "finished", f"{row}")
    beta.virsh("start", guest)
    is_only_at(hosts, guest, beta)
    remove_guest(beta, guest, f"{guest}.raw")
    bed.say("one that is off, recovered while libvirt moves it: waits, then finished")


def start_again(host, guest, xml):
    """From a disk of before, though it has moved."""
    with open(host.path(f"{STATE}/again.xml"), "w", encoding="utf-8") as file:
        file.write(xml)
    host.virsh("define", f"{STATE}/again.xml")
    host.virsh("start", guest)


def there_it_stays(hosts, guest, expected):
    """Two of them: whatever becomes of the one there by people, setmov does not undo it."""
    alpha, beta = hosts.alpha, hosts.beta
    row = recover_once(alpha)
    bed.require(row["result"] == "unknown" and "both sides" in row["text"], f"{row}")
    bed.require(places(hosts, guest) == {"alpha": "running", "beta": expected}, f"{places(hosts, guest)} {row}")
    beta.virsh("destroy", guest)
    row = recover_once(alpha)
    bed.require(row["result"] == "unknown" and f"{guest}.raw" in files(beta, IMAGES), f"{row} {files(beta, IMAGES)}")
    bed.require(places(hosts, guest) == {"alpha": "running", "beta": "shut off"}, f"{places(hosts, guest)} {row}")
    alpha.virsh("destroy", guest)
    beta.virsh("start", guest)
    row = recover_once(alpha)
    bed.require(row["result"] == "finished", f"{row}")
    is_only_at(hosts, guest, beta)
    remove_guest(beta, guest, f"{guest}.raw")


def check_resumed_there(hosts):
    """It stood still there, and somebody let it run; then it is started here as well."""
    alpha, beta = hosts.alpha, hosts.beta
    guest = failures.make_guest(alpha, "twice")
    count(alpha, guest)
    failures.index(alpha, beta)
    xml = alpha.virsh("dumpxml", "--inactive", guest)
    alpha.limit("20mbit")
    Migration(alpha, beta, guest).until("moving").kill()
    alpha.limit(None)
    bed.poll(lambda: alpha.state(guest) is None, 120, "it moves")
    beta.virsh("resume", guest)
    count(beta, guest)
    start_again(alpha, guest, xml)
    there_it_stays(hosts, guest, "paused")
    bed.say("resumed there by somebody: it stays")


def check_started_after(hosts):
    """It has moved, but was not cleared away here; then it is started here from its old disk."""
    alpha, beta = hosts.alpha, hosts.beta
    guest = failures.make_guest(alpha, "back")
    count(alpha, guest)
    failures.index(alpha, beta)
    xml = alpha.virsh("dumpxml", "--inactive", guest)
    with Hold(beta) as hold:
        migration = Migration(alpha, beta, guest, "--old-images", "keep")
        hold.wait(migration)
        overlay, = [name for name in files(alpha, IMAGES) if name.startswith(f"{guest}.raw.setmov-")]
        with open(alpha.path(f"{IMAGES}/{overlay}"), "rb") as file:
            # As QEMU has it open.
            fcntl.fcntl(file, 37, struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 100, 1, 0))
            hold.release()
            status, _ = migration.end()
            bed.require(status == 3 and count(beta, guest), f"{status} {migration.err}")
    old, = [name for name in files(alpha, IMAGES) if name.startswith(f"{guest}.raw.setmov-old-")]
    shutil.copy(alpha.path(f"{IMAGES}/{old}"), alpha.path(f"{IMAGES}/{guest}.raw"))
    start_again(alpha, guest, xml)
    there_it_stays(hosts, guest, "running")
    bed.say("started here after it has moved: it stays there")


def check_broken_connection(hosts):
    """setmov's own connection to the destination breaks while the hook works; libvirt's does not."""
    alpha, beta = hosts.alpha, hosts.beta
    guest = failures.make_guest(alpha, "lost")
    failures.index(alpha, beta)
    for stop in (True, False):
        least = count(alpha, guest)
        with Hold(beta) as hold:
            migration = Migration(alpha, beta, guest)
            hold.wait(migration)
            clients = beta.run("virt-admin", "-c", "libvirtd:///system", "client-list", "libvirtd")
            oldest = min(int(line.split()[0]) for line in clients.splitlines() if " tcp " in line)
            beta.run("virt-admin", "-c", "libvirtd:///system", "client-disconnect", "libvirtd", "--client", str(oldest))
            if stop:
                migration.signal(signal.SIGINT)
            hold.release()
            status, said = migration.end()
        place = alpha if stop else beta
        bed.require((status == 0) != stop, f"{status} {said} {migration.err}")
        is_only_at(hosts, guest, place)
        is_whole(place, guest, least)
    remove_guest(beta, guest, f"{guest}.raw")
    bed.say("a connection that breaks while the hook works: stopped, and moved")


def check_two_at_once(hosts):
    """There and back at once, and one VM twice."""
    alpha, beta = hosts.alpha, hosts.beta
    going = [(failures.make_guest(alpha, "two1"), alpha, beta), (failures.make_guest(alpha, "two2"), alpha, beta),
             (failures.make_guest(beta, "two3"), beta, alpha)]
    least = {guest: count(here, guest) for guest, here, _ in going}
    with Hold(beta) as hold:
        twice = Migration(alpha, beta, "two1").until("building")
        said = Migration(alpha, hosts.gamma, "two1").fails("two1")
        hold.release()
        migrations = [twice] + [Migration(here, there, guest) for guest, here, there in going[1:]]
        for migration in migrations:
            migration.succeeds()
    for guest, here, there in going:
        failures.recover(here)
        failures.is_only_at(hosts, guest, there)
        failures.is_whole(there, guest, least[guest])
    for guest, _, there in going:
        remove_guest(there, guest, f"{guest}.raw")
    bed.say(f"two at once, and one twice: {said}")


def check_clones_at_once(hosts):
    """Of one golden image, which is built once."""
    alpha, gamma = hosts.alpha, hosts.gamma
    guest_disk.make(alpha.path(f"{IMAGES}/golden.raw"), failures.SIZE << 20, "golden")
    names = ("clone1", "clone2")
    for name in names:
        alpha.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", f"{IMAGES}/golden.raw", "-F", "raw", f"{IMAGES}/{name}.qcow2")
    alpha.writers(*names)
    least = {name: count(alpha, name) for name in names}
    migrations = [Migration(alpha, gamma, name) for name in names]
    for migration in migrations:
        migration.succeeds()
    failures.recover(alpha)
    with open(alpha.path(f"{IMAGES}/golden.raw"), "rb") as here, open(gamma.path(f"{IMAGES}/golden.raw"), "rb") as there:
        bed.require(here.read() == there.read(), "the golden image differs")
    for name in names:
        failures.is_only_at(hosts, name, gamma)
        last = count(gamma, name, least[name])
        gamma.virsh("suspend", name)
        # Read where its backing file is.
        inside = gamma.attempt("python3", guest_disk.__file__, "check", f"{IMAGES}/{name}.qcow2", str(last))
        gamma.virsh("resume", name)
        bed.require(inside.status == 0, f"{name}: {inside}")
    for name in names:
        remove_guest(gamma, name, f"{name}.qcow2")
    os.unlink(gamma.path(f"{IMAGES}/golden.raw"))
    os.unlink(alpha.path(f"{IMAGES}/golden.raw"))
    bed.say("two clones at once: " + str([migration.summary["bytes"]["parts"] for migration in migrations]))


# ---- paths ------------------------------------------------------------------------------------------

DOMAIN = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{path}'/><target dev='vda' bus='virtio'/></disk>
<controller type='usb' model='none'/></devices></domain>"""


def check_paths(hosts):
    """A disk that would lie outside of what the destination allows: nothing is made there."""
    alpha, beta = hosts.alpha, hosts.beta
    inside, outside = f"{IMAGES}/led", "/var/lib/outside"
    for host in (alpha, beta):
        os.makedirs(host.path(outside), exist_ok=True)
    os.makedirs(alpha.path(inside))
    os.symlink(outside, beta.path(inside))
    for number, path in enumerate((f"{outside}/one.raw", f"{IMAGES}/../../outside/two.raw", f"{inside}/three.raw",
                                   "/etc/shadow.raw", "/dev/null")):
        if path != "/dev/null":
            with open(alpha.path(os.path.normpath(path)), "wb") as file:
                file.write(os.urandom(1 << 20))
        name = f"path{number}"
        with open(alpha.path(f"/var/lib/{name}.xml"), "w", encoding="ascii") as file:
            file.write(DOMAIN.format(name=name, path=path))
        alpha.virsh("define", f"/var/lib/{name}.xml")
        said = Migration(alpha, beta, name, "--offline").fails(".")
        failures.recover(alpha)
        failures.is_only_at(hosts, name, alpha, "shut off")
        bed.require(not os.listdir(beta.path(outside)) and not os.path.exists(beta.path("/etc/shadow.raw")), f"{path}: made")
        bed.say(f"{path}: {said}")
        alpha.virsh("undefine", name)
    os.unlink(beta.path(inside))
    shutil.rmtree(alpha.path(inside))
    failures.is_clean(hosts, {})

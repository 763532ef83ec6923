#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the small Linux guest: Debian's cloud kernel and an initrd with guest*.c as its only program.

usage: guest_image.py        prints the directory that holds vmlinuz and initrd
The kernel comes as a package (apt-get download, kept in BUILD/cache, never installed).
Exit status 77, with one line of reason, where it is not to be had.
"""
import fcntl
import gzip
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.abspath(os.environ.get("SETMOV_BUILD", os.path.join(ROOT, "build")))
META_PACKAGE = "linux-image-cloud-amd64"

# In the order in which they are loaded: each after those it needs.
MODULES = """
net/core/failover drivers/net/net_failover
drivers/virtio/virtio_ring drivers/virtio/virtio
drivers/virtio/virtio_pci_legacy_dev drivers/virtio/virtio_pci_modern_dev drivers/virtio/virtio_pci
drivers/block/virtio_blk drivers/net/virtio_net drivers/virtio/virtio_balloon
""".split()


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def output(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def kernel_package(cache):
    """The path of the kernel's package, downloaded the first time."""
    def kept():
        return sorted(f for f in os.listdir(cache) if re.match(r"linux-image-.*cloud.*\.deb$", f))

    if not kept():
        try:
            depends = output("apt-cache", "depends", META_PACKAGE, stderr=subprocess.DEVNULL)
            name = re.search(r"Depends: (linux-image-\S+)", depends).group(1)
            with tempfile.TemporaryDirectory(dir=cache) as scratch:
                # As root, apt hands downloads to a user who may not write here.
                output("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", name,
                       cwd=scratch, stderr=subprocess.DEVNULL, timeout=300)
                for name in os.listdir(scratch):
                    os.rename(os.path.join(scratch, name), os.path.join(cache, name))
        except (AttributeError, OSError, subprocess.SubprocessError):
            skip(f"no guest kernel: `apt-get download` of {META_PACKAGE}'s package did not work")
    return os.path.join(cache, kept()[-1])


def cpio_entry(number, name, mode, data):
    """One file of a "newc" archive (see cpio(5)); everything belongs to root."""
    fields = [number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)


def make_initrd(path, kernel_tree, program):
    files = [("dev", 0o040755, b""), ("modules", 0o040755, b"")]
    with open(program, "rb") as file:
        files.append(("init", 0o100755, file.read()))
    (release,) = os.listdir(os.path.join(kernel_tree, "lib/modules"))
    names = []
    for module in MODULES:
        source = os.path.join(kernel_tree, "lib/modules", release, "kernel", module + ".ko")
        with open(source, "rb") as file:
            names.append("modules/" + os.path.basename(source))
            files.append((names[-1], 0o100644, file.read()))
    files.append(("modules/order", 0o100644, "".join(f"/{name}\n" for name in names).encode()))
    archive = b"".join(cpio_entry(number, *file) for number, file in enumerate(files, 1))
    archive += cpio_entry(0, "TRAILER!!!", 0, b"")
    with open(path, "wb") as file:
        file.write(gzip.compress(archive, 6))


def main():
    os.makedirs(os.path.join(BUILD, "cache"), exist_ok=True)
    with open(os.path.join(BUILD, "cache/lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        make()


def make():
    target = os.path.join(BUILD, "guest")
    cache = os.path.join(BUILD, "cache")
    sources = [os.path.join(HERE, name) for name in ("guest.c", "guest_records.c")]
    initrd = os.path.join(target, "initrd")
    newest = max(map(os.path.getmtime, [*sources, __file__]))
    if os.path.exists(initrd) and os.path.getmtime(initrd) > newest:
        print(target)
        return
    for tool in ("apt-get", "dpkg-deb", "gcc"):
        if shutil.which(tool) is None:
            skip(f"making the guest needs {tool}")
    package = kernel_package(cache)
    with tempfile.TemporaryDirectory(dir=BUILD) as scratch:
        output("dpkg-deb", "-x", package, scratch + "/kernel")
        output("gcc", "-std=gnu11", "-Wall", "-Wextra", "-O2", "-static", "-s", "-o", scratch + "/init", *sources)
        os.makedirs(scratch + "/guest")
        (kernel,) = [f for f in os.listdir(scratch + "/kernel/boot") if f.startswith("vmlinuz")]
        os.rename(os.path.join(scratch, "kernel/boot", kernel), scratch + "/guest/vmlinuz")
        make_initrd(scratch + "/guest/initrd", scratch + "/kernel", scratch + "/init")
        shutil.rmtree(target, ignore_errors=True)
        os.rename(scratch + "/guest", target)
    print(target)


if __name__ == "__main__":
    main()

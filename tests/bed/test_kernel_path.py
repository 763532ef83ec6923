#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel tells of a VM is what libvirt tells: CPU, taps, steal, rss; with and without cgroups.

Two `setmov stat` at once, one with --no-kernel-path, over the same piece of
work: the guest is idle when they begin and end, so the totals must agree.
"""
import bed

BURN_SECONDS = 3
PACKETS, FRAME = 2000, 400


def total(samples, figure):
    return bed.integral([s for s in samples if figure(s) is not None], figure)


def vm(sample):
    return bed.by_name(sample["vms"], "worker")


def compare(what, kernel, libvirt, tolerance):
    bed.near(kernel, libvirt, tolerance, f"{what}, kernel against libvirt")
    bed.say(f"  {what}: kernel {kernel:.3f}, libvirt {libvirt:.3f}")


def run(host):
    cores = int(next(line for line in host.virsh("nodeinfo").splitlines() if line.startswith("CPU(s)")).split()[1])
    host.linux_guests("worker")
    host.guest("worker", "net eth0")
    before = host.domstats()["worker"]
    common = ("--connect", "qemu:///system", "--interval", 1, "--count", 10, "--all")
    kernel = bed.Stat(host, *common)
    libvirt = bed.Stat(host, *common, "--no-kernel-path")
    kernel.next()
    libvirt.next()
    host.guest("worker", f"burn {BURN_SECONDS}")
    host.guest("worker", f"send eth0 {PACKETS} {FRAME} 4")
    kernel, libvirt = kernel.rest(), libvirt.rest()
    after = host.domstats()["worker"]

    def both(what, figure, tolerance, scale=1.0):
        compare(what, total(kernel, figure) * scale, total(libvirt, figure) * scale, tolerance)

    # A tick of 10 ms at each end, and what the idle guest does while only one of them looks.
    both("CPU seconds", lambda s: vm(s)["cpu_percent"], 0.06, cores / 100)
    both("vCPU seconds", lambda s: vm(s)["vcpus"][0]["busy_percent"], 0.06, 1 / 100)
    both("seconds of steal", lambda s: vm(s)["vcpus"][0]["steal_percent"], 0.06, 1 / 100)
    both("packets sent", lambda s: vm(s)["interfaces"][0]["tx_packets_per_s"], PACKETS / 100)
    both("bits sent", lambda s: vm(s)["interfaces"][0]["tx_bits_per_s"], PACKETS * FRAME * 8 / 100)
    both("packets received", lambda s: vm(s)["interfaces"][0]["rx_packets_per_s"], 0.5)
    both("bytes written", lambda s: bed.by_name(vm(s)["disks"], "vda")["write_bytes_per_s"], 0)
    rss = [vm(samples[-1])["memory"]["rss_bytes"] for samples in (kernel, libvirt)]
    compare("rss MiB", rss[0] / 2**20, rss[1] / 2**20, rss[1] / 2**20 / 50)

    used = (int(after["cpu.time"]) - int(before["cpu.time"])) / 1e9
    ours = total(kernel, lambda s: vm(s)["cpu_percent"]) * cores / 100
    bed.require(ours <= used + 0.02, f"CPU seconds {ours}: virsh, over a longer time, says {used}")
    bed.require(ours > 0.5 * used > 0, f"CPU seconds {ours}: virsh says {used}")


bed.main(run, (), ("--cgroup",))

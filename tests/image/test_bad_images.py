#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What is no image, or one that must not be followed, is refused with one line; nothing is left over."""

import errno
import os
import random
import socket
import struct
import subprocess

from image_bed import ImageError, Tool, fails, main, need, refused, run, same_content, write_pattern

MIB = 1 << 20


def qcow2(path, *options, size="8M"):
    run("qemu-img", "create", "-f", "qcow2", *options, path, size)
    return path


def expect(error, code, *words):
    assert error.code == code, (error.code, error.text)
    for word in words:
        assert word in error.text, error.text


def not_a_file(work):
    expect(refused(work), errno.EISDIR, str(work), "directory")
    os.mkfifo(work / "fifo")
    expect(refused(work / "fifo"), errno.EINVAL, "FIFO")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(work / "socket"))
        expect(refused(work / "socket"), errno.EINVAL, "socket")
    expect(refused("/dev/null"), errno.EINVAL, "character device")
    expect(refused(work / "missing"), errno.ENOENT, "missing", "No such file")
    expect(refused(""), errno.ENOENT)
    (work / "dangling").symlink_to(work / "nowhere")
    expect(refused(work / "dangling"), errno.ENOENT)


def no_permission(work):
    image = work / "secret.raw"
    image.write_bytes(bytes(4096))
    image.chmod(0)
    work.chmod(0o755)
    if os.getuid() == 0:
        expect(refused(image, prefix=("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
                       env={"TMPDIR": "/tmp"}), errno.EACCES, "Permission denied")
    else:
        expect(refused(image), errno.EACCES, "Permission denied")


def unknown_format(work):
    image = qcow2(work / "a.qcow2")
    for name in ("nbd", "file", "host_device", "vvfat", "ssh", "", "json:{}", "qcow2,backing.driver=nbd"):
        expect(refused(image, "-f", name), errno.EINVAL, "not known")


def wrong_format(work):
    image = work / "plain.raw"
    image.write_bytes(b"hello" * 1000)
    for name in ("qcow2", "qed", "qcow", "vmdk", "vdi", "vhdx", "vpc", "parallels", "bochs", "cloop", "dmg"):
        assert refused(image, "-f", name).code in (errno.EBADMSG, errno.ENOTSUP, errno.EIO, errno.EFBIG), name


def encrypt(image, name, options):
    """qemu-img measures the CPU to choose a number of rounds, and on a busy machine it sometimes fails to."""
    for attempt in range(20):
        try:
            run("qemu-img", "create", "--object", "secret,id=s,data=x", "-f", name, "-o", options, image, "4M")
            return
        except subprocess.CalledProcessError as error:
            if attempt == 19:
                raise AssertionError(error.stderr) from error


def encrypted(work):
    image = work / "a.qcow2"
    encrypt(image, "qcow2", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10")
    expect(refused(image), errno.ENOTSUP, "encrypted")
    encrypt(work / "b", "luks", "key-secret=s,iter-time=10")
    expect(refused(work / "b"), errno.ENOTSUP, "encrypted")
    with Tool(work / "b", "-f", "raw") as tool:  # its bytes as they are, if that is what is asked for
        assert tool.info()["format"] == "raw"


def backing_outside(work):
    (work / "in").mkdir()
    (work / "in/sub").mkdir()
    (work / "out").mkdir()
    write_pattern(work / "out/base.raw", [(0, MIB)], 8 * MIB)
    write_pattern(work / "in/sub/base.raw", [(0, MIB)], 8 * MIB)
    top = work / "in/top.qcow2"
    for name in ("../out/base.raw", work / "out/base.raw"):
        qcow2(top, "-b", name, "-F", "raw")
        expect(refused(top), errno.EPERM, "outside", str(work / "out/base.raw"))
        for options in (("-o",), ("-a", work / "out"), ("-a", work)):
            with Tool(top, *options) as tool:
                assert len(tool.info()["layers"]) == 2
        expect(refused(top, "-a", work / "ou"), errno.EPERM, "outside")
    (work / "in/link.raw").symlink_to(work / "out/base.raw")
    qcow2(top, "-b", "link.raw", "-F", "raw")
    expect(refused(top), errno.EPERM, "outside")
    qcow2(top, "-b", "sub/base.raw", "-F", "raw")
    with Tool(top) as tool:
        assert len(tool.info()["layers"]) == 2


def image_by_symlink(work):
    """Names in an image are meant from where it was named, as QEMU takes them; both places are allowed."""
    (work / "real").mkdir()
    (work / "named").mkdir()
    write_pattern(work / "named/base.raw", [(0, MIB)], 8 * MIB)
    write_pattern(work / "real/other.raw", [(0, MIB)], 8 * MIB)
    (work / "named/top.qcow2").symlink_to(work / "real/top.qcow2")
    for base in ("base.raw", str(work / "real/other.raw")):
        qcow2(work / "real/top.qcow2", "-u", "-b", base, "-F", "raw")
        with Tool(work / "named/top.qcow2") as tool:
            assert len(tool.info()["layers"]) == 2


def protocols(work):
    """Never opened, whatever is allowed; a listener on the port would hear of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        port = listener.getsockname()[1]
        for name in (f"http://127.0.0.1:{port}/base", f"nbd:127.0.0.1:{port}", "file:base.raw", "nbd://127.0.0.1/",
                     'json:{"driver":"null-co"}', f"ssh://127.0.0.1:{port}/x", "fat:rw:/etc", "blkdebug::base.raw"):
            qcow2(work / "top.qcow2", "-u", "-b", name, "-F", "raw")
            expect(refused(work / "top.qcow2", "-o"), errno.EPERM, "not a local file")
        try:
            listener.accept()
        except TimeoutError:
            pass
        else:
            raise AssertionError("somebody connected")


def hostile_vmdk(work):
    """A descriptor names files too: QEMU opens whatever stands there."""
    head = '# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType="monolithicFlat"\n'
    image = work / "disk.vmdk"
    (work / "flat").write_bytes(b"x" * MIB)
    image.write_text(head + 'RW 2048 FLAT "flat" 0\n')
    with Tool(image) as tool:
        tool.ask(f"all {work}/copied")
    assert same_content(work / "flat", work / "copied")
    for name, code in (("nbd:127.0.0.1:1", errno.EPERM), ("json:{}", errno.EPERM), ("/etc/passwd", errno.EPERM),
                       ("../flat", errno.ENOENT), ("missing", errno.ENOENT)):
        image.write_text(head + f'RW 2048 FLAT "{name}" 0\n')
        assert refused(image).code == code, name
    for line in ("RW 2048 FLAT\n", "RW 99999999999999999999 FLAT \"flat\" 0\n", "RW 2048 NBD \"flat\"\n", "",
                 'RW 2048 FLAT "flat" -1\n', 'RW 2048 FLAT "flat\n'):
        image.write_text(head + line)
        assert refused(image).code == errno.EBADMSG, line
    image.write_text(head + 'RW 2048 SPARSE "flat"\n')
    assert refused(image).code == errno.EBADMSG
    image.write_text(head + 'RW 2048 ZERO\nRW 2048 FLAT "flat" 0\n' * 300)
    assert refused(image).code == errno.E2BIG
    header = bytearray(1024)
    struct.pack_into("<4sIIQQQQ", header, 0, b"KDMV", 1, 3, 0, 128, 1, 1)
    image.write_bytes(bytes(header[:512]) + (head + 'RW 2048 FLAT "/etc/passwd" 0\n').encode())
    assert refused(image).code == errno.ENOTSUP


def external_data_file_outside(work):
    (work / "in").mkdir()
    image = work / "in/a.qcow2"
    run("qemu-img", "create", "-f", "qcow2", "-o", f"data_file={work}/clusters", image, "8M")
    expect(refused(image), errno.EPERM, "outside")
    with Tool(image, "-a", work) as tool:
        assert len(tool.info()["layers"]) == 2


def loops_and_depth(work):
    qcow2(work / "a.qcow2")
    qcow2(work / "b.qcow2", "-u", "-b", "a.qcow2", "-F", "qcow2")
    qcow2(work / "self.qcow2", "-u", "-b", "self.qcow2", "-F", "qcow2")
    run("qemu-img", "rebase", "-u", "-b", "b.qcow2", "-F", "qcow2", work / "a.qcow2")
    expect(refused(work / "a.qcow2"), errno.ELOOP, "twice")
    expect(refused(work / "self.qcow2"), errno.ELOOP, "twice")
    write_pattern(work / "0", [(0, MIB)], 8 * MIB)
    for number in range(1, 65):
        qcow2(work / str(number), "-u", "-b", str(number - 1), "-F", "raw" if number == 1 else "qcow2")
    with Tool(work / "63") as tool:
        assert len(tool.info()["layers"]) == 64
        tool.ask(f"all {work}/copied")
    assert same_content(work / "0", work / "copied")
    expect(refused(work / "64"), errno.ELOOP, "64 layers")


def missing_backing_file(work):
    qcow2(work / "top.qcow2", "-u", "-b", "gone.raw", "-F", "raw")
    expect(refused(work / "top.qcow2"), errno.ENOENT, "top.qcow2", "gone.raw")


def absurd_sizes(work):
    image = qcow2(work / "a.qcow2")
    for size in ((1 << 63) - 1, 1 << 63, (1 << 64) - 1, (1 << 63) - 512):
        with open(image, "r+b") as file:
            file.seek(24)
            file.write(struct.pack(">Q", size))
        expect(refused(image), errno.EFBIG, "absurd")
    for size in ((1 << 62), (1 << 63) - (1 << 31)):  # QEMU's to refuse
        with open(image, "r+b") as file:
            file.seek(24)
            file.write(struct.pack(">Q", size))
        refused(image)
    large = f"/dev/shm/setmov-test-{os.getpid()}"
    if os.access("/dev/shm", os.W_OK):
        try:
            for size, code in (((1 << 63) - 4096, errno.EFBIG), ((1 << 62), 0)):
                with open(large, "wb") as file:
                    file.truncate(size)
                if code:
                    expect(refused(large), code, "absurd")
                    continue
                with Tool(large) as tool:
                    assert tool.extents() == [[0, size, "hole"]]
        finally:
            os.unlink(large)


def truncated(work):
    write_pattern(work / "base.raw", [(0, 6 * MIB)], 8 * MIB)
    for name in ("qcow2", "vmdk", "vdi", "vhdx", "qed", "parallels"):
        image = work / f"a.{name}"
        run("qemu-img", "convert", "-O", name, work / "base.raw", image)
        whole = image.read_bytes()
        for length in (70, 500, 4096, 65536, len(whole) // 2):
            image.write_bytes(whole[:length])
            try:
                with Tool(image, "-f", name) as tool:
                    tool.extents()
                    tool.ask(f"copy {work}/copied")
            except ImageError as error:
                assert error.code in (errno.EBADMSG, errno.EIO, errno.EINVAL, errno.EFBIG), error.text


def corrupted(work):
    """Bytes anywhere changed: an error or some content, never a crash, never a hang."""
    write_pattern(work / "base.raw", [(0, 2 * MIB)], 8 * MIB)
    source = random.Random(1)
    for name in ("qcow2", "vmdk"):
        image = work / f"a.{name}"
        run("qemu-img", "convert", "-O", name, work / "base.raw", image)
        whole = image.read_bytes()
        for _ in range(25):
            broken = bytearray(whole)
            for _ in range(source.randint(1, 20)):
                broken[source.randrange(0, min(len(broken), 6 * 65536))] = source.randrange(256)
            image.write_bytes(broken)
            try:
                with Tool(image, "-f", name) as tool:
                    tool.extents()
                    if tool.info()["size"] <= 64 * MIB:
                        tool.ask(f"copy {work}/copied")
            except ImageError as error:
                assert error.text, "no reason given"


def bad_cluster_is_reported(work):
    """A table entry that is no cluster: the reading fails, and the message names the image."""
    image = qcow2(work / "a.qcow2")
    run("qemu-io", "-c", "write -P 5 0 2M", image)
    with open(image, "r+b") as file:
        header = file.read(104)
        table = struct.unpack(">Q", header[40:48])[0]
        file.seek(table)
        entries = struct.unpack(">Q", file.read(8))[0] & 0x00FFFFFFFFFFFE00
        file.seek(entries)
        file.write(struct.pack(">Q", (1 << 63) | 0x10200))
    with Tool(image) as tool:
        expect(fails(tool, "read 0 65536"), errno.EIO, "a.qcow2")
        tool.ask("read 1048576 65536")


def odd_names(work):
    """Taken as plain local files, whatever QEMU would make of them."""
    write_pattern(work / "base.raw", [(0, MIB)], 8 * MIB)
    for name in ("nbd:127.0.0.1:1", 'json:{"driver":"null-co"}', "-x", "--help", "a,b=c", "file:x", "a b'c\"d", "%s%n",
                 "http:x", "driver=raw,file=x"):
        run("qemu-img", "convert", "-O", "qcow2", work / "base.raw", work / "plain")
        os.rename(work / "plain", work / name)
        arguments = ("--", name) if name.startswith("-") else (name,)
        with Tool(arguments[-1], *arguments[:-1], cwd=work) as tool:
            tool.ask(f"all {work}/copied")
        assert same_content(work / "base.raw", work / "copied"), name


def same_messages_are_one_line(work):
    image = work / "new\nline.raw"
    expect(refused(image), errno.ENOENT, "new line.raw")


need("qemu-img", "qemu-nbd", "qemu-io", "setpriv")
main([not_a_file, no_permission, unknown_format, wrong_format, encrypted, backing_outside, image_by_symlink, protocols,
      hostile_vmdk, external_data_file_outside, loops_and_depth, missing_backing_file, absurd_sizes, truncated,
      corrupted, bad_cluster_is_reported, odd_names, same_messages_are_one_line])

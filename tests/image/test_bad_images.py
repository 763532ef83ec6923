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
from qemu_io import Writer

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


def made_up_by_the_kernel(work):
    """Files of /proc and /sys, by name, by link and as a backing file; not what a link there leads to."""
    for path in ("/proc/cpuinfo", "/proc/self/mem", "/proc/kcore", "/sys/kernel/notes"):
        if os.path.exists(path):
            expect(refused(path), errno.EINVAL, f"{path}: is made up by the kernel")
    (work / "link.raw").symlink_to("/proc/cpuinfo")
    expect(refused(work / "link.raw"), errno.EINVAL, "made up")
    qcow2(work / "top.qcow2", "-u", "-b", "/proc/cpuinfo", "-F", "raw")
    expect(refused(work / "top.qcow2", "-o"), errno.EINVAL, "/proc/cpuinfo", "made up")
    write_pattern(work / "image.raw", [(0, MIB)], MIB)
    with open(work / "image.raw", "rb") as file, Tool(f"/proc/{os.getpid()}/fd/{file.fileno()}") as tool:
        assert tool.info()["layers"]


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
    for name in ("ou", "in2"):  # names that only begin alike
        (work / name).mkdir()
    expect(refused(top, "-a", work / "ou"), errno.EPERM, "outside")
    write_pattern(work / "in2/base.raw", [(0, MIB)], 8 * MIB)
    qcow2(top, "-b", "../in2/base.raw", "-F", "raw")
    expect(refused(top), errno.EPERM, "outside")
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


def cut(image, length):
    with open(image, "r+b") as file:
        file.truncate(length)


def refused_or_unreadable(work, image, name):
    """The error with which it is not opened, or not read; what is read must not be taken for the image."""
    try:
        with Tool(image, "-f", name) as tool:
            tool.extents()
            tool.ask(f"all {work}/copied")
    except ImageError as error:
        assert error.code in (errno.EBADMSG, errno.EIO, errno.EINVAL, errno.EFBIG), error.text
        assert str(image) in error.text, error.text
        return error
    raise AssertionError(f"{image}, cut to {image.stat().st_size}, was read")


def truncated(work):
    """QEMU reads zeroes behind the end of a file. Formats marked here are refused by QEMU itself."""
    write_pattern(work / "base.raw", [(0, 6 * MIB)], 8 * MIB)
    for name, options, qemus in (("qcow2", "", False), ("qcow2", "compat=0.10", False),
                                 ("qcow2", "extended_l2=on,cluster_size=16k", False),
                                 ("qcow2", "cluster_size=512", False), ("qcow2", "cluster_size=2M", False),
                                 ("qcow2", "preallocation=metadata", False), ("qcow2", "preallocation=falloc", False),
                                 ("qcow", "", False), ("vmdk", "subformat=monolithicSparse", False),
                                 ("vmdk", "subformat=streamOptimized", False), ("vdi", "", False),
                                 ("vdi", "static=on", False), ("parallels", "", False), ("vhdx", "", True),
                                 ("qed", "", True), ("vpc", "", True)):
        image = work / "disk"
        run("qemu-img", "convert", "-O", name, *(("-o", options) if options else ()), work / "base.raw", image)
        size = image.stat().st_size
        with Tool(image, "-f", name) as tool:  # whole, it is what it was
            tool.ask(f"all {work}/copied")
        assert run("qemu-img", "compare", "-f", "raw", "-F", name, work / "copied", image).strip() == "Images are identical."
        # Nearly all of it, then less and less; the last cluster may be there in part.
        for length in (size - 2 * MIB - 512, size // 2, 65536, 4096, 500, 70):
            if 0 < length < size:
                cut(image, length)
                error = refused_or_unreadable(work, image, name)
                assert qemus or length < 512 or "cut short: " in error.text, (name, options, length, error.text)


def truncated_by_a_cluster(work):
    """As much as it takes; the message says what is missing, and where the file ends."""
    image = qcow2(work / "a.qcow2")
    run("qemu-io", "-c", "write -P 1 0 64k", "-c", "write -P 2 64k 64k", image)
    size = image.stat().st_size
    cut(image, size - 65535)
    with Tool(image) as tool:
        tool.ask(f"all {work}/copied")
    cut(image, size - 65536)
    expect(refused(image), errno.EBADMSG,
           f"{image}: cut short: a cluster at {size - 65536} lies behind its end at {size - 65536}")
    cut(image, 262144 + 65535)
    expect(refused(image), errno.EBADMSG, f"{image}: cut short: a table at 262144 lies behind its end at 327679")
    cut(image, 196608)
    expect(refused(image), errno.EBADMSG, f"{image}: cut short: a table at 196608 lies behind its end at 196608")


def truncated_compressed(work):
    """The last sector of the last cluster counts: what follows a cut stream may still be unpacked."""
    image = work / "a.qcow2"
    write_pattern(work / "base.raw", [(0, 2 * MIB)], 8 * MIB)
    run("qemu-img", "convert", "-c", "-O", "qcow2", work / "base.raw", image)
    size = image.stat().st_size
    with Tool(image) as tool:
        tool.ask(f"all {work}/copied")
    assert same_content(work / "base.raw", work / "copied")
    cut(image, size - 512)
    expect(refused(image), errno.EBADMSG, f"a cluster at {size - 512} lies behind its end at {size - 512}")


def truncated_elsewhere(work):
    """A backing file, a file with the data, a part of a vmdk."""
    base, top = qcow2(work / "base.qcow2"), work / "top.qcow2"
    run("qemu-io", "-c", "write -P 1 0 1M", base)
    qcow2(top, "-b", "base.qcow2", "-F", "qcow2")
    cut(base, 700000)
    expect(refused(top), errno.EBADMSG, f"{base}: cut short: a cluster at ")
    image, data = work / "a.qcow2", work / "clusters"
    for options in ("", ",data_file_raw=on"):
        qcow2(image, "-o", f"data_file={data}{options}")
        run("qemu-io", "-c", "write -P 1 0 64k", "-c", "write -P 2 1M 64k", image)
        with Tool(image) as tool:
            tool.ask(f"all {work}/copied")
        cut(data, MIB)
        expect(refused(image), errno.EBADMSG, f"{data}: cut short: a cluster at ")
        run("qemu-img", "create", "-f", "raw", data, "8M")  # as large as it was, and larger than the image's file
        with Tool(image) as tool:
            tool.ask(f"all {work}/copied")
        cut(data, 0)
        expect(refused(image), errno.EBADMSG, f"{data}: cut short: a cluster at ")
        data.unlink()
    write_pattern(work / "base.raw", [(0, 6 * MIB)], 8 * MIB)
    for kind, part in (("twoGbMaxExtentSparse", "disk-s001.vmdk"), ("monolithicFlat", "disk-flat.vmdk")):
        run("qemu-img", "convert", "-O", "vmdk", "-o", f"subformat={kind}", work / "base.raw", work / "disk.vmdk")
        with Tool(work / "disk.vmdk") as tool:
            tool.ask(f"all {work}/copied")
        assert same_content(work / "base.raw", work / "copied")
        cut(work / part, 2 * MIB)
        expect(refused(work / "disk.vmdk"), errno.EBADMSG, part, "cut short: ")


def what_is_never_read_may_be_missing(work):
    """Clusters of zeroes that have a place, and subclusters that are not stored."""
    image = qcow2(work / "a.qcow2")
    run("qemu-io", "-c", "write -P 1 0 64k", "-c", "write -P 2 64k 64k", "-c", "write -z 64k 64k", image)
    size = image.stat().st_size
    cut(image, size - 65536)
    with Tool(image) as tool:
        assert tool.extents() == [[0, 65536, "data"], [65536, 8 * MIB - 65536, "hole"]]
    image = qcow2(work / "b.qcow2", "-o", "extended_l2=on,cluster_size=64k")
    run("qemu-io", "-c", "write -P 1 0 64k", "-c", "write -P 2 64k 2k", image)
    size = 65536 * 6
    cut(image, size + 2048)
    with Tool(image) as tool:
        assert tool.extents() == [[0, 67584, "data"], [67584, 8 * MIB - 67584, "hole"]]
    run("qemu-io", "-c", "write -P 2 70k 2k", image)
    cut(image, size + 2048)
    expect(refused(image), errno.EBADMSG, f"a cluster at {size + 6144} lies behind")


def truncated_in_use(work):
    """Tables and file of an image that is written differ for a moment: it is read as it is."""
    image = qcow2(work / "a.qcow2")
    run("qemu-io", "-c", "write -P 1 0 1M", image)
    cut(image, 700000)
    with Writer(image):
        with Tool(image) as tool:
            assert tool.ask("in-use") == "yes"
            tool.ask(f"all {work}/copied")
    expect(refused(image), errno.EBADMSG, "cut short")


def made_up_tables(work):
    """Tables that overlap, that are the same again and again, that lie in endless holes: soon over."""
    cluster, most = 65536, 1 << 20

    def write(tables, size, kind=None):
        header = bytearray(104)
        header[:4] = b"QFI\xfb"
        struct.pack_into(">I8xIIQIIQQI", header, 4, 3, 0, 16, most * (cluster // 8) * cluster, 0, len(tables), 2 * cluster,
                         cluster, 1)
        struct.pack_into(">II", header, 96, 4, 104)
        with open(work / "a.qcow2", "wb") as file:
            file.write(header)
            file.seek(2 * cluster)
            file.write(struct.pack(f">{len(tables)}Q", *tables))
            file.truncate(size)

    first = 1 << 30
    write([first] * most, first + cluster)
    with Tool(work / "a.qcow2") as tool:
        assert tool.info()["size"] == most * (cluster // 8) * cluster
    write([first + number * cluster for number in range(most)], first + most * cluster)
    Tool(work / "a.qcow2").close()
    write([first + number * cluster for number in range(most)], first + (most - 1) * cluster)
    expect(refused(work / "a.qcow2"), errno.EBADMSG, f"a table at {first + (most - 1) * cluster} lies behind")
    write([(1 << 55) + number * cluster for number in range(4)], first)
    expect(refused(work / "a.qcow2"), errno.EBADMSG, f"a table at {1 << 55} lies behind")
    write([], 8 * cluster)
    with open(work / "a.qcow2", "r+b") as file:  # the counts of references
        file.seek(48)
        file.write(struct.pack(">Q", 8 * cluster))
    expect(refused(work / "a.qcow2"), errno.EBADMSG, f"a table at {8 * cluster} lies behind")
    run("qemu-img", "create", "-f", "vmdk", work / "a.vmdk", "256M")
    with open(work / "a.vmdk", "r+b") as file:  # 8 tables of 4 sectors
        file.seek(56)
        directory = struct.unpack("<Q", file.read(8))[0] * 512
        file.seek(directory)
        file.write(struct.pack("<8I", *range(100, 108)))
    expect(refused(work / "a.vmdk"), errno.EBADMSG, "its tables at 51200 and 51712 overlap")


def unknown_versions(work):
    """Not taken for a raw disk, unless somebody says so."""
    image = qcow2(work / "a.qcow2")
    whole = image.read_bytes()
    for version in (0, 4, 9, 0x67756573):
        image.write_bytes(whole[:4] + struct.pack(">I", version) + whole[8:])
        expect(refused(image), errno.ENOTSUP, f"{image}: qcow2 version {version} is not known")
        expect(refused(image, "-f", "qcow2"), errno.ENOTSUP, f"qcow2 version {version} is not known")
    image.write_bytes(b"QFI\xfb")
    expect(refused(image), errno.EBADMSG, "is no qcow2 image")
    with Tool(image, "-f", "raw") as tool:
        assert tool.info()["format"] == "raw"


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


need("qemu-img", "qemu-nbd", "qemu-io", "setpriv", "stdbuf")
main([not_a_file, made_up_by_the_kernel, no_permission, unknown_format, wrong_format, encrypted, backing_outside, image_by_symlink, protocols,
      hostile_vmdk, external_data_file_outside, loops_and_depth, missing_backing_file, absurd_sizes, truncated,
      truncated_by_a_cluster, truncated_compressed, truncated_elsewhere, what_is_never_read_may_be_missing,
      truncated_in_use, made_up_tables, unknown_versions, corrupted, bad_cluster_is_reported, odd_names, same_messages_are_one_line])

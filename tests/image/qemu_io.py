# SPDX-License-Identifier: GPL-2.0-or-later
"""A qemu-io that holds an image open as a VM would."""

import os
import subprocess

from image_bed import BOUND


class Writer:
    """Takes one command at a time, and then prompts."""

    PROMPT = b"qemu-io> "

    def __init__(self, image, *options, image_format="qcow2"):
        self.process = subprocess.Popen(["stdbuf", "-o0", "qemu-io", "-f", image_format, *options, str(image)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        bufsize=0)
        self.until_prompt()

    def until_prompt(self):
        said = b""
        while not said.endswith(self.PROMPT):
            part = os.read(self.process.stdout.fileno(), 4096)
            assert part, f"qemu-io ended: {said}"
            said += part
        return said.decode()

    def ask(self, command):
        self.process.stdin.write(command.encode() + b"\n")
        return self.until_prompt()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(BOUND)

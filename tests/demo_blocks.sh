#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The part of `make demo` about disk images, below build/demo/images: the worked example of the 2010
# paper, then three made-up hosts with images of real files, their indexes, and where a VM should go.
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

IMAGES=${SETMOV_BUILD#"$ROOT/"}/demo/images
HOSTS=(alpha beta gamma)

title()
{
    printf '\n== %s\n' "$*"
}

# run COMMAND...: shows what is run, then its output.
run()
{
    echo "\$ $*" | sed "s#$ROOT/##g"
    "$@" || fail "that ended with status $?"
}

# An image of 512-byte blocks, one for each digit: all its bytes are that digit.
image_of_digits()
{
    local image=$1 digit
    shift
    for digit in "$@"; do
        head -c 512 /dev/zero | tr '\0' "$digit"
    done >"$image"
}

# file_system IMAGE DIRECTORY...: a sparse ext4 image that holds the directories.
file_system()
{
    local image=$1 contents
    shift
    contents=$(mktemp -d "$IMAGES/contents.XXXXXX")
    cp -a "$@" "$contents"
    truncate -s 64M "$image"
    mke2fs -q -t ext4 -b 4096 -m 0 -d "$contents" "$image"
    rm -r "$contents"
}

[ -x "$SETMOV" ] || fail "$SETMOV is not built: make all"
need mke2fs qemu-img
cd "$ROOT"
rm -rf "$IMAGES"
mkdir -p "$IMAGES"
for host in "${HOSTS[@]}"; do
    mkdir "$IMAGES/$host"
done

title "Two images of ten blocks: the worked example of the 2010 paper"
image_of_digits "$IMAGES/A.raw" 0 1 2 1 0 4 4 4 3 5
image_of_digits "$IMAGES/B.raw" 1 6 2 7 3 8 4 9 1 6
run "$SETMOV" compare "$IMAGES/A.raw" "$IMAGES/B.raw"

# Real files of this system, so that sizes and repetitions are real ones.
libraries=$(python3 -c 'import os; print(os.path.dirname(os.__file__))')
some=("$libraries"/*.py "$libraries"/{asyncio,encodings,json,email,http,importlib,unittest,xml})
file_system "$IMAGES/alpha/edition1.raw" "${some[@]}"
file_system "$IMAGES/beta/unrelated.raw" /usr/include/linux
file_system "$IMAGES/gamma/part.raw" "$libraries"/{asyncio,encodings}
file_system "$IMAGES/edition2.raw" "${some[@]}" /usr/include/asm-generic
qemu-img convert -c -O qcow2 "$IMAGES/beta/unrelated.raw" "$IMAGES/beta/unrelated.qcow2"
rm "$IMAGES/beta/unrelated.raw"
# The VM to move: a small overlay on its second edition.
qemu-img create -q -f qcow2 -b edition2.raw -F raw "$IMAGES/vm1.qcow2"

title "Three hosts with images of real files: an index of each"
for host in "${HOSTS[@]}"; do
    run "$SETMOV" index "$IMAGES/$host" --index "$IMAGES/$host.index" --quiet
done

title "How much of the VM's disk is there already?"
run "$SETMOV" compare --block-size 4096 "$IMAGES/vm1.qcow2" "$IMAGES"/*/*.{raw,qcow2}

title "Where should it go?"
options=()
for host in "${HOSTS[@]}"; do
    options+=(--host "$host=$IMAGES/$host.index")
done
run "$SETMOV" choose "$IMAGES/vm1.qcow2" "${options[@]}" --explain
choice=$("$SETMOV" choose "$IMAGES/vm1.qcow2" "${options[@]}" --json |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["choice"])')
[ "$choice" = alpha ] || fail "alpha has the first edition of this image, but $choice was chosen"

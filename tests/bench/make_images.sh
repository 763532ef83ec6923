#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Makes the images of the benchmarks in a directory, those that are not there yet:
#
#     tests/bench/make_images.sh DIR NAME...
#
#     made.raw                3.2 GB: a quarter zeroes that are written, a quarter duplicates, the rest random
#     pair-1.raw, pair-2.raw  1.2 GB of the same kind, a third in common
#     debian-RELEASE.raw      Debian's smallest system on ext4, 3.2 GB in virtual size, sparse
#     debian-RELEASE+.raw     the same release, installed anew with more packages
#     NAME.qcow2              any of them as qcow2
#
# Debian's need root, mmdebstrap and a mirror; exit status 77 and a line that says what is missing.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
SIZE=3200M
MORE_PACKAGES=openssh-server,python3,vim-tiny,curl,rsync,less,man-db
unfinished=()

cannot()
{
    echo "$1"
    exit 77
}

end()
{
    [ ${#unfinished[@]} -eq 0 ] || rm -rf --one-file-system -- "${unfinished[@]}"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The settings of this machine's apt that decide how it reaches its mirror.
apt_options()
{
    apt-config dump | grep -E '^Acquire::(https?::|Check-|Retries|Languages|Proxy).*"[^"]+";$' || true
}

make_debian()
{
    local file=$1 release=$2 packages=$3 tree option
    local -a options=()
    [ "$(id -u)" -eq 0 ] || cannot "Debian images need root"
    command -v mmdebstrap >/dev/null || cannot "Debian images need the package mmdebstrap"
    while read -r option; do
        [ -z "$option" ] || options+=("--aptopt=${option%;}")
    done < <(apt_options)
    [ -z "$packages" ] || options+=("--include=$packages")
    tree=$(mktemp -d "${file%/*}/tree.XXXXXX")
    unfinished+=("$tree")
    chmod 755 "$tree"
    # As an installation leaves it: the package lists stay, as they do on a running system.
    mmdebstrap --quiet --variant=minbase --skip=cleanup/apt "${options[@]}" "$release" "$tree" >&2 ||
        cannot "mmdebstrap cannot install Debian $release"
    truncate -s "$SIZE" "$file.new"
    mke2fs -q -t ext4 -d "$tree" "$file.new"
    rm -rf --one-file-system -- "$tree"
}

make_image()
{
    local file=$1 name=${1##*/} release=
    [ ! -s "$file" ] || return 0
    unfinished+=("$file.new")
    case $name in
    *.qcow2)
        make_image "${file%.qcow2}.raw"
        qemu-img convert -O qcow2 "${file%.qcow2}.raw" "$file.new"
        ;;
    made.raw) python3 "$here/made_image.py" "$file.new" ;;
    pair-*.raw)
        name=${name#pair-}
        python3 "$here/made_image.py" "$file.new" 1200 "${name%.raw}"
        ;;
    debian-*+.raw)
        release=${name#debian-}
        make_debian "$file" "${release%+.raw}" "$MORE_PACKAGES"
        ;;
    debian-*.raw)
        release=${name#debian-}
        make_debian "$file" "${release%.raw}" ""
        ;;
    *)
        echo "make_images.sh: no image is called $name" >&2
        exit 2
        ;;
    esac
    mv -- "$file.new" "$file"
}

[ $# -ge 2 ] || { echo "usage: make_images.sh DIR NAME..." >&2; exit 2; }
directory=$(realpath -- "$1")
shift
for name in "$@"; do
    make_image "$directory/$name"
done

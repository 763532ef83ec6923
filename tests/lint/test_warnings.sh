#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Everything compiles from scratch without a warning, with gcc and with clang.
# test-timeout: 1800
# test-beside
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
need make clang

build()
{
    make -C "$1" --no-print-directory -s -j"$(nproc)" BUILD="$WORK/$2" CC="$2" WERROR=1 CFLAGS=-O2 "${@:3}"
}

# The check itself: a tree with one unused variable must not build.
mkdir -p "$WORK/sample/src/base"
cp "$ROOT/Makefile" "$WORK/sample/"
printf 'int f(void);\nint f(void)\n{\n    int unused;\n    return 0;\n}\n' >"$WORK/sample/src/base/a.c"
for compiler in gcc clang; do
    ! build "$WORK/sample" "$compiler" "$WORK/$compiler/libsetmov.a" 2>/dev/null || fail "$compiler: a warning passes"
    rm -rf "${WORK:?}/$compiler"
    build "$ROOT" "$compiler" all test-programs bench-programs || fail "does not build cleanly with $compiler"
    rm -rf "${WORK:?}/$compiler"
done

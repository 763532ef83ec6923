#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# All C files are formatted as .clang-format says (make format-check).
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
need clang-format

mkdir -p "$WORK/sample/src/base"
cp "$ROOT/Makefile" "$ROOT/.clang-format" "$WORK/sample/"
printf 'int  f( void );\n' >"$WORK/sample/src/base/a.c"
! make -C "$WORK/sample" -s format-check 2>/dev/null || fail "the check does not reject bad format"

make -C "$ROOT" --no-print-directory -s format-check

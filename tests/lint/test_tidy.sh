#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# clang-tidy and cppcheck have nothing to say (make tidy).
# test-timeout: 1800
# test-beside
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
need clang-tidy cppcheck

mkdir -p "$WORK/sample/src/base"
mkdir -p "$WORK/sample/tests"
cp "$ROOT/Makefile" "$ROOT/.clang-tidy" "$WORK/sample/"
cp "$ROOT/tests/.clang-tidy" "$WORK/sample/tests/"
cat >"$WORK/sample/src/base/a.c" <<'END'
int f(int *a);
int f(int *a)
{
    int values[2] = {1, 2};
    if (!a)
        values[1] = *a;
    return values[2];
}
END
for target in clang-tidy cppcheck; do
    ! make -C "$WORK/sample" -s BUILD="$WORK/b" "$target" >/dev/null 2>&1 || fail "$target does not reject a null dereference"
done

make -C "$ROOT" --no-print-directory -s BUILD="$SETMOV_BUILD" tidy

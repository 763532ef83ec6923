#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Wrong commands, options and values: one clear line on stderr, nothing on stdout, exit status 2; 1 for failures.
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"

# refuses STATUS PART ARGUMENT...: setmov with these arguments ends so, PART in its line.
refuses()
{
    local status=$1 part=$2
    shift 2
    run "$SETMOV" "$@"
    [ "$STATUS" -eq "$status" ] || fail "setmov $*: status $STATUS, not $status"
    same "" "$OUT" "stdout of setmov $*"
    [ "$(wc -l <"$WORK/.err")" -eq 1 ] || fail "setmov $*: not one line: $ERR"
    has "$ERR" "$part"
    case $ERR in
    "setmov: "* | "setmov stat: "* | "setmov help: "*) ;;
    *) fail "setmov $*: does not say who speaks: $ERR" ;;
    esac
}

refuses 2 "no command given"
refuses 2 "unknown command 'nonsense'" nonsense
refuses 2 "unknown command ''" ""
refuses 2 "unknown option '--nonsense'" --nonsense
refuses 2 "unknown command 'nonsense'" help nonsense
refuses 2 "more than one" help stat graph

refuses 2 "'--nonsense'" stat --nonsense
refuses 2 "'--nonsense'" stat word --nonsense
refuses 2 "unknown option '-q'" stat -q
refuses 2 "unknown option '-q'" stat -jq
refuses 2 "'--interval' needs an argument" stat --interval
refuses 2 "'-n' needs an argument" stat -n
refuses 2 "'--json=x' takes no argument" stat --json=x
refuses 2 "'word'" stat --no-vms word
refuses 2 "--connect and --no-vms" stat --no-vms --connect test:///default
for value in 0 -1 nan inf 1e9 1x x "" " 1" 0x10; do
    refuses 2 "--interval: '$value'" stat --interval "$value"
done
for value in -1 1.5 x "" 99999999999999999999; do
    refuses 2 "--count: '$value'" stat --count "$value"
done
refuses 2 "--deadline: '0'" stat --deadline 0
refuses 2 "--overhead: '-1'" stat --overhead -1
refuses 2 "' [2J'" stat $'\e[2J' # what the user typed is shown, but does not steer the terminal
refuses 2 "' 2J'" stat $'\xc2\x9b2J'

refuses 1 "/nonexistent" stat --no-vms --proc /nonexistent
mkdir "$WORK/proc"
refuses 1 "" stat --no-vms --proc "$WORK/proc"
echo nonsense >"$WORK/proc/stat"
refuses 1 "stat" stat --no-vms --proc "$WORK/proc"

# What cannot be written is an error, too; also that of --help.
for arguments in "--help" "--version" "stat --help" "stat --no-vms -i 0.01 -n 1"; do
    read -ra words <<<"$arguments"
    STATUS=0
    "$SETMOV" "${words[@]}" >/dev/full 2>"$WORK/.err" || STATUS=$?
    [ "$STATUS" -eq 1 ] || fail "setmov $arguments >/dev/full: status $STATUS"
    has "$(cat "$WORK/.err")" "cannot write to stdout: No space left on device"
    [ "$(wc -l <"$WORK/.err")" -eq 1 ] || fail "setmov $arguments >/dev/full: not one line"
    STATUS=0
    "$SETMOV" "${words[@]}" >&- 2>"$WORK/.err" || STATUS=$?
    [ "$STATUS" -eq 1 ] || fail "setmov $arguments >&-: status $STATUS"
done

# A count of samples is that count.
run "$SETMOV" stat --no-vms --json --interval 0.01 --count 3
[ "$STATUS" -eq 0 ] || fail "status $STATUS: $ERR"
same 3 "$(wc -l <"$WORK/.out")" "number of samples"

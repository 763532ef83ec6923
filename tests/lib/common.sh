# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the shell tests share; sourced:  . "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
#
# Gives: ROOT (the repository), SETMOV_BUILD (what was built, absolute), WORK
# (a directory that goes away at exit) and the functions below. Sets -euo pipefail.

set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
SETMOV_BUILD=$(realpath -m "${SETMOV_BUILD:-$ROOT/build}")
SETMOV=$SETMOV_BUILD/setmov
export ROOT SETMOV_BUILD SETMOV LC_ALL=C.UTF-8
unset RRDCACHED_ADDRESS LIBVIRT_DEFAULT_URI

# at_exit COMMAND: runs it when the script ends, however it ends; the last given runs first.
_at_exit=()
at_exit()
{
    _at_exit=("$1" "${_at_exit[@]}")
}
_run_at_exit()
{
    local status=$? command
    trap - EXIT INT TERM HUP
    set +e
    for command in "${_at_exit[@]}"; do
        eval "$command"
    done
    exit "$status"
}
trap _run_at_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

WORK=$(mktemp -d "${TMPDIR:-/tmp}/setmov.XXXXXX")
export WORK
at_exit 'rm -rf "$WORK"'

# fail TEXT: says what was wrong and ends the test.
fail()
{
    printf 'FAIL: %s\n' "$*" >&2
    exit 1
}

# skip REASON: this machine cannot run the test; counts as skipped, never as passed.
skip()
{
    printf '%s\n' "$*"
    exit 77
}

# need COMMAND...: skips where one of them is not installed.
need()
{
    local command
    for command in "$@"; do
        command -v "$command" >/dev/null || skip "$command is not installed"
    done
}

need_root()
{
    [ "$(id -u)" -eq 0 ] || skip "needs root"
}

# poll_until SECONDS COMMAND...: tries it until it succeeds; false when the time is over.
poll_until()
{
    local end=$((SECONDS + $1 + 1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.1
    done
}

# same EXPECTED ACTUAL [WHAT]: both texts are equal.
same()
{
    [ "$1" = "$2" ] || fail "${3:-output} differs:
$(diff <(printf '%s\n' "$1") <(printf '%s\n' "$2"))"
}

# has TEXT PART: PART occurs in TEXT.
has()
{
    case $1 in
    *"$2"*) ;;
    *) fail "no \"$2\" in: $1" ;;
    esac
}

# run COMMAND...: sets OUT, ERR and STATUS; never fails itself.
# shellcheck disable=SC2034 # for those who source this file
run()
{
    STATUS=0
    "$@" >"$WORK/.out" 2>"$WORK/.err" </dev/null || STATUS=$?
    OUT=$(cat "$WORK/.out")
    ERR=$(cat "$WORK/.err")
}

_gone()
{
    # A zombie of ours is gone too: only its exit status is left.
    case $(ps -o stat= -p "$1" 2>/dev/null) in
    '' | Z*) ;;
    *) return 1 ;;
    esac
}

# stop_process PID [SECONDS]: TERM, then KILL; false when it had to be killed.
stop_process()
{
    local pid=$1 status=0
    kill -TERM "$pid" 2>/dev/null || true
    poll_until "${2:-20}" _gone "$pid" || {
        status=1
        kill -KILL "$pid" 2>/dev/null || true
    }
    wait "$pid" 2>/dev/null || true
    return "$status"
}

# collectd_start DIRECTORY CONFIGURATION-FILE: a private collectd in the foreground of a job of
# ours, its output in DIRECTORY/collectd.out, its PID in COLLECTD_PID. Ends with the script.
# The configuration should set BaseDir, PIDFile and DataDir to places in DIRECTORY.
COLLECTD_PID=
collectd_start()
{
    need collectd
    collectd -f -C "$2" >>"$1/collectd.out" 2>&1 &
    COLLECTD_PID=$!
    at_exit "stop_process $COLLECTD_PID 20"
}

# collectd_stop [SECONDS]: ends the one started last; false when it had to be killed.
collectd_stop()
{
    stop_process "$COLLECTD_PID" "${1:-20}"
}

# collectd_head DIRECTORY: the first lines of a private collectd's configuration. Loads logfile
# and leaves PluginDir at collectd's own; put `PluginDir` and `LoadPlugin setmov` behind it.
COLLECTD_PLUGIN_DIR=${COLLECTD_PLUGIN_DIR:-/usr/lib/collectd}
collectd_head()
{
    cat <<END
Hostname "$(uname -n)"
FQDNLookup false
Interval 1
BaseDir "$1"
PIDFile "$1/collectd.pid"
PluginDir "$COLLECTD_PLUGIN_DIR"
TypesDB "/usr/share/collectd/types.db"
LoadPlugin logfile
<Plugin logfile>
    File "$1/collectd.log"
    LogLevel info
    Timestamp true
</Plugin>
END
}

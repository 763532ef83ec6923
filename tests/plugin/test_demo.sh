#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The demo makes what it says and leaves no process, also when interrupted; without plugin it fails.
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
need collectd rrdtool setsid

# A build directory of its own, so that the user's demo stays as it is.
mkdir -p "$WORK/build"
# The bed's guest is made once, where all tests find it; without it the demo says so.
python3 "$ROOT/tests/bed/guest_image.py" >/dev/null 2>&1 || true
for part in setmov plugins hooks cache guest; do
    [ ! -e "$SETMOV_BUILD/$part" ] || ln -s "$SETMOV_BUILD/$part" "$WORK/build/"
done
demo()
{
    SETMOV_BUILD=$WORK/build TMPDIR=$WORK DEMO_SAMPLES=1 DEMO_SECONDS=3 "$ROOT/tests/demo.sh"
}
# Every collectd of the demo has the directory in its command line.
collectds()
{
    pgrep -f -- "collectd -f -C $WORK/build/demo" || true
}

run demo
[ "$STATUS" -eq 0 ] || fail "the demo ended with $STATUS:
$OUT
$ERR"
has "$OUT" "test:///default:"
has "$OUT" "RRD files"
for file in rrd/"$(uname -n)"/setmov-host/percent-cpu.rrd rrd/test/setmov/setmov_percent-cpu.rrd; do
    [ -s "$WORK/build/demo/test/$file" ] || fail "no $file"
done
png=$(find "$WORK/build/demo/test/graphs" -name '*.png' | head -n 1)
same "89504e47" "$(head -c 4 "$png" | od -An -tx1 | tr -d ' \n')" "the first bytes of $png"
same "" "$(collectds)" "processes after the demo"
case $OUT in
*"bed cannot run here"*) has "$OUT" "exit status 1" ;;
*)
    has "$OUT" "choice: gamma"
    has "$ERR" "setmov refuses vm1"
    has "$OUT" "running"
    ;;
esac

# Interrupted as soon as its collectd runs.
setsid "$ROOT/tests/lib/with_int.py" env SETMOV_BUILD="$WORK/build" TMPDIR="$WORK" "$ROOT/tests/demo.sh" >"$WORK/interrupted" 2>&1 &
demo_pid=$!
at_exit 'kill -KILL -- -$demo_pid 2>/dev/null'
running()
{
    [ -n "$(collectds)" ]
}
poll_until 20 running || fail "the demo does not start collectd: $(cat "$WORK/interrupted")"
kill -INT -- "-$demo_pid"
status=0
wait "$demo_pid" || status=$?
same 130 "$status" "exit status of an interrupted demo"
same "" "$(collectds)" "processes after an interrupted demo"

# A plugin that collectd cannot load.
rm "$WORK/build/plugins"
mkdir "$WORK/build/plugins"
run demo
[ "$STATUS" -ne 0 ] || fail "the demo succeeds without a plugin"
same "" "$(collectds)" "processes after a failed demo"

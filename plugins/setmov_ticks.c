/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When a cycle is due: see setmov_ticks.h. */
#include <math.h>

#include "setmov_ticks.h"

uint64_t ticks_wait_ns(const struct ticks *ticks, uint64_t realtime_ns)
{
    return ticks->interval_ns - realtime_ns % ticks->interval_ns;
}

/* Ticks between the last one and this that really went by: by both clocks. */
static uint64_t skipped(const struct ticks *ticks, uint64_t tick_ns, double monotonic_s)
{
    uint64_t by_realtime = (tick_ns - ticks->seen_ns) / ticks->interval_ns - 1;
    double by_monotonic =
        round((monotonic_s - ticks->taken_s) * 1e9 / (double)ticks->interval_ns) - 1;

    if (!(by_monotonic > 0))
        return 0;
    if (by_monotonic < (double)by_realtime)
        return (uint64_t)by_monotonic;
    return by_realtime;
}

enum tick_verdict ticks_take(struct ticks *ticks, uint64_t realtime_ns, double monotonic_s,
                             uint64_t *ret_tick_ns)
{
    uint64_t tick_ns = realtime_ns - realtime_ns % ticks->interval_ns;

    if (tick_ns == ticks->seen_ns)
        return TICK_EARLY;
    if (ticks->seen_ns != 0 && tick_ns > ticks->seen_ns)
        ticks->missed += skipped(ticks, tick_ns, monotonic_s);
    ticks->seen_ns = tick_ns;
    ticks->taken_s = monotonic_s;
    *ret_tick_ns = tick_ns;
    if (tick_ns <= ticks->dispatched_ns) {
        ticks->missed++;
        return TICK_BEHIND;
    }
    ticks->dispatched_ns = tick_ns;
    return TICK_DUE;
}

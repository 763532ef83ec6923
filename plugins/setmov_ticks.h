/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When a cycle is due: at whole multiples of the interval of the realtime
 * clock, so that at 1 s every value falls on its RRD's second. Pure: the
 * caller reads the clocks and sleeps.
 *
 * The clock may be stepped. Forward: the ticks that were jumped over are not
 * missed, no time passed in them. Backward: the times that come next have been
 * dispatched once already, and collectd's cache and RRDs refuse them a second
 * time, with a log line each; cycles then go on without dispatching until the
 * clock has caught up.
 */
#ifndef SETMOV_PLUGIN_TICKS_H
#define SETMOV_PLUGIN_TICKS_H

#include "setmov/base.h"

struct ticks {
    uint64_t interval_ns;   /* > 0 */
    uint64_t seen_ns;       /* last tick that was taken; 0: none */
    uint64_t dispatched_ns; /* latest tick whose values went out */
    double taken_s;         /* CLOCK_MONOTONIC of seen_ns */
    uint64_t missed;        /* cycles whose values were not dispatched, since the start */
};

enum tick_verdict {
    TICK_EARLY,  /* not due yet: wait again */
    TICK_DUE,    /* sample and dispatch */
    TICK_BEHIND, /* sample, but the clock is before a tick that was dispatched */
};

/* Nanoseconds from `realtime_ns` to the next tick; 1..interval. */
uint64_t ticks_wait_ns(const struct ticks *ticks, uint64_t realtime_ns);

/* To be called after the wait. `ret_tick_ns` is set unless TICK_EARLY. */
enum tick_verdict ticks_take(struct ticks *ticks, uint64_t realtime_ns, double monotonic_s,
                             uint64_t *ret_tick_ns);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The schedule of questions to balloons. Pure. */
#include "vm/balloon.h"

#include <math.h>

bool balloon_due(const struct balloon_schedule *schedule, double now_s)
{
    /* A tick that comes a little early is this question's tick all the same. */
    return schedule->ask_every_s == 0 ||
           now_s - schedule->asked_s >= schedule->ask_every_s - BALLOON_ASK_MIN_S / 2;
}

void balloon_answered(struct balloon_schedule *schedule, double now_s, double wall_s,
                      uint64_t last_update)
{
    bool first = schedule->ask_every_s == 0;

    if (first) {
        schedule->ask_every_s = 1.0;
        schedule->reported_s =
            last_update != 0 ? now_s - fmax(0, wall_s - (double)last_update) : -INFINITY;
    } else if (last_update != schedule->last_update) {
        if (last_update > schedule->last_update && schedule->last_update != 0)
            schedule->report_gap_s = (double)(last_update - schedule->last_update);
        schedule->reported_s = now_s;
        schedule->ask_every_s = fmax(BALLOON_ASK_MIN_S, schedule->ask_every_s / 2);
    } else {
        schedule->ask_every_s = fmin(last_update == 0 ? BALLOON_ASK_NEVER_S : BALLOON_ASK_MAX_S,
                                     schedule->ask_every_s * 2);
    }
    schedule->asked_s = now_s;
    schedule->last_update = last_update;
}

bool balloon_stale(const struct balloon_schedule *schedule, double now_s)
{
    if (schedule->ask_every_s == 0 || schedule->last_update == 0)
        return true;
    if (schedule->last_update == UNKNOWN_U64)
        return false;
    return now_s - schedule->reported_s > fmax(BALLOON_STALE_S, 3 * schedule->report_gap_s);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When to ask a VM for its balloon statistics, and whether the guest's last
 * report still counts. Pure.
 *
 * A guest reports every few seconds, or never. Asking costs the VM's monitor
 * a round trip, so each VM is asked about as often as its guest reports: the
 * time between two questions is halved when the report was new and doubled,
 * up to BALLOON_ASK_MAX_S, when it was not.
 */
#ifndef SETMOV_VM_BALLOON_H
#define SETMOV_VM_BALLOON_H

#include "setmov/vm.h"

#define BALLOON_ASK_MIN_S 0.5
#define BALLOON_ASK_MAX_S 10.0
/* A guest that has never reported most likely never will: no driver, or no period set. */
#define BALLOON_ASK_NEVER_S 30.0
/* A report is stale when none came for this long, or for three of the guest's own periods. */
#define BALLOON_STALE_S 30.0

struct balloon_schedule {
    double ask_every_s;   /* 0: never asked yet */
    double asked_s;       /* monotonic, last question */
    double reported_s;    /* monotonic, when last_update was seen to change */
    double report_gap_s;  /* between the last two reports; 0 unknown */
    uint64_t last_update; /* of the last answer */
};

bool balloon_due(const struct balloon_schedule *schedule, double now_s);

/*
 * Takes an answer: `now_s` monotonic, `wall_s` seconds since 1970 on this
 * host, which date only the first report (the clock of another host may
 * differ from ours; later ones are judged by whether they change).
 */
void balloon_answered(struct balloon_schedule *schedule, double now_s, double wall_s,
                      uint64_t last_update);

bool balloon_stale(const struct balloon_schedule *schedule, double now_s);

#endif

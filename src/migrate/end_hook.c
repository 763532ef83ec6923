/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hook outlives the migration that began it. What it builds must not appear after
 * everything was undone: it is told to end, and waited for while it does something.
 */
#include "migrate/end.h"

#include <time.h>

/* A hook that is silent for so long hangs, or is gone. */
#define SILENT_S 10.0

bool migrate_hook_is_building(const struct transfer_progress *progress)
{
    return progress->phase == TRANSFER_BEGUN || progress->phase == TRANSFER_BUILDING;
}

bool migrate_cancel_hook(struct vm_peer *there, const struct journal *journal)
{
    char name[200];

    if (journal->plan == NULL || there == NULL)
        return false;
    string_format(name, sizeof(name), "%s" TRANSFER_CANCEL_SUFFIX, journal->plan);
    return vm_peer_write(there, journal->incoming_pool, name, "cancel\n", strlen("cancel\n"),
                         NULL) == 0;
}

void migrate_end_hook(const struct migrate_end *end, const struct journal *journal)
{
    const struct timespec pause = {.tv_nsec = 200000000};
    double changed_s = clock_monotonic_s();
    struct transfer_progress progress;
    uint64_t done = UINT64_MAX;
    bool cancelled = false;

    while (end->there != NULL && migrate_read_progress(end->there, journal, &progress, NULL) == 0 &&
           migrate_hook_is_building(&progress) && clock_monotonic_s() - changed_s < SILENT_S) {
        if (!cancelled)
            cancelled = migrate_cancel_hook(end->there, journal);
        if (progress.bytes_done != done) {
            done = progress.bytes_done;
            changed_s = clock_monotonic_s();
        }
        nanosleep(&pause, NULL);
    }
}

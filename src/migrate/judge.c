/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a VM is, from what both sides say of it. Pure. */
#include "migrate/end.h"

static bool runs(enum vm_place place)
{
    return place == VM_RUNNING || place == VM_PAUSED;
}

/*
 * It never ran there, so what it has synced is here, wherever its memory is: as long as
 * it is not gone here, here it goes on, be it from the beginning.
 */
static enum migrate_verdict judge_standing(enum vm_place here)
{
    if (here == VM_ABSENT)
        return MIGRATE_IS_THERE;
    return runs(here) || here == VM_OUTGOING || here == VM_OFF ? MIGRATE_IS_HERE
                                                               : MIGRATE_IS_UNKNOWN;
}

static enum migrate_verdict judge_active(const struct migrate_places *places, bool was_persistent,
                                         bool stands_still)
{
    enum vm_place here = places->here.place, there = places->there.place;

    if (there == VM_INCOMING || places->here.has_job)
        return MIGRATE_IS_UNDERWAY;
    if (stands_still && (there == VM_PAUSED || there == VM_OFF))
        return judge_standing(here);
    if (runs(there))
        return runs(here) || here == VM_OTHER ? MIGRATE_IS_UNKNOWN : MIGRATE_IS_THERE;
    if (there ==
        VM_OFF) /* it went and was shut down, or libvirt left a definition behind: who knows */
        return here == VM_ABSENT ? MIGRATE_IS_THERE : MIGRATE_IS_UNKNOWN;
    if (there != VM_ABSENT)
        return MIGRATE_IS_UNKNOWN;
    /* Of a transient one that ran there, and was shut down, nothing would be left there. */
    if (here == VM_OUTGOING && !was_persistent && !stands_still)
        return MIGRATE_IS_UNKNOWN;
    return runs(here) || here == VM_OUTGOING || here == VM_OFF ? MIGRATE_IS_HERE
                                                               : MIGRATE_IS_UNKNOWN;
}

/* Nothing of it runs: what is defined at the destination has all that it needs. */
static enum migrate_verdict judge_off(const struct migrate_places *places)
{
    enum vm_place here = places->here.place, there = places->there.place;

    if (places->here.has_job || there == VM_INCOMING)
        return MIGRATE_IS_UNDERWAY;
    if (there == VM_ABSENT && (here == VM_OFF || runs(here)))
        return MIGRATE_IS_HERE;
    /* It was started here meanwhile, so what is there is old. */
    if (there == VM_OFF && runs(here))
        return MIGRATE_IS_HERE;
    if ((there == VM_OFF && here == VM_ABSENT) ||
        (runs(there) && (here == VM_ABSENT || here == VM_OFF)))
        return MIGRATE_IS_THERE;
    return MIGRATE_IS_UNKNOWN; /* defined on both sides: it may have run on either */
}

bool migrate_runs_twice(const struct migrate_places *places)
{
    return places->has_here && places->has_there && !places->here.has_job &&
           !places->there.has_job && places->here.place == VM_RUNNING &&
           places->there.place == VM_RUNNING;
}

enum migrate_verdict migrate_judge(const struct migrate_places *places, bool was_active,
                                   bool was_persistent, bool stands_still)
{
    if (!places->has_here || !places->has_there)
        return MIGRATE_IS_UNKNOWN;
    return was_active ? judge_active(places, was_persistent, stands_still) : judge_off(places);
}

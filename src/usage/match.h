/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds in an earlier sample the device that a later sample names.
 *
 * Samples list devices in the same order nearly always, so a cursor that
 * moves along finds each in one comparison. At the first name that is not
 * where the cursor stands (a device came, went or moved) the earlier names are
 * sorted once, and such names are looked up there: n log n at worst.
 *
 * A name that the earlier sample has more than once is found only while the
 * order is the same; else it is ambiguous, and the device counts as new.
 */
#ifndef SETMOV_USAGE_MATCH_H
#define SETMOV_USAGE_MATCH_H

#include "setmov/base.h"

struct name_matcher {
    const char *names; /* the first item's name */
    size_t stride;     /* bytes from a name to the next item's */
    size_t count;
    size_t cursor;
    size_t *sorted; /* items in order of their names; NULL until needed; owned */
};

/* `array` of `count` items (NULL: none) whose member `name` is a terminated char array. */
#define NAME_MATCHER(array, count)                                                                 \
    {                                                                                              \
        (count) > 0 ? (array)->name : NULL, sizeof(*(array)), (count), 0, NULL                     \
    }

/*
 * Sets ret_index to the item of that name, or to SIZE_MAX where there is none.
 * Returns 0 or -ENOMEM.
 */
int name_matcher_find(struct name_matcher *matcher, const char *name, size_t *ret_index);
void name_matcher_release(struct name_matcher *matcher);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sorting of entries without merging. Private to fingerprint/. */
#ifndef FINGERPRINT_SORT_H
#define FINGERPRINT_SORT_H

#include "setmov/fingerprint.h"

/*
 * Sorts what lies in `from` into `to`; equal digests stay neighbours, and what
 * is left in `from` means nothing. The digests are equal in their first `skip`
 * bits (0: nothing is known). count <= UINT32_MAX; best where both fit the cache.
 */
void fingerprint_sort_into(struct fingerprint_entry *from, struct fingerprint_entry *to,
                           size_t count, unsigned int skip);

#endif

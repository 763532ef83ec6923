/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Digests that occur often, and the exact numbers that places have no room for. */

#include "setmov/fingerprint.h"

#include "fingerprint/format.h"

void fingerprint_frequent_release(struct fingerprint_frequent *frequent)
{
    if (frequent == NULL)
        return;
    free(frequent->digests);
    free(frequent->multiplicity);
    *frequent = (struct fingerprint_frequent){0};
}

int fingerprint_frequent_append(struct fingerprint_frequent *frequent, const struct digest *digest,
                                uint64_t multiplicity)
{
    int rc = array_reserve(&frequent->digests, &frequent->digests_capacity, frequent->count + 1,
                           sizeof(*frequent->digests));

    if (rc == 0)
        rc = array_reserve(&frequent->multiplicity, &frequent->multiplicity_capacity,
                           frequent->count + 1, sizeof(*frequent->multiplicity));
    if (rc < 0)
        return rc;
    frequent->digests[frequent->count] = *digest;
    frequent->multiplicity[frequent->count++] = multiplicity;
    return 0;
}

size_t fingerprint_find(const struct digest *digests, size_t count, const struct digest *digest)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (digest_compare(&digests[middle], digest) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && digest_compare(&digests[low], digest) == 0 ? low : count;
}

uint64_t fingerprint_multiplicity(const struct fingerprint_view *view, size_t i)
{
    uint64_t told = fingerprint_place_multiplicity(fingerprint_place(view, i));
    size_t at;

    if (told < FINGERPRINT_SATURATED)
        return told;
    at = fingerprint_find(view->frequent, view->frequent_count, &view->digests[i]);
    if (at == view->frequent_count)
        return told;
    return get_u64((const uint8_t *)&view->frequent_multiplicity[at]);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which known name is near to one that is not known. */
#include "internal.h"

#define LONGEST 32

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The distance of Damerau and Levenshtein, where nothing is edited twice; three rows suffice. */
size_t suggest_distance(const char *a, const char *b)
{
    size_t before[LONGEST + 1], above[LONGEST + 1], row[LONGEST + 1];
    size_t a_length = strlen(a), b_length = strlen(b);

    if (a_length > LONGEST || b_length > LONGEST)
        return SIZE_MAX;
    memset(before, 0, sizeof(before));
    for (size_t j = 0; j <= b_length; j++)
        above[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
        memcpy(before, above, (b_length + 1) * sizeof(above[0]));
        memcpy(above, row, (b_length + 1) * sizeof(row[0]));
    }
    return above[b_length];
}

bool suggest_near(const char *written, const char *known)
{
    size_t length = strlen(known), distance = suggest_distance(written, known);

    /* A third of the letters wrong is another word. */
    return distance <= 1 + length / 4 && distance < length;
}

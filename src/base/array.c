/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Growable arrays. */

#include "setmov/base.h"

#include <errno.h>

#define SMALLEST_CAPACITY 8

int array_reserve(void *array, size_t *capacity, size_t needed, size_t item_size)
{
    size_t wanted = *capacity, bytes;
    void *memory;

    if (needed <= *capacity)
        return 0;
    if (__builtin_add_overflow(wanted, wanted / 2, &wanted) || wanted < needed)
        wanted = needed;
    if (wanted < SMALLEST_CAPACITY)
        wanted = SMALLEST_CAPACITY;
    if (__builtin_mul_overflow(wanted, item_size, &bytes) || bytes > PTRDIFF_MAX)
        return -EOVERFLOW;
    memcpy(&memory, array, sizeof(memory));
    memory = realloc(memory, bytes);
    if (memory == NULL)
        return -ENOMEM;
    memcpy(array, &memory, sizeof(memory));
    *capacity = wanted;
    return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whole numbers with units: sizes, bandwidths, durations, percentages. */
#include "internal.h"

#include <errno.h>
#include <strings.h>

struct unit {
    const char *name; /* in small or capital letters */
    uint64_t factor;
};

static const struct unit no_units[] = {{"", 1}, {NULL, 0}};
static const struct unit size_units[] = {
    {"", 1},
    {"K", UINT64_C(1) << 10},
    {"M", UINT64_C(1) << 20},
    {"G", UINT64_C(1) << 30},
    {"T", UINT64_C(1) << 40},
    {NULL, 0},
};
static const struct unit bandwidth_units[] = {
    {"", 1},
    {"k", UINT64_C(1000)},
    {"M", UINT64_C(1000000)},
    {"G", UINT64_C(1000000000)},
    {"T", UINT64_C(1000000000000)},
    {NULL, 0},
};
/* No "m": it could be taken for a month. */
static const struct unit duration_units[] = {
    {"", 1},   {"s", 1}, {"min", 60}, {"h", 3600}, {"d", 86400}, {"w", UINT64_C(7) * 86400},
    {NULL, 0},
};

static int with_unit(const char *text, size_t length, const struct unit *units, uint64_t *ret_value)
{
    size_t digits = strspn(text, "0123456789");
    const char *unit = text + digits;
    size_t unit_length;
    char number[24];
    uint64_t value;
    int rc;

    if (digits > length || !text_copy(text_of(text, digits), number, sizeof(number)))
        return -EINVAL;
    rc = parse_u64(number, &value);
    if (rc < 0)
        return rc;
    unit += strspn(unit, " \t");
    unit_length = (size_t)(text + length - unit);
    for (size_t i = 0; units[i].name != NULL; i++) {
        if (strlen(units[i].name) != unit_length ||
            strncasecmp(units[i].name, unit, unit_length) != 0)
            continue;
        if (__builtin_mul_overflow(value, units[i].factor, &value))
            return -ERANGE;
        *ret_value = value;
        return 0;
    }
    return -EINVAL;
}

int units_whole(const char *text, uint64_t *ret_value)
{
    return with_unit(text, strlen(text), no_units, ret_value);
}

int units_size(const char *text, uint64_t *ret_bytes)
{
    return with_unit(text, strlen(text), size_units, ret_bytes);
}

int units_duration(const char *text, uint64_t *ret_seconds)
{
    return with_unit(text, strlen(text), duration_units, ret_seconds);
}

/* "100M", "100Mbit" and "100Mbit/s" are the same; "100MB" is none of them. */
int units_bandwidth(const char *text, uint64_t *ret_bits_per_s)
{
    static const char *const tails[] = {"bit/s", "bit"};
    size_t length = strlen(text);

    for (size_t i = 0; i < ARRAY_LENGTH(tails); i++) {
        size_t tail = strlen(tails[i]);

        if (length > tail && strcasecmp(text + length - tail, tails[i]) == 0) {
            length -= tail;
            break;
        }
    }
    return with_unit(text, length, bandwidth_units, ret_bits_per_s);
}

int units_percent(const char *text, double *ret_percent)
{
    size_t length = strlen(text);
    char number[32];
    double value;
    int rc;

    if (length > 0 && text[length - 1] == '%')
        length--;
    while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t'))
        length--;
    if (!text_copy(text_of(text, length), number, sizeof(number)))
        return -EINVAL;
    rc = parse_double(number, &value);
    if (rc < 0)
        return rc;
    if (value < 0 || value > 100)
        return -ERANGE;
    *ret_percent = value;
    return 0;
}

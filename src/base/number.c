/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whole strings as numbers, whatever the locale. */

#include "setmov/base.h"

#include <errno.h>
#include <locale.h>
#include <math.h>

int parse_double(const char *string, double *ret_value)
{
    locale_t c_locale;
    double value;
    char *end;

    /* strtod also takes blanks, hexadecimal, "inf" and "nan"; nobody means those here. */
    if (string[0] == '\0' || string[strspn(string, "0123456789+-.eE")] != '\0')
        return -EINVAL;
    c_locale = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    if (c_locale == (locale_t)0)
        return -ENOMEM;
    value = strtod_l(string, &end, c_locale);
    freelocale(c_locale);
    if (end == string || *end != '\0')
        return -EINVAL;
    if (!isfinite(value))
        return -ERANGE;
    *ret_value = value;
    return 0;
}

int parse_u64(const char *string, uint64_t *ret_value)
{
    struct text text = text_of(string, strlen(string));

    if (string[0] == '\0' || string[strspn(string, "0123456789")] != '\0')
        return -EINVAL;
    return text_next_u64(&text, ret_value) ? 0 : -ERANGE;
}

int hexadecimal_digit(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

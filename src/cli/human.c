/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers in a few columns, for people (see human.h). */
#include "human.h"

#include "setmov/base.h"

#include <math.h>

static struct human unknown(void)
{
    return (struct human){"-"};
}

/* Three significant digits; `value` is what is left in front of the unit. */
static void print_scaled(struct human *human, double value, const char *unit)
{
    int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    string_format(human->text, sizeof(human->text), "%.*f%s", decimals, value, unit);
}

static struct human scaled(double value, double step)
{
    static const char *const units[] = {"", "k", "M", "G", "T", "P", "E"};
    struct human human = {""};
    size_t unit = 0;

    if (!isfinite(value) || value < 0 || value >= 999 * 1e18)
        return unknown();
    /* 999.5 would be printed as 1000. */
    while (value >= 999.5 && unit + 1 < ARRAY_LENGTH(units)) {
        value /= step;
        unit++;
    }
    if (unit > 0)
        print_scaled(&human, value, units[unit]);
    else
        string_format(human.text, sizeof(human.text), value > 0 && value < 99.95 ? "%.1f" : "%.0f",
                      value);
    return human;
}

struct human human_percent(double percent)
{
    struct human human = {""};
    if (!isfinite(percent))
        return unknown();
    /* A rounding error must not show as "-0.0". */
    string_format(human.text, sizeof(human.text), "%.1f", percent < 0.05 ? 0.0 : percent);
    return human;
}

struct human human_rate(double value)
{
    return scaled(value, 1000);
}

struct human human_memory(uint64_t bytes)
{
    struct human human = {""};

    if (bytes == UNKNOWN_U64)
        return unknown();
    if (bytes >= 1000)
        return scaled((double)bytes, 1024);
    string_format(human.text, sizeof(human.text), "%u", (unsigned)bytes); /* there are no halves */
    return human;
}

struct human human_latency(double seconds)
{
    struct human human = {""};
    if (!isfinite(seconds) || seconds < 0 || seconds >= 99999)
        return unknown();
    if (seconds < 0.0009995)
        string_format(human.text, sizeof(human.text), "%.0fus", seconds * 1e6);
    else if (seconds < 0.9995)
        print_scaled(&human, seconds * 1e3, "ms");
    else
        print_scaled(&human, seconds, "s");
    return human;
}

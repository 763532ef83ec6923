/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rates of counters, and formula 3 (memory). */
#include "rate.h"

#include <math.h>

double counter_difference(uint64_t before, uint64_t after)
{
    if (before == UNKNOWN_U64 || after == UNKNOWN_U64 || after < before)
        return NAN;
    return (double)(after - before);
}

double finite_or_nan(double value)
{
    return isfinite(value) ? value : NAN;
}

double elapsed_between(double before_s, double after_s)
{
    double elapsed_s = after_s - before_s;
    return isfinite(elapsed_s) && elapsed_s > 0 ? elapsed_s : NAN;
}

double percentage(double difference, double whole)
{
    return whole > 0 ? finite_or_nan(100.0 * difference / whole) : NAN;
}

double mean_latency(double operations, double total_s)
{
    return operations > 0 ? total_s / operations : NAN;
}

double usage_rate(uint64_t before, uint64_t after, double elapsed_s)
{
    if (!(elapsed_s > 0))
        return NAN;
    return finite_or_nan(counter_difference(before, after) / elapsed_s);
}

double usage_memory(uint64_t total, uint64_t free)
{
    if (total == UNKNOWN_U64 || free == UNKNOWN_U64 || total == 0 || free > total)
        return NAN;
    return 100.0 * (double)(total - free) / (double)total;
}

void known_mean_add(struct known_mean *mean, double value)
{
    if (isnan(value))
        return;
    mean->sum += value;
    mean->count++;
}

double known_mean_value(const struct known_mean *mean)
{
    return mean->count > 0 ? mean->sum / (double)mean->count : NAN;
}

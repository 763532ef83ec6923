/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Differences of counters and of times, and what else the formulas share. */
#ifndef SETMOV_USAGE_RATE_H
#define SETMOV_USAGE_RATE_H

#include "setmov/usage.h"

/* For usage_host_keep() and usage_vm_keep(): what is kept, and the memory of what is not. */
#define SWAP(a, b)                                                                                 \
    do {                                                                                           \
        __typeof__(a) kept = (a);                                                                  \
        (a) = (b);                                                                                 \
        (b) = kept;                                                                                \
    } while (0)

/* after - before as a number; NaN on UNKNOWN_U64 or a decrease. */
double counter_difference(uint64_t before, uint64_t after);

/* NaN in place of an infinite result (a difference divided by next to nothing). */
double finite_or_nan(double value);

/* Seconds between two readings; NaN unless both are known and time went on. */
double elapsed_between(double before_s, double after_s);

/* 100 * difference / whole; NaN where one is unknown or whole is not above 0. */
double percentage(double difference, double whole);

/* Mean seconds of an operation; NaN when there was none. */
double mean_latency(double operations, double total_s);

/* Mean of what is known: add() each, then mean. */
struct known_mean {
    double sum;
    size_t count;
};

void known_mean_add(struct known_mean *mean, double value); /* NaN is passed over */
double known_mean_value(const struct known_mean *mean);     /* NaN when nothing was known */

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Intervals of confidence, and what a filter's wrong answers leave sure. */

#include "similarity/engines.h"

#include <math.h>

#define Z            1.959963984540054 /* 97.5 % of the normal distribution lie below */
#define TAIL         0.025
#define FEW          40 /* hits (or misses) from which on Wilson's interval covers enough */
#define HALVINGS     45
#define RATE_SAMPLES 1024 /* blocks of a filter that are looked at */

/* Probability of at most `hits` (a whole number, few) in `trials`, each with `p`. */
static double at_most(double hits, double trials, double p)
{
    double term = exp(trials * log(1 - p)), sum = term;

    for (int i = 0; i < (int)hits; i++) {
        term *= (trials - i) / (i + 1) * (p / (1 - p));
        sum += term;
    }
    return sum;
}

/* The p at which at most `hits` have the probability `wanted`; it falls as p grows. */
static double solve(double hits, double trials, double wanted)
{
    double low = 0, high = 1;

    for (int i = 0; i < HALVINGS; i++) {
        double middle = (low + high) / 2;

        if (at_most(hits, trials, middle) > wanted)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2;
}

static struct similarity_interval wilson(double hits, double trials)
{
    double p = hits / trials, square = Z * Z;
    double middle = (p + square / (2 * trials)) / (1 + square / trials);
    double half =
        Z / (1 + square / trials) * sqrt(p * (1 - p) / trials + square / (4 * trials * trials));

    return (struct similarity_interval){middle - half, middle + half};
}

static struct similarity_interval clopper_pearson(double hits, double trials)
{
    double below = floor(hits + 1e-9), above = ceil(hits - 1e-9);
    struct similarity_interval interval = {0, 1};

    if (below >= 1)
        interval.low = solve(below - 1, trials, 1 - TAIL);
    if (above < trials)
        interval.high = solve(above, trials, TAIL);
    return interval;
}

struct similarity_interval similarity_interval(double hits, double trials)
{
    if (!(trials > 0) || !(hits >= 0) || hits > trials)
        return (struct similarity_interval){0, 1};
    if (hits > trials / 2) {
        struct similarity_interval misses = similarity_interval(trials - hits, trials);

        return (struct similarity_interval){1 - misses.high, 1 - misses.low};
    }
    return hits < FEW ? clopper_pearson(hits, trials) : wilson(hits, trials);
}

/* (The compiler's own would be a call of its library where the CPU is not known.) */
static double bits_set(uint64_t bits)
{
    bits -= bits >> 1 & UINT64_C(0x5555555555555555);
    bits = (bits & UINT64_C(0x3333333333333333)) + (bits >> 2 & UINT64_C(0x3333333333333333));
    bits = (bits + (bits >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (double)(bits * UINT64_C(0x0101010101010101) >> 56);
}

double similarity_bloom_false_rate(const struct fingerprint_view *b)
{
    size_t blocks = b->bloom_bytes / FINGERPRINT_BLOOM_BLOCK;
    size_t samples = blocks < RATE_SAMPLES ? blocks : RATE_SAMPLES;
    double sum = 0;

    if (b->bloom == NULL || samples == 0)
        return 0;
    for (size_t i = 0; i < samples; i++) {
        const uint8_t *block = b->bloom + blocks / samples * i * FINGERPRINT_BLOOM_BLOCK;
        double rate = 1;

        for (size_t word = 0; word < FINGERPRINT_BLOOM_BLOCK / 8; word++) {
            uint64_t bits;

            memcpy(&bits, block + word * 8, sizeof(bits));
            rate *= bits_set(bits) / 64;
        }
        sum += rate;
    }
    return sum / (double)samples;
}

void similarity_bloom_correct(double yes, double asked, double squares, double rate,
                              double *ret_likely, double *ret_least)
{
    double likely, spread;

    if (rate >= 1) {
        *ret_likely = yes;
        *ret_least = 0;
        return;
    }
    likely = fmax(0, (yes - asked * rate) / (1 - rate));
    spread = Z * sqrt(rate * squares / (1 - rate));
    *ret_likely = fmin(likely, yes);
    *ret_least = fmax(0, likely - spread);
}

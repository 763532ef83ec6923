/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A part takes the longer of two times: the threads' for compressing it, the
 * line's for what it became. Both are measured for the level that is used, and
 * foretold for the others from what levels cost and gain on images of Debian
 * (docs/benchmarks.md). The level with the shortest time is chosen; where the
 * line decides, that is the highest one that the threads can keep up with.
 *
 * Upwards it goes as soon as two seconds were measured: fewer bytes are worth
 * something by themselves. Downwards only after so many bytes that it pays, so
 * a small transfer never sends more bytes to save a second; and what was too
 * slow once is not tried again.
 */
#include "transfer/pack_pace.h"
#include "setmov/transfer.h"

#define LEAST_S    2.0
#define DOWN_BYTES ((double)((uint64_t)512 << 20))
#define DOWN_GAIN  0.9  /* of the time that is left */
#define HEADROOM   0.8  /* of the threads' time; the rest is for what is not foretold */
#define FORGET_S   20.0 /* what is older counts for less and less */

#define THIN_LINE   UINT64_C(20000000) /* bits a second */
#define SLOW_LINE   UINT64_C(200000000)
#define THIN_LEVEL  19
#define SLOW_LEVEL  16
#define OTHER_LEVEL 3
#define MOST        22

/* Relative to level 3: CPU time, and bytes that come out. */
static const struct {
    int level;
    double cost, size;
} ladder[] = {
    {TRANSFER_LEVEL_STORED, 0.15, 0}, /* as many bytes as go in */
    {-7, 0.4, 1.5},
    {1, 0.7, 1.05},
    {3, 1, 1},
    {6, 2.1, 0.965},
    {9, 3.8, 0.945},
    {12, 9, 0.935},
    {16, 28, 0.875},
    {19, 100, 0.83},
};

int transfer_level(uint64_t configured, uint64_t bandwidth_bits_per_s)
{
    if (configured > 0)
        return configured < MOST ? (int)configured : MOST;
    if (bandwidth_bits_per_s == 0 || bandwidth_bits_per_s > SLOW_LINE)
        return OTHER_LEVEL;
    return bandwidth_bits_per_s <= THIN_LINE ? THIN_LEVEL : SLOW_LEVEL;
}

void pack_pace_init(struct pack_pace *pace, int configured, uint64_t bandwidth_bits_per_s,
                    unsigned threads)
{
    *pace = (struct pack_pace){
        .is_fixed = configured != 0,
        .level = transfer_level(configured > 0 ? (uint64_t)configured : 0, bandwidth_bits_per_s),
        .highest = MOST,
        .threads = threads > 0 ? threads : 1,
    };
    if (configured < 0)
        pace->level = configured;
}

static size_t rung_of(int level)
{
    size_t rung = 0;

    while (rung + 1 < ARRAY_LENGTH(ladder) && ladder[rung + 1].level <= level)
        rung++;
    return rung;
}

static double packed_bytes(const struct pack_pace *pace, size_t rung)
{
    double size = ladder[rung_of(pace->level)].size;

    if (ladder[rung].size == 0)
        return pace->raw_bytes;
    /* Of stored parts nobody knows what they could be: as images mostly are. */
    return size > 0 ? pace->packed_bytes * ladder[rung].size / size
                    : pace->raw_bytes * ladder[rung].size / 3;
}

/* What the bytes of the sums would take with another level, in seconds. */
static double foretell(const struct pack_pace *pace, size_t rung)
{
    double compress = pace->compress_s / pace->threads * ladder[rung].cost /
                      ladder[rung_of(pace->level)].cost / HEADROOM;
    double line = pace->sink_s * packed_bytes(pace, rung) / pace->packed_bytes;

    return compress > line ? compress : line;
}

static size_t best_rung(const struct pack_pace *pace)
{
    size_t best = rung_of(pace->level);

    for (size_t rung = 0; rung < ARRAY_LENGTH(ladder); rung++) {
        if (ladder[rung].level <= pace->highest && foretell(pace, rung) < foretell(pace, best))
            best = rung;
    }
    return best;
}

static void change(struct pack_pace *pace, size_t rung)
{
    if (ladder[rung].level < pace->level)
        pace->highest = pace->level - 1;
    pace->level = ladder[rung].level;
    pace->raw_bytes = pace->packed_bytes = pace->compress_s = pace->sink_s = 0;
}

/* The longer of the two, of what is in the sums. */
static double elapsed_s(const struct pack_pace *pace)
{
    double compress = pace->compress_s / pace->threads;

    return compress > pace->sink_s ? compress : pace->sink_s;
}

static void consider(struct pack_pace *pace)
{
    size_t best = best_rung(pace), now = rung_of(pace->level);

    if (best == now || elapsed_s(pace) < LEAST_S)
        return;
    if (best > now ||
        (pace->seen_bytes >= DOWN_BYTES && foretell(pace, best) < foretell(pace, now) * DOWN_GAIN))
        change(pace, best);
}

void pack_pace_add(struct pack_pace *pace, const struct pack_timing *timing)
{
    if (pace->is_fixed || timing->level != pace->level || timing->packed_bytes == 0)
        return;
    pace->seen_bytes += (double)timing->raw_bytes;
    pace->raw_bytes += (double)timing->raw_bytes;
    pace->packed_bytes += (double)timing->packed_bytes;
    pace->compress_s += timing->compress_s;
    pace->sink_s += timing->sink_s;
    consider(pace);
    if (elapsed_s(pace) > FORGET_S) {
        pace->raw_bytes /= 2;
        pace->packed_bytes /= 2;
        pace->compress_s /= 2;
        pace->sink_s /= 2;
    }
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counts for many hosts what a query found. Weights are added up for each code
 * first, so that digests of the same hosts cost them once. Of a bitmap, 64 hosts
 * are counted at a time: their counters are 64 words, the first of which has the
 * lowest bit of each counter, so that a word of the bitmap is added to all of
 * them as an adder does it, by exclusive or, with the carry going on to the next
 * word. Eight bitmaps at a time need a quarter of the steps (Harley and Seal).
 */

#include "catalog/merged.h"

#include <errno.h>

void merged_count_release(struct merged_count *count)
{
    free(count->codes);
    free(count->batches);
    for (size_t i = 0; i < MERGED_FIGURES; i++) {
        free(count->planes[i]);
        free(count->hosts[i]);
    }
    *count = (struct merged_count){0};
}

static size_t words_of(const struct catalog_merged *merged)
{
    return (size_t)merged->layout.host_count / 64 + 1;
}

int merged_count_init(struct merged_count *count, const struct catalog_merged *merged,
                      size_t digests, struct error *err)
{
    size_t words = words_of(merged);
    bool complete;

    *count = (struct merged_count){.merged = merged, .slots = 16};
    while (count->slots < digests * 2)
        count->slots *= 2;
    count->codes = calloc(count->slots, sizeof(*count->codes));
    count->batches = calloc(MERGED_FIGURES, sizeof(*count->batches));
    complete = count->codes != NULL && count->batches != NULL;
    for (size_t i = 0; i < MERGED_FIGURES; i++) {
        count->planes[i] = calloc(words, MERGED_PLANES * sizeof(uint64_t));
        count->hosts[i] = calloc(words, 64 * sizeof(uint64_t));
        complete = complete && count->planes[i] != NULL && count->hosts[i] != NULL;
    }
    if (complete)
        return 0;
    error_set(err, -ENOMEM, "no memory to count for %u hosts", merged->layout.host_count);
    return -ENOMEM;
}

void merged_count_add(struct merged_count *count, uint32_t code, uint64_t blocks)
{
    size_t at = code * UINT64_C(0x9e3779b97f4a7c15) >> 32 & (count->slots - 1);

    while (count->codes[at].code_1 != 0 && count->codes[at].code_1 != code + 1)
        at = (at + 1) & (count->slots - 1);
    count->codes[at].code_1 = code + 1;
    count->codes[at].of[MERGED_DIGESTS]++;
    count->codes[at].of[MERGED_BLOCKS] += blocks;
}

/* ---- bitmaps ---- */

/* The bits of 64 hosts; the last word of a bitmap may be cut. */
static uint64_t word_of(const struct merged_count *count, const uint8_t *bitmap, size_t word)
{
    size_t left = merged_bitmap_units(count->merged->layout.host_count) * 2 - word * 8;
    uint64_t hosts = 0;

    if (left >= sizeof(hosts))
        return get_u64(bitmap + word * 8);
    memcpy(&hosts, bitmap + word * 8, left);
    return le64toh(hosts);
}

static size_t bitmap_words(const struct merged_count *count)
{
    return (merged_bitmap_units(count->merged->layout.host_count) + 3) / 4;
}

static void add_word(uint64_t *planes, size_t plane, uint64_t hosts)
{
    for (; hosts != 0 && plane < MERGED_PLANES; plane++) {
        uint64_t before = planes[plane];

        planes[plane] = before ^ hosts;
        hosts &= before;
    }
}

/* A full adder: two words to a plane; gives the carry. */
static inline uint64_t add_two(uint64_t *plane, uint64_t a, uint64_t b)
{
    uint64_t before = *plane, either = a ^ b;

    *plane = before ^ either;
    return (a & b) | (before & either);
}

static void add_eight(uint64_t *planes, size_t plane, const uint64_t hosts[MERGED_BATCH])
{
    uint64_t ones = planes[plane], twos = planes[plane + 1], fours = planes[plane + 2];
    uint64_t first = add_two(&ones, hosts[0], hosts[1]),
             second = add_two(&ones, hosts[2], hosts[3]);
    uint64_t third = add_two(&ones, hosts[4], hosts[5]),
             fourth = add_two(&ones, hosts[6], hosts[7]);
    uint64_t low = add_two(&twos, first, second), high = add_two(&twos, third, fourth);
    uint64_t carry = add_two(&fours, low, high);

    planes[plane] = ones;
    planes[plane + 1] = twos;
    planes[plane + 2] = fours;
    add_word(planes, plane + 3, carry);
}

static void flush(struct merged_count *count, enum merged_figure figure, size_t plane)
{
    struct merged_batch *batch = &count->batches[figure][plane];

    for (size_t word = 0; word < bitmap_words(count); word++) {
        uint64_t *planes = count->planes[figure] + word * MERGED_PLANES;
        uint64_t hosts[MERGED_BATCH] = {0};

        for (size_t i = 0; i < batch->count; i++)
            hosts[i] = word_of(count, batch->bitmaps[i], word);
        if (batch->count == MERGED_BATCH && plane + 3 < MERGED_PLANES) {
            add_eight(planes, plane, hosts);
            continue;
        }
        for (size_t i = 0; i < batch->count; i++)
            add_word(planes, plane, hosts[i]);
    }
    batch->count = 0;
}

/* Each bit of a weight is a bit of the counters to which the bitmap is added. */
static void add_bitmap(struct merged_count *count, const uint8_t *bitmap,
                       const struct merged_weight *weight)
{
    for (enum merged_figure figure = 0; figure < MERGED_FIGURES; figure++) {
        for (uint64_t left = weight->of[figure]; left != 0; left &= left - 1) {
            size_t plane = (size_t)__builtin_ctzll(left);
            struct merged_batch *batch = &count->batches[figure][plane];

            batch->bitmaps[batch->count++] = bitmap;
            if (batch->count == MERGED_BATCH)
                flush(count, figure, plane);
        }
    }
}

/* ---- from codes to hosts ---- */

static void add_host(struct merged_count *count, size_t host, const struct merged_weight *weight)
{
    for (size_t i = 0; i < MERGED_FIGURES; i++)
        count->hosts[i][host] += weight->of[i];
}

static int add_weight(struct merged_count *count, const struct merged_weight *weight)
{
    const struct catalog_merged *merged = count->merged;
    uint32_t host_count = merged->layout.host_count, code = weight->code_1 - 1;
    const uint8_t *units = merged->sections[MERGED_SET_HOSTS], *offsets;
    uint64_t from, to;

    if (code < host_count) {
        add_host(count, code, weight);
        return 0;
    }
    if (code - host_count >= merged->layout.set_count)
        return -EINVAL;
    offsets = merged->sections[MERGED_SET_OFFSETS] + (uint64_t)(code - host_count) * 4;
    from = get_u32(offsets);
    to = get_u32(offsets + 4);
    if (from > to || to > merged->layout.set_units || to - from > merged_bitmap_units(host_count))
        return -EINVAL;
    if (to - from == merged_bitmap_units(host_count)) {
        add_bitmap(count, units + from * 2, weight);
        return 0;
    }
    for (uint64_t i = from; i < to; i++) {
        size_t host = get_u16(units + i * 2);

        if (host >= host_count)
            return -EINVAL;
        add_host(count, host, weight);
    }
    return 0;
}

int merged_count_finish(struct merged_count *count)
{
    for (size_t i = 0; i < count->slots; i++) {
        if (count->codes[i].code_1 != 0 && add_weight(count, &count->codes[i]) < 0)
            return -EINVAL;
    }
    for (enum merged_figure figure = 0; figure < MERGED_FIGURES; figure++) {
        for (size_t plane = 0; plane < MERGED_PLANES; plane++)
            flush(count, figure, plane);
        for (size_t host = 0; host < count->merged->layout.host_count; host++) {
            const uint64_t *planes = count->planes[figure] + host / 64 * MERGED_PLANES;

            for (size_t i = 0; i < MERGED_PLANES; i++)
                count->hosts[figure][host] += (planes[i] >> host % 64 & 1) << i;
        }
    }
    return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parser of /proc/meminfo. Pure. */

#include "internal.h"

#include <errno.h>

static const struct {
    const char *key;
    size_t offset;
} lines[] = {
    /* In the order of the kernel: each is mostly found at the first try. */
    {"MemTotal:", offsetof(struct host_memory, total)},
    {"MemFree:", offsetof(struct host_memory, free)},
    {"MemAvailable:", offsetof(struct host_memory, available)},
    {"Buffers:", offsetof(struct host_memory, buffers)},
    {"Cached:", offsetof(struct host_memory, cached)},
    {"SwapTotal:", offsetof(struct host_memory, swap_total)},
    {"SwapFree:", offsetof(struct host_memory, swap_free)},
    {"SReclaimable:", offsetof(struct host_memory, slab_reclaimable)},
};

static uint64_t *member(struct host_memory *memory, size_t i)
{
    return (uint64_t *)(void *)((char *)memory + lines[i].offset);
}

/* "  123 kB" as bytes. */
static bool parse_kibibytes(struct text text, uint64_t *ret_bytes)
{
    struct text unit;
    uint64_t value;

    if (!text_next_u64(&text, &value) || !text_next_word(&text, &unit) ||
        !text_equals(unit, "kB") || __builtin_mul_overflow(value, 1024, &value))
        return false;
    *ret_bytes = value;
    return true;
}

/* Takes the line if it is one of ours; `*first` is where to begin to look. */
static bool take_line(struct text line, size_t *first, struct host_memory *memory)
{
    for (size_t n = 0; n < ARRAY_LENGTH(lines); n++) {
        size_t i = (*first + n) % ARRAY_LENGTH(lines);

        if (!text_starts_with(line, lines[i].key))
            continue;
        line.at += strlen(lines[i].key);
        *first = (i + 1) % ARRAY_LENGTH(lines);
        /* A key that is there twice: the first counts. */
        return *member(memory, i) == UNKNOWN_U64 && parse_kibibytes(line, member(memory, i));
    }
    return false;
}

int host_parse_meminfo(struct text text, struct host_memory *ret_memory, struct error *err)
{
    struct host_memory memory = {.time_s = ret_memory->time_s};
    size_t taken = 0, first = 0;
    struct text line;

    for (size_t i = 0; i < ARRAY_LENGTH(lines); i++)
        *member(&memory, i) = UNKNOWN_U64;
    while (taken < ARRAY_LENGTH(lines) && next_whole_line(&text, &line)) {
        if (take_line(line, &first, &memory))
            taken++;
    }
    if (memory.total == UNKNOWN_U64)
        return error_set(err, -EBADMSG, "/proc/meminfo: there is no whole \"MemTotal\" line");
    if (memory.free == UNKNOWN_U64)
        return error_set(err, -EBADMSG, "/proc/meminfo: there is no whole \"MemFree\" line");
    *ret_memory = memory;
    return 0;
}

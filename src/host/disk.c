/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parser of /proc/diskstats. Pure. */

#include "internal.h"

#include <errno.h>
#include <limits.h>

/* Numbers behind major, minor and name. */
#define NUMBERS_PARTITION_26 4 /* partitions of Linux 2.6 before 2.6.25 */
#define NUMBERS_BASE         11
#define NUMBERS_DISCARD      15 /* since 4.18 */
#define NUMBERS_FLUSH        17 /* since 5.5 */

/*
 * A number of the line. Some kernels let the requests in flight fall below
 * 0 and print them with a sign: that is unknown, and no reason to lose the line.
 */
static bool next_counter(struct text *line, uint64_t *ret_value)
{
    struct text word, digits;
    uint64_t ignored;

    if (text_next_u64(line, ret_value))
        return true;
    digits = *line;
    if (!text_next_word(&digits, &word) || *word.at != '-')
        return false;
    word.at++;
    if (word.at == word.end || *word.at == ' ' || *word.at == '\t' ||
        !text_next_u64(&word, &ignored))
        return false;
    *line = digits;
    *ret_value = UNKNOWN_U64;
    return true;
}

static bool set_counters(const uint64_t *number, unsigned count, struct disk_counters *ret_counters)
{
    struct disk_counters c;

    memset(&c, 0xff, sizeof(c)); /* all UNKNOWN_U64 */
    if (count == NUMBERS_PARTITION_26) {
        c.read_ops = number[0];
        c.read_sectors = number[1];
        c.write_ops = number[2];
        c.write_sectors = number[3];
    } else if (count >= NUMBERS_BASE) {
        c.read_ops = number[0];
        c.read_merged = number[1];
        c.read_sectors = number[2];
        c.read_ms = number[3];
        c.write_ops = number[4];
        c.write_merged = number[5];
        c.write_sectors = number[6];
        c.write_ms = number[7];
        c.in_flight = number[8];
        c.io_ms = number[9];
        c.weighted_ms = number[10];
    } else {
        return false;
    }
    if (count >= NUMBERS_DISCARD) {
        c.discard_ops = number[11];
        c.discard_merged = number[12];
        c.discard_sectors = number[13];
        c.discard_ms = number[14];
    }
    if (count >= NUMBERS_FLUSH) {
        c.flush_ops = number[15];
        c.flush_ms = number[16];
    }
    *ret_counters = c;
    return true;
}

static bool parse_line(struct text line, struct host_disk *ret_disk)
{
    uint64_t major, minor, number[NUMBERS_FLUSH];
    unsigned count = 0;
    struct text name;

    if (!text_next_u64(&line, &major) || !text_next_u64(&line, &minor) || major > UINT_MAX ||
        minor > UINT_MAX || !text_next_word(&line, &name))
        return false;
    while (count < NUMBERS_FLUSH && next_counter(&line, &number[count]))
        count++;
    if (count < NUMBERS_FLUSH && !rest_is_blank(line))
        return false; /* something that is no number */
    if (!set_counters(number, count, &ret_disk->counters))
        return false;
    ret_disk->major = (unsigned)major;
    ret_disk->minor = (unsigned)minor;
    ret_disk->kind = DISK_WHOLE;
    return copy_name(name, ret_disk->name, sizeof(ret_disk->name));
}

int host_parse_diskstats(struct text text, struct host_disks *disks, struct error *err)
{
    bool empty = text_length(text) == 0;
    struct text line;

    disks->count = 0;
    while (next_whole_line(&text, &line)) {
        int rc =
            array_reserve(&disks->disks, &disks->capacity, disks->count + 1, sizeof(*disks->disks));

        if (rc < 0) {
            disks->count = 0;
            return error_set(err, rc, "/proc/diskstats: no memory for the disks");
        }
        if (parse_line(line, &disks->disks[disks->count]))
            disks->count++;
    }
    if (disks->count == 0 && !empty)
        return error_set(err, -EBADMSG, "/proc/diskstats: not one whole line");
    host_classify_disks(disks);
    return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What kind of disk a name stands for, and which names /proc/partitions has. Pure. */

#include "internal.h"

#include <errno.h>

/* A bit for each name's hash: where it is clear, no disk has that name. Keeps searches rare. */
#define FILTER_BITS 32768

struct name_filter {
    uint64_t words[FILTER_BITS / 64];
};

/* The disks' names in order; made when first needed. */
struct name_index {
    const struct host_disks *disks;
    const char **sorted;
};

static uint32_t filter_bit(const char *name)
{
    return hash_bytes(name, strlen(name)) % FILTER_BITS;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* prefix, then one digit at least, then digits up to the end */
static bool is_numbered(const char *name, const char *prefix)
{
    size_t length = strlen(prefix);

    return strncmp(name, prefix, length) == 0 && name[length] != '\0' &&
           strspn(name + length, "0123456789") == strlen(name + length);
}

/* nvme0c0n1: one path to nvme0n1 */
static bool is_nvme_path(const char *name)
{
    static const char *const parts[] = {"nvme", "c", "n"};

    for (size_t i = 0; i < ARRAY_LENGTH(parts); i++) {
        size_t length = strlen(parts[i]);

        if (strncmp(name, parts[i], length) != 0 || !is_digit(name[length]))
            return false;
        name += length;
        name += strspn(name, "0123456789");
    }
    return *name == '\0';
}

enum disk_kind disk_kind_of_family(const char *name)
{
    static const char *const memory[] = {"loop", "ram", "zram"};
    static const char *const stacked[] = {"dm-", "md", "md_d", "bcache", "drbd", "zd"};

    for (size_t i = 0; i < ARRAY_LENGTH(memory); i++) {
        if (is_numbered(name, memory[i]))
            return DISK_MEMORY;
    }
    for (size_t i = 0; i < ARRAY_LENGTH(stacked); i++) {
        if (is_numbered(name, stacked[i]))
            return DISK_STACKED;
    }
    /* md arrays can have a name: md_backup */
    if (strncmp(name, "md_", 3) == 0 || is_nvme_path(name))
        return DISK_STACKED;
    return DISK_WHOLE;
}

/*
 * The disk that the name would be a partition of: sda12 of sda, and where a
 * disk's name ends in a digit, nvme0n1p12 of nvme0n1. False: of none.
 */
static bool parent_name(const char *name, char *ret_parent)
{
    size_t length = strlen(name), digits = length;

    while (digits > 0 && is_digit(name[digits - 1]))
        digits--;
    if (digits == length || digits == 0)
        return false;
    length = digits;
    if (length >= 2 && name[length - 1] == 'p' && is_digit(name[length - 2]))
        length--;
    return text_copy(text_of(name, length), ret_parent, DISK_NAME_BYTES);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool index_has(struct name_index *index, const char *name)
{
    if (index->sorted == NULL) {
        index->sorted = calloc(index->disks->count, sizeof(*index->sorted));
        if (index->sorted == NULL)
            return false;
        for (size_t i = 0; i < index->disks->count; i++)
            index->sorted[i] = index->disks->disks[i].name;
        qsort(index->sorted, index->disks->count, sizeof(*index->sorted), compare_names);
    }
    return bsearch(&name, index->sorted, index->disks->count, sizeof(*index->sorted),
                   compare_names) != NULL;
}

void host_classify_disks(struct host_disks *disks)
{
    struct name_filter filter = {{0}};
    struct name_index index = {disks, NULL};
    const char *last_whole = "";

    for (size_t i = 0; i < disks->count; i++) {
        uint32_t bit = filter_bit(disks->disks[i].name);

        filter.words[bit / 64] |= UINT64_C(1) << bit % 64;
    }
    for (size_t i = 0; i < disks->count; i++) {
        struct host_disk *disk = &disks->disks[i];
        char parent[DISK_NAME_BYTES];
        bool is_partition = false;

        if (parent_name(disk->name, parent)) {
            uint32_t bit = filter_bit(parent);

            /* The kernel prints partitions behind their disk. */
            is_partition = strcmp(parent, last_whole) == 0 ||
                           ((filter.words[bit / 64] >> bit % 64 & 1) && index_has(&index, parent));
        }
        disk->kind = is_partition ? DISK_PARTITION : disk_kind_of_family(disk->name);
        if (!is_partition)
            last_whole = disk->name;
    }
    free(index.sorted);
}

/* ---- /proc/partitions ---------------------------------------------------------- */

/* The next name of "major minor #blocks name" lines. */
static bool next_partition(struct text *text, struct text *ret_name)
{
    struct text line;

    while (next_whole_line(text, &line)) {
        uint64_t ignored;

        if (text_next_u64(&line, &ignored) && text_next_u64(&line, &ignored) &&
            text_next_u64(&line, &ignored) && text_next_word(&line, ret_name))
            return true;
    }
    return false;
}

/* True when the disks hold all the names, in the same order: as the kernel prints them. */
static bool same_order(const struct host_disks *disks, struct text partitions)
{
    struct text name;
    size_t i = 0;

    while (next_partition(&partitions, &name)) {
        while (i < disks->count && !text_equals(name, disks->disks[i].name))
            i++;
        if (i++ >= disks->count)
            return false;
    }
    return true;
}

static void keep_in_order(struct host_disks *disks, struct text partitions)
{
    struct text name;
    size_t kept = 0, i = 0;

    while (next_partition(&partitions, &name)) {
        while (!text_equals(name, disks->disks[i].name))
            i++;
        disks->disks[kept++] = disks->disks[i++];
    }
    disks->count = kept;
}

static int compare_texts(const void *a, const void *b)
{
    const struct text *left = a, *right = b;
    size_t left_length = text_length(*left), right_length = text_length(*right);
    size_t shorter = left_length < right_length ? left_length : right_length;
    int order = shorter == 0 ? 0 : memcmp(left->at, right->at, shorter);

    return order != 0 ? order : (left_length > right_length) - (left_length < right_length);
}

/* Any order; also when a disk came between the readings of the two files. */
static void keep_in_any_order(struct host_disks *disks, struct text partitions)
{
    CLEANUP(cleanup_free) struct text *names = NULL;
    size_t count = 0, capacity = 0, kept = 0;
    struct text name;

    while (next_partition(&partitions, &name)) {
        if (array_reserve(&names, &capacity, count + 1, sizeof(*names)) < 0)
            return; /* too many disks are better than none */
        names[count++] = name;
    }
    if (count == 0)
        return;
    qsort(names, count, sizeof(*names), compare_texts);
    for (size_t i = 0; i < disks->count; i++) {
        name = text_of(disks->disks[i].name, strlen(disks->disks[i].name));
        if (bsearch(&name, names, count, sizeof(*names), compare_texts) != NULL)
            disks->disks[kept++] = disks->disks[i];
    }
    disks->count = kept;
}

void host_keep_partitions(struct host_disks *disks, struct text proc_partitions)
{
    struct text text = proc_partitions, name;

    if (!next_partition(&text, &name))
        return; /* it names nothing: not there, or nothing to go by */
    if (same_order(disks, proc_partitions))
        keep_in_order(disks, proc_partitions);
    else
        keep_in_any_order(disks, proc_partitions);
}

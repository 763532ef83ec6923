/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parsers of the kernel's files about one process and its control group. Pure. */
#include "vm/kernel_text.h"

#include <errno.h>

int process_parse_stat(struct text text, struct process_stat *ret_stat)
{
    /* The name stands in parentheses and may hold some itself: the last ')' ends it. */
    const char *name_end = memrchr(text.at, ')', text_length(text));
    struct process_stat stat = {.state = '\0'};
    struct text word;

    if (!name_end)
        return -EBADMSG;
    text.at = name_end + 1;
    for (unsigned field = 3; text_next_word(&text, &word); field++) {
        uint64_t number = 0;

        if (field == 3) {
            stat.state = *word.at;
            continue;
        }
        if (field != 14 && field != 15 && field != 22 && field != 24)
            continue;
        if (!text_next_u64(&word, &number))
            return -EBADMSG;
        if (field == 14)
            stat.user_ticks = number;
        else if (field == 15)
            stat.system_ticks = number;
        else if (field == 22)
            stat.start_ticks = number;
        else {
            stat.rss_pages = number;
            *ret_stat = stat;
            return 0;
        }
    }
    return -EBADMSG;
}

/* Is `path` one of libvirt's groups for a VM? Then cut what lies below the VM's own. */
static bool cut_to_vm_group(struct text *path)
{
    static const char *const below[] = {"/emulator", "/vcpu", "/iothread"};

    if (!memmem(path->at, text_length(*path), "machine-qemu", strlen("machine-qemu")) &&
        !memmem(path->at, text_length(*path), ".libvirt-qemu", strlen(".libvirt-qemu")))
        return false;
    for (size_t i = 0; i < ARRAY_LENGTH(below); i++) {
        const char *slash = memrchr(path->at, '/', text_length(*path));

        if (slash && text_starts_with((struct text){slash, path->end}, below[i])) {
            path->end = slash;
            break;
        }
    }
    return true;
}

/* "cpuacct" as one of the comma-separated controllers. */
static bool has_cpuacct(struct text controllers)
{
    while (controllers.at < controllers.end) {
        const char *comma = memchr(controllers.at, ',', text_length(controllers));
        struct text one = {controllers.at, comma ? comma : controllers.end};

        if (text_equals(one, "cpuacct"))
            return true;
        controllers.at = comma ? comma + 1 : controllers.end;
    }
    return false;
}

int process_parse_cgroup(struct text text, char *ret_path, size_t path_size, char *ret_controllers,
                         size_t controllers_size)
{
    struct text line, found = {NULL, NULL}, found_controllers = {NULL, NULL};

    /* "number:controllers:path"; version 2 is "0::path". Version 1 goes first, as in libvirt. */
    while (text_next_line(&text, &line)) {
        const char *first = memchr(line.at, ':', text_length(line));
        const char *second = first ? memchr(first + 1, ':', (size_t)(line.end - first - 1)) : NULL;
        struct text controllers, path;

        if (!second)
            continue;
        controllers = (struct text){first + 1, second};
        path = (struct text){second + 1, line.end};
        if (text_length(controllers) != 0 ? !has_cpuacct(controllers) : found.at != NULL)
            continue;
        if (!cut_to_vm_group(&path))
            continue;
        found = path;
        found_controllers = controllers;
        if (text_length(controllers) != 0)
            break;
    }
    if (!found.at || memmem(found.at, text_length(found), "..", 2))
        return -ENOENT;
    if (text_length(found) >= path_size || text_length(found_controllers) >= controllers_size)
        return -ENAMETOOLONG;
    text_copy(found, ret_path, path_size);
    text_copy(found_controllers, ret_controllers, controllers_size);
    return 0;
}

int cgroup_parse_cpu_stat(struct text text, uint64_t *ret_usage_us)
{
    struct text line, key;

    while (text_next_line(&text, &line))
        if (text_next_word(&line, &key) && text_equals(key, "usage_usec") &&
            text_next_u64(&line, ret_usage_us))
            return 0;
    return -EBADMSG;
}

int process_parse_schedstat(struct text text, uint64_t *ret_run_ns, uint64_t *ret_delay_ns)
{
    struct text line;
    uint64_t run, delay;

    if (!text_next_line(&text, &line) || !text_next_u64(&line, &run) ||
        !text_next_u64(&line, &delay))
        return -EBADMSG;
    *ret_run_ns = run;
    *ret_delay_ns = delay;
    return 0;
}

/* "12.345678" ms -> 12345678 ns */
static bool milliseconds_to_ns(struct text word, uint64_t *ret_ns)
{
    const char *point = memchr(word.at, '.', text_length(word));
    struct text whole = {word.at, point ? point : word.end};
    uint64_t ms, ns = 0;

    if (!text_next_u64(&whole, &ms) || ms > UINT64_MAX / 1000000 - 1)
        return false;
    if (point) {
        uint64_t scale = 100000;

        for (const char *at = point + 1; at < word.end && scale > 0; at++, scale /= 10) {
            if (*at < '0' || *at > '9')
                return false;
            ns += (uint64_t)(*at - '0') * scale;
        }
    }
    *ret_ns = ms * 1000000 + ns;
    return true;
}

int process_parse_sched_wait(struct text text, uint64_t *ret_wait_ns)
{
    struct text line, word;

    while (text_next_line(&text, &line)) {
        if (!text_next_word(&line, &word) ||
            !(text_equals(word, "wait_sum") || text_equals(word, "se.statistics.wait_sum")))
            continue;
        if (text_next_word(&line, &word) && text_equals(word, ":") &&
            text_next_word(&line, &word) && milliseconds_to_ns(word, ret_wait_ns))
            return 0;
        return -EBADMSG;
    }
    return -ENOENT;
}

int process_parse_vcpu_comm(struct text text, unsigned *ret_number)
{
    const char *slash = memchr(text.at, '/', text_length(text));
    struct text digits;
    uint64_t number;

    if (!slash || !text_starts_with(text, "CPU "))
        return -ENOENT;
    digits = (struct text){text.at + 4, slash};
    if (!text_next_u64(&digits, &number) || digits.at != slash || number > 4096)
        return -ENOENT;
    *ret_number = (unsigned)number;
    return 0;
}

bool process_cmdline_has_uuid(struct text text, const char *uuid)
{
    bool flag_before = false;

    while (text.at < text.end) {
        const char *end = memchr(text.at, '\0', text_length(text));
        struct text argument = {text.at, end ? end : text.end};

        if (flag_before && text_equals(argument, uuid))
            return true;
        flag_before = text_equals(argument, "-uuid");
        text.at = end ? end + 1 : text.end;
    }
    return false;
}

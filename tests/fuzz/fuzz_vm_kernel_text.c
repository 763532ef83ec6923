/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: the kernel's files about one process and its control group.
 * The first byte chooses the parser, so that a corpus of readable files holds
 * all of them; the rest is the file.
 */

#include "vm/kernel_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool truth)
{
    if (!truth)
        abort();
}

static void parse_cgroup(struct text text)
{
    char path[384], small[16], controllers[64];

    if (process_parse_cgroup(text, path, sizeof(path), controllers, sizeof(controllers)) == 0) {
        check(memchr(path, '\0', sizeof(path)) != NULL && strstr(path, "..") == NULL);
        check(memchr(controllers, '\0', sizeof(controllers)) != NULL);
    }
    process_parse_cgroup(text, small, sizeof(small), controllers, 4);
}

static void parse_numbers(struct text text, uint8_t choice)
{
    struct process_stat stat;
    uint64_t one, other;
    unsigned number;

    switch (choice) {
    case 's':
        if (process_parse_stat(text, &stat) == 0)
            check(stat.state != '\0' || memchr(text.at, '\0', text_length(text)) != NULL);
        break;
    case 'u':
        cgroup_parse_cpu_stat(text, &one);
        break;
    case 'd':
        process_parse_schedstat(text, &one, &other);
        break;
    case 'w':
        process_parse_sched_wait(text, &one);
        break;
    case 'v':
        if (process_parse_vcpu_comm(text, &number) == 0)
            check(number <= 4096);
        break;
    default:
        process_cmdline_has_uuid(text, "40d69c3c-b24c-435d-944a-84a08cace467");
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text text;

    if (size == 0)
        return 0;
    text = text_of((const char *)data + 1, size - 1);
    if (data[0] == 'g')
        parse_cgroup(text);
    else
        parse_numbers(text, data[0]);
    return 0;
}

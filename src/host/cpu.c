/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parser of /proc/stat: ticks of all CPUs and of each. Pure. */

#include "internal.h"

#include <errno.h>
#include <limits.h>

#define CPU_FIELDS        10 /* that have a name here; later kernels may print more */
#define CPU_FIELDS_NEEDED 4  /* user, nice, system, idle: Linux 2.4 */

static bool parse_times(struct text line, struct cpu_times *ret_times)
{
    uint64_t field[CPU_FIELDS] = {0};
    unsigned count = 0;

    while (count < CPU_FIELDS && text_next_u64(&line, &field[count]))
        count++;
    /* Something else than a number where one is due: nothing of the line is to be trusted. */
    if (count < CPU_FIELDS_NEEDED || (count < CPU_FIELDS && !rest_is_blank(line)))
        return false;
    *ret_times = (struct cpu_times){
        .user = field[0],
        .nice = field[1],
        .system = field[2],
        .idle = field[3],
        .iowait = field[4],
        .irq = field[5],
        .softirq = field[6],
        .steal = field[7],
        .guest = field[8],
        .guest_nice = field[9],
        .fields = count,
    };
    return true;
}

/* Adds a "cpuN ..." line; one that is not whole is left out. */
static int add_cpu(struct text line, struct host_cpu *cpu)
{
    struct host_cpu_one *one;
    uint64_t number;
    struct text word;
    int rc;

    line.at += strlen("cpu");
    if (!text_next_word(&line, &word) || !text_next_u64(&word, &number) || number > INT_MAX)
        return 0;
    rc = array_reserve(&cpu->cpus, &cpu->cpu_capacity, cpu->cpu_count + 1, sizeof(*cpu->cpus));
    if (rc < 0)
        return rc;
    one = &cpu->cpus[cpu->cpu_count];
    if (!parse_times(line, &one->times))
        return 0;
    one->number = (unsigned)number;
    cpu->cpu_count++;
    return 0;
}

static int compare_numbers(const void *a, const void *b)
{
    unsigned left = ((const struct host_cpu_one *)a)->number;
    unsigned right = ((const struct host_cpu_one *)b)->number;

    return (left > right) - (left < right);
}

/* The kernel prints in ascending order; whoever matches two samples by number relies on it. */
static void ensure_ascending(struct host_cpu *cpu)
{
    size_t kept = 1, i;

    for (i = 1; i < cpu->cpu_count; i++) {
        if (cpu->cpus[i].number <= cpu->cpus[i - 1].number)
            break;
    }
    if (i >= cpu->cpu_count)
        return;
    qsort(cpu->cpus, cpu->cpu_count, sizeof(*cpu->cpus), compare_numbers);
    for (i = 1; i < cpu->cpu_count; i++) {
        if (cpu->cpus[i].number != cpu->cpus[kept - 1].number)
            cpu->cpus[kept++] = cpu->cpus[i];
    }
    cpu->cpu_count = kept;
}

int host_parse_stat(struct text text, struct host_cpu *cpu, struct error *err)
{
    struct text line;
    bool found = false;
    int rc = 0;

    cpu->all = (struct cpu_times){0};
    cpu->cpu_count = 0;
    while (rc == 0 && next_whole_line(&text, &line)) {
        if (text_starts_with(line, "cpu ")) {
            line.at += strlen("cpu ");
            if (!parse_times(line, &cpu->all)) {
                cpu->cpu_count = 0;
                return error_set(err, -EBADMSG, "/proc/stat: the \"cpu\" line is cut short");
            }
            found = true;
        } else if (text_starts_with(line, "cpu")) {
            rc = add_cpu(line, cpu);
        } else if (found) {
            break; /* the rest is interrupts, and long */
        }
    }
    if (rc == 0 && !found)
        rc = error_set(err, -EBADMSG, "/proc/stat: there is no whole \"cpu\" line");
    else if (rc < 0)
        error_set(err, rc, "/proc/stat: no memory for the CPUs");
    if (rc < 0) {
        cpu->cpu_count = 0;
        return rc;
    }
    ensure_ascending(cpu);
    return 0;
}

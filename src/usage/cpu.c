/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Formulas 1 (CPU of the host) and 2 (CPU of a VM). */
#include "rate.h"

#include <math.h>

/* Ticks that passed in each state; negative where the counter ran backwards. */
struct tick_changes {
    double user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice;
};

static double signed_change(uint64_t before, uint64_t after)
{
    return after >= before ? (double)(after - before) : -(double)(before - after);
}

static double at_least_zero(double value)
{
    return value > 0 ? value : 0;
}

static struct tick_changes changes_between(const struct cpu_times *before,
                                           const struct cpu_times *after)
{
    return (struct tick_changes){
        .user = signed_change(before->user, after->user),
        .nice = signed_change(before->nice, after->nice),
        .system = signed_change(before->system, after->system),
        .idle = signed_change(before->idle, after->idle),
        .iowait = signed_change(before->iowait, after->iowait),
        .irq = signed_change(before->irq, after->irq),
        .softirq = signed_change(before->softirq, after->softirq),
        .steal = signed_change(before->steal, after->steal),
        .guest = signed_change(before->guest, after->guest),
        .guest_nice = signed_change(before->guest_nice, after->guest_nice),
    };
}

/* guest and guest_nice are inside user and nice. */
static double total_of(const struct tick_changes *ticks)
{
    return ticks->user + ticks->nice + ticks->system + ticks->idle + ticks->iowait + ticks->irq +
           ticks->softirq + ticks->steal;
}

/*
 * A CPU that comes back online may begin its idle time anew, which would look
 * like an interval without any idle time: 100 % busy. Time moving from iowait
 * to idle and back is no such thing, so the sum must have gone backwards both
 * with iowait and without it.
 */
static bool has_restarted(const struct tick_changes *ticks)
{
    double total = total_of(ticks);
    return ticks->user < 0 || ticks->system < 0 || (total < 0 && total - ticks->iowait < 0);
}

static void clamp_changes(struct tick_changes *ticks)
{
    ticks->nice = at_least_zero(ticks->nice);
    ticks->idle = at_least_zero(ticks->idle);
    ticks->iowait = at_least_zero(ticks->iowait);
    ticks->irq = at_least_zero(ticks->irq);
    ticks->softirq = at_least_zero(ticks->softirq);
    ticks->steal = at_least_zero(ticks->steal);
    /* Guest time can be accounted a moment before the user time that holds it. */
    ticks->guest = fmin(at_least_zero(ticks->guest), ticks->user);
    ticks->guest_nice = fmin(at_least_zero(ticks->guest_nice), ticks->nice);
}

static struct cpu_usage cpu_unknown(void)
{
    return (struct cpu_usage){NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
}

struct cpu_usage usage_cpu(const struct cpu_times *before, const struct cpu_times *after)
{
    unsigned fields = before->fields < after->fields ? before->fields : after->fields;
    struct tick_changes ticks = changes_between(before, after);
    if (fields < 4 || has_restarted(&ticks))
        return cpu_unknown();
    clamp_changes(&ticks);
    double total = total_of(&ticks);
    if (!(total > 0))
        return cpu_unknown();

    double percent = 100.0 / total;
    return (struct cpu_usage){
        .busy = 100.0 - percent * ticks.idle,
        .user = percent * (ticks.user - ticks.guest),
        .nice = percent * (ticks.nice - ticks.guest_nice),
        .system = percent * ticks.system,
        .idle = percent * ticks.idle,
        .iowait = fields >= 5 ? percent * ticks.iowait : NAN,
        .irq = fields >= 6 ? percent * ticks.irq : NAN,
        .softirq = fields >= 7 ? percent * ticks.softirq : NAN,
        .steal = fields >= 8 ? percent * ticks.steal : NAN,
        .guest = fields >= 9 ? percent * ticks.guest : NAN,
        .guest_nice = fields >= 10 ? percent * ticks.guest_nice : NAN,
    };
}

double usage_vm_cpu(uint64_t before_ns, uint64_t after_ns, double elapsed_s, unsigned cores)
{
    if (!(elapsed_s > 0))
        return NAN;
    return percentage(counter_difference(before_ns, after_ns), elapsed_s * cores * 1e9);
}

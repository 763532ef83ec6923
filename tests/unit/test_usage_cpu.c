/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Formulas 1 and 2: CPU of the host and of a VM. */
#include "usage_assert.h"

static double sum_of_states(const struct cpu_usage *cpu)
{
    return cpu->user + cpu->nice + cpu->system + cpu->idle + cpu->iowait + cpu->irq + cpu->softirq +
           cpu->steal + cpu->guest + cpu->guest_nice;
}

static void assert_all_unknown(const struct cpu_usage *cpu)
{
    const double figures[] = {cpu->busy,  cpu->user,   cpu->nice,      cpu->system,
                              cpu->idle,  cpu->iowait, cpu->irq,       cpu->softirq,
                              cpu->steal, cpu->guest,  cpu->guest_nice};
    for (size_t i = 0; i < ARRAY_LENGTH(figures); i++)
        assert_unknown(figures[i]);
}

/* Half in guests, half idle: 50 %, not the third that adding guest again gives. */
static void half_guest_half_idle_is_half_busy(void **state)
{
    (void)state;
    struct cpu_times before = {.user = 1000, .idle = 5000, .guest = 900, .fields = 10};
    struct cpu_times after = {.user = 1100, .idle = 5100, .guest = 1000, .fields = 10};
    struct cpu_usage cpu = usage_cpu(&before, &after);
    assert_near(cpu.busy, 50);
    assert_near(cpu.guest, 50);
    assert_near(cpu.user, 0);
    assert_near(cpu.idle, 50);
    assert_near(sum_of_states(&cpu), 100);
}

/*
 * Ticks: user 30 (guest 10 of it), nice 20 (guest_nice 5 of it), system 40,
 * idle 80, iowait 10, irq 4, softirq 6, steal 10: total 200, so half a point a tick.
 */
static void every_state_once(void **state)
{
    (void)state;
    struct cpu_times before = {100, 100, 100, 100, 100, 100, 100, 100, 50, 50, 10};
    struct cpu_times after = {130, 120, 140, 180, 110, 104, 106, 110, 60, 55, 10};
    struct cpu_usage cpu = usage_cpu(&before, &after);
    assert_near(cpu.busy, 60); /* 100 - 100/200 * 80: iowait is busy */
    assert_near(cpu.user, 10);
    assert_near(cpu.guest, 5);
    assert_near(cpu.nice, 7.5);
    assert_near(cpu.guest_nice, 2.5);
    assert_near(cpu.system, 20);
    assert_near(cpu.idle, 40);
    assert_near(cpu.iowait, 5);
    assert_near(cpu.irq, 2);
    assert_near(cpu.softirq, 3);
    assert_near(cpu.steal, 5);
    assert_near(sum_of_states(&cpu), 100);
}

/* 64 CPUs of which 16 ran guests for a second: a quarter. */
static void sixty_four_cpus(void **state)
{
    (void)state;
    struct cpu_times before = {
        .user = 1ull << 40, .idle = 1ull << 41, .guest = 1ull << 40, .fields = 10};
    struct cpu_times after = before;
    after.user += 1600;
    after.guest += 1600;
    after.idle += 4800;
    struct cpu_usage cpu = usage_cpu(&before, &after);
    assert_near(cpu.busy, 25);
    assert_near(cpu.guest, 25);
}

static void guest_above_user_for_a_moment_is_not_negative(void **state)
{
    (void)state;
    struct cpu_times before = {.user = 1000, .idle = 1000, .guest = 990, .fields = 10};
    struct cpu_times after = {.user = 1020, .idle = 1080, .guest = 1015, .fields = 10};
    struct cpu_usage cpu = usage_cpu(&before, &after);
    assert_near(cpu.busy, 20);
    assert_near(cpu.user, 0);
    assert_near(cpu.guest, 20);
    assert_near(sum_of_states(&cpu), 100);
}

static void guest_nice_above_nice_is_not_negative(void **state)
{
    (void)state;
    struct cpu_times before = {.nice = 10, .idle = 0, .guest_nice = 0, .fields = 10};
    struct cpu_times after = {.nice = 20, .idle = 90, .guest_nice = 12, .fields = 10};
    struct cpu_usage cpu = usage_cpu(&before, &after);
    assert_near(cpu.nice, 0);
    assert_near(cpu.guest_nice, 10);
    assert_near(sum_of_states(&cpu), 100);
}

/* iowait falls by 30 while user rises by 25 and idle by 75: iowait counts as 0. */
static void iowait_backwards_counts_as_nothing(void **state)
{
    (void)state;
    struct cpu_times before = {.user = 500, .idle = 500, .iowait = 130, .fields = 10};
    struct cpu_times after = {.user = 525, .idle = 575, .iowait = 100, .fields = 10};
    struct cpu_usage cpu = usage_cpu(&before, &after);
    assert_near(cpu.iowait, 0);
    assert_near(cpu.busy, 25);
    assert_near(sum_of_states(&cpu), 100);
}

/* Even when it falls by more than everything else rose. */
static void iowait_far_backwards_counts_as_nothing(void **state)
{
    (void)state;
    struct cpu_times before = {.user = 500, .idle = 500, .iowait = 100000, .fields = 10};
    struct cpu_times after = {.user = 525, .idle = 575, .iowait = 100, .fields = 10};
    assert_near(usage_cpu(&before, &after).busy, 25);
}

/* idle falls by 5, system rises by 20, iowait by 80: busy all the time. */
static void idle_backwards_counts_as_nothing(void **state)
{
    (void)state;
    struct cpu_times before = {.system = 100, .idle = 505, .iowait = 100, .fields = 10};
    struct cpu_times after = {.system = 120, .idle = 500, .iowait = 180, .fields = 10};
    struct cpu_usage cpu = usage_cpu(&before, &after);
    assert_near(cpu.idle, 0);
    assert_near(cpu.busy, 100);
    assert_near(cpu.iowait, 80);
}

/* A CPU back online begins its idle time anew: not "100 % busy", but unknown. */
static void idle_restarted_is_unknown(void **state)
{
    (void)state;
    struct cpu_times before = {.user = 100, .system = 100, .idle = 900000, .fields = 10};
    struct cpu_times after = {.user = 101, .system = 101, .idle = 90, .fields = 10};
    struct cpu_usage cpu = usage_cpu(&before, &after);
    assert_all_unknown(&cpu);
}

static void user_or_system_backwards_is_unknown(void **state)
{
    (void)state;
    struct cpu_times before = {.user = 100, .system = 100, .idle = 100, .fields = 10};
    struct cpu_times user_back = {.user = 99, .system = 150, .idle = 200, .fields = 10};
    struct cpu_times system_back = {.user = 150, .system = 99, .idle = 200, .fields = 10};
    struct cpu_usage cpu = usage_cpu(&before, &user_back);
    assert_all_unknown(&cpu);
    cpu = usage_cpu(&before, &system_back);
    assert_all_unknown(&cpu);
}

static void no_time_passed_is_unknown(void **state)
{
    (void)state;
    struct cpu_times times = {.user = 100, .system = 100, .idle = 100, .fields = 10};
    struct cpu_usage cpu = usage_cpu(&times, &times);
    assert_all_unknown(&cpu);
}

static void first_sample_is_unknown(void **state)
{
    (void)state;
    struct cpu_times nothing = {0};
    struct cpu_times after = {.user = 100, .system = 100, .idle = 100, .fields = 10};
    struct cpu_usage cpu = usage_cpu(&nothing, &after);
    assert_all_unknown(&cpu);
}

/* Linux 2.4 has four fields: user 10, nice 0, system 15, idle 75. */
static void old_kernels_lack_states_not_the_headline(void **state)
{
    (void)state;
    struct cpu_times before = {.user = 10, .nice = 5, .system = 10, .idle = 100, .fields = 4};
    struct cpu_times after = {.user = 20, .nice = 5, .system = 25, .idle = 175, .fields = 4};
    struct cpu_usage cpu = usage_cpu(&before, &after);
    assert_near(cpu.busy, 25);
    assert_near(cpu.user, 10);
    assert_near(cpu.nice, 0);
    assert_near(cpu.system, 15);
    assert_near(cpu.idle, 75);
    assert_unknown(cpu.iowait);
    assert_unknown(cpu.irq);
    assert_unknown(cpu.softirq);
    assert_unknown(cpu.steal);
    assert_unknown(cpu.guest);
    assert_unknown(cpu.guest_nice);
}

/* 2.6.11 to 2.6.23: steal, but no guest. */
static void eight_fields_have_steal_without_guest(void **state)
{
    (void)state;
    struct cpu_times before = {.fields = 8};
    struct cpu_times after = {.user = 40, .idle = 50, .steal = 10, .fields = 8};
    struct cpu_usage cpu = usage_cpu(&before, &after);
    assert_near(cpu.busy, 50);
    assert_near(cpu.steal, 10);
    assert_near(cpu.user, 40);
    assert_unknown(cpu.guest);
}

/* Absurd counters must not overflow into something plausible, nor trap. */
static void huge_counters_stay_in_range(void **state)
{
    (void)state;
    struct cpu_times before = {.fields = 10};
    struct cpu_times after = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX,
                              UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX,
                              UINT64_MAX, UINT64_MAX, 10};
    struct cpu_usage cpu = usage_cpu(&before, &after);
    assert_within(cpu.busy, 87.5, 1e-3);
    assert_within(sum_of_states(&cpu), 100, 1e-3);
}

/* ---- formula 2 ---- */

/* 2.5 s of CPU time in 1.25 s on 8 CPUs: 100 * 2.5 / (1.25 * 8) = 25 %. */
static void vm_cpu_is_a_share_of_the_host(void **state)
{
    (void)state;
    assert_near(usage_vm_cpu(7000000000, 9500000000, 1.25, 8), 25);
}

/* A VM with 64 vCPUs, all busy, on 64 CPUs: 64 s of CPU time each second. */
static void vm_cpu_of_64_busy_vcpus(void **state)
{
    (void)state;
    assert_near(usage_vm_cpu(1ull << 60, (1ull << 60) + 64000000000ull, 1.0, 64), 100);
    assert_near(usage_vm_cpu(0, 64000000000ull, 1.0, 128), 50);
}

/* One vCPU of four CPUs is busy all the time; samples come up to half a second off. */
static void vm_cpu_is_right_under_jitter(void **state)
{
    (void)state;
    static const double offsets_s[] = {0, 0.5, -0.5, 0.25, -0.31, 0.5, -0.5, 0.07};
    double time_before_s = 0;
    for (size_t i = 1; i < ARRAY_LENGTH(offsets_s); i++) {
        double time_s = (double)i + offsets_s[i];
        if (time_s <= time_before_s)
            continue;
        double percent = usage_vm_cpu((uint64_t)(time_before_s * 1e9 + 0.5),
                                      (uint64_t)(time_s * 1e9 + 0.5), time_s - time_before_s, 4);
        assert_near(percent, 25);
        time_before_s = time_s;
    }
}

static void vm_cpu_unknown(void **state)
{
    (void)state;
    assert_unknown(usage_vm_cpu(1000, 999, 1, 4));       /* restarted */
    assert_unknown(usage_vm_cpu(4294967290u, 12, 1, 4)); /* 32 bits ran over: no spike */
    assert_unknown(usage_vm_cpu(UNKNOWN_U64, 1000, 1, 4));
    assert_unknown(usage_vm_cpu(1000, UNKNOWN_U64, 1, 4));
    assert_unknown(usage_vm_cpu(UNKNOWN_U64, UNKNOWN_U64, 1, 4));
    assert_unknown(usage_vm_cpu(1000, 2000, 0, 4));
    assert_unknown(usage_vm_cpu(1000, 2000, -1, 4));
    assert_unknown(usage_vm_cpu(1000, 2000, NAN, 4));
    assert_unknown(usage_vm_cpu(1000, 2000, 1, 0));
    assert_unknown(usage_vm_cpu(0, UINT64_MAX - 1, 1e-320, 1)); /* would be infinite */
    assert_near(usage_vm_cpu(1000, 1000, 1, 4), 0);             /* idle is known */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_guest_half_idle_is_half_busy),
        cmocka_unit_test(every_state_once),
        cmocka_unit_test(sixty_four_cpus),
        cmocka_unit_test(guest_above_user_for_a_moment_is_not_negative),
        cmocka_unit_test(guest_nice_above_nice_is_not_negative),
        cmocka_unit_test(iowait_backwards_counts_as_nothing),
        cmocka_unit_test(iowait_far_backwards_counts_as_nothing),
        cmocka_unit_test(idle_backwards_counts_as_nothing),
        cmocka_unit_test(idle_restarted_is_unknown),
        cmocka_unit_test(user_or_system_backwards_is_unknown),
        cmocka_unit_test(no_time_passed_is_unknown),
        cmocka_unit_test(first_sample_is_unknown),
        cmocka_unit_test(old_kernels_lack_states_not_the_headline),
        cmocka_unit_test(eight_fields_have_steal_without_guest),
        cmocka_unit_test(huge_counters_stay_in_range),
        cmocka_unit_test(vm_cpu_is_a_share_of_the_host),
        cmocka_unit_test(vm_cpu_of_64_busy_vcpus),
        cmocka_unit_test(vm_cpu_is_right_under_jitter),
        cmocka_unit_test(vm_cpu_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

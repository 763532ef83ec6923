/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a VM should go: who is out and why, scores, order, and when it stays. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "setmov/placement_move.h"

#include <math.h>

#define BLOCK    4096
#define DISTINCT 1000
#define IMAGE    ((uint64_t)DISTINCT * BLOCK)
#define MIB      ((uint64_t)1 << 20)
#define GIB      ((uint64_t)1 << 30)
#define MOST     8

static const struct placement_rules rules = {
    .weight_bytes = 0.5,
    .weight_cpu = 0.2,
    .weight_memory = 0.2,
    .weight_space = 0.1,
    .max_cpu_percent = 80,
    .memory_reserve_bytes = 512 * MIB,
    .space_reserve_bytes = GIB,
};

static const struct placement_vm machine = {
    .name = "web1",
    .uuid = "7d1f1a6e-0000-4000-8000-000000000001",
    .host = "alpha",
    .trust_domain = "default",
    .memory_bytes = 2 * GIB,
    .vcpus = 2,
    .space_bytes = IMAGE,
    .image_bytes = IMAGE,
};

static struct similarity_figures figures_of(uint64_t identical)
{
    return (struct similarity_figures){
        .total = 2 * DISTINCT,
        .distinct = DISTINCT,
        .internal_duplicates = DISTINCT,
        .identical_distinct = identical,
        .identical_with_duplicates = 2 * identical,
        .bytes_to_send = (DISTINCT - identical) * BLOCK,
    };
}

/* A host that can take the VM and has so many of its blocks. */
static struct placement_candidate host_of(const char *name, uint64_t identical)
{
    struct similarity_figures figures = figures_of(identical);

    return (struct placement_candidate){
        .name = name,
        .trust_domain = "default",
        .figures = {figures, figures, figures, figures},
        .wire_bytes = UNKNOWN_U64,
        .cpu_percent = 10,
        .memory_free_bytes = 8 * GIB,
        .pool_free_bytes = 100 * GIB,
    };
}

static struct placement_move move_of(const struct placement_vm *vm,
                                     const struct placement_candidate *candidates, size_t count,
                                     const struct placement_rules *with)
{
    struct placement_move move = {.count = 77};
    struct error err = {""};

    assert_int_equal(placement_move(vm, candidates, count, with, &move, &err), 0);
    assert_int_equal(move.count, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(move.ranks[i].eligible, i < move.eligible);
        assert_true(move.ranks[i].reason_count > 0);
        assert_true(move.ranks[i].score >= 0 && move.ranks[i].score <= 1 + 1e-9);
        if (i >= move.eligible)
            assert_true(move.ranks[i].score == 0);
    }
    assert_int_equal(move.stay, move.eligible == 0);
    assert_int_equal(move.stay, move.stay_reason != NULL);
    return move;
}

#define MOVE(hosts) move_of(&machine, (hosts), ARRAY_LENGTH(hosts), &rules)

static void assert_order(const struct placement_move *move,
                         const struct placement_candidate *candidates, const char *const *names)
{
    size_t i = 0;

    for (; i < move->count && names[i] != NULL; i++)
        assert_string_equal(candidates[move->ranks[i].candidate].name, names[i]);
    assert_int_equal(i, move->count);
    assert_null(names[i]);
}

static void assert_reasons(const struct placement_move_rank *rank, const char *const *texts)
{
    size_t i = 0;

    for (; i < rank->reason_count && texts[i] != NULL; i++)
        assert_string_equal(rank->reasons[i], texts[i]);
    assert_null(texts[i]);
    assert_int_equal(i, rank->reason_count);
}

static bool has_reason(const struct placement_move_rank *rank, const char *part)
{
    for (size_t i = 0; i < rank->reason_count; i++) {
        if (strstr(rank->reasons[i], part) != NULL)
            return true;
    }
    return false;
}

#define LINES(...)             ((const char *const[]){__VA_ARGS__, NULL})
#define ORDER(move, of, ...)   assert_order(&(move), (of), LINES(__VA_ARGS__))
#define REASONS(move, at, ...) assert_reasons(&(move).ranks[at], LINES(__VA_ARGS__))

/* ---- who is out ---- */

/* One host with one fault: it is out with exactly that line. */
static void out_with(struct placement_candidate candidate, const char *reason)
{
    CLEANUP(placement_move_release)
    struct placement_move move = move_of(&machine, &candidate, 1, &rules);

    assert_int_equal(move.eligible, 0);
    REASONS(move, 0, reason);
    assert_true(move.stay);
    if (strcmp(candidate.name, machine.host) != 0)
        assert_non_null(strstr(move.stay_reason, reason));
}

static void eligible_with(struct placement_candidate candidate)
{
    CLEANUP(placement_move_release)
    struct placement_move move = move_of(&machine, &candidate, 1, &rules);

    assert_int_equal(move.eligible, 1);
    assert_false(move.stay);
}

static void test_each_filter_says_its_figures(void **unused)
{
    struct placement_candidate host = host_of("beta", 500);

    (void)unused;
    eligible_with(host);
    host.memory_free_bytes = 1234 * MIB;
    out_with(host, "free memory 1.2 GiB, needs 2 GiB and 512 MiB in reserve");
    host = host_of("beta", 500);
    host.pool_free_bytes = 1000 * MIB;
    out_with(host, "free space in its pool 1000 MiB, needs 3.91 MiB and 1 GiB in reserve");
    host = host_of("beta", 500);
    host.cpu_percent = 93.25;
    out_with(host, "CPU load 93.2 %, at most 80 %");
    host = host_of("beta", 500);
    host.maintenance = true;
    out_with(host, "in maintenance, takes in no VMs");
    host = host_of("beta", 500);
    host.trust_domain = "guests";
    out_with(host, "trust domain guests, the VM is in default");
    host = host_of("beta", 500);
    host.has_vm = true;
    out_with(host, "the host has a VM of this name or UUID");
    host = host_of("beta", 500);
    host.unusable = "cannot be reached: no route to host";
    out_with(host, "cannot be reached: no route to host");
    host = host_of("beta", 500);
    host.obstacles = LINES("it has no network \"front\"");
    host.obstacle_count = 1;
    out_with(host, "it has no network \"front\"");
    out_with(host_of("alpha", 500), "the VM is on this host");
}

static void test_what_just_suffices_suffices(void **unused)
{
    struct placement_candidate host = host_of("beta", 0);

    (void)unused;
    host.memory_free_bytes = 2 * GIB + 512 * MIB;
    host.pool_free_bytes = IMAGE + GIB;
    host.cpu_percent = 80;
    eligible_with(host);
    host.memory_free_bytes--; /* does not read as if it sufficed */
    out_with(host, "free memory 2.49 GiB, needs 2 GiB and 512 MiB in reserve");
    host = host_of("beta", 0);
    host.cpu_percent = nextafter(80, 81);
    out_with(host, "CPU load 80.1 %, at most 80 %");
    host = host_of("beta", 0);
    host.pool_free_bytes = IMAGE + GIB - 1;
    out_with(host, "free space in its pool 1 GiB, needs 3.91 MiB and 1 GiB in reserve");
}

static void test_sums_do_not_overflow(void **unused)
{
    struct placement_vm vm = machine;
    struct placement_rules huge = rules;
    struct placement_candidate host = host_of("beta", 0);
    struct placement_move move;

    (void)unused;
    vm.memory_bytes = UINT64_MAX - 5;
    huge.memory_reserve_bytes = UINT64_MAX;
    move = move_of(&vm, &host, 1, &huge);
    assert_int_equal(move.eligible, 0);
    REASONS(move, 0, "free memory 8 GiB, needs 16 EiB and 16 EiB in reserve");
    placement_move_release(&move);
    host.memory_free_bytes = UNKNOWN_U64; /* is no number of bytes, though it is the largest */
    move = move_of(&vm, &host, 1, &huge);
    assert_int_equal(move.eligible, 1);
    placement_move_release(&move);
}

static void test_without_a_reserve_none_is_named(void **unused)
{
    struct placement_rules none = rules;
    struct placement_candidate host = host_of("beta", 0);
    struct placement_move move;

    (void)unused;
    none.memory_reserve_bytes = 0;
    host.memory_free_bytes = GIB;
    move = move_of(&machine, &host, 1, &none);
    REASONS(move, 0, "free memory 1 GiB, needs 2 GiB");
    placement_move_release(&move);
}

static void test_all_that_is_wrong_is_said_the_hardest_first(void **unused)
{
    struct placement_candidate host = host_of("beta", 500);
    struct placement_move move;

    (void)unused;
    host.trust_domain = "other";
    host.maintenance = true;
    host.obstacles = LINES("its CPU lacks avx2", "it has no bridge br7");
    host.obstacle_count = 2;
    host.memory_free_bytes = 0;
    host.pool_free_bytes = 0;
    host.cpu_percent = 100;
    host.notes = LINES("a note");
    host.note_count = 1;
    move = move_of(&machine, &host, 1, &rules);
    REASONS(move, 0, "trust domain other, the VM is in default", "in maintenance, takes in no VMs",
            "its CPU lacks avx2", "it has no bridge br7",
            "free memory 0 bytes, needs 2 GiB and 512 MiB in reserve",
            "free space in its pool 0 bytes, needs 3.91 MiB and 1 GiB in reserve",
            "CPU load 100.0 %, at most 80 %", "a note");
    placement_move_release(&move);
}

static void test_what_is_not_known_keeps_nobody_out_and_scores_nothing(void **unused)
{
    struct placement_candidate hosts[] = {host_of("known", 500), host_of("unknown", 500)};
    CLEANUP(placement_move_release) struct placement_move move = {.ranks = NULL};

    (void)unused;
    hosts[1].cpu_percent = NAN;
    hosts[1].memory_free_bytes = hosts[1].pool_free_bytes = UNKNOWN_U64;
    move = MOVE(hosts);
    ORDER(move, hosts, "known", "unknown");
    assert_true(fabs(move.ranks[0].score - 0.75) < 1e-9); /* half the bytes, all of the rest */
    assert_true(fabs(move.ranks[1].score - 0.25) < 1e-9);
    assert_true(has_reason(&move.ranks[1], "CPU load not known, free memory not known, free space "
                                           "in its pool not known"));
}

static void test_domains_that_are_not_known_do_not_differ(void **unused)
{
    struct placement_vm vm = machine;
    struct placement_candidate host = host_of("beta", 0);
    struct placement_move move;

    (void)unused;
    vm.trust_domain = NULL;
    vm.host = NULL;
    move = move_of(&vm, &host, 1, &rules);
    assert_int_equal(move.eligible, 1);
    placement_move_release(&move);
}

/* ---- scores ---- */

static void test_fewer_bytes_win_where_headroom_is_alike(void **unused)
{
    struct placement_candidate hosts[] = {host_of("C", 100), host_of("B", 500)};
    CLEANUP(placement_move_release) struct placement_move move = MOVE(hosts);

    (void)unused;
    ORDER(move, hosts, "B", "C");
    assert_true(fabs(move.ranks[0].score - 0.75) < 1e-9);
    assert_true(fabs(move.ranks[1].score - 0.55) < 1e-9);
    REASONS(move, 0,
            "holds 25.00 % of the blocks (50.00 % with duplicates); 1.95M to send instead of 3.91M",
            "CPU load 10.0 %, free memory 8 GiB, free space in its pool 100 GiB");
    REASONS(move, 1,
            "holds 5.00 % of the blocks (10.00 % with duplicates); 3.52M to send instead of 3.91M",
            "CPU load 10.0 %, free memory 8 GiB, free space in its pool 100 GiB",
            "1.56M more to send than to B");
}

/* Normalised by the best and the worst, each by its weight. */
static void test_headroom_is_weighed(void **unused)
{
    struct placement_candidate hosts[] = {host_of("a", 500), host_of("b", 500), host_of("c", 500)};
    CLEANUP(placement_move_release) struct placement_move move = {.ranks = NULL};

    (void)unused;
    hosts[0].cpu_percent = 70;          /* 0 */
    hosts[1].cpu_percent = 20;          /* 1 */
    hosts[2].cpu_percent = 45;          /* 0.5 */
    hosts[0].memory_free_bytes *= 3;    /* 1 */
    hosts[1].memory_free_bytes *= 2;    /* 0.5 */
    hosts[2].pool_free_bytes = 4 * GIB; /* 0, the others 1 */
    move = MOVE(hosts);
    ORDER(move, hosts, "b", "a", "c");
    assert_true(fabs(move.ranks[0].score - (0.25 + 0.2 + 0.1 + 0.1)) < 1e-9);
    assert_true(fabs(move.ranks[1].score - (0.25 + 0 + 0.2 + 0.1)) < 1e-9);
    assert_true(fabs(move.ranks[2].score - (0.25 + 0.1 + 0 + 0)) < 1e-9);
    assert_true(has_reason(&move.ranks[1], "as much to send as to b, but less headroom"));
}

/* A few blocks more on one host do not outweigh all else: bytes count by the whole image. */
static void test_small_differences_stay_small(void **unused)
{
    struct placement_candidate hosts[] = {host_of("busy", 901), host_of("idle", 900)};
    CLEANUP(placement_move_release) struct placement_move move = {.ranks = NULL};

    (void)unused;
    hosts[0].cpu_percent = 70;
    move = MOVE(hosts);
    ORDER(move, hosts, "idle", "busy");
    assert_true(has_reason(&move.ranks[1], "4.00k less to send than to idle, but less headroom"));
}

/* A little more memory or load than another's is chance; it must not weigh like blocks. */
static void test_what_is_nearly_equal_does_not_decide(void **unused)
{
    struct placement_candidate hosts[] = {host_of("more", 600), host_of("less", 550)};
    CLEANUP(placement_move_release) struct placement_move move = {.ranks = NULL};

    (void)unused;
    hosts[1].cpu_percent = 9.9;
    hosts[1].memory_free_bytes += MIB;
    hosts[1].pool_free_bytes += MIB;
    move = MOVE(hosts);
    ORDER(move, hosts, "more", "less");
    assert_true(move.ranks[0].score > 0.79); /* 0.3 of bytes, nearly all of the rest */
    hosts[1].memory_free_bytes = 12 * GIB;   /* a third of the other's is no chance any more */
    placement_move_release(&move);
    move = MOVE(hosts);
    ORDER(move, hosts, "less", "more");
}

static void test_who_is_out_does_not_stretch_the_scale(void **unused)
{
    struct placement_candidate hosts[] = {host_of("a", 0), host_of("b", 0), host_of("out", 0)};
    CLEANUP(placement_move_release) struct placement_move move = {.ranks = NULL};

    (void)unused;
    hosts[0].memory_free_bytes = 4 * GIB;
    hosts[1].memory_free_bytes = 5 * GIB;
    hosts[2].memory_free_bytes = 1000 * GIB;
    hosts[2].maintenance = true;
    move = MOVE(hosts);
    ORDER(move, hosts, "b", "a", "out");
    assert_true(fabs(move.ranks[0].score - 0.5) < 1e-9);
    assert_true(fabs(move.ranks[1].score - 0.3) < 1e-9);
}

static void test_equal_scores_by_bytes_then_by_name(void **unused)
{
    struct placement_rules bytes_do_not_count = rules;
    struct placement_candidate hosts[] = {host_of("z", 7), host_of("b", 5), host_of("a", 5)};
    struct placement_move move;

    (void)unused;
    bytes_do_not_count.weight_bytes = 0;
    move = move_of(&machine, hosts, 3, &bytes_do_not_count);
    ORDER(move, hosts, "z", "a", "b");
    placement_move_release(&move);
    hosts[0] = host_of("z", 5);
    move = MOVE(hosts);
    ORDER(move, hosts, "a", "b", "z");
    assert_true(has_reason(&move.ranks[1], "level with a; the name decided"));
    placement_move_release(&move);
}

static void test_order_does_not_depend_on_the_input_s(void **unused)
{
    struct placement_candidate hosts[] = {host_of("a", 300), host_of("b", 300), host_of("c", 700),
                                          host_of("e", 900), host_of("d", 900)};

    (void)unused;
    hosts[3].maintenance = hosts[4].maintenance = true;
    for (size_t turn = 0; turn < ARRAY_LENGTH(hosts); turn++) {
        struct placement_candidate first = hosts[0];
        CLEANUP(placement_move_release) struct placement_move move = {.ranks = NULL};

        memmove(hosts, hosts + 1, sizeof(hosts) - sizeof(hosts[0]));
        hosts[ARRAY_LENGTH(hosts) - 1] = first;
        move = MOVE(hosts);
        assert_int_equal(move.eligible, 3);
        ORDER(move, hosts, "c", "a", "b", "d", "e");
    }
}

static void test_a_vm_without_blocks_goes_by_headroom(void **unused)
{
    struct placement_vm vm = machine;
    struct placement_candidate hosts[] = {host_of("a", 0), host_of("b", 0)};
    struct placement_move move;

    (void)unused;
    vm.image_bytes = vm.space_bytes = 0;
    hosts[0].figures = hosts[1].figures = (struct similarity_estimate){{0}, {0}, {0}, {0}};
    hosts[0].cpu_percent = 50;
    move = move_of(&vm, hosts, 2, &rules);
    ORDER(move, hosts, "b", "a");
    assert_true(fabs(move.ranks[0].score - 1) < 1e-9);
    placement_move_release(&move);
}

/* ---- what is said ---- */

static void test_estimates_that_meet_are_called_so(void **unused)
{
    struct placement_candidate hosts[] = {host_of("a", 500), host_of("b", 490), host_of("c", 100)};
    CLEANUP(placement_move_release) struct placement_move move = {.ranks = NULL};

    (void)unused;
    for (size_t i = 0; i < 3; i++) {
        hosts[i].figures.low.bytes_to_send -= 20 * BLOCK;
        hosts[i].figures.high.bytes_to_send += 20 * BLOCK;
    }
    move = MOVE(hosts);
    ORDER(move, hosts, "a", "b", "c");
    assert_true(has_reason(&move.ranks[0],
                           "1 other host cannot be told from it within the estimate's error"));
    assert_true(has_reason(&move.ranks[1], "more to send than to a, within the estimate's error"));
    assert_false(has_reason(&move.ranks[2], "estimate's error"));
}

static void test_nobody_saves_anything(void **unused)
{
    struct placement_candidate hosts[] = {host_of("a", 0), host_of("b", 0)};
    CLEANUP(placement_move_release) struct placement_move move = MOVE(hosts);

    (void)unused;
    assert_true(has_reason(&move.ranks[0], "no host saves anything, so the headroom decided"));
    assert_true(has_reason(&move.ranks[0], "holds none of the blocks; all of 3.91M to send"));
}

static void test_time_is_of_what_is_sent(void **unused)
{
    struct placement_candidate hosts[] = {host_of("a", 500), host_of("b", 400), host_of("c", 300),
                                          host_of("d", 300)};
    CLEANUP(placement_move_release) struct placement_move move = {.ranks = NULL};

    (void)unused;
    hosts[0].bandwidth_bits_per_s = 8 * BLOCK;
    hosts[1].bandwidth_bits_per_s = 8;
    hosts[1].wire_bytes = 42;
    hosts[3].bandwidth_bits_per_s = 8;
    hosts[3].unusable = "gone";
    move = MOVE(hosts);
    assert_true(fabs(move.ranks[0].seconds - 500) < 1e-9);
    assert_true(fabs(move.ranks[1].seconds - 42) < 1e-9);
    assert_true(isnan(move.ranks[2].seconds)); /* no bandwidth */
    assert_true(isnan(move.ranks[3].seconds)); /* no bytes */
}

static void test_hostile_text_stays_one_line(void **unused)
{
    struct placement_candidate host = host_of("be\nta", 0);
    struct placement_move move;

    (void)unused;
    host.unusable = "no\nsuch \033[2Jhost";
    move = move_of(&machine, &host, 1, &rules);
    REASONS(move, 0, "no such  [2Jhost");
    assert_null(strchr(move.stay_reason, '\n'));
    placement_move_release(&move);
}

/* ---- staying ---- */

static void test_it_stays_when_it_cannot_move(void **unused)
{
    struct placement_vm vm = machine;
    struct placement_candidate hosts[] = {host_of("b", 0), host_of("a", 900)};
    struct placement_move move;

    (void)unused;
    vm.obstacles = LINES("it has 2 internal snapshots", "a block job runs on vda");
    vm.obstacle_count = 2;
    move = move_of(&vm, hosts, 2, &rules);
    assert_true(move.stay);
    assert_string_equal(move.stay_reason,
                        "it cannot move: it has 2 internal snapshots; a block job runs on vda");
    ORDER(move, hosts, "a", "b");
    REASONS(move, 1, "the VM cannot move: it has 2 internal snapshots",
            "the VM cannot move: a block job runs on vda");
    placement_move_release(&move);
}

static void test_it_stays_when_nobody_can_take_it(void **unused)
{
    struct placement_candidate hosts[] = {host_of("e", 0), host_of("b", 0), host_of("d", 0),
                                          host_of("c", 0)};
    struct placement_move move;

    (void)unused;
    for (size_t i = 0; i < ARRAY_LENGTH(hosts); i++)
        hosts[i].maintenance = true;
    hosts[1].maintenance = false;
    hosts[1].has_vm = true;
    move = MOVE(hosts);
    assert_string_equal(
        move.stay_reason,
        "no host can take it: b: the host has a VM of this name or UUID; c: in maintenance, takes "
        "in no VMs; d: in maintenance, takes in no VMs; and 1 more");
    placement_move_release(&move);
    hosts[2].name = "alpha"; /* where it is: goes without saying */
    move = MOVE(hosts);
    assert_string_equal(move.stay_reason,
                        "no host can take it: b: the host has a VM of this name or UUID; c: in "
                        "maintenance, takes in no VMs; e: in maintenance, takes in no VMs");
    placement_move_release(&move);
    move = move_of(&machine, NULL, 0, &rules);
    assert_string_equal(move.stay_reason, "there is no other host");
    placement_move_release(&move);
    move = move_of(&machine, &hosts[2], 1, &rules);
    assert_string_equal(move.stay_reason, "there is no other host");
    placement_move_release(&move);
}

/* ---- sums over disks ---- */

static void test_disks_add_up(void **unused)
{
    struct similarity_estimate sum = {{0}, {0}, {0}, {0}}, disk;

    (void)unused;
    disk = (struct similarity_estimate){figures_of(500), figures_of(400), figures_of(600),
                                        figures_of(450)};
    placement_add(&sum, &disk);
    placement_add(&sum, &disk);
    assert_int_equal(sum.best.identical_distinct, 1000);
    assert_int_equal(sum.low.identical_with_duplicates, 1600);
    assert_int_equal(sum.high.bytes_to_send, 2 * 400 * BLOCK);
    assert_int_equal(sum.likely.identical_distinct, 900);
    assert_int_equal(sum.likely.total, 4 * DISTINCT);
    assert_int_equal(sum.likely.distinct, 2 * DISTINCT);
    assert_int_equal(sum.likely.internal_duplicates, 2 * DISTINCT);
    disk.best.bytes_to_send = UINT64_MAX;
    placement_add(&sum, &disk);
    assert_true(sum.best.bytes_to_send == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_filter_says_its_figures),
        cmocka_unit_test(test_what_just_suffices_suffices),
        cmocka_unit_test(test_sums_do_not_overflow),
        cmocka_unit_test(test_without_a_reserve_none_is_named),
        cmocka_unit_test(test_all_that_is_wrong_is_said_the_hardest_first),
        cmocka_unit_test(test_what_is_not_known_keeps_nobody_out_and_scores_nothing),
        cmocka_unit_test(test_domains_that_are_not_known_do_not_differ),
        cmocka_unit_test(test_fewer_bytes_win_where_headroom_is_alike),
        cmocka_unit_test(test_headroom_is_weighed),
        cmocka_unit_test(test_small_differences_stay_small),
        cmocka_unit_test(test_what_is_nearly_equal_does_not_decide),
        cmocka_unit_test(test_who_is_out_does_not_stretch_the_scale),
        cmocka_unit_test(test_equal_scores_by_bytes_then_by_name),
        cmocka_unit_test(test_order_does_not_depend_on_the_input_s),
        cmocka_unit_test(test_a_vm_without_blocks_goes_by_headroom),
        cmocka_unit_test(test_estimates_that_meet_are_called_so),
        cmocka_unit_test(test_nobody_saves_anything),
        cmocka_unit_test(test_time_is_of_what_is_sent),
        cmocka_unit_test(test_hostile_text_stays_one_line),
        cmocka_unit_test(test_it_stays_when_it_cannot_move),
        cmocka_unit_test(test_it_stays_when_nobody_can_take_it),
        cmocka_unit_test(test_disks_add_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

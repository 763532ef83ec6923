/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The level follows the line: what was measured goes in, the level comes out. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "setmov/transfer.h"
#include "transfer/pack_pace.h"

#define MIB  (1 << 20)
#define PART (64 * MIB)

/* A line and a machine: what they do with parts of a certain level. */
struct world {
    double line_bytes_per_s;
    double level_3_bytes_per_s; /* raw bytes that one thread compresses */
    double ratio;               /* of level 3 */
};

/* What levels take and give there, as measured on images of Debian. */
static double cost_of(int level)
{
    return level < -100 ? 0.15
           : level < 0  ? 0.4
           : level < 3  ? 0.7
           : level < 6  ? 1
           : level < 9  ? 2.1
           : level < 12 ? 3.8
           : level < 16 ? 9
           : level < 19 ? 28
                        : 100;
}

static double size_of(int level)
{
    return level < 0    ? 1.5
           : level < 3  ? 1.05
           : level < 6  ? 1
           : level < 9  ? 0.965
           : level < 12 ? 0.945
           : level < 16 ? 0.935
           : level < 19 ? 0.875
                        : 0.83;
}

/* One part; the seconds that it took. */
static double add(struct pack_pace *pace, const struct world *world)
{
    struct pack_timing timing = {.level = pace->level, .raw_bytes = PART};
    double packed = PART * world->ratio * size_of(pace->level), took;

    if (pace->level == TRANSFER_LEVEL_STORED || packed > PART)
        packed = PART;
    timing.packed_bytes = (uint64_t)packed;
    timing.compress_s = PART / world->level_3_bytes_per_s * cost_of(pace->level);
    timing.sink_s = packed / world->line_bytes_per_s;
    took = timing.compress_s / pace->threads;
    if (timing.sink_s > took)
        took = timing.sink_s;
    pack_pace_add(pace, &timing);
    return took;
}

/* Where it ends on a line of so many Mbit/s. */
static int settles(double mbit_per_s, unsigned threads)
{
    struct world world = {mbit_per_s * 1e6 / 8, 230e6, 0.33};
    struct pack_pace pace;
    int changes = 0, level;

    pack_pace_init(&pace, 0, 0, threads);
    level = pace.level;
    for (int i = 0; i < 2000; i++) {
        add(&pace, &world);
        changes += pace.level != level;
        level = pace.level;
    }
    /* It does not swing to and fro. */
    assert_true(changes <= 3);
    return level;
}

static void test_each_line_gets_its_level(void **unused)
{
    (void)unused;
    assert_int_equal(settles(2, 2), 19);
    assert_int_equal(settles(15, 2), 16);
    assert_int_equal(settles(100, 2), 12);
    assert_int_equal(settles(200, 2), 9);
    assert_int_equal(settles(450, 2), 6);
    assert_int_equal(settles(1000, 2), 3);
    assert_int_equal(settles(1500, 2), 1);
    assert_int_equal(settles(5000, 2), -7);
    assert_int_equal(settles(10000, 2), TRANSFER_LEVEL_STORED);
    /* With more threads there is time for more. */
    assert_int_equal(settles(50, 8), 16);
    assert_int_equal(settles(800, 8), 9);
    assert_int_equal(settles(10000, 8), -7);
}

/* Half a GiB is not enough to send more bytes than at first; a slow line is seen at once. */
static void test_a_small_transfer_never_sends_more(void **unused)
{
    struct world fast = {5e9, 20e6, 0.33}, slow = {1e6, 230e6, 0.33};
    struct pack_pace pace;
    int parts = 0;

    (void)unused;
    pack_pace_init(&pace, 0, 0, 2);
    assert_int_equal(pace.level, 3);
    while (pace.level == 3) {
        add(&pace, &fast);
        parts++;
    }
    assert_int_equal(parts, 8);
    assert_true(pace.level < 3);
    pack_pace_init(&pace, 0, 0, 2);
    add(&pace, &slow);
    assert_int_equal(pace.level, 19);
    /* Not from less than two seconds. */
    slow.line_bytes_per_s = 1e9;
    pack_pace_init(&pace, 0, 1000000000, 2);
    slow.level_3_bytes_per_s = 100e9;
    for (int i = 0; i < 80; i++)
        assert_int_equal(pace.level + 0 * (int)add(&pace, &slow), 3);
}

/* A known thin line begins high, and leaves that when the threads cannot keep up. */
static void test_a_thin_line_and_few_threads(void **unused)
{
    struct world world = {12.5e6, 230e6, 0.33};
    struct pack_pace pace;
    int parts = 0;

    (void)unused;
    pack_pace_init(&pace, 0, 100000000, 2);
    assert_int_equal(pace.level, 16);
    while (pace.level == 16 && parts < 100) {
        add(&pace, &world);
        parts++;
    }
    assert_int_equal(parts, 8);
    assert_int_equal(pace.level, 12);
}

static void test_what_does_not_compress_is_stored(void **unused)
{
    struct world world = {125e6, 230e6, 1};
    struct pack_pace pace;

    (void)unused;
    pack_pace_init(&pace, 0, 0, 1);
    for (int i = 0; i < 50; i++)
        add(&pace, &world);
    /* The line decides, whatever is tried: no level is worth leaving for another. */
    assert_true(pace.level >= 3);
    world.line_bytes_per_s = 2e9;
    for (int i = 0; i < 200; i++)
        add(&pace, &world);
    assert_int_equal(pace.level, TRANSFER_LEVEL_STORED);
}

static void test_a_configured_level_stays(void **unused)
{
    struct world fast = {5e9, 20e6, 0.33}, slow = {1e6, 230e6, 0.33};
    struct pack_pace pace;

    (void)unused;
    for (int level = TRANSFER_LEVEL_STORED; level < 23; level += level < -1  ? -level - 1
                                                                 : level < 0 ? 2
                                                                             : 7) {
        pack_pace_init(&pace, level, 100000000, 2);
        for (int i = 0; i < 50; i++) {
            add(&pace, &fast);
            add(&pace, &slow);
        }
        assert_int_equal(pace.level, level);
    }
}

/* Parts that were begun before the change come after it. */
static void test_parts_of_another_level_say_nothing(void **unused)
{
    struct world slow = {1e6, 230e6, 0.33};
    struct pack_timing late = {
        .level = 3, .raw_bytes = PART, .packed_bytes = PART / 3, .compress_s = 100};
    struct pack_pace pace;

    (void)unused;
    pack_pace_init(&pace, 0, 0, 2);
    add(&pace, &slow);
    assert_int_equal(pace.level, 19);
    for (int i = 0; i < 100; i++)
        pack_pace_add(&pace, &late);
    assert_int_equal(pace.level, 19);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_line_gets_its_level),
        cmocka_unit_test(test_a_small_transfer_never_sends_more),
        cmocka_unit_test(test_a_thin_line_and_few_threads),
        cmocka_unit_test(test_what_does_not_compress_is_stored),
        cmocka_unit_test(test_a_configured_level_stays),
        cmocka_unit_test(test_parts_of_another_level_say_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

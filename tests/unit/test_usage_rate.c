/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counter rates, formula 3 (memory), and formulas 5 to 7 (packets). */
#include "usage_assert.h"

static void rate_is_difference_by_elapsed_time(void **state)
{
    (void)state;
    assert_near(usage_rate(1000, 4000, 1.5), 2000);
    assert_near(usage_rate(1000, 1000, 1.5), 0);
    assert_near(usage_rate(0, 1, 1e-6), 1e6);
    assert_near(usage_rate(UINT64_MAX - 11, UINT64_MAX - 1, 2), 5);
}

/* 3000 a second, sampled half a second early and late. */
static void rate_is_right_under_jitter(void **state)
{
    (void)state;
    assert_near(usage_rate(0, 1500, 0.5), 3000);
    assert_near(usage_rate(1500, 6000, 1.5), 3000);
    assert_near(usage_rate(6000, 9000, 1.0), 3000);
}

static void rate_unknown(void **state)
{
    (void)state;
    assert_unknown(usage_rate(1000, 999, 1));
    assert_unknown(usage_rate(1000, 0, 1));
    assert_unknown(usage_rate(UINT32_MAX, 5, 1)); /* 32 bits ran over, or a reset: who knows */
    assert_unknown(usage_rate(UNKNOWN_U64, 5, 1));
    assert_unknown(usage_rate(5, UNKNOWN_U64, 1));
    assert_unknown(usage_rate(1, 2, 0));
    assert_unknown(usage_rate(1, 2, -0.5));
    assert_unknown(usage_rate(1, 2, NAN));
    assert_unknown(usage_rate(0, UINT64_MAX - 1, 5e-324)); /* would be infinite */
}

/* 16 GiB of which 4 GiB are free: 75 %. */
static void memory_is_what_is_not_free(void **state)
{
    (void)state;
    assert_near(usage_memory(16ull << 30, 4ull << 30), 75);
    assert_near(usage_memory(1024, 0), 100);
    assert_near(usage_memory(1024, 1024), 0);
}

static void memory_unknown(void **state)
{
    (void)state;
    assert_unknown(usage_memory(UNKNOWN_U64, 1));
    assert_unknown(usage_memory(1024, UNKNOWN_U64));
    assert_unknown(usage_memory(0, 0));
    assert_unknown(usage_memory(1024, 1025));
}

/*
 * 2000 packets and 1,000,000 bytes in 2 s: 1000 packets/s (5); 1e6 * 8 / 2000
 * = 4000 bits and the overhead (6); 1000 times that (7).
 */
static void packets_of_the_paper(void **state)
{
    (void)state;
    struct packet_usage usage =
        usage_packets(500, 2500, 70000, 1070000, 2.0, PACKET_OVERHEAD_PAPER_BITS);
    assert_near(usage.packets_per_s, 1000);
    assert_near(usage.packet_bits, 4020);
    assert_near(usage.bits_per_s, 4020000);
}

static void packets_on_the_wire(void **state)
{
    (void)state;
    struct packet_usage usage =
        usage_packets(500, 2500, 70000, 1070000, 2.0, PACKET_OVERHEAD_WIRE_BITS);
    assert_near(usage.packets_per_s, 1000);
    assert_near(usage.packet_bits, 4160);
    assert_near(usage.bits_per_s, 4160000);
}

static void no_packet_is_no_traffic_of_unknown_size(void **state)
{
    (void)state;
    struct packet_usage usage = usage_packets(500, 500, 70000, 70000, 1.0, 20);
    assert_near(usage.packets_per_s, 0);
    assert_unknown(usage.packet_bits);
    assert_near(usage.bits_per_s, 0);
}

/*
 * A full 100 Gbit/s link of 1538-byte frames (1518 and 20 of gap, preamble and
 * delimiter): 100e9 / (1538 * 8) = 8,127,438 packets a second. With the wire's
 * overhead formula 7 gives the link's rate.
 */
static void a_full_link_of_100_gbit(void **state)
{
    (void)state;
    const uint64_t packets = 8127438;
    struct packet_usage usage =
        usage_packets(1ull << 50, (1ull << 50) + packets, 1ull << 60, (1ull << 60) + packets * 1518,
                      1.0, PACKET_OVERHEAD_WIRE_BITS);
    assert_near(usage.packets_per_s, 8127438);
    assert_near(usage.packet_bits, 12304);
    assert_within(usage.bits_per_s, 1e11, 12304);
}

static void packets_right_under_jitter(void **state)
{
    (void)state;
    struct packet_usage early = usage_packets(0, 50, 0, 5000, 0.5, 20);
    struct packet_usage late = usage_packets(50, 200, 5000, 20000, 1.5, 20);
    assert_near(early.packets_per_s, 100);
    assert_near(late.packets_per_s, 100);
    assert_near(early.bits_per_s, 82000);
    assert_near(late.bits_per_s, 82000);
}

static void packets_unknown(void **state)
{
    (void)state;
    struct packet_usage restarted = usage_packets(500, 3, 70000, 300, 1, 20);
    assert_unknown(restarted.packets_per_s);
    assert_unknown(restarted.packet_bits);
    assert_unknown(restarted.bits_per_s);

    struct packet_usage ran_over = usage_packets(100, 200, UINT32_MAX, 40, 1, 20);
    assert_near(ran_over.packets_per_s, 100);
    assert_unknown(ran_over.packet_bits);
    assert_unknown(ran_over.bits_per_s);

    struct packet_usage untold = usage_packets(UNKNOWN_U64, UNKNOWN_U64, 0, 100, 1, 20);
    assert_unknown(untold.packets_per_s);
    assert_unknown(untold.bits_per_s);

    static const double bad_times_s[] = {0, -1, NAN};
    for (size_t i = 0; i < ARRAY_LENGTH(bad_times_s); i++) {
        struct packet_usage timeless = usage_packets(1, 2, 1, 100, bad_times_s[i], 20);
        assert_unknown(timeless.packets_per_s);
        assert_unknown(timeless.packet_bits);
        assert_unknown(timeless.bits_per_s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rate_is_difference_by_elapsed_time),
        cmocka_unit_test(rate_is_right_under_jitter),
        cmocka_unit_test(rate_unknown),
        cmocka_unit_test(memory_is_what_is_not_free),
        cmocka_unit_test(memory_unknown),
        cmocka_unit_test(packets_of_the_paper),
        cmocka_unit_test(packets_on_the_wire),
        cmocka_unit_test(no_packet_is_no_traffic_of_unknown_size),
        cmocka_unit_test(a_full_link_of_100_gbit),
        cmocka_unit_test(packets_right_under_jitter),
        cmocka_unit_test(packets_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ranking of hosts: order, ties, intervals, hosts that cannot be used, and the reasons. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "setmov/placement.h"

#define BLOCK      512
#define DISTINCT   1000 /* digests of the image, none of them zero's */
#define BLOCKS     2000
#define IMAGE      ((uint64_t)DISTINCT * BLOCK)
#define MOST_HOSTS 8

static struct similarity_figures figures_of(uint64_t identical)
{
    return (struct similarity_figures){
        .total = BLOCKS,
        .distinct = DISTINCT,
        .internal_duplicates = BLOCKS - DISTINCT,
        .identical_distinct = identical,
        .identical_with_duplicates = 2 * identical,
        .bytes_to_send = (DISTINCT - identical) * BLOCK,
    };
}

/* A host that has so many of the image's digests. */
static struct placement_host host_of(const char *name, uint64_t identical)
{
    struct similarity_figures figures = figures_of(identical);

    return (struct placement_host){
        .name = name, .images = 3, .all = {figures, figures, figures, figures}};
}

static struct placement_host estimated(const char *name, uint64_t low, uint64_t best, uint64_t high)
{
    struct placement_host host = host_of(name, best);
    uint64_t most;

    host.all.low = figures_of(low);
    host.all.high = figures_of(high);
    most = host.all.low.bytes_to_send;
    host.all.low.bytes_to_send = host.all.high.bytes_to_send;
    host.all.high.bytes_to_send = most;
    return host;
}

static struct placement_host with_donor(struct placement_host host, const char *path,
                                        uint64_t identical)
{
    host.donor = path;
    host.donor_figures = figures_of(identical);
    return host;
}

static struct placement_host unusable(const char *name, const char *why)
{
    return (struct placement_host){.name = name, .unusable = why};
}

struct ranking {
    const struct placement_host *hosts;
    struct placement_rank ranks[MOST_HOSTS];
    size_t count, eligible;
};

static void ranking_release(struct ranking *ranking)
{
    placement_ranks_release(ranking->ranks, ranking->count);
}

static struct ranking rank(const struct placement_host *hosts, size_t count)
{
    struct ranking ranking = {.hosts = hosts, .count = count};

    assert_int_equal(placement_rank(hosts, count, IMAGE, ranking.ranks, &ranking.eligible), 0);
    return ranking;
}

static void assert_order(const struct ranking *ranking, const char *const *names)
{
    size_t i = 0;

    for (; i < ranking->count && names[i] != NULL; i++) {
        assert_string_equal(ranking->hosts[ranking->ranks[i].host].name, names[i]);
        assert_int_equal(ranking->ranks[i].eligible, i < ranking->eligible);
    }
    assert_int_equal(i, ranking->count);
    assert_null(names[i]);
}

static bool has_reason(const struct ranking *ranking, size_t at, const char *text)
{
    const struct placement_rank *one = &ranking->ranks[at];

    for (size_t i = 0; i < one->reason_count; i++) {
        if (strstr(one->reasons[i].text, text) != NULL)
            return true;
    }
    return false;
}

static void assert_reasons(const struct ranking *ranking, size_t at, const char *const *texts)
{
    const struct placement_rank *one = &ranking->ranks[at];
    size_t i = 0;

    for (; i < one->reason_count && texts[i] != NULL; i++)
        assert_string_equal(one->reasons[i].text, texts[i]);
    assert_int_equal(i, one->reason_count);
    assert_null(texts[i]);
}

#define RANK(hosts)         rank((hosts), ARRAY_LENGTH(hosts))
#define LINES(...)          ((const char *const[]){__VA_ARGS__, NULL})
#define ORDER(r, ...)       assert_order(&(r), LINES(__VA_ARGS__))
#define REASONS(r, at, ...) assert_reasons(&(r), (at), LINES(__VA_ARGS__))

/* ---- order ---- */

/* Figure 4: B, with 50 %, is preferred to C, with 10 %. */
static void test_figure_4_of_the_paper(void **unused)
{
    const struct placement_host hosts[] = {host_of("C", 100), host_of("B", 500)};
    CLEANUP(ranking_release) struct ranking ranking = RANK(hosts);

    (void)unused;
    ORDER(ranking, "B", "C");
    assert_int_equal(ranking.eligible, 2);
}

/* The paper's rule would take the host with the best single image; all images together count. */
static void test_all_images_count_and_not_the_best_donor(void **unused)
{
    const struct placement_host hosts[] = {
        with_donor(host_of("one", 600), "/one/whole", 600),
        with_donor(host_of("halves", 800), "/halves/left", 400),
    };
    CLEANUP(ranking_release) struct ranking ranking = RANK(hosts);

    (void)unused;
    ORDER(ranking, "halves", "one");
    REASONS(ranking, 0,
            "holds 40.00 % of the blocks (80.00 % with duplicates) in 3 images; 100k to send "
            "instead of 500k",
            "best single donor /halves/left has 20.00 % and alone leaves 300k to send",
            "one has a better single donor (30.00 %), but its images together leave no less");
    REASONS(ranking, 1,
            "holds 30.00 % of the blocks (60.00 % with duplicates) in 3 images; 200k to send "
            "instead of 500k",
            "best single donor /one/whole has 30.00 %");
}

static void test_equal_bytes_by_share_then_by_name(void **unused)
{
    struct placement_host hosts[] = {host_of("z", 500), host_of("b", 500), host_of("c", 500),
                                     host_of("a", 500)};
    CLEANUP(ranking_release) struct ranking ranking = {.hosts = NULL};

    (void)unused;
    hosts[0].all.likely.identical_with_duplicates++; /* more zero blocks, perhaps */
    hosts[2].all.likely.identical_distinct++;
    ranking = RANK(hosts);
    ORDER(ranking, "c", "z", "a", "b");
    assert_true(has_reason(&ranking, 0, "level with 3 other hosts: the larger share"));
    assert_true(has_reason(&ranking, 3, "as many bytes to send as to c"));
}

static void test_order_does_not_depend_on_the_input_s(void **unused)
{
    struct placement_host hosts[] = {host_of("a", 10), host_of("b", 10), host_of("c", 700),
                                     unusable("d", "gone"), unusable("e", "gone")};

    (void)unused;
    for (size_t turn = 0; turn < ARRAY_LENGTH(hosts); turn++) {
        struct placement_host first = hosts[0];
        CLEANUP(ranking_release) struct ranking ranking = {.hosts = NULL};

        memmove(hosts, hosts + 1, sizeof(hosts) - sizeof(hosts[0]));
        hosts[ARRAY_LENGTH(hosts) - 1] = first;
        ranking = RANK(hosts);
        ORDER(ranking, "c", "a", "b", "d", "e");
    }
}

static void test_hosts_of_one_name_stay_as_they_were_given(void **unused)
{
    const struct placement_host hosts[] = {host_of("a", 10), host_of("a", 10)};
    CLEANUP(ranking_release) struct ranking ranking = RANK(hosts);

    (void)unused;
    assert_int_equal(ranking.ranks[0].host, 0);
    assert_int_equal(ranking.ranks[1].host, 1);
}

static void test_no_hosts(void **unused)
{
    struct placement_rank none;
    size_t eligible = 7;

    (void)unused;
    assert_int_equal(placement_rank(NULL, 0, IMAGE, &none, &eligible), 0);
    assert_int_equal(eligible, 0);
}

/* ---- intervals ---- */

static void test_intervals_that_meet_cannot_be_told_apart(void **unused)
{
    const struct placement_host hosts[] = {
        estimated("far", 100, 120, 140),
        estimated("near", 470, 490, 530),
        estimated("best", 500, 540, 560),
    };
    CLEANUP(ranking_release) struct ranking ranking = RANK(hosts);

    (void)unused;
    ORDER(ranking, "best", "near", "far");
    REASONS(ranking, 0,
            "holds 27.00 % of the blocks (54.00 % with duplicates) in 3 images; 230k (220k "
            "to 250k) to send instead of 500k",
            "1 other host cannot be told from it within the estimate's error");
    assert_true(has_reason(&ranking, 1, "same as best within the estimate's error"));
    assert_false(has_reason(&ranking, 2, "within the estimate's error"));
}

static void test_perhaps_nothing_to_send_is_no_nothing(void **unused)
{
    const struct placement_host hosts[] = {estimated("a", 990, 1000, 1000)};
    CLEANUP(ranking_release) struct ranking ranking = RANK(hosts);

    (void)unused;
    REASONS(ranking, 0,
            "holds 50.00 % of the blocks (100.00 % with duplicates) in 3 images; 0 (0 to 5.00k)"
            " to send instead of 500k");
}

/* ---- who is out ---- */

static void test_unusable_hosts_come_last_whatever_they_say(void **unused)
{
    struct placement_host hosts[] = {host_of("z", 0), host_of("a", 1000), host_of("b", 1000)};
    CLEANUP(ranking_release) struct ranking ranking = {.hosts = NULL};

    (void)unused;
    hosts[1].unusable = "b: no such directory";
    hosts[2].unusable = "c: no such directory";
    hosts[1].donor = "/a/donor";
    hosts[1].donor_figures = figures_of(1000);
    ranking = RANK(hosts);
    assert_int_equal(ranking.eligible, 1);
    ORDER(ranking, "z", "a", "b");
    REASONS(ranking, 0, "holds none of the blocks in 3 images; all of 500k to send",
            "no host saves anything, so any is as good");
    REASONS(ranking, 1, "unusable: b: no such directory");
}

static void test_nobody_is_left(void **unused)
{
    const struct placement_host hosts[] = {unusable("b", "x"), unusable("a", "y")};
    CLEANUP(ranking_release) struct ranking ranking = RANK(hosts);

    (void)unused;
    assert_int_equal(ranking.eligible, 0);
    ORDER(ranking, "a", "b");
}

/* ---- reasons ---- */

static void test_what_is_said_of_holdings(void **unused)
{
    struct placement_host hosts[] = {host_of("all", 1000), host_of("few", 1), host_of("none", 0),
                                     host_of("nothing", 0), host_of("zero", 0)};
    CLEANUP(ranking_release) struct ranking ranking = {.hosts = NULL};

    (void)unused;
    hosts[0].images = 1;
    hosts[1].images = 0; /* their number is unknown */
    hosts[3].images = 0;
    hosts[4].all.likely.identical_distinct = 1; /* the zero block's, which is never sent */
    hosts[4].all.likely.identical_with_duplicates = 700;
    ranking = RANK(hosts);
    ORDER(ranking, "all", "few", "zero", "none", "nothing");
    REASONS(ranking, 0,
            "holds 50.00 % of the blocks (100.00 % with duplicates) in 1 image; nothing to send");
    REASONS(ranking, 1,
            "holds 0.05 % of the blocks (0.10 % with duplicates); 500k to send instead of 500k");
    REASONS(ranking, 2, "holds nothing but zero blocks of it in 3 images; all of 500k to send");
    REASONS(ranking, 3, "holds none of the blocks in 3 images; all of 500k to send");
    REASONS(ranking, 4, "holds no images; all of 500k to send");
}

static void test_nearly_all_is_not_called_all(void **unused)
{
    struct placement_host host = host_of("a", 1);
    struct placement_rank ranked;
    size_t eligible;

    (void)unused;
    host.all.likely.total = 1000000;
    host.all.likely.identical_distinct = 1;
    host.all.likely.identical_with_duplicates = 999999;
    assert_int_equal(placement_rank(&host, 1, IMAGE, &ranked, &eligible), 0);
    assert_non_null(strstr(ranked.reasons[0].text, "holds 0.01 % of the blocks (99.99 % with"));
    placement_ranks_release(&ranked, 1);
}

static void test_sizes_have_three_digits(void **unused)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } sizes[] = {
        {512, "; 512 to"},          {999, "; 999 to"},
        {1000, "; 0.98k to"},       {10240, "; 10.0k to"},
        {1023000, "; 999k to"},     {1023900, "; 0.98M to"},
        {36280730, "; 34.6M to"},   {UINT64_C(3) << 40, "; 3.00T to"},
        {UINT64_MAX, "; 16.0E to"},
    };

    (void)unused;
    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
        struct placement_host host = host_of("a", 1);
        struct placement_rank ranked;
        size_t eligible;

        host.all.likely.bytes_to_send = host.all.low.bytes_to_send = host.all.high.bytes_to_send =
            sizes[i].bytes;
        if (sizes[i].bytes == UINT64_MAX) /* nothing is left to compare with */
            host.all.low.bytes_to_send = host.all.likely.bytes_to_send = UINT64_MAX - 1;
        assert_int_equal(placement_rank(&host, 1, UINT64_MAX, &ranked, &eligible), 0);
        if (strstr(ranked.reasons[0].text,
                   sizes[i].bytes == UINT64_MAX ? "; 16.0E (" : sizes[i].text) == NULL)
            fail_msg("%s: has no \"%s\"", ranked.reasons[0].text, sizes[i].text);
        placement_ranks_release(&ranked, 1);
    }
}

static void test_long_and_hostile_names_stay_one_line(void **unused)
{
    char path[5000], name[300];
    struct placement_host hosts[] = {host_of(name, 10), host_of("b", 10)};
    CLEANUP(ranking_release) struct ranking ranking = {.hosts = NULL};

    (void)unused;
    memset(path, 'x', sizeof(path));
    memcpy(path, "/\033[2J\n", 6);
    memcpy(path + sizeof(path) - 85, "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4", 8); /* cut within them */
    memcpy(path + sizeof(path) - 11, "/last\n.img", 11);
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    hosts[0] = with_donor(hosts[0], path, 10);
    hosts[1] = with_donor(hosts[1], "/short", 9);
    ranking = RANK(hosts);
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < ranking.ranks[i].reason_count; j++) {
            const char *text = ranking.ranks[i].reasons[j].text;
            uint32_t character = 0;

            for (size_t length; *text; text += length) {
                length = utf8_decode(text, &character);
                assert_int_not_equal(length, 0);
                assert_false(utf8_is_control(character));
            }
        }
    }
    assert_true(has_reason(&ranking, 1, "/last .img has 0.50 %"));
    assert_false(has_reason(&ranking, 1, "?"));
}

static void test_notes_follow_as_far_as_there_is_room(void **unused)
{
    struct placement_host host = with_donor(host_of("a", 10), "/d", 10);
    struct placement_rank ranked;
    size_t eligible;

    (void)unused;
    for (size_t i = 0; i < PLACEMENT_MAX_REASONS; i++)
        host.notes[i] = "a note";
    assert_int_equal(placement_rank(&host, 1, IMAGE, &ranked, &eligible), 0);
    assert_int_equal(ranked.reason_count, PLACEMENT_MAX_REASONS);
    assert_string_equal(ranked.reasons[PLACEMENT_MAX_REASONS - 1].text, "a note");
    assert_string_equal(ranked.reasons[1].text, "best single donor /d has 0.50 %");
    placement_ranks_release(&ranked, 1);
    host.notes[1] = NULL;
    assert_int_equal(placement_rank(&host, 1, IMAGE, &ranked, &eligible), 0);
    assert_int_equal(ranked.reason_count, 3);
    placement_ranks_release(&ranked, 1);
}

static void test_what_is_said_of_others_is_never_cut(void **unused)
{
    char why[6000];
    struct placement_host host = unusable("a", why);
    struct ranking ranking;

    (void)unused;
    memset(why, 'x', sizeof(why));
    string_copy(why + sizeof(why) - sizeof("Permission denied"), sizeof("Permission denied"),
                "Permission denied");
    ranking = rank(&host, 1);
    assert_true(has_reason(&ranking, 0, "unusable: xxx"));
    assert_true(has_reason(&ranking, 0, "xxxPermission denied"));
    ranking_release(&ranking);
}

/* What a filter counted is no reason to prefer a host: its wrong answers add up over images. */
static void test_what_is_likely_counts_and_not_what_a_filter_said(void **unused)
{
    struct placement_host hosts[] = {host_of("many", 0), host_of("half", 500)};
    CLEANUP(ranking_release) struct ranking ranking = {.hosts = NULL};

    (void)unused;
    hosts[0].all.best = hosts[0].all.high = figures_of(590);
    hosts[0].all.low.bytes_to_send = figures_of(590).bytes_to_send;
    hosts[0].all.high.bytes_to_send = IMAGE;
    ranking = RANK(hosts);
    ORDER(ranking, "half", "many");
    REASONS(ranking, 1, "holds none of the blocks in 3 images; all of 500k to send",
            "same as half within the estimate's error");
}

/* ---- the best donor ---- */

static void test_best_donor_is_the_first_with_most(void **unused)
{
    struct similarity_estimate each[4] = {{{0}, {0}, {0}, {0}}};

    (void)unused;
    assert_int_equal(placement_best_donor(each, 4), 4);
    assert_int_equal(placement_best_donor(each, 0), 0);
    each[1].likely.identical_distinct = 5;
    each[2].likely.identical_distinct = 7;
    each[3].likely.identical_distinct = 7;
    each[1].likely.identical_with_duplicates = 100; /* the paper counts distinct ones */
    assert_int_equal(placement_best_donor(each, 4), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_figure_4_of_the_paper),
        cmocka_unit_test(test_all_images_count_and_not_the_best_donor),
        cmocka_unit_test(test_equal_bytes_by_share_then_by_name),
        cmocka_unit_test(test_order_does_not_depend_on_the_input_s),
        cmocka_unit_test(test_hosts_of_one_name_stay_as_they_were_given),
        cmocka_unit_test(test_no_hosts),
        cmocka_unit_test(test_intervals_that_meet_cannot_be_told_apart),
        cmocka_unit_test(test_perhaps_nothing_to_send_is_no_nothing),
        cmocka_unit_test(test_unusable_hosts_come_last_whatever_they_say),
        cmocka_unit_test(test_nobody_is_left),
        cmocka_unit_test(test_what_is_said_of_holdings),
        cmocka_unit_test(test_nearly_all_is_not_called_all),
        cmocka_unit_test(test_sizes_have_three_digits),
        cmocka_unit_test(test_long_and_hostile_names_stay_one_line),
        cmocka_unit_test(test_what_is_said_of_others_is_never_cut),
        cmocka_unit_test(test_what_is_likely_counts_and_not_what_a_filter_said),
        cmocka_unit_test(test_notes_follow_as_far_as_there_is_room),
        cmocka_unit_test(test_best_donor_is_the_first_with_most),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is read from a peer, dropped, refused; what is kept from run to run; what a host offers. */
#include "peers/internal.h"
#include "setmov/vm_move.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define NAME_A "00000000000000000000000000000001.sha256-4096.fingerprint"
#define NAME_B "00000000000000000000000000000002.sha256-4096.fingerprint"
#define NAME_C "00000000000000000000000000000003.sha256-4096.fingerprint"
#define NAME_D "00000000000000000000000000000004.sha256-4096.fingerprint"
#define TIB    (UINT64_C(1) << 40)

/* ---- plans -------------------------------------------------------------------------- */

struct given {
    struct catalog_manifest_fingerprint there[4];
    size_t there_count;
    struct peers_cached here[4];
    size_t here_count;
};

static struct peers_plan plan_of(struct given *given)
{
    struct catalog_manifest manifest = {
        .fingerprints = given->there,
        .fingerprint_count = given->there_count,
    };
    struct peers_cached_list list = {given->here, given->here_count, 4};
    struct peers_plan plan;

    assert_int_equal(peers_plan_make(&manifest, &list, &plan), 0);
    return plan;
}

static void what_is_as_it_was_is_not_read(void **state)
{
    struct given given = {
        .there = {{(char *)NAME_A, 5000, 1}, {(char *)NAME_B, 6000, 2}},
        .there_count = 2,
        .here = {{(char *)NAME_B, 6000, 2, 50}, {(char *)NAME_A, 5000, 1, 60}},
        .here_count = 2,
    };
    struct peers_plan plan = plan_of(&given);

    (void)state;
    assert_int_equal(plan.read_count, 0);
    assert_int_equal(plan.gone_count, 0);
    assert_int_equal(plan.refused, 0);
    assert_int_equal(plan.accepted, 2);
    peers_plan_release(&plan);
}

/* Missing ones first, then what has waited longest: a budget reaches everybody in the end. */
static void what_changed_is_read_in_turn(void **state)
{
    struct given given = {
        .there = {{(char *)NAME_A, 5000, 1},
                  {(char *)NAME_B, 6000, 2},
                  {(char *)NAME_C, 7000, 3},
                  {(char *)NAME_D, 8000, 4}},
        .there_count = 4,
        .here = {{(char *)NAME_A, 5000, 99, 300},
                 {(char *)NAME_B, 6001, 2, 200},
                 {(char *)NAME_D, 0, 0, 100}},
        .here_count = 3,
    };
    static const size_t order[] = {2, 3, 1, 0};
    struct peers_plan plan = plan_of(&given);

    (void)state;
    assert_int_equal(plan.read_count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(plan.read[i], order[i]);
    assert_int_equal(plan.gone_count, 0);
    peers_plan_release(&plan);
}

static void what_is_not_there_any_more_goes(void **state)
{
    struct given given = {
        .there = {{(char *)NAME_B, 6000, 2}},
        .there_count = 1,
        .here = {{(char *)NAME_D, 8000, 4, 1},
                 {(char *)NAME_A, 5000, 1, 1},
                 {(char *)NAME_B, 6000, 2, 1},
                 {(char *)NAME_C, 7000, 3, 1}},
        .here_count = 4,
    };
    static const size_t order[] = {1, 3, 0};
    struct peers_plan plan = plan_of(&given);

    (void)state;
    assert_int_equal(plan.read_count, 0);
    assert_int_equal(plan.gone_count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(plan.gone[i], order[i]);
    peers_plan_release(&plan);
}

static void names_from_elsewhere_are_refused(void **state)
{
    static const char *const names[] = {
        "../../etc/x.fingerprint", "..", "x.fingerprint", "a/" NAME_A, "." NAME_A, NAME_A "\n",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        struct given given = {
            .there = {{(char *)names[i], 5000, 1}},
            .there_count = 1,
        };
        struct peers_plan plan = plan_of(&given);

        assert_int_equal(plan.read_count, 0);
        assert_int_equal(plan.accepted, 0);
        assert_int_equal(plan.refused, 1);
        assert_non_null(strstr(plan.why.text, "no name"));
        peers_plan_release(&plan);
    }
}

static void lengths_have_bounds(void **state)
{
    struct given given = {
        .there = {{(char *)NAME_A, 10 * TIB, 1},
                  {(char *)NAME_B, PEERS_FINGERPRINT_MAX_BYTES, 2},
                  {(char *)NAME_C, UINT64_MAX, 3}},
        .there_count = 3,
        .here = {{(char *)NAME_A, 5000, 1, 1}},
        .here_count = 1,
    };
    struct peers_plan plan = plan_of(&given);

    (void)state;
    assert_int_equal(plan.read_count, 1);
    assert_int_equal(plan.read[0], 1);
    assert_int_equal(plan.refused, 2);
    assert_non_null(strstr(plan.why.text, "not believed"));
    /* What is refused is not kept either. */
    assert_int_equal(plan.gone_count, 1);
    peers_plan_release(&plan);
}

static void all_lengths_together_have_a_bound(void **state)
{
    enum { COUNT = 100 };
    struct catalog_manifest_fingerprint there[COUNT];
    struct catalog_manifest manifest = {.fingerprints = there, .fingerprint_count = COUNT};
    const struct peers_cached_list nothing = {0};
    char names[COUNT][CATALOG_NAME_BYTES];
    struct peers_plan plan;

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        string_format(names[i], sizeof(names[i]), "%032zx.md5-512.fingerprint", i);
        there[i] = (struct catalog_manifest_fingerprint){names[i], PEERS_FINGERPRINT_MAX_BYTES, i};
    }
    assert_int_equal(peers_plan_make(&manifest, &nothing, &plan), 0);
    assert_int_equal(plan.accepted, PEERS_HOST_MAX_BYTES / PEERS_FINGERPRINT_MAX_BYTES);
    assert_int_equal(plan.refused, COUNT - plan.accepted);
    peers_plan_release(&plan);
}

static struct fingerprint_head head_of_all_kinds(void)
{
    return (struct fingerprint_head){
        .file_length = 100000,
        .section_count = 9,
        .sections = {{FINGERPRINT_LAYERS, 2048, 100, 1},
                     {FINGERPRINT_DIGESTS, 4096, 16000, 2},
                     {FINGERPRINT_PLACES, 32768, 8000, 3},
                     {FINGERPRINT_FREQUENT_DIGESTS, 50048, 160, 4},
                     {FINGERPRINT_FREQUENT_MULTIPLICITY, 51200, 80, 5},
                     {FINGERPRINT_BLOOM, 60032, 6400, 6},
                     {FINGERPRINT_SKETCH_DIGESTS, 4096, 64, 7},
                     {FINGERPRINT_SKETCH_PLACES, 32768, 32, 8},
                     {77, 90048, 5000, 9}},
    };
}

/* Nothing twice, and nothing that nobody would look at. */
static void a_sketch_and_the_rest_are_the_whole(void **state)
{
    const struct fingerprint_head head = head_of_all_kinds();
    struct peers_range ranges[FINGERPRINT_MAX_SECTIONS];
    size_t count;

    (void)state;
    count = peers_sketch_ranges(&head, ranges);
    assert_int_equal(count, 5);
    assert_int_equal(peers_ranges_bytes(ranges, count), 100 + 160 + 80 + 64 + 32);
    count = peers_exact_ranges(&head, ranges);
    assert_int_equal(count, 3);
    assert_int_equal(peers_ranges_bytes(ranges, count), 16000 - 64 + 8000 - 32 + 6400);
}

/* ---- states --------------------------------------------------------------------------- */

static void states_are_read_as_they_were_written(void **state)
{
    struct peers_state written, read;
    char text[PEERS_STATE_BYTES];

    (void)state;
    peers_state_init(&written);
    written.tried_s = 1700000100;
    written.read_s = 1700000000;
    written.cpus = 64;
    written.memory_bytes = TIB;
    written.memory_free_bytes = 0;
    string_copy(written.problem.text, sizeof(written.problem.text), "no answer  within 30 s");
    peers_state_encode(&written, text);
    peers_state_parse(text_of(text, strlen(text)), &read);
    assert_int_equal(read.tried_s, written.tried_s);
    assert_int_equal(read.read_s, written.read_s);
    assert_int_equal(read.cpus, 64);
    assert_int_equal(read.memory_bytes, TIB);
    assert_int_equal(read.memory_free_bytes, 0);
    assert_true(read.pool_free_bytes == UNKNOWN_U64);
    assert_string_equal(read.problem.text, written.problem.text);
}

static void the_longest_state_fits(void **state)
{
    struct peers_state written, read;
    char text[PEERS_STATE_BYTES];

    (void)state;
    written = (struct peers_state){
        INT64_MAX, INT64_MAX, UINT64_MAX - 1, UINT64_MAX - 1, UINT64_MAX - 1, UINT64_MAX - 1, {""}};
    memset(written.problem.text, 'x', sizeof(written.problem.text) - 1);
    written.problem.text[sizeof(written.problem.text) - 1] = '\0';
    peers_state_encode(&written, text);
    assert_true(text[strlen(text) - 1] == '\n');
    peers_state_parse(text_of(text, strlen(text)), &read);
    assert_string_equal(read.problem.text, written.problem.text);
    assert_int_equal(read.read_s, INT64_MAX);
}

static void what_is_no_state_says_nothing(void **state)
{
    static const char *const texts[] = {
        "",
        "setmov-state 2\nread 5\n",
        "setmov-state 1\nread -5\nread 99999999999999999999\nread\n\nnonsense 7\n",
        "setmov-state 1\nread 18446744073709551615\n",
    };
    struct peers_state read;

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
        peers_state_parse(text_of(texts[i], strlen(texts[i])), &read);
        assert_int_equal(read.read_s, 0);
        assert_true(read.memory_bytes == UNKNOWN_U64);
        assert_string_equal(read.problem.text, "");
    }
}

/* ---- what is offered ---------------------------------------------------------------------- */

#define IMAGE_PATH "/images/a.raw"

static struct catalog_manifest offered(const char *disk_path)
{
    struct vm_domain_disk disks[] = {
        {(char *)"vda", (char *)disk_path, 1 << 20},
        {(char *)"vdb", (char *)"/images/not indexed", UNKNOWN_U64},
        {(char *)"", (char *)"/images/without a target", UNKNOWN_U64},
    };
    struct vm_domain domains[] = {
        {.uuid = {{2}}, .name = (char *)"two", .memory_bytes = 7, .vcpus = 3},
        {.uuid = {{1}},
         .name = (char *)"one",
         .active = true,
         .disks = disks,
         .disk_count = ARRAY_LENGTH(disks)},
    };
    const struct vm_domains all = {.domains = domains, .count = 2};
    char hash[CATALOG_HASH_BYTES], name[CATALOG_NAME_BYTES];
    const struct catalog_kind kind = {.kind = DIGEST_MD5, .block_size = 512};
    struct peers_cached cached[] = {{name, 5000, 9, 0}, {(char *)NAME_A, 6000, 8, 0}};
    const struct peers_cached_list list = {cached, 2, 2};
    char *const resolved[] = {(char *)IMAGE_PATH, NULL, (char *)IMAGE_PATH};
    struct catalog_manifest manifest;

    catalog_hash(IMAGE_PATH, hash);
    catalog_name_make(hash, &kind, name);
    assert_int_equal(peers_manifest_make("here", 1000, &list, &all, resolved, &manifest), 0);
    return manifest;
}

static void a_manifest_says_which_vm_has_which_image(void **state)
{
    struct catalog_manifest manifest = offered("/link/a.raw"), parsed = {0};
    char hash[CATALOG_HASH_BYTES], *text = NULL;
    struct error err = {""};
    size_t length;

    (void)state;
    catalog_hash(IMAGE_PATH, hash);
    assert_string_equal(manifest.host, "here");
    assert_int_equal(manifest.made_s, 1000);
    assert_int_equal(manifest.fingerprint_count, 2);
    assert_true(strcmp(manifest.fingerprints[0].name, manifest.fingerprints[1].name) < 0);
    assert_int_equal(manifest.vm_count, 2);
    assert_string_equal(manifest.vms[0].name, "one");
    assert_true(manifest.vms[0].active);
    assert_int_equal(manifest.vms[0].disk_count, 2);
    assert_string_equal(manifest.vms[0].disks[0].path, "/link/a.raw");
    assert_string_equal(manifest.vms[0].disks[0].image, hash);
    assert_string_equal(manifest.vms[0].disks[1].image, "");
    assert_int_equal(manifest.vms[1].memory_bytes, 7);
    /* What is made can be written and read. */
    assert_int_equal(catalog_manifest_encode(&manifest, &text, &length, &err), 0);
    assert_int_equal(catalog_manifest_parse(text_of(text, length), "m", &parsed, &err), 0);
    assert_true(peers_manifest_same(&manifest, &parsed));
    catalog_manifest_release(&parsed);
    catalog_manifest_release(&manifest);
    free(text);
}

static void whatever_changed_is_another_manifest(void **state)
{
    (void)state;
    for (int change = 0; change < 9; change++) {
        struct catalog_manifest left = offered("/x"), right = offered("/x");

        switch (change) {
        case 0:
            right.made_s++; /* the one thing that does not count */
            break;
        case 1:
            right.host[0] = 'x';
            break;
        case 2:
            right.fingerprints[1].checksum++;
            break;
        case 3:
            right.fingerprints[0].length++;
            break;
        case 4:
            right.vms[0].active = false;
            break;
        case 5:
            right.vms[0].disks[1].capacity_bytes = 5;
            break;
        case 6:
            right.vms[0].disks[0].image[0] = '\0';
            break;
        case 7:
            right.vms[1].vcpus++;
            break;
        default:
            right.vms[0].uuid.bytes[15]++;
            break;
        }
        assert_int_equal(peers_manifest_same(&left, &right), change == 0);
        catalog_manifest_release(&left);
        catalog_manifest_release(&right);
    }
}

/* The kernel has no use for such a path, and a manifest no place. */
static void what_does_not_fit_is_left_out(void **state)
{
    char path[5000];
    struct catalog_manifest manifest;

    (void)state;
    memset(path, '/', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    manifest = offered(path);
    assert_int_equal(manifest.vms[0].disk_count, 1);
    assert_string_equal(manifest.vms[0].disks[0].target, "vdb");
    catalog_manifest_release(&manifest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_as_it_was_is_not_read),
        cmocka_unit_test(what_changed_is_read_in_turn),
        cmocka_unit_test(what_is_not_there_any_more_goes),
        cmocka_unit_test(names_from_elsewhere_are_refused),
        cmocka_unit_test(lengths_have_bounds),
        cmocka_unit_test(all_lengths_together_have_a_bound),
        cmocka_unit_test(a_sketch_and_the_rest_are_the_whole),
        cmocka_unit_test(states_are_read_as_they_were_written),
        cmocka_unit_test(the_longest_state_fits),
        cmocka_unit_test(what_is_no_state_says_nothing),
        cmocka_unit_test(a_manifest_says_which_vm_has_which_image),
        cmocka_unit_test(whatever_changed_is_another_manifest),
        cmocka_unit_test(what_does_not_fit_is_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

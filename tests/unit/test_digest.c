/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Holds the digests of every implementation against OpenSSL's, and the rest of setmov/digest.h. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "setmov/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#define MOST_BLOCKS 200
#define ALIGNMENTS  16

static const enum digest_kind kinds[] = {DIGEST_MD5, DIGEST_SHA256, DIGEST_KEYED_SHA256};
static const uint8_t key[DIGEST_KEY_BYTES] = "a key of thirty-two bytes, as it";

/* ---- what to hash, and what OpenSSL makes of it ---- */

/* splitmix64: the same bytes in every run. */
static uint64_t random_u64(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static void fill_random(uint8_t *bytes, size_t length, uint64_t seed)
{
    for (size_t i = 0; i < length; i += sizeof(seed)) {
        uint64_t value = random_u64(&seed);

        memcpy(bytes + i, &value, length - i < sizeof(value) ? length - i : sizeof(value));
    }
}

static struct digest digest_by_openssl(enum digest_kind kind, const void *block, size_t size)
{
    const uint8_t zeroes[64 - DIGEST_KEY_BYTES] = {0};
    uint8_t whole[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    struct digest digest;

    assert_int_equal(
        EVP_DigestInit_ex(context, kind == DIGEST_MD5 ? EVP_md5() : EVP_sha256(), NULL), 1);
    if (kind == DIGEST_KEYED_SHA256) {
        assert_int_equal(EVP_DigestUpdate(context, key, sizeof(key)), 1);
        assert_int_equal(EVP_DigestUpdate(context, zeroes, sizeof(zeroes)), 1);
    }
    assert_int_equal(EVP_DigestUpdate(context, block, size), 1);
    assert_int_equal(EVP_DigestFinal_ex(context, whole, NULL), 1);
    EVP_MD_CTX_free(context);
    memcpy(digest.bytes, whole, sizeof(digest.bytes));
    return digest;
}

static struct digest_plan plan_for(enum digest_kind kind, uint32_t block_size)
{
    struct digest_plan plan;

    assert_int_equal(
        digest_plan_init(&plan, kind, block_size, kind == DIGEST_KEYED_SHA256 ? key : NULL, NULL),
        0);
    return plan;
}

/* Calls `check` with every implementation that this CPU runs as the chosen one. */
static void with_every_implementation(void (*check)(const char *name))
{
    size_t ran = 0;

    for (const struct digest_implementation *row = digest_implementations(); row->name; row++) {
        if (!row->supported()) {
            print_message("%s: not on this CPU\n", row->name);
            continue;
        }
        assert_int_equal(digest_choose(row->name), 0);
        assert_string_equal(digest_chosen(), row->name);
        check(row->name);
        ran++;
    }
    assert_true(ran >= 1);
    assert_int_equal(digest_choose(NULL), 0);
}

/* `made` must be `expected`, and what lies behind untouched. */
static void check_digests(const char *name, const struct digest_plan *plan,
                          const struct digest *made, const struct digest *expected, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (memcmp(&made[i], &expected[i], sizeof(made[i])) != 0)
            fail_msg("%s: kind %d, size %u: block %zu of %zu is wrong", name, (int)plan->kind,
                     plan->block_size, i, count);
    }
    for (size_t i = 0; i < sizeof(made[0]); i++) {
        if (made[count].bytes[i] != 0xee)
            fail_msg("%s: wrote behind %zu digests", name, count);
    }
}

static void check_blocks(const char *name, const struct digest_plan *plan, const uint8_t *blocks,
                         size_t count, const struct digest *expected)
{
    struct digest made[MOST_BLOCKS + 1];

    memset(made, 0xee, sizeof(made));
    digest_blocks(plan, blocks, count, made);
    check_digests(name, plan, made, expected, count);
}

/* ---- digests ---- */

/* Small blocks: every count at every alignment. Large ones: all counts, then all alignments. */
static void check_sizes(const char *name)
{
    const size_t most = 67;
    uint8_t *data = malloc(most * DIGEST_BLOCK_MAX + ALIGNMENTS);
    struct digest expected[67];

    assert_non_null(data);
    fill_random(data, most * DIGEST_BLOCK_MAX + ALIGNMENTS, 1);
    for (size_t k = 0; k < ARRAY_LENGTH(kinds); k++) {
        for (uint32_t size = DIGEST_BLOCK_MIN; size <= DIGEST_BLOCK_MAX; size *= 2) {
            struct digest_plan plan = plan_for(kinds[k], size);
            bool small = size <= 1024;

            for (size_t alignment = 0; alignment < ALIGNMENTS; alignment++) {
                for (size_t i = 0; i < most; i++)
                    expected[i] = digest_by_openssl(kinds[k], data + alignment + i * size, size);
                for (size_t count = small ? 0 : alignment; count <= most;
                     count += small ? 1 : ALIGNMENTS)
                    check_blocks(name, &plan, data + alignment, count, expected);
                check_blocks(name, &plan, data + alignment, most, expected);
            }
        }
    }
    free(data);
}

static void every_implementation_agrees_with_openssl(void **state)
{
    (void)state;
    with_every_implementation(check_sizes);
}

/* All counts, with the blocks right between two pages that cannot be read. */
static void check_guarded(const char *name)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = (size_t)MOST_BLOCKS * 512 / page + 1;
    uint8_t *map =
        mmap(NULL, (pages + 2) * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t *first = map + page, *end = first + pages * page;
    struct digest expected[MOST_BLOCKS];

    assert_ptr_not_equal(map, MAP_FAILED);
    fill_random(first, pages * page, 2);
    assert_int_equal(mprotect(map, page, PROT_NONE), 0);
    assert_int_equal(mprotect(end, page, PROT_NONE), 0);
    for (size_t k = 0; k < ARRAY_LENGTH(kinds); k++) {
        struct digest_plan plan = plan_for(kinds[k], 512);

        for (size_t i = 0; i < MOST_BLOCKS; i++)
            expected[i] = digest_by_openssl(kinds[k], end - 512 * (MOST_BLOCKS - i), 512);
        for (size_t count = 0; count <= MOST_BLOCKS; count++)
            check_blocks(name, &plan, end - 512 * count, count, expected + MOST_BLOCKS - count);
        expected[0] = digest_by_openssl(kinds[k], first, 512);
        check_blocks(name, &plan, first, 1, expected);
    }
    munmap(map, (pages + 2) * page);
}

static void every_count_reads_its_blocks_and_nothing_else(void **state)
{
    (void)state;
    with_every_implementation(check_guarded);
}

/* Random sizes, counts and places, blocks that overlap and repeat among them. */
static void check_scattered(const char *name)
{
    const size_t length = (size_t)1 << 20;
    uint8_t *data = malloc(length);
    uint64_t seed = 3;

    assert_non_null(data);
    fill_random(data, length, 4);
    for (size_t round = 0; round < 200; round++) {
        enum digest_kind kind = kinds[random_u64(&seed) % ARRAY_LENGTH(kinds)];
        uint32_t size = DIGEST_BLOCK_MIN << random_u64(&seed) % (round % 10 == 0 ? 8 : 4);
        size_t count = random_u64(&seed) % (MOST_BLOCKS + 1);
        struct digest_plan plan = plan_for(kind, size);
        struct digest made[MOST_BLOCKS + 1], expected[MOST_BLOCKS];
        const void *blocks[MOST_BLOCKS];

        fill_random(data + random_u64(&seed) % (length - 64), 64, round);
        for (size_t i = 0; i < count; i++) {
            bool repeats = i > 0 && random_u64(&seed) % 8 == 0;

            blocks[i] = repeats ? blocks[i - 1] : data + random_u64(&seed) % (length - size + 1);
            expected[i] = digest_by_openssl(kind, blocks[i], size);
        }
        memset(made, 0xee, sizeof(made));
        digest_scattered(&plan, blocks, count, made);
        check_digests(name, &plan, made, expected, count);
    }
    free(data);
}

static void scattered_blocks_have_the_same_digests(void **state)
{
    (void)state;
    with_every_implementation(check_scattered);
}

static void check_known(const char *name)
{
    static const struct {
        enum digest_kind kind;
        uint32_t size;
        const char *digest;
    } zeroes[] = {
        {DIGEST_MD5, 512, "bf619eac0cdf3f68d496ea9344137e8b"},
        {DIGEST_MD5, 4096, "620f0b67a91f7f74151bc5be745b7110"},
        {DIGEST_SHA256, 512, "076a27c79e5ace2a3d47f9dd2e83e4ff"},
        {DIGEST_SHA256, 4096, "ad7facb2586fc6e966c004d7d1d16b02"},
    };
    static const uint8_t block[4096];

    for (size_t i = 0; i < ARRAY_LENGTH(zeroes); i++) {
        struct digest_plan plan = plan_for(zeroes[i].kind, zeroes[i].size);
        struct digest digest;
        char text[2 * DIGEST_BYTES + 1];

        digest_blocks(&plan, block, 1, &digest);
        for (size_t byte = 0; byte < DIGEST_BYTES; byte++)
            assert_true(string_format(text + 2 * byte, 3, "%02x", digest.bytes[byte]));
        if (strcmp(text, zeroes[i].digest) != 0)
            fail_msg("%s: %u zeroes have %s", name, zeroes[i].size, text);
    }
}

static void blocks_of_zeroes_have_the_digests_that_the_world_knows(void **state)
{
    (void)state;
    with_every_implementation(check_known);
}

static void keys_and_digests_do_not_mix(void **state)
{
    static const uint8_t zero_key[DIGEST_KEY_BYTES], other_key[DIGEST_KEY_BYTES] = {[31] = 1};
    uint8_t block[512] = "some block";
    struct digest_plan plans[4];
    struct digest digests[4];

    (void)state;
    plans[0] = plan_for(DIGEST_MD5, 512);
    plans[1] = plan_for(DIGEST_SHA256, 512);
    assert_int_equal(digest_plan_init(&plans[2], DIGEST_KEYED_SHA256, 512, zero_key, NULL), 0);
    assert_int_equal(digest_plan_init(&plans[3], DIGEST_KEYED_SHA256, 512, other_key, NULL), 0);
    for (size_t i = 0; i < 4; i++) {
        digest_blocks(&plans[i], block, 1, &digests[i]);
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(&digests[i], &digests[j], sizeof(digests[i]));
    }
}

/* ---- plans ---- */

static void plans_refuse_what_they_cannot_do(void **state)
{
    static const uint32_t sizes[] = {0, 1, 64, 256, 511, 513, 768, 65535, 65537, 131072, 1u << 31};
    struct digest_plan plan, before;
    struct error err;

    (void)state;
    memset(&plan, 0x5a, sizeof(plan));
    memcpy(&before, &plan, sizeof(plan));
    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
        err.text[0] = '\0';
        assert_int_equal(digest_plan_init(&plan, DIGEST_MD5, sizes[i], NULL, &err), -EINVAL);
        assert_non_null(strstr(err.text, "block size"));
    }
    assert_int_equal(digest_plan_init(&plan, DIGEST_MD5, 512, key, &err), -EINVAL);
    assert_int_equal(digest_plan_init(&plan, DIGEST_SHA256, 512, key, &err), -EINVAL);
    assert_int_equal(digest_plan_init(&plan, DIGEST_KEYED_SHA256, 512, NULL, &err), -EINVAL);
    assert_non_null(strstr(err.text, "key"));
    assert_int_equal(digest_plan_init(&plan, (enum digest_kind)0, 512, NULL, &err), -EINVAL);
    assert_int_equal(digest_plan_init(&plan, (enum digest_kind)4, 512, NULL, &err), -EINVAL);
    assert_memory_equal(&plan, &before, sizeof(plan));
}

/* ---- the choice ---- */

static void implementations_are_chosen_by_name(void **state)
{
    const char *best = "";

    (void)state;
    for (const struct digest_implementation *row = digest_implementations(); row->name; row++) {
        assert_true(row->md5.group >= 1 && row->md5.group <= DIGEST_GROUP_MAX);
        assert_true(row->sha256.group >= 1 && row->sha256.group <= DIGEST_GROUP_MAX);
        assert_int_equal(digest_choose("portable"), 0);
        if (row->supported()) {
            best = row->name;
            assert_int_equal(digest_choose(row->name), 0);
            assert_string_equal(digest_chosen(), row->name);
        } else {
            assert_int_equal(digest_choose(row->name), -ENOTSUP);
            assert_string_equal(digest_chosen(), "portable");
        }
    }
    assert_int_equal(digest_choose("portable"), 0);
    assert_int_equal(digest_choose("mmx"), -ENOENT);
    assert_int_equal(digest_choose(""), -ENOENT);
    assert_string_equal(digest_chosen(), "portable");
    assert_int_equal(digest_choose(NULL), 0);
    assert_string_equal(digest_chosen(), best);
}

static void *hash_in_thread(void *argument)
{
    struct digest_plan plan = plan_for(DIGEST_MD5, 512);

    for (size_t round = 0; round < 100; round++)
        digest_blocks(&plan, argument, 64, (struct digest *)(void *)((uint8_t *)argument + 32768));
    return NULL;
}

/* Runs first, so that the threads find nothing chosen. */
static void threads_need_nobody_to_choose(void **state)
{
    static uint8_t memory[4][32768 + 64 * DIGEST_BYTES];
    pthread_t threads[4];

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        fill_random(memory[i], 32768, i);
        assert_int_equal(pthread_create(&threads[i], NULL, hash_in_thread, memory[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        for (size_t block = 0; block < 64; block++) {
            struct digest expected = digest_by_openssl(DIGEST_MD5, memory[i] + 512 * block, 512);

            assert_memory_equal(memory[i] + 32768 + DIGEST_BYTES * block, &expected, DIGEST_BYTES);
        }
    }
}

/* ---- zeroes ---- */

static void every_set_bit_is_seen_and_none_outside(void **state)
{
    uint8_t memory[ALIGNMENTS + 700 + 16];

    (void)state;
    for (size_t alignment = 0; alignment < ALIGNMENTS; alignment++) {
        for (size_t length = 0; length <= 700; length += length < 300 ? 1 : 53) {
            uint8_t *bytes = memory + alignment;

            memset(memory, 0xff, sizeof(memory));
            memset(bytes, 0, length);
            assert_true(digest_is_zero(bytes, length));
            for (size_t at = 0; at < length; at++) {
                bytes[at] = (uint8_t)(1 << at % 8);
                if (digest_is_zero(bytes, length))
                    fail_msg("byte %zu of %zu is not seen", at, length);
                bytes[at] = 0;
            }
        }
    }
}

static void large_blocks_of_zeroes_are_zero(void **state)
{
    uint8_t *bytes = calloc(1, DIGEST_BLOCK_MAX);

    (void)state;
    assert_non_null(bytes);
    for (size_t size = DIGEST_BLOCK_MIN; size <= DIGEST_BLOCK_MAX; size *= 2) {
        assert_true(digest_is_zero(bytes, size));
        bytes[size - 1] = 1;
        assert_false(digest_is_zero(bytes, size));
        assert_true(digest_is_zero(bytes, size - 1));
        bytes[size - 1] = 0;
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_need_nobody_to_choose),
        cmocka_unit_test(every_implementation_agrees_with_openssl),
        cmocka_unit_test(every_count_reads_its_blocks_and_nothing_else),
        cmocka_unit_test(scattered_blocks_have_the_same_digests),
        cmocka_unit_test(blocks_of_zeroes_have_the_digests_that_the_world_knows),
        cmocka_unit_test(keys_and_digests_do_not_mix),
        cmocka_unit_test(plans_refuse_what_they_cannot_do),
        cmocka_unit_test(implementations_are_chosen_by_name),
        cmocka_unit_test(every_set_bit_is_seen_and_none_outside),
        cmocka_unit_test(large_blocks_of_zeroes_are_zero),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

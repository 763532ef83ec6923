/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The merged index of many hosts' sketches, against the sketch engine and brute force. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coverage.h"
#include "made_fingerprint.h"
#include "setmov/catalog_merged.h"

#include <errno.h>

#define MOST_IDS       12000 /* different contents of a random image */
#define MOST_BLOCKS    (3 * MOST_IDS)
#define MOST_HOSTS     1100
#define MOST_IMAGES    4    /* of a host */
#define PAIRS          2000 /* of a query and a host */
#define HEADER_BYTES   104
#define AT_CHECKSUM    96
#define AT_KEYS        48
#define HEAD_ALIGNMENT 64

static uint64_t state = 1;

static size_t below(size_t limit)
{
    return made_random(&state) % limit;
}

/* ---- hosts ---- */

/* An image, and which contents it has; the last mark is that of zeroes. */
struct image {
    struct made_fingerprint made;
    bool has[MOST_IDS + 1];
};

struct park {
    struct image *images;
    size_t hosts;
    struct catalog_merged_host list[MOST_HOSTS];
    const struct fingerprint_view *views[MOST_HOSTS][MOST_IMAGES];
    char names[MOST_HOSTS][16];
};

static uint64_t content_of(size_t id, uint64_t salt)
{
    return id == MOST_IDS ? MADE_ZERO : id + (salt << 20);
}

/* Some share of the contents, each once or a few times, and a few often. */
static void make_image(struct image *image, size_t ids, unsigned int permille, uint64_t salt)
{
    static uint64_t contents[MOST_BLOCKS + 64];
    bool repeats = below(2) == 0;
    size_t count = 0;

    memset(image->has, 0, sizeof(image->has));
    for (size_t id = 0; id <= MOST_IDS && count < MOST_BLOCKS; id++) {
        size_t times = 1 + (repeats ? below(3) : 0);

        if ((id >= ids && id < MOST_IDS) || below(1000) >= permille)
            continue;
        if (repeats && below(100) == 0)
            times = FINGERPRINT_FREQUENT + below(30);
        image->has[id] = true;
        while (times-- > 0)
            contents[count++] = content_of(id, salt);
    }
    image->made = made_fingerprint(contents, count);
    /* As a host's sketches are read: without filters. */
    image->made.view.bloom = NULL;
    image->made.view.bloom_bytes = 0;
}

static struct park *make_park(size_t hosts, size_t ids, uint64_t salt)
{
    /* Near none and all, as between. */
    static const unsigned int shares[] = {0, 3, 20, 100, 500, 900, 980, 997, 1000};
    struct park *park = made_memory(sizeof(*park));

    park->hosts = hosts;
    park->images = made_memory(hosts * MOST_IMAGES * sizeof(*park->images));
    for (size_t host = 0; host < hosts; host++) {
        struct catalog_merged_host *entry = &park->list[host];

        entry->count = below(4) == 0 ? below(MOST_IMAGES + 1) : 1;
        string_format(park->names[host], sizeof(park->names[host]), "host-%zu", host);
        entry->name = park->names[host];
        entry->mark = host * UINT64_C(0x1234567890abcdef);
        entry->views = park->views[host];
        for (size_t i = 0; i < entry->count; i++) {
            struct image *image = &park->images[host * MOST_IMAGES + i];

            make_image(image, ids, shares[below(ARRAY_LENGTH(shares))], salt);
            park->views[host][i] = &image->made.view;
        }
    }
    return park;
}

static void release_park(struct park *park)
{
    for (size_t host = 0; host < park->hosts; host++) {
        for (size_t i = 0; i < MOST_IMAGES; i++)
            made_fingerprint_release(&park->images[host * MOST_IMAGES + i].made);
    }
    free(park->images);
    free(park);
}

/* ---- an index, made and read ---- */

struct index {
    uint8_t *bytes;
    size_t length;
    struct catalog_merged *merged;
};

static struct index make_index(const struct catalog_merged_host *hosts, size_t count)
{
    struct index index;
    struct error err = {0};

    if (catalog_merged_encode(hosts, count, &index.bytes, &index.length, &err) != 0 ||
        catalog_merged_decode(index.bytes, index.length, &index.merged, &err) != 0 ||
        catalog_merged_verify(index.merged, &err) != 0)
        fail_msg("%s", err.text);
    return index;
}

static void release_index(struct index *index)
{
    catalog_merged_release(index->merged);
    free(index->bytes);
}

/* The same figures as the sketch engine has of each host's images as one. */
static void assert_as_sketches(const struct fingerprint_view *query,
                               const struct catalog_merged_host *hosts, size_t count,
                               const struct similarity_estimate *got)
{
    for (size_t host = 0; host < count; host++) {
        struct similarity_estimate wanted;

        assert_int_equal(similarity_compare(SIMILARITY_SKETCH, query, hosts[host].views,
                                            hosts[host].count, NULL, &wanted, NULL),
                         0);
        assert_memory_equal(&got[host], &wanted, sizeof(wanted));
    }
}

static void assert_answers(const struct catalog_merged_host *hosts, size_t count,
                           const struct fingerprint_view *query)
{
    struct similarity_estimate *got = made_memory(count * sizeof(*got));
    struct index index = make_index(hosts, count);

    assert_int_equal(catalog_merged_query(index.merged, query, got, NULL), 0);
    assert_as_sketches(query, hosts, count, got);
    release_index(&index);
    free(got);
}

/* ---- against brute force ---- */

/* What the host's images, as one, have of the query's contents. */
static void count_coverage(const struct image *query, const struct image *images, size_t count,
                           uint64_t salt, const struct similarity_estimate *estimate,
                           struct coverage *all, struct coverage *between)
{
    const struct fingerprint_view *view = &query->made.view;
    uint64_t distinct = 0, blocks = 0, missing = 0;

    for (size_t id = 0; id <= MOST_IDS; id++) {
        struct digest digest = made_digest(content_of(id, salt));
        bool found = false;

        if (!query->has[id])
            continue;
        for (size_t i = 0; i < count; i++)
            found = found || images[i].has[id];
        missing += !found && id != MOST_IDS;
        if (!found)
            continue;
        distinct++;
        blocks += fingerprint_multiplicity(
            view, fingerprint_find(view->digests, view->totals.distinct, &digest));
    }
    assert_int_equal(estimate->best.total, view->totals.blocks);
    coverage_add(estimate, distinct, blocks, missing * MADE_BLOCK_SIZE, all);
    /* Near none and all it is easy to be right. */
    if (distinct * 10 > view->totals.distinct && missing * 10 > view->totals.distinct)
        coverage_add(estimate, distinct, blocks, missing * MADE_BLOCK_SIZE, between);
}

static void test_intervals_hold_what_brute_force_finds(void **unused)
{
    static struct similarity_estimate estimates[MOST_HOSTS];
    static struct image query;
    struct coverage coverage = {0}, between = {0};

    (void)unused;
    for (uint64_t salt = 1; coverage.given < PAIRS; salt++) {
        size_t ids = below(8) == 0 ? below(40) : below(MOST_IDS), hosts = 1 + below(20);
        struct park *park = make_park(hosts, ids, salt);
        struct index index = make_index(park->list, hosts);

        make_image(&query, ids, 1000 - (unsigned int)below(2) * 500, salt);
        assert_int_equal(catalog_merged_query(index.merged, &query.made.view, estimates, NULL), 0);
        assert_as_sketches(&query.made.view, park->list, hosts, estimates);
        for (size_t host = 0; host < hosts; host++)
            count_coverage(&query, &park->images[host * MOST_IMAGES], park->list[host].count, salt,
                           &estimates[host], &coverage, &between);
        made_fingerprint_release(&query.made);
        release_index(&index);
        release_park(park);
    }
    assert_covered("all", &coverage);
    assert_covered("neither near none nor near all", &between);
}

/* ---- many hosts, one, none ---- */

/* The n-th content whose digest is sampled. */
static uint64_t sampled_content(size_t n)
{
    static uint64_t found[512], next = UINT64_C(1) << 40;
    static size_t count;

    assert_true(n < ARRAY_LENGTH(found));
    while (count <= n) {
        if (made_digest(next).bytes[0] == 0)
            found[count++] = next;
        next++;
    }
    return found[n];
}

/*
 * Host number h has content n where h is a multiple of n + 1: all have the first,
 * half of them the second, one the last. The same of digests that occur often.
 */
static struct made_fingerprint make_multiples(size_t host, size_t contents)
{
    static uint64_t blocks[512 * 10];
    size_t count = 0;

    for (size_t n = 0; n < contents; n++) {
        if (host % (n + 1) != 0)
            continue;
        blocks[count++] = sampled_content(n);
        for (size_t times = n % 7 == 0 ? FINGERPRINT_FREQUENT : 0; times > 0; times--)
            blocks[count++] = n;
    }
    return made_fingerprint(blocks, count);
}

static void test_many_hosts(void **unused)
{
    static const size_t counts[] = {1, 2, 15, 16, 17, 63, 64, 65, 257, MOST_HOSTS};
    static struct made_fingerprint made[MOST_HOSTS];
    static const struct fingerprint_view *views[MOST_HOSTS];
    static struct catalog_merged_host hosts[MOST_HOSTS];
    struct made_fingerprint query = make_multiples(0, 400);

    (void)unused;
    for (size_t i = 0; i < MOST_HOSTS; i++) {
        made[i] = make_multiples(i, 400);
        made[i].view.bloom = NULL;
        views[i] = &made[i].view;
        hosts[i] = (struct catalog_merged_host){"host", &views[i], 1, i};
    }
    for (size_t i = 0; i < ARRAY_LENGTH(counts); i++)
        assert_answers(hosts, counts[i], &query.view);
    for (size_t i = 0; i < MOST_HOSTS; i++)
        made_fingerprint_release(&made[i]);
    made_fingerprint_release(&query);
}

static void test_equal_sets_are_kept_once(void **unused)
{
    static struct catalog_merged_host hosts[512];
    struct made_fingerprint made = make_multiples(0, 400), few = make_multiples(0, 1);
    const struct fingerprint_view *all = &made.view, *one = &few.view;
    struct index large, small;

    (void)unused;
    for (size_t i = 0; i < 512; i++)
        hosts[i] = (struct catalog_merged_host){"host", &all, 1, i};
    large = make_index(hosts, 512);
    for (size_t i = 0; i < 512; i++)
        hosts[i].views = &one;
    small = make_index(hosts, 512);
    /* 400 digests more of all hosts, and not one bitmap of 64 bytes more. */
    assert_in_range(large.length, small.length + 400 * 4, small.length + 400 * 12);
    release_index(&large);
    release_index(&small);
    made_fingerprint_release(&made);
    made_fingerprint_release(&few);
}

static void test_hosts_without_images_and_images_without_blocks(void **unused)
{
    static struct image query;
    struct made_fingerprint nothing = made_fingerprint(NULL, 0), zeroes;
    const struct fingerprint_view *empty[] = {&nothing.view, &nothing.view};
    const struct fingerprint_view *zero[] = {&zeroes.view};
    struct catalog_merged_host hosts[] = {
        {"none", NULL, 0, 1}, {"empty", empty, 2, 2}, {"zero", zero, 1, 3}};
    struct similarity_estimate got[3];
    struct index index;

    (void)unused;
    zeroes = made_fingerprint((uint64_t[]){MADE_ZERO, MADE_ZERO}, 2);
    zeroes.view.bloom = nothing.view.bloom = NULL;
    make_image(&query, MOST_IDS, 1000, 7);
    assert_true(query.made.view.totals.zero > 0);
    assert_answers(hosts, 3, &query.made.view);
    index = make_index(hosts, 3);
    assert_int_equal(catalog_merged_query(index.merged, &query.made.view, got, NULL), 0);
    assert_int_equal(got[0].best.identical_distinct, 0);
    assert_int_equal(got[2].best.identical_with_duplicates, query.made.view.totals.zero);
    assert_int_equal(catalog_merged_query(index.merged, &nothing.view, got, NULL), 0);
    assert_int_equal(got[2].high.bytes_to_send, 0);
    release_index(&index);
    /* Of no image at all it is not known what kind they would be: any query compares. */
    index = make_index(hosts, 1);
    query.made.view.kind = DIGEST_SHA256;
    assert_int_equal(catalog_merged_query(index.merged, &query.made.view, got, NULL), 0);
    assert_int_equal(got[0].best.identical_distinct, 0);
    release_index(&index);
    made_fingerprint_release(&query.made);
    made_fingerprint_release(&nothing);
    made_fingerprint_release(&zeroes);
}

/* ---- order ---- */

static void test_the_order_of_hosts_and_images_does_not_matter(void **unused)
{
    enum { HOSTS = 90 };
    static struct similarity_estimate got[HOSTS], turned[HOSTS];
    static struct image query;
    struct park *park = make_park(HOSTS, 2000, 3);
    struct index index = make_index(park->list, HOSTS), other;

    (void)unused;
    make_image(&query, 2000, 700, 3);
    assert_int_equal(catalog_merged_query(index.merged, &query.made.view, got, NULL), 0);
    for (size_t host = 0; host < HOSTS; host++) {
        const struct catalog_merged_host *entry = &park->list[host];

        for (size_t i = 0; i < entry->count / 2; i++) {
            const struct fingerprint_view *view = park->views[host][i];

            park->views[host][i] = park->views[host][entry->count - 1 - i];
            park->views[host][entry->count - 1 - i] = view;
        }
    }
    other = make_index(park->list, HOSTS);
    assert_int_equal(other.length, index.length);
    assert_memory_equal(other.bytes, index.bytes, index.length);
    release_index(&other);
    for (size_t host = 0; host < HOSTS / 2; host++) {
        struct catalog_merged_host entry = park->list[host];

        park->list[host] = park->list[HOSTS - 1 - host];
        park->list[HOSTS - 1 - host] = entry;
    }
    other = make_index(park->list, HOSTS);
    assert_int_equal(catalog_merged_query(other.merged, &query.made.view, turned, NULL), 0);
    for (size_t host = 0; host < HOSTS; host++)
        assert_memory_equal(&turned[HOSTS - 1 - host], &got[host], sizeof(got[host]));
    release_index(&other);
    release_index(&index);
    made_fingerprint_release(&query.made);
    release_park(park);
}

static void test_names_and_marks_come_back(void **unused)
{
    struct park *park = make_park(40, 100, 4);
    struct index index = make_index(park->list, 40);

    (void)unused;
    assert_int_equal(catalog_merged_host_count(index.merged), 40);
    for (size_t host = 0; host < 40; host++) {
        assert_string_equal(catalog_merged_host_name(index.merged, host), park->list[host].name);
        assert_int_equal(catalog_merged_host_mark(index.merged, host), park->list[host].mark);
    }
    release_index(&index);
    release_park(park);
}

/* ---- more digests than are sorted at a time, and none that are spread evenly ---- */

#define LARGE ((size_t)600000)

/* Digests that ascend: number `from`, from + every, ...; one step apart by `step`. */
static struct fingerprint_view make_large(size_t from, size_t every, size_t count, uint64_t step)
{
    struct fingerprint_view view = {.kind = DIGEST_MD5, .block_size = MADE_BLOCK_SIZE};
    struct digest *digests = made_memory(count * sizeof(*digests));
    uint8_t *places = made_memory(count * 8);
    uint64_t place = htole64(fingerprint_place_make(0, 1));

    for (size_t i = 0; i < count; i++) {
        uint64_t key = htobe64((from + i * every) * step);

        memcpy(digests[i].bytes + 1, &key, sizeof(key));
        memcpy(places + i * 8, &place, sizeof(place));
    }
    view.zero_digest = made_digest(MADE_ZERO);
    view.totals = (struct fingerprint_totals){.blocks = count, .distinct = count};
    view.digests = digests;
    view.places = places;
    view.sketch_count = count;
    return view;
}

static void test_many_digests(void **unused)
{
    /* Over all of the range; in the first 2^-20 of it, so that one bucket has all. */
    static const uint64_t steps[] = {UINT64_MAX / (3 * LARGE), UINT64_C(1) << 33};

    (void)unused;
    for (size_t i = 0; i < ARRAY_LENGTH(steps); i++) {
        size_t count = i == 0 ? LARGE : 1000;
        struct fingerprint_view made[] = {
            make_large(0, 3, count, steps[i]), make_large(0, 2, count, steps[i]),
            make_large(count, 1, count, steps[i]), make_large(7, 5, count / 5, steps[i])};
        const struct fingerprint_view *views[] = {&made[0], &made[1], &made[2], &made[3]};
        const struct catalog_merged_host hosts[] = {
            {"a", &views[0], 1, 0}, {"b", &views[1], 2, 0}, {"c", &views[3], 1, 0}};

        assert_answers(hosts, 3, &made[0]);
        assert_answers(hosts, 3, &made[3]);
        for (size_t view = 0; view < 4; view++) {
            free((void *)made[view].digests);
            free((void *)made[view].places);
        }
    }
}

/* ---- what does not compare ---- */

static void test_different_ones_are_refused(void **unused)
{
    static const struct fingerprint_layer layer = {.path = "/images/odd.raw", .format = "raw"};
    struct park *park = make_park(3, 200, 5);
    struct made_fingerprint odd = made_fingerprint((uint64_t[]){1, 2, 3}, 3);
    const struct fingerprint_view *views[] = {&odd.view};
    struct similarity_estimate got[3];
    struct index index;
    struct error err = {0};
    uint8_t *bytes = NULL;
    size_t length = 0;

    (void)unused;
    park->list[0].count = 1;
    index = make_index(park->list, 3);
    odd.view.identity.layers = &layer;
    odd.view.identity.layer_count = 1;
    odd.view.block_size = 4096;
    park->list[2].views = views;
    park->list[2].count = 1;
    assert_int_equal(catalog_merged_encode(park->list, 3, &bytes, &length, &err), -EINVAL);
    assert_non_null(strstr(err.text, "/images/odd.raw of host-2"));
    assert_non_null(strstr(err.text, "of host-0"));
    assert_non_null(strstr(err.text, "4096"));
    assert_null(bytes);
    assert_int_equal(catalog_merged_query(index.merged, &odd.view, got, &err), -EINVAL);
    odd.view.block_size = MADE_BLOCK_SIZE;
    odd.view.kind = DIGEST_SHA256;
    assert_int_equal(catalog_merged_query(index.merged, &odd.view, got, &err), -EINVAL);
    assert_non_null(strstr(err.text, "merged index"));
    odd.view.kind = DIGEST_MD5;
    odd.view.key_id[3] = 1;
    assert_int_equal(catalog_merged_query(index.merged, &odd.view, got, &err), -EINVAL);
    odd.view.key_id[3] = 0;
    assert_int_equal(catalog_merged_query(index.merged, &odd.view, got, &err), 0);
    release_index(&index);
    made_fingerprint_release(&odd);
    release_park(park);
}

static void assert_not_made(const struct catalog_merged_host *hosts, size_t count, const char *part)
{
    struct error err = {0};
    uint8_t *bytes = NULL;
    size_t length = 0;

    assert_int_equal(catalog_merged_encode(hosts, count, &bytes, &length, &err), -EINVAL);
    if (strstr(err.text, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.text, part);
    assert_null(bytes);
}

static void test_bad_hosts_are_refused(void **unused)
{
    static struct catalog_merged_host many[CATALOG_MERGED_MAX_HOSTS + 1];
    static char name[5000];
    struct made_fingerprint made = make_multiples(0, 40);
    const struct fingerprint_view *view = &made.view;
    struct catalog_merged_host host = {"west", &view, 1, 0};
    struct digest digest;

    (void)unused;
    assert_not_made(&host, 0, "no hosts");
    for (size_t i = 0; i < ARRAY_LENGTH(many); i++)
        many[i] = (struct catalog_merged_host){"x", NULL, 0, 0};
    assert_not_made(many, ARRAY_LENGTH(many), "65536 hosts");
    many[CATALOG_MERGED_MAX_HOSTS - 1] = host;
    assert_answers(many, CATALOG_MERGED_MAX_HOSTS, view);
    memset(name, 'x', sizeof(name) - 1);
    host.name = name;
    assert_not_made(&host, 1, "4095");
    host.name = "west";
    digest = made.digests[5];
    made.digests[5] = made.digests[6];
    made.digests[6] = digest;
    assert_not_made(&host, 1, "west");
    made.digests[6] = made.digests[5];
    made.digests[5] = digest;
    made.view.sketch_count = made.view.totals.distinct;
    assert_not_made(&host, 1, "order");
    made_fingerprint_release(&made);
}

/* ---- damage ---- */

/* A head with this checksum right again, so that what lies behind it is looked at. */
static void mend_head(uint8_t *bytes, size_t head)
{
    struct fingerprint_checksum sum;
    uint64_t value;

    fingerprint_checksum_init(&sum);
    fingerprint_checksum_add(&sum, bytes, AT_CHECKSUM);
    fingerprint_checksum_add(&sum, bytes + HEADER_BYTES, head - HEADER_BYTES);
    value = htole64(fingerprint_checksum_value(&sum));
    memcpy(bytes + AT_CHECKSUM, &value, sizeof(value));
}

/* In memory of just its size, so that reading beyond it is seen. */
static int try_bytes(const uint8_t *bytes, size_t length, const struct fingerprint_view *query)
{
    struct similarity_estimate *got;
    struct catalog_merged *merged = NULL;
    struct error err = {0};
    uint8_t *copy = malloc(length > 0 ? length : 1);
    int rc;

    assert_non_null(copy);
    memcpy(copy, bytes, length);
    rc = catalog_merged_decode(copy, length, &merged, &err);
    if (rc == 0) {
        size_t hosts = catalog_merged_host_count(merged), names = 0;

        got = made_memory(hosts * sizeof(*got));
        for (size_t host = 0; host < hosts; host++)
            names += strlen(catalog_merged_host_name(merged, host));
        assert_true(names <= length * hosts);
        rc = catalog_merged_query(merged, query, got, &err);
        for (size_t host = 0; rc == 0 && host < hosts; host++) {
            assert_true(got[host].high.identical_distinct <= query->totals.distinct);
            assert_true(got[host].low.identical_distinct <= got[host].best.identical_distinct);
            assert_true(got[host].best.identical_distinct <= got[host].high.identical_distinct);
            assert_true(got[host].low.bytes_to_send <= got[host].high.bytes_to_send);
        }
        if (catalog_merged_verify(merged, NULL) < 0)
            rc = -EBADMSG;
        free(got);
    } else {
        assert_null(merged);
    }
    assert_true(rc == 0 || rc == -EBADMSG || err.text[0] != '\0');
    catalog_merged_release(merged);
    free(copy);
    return rc;
}

static size_t head_length(size_t hosts, const uint8_t *bytes)
{
    uint64_t names;
    size_t end;

    memcpy(&names, bytes + 40, sizeof(names));
    end = (HEADER_BYTES + HEAD_ALIGNMENT - 1) / HEAD_ALIGNMENT * HEAD_ALIGNMENT + hosts * 24;
    end = (end + HEAD_ALIGNMENT - 1) / HEAD_ALIGNMENT * HEAD_ALIGNMENT + le64toh(names);
    return (end + HEAD_ALIGNMENT - 1) / HEAD_ALIGNMENT * HEAD_ALIGNMENT;
}

static void test_damage_is_noticed_and_never_followed(void **unused)
{
    static const uint8_t flips[] = {0x01, 0x80, 0xff};
    struct made_fingerprint made[40], query = make_multiples(0, 60);
    const struct fingerprint_view *views[40];
    struct catalog_merged_host hosts[40];
    struct index index;
    size_t head;

    (void)unused;
    for (size_t i = 0; i < 40; i++) {
        made[i] = make_multiples(i, 60);
        views[i] = &made[i].view;
        hosts[i] = (struct catalog_merged_host){"host", &views[i], 1, i};
    }
    index = make_index(hosts, 40);
    head = head_length(40, index.bytes);
    assert_int_equal(try_bytes(index.bytes, index.length, &query.view), 0);
    for (size_t at = 0; at < index.length; at++) {
        for (size_t i = 0; i < ARRAY_LENGTH(flips); i++) {
            index.bytes[at] ^= flips[i];
            /* Whatever lies in the file is covered by a checksum. */
            assert_true(try_bytes(index.bytes, index.length, &query.view) < 0);
            if (at < head && (at < AT_CHECKSUM || at >= HEADER_BYTES)) {
                uint8_t checksum[8];

                memcpy(checksum, index.bytes + AT_CHECKSUM, 8);
                mend_head(index.bytes, head);
                try_bytes(index.bytes, index.length, &query.view);
                memcpy(index.bytes + AT_CHECKSUM, checksum, 8);
            }
            index.bytes[at] ^= flips[i];
        }
    }
    for (size_t length = 0; length < index.length; length += length < 300 ? 1 : 37)
        assert_int_equal(try_bytes(index.bytes, length, &query.view), -EINVAL);
    index.bytes[8] = 2;
    assert_int_equal(try_bytes(index.bytes, index.length, &query.view), -ENOTSUP);
    for (size_t i = 0; i < 40; i++)
        made_fingerprint_release(&made[i]);
    made_fingerprint_release(&query);
    release_index(&index);
}

#define BODY_HOSTS 64

/* A small body behind many hosts: what points beyond it points beyond the file. */
static void try_body(size_t holders)
{
    static const uint8_t flips[] = {0x01, 0x02, 0x80};
    struct catalog_merged_host hosts[BODY_HOSTS];
    struct made_fingerprint made = make_multiples(0, 1);
    const struct fingerprint_view *view = &made.view;
    struct index index;

    for (size_t i = 0; i < BODY_HOSTS; i++)
        hosts[i] = (struct catalog_merged_host){"", &view, i < holders, i};
    index = make_index(hosts, BODY_HOSTS);
    for (size_t at = head_length(BODY_HOSTS, index.bytes); at < index.length; at++) {
        size_t window = index.length - at < 8 ? index.length - at : 8;
        uint8_t before[8];

        for (size_t i = 0; i < ARRAY_LENGTH(flips); i++) {
            index.bytes[at] ^= flips[i];
            assert_true(try_bytes(index.bytes, index.length, view) < 0);
            index.bytes[at] ^= flips[i];
        }
        memcpy(before, index.bytes + at, window);
        memset(index.bytes + at, 0xff, window);
        try_bytes(index.bytes, index.length, view);
        memcpy(index.bytes + at, before, window);
    }
    release_index(&index);
    made_fingerprint_release(&made);
}

static void test_codes_and_sets_beyond_the_file_are_not_followed(void **unused)
{
    (void)unused;
    try_body(1);
    try_body(2);
    try_body(BODY_HOSTS);
}

/* Numbers in the head that would make a small file large. */
static void test_counts_that_do_not_fit_are_refused(void **unused)
{
    struct made_fingerprint made = make_multiples(0, 60);
    const struct fingerprint_view *view = &made.view;
    struct catalog_merged_host host = {"host", &view, 1, 0};
    struct index index = make_index(&host, 1);
    size_t head = head_length(1, index.bytes);

    (void)unused;
    for (size_t at = 12; at + 8 <= 88; at += 4) {
        static const uint64_t values[] = {0, 1, UINT32_MAX, UINT64_C(1) << 61, UINT64_MAX};

        for (size_t i = 0; i < ARRAY_LENGTH(values); i++) {
            uint8_t before[8];

            memcpy(before, index.bytes + at, 8);
            memcpy(index.bytes + at, &values[i], 8);
            mend_head(index.bytes, head);
            try_bytes(index.bytes, index.length, view);
            if (at == AT_KEYS)
                assert_true(try_bytes(index.bytes, index.length, view) < 0);
            memcpy(index.bytes + at, before, 8);
        }
    }
    release_index(&index);
    made_fingerprint_release(&made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_intervals_hold_what_brute_force_finds),
        cmocka_unit_test(test_many_hosts),
        cmocka_unit_test(test_equal_sets_are_kept_once),
        cmocka_unit_test(test_hosts_without_images_and_images_without_blocks),
        cmocka_unit_test(test_the_order_of_hosts_and_images_does_not_matter),
        cmocka_unit_test(test_names_and_marks_come_back),
        cmocka_unit_test(test_many_digests),
        cmocka_unit_test(test_different_ones_are_refused),
        cmocka_unit_test(test_bad_hosts_are_refused),
        cmocka_unit_test(test_damage_is_noticed_and_never_followed),
        cmocka_unit_test(test_codes_and_sets_beyond_the_file_are_not_followed),
        cmocka_unit_test(test_counts_that_do_not_fit_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

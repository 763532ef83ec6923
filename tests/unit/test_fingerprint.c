/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fingerprint file: what is written is read again, and nothing damaged is. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "made_fingerprint.h"

#include <errno.h>

#define BLOCKS       1500
#define AT_CHECKSUM  136
#define HEADER_BYTES 144

static const struct fingerprint_layer layers[] = {
    {"/images/top.qcow2", "qcow2", 1, 2, 3, 4, -5, 6, 7, false},
    {"/dev/vg/base", "raw", UINT64_MAX, 20, 30, INT64_MIN, 50, 60, 999999999, true},
};

struct file {
    uint8_t *bytes;
    size_t length;
    struct made_fingerprint made;
};

/* An image with a bit of everything: repeated, frequent and zero blocks. */
static struct file make_file(void)
{
    uint64_t contents[BLOCKS], state = 5;
    struct file file;
    struct error err;

    for (size_t i = 0; i < BLOCKS; i++) {
        uint64_t kind = made_random(&state) % 8;

        contents[i] = kind == 0 ? MADE_ZERO : kind < 3 ? made_random(&state) % 9 : i;
    }
    file.made = made_fingerprint(contents, BLOCKS);
    file.made.view.identity.layers = layers;
    file.made.view.identity.layer_count = ARRAY_LENGTH(layers);
    file.made.view.identity.provisional = true;
    assert_int_equal(fingerprint_encode(&file.made.view, &file.bytes, &file.length, &err), 0);
    return file;
}

static void release_file(struct file *file)
{
    free(file->bytes);
    made_fingerprint_release(&file->made);
}

/* After a change of the head that is to be noticed by itself, not by the checksum. */
static void mend_head(uint8_t *bytes)
{
    struct fingerprint_checksum sum;
    uint32_t length;
    uint64_t value;

    memcpy(&length, bytes + 12, sizeof(length));
    fingerprint_checksum_init(&sum);
    fingerprint_checksum_add(&sum, bytes, AT_CHECKSUM);
    fingerprint_checksum_add(&sum, bytes + HEADER_BYTES, le32toh(length) - HEADER_BYTES);
    value = htole64(fingerprint_checksum_value(&sum));
    memcpy(bytes + AT_CHECKSUM, &value, sizeof(value));
}

static void put(uint8_t *bytes, uint64_t value, size_t size)
{
    value = htole64(value);
    memcpy(bytes, &value, size);
}

/* Refused with `code` and one line of text, and nothing given back. */
static void assert_refused(const void *bytes, size_t length, int code, const char *part)
{
    struct fingerprint_view view = {.block_size = 77};
    struct error err = {0};

    assert_int_equal(fingerprint_decode(bytes, length, &view, &err), code);
    if (strstr(err.text, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.text, part);
    assert_int_equal(view.block_size, 77);
}

/* ---- what is written is read ---- */

static void test_all_fields_come_back(void **unused)
{
    struct file file = make_file();
    const struct fingerprint_view *wrote = &file.made.view;
    struct fingerprint_view view;
    struct error err;

    (void)unused;
    assert_int_equal(fingerprint_decode(file.bytes, file.length, &view, &err), 0);
    assert_int_equal(view.kind, wrote->kind);
    assert_int_equal(view.block_size, wrote->block_size);
    assert_memory_equal(&view.zero_digest, &wrote->zero_digest, DIGEST_BYTES);
    assert_memory_equal(&view.totals, &wrote->totals, sizeof(view.totals));
    assert_true(view.totals.zero > 0 && view.frequent_count > 5 && view.sketch_count > 1);
    assert_int_equal(view.identity.virtual_size, (uint64_t)BLOCKS * MADE_BLOCK_SIZE);
    assert_int_equal(view.identity.made_s, 1790000000);
    assert_true(view.identity.provisional);
    assert_false(view.identity.has_content_sha256);
    assert_int_equal(view.identity.layer_count, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct fingerprint_layer *layer = &view.identity.layers[i];

        assert_string_equal(layer->path, layers[i].path);
        assert_string_equal(layer->format, layers[i].format);
        assert_memory_equal(&layer->device, &layers[i].device, 48);
        assert_int_equal(layer->is_block_device, layers[i].is_block_device);
    }
    assert_memory_equal(view.digests, wrote->digests, view.totals.distinct * DIGEST_BYTES);
    assert_memory_equal(view.places, wrote->places, view.totals.distinct * 8);
    assert_int_equal(view.frequent_count, wrote->frequent_count);
    assert_memory_equal(view.frequent, wrote->frequent, view.frequent_count * DIGEST_BYTES);
    assert_memory_equal(view.frequent_multiplicity, wrote->frequent_multiplicity,
                        view.frequent_count * 8);
    assert_int_equal(view.bloom_bytes, wrote->bloom_bytes);
    assert_memory_equal(view.bloom, wrote->bloom, view.bloom_bytes);
    assert_int_equal(fingerprint_verify_order(&view, &err), 0);
    fingerprint_view_release(&view);
    release_file(&file);
}

static void test_an_image_without_blocks(void **unused)
{
    struct made_fingerprint made = made_fingerprint(NULL, 0);
    struct fingerprint_view view;
    struct error err;
    uint8_t *bytes;
    size_t length;

    (void)unused;
    made.view.bloom_bytes = 0;
    made.view.identity.virtual_size = UINT64_C(1) << 48;
    made.view.identity.has_content_sha256 = true;
    memset(made.view.identity.content_sha256, 0xab, 32);
    assert_int_equal(fingerprint_encode(&made.view, &bytes, &length, &err), 0);
    assert_int_equal(fingerprint_decode(bytes, length, &view, &err), 0);
    assert_int_equal(view.totals.distinct, 0);
    assert_null(view.bloom);
    assert_true(view.identity.has_content_sha256);
    assert_int_equal(view.identity.content_sha256[31], 0xab);
    assert_int_equal(fingerprint_verify_order(&view, &err), 0);
    fingerprint_view_release(&view);
    free(bytes);
    made_fingerprint_release(&made);
}

/* What a peer asks for: the head, then the sketch, the frequent ones, the filter, each alone. */
static void test_sections_are_read_by_range(void **unused)
{
    static const enum fingerprint_section_kind kinds[] = {
        FINGERPRINT_SKETCH_DIGESTS, FINGERPRINT_SKETCH_PLACES, FINGERPRINT_FREQUENT_DIGESTS,
        FINGERPRINT_FREQUENT_MULTIPLICITY, FINGERPRINT_BLOOM};
    struct file file = make_file();
    struct fingerprint_head head;
    struct error err;

    (void)unused;
    assert_int_equal(fingerprint_head_decode(file.bytes, FINGERPRINT_HEAD_MAX, &head, &err), 0);
    assert_int_equal(head.file_length, file.length);
    assert_int_equal(head.view.sketch_count, file.made.view.sketch_count);
    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
        const struct fingerprint_section *section = fingerprint_section_find(&head, kinds[i]);
        uint8_t *part;

        assert_non_null(section);
        part = malloc(section->length);
        memcpy(part, file.bytes + section->offset, section->length);
        assert_int_equal(fingerprint_section_check(section, part, section->length, &err), 0);
        assert_int_equal(fingerprint_section_check(section, part, section->length - 1, &err),
                         -EINVAL);
        part[section->length / 2] ^= 4;
        assert_int_equal(fingerprint_section_check(section, part, section->length, &err), -EINVAL);
        free(part);
    }
    release_file(&file);
}

static void test_multiplicity_beyond_a_place(void **unused)
{
    const uint64_t times = 3 * FINGERPRINT_SATURATED;
    struct made_fingerprint made = {0};
    struct error err;

    (void)unused;
    made.entries = made_memory(2 * sizeof(*made.entries));
    made.entries[0] = (struct fingerprint_entry){made_digest(1), fingerprint_place_make(7, times)};
    assert_int_equal(fingerprint_frequent_append(&made.frequent, &made.entries[0].digest, times),
                     0);
    made_fingerprint_finish(&made, 1, times);
    assert_int_equal(fingerprint_place_multiplicity(fingerprint_place(&made.view, 0)),
                     FINGERPRINT_SATURATED);
    assert_int_equal(fingerprint_place_block(fingerprint_place(&made.view, 0)), 7);
    assert_int_equal(fingerprint_multiplicity(&made.view, 0), times);
    assert_int_equal(fingerprint_verify_order(&made.view, &err), 0);
    made.multiplicity[0] = htole64(8);
    assert_int_equal(fingerprint_verify_order(&made.view, &err), -EINVAL);
    made_fingerprint_release(&made);
}

/* ---- two of them ---- */

static void read_head(const uint64_t *contents, size_t count, const struct fingerprint_layer *layer,
                      struct fingerprint_head *ret_head)
{
    struct made_fingerprint made = made_fingerprint(contents, count);
    uint8_t *bytes = NULL;
    size_t length = 0;

    made.view.identity.layers = layer;
    made.view.identity.layer_count = 1;
    assert_int_equal(fingerprint_encode(&made.view, &bytes, &length, NULL), 0);
    assert_int_equal(fingerprint_head_decode(bytes, length, ret_head, NULL), 0);
    free(bytes);
    made_fingerprint_release(&made);
}

static void test_the_same_blocks_under_two_names(void **unused)
{
    const uint64_t contents[] = {3, 4, 5, MADE_ZERO}, swapped[] = {4, 3, 5, MADE_ZERO},
                   other[] = {3, 4, 6, MADE_ZERO}, nothing[] = {MADE_ZERO};
    struct fingerprint_head a, b;

    (void)unused;
    read_head(contents, 4, &layers[0], &a);
    read_head(contents, 4, &layers[1], &b);
    assert_true(fingerprint_has_same_blocks(&a, &b));
    b.view.identity.virtual_size += 512;
    assert_false(fingerprint_has_same_blocks(&a, &b));
    read_head(swapped, 4, &layers[0], &b);
    assert_false(fingerprint_has_same_blocks(&a, &b));
    read_head(other, 4, &layers[0], &b);
    assert_false(fingerprint_has_same_blocks(&a, &b));
    read_head(contents, 4, &layers[0], &b);
    b.view.block_size *= 2;
    assert_false(fingerprint_has_same_blocks(&a, &b));
    read_head(nothing, 0, &layers[0], &a);
    assert_false(fingerprint_has_same_blocks(&a, &a));
}

/* ---- nothing damaged is read ---- */

static void test_every_flipped_bit_of_content_is_found(void **unused)
{
    struct file file = make_file();
    struct fingerprint_head head;

    (void)unused;
    assert_int_equal(fingerprint_head_decode(file.bytes, file.length, &head, NULL), 0);
    for (size_t at = 0; at < file.length; at += at < 512 ? 1 : 13) {
        struct fingerprint_view view;
        bool covered = at < HEADER_BYTES + head.section_count * 32;

        for (size_t i = 0; i < head.section_count; i++)
            covered |= at >= head.sections[i].offset &&
                       at < head.sections[i].offset + head.sections[i].length;
        file.bytes[at] ^= (uint8_t)(1U << at % 8);
        if (covered) {
            assert_refused(file.bytes, file.length, at >= 8 && at < 12 ? -ENOTSUP : -EINVAL,
                           "fingerprint");
        } else {
            assert_int_equal(fingerprint_decode(file.bytes, file.length, &view, NULL), 0);
            fingerprint_view_release(&view);
        }
        file.bytes[at] ^= (uint8_t)(1U << at % 8);
    }
    release_file(&file);
}

/* Each in memory of its own length, so that a read behind it is noticed by the sanitizer. */
static void test_every_truncation_is_found(void **unused)
{
    struct file file = make_file();

    (void)unused;
    for (size_t length = 0; length < file.length; length += length < 700 ? 1 : 97) {
        uint8_t *cut = malloc(length + (length == 0));

        memcpy(cut, file.bytes, length);
        assert_refused(cut, length, -EINVAL, "fingerprint");
        free(cut);
    }
    release_file(&file);
}

static void test_other_files_and_versions(void **unused)
{
    struct file file = make_file();
    uint64_t words[65] = {0};

    (void)unused;
    assert_refused(words, sizeof(words), -EINVAL, "no fingerprint");
    assert_refused(file.bytes + 1, file.length - 1, -EINVAL, "multiple of 8");
    put(file.bytes + 8, FINGERPRINT_VERSION + 1, 4);
    mend_head(file.bytes);
    assert_refused(file.bytes, file.length, -ENOTSUP, "version 2");
    release_file(&file);
}

/* Wrong in one field, with a checksum that is right. */
static void test_fields_that_contradict(void **unused)
{
    static const struct {
        size_t at, size;
        uint64_t value;
        int code;
        const char *part;
    } cases[] = {
        {12, 4, 0, -EINVAL, "length"},
        {16, 8, 4096, -EINVAL, "section"},
        {16, 8, UINT64_MAX, -EINVAL, "bytes where"},
        {24, 4, 0, -EINVAL, "not known"},
        {24, 4, 4, -EINVAL, "not known"},
        {28, 4, 0, -EINVAL, "block size"},
        {28, 4, 256, -EINVAL, "block size"},
        {28, 4, 513, -EINVAL, "block size"},
        {28, 4, 131072, -EINVAL, "block size"},
        {56, 8, 512, -EINVAL, "totals"},
        {56, 8, UINT64_MAX, -EFBIG, "too many"},
        {64, 8, 0, -EINVAL, "totals"},
        {64, 8, UINT64_MAX, -EINVAL, "totals"},
        {72, 8, BLOCKS + 1, -EINVAL, "totals"},
        {80, 8, 0, -EINVAL, "totals"},
        {80, 8, 5, -EINVAL, "sections"},
        {80, 8, UINT64_MAX / 8, -EINVAL, "totals"},
        {128, 4, 4, -ENOTSUP, "flags"},
        {132, 4, 33, -EINVAL, "33 sections"},
        {132, 4, UINT32_MAX, -EINVAL, "sections"},
        {HEADER_BYTES, 4, FINGERPRINT_BLOOM, -EINVAL, "section 1"},
        {HEADER_BYTES + 32 + 8, 8, 2048, -EINVAL, "section 1"},
        {HEADER_BYTES + 7 * 32 + 16, 8, 8, -EINVAL, "totals"},
        {HEADER_BYTES + 8, 8, 0, -EINVAL, "section 0"},
        {HEADER_BYTES + 8, 8, 2049, -EINVAL, "section 0"},
        {HEADER_BYTES + 8, 8, UINT64_MAX - 63, -EINVAL, "section 0"},
        {HEADER_BYTES + 16, 8, 0, -EINVAL, "section 0"},
        {HEADER_BYTES + 16, 8, UINT64_MAX, -EINVAL, "section 0"},
        {HEADER_BYTES + 16, 8, 100000, -EINVAL, "section"},
        {HEADER_BYTES + 32 + 16, 8, 65, -EINVAL, "totals"},
        {HEADER_BYTES + 64 + 16, 8, 15, -EINVAL, "totals"},
        {HEADER_BYTES + 6 * 32 + 16, 8, 1, -EINVAL, "totals"},
        {HEADER_BYTES + 6 * 32 + 8, 8, 2048, -EINVAL, "totals"},
    };

    (void)unused;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct file file = make_file();

        put(file.bytes + cases[i].at, cases[i].value, cases[i].size);
        if (cases[i].at != 12)
            mend_head(file.bytes);
        assert_refused(file.bytes, file.length, cases[i].code, cases[i].part);
        release_file(&file);
    }
}

static void test_more_frequent_digests_than_digests(void **unused)
{
    struct file file = make_file();

    (void)unused;
    put(file.bytes + 80, 5, 8);
    put(file.bytes + HEADER_BYTES + 4 * 32 + 16, 5 * 16, 8);
    put(file.bytes + HEADER_BYTES + 5 * 32 + 16, 5 * 8, 8);
    mend_head(file.bytes);
    assert_true(file.made.view.sketch_count <= 5 && file.made.view.frequent_count > 5);
    assert_refused(file.bytes, file.length, -EINVAL, "do not fit its totals");
    release_file(&file);
}

/* A kind of section that a later program adds is passed over. */
static void test_unknown_sections_are_passed_over(void **unused)
{
    struct file file = make_file();
    struct fingerprint_view view;
    struct error err;

    (void)unused;
    put(file.bytes + HEADER_BYTES + 32, 4711, 4); /* the Bloom filter's */
    mend_head(file.bytes);
    assert_int_equal(fingerprint_decode(file.bytes, file.length, &view, &err), 0);
    assert_null(view.bloom);
    fingerprint_view_release(&view);
    release_file(&file);
}

static void test_damaged_layers(void **unused)
{
    static const struct {
        size_t at, size;
        uint64_t value;
    } cases[] = {
        {0, 4, 3},
        {0, 4, 1},
        {0, 4, 300},
        {0, 4, UINT32_MAX},
        {8 + 52, 4, 16},
        {8 + 52, 4, 18},
        {8 + 52, 4, UINT32_MAX},
        {8 + 56, 4, 4},
        {8 + 56, 4, 60000},
        {8 + 64 + 3, 1, 0},
    };

    (void)unused;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct file file = make_file();
        struct fingerprint_head head;
        const struct fingerprint_section *section;

        fingerprint_head_decode(file.bytes, file.length, &head, NULL);
        section = fingerprint_section_find(&head, FINGERPRINT_LAYERS);
        assert_ptr_equal(section, &head.sections[0]);
        put(file.bytes + section->offset + cases[i].at, cases[i].value, cases[i].size);
        put(file.bytes + HEADER_BYTES + 24,
            fingerprint_checksum(file.bytes + section->offset, section->length), 8);
        mend_head(file.bytes);
        assert_refused(file.bytes, file.length, -EINVAL, "layer");
        release_file(&file);
    }
}

static void test_disorder_is_found_on_demand(void **unused)
{
    struct file file = make_file();
    struct made_fingerprint *made = &file.made;
    struct digest kept = made->digests[10];
    struct error err;

    (void)unused;
    assert_int_equal(fingerprint_verify_order(&made->view, &err), 0);
    made->digests[10] = made->digests[11];
    assert_int_equal(fingerprint_verify_order(&made->view, &err), -EINVAL);
    assert_non_null(strstr(err.text, "out of order"));
    made->digests[10] = kept;
    made->places[10 * 8 + 4] ^= 1; /* a block behind the image's end */
    assert_int_equal(fingerprint_verify_order(&made->view, &err), -EINVAL);
    made->places[10 * 8 + 4] ^= 1;
    made->multiplicity[0] += 1;
    assert_int_equal(fingerprint_verify_order(&made->view, &err), -EINVAL);
    made->multiplicity[0] -= 1;
    made->view.sketch_count++;
    assert_int_equal(fingerprint_verify_order(&made->view, &err), -EINVAL);
    made->view.sketch_count--;
    made->view.frequent_count--;
    assert_int_equal(fingerprint_verify_order(&made->view, &err), -EINVAL);
    made->view.frequent_count++;
    made->view.totals.zero--;
    assert_int_equal(fingerprint_verify_order(&made->view, &err), -EINVAL);
    made->view.totals.zero++;
    assert_int_equal(fingerprint_verify_order(&made->view, &err), 0);
    release_file(&file);
}

static void test_what_cannot_be_written(void **unused)
{
    static char path[70000];
    struct file file = make_file();
    struct fingerprint_layer layer = layers[0];
    struct fingerprint_view view = file.made.view;
    struct error err;
    uint8_t *bytes;
    size_t length;

    (void)unused;
    memset(path, 'a', sizeof(path) - 1);
    layer.path = path;
    view.identity.layers = &layer;
    view.identity.layer_count = 1;
    assert_int_equal(fingerprint_encode(&view, &bytes, &length, &err), -EINVAL);
    view.identity.layer_count = FINGERPRINT_MAX_LAYERS + 1;
    assert_int_equal(fingerprint_encode(&view, &bytes, &length, &err), -EINVAL);
    view.identity.layer_count = 0;
    view.identity.virtual_size = INT64_MAX;
    assert_int_equal(fingerprint_encode(&view, &bytes, &length, &err), -EFBIG);
    release_file(&file);
}

/* ---- its parts ---- */

static void test_checksum_in_pieces(void **unused)
{
    uint8_t bytes[1000];
    uint64_t state = 3, whole;

    (void)unused;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    /* The values of docs/fingerprint-format.md. */
    assert_int_equal(fingerprint_checksum(NULL, 0), UINT64_C(0x7ccffb41fa53f873));
    assert_int_equal(fingerprint_checksum(bytes, 100), UINT64_C(0x4334e9040eeaaa59));
    whole = fingerprint_checksum(bytes, sizeof(bytes));
    for (int round = 0; round < 2000; round++) {
        struct fingerprint_checksum sum;
        size_t at = 0;

        fingerprint_checksum_init(&sum);
        while (at < sizeof(bytes)) {
            size_t piece = made_random(&state) % 200;

            piece = piece > sizeof(bytes) - at ? sizeof(bytes) - at : piece;
            fingerprint_checksum_add(&sum, bytes + at, piece);
            fingerprint_checksum_value(&sum);
            at += piece;
        }
        assert_int_equal(fingerprint_checksum_value(&sum), whole);
    }
}

static void test_bloom_filter_never_misses(void **unused)
{
    const uint64_t keys = 50000;
    size_t bytes = fingerprint_bloom_bytes(keys), wrong = 0;
    uint8_t *bloom = made_memory(bytes);

    (void)unused;
    for (uint64_t i = 0; i < keys; i++) {
        struct digest digest = made_digest(i);

        fingerprint_bloom_add(bloom, bytes, &digest);
    }
    for (uint64_t i = 0; i < 5 * keys; i++) {
        struct digest digest = made_digest(i);
        bool has = fingerprint_bloom_has(bloom, bytes, &digest);

        if (i < keys)
            assert_true(has);
        else
            wrong += has;
    }
    /* 1.3 %; the digests are the same in every run. */
    assert_in_range(wrong, 4 * keys * 8 / 1000, 4 * keys * 17 / 1000);
    free(bloom);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_fields_come_back),
        cmocka_unit_test(test_an_image_without_blocks),
        cmocka_unit_test(test_the_same_blocks_under_two_names),
        cmocka_unit_test(test_sections_are_read_by_range),
        cmocka_unit_test(test_multiplicity_beyond_a_place),
        cmocka_unit_test(test_every_flipped_bit_of_content_is_found),
        cmocka_unit_test(test_every_truncation_is_found),
        cmocka_unit_test(test_other_files_and_versions),
        cmocka_unit_test(test_fields_that_contradict),
        cmocka_unit_test(test_more_frequent_digests_than_digests),
        cmocka_unit_test(test_unknown_sections_are_passed_over),
        cmocka_unit_test(test_damaged_layers),
        cmocka_unit_test(test_disorder_is_found_on_demand),
        cmocka_unit_test(test_what_cannot_be_written),
        cmocka_unit_test(test_checksum_in_pieces),
        cmocka_unit_test(test_bloom_filter_never_misses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Header and table of sections of a fingerprint file, from and to bytes. */

#include "fingerprint/format.h"

#include <errno.h>

static bool is_power_of_two(uint32_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

static uint64_t blocks_of(uint64_t bytes, uint32_t block_size)
{
    return bytes / block_size + (bytes % block_size != 0);
}

int fingerprint_totals_check(const struct fingerprint_view *view, struct error *err)
{
    const struct fingerprint_totals *totals = &view->totals;
    uint64_t most, least_distinct;

    if (view->kind < DIGEST_MD5 || view->kind > DIGEST_KEYED_SHA256)
        return error_set(err, -EINVAL, "the fingerprint has a digest that is not known: %u",
                         (unsigned int)view->kind);
    if (!is_power_of_two(view->block_size) || view->block_size < DIGEST_BLOCK_MIN ||
        view->block_size > DIGEST_BLOCK_MAX)
        return error_set(err, -EINVAL, "the fingerprint's block size is impossible: %u",
                         view->block_size);
    most = blocks_of(view->identity.virtual_size, view->block_size);
    if (most > FINGERPRINT_MAX_BLOCKS)
        return error_set(err, -EFBIG, "%llu bytes are too many for a fingerprint with blocks of %u",
                         (unsigned long long)view->identity.virtual_size, view->block_size);
    least_distinct = totals->blocks > 0;
    if (totals->blocks > most || totals->zero > totals->blocks ||
        totals->distinct < least_distinct ||
        totals->distinct > totals->blocks - (totals->zero > 0 ? totals->zero - 1 : 0))
        return error_set(err, -EINVAL, "the fingerprint's totals contradict each other");
    return 0;
}

/* ---- to bytes ---- */

static void lay(struct fingerprint_head *head, uint32_t kind, uint64_t length)
{
    uint64_t behind = head->file_length;

    if (length == 0)
        return;
    behind += (FINGERPRINT_ALIGNMENT - behind % FINGERPRINT_ALIGNMENT) % FINGERPRINT_ALIGNMENT;
    head->sections[head->section_count++] =
        (struct fingerprint_section){.kind = kind, .offset = behind, .length = length};
    head->file_length = behind + length;
}

/* The beginning of a section that was laid before, under a name of its own. */
static void lay_beginning(struct fingerprint_head *head, uint32_t kind, uint32_t of,
                          uint64_t length)
{
    const struct fingerprint_section *whole = fingerprint_section_find(head, of);

    if (length != 0 && whole != NULL)
        head->sections[head->section_count++] =
            (struct fingerprint_section){.kind = kind, .offset = whole->offset, .length = length};
}

int fingerprint_layout(const struct fingerprint_view *view, size_t layers_length,
                       struct fingerprint_head *ret_head)
{
    struct fingerprint_head head = {.view = *view, .file_length = FINGERPRINT_HEAD_MAX};
    uint64_t distinct = view->totals.distinct;

    if (distinct > FINGERPRINT_MAX_BLOCKS || view->sketch_count > distinct ||
        view->frequent_count > distinct || layers_length > (size_t)1 << 32 ||
        view->bloom_bytes > (size_t)1 << 44)
        return -EOVERFLOW;
    lay(&head, FINGERPRINT_LAYERS, layers_length);
    lay(&head, FINGERPRINT_BLOOM, view->bloom_bytes);
    lay(&head, FINGERPRINT_FREQUENT_DIGESTS, view->frequent_count * sizeof(struct digest));
    lay(&head, FINGERPRINT_FREQUENT_MULTIPLICITY, view->frequent_count * sizeof(uint64_t));
    lay(&head, FINGERPRINT_DIGESTS, distinct * sizeof(struct digest));
    lay(&head, FINGERPRINT_PLACES, distinct * sizeof(uint64_t));
    lay_beginning(&head, FINGERPRINT_SKETCH_DIGESTS, FINGERPRINT_DIGESTS,
                  view->sketch_count * sizeof(struct digest));
    lay_beginning(&head, FINGERPRINT_SKETCH_PLACES, FINGERPRINT_PLACES,
                  view->sketch_count * sizeof(uint64_t));
    *ret_head = head;
    return 0;
}

/* Of header and table, all but the checksum's own bytes. */
static uint64_t head_checksum(const uint8_t *bytes, size_t length)
{
    struct fingerprint_checksum sum;

    fingerprint_checksum_init(&sum);
    fingerprint_checksum_add(&sum, bytes, AT_CHECKSUM);
    fingerprint_checksum_add(&sum, bytes + HEADER_BYTES, length - HEADER_BYTES);
    return fingerprint_checksum_value(&sum);
}

size_t fingerprint_head_encode(const struct fingerprint_head *head,
                               uint8_t ret_bytes[FINGERPRINT_HEAD_MAX])
{
    const struct fingerprint_view *view = &head->view;
    size_t length = HEADER_BYTES + head->section_count * SECTION_BYTES;
    uint8_t *bytes = ret_bytes, *line = bytes + HEADER_BYTES;

    memset(bytes, 0, length);
    memcpy(bytes + AT_MAGIC, FORMAT_MAGIC, sizeof(FORMAT_MAGIC) - 1);
    put_u32(bytes + AT_VERSION, FINGERPRINT_VERSION);
    put_u32(bytes + AT_HEAD_LENGTH, (uint32_t)length);
    put_u64(bytes + AT_FILE_LENGTH, head->file_length);
    put_u32(bytes + AT_DIGEST_KIND, view->kind);
    put_u32(bytes + AT_BLOCK_SIZE, view->block_size);
    memcpy(bytes + AT_KEY_ID, view->key_id, sizeof(view->key_id));
    memcpy(bytes + AT_ZERO_DIGEST, view->zero_digest.bytes, DIGEST_BYTES);
    put_u64(bytes + AT_VIRTUAL_SIZE, view->identity.virtual_size);
    put_u64(bytes + AT_BLOCKS, view->totals.blocks);
    put_u64(bytes + AT_ZERO_BLOCKS, view->totals.zero);
    put_u64(bytes + AT_DISTINCT, view->totals.distinct);
    put_u64(bytes + AT_MADE, (uint64_t)view->identity.made_s);
    if (view->identity.has_content_sha256)
        memcpy(bytes + AT_CONTENT_SHA256, view->identity.content_sha256,
               sizeof(view->identity.content_sha256));
    put_u32(bytes + AT_FLAGS, (view->identity.provisional ? FLAG_PROVISIONAL : 0) |
                                  (view->identity.has_content_sha256 ? FLAG_CONTENT_SHA256 : 0));
    put_u32(bytes + AT_SECTION_COUNT, (uint32_t)head->section_count);
    for (size_t i = 0; i < head->section_count; i++, line += SECTION_BYTES) {
        const struct fingerprint_section *section = &head->sections[i];

        put_u32(line + SECTION_KIND, section->kind);
        put_u64(line + SECTION_OFFSET, section->offset);
        put_u64(line + SECTION_LENGTH, section->length);
        put_u64(line + SECTION_CHECKSUM, section->checksum);
    }
    put_u64(bytes + AT_CHECKSUM, head_checksum(bytes, length));
    return length;
}

/* ---- from bytes ---- */

const struct fingerprint_section *fingerprint_section_find(const struct fingerprint_head *head,
                                                           enum fingerprint_section_kind kind)
{
    for (size_t i = 0; i < head->section_count; i++) {
        if (head->sections[i].kind == kind)
            return &head->sections[i];
    }
    return NULL;
}

static uint64_t section_length(const struct fingerprint_head *head,
                               enum fingerprint_section_kind kind)
{
    const struct fingerprint_section *section = fingerprint_section_find(head, kind);

    return section != NULL ? section->length : 0;
}

/* The bytes that are known to be a head of this version, whole and undamaged. */
static int check_head(const uint8_t *bytes, size_t length, size_t *ret_length, struct error *err)
{
    uint32_t told;

    if (length < HEADER_BYTES || memcmp(bytes, FORMAT_MAGIC, sizeof(FORMAT_MAGIC) - 1) != 0)
        return error_set(err, -EINVAL, "this is no fingerprint");
    if (get_u32(bytes + AT_VERSION) != FINGERPRINT_VERSION)
        return error_set(err, -ENOTSUP, "the fingerprint has version %u, and this program reads %d",
                         get_u32(bytes + AT_VERSION), FINGERPRINT_VERSION);
    told = get_u32(bytes + AT_SECTION_COUNT);
    if (told > FINGERPRINT_MAX_SECTIONS)
        return error_set(err, -EINVAL, "the fingerprint's head is damaged: %u sections", told);
    told = HEADER_BYTES + told * SECTION_BYTES;
    if (get_u32(bytes + AT_HEAD_LENGTH) != told)
        return error_set(err, -EINVAL, "the fingerprint's head is damaged: its length is wrong");
    if (told > length)
        return error_set(err, -EINVAL, "the fingerprint is cut off in its head");
    if (head_checksum(bytes, told) != get_u64(bytes + AT_CHECKSUM))
        return error_set(err, -EINVAL, "the fingerprint's head is damaged: its checksum is wrong");
    *ret_length = told;
    return 0;
}

static bool begins_another(uint32_t kind)
{
    return kind == FINGERPRINT_SKETCH_DIGESTS || kind == FINGERPRINT_SKETCH_PLACES;
}

static int check_section(const struct fingerprint_head *head, size_t i, size_t head_length)
{
    const struct fingerprint_section *section = &head->sections[i];

    if (section->offset % FINGERPRINT_ALIGNMENT != 0 || section->offset < head_length ||
        section->length == 0 || section->offset > head->file_length ||
        section->length > head->file_length - section->offset)
        return -EINVAL;
    for (size_t j = 0; j < i; j++) {
        const struct fingerprint_section *other = &head->sections[j];

        if (other->kind == section->kind)
            return -EINVAL;
        if (!begins_another(section->kind) && !begins_another(other->kind) &&
            section->offset < other->offset + other->length &&
            other->offset < section->offset + section->length)
            return -EINVAL;
    }
    return 0;
}

/* Is `kind` the first so many items of `of`? Sets how many. */
static bool check_beginning(const struct fingerprint_head *head, enum fingerprint_section_kind kind,
                            enum fingerprint_section_kind of, size_t item, size_t *ret_count)
{
    const struct fingerprint_section *part = fingerprint_section_find(head, kind);
    const struct fingerprint_section *whole = fingerprint_section_find(head, of);

    *ret_count = 0;
    if (part == NULL)
        return true;
    if (whole == NULL || part->offset != whole->offset || part->length > whole->length ||
        part->length % item != 0)
        return false;
    *ret_count = part->length / item;
    return true;
}

/* The lengths of sections follow from the totals, or from each other. */
static int check_lengths(struct fingerprint_head *head)
{
    struct fingerprint_view *view = &head->view;
    uint64_t distinct = view->totals.distinct;
    uint64_t frequent = section_length(head, FINGERPRINT_FREQUENT_DIGESTS) / sizeof(struct digest);
    uint64_t bloom = section_length(head, FINGERPRINT_BLOOM);
    size_t places;

    if (section_length(head, FINGERPRINT_DIGESTS) != distinct * sizeof(struct digest) ||
        section_length(head, FINGERPRINT_PLACES) != distinct * sizeof(uint64_t) ||
        section_length(head, FINGERPRINT_FREQUENT_DIGESTS) % sizeof(struct digest) != 0 ||
        section_length(head, FINGERPRINT_FREQUENT_MULTIPLICITY) != frequent * sizeof(uint64_t) ||
        frequent > distinct || bloom % FINGERPRINT_BLOOM_BLOCK != 0)
        return -EINVAL;
    if (!check_beginning(head, FINGERPRINT_SKETCH_DIGESTS, FINGERPRINT_DIGESTS,
                         sizeof(struct digest), &view->sketch_count) ||
        !check_beginning(head, FINGERPRINT_SKETCH_PLACES, FINGERPRINT_PLACES, sizeof(uint64_t),
                         &places) ||
        places != view->sketch_count)
        return -EINVAL;
    view->frequent_count = frequent;
    view->bloom_bytes = bloom;
    return 0;
}

static void take_header(const uint8_t *bytes, struct fingerprint_head *head)
{
    struct fingerprint_view *view = &head->view;
    uint32_t flags = get_u32(bytes + AT_FLAGS);

    head->file_length = get_u64(bytes + AT_FILE_LENGTH);
    head->section_count = get_u32(bytes + AT_SECTION_COUNT);
    view->kind = get_u32(bytes + AT_DIGEST_KIND);
    view->block_size = get_u32(bytes + AT_BLOCK_SIZE);
    memcpy(view->key_id, bytes + AT_KEY_ID, sizeof(view->key_id));
    memcpy(view->zero_digest.bytes, bytes + AT_ZERO_DIGEST, DIGEST_BYTES);
    view->identity.virtual_size = get_u64(bytes + AT_VIRTUAL_SIZE);
    view->totals.blocks = get_u64(bytes + AT_BLOCKS);
    view->totals.zero = get_u64(bytes + AT_ZERO_BLOCKS);
    view->totals.distinct = get_u64(bytes + AT_DISTINCT);
    view->identity.made_s = (int64_t)get_u64(bytes + AT_MADE);
    view->identity.provisional = (flags & FLAG_PROVISIONAL) != 0;
    view->identity.has_content_sha256 = (flags & FLAG_CONTENT_SHA256) != 0;
    memcpy(view->identity.content_sha256, bytes + AT_CONTENT_SHA256,
           sizeof(view->identity.content_sha256));
}

int fingerprint_head_decode(const void *bytes, size_t length, struct fingerprint_head *ret_head,
                            struct error *err)
{
    struct fingerprint_head head = {0};
    const uint8_t *line = (const uint8_t *)bytes + HEADER_BYTES;
    size_t head_length = 0;
    int rc = check_head(bytes, length, &head_length, err);

    if (rc < 0)
        return rc;
    take_header(bytes, &head);
    if ((get_u32((const uint8_t *)bytes + AT_FLAGS) & ~(uint32_t)FLAGS_KNOWN) != 0)
        return error_set(err, -ENOTSUP, "the fingerprint has flags that are not known");
    rc = fingerprint_totals_check(&head.view, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < head.section_count; i++, line += SECTION_BYTES) {
        head.sections[i] = (struct fingerprint_section){
            .kind = get_u32(line + SECTION_KIND),
            .offset = get_u64(line + SECTION_OFFSET),
            .length = get_u64(line + SECTION_LENGTH),
            .checksum = get_u64(line + SECTION_CHECKSUM),
        };
        if (check_section(&head, i, head_length) < 0)
            return error_set(err, -EINVAL, "the fingerprint's section %zu is impossible", i);
    }
    if (check_lengths(&head) < 0)
        return error_set(err, -EINVAL, "the fingerprint's sections do not fit its totals");
    *ret_head = head;
    return 0;
}

int fingerprint_section_check(const struct fingerprint_section *section, const void *bytes,
                              size_t length, struct error *err)
{
    if (length != section->length)
        return error_set(err, -EINVAL, "the fingerprint's section of kind %u is cut off",
                         section->kind);
    if (fingerprint_checksum(bytes, length) != section->checksum)
        return error_set(err, -EINVAL,
                         "the fingerprint's section of kind %u is damaged: its checksum is wrong",
                         section->kind);
    return 0;
}

/* ---- two of them ---- */

static bool has_same_section(const struct fingerprint_head *a, const struct fingerprint_head *b,
                             enum fingerprint_section_kind kind)
{
    const struct fingerprint_section *of_a = fingerprint_section_find(a, kind),
                                     *of_b = fingerprint_section_find(b, kind);

    return of_a != NULL && of_b != NULL && of_a->length == of_b->length &&
           of_a->checksum == of_b->checksum;
}

bool fingerprint_has_same_blocks(const struct fingerprint_head *a, const struct fingerprint_head *b)
{
    return a->view.kind == b->view.kind && a->view.block_size == b->view.block_size &&
           memcmp(a->view.key_id, b->view.key_id, sizeof(a->view.key_id)) == 0 &&
           a->view.identity.virtual_size == b->view.identity.virtual_size &&
           a->view.totals.blocks == b->view.totals.blocks &&
           a->view.totals.zero == b->view.totals.zero &&
           has_same_section(a, b, FINGERPRINT_DIGESTS) &&
           has_same_section(a, b, FINGERPRINT_PLACES);
}

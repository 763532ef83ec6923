/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A whole fingerprint file in memory: to bytes, and a view over bytes. */

#include "fingerprint/format.h"

#include <errno.h>

/* ---- to bytes ---- */

static void put_section(struct fingerprint_head *head, uint8_t *file,
                        enum fingerprint_section_kind kind, const void *bytes)
{
    struct fingerprint_section *section =
        (struct fingerprint_section *)fingerprint_section_find(head, kind);

    if (section == NULL || bytes == NULL)
        return;
    memcpy(file + section->offset, bytes, section->length);
    section->checksum = fingerprint_checksum(bytes, section->length);
}

int fingerprint_encode(const struct fingerprint_view *view, uint8_t **ret_bytes, size_t *ret_length,
                       struct error *err)
{
    CLEANUP(cleanup_free) uint8_t *layers = NULL;
    struct fingerprint_head head;
    size_t layers_length = 0;
    uint8_t *file;
    int rc = fingerprint_totals_check(view, err);

    if (rc == 0)
        rc = fingerprint_layers_encode(&view->identity, &layers, &layers_length, err);
    if (rc < 0)
        return rc;
    rc = fingerprint_layout(view, layers_length, &head);
    if (rc < 0)
        return error_set(err, rc, "the fingerprint is too large");
    file = calloc(1, head.file_length);
    if (file == NULL)
        return error_set(err, -ENOMEM, "no memory for a fingerprint of %llu bytes",
                         (unsigned long long)head.file_length);
    put_section(&head, file, FINGERPRINT_LAYERS, layers);
    put_section(&head, file, FINGERPRINT_DIGESTS, view->digests);
    put_section(&head, file, FINGERPRINT_PLACES, view->places);
    put_section(&head, file, FINGERPRINT_FREQUENT_DIGESTS, view->frequent);
    put_section(&head, file, FINGERPRINT_FREQUENT_MULTIPLICITY, view->frequent_multiplicity);
    put_section(&head, file, FINGERPRINT_BLOOM, view->bloom);
    put_section(&head, file, FINGERPRINT_SKETCH_DIGESTS, view->digests);
    put_section(&head, file, FINGERPRINT_SKETCH_PLACES, view->places);
    fingerprint_head_encode(&head, file);
    *ret_bytes = file;
    *ret_length = head.file_length;
    return 0;
}

/* ---- from bytes ---- */

static const void *section_bytes(const struct fingerprint_head *head, const uint8_t *file,
                                 enum fingerprint_section_kind kind)
{
    const struct fingerprint_section *section = fingerprint_section_find(head, kind);

    return section != NULL ? file + section->offset : NULL;
}

static int take_layers(const struct fingerprint_head *head, const uint8_t *file,
                       struct fingerprint_view *view, struct error *err)
{
    const struct fingerprint_section *section = fingerprint_section_find(head, FINGERPRINT_LAYERS);
    int rc;

    if (section == NULL)
        return 0;
    rc = fingerprint_layers_decode(file + section->offset, section->length, &view->owned_layers,
                                   &view->identity.layer_count, err);
    if (rc == 0)
        view->identity.layers = view->owned_layers;
    return rc;
}

int fingerprint_decode(const void *bytes, size_t length, struct fingerprint_view *ret_view,
                       struct error *err)
{
    struct fingerprint_head head;
    struct fingerprint_view view;
    const uint8_t *file = bytes;
    int rc;

    if ((uintptr_t)bytes % sizeof(uint64_t) != 0)
        return error_set(err, -EINVAL, "the fingerprint does not lie at a multiple of 8 bytes");
    rc = fingerprint_head_decode(bytes, length, &head, err);
    if (rc < 0)
        return rc;
    if (head.file_length != length)
        return error_set(err, -EINVAL, "the fingerprint has %zu bytes where its head says %llu",
                         length, (unsigned long long)head.file_length);
    for (size_t i = 0; i < head.section_count; i++) {
        const struct fingerprint_section *section = &head.sections[i];

        rc = fingerprint_section_check(section, file + section->offset, section->length, err);
        if (rc < 0)
            return rc;
    }
    view = head.view;
    view.digests = section_bytes(&head, file, FINGERPRINT_DIGESTS);
    view.places = section_bytes(&head, file, FINGERPRINT_PLACES);
    view.frequent = section_bytes(&head, file, FINGERPRINT_FREQUENT_DIGESTS);
    view.frequent_multiplicity = section_bytes(&head, file, FINGERPRINT_FREQUENT_MULTIPLICITY);
    view.bloom = section_bytes(&head, file, FINGERPRINT_BLOOM);
    rc = take_layers(&head, file, &view, err);
    if (rc < 0)
        return rc;
    *ret_view = view;
    return 0;
}

void fingerprint_view_release(struct fingerprint_view *view)
{
    if (view == NULL)
        return;
    free(view->owned_layers);
    *view = (struct fingerprint_view){0};
}

/* ---- what only somebody who distrusts the writer asks ---- */

static int check_ascending(const struct digest *digests, size_t count, const char *what,
                           struct error *err)
{
    for (size_t i = 1; i < count; i++) {
        if (digest_compare(&digests[i - 1], &digests[i]) >= 0)
            return error_set(err, -EINVAL, "the fingerprint's %s are out of order at %zu", what, i);
    }
    return 0;
}

/* Every place, beside the frequent digest that it has to have, if any. */
static int check_places(const struct fingerprint_view *view, uint64_t *ret_blocks,
                        struct error *err)
{
    uint64_t most = view->identity.virtual_size / view->block_size +
                    (view->identity.virtual_size % view->block_size != 0);
    uint64_t blocks = 0;
    size_t at = 0;

    for (size_t i = 0; i < view->totals.distinct; i++) {
        uint64_t place = fingerprint_place(view, i), times = fingerprint_place_multiplicity(place);

        if (times == 0 || fingerprint_place_block(place) >= most)
            return error_set(err, -EINVAL, "the fingerprint's place %zu is impossible", i);
        if (times >= FINGERPRINT_FREQUENT) {
            uint64_t exact;

            if (at == view->frequent_count ||
                digest_compare(&view->frequent[at], &view->digests[i]) != 0)
                return error_set(err, -EINVAL,
                                 "the fingerprint's digest %zu is not among the frequent ones", i);
            exact = get_u64((const uint8_t *)&view->frequent_multiplicity[at++]);
            if (exact > view->totals.blocks ||
                (times == FINGERPRINT_SATURATED ? exact < times : exact != times))
                return error_set(err, -EINVAL, "the fingerprint's digest %zu has two numbers", i);
            times = exact;
        }
        blocks += times;
    }
    if (at != view->frequent_count)
        return error_set(err, -EINVAL, "the fingerprint has frequent digests that are none");
    *ret_blocks = blocks;
    return 0;
}

int fingerprint_verify_order(const struct fingerprint_view *view, struct error *err)
{
    uint64_t blocks = 0, zero = 0;
    size_t sketch = 0, at;
    int rc = check_ascending(view->digests, view->totals.distinct, "digests", err);

    if (rc == 0)
        rc = check_places(view, &blocks, err);
    if (rc < 0)
        return rc;
    while (sketch < view->totals.distinct && view->digests[sketch].bytes[0] == 0)
        sketch++;
    if (sketch != view->sketch_count)
        return error_set(err, -EINVAL, "the fingerprint's sketch has %zu digests, not %zu",
                         view->sketch_count, sketch);
    at = fingerprint_find(view->digests, view->totals.distinct, &view->zero_digest);
    if (at < view->totals.distinct)
        zero = fingerprint_multiplicity(view, at);
    if (blocks != view->totals.blocks || zero != view->totals.zero)
        return error_set(err, -EINVAL, "the fingerprint's digests do not add up to its totals");
    return 0;
}

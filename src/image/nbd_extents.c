/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which parts of an image hold data, as qemu-nbd tells it; its last answers are kept. */
#include "image/nbd.h"

#include <errno.h>

/*
 * Asked for at once. Where there is little to tell it becomes more, up to what a
 * request can name: an image of a petabyte of holes takes seconds so.
 */
#define STATUS_LEAST ((uint64_t)256 << 20)
#define STATUS_MOST  (((uint64_t)4 << 30) - ((uint64_t)64 << 10))
#define FEW_EXTENTS  ((size_t)16)

struct asking {
    struct answer answer;
    struct answer depth; /* DATA where the layer holds something, HOLE elsewhere */
    struct reading reading;
    uint64_t limit; /* of what was asked for */
    int failed;     /* negative errno */
};

static enum image_extent_kind kind_of(uint32_t flags)
{
    if ((flags & LIBNBD_STATE_ZERO) == 0)
        return IMAGE_DATA;
    return (flags & LIBNBD_STATE_HOLE) != 0 ? IMAGE_HOLE : IMAGE_ZERO;
}

static enum image_extent_kind kind_of_depth(uint32_t depth)
{
    return depth == 0 ? IMAGE_HOLE : IMAGE_DATA;
}

/* -ENOMEM and the like. */
static int append(struct answer *answer, uint64_t length, enum image_extent_kind kind)
{
    struct image_extent *last = answer->count > 0 ? &answer->extents[answer->count - 1] : NULL;

    if (last != NULL && last->kind == kind) {
        last->length += length;
    } else {
        int rc = array_reserve(&answer->extents, &answer->capacity, answer->count + 1,
                               sizeof(*answer->extents));

        if (rc < 0)
            return rc;
        answer->extents[answer->count++] = (struct image_extent){answer->end, length, kind};
    }
    answer->end += length;
    return 0;
}

static int take_extents(void *user_data, const char *context, uint64_t offset, uint32_t *entries,
                        size_t count, int *error)
{
    struct asking *asking = user_data;
    bool is_depth = strcmp(context, REMOTE_DEPTH) == 0;
    struct answer *answer = is_depth ? &asking->depth : &asking->answer;

    (void)error;
    if ((!is_depth && strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0) ||
        offset != answer->end)
        return 0;
    for (size_t i = 0; i + 1 < count && answer->end < asking->limit && asking->failed == 0;
         i += 2) {
        uint64_t left = asking->limit - answer->end;
        uint64_t length = entries[i] < left ? entries[i] : left;

        if (length > 0)
            asking->failed = append(
                answer, length, is_depth ? kind_of_depth(entries[i + 1]) : kind_of(entries[i + 1]));
    }
    return 0;
}

/* What the layer does not hold is a hole, zeroes that it holds are no hole. */
static int merge_depth(struct asking *asking)
{
    struct answer merged = {.start = asking->answer.start, .end = asking->answer.start};
    const struct answer *answer = &asking->answer, *depth = &asking->depth;
    int rc = 0;

    for (size_t i = 0, k = 0; i < answer->count && k < depth->count && rc == 0;) {
        const struct image_extent *kind = &answer->extents[i], *held = &depth->extents[k];
        uint64_t end = kind->offset + kind->length, held_end = held->offset + held->length;
        uint64_t next = end < held_end ? end : held_end;
        enum image_extent_kind merged_kind = IMAGE_HOLE;

        if (held->kind != IMAGE_HOLE)
            merged_kind = kind->kind == IMAGE_DATA ? IMAGE_DATA : IMAGE_ZERO;
        rc = append(&merged, next - merged.end, merged_kind);
        i += next == end;
        k += next == held_end;
    }
    free(asking->answer.extents);
    asking->answer = merged;
    return rc;
}

static int ask(struct nbd *nbd, struct connection *connection, struct asking *asking,
               struct error *err)
{
    nbd_extent_callback extents = {.callback = take_extents, .user_data = asking};
    nbd_completion_callback done = {.callback = reading_done, .user_data = &asking->reading};
    uint64_t start = asking->answer.start;

    if (connection->handle == NULL)
        return connection_lose(nbd, -EIO, "the connection to qemu-nbd broke", err);
    asking->reading.in_flight = 1;
    if (nbd_aio_block_status(connection->handle, asking->limit - start, start, extents, done, 0) <
        0)
        return connection_break(nbd, connection, -EIO, "the connection to qemu-nbd broke", err);
    while (asking->reading.in_flight > 0) {
        int rc = connection_turn(nbd, connection, err);

        if (rc < 0)
            return rc;
    }
    if (nbd->tells_depth && asking->failed == 0 && asking->reading.failed == 0)
        asking->failed = merge_depth(asking);
    if (asking->failed < 0)
        return error_set(err, asking->failed, "out of memory");
    if (asking->reading.failed != 0 && connection_is_broken(connection))
        return connection_break(nbd, connection, -EIO, "the connection to qemu-nbd broke", err);
    if (asking->reading.failed != 0 || asking->answer.count == 0) {
        int code = asking->reading.failed != 0 ? -asking->reading.failed : -EIO;

        pthread_mutex_lock(&nbd->lock);
        error_set(err, code, "%s: its allocation at byte %llu cannot be told: %s",
                  nbd->chain->files[0].path, (unsigned long long)start, strerror(-code));
        server_explain(&nbd->server, code, err);
        pthread_mutex_unlock(&nbd->lock);
        return code;
    }
    return 0;
}

/* The extent of the answer that holds `offset`, from there on. */
static bool find_in(const struct answer *answer, uint64_t offset, struct image_extent *ret_extent)
{
    size_t low = 0, high = answer->count;
    const struct image_extent *found;
    uint64_t skip;

    if (offset < answer->start || offset >= answer->end)
        return false;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;

        if (answer->extents[middle].offset <= offset)
            low = middle;
        else
            high = middle;
    }
    found = &answer->extents[low];
    skip = offset - found->offset;
    *ret_extent = (struct image_extent){offset, found->length - skip, found->kind};
    return true;
}

static bool find_known(struct nbd *nbd, uint64_t offset, struct image_extent *ret_extent)
{
    bool found = false;

    pthread_mutex_lock(&nbd->lock);
    for (size_t i = 0; i < STATUS_ANSWERS && !found; i++)
        found = find_in(&nbd->answers[i], offset, ret_extent);
    pthread_mutex_unlock(&nbd->lock);
    return found;
}

static void keep_answer(struct nbd *nbd, const struct answer *answer)
{
    struct answer *place;

    pthread_mutex_lock(&nbd->lock);
    nbd->status_bytes = answer->count > FEW_EXTENTS ? STATUS_LEAST : 2 * nbd->status_bytes;
    place = &nbd->answers[nbd->next_answer];
    nbd->next_answer = (nbd->next_answer + 1) % STATUS_ANSWERS;
    free(place->extents);
    *place = *answer;
    pthread_mutex_unlock(&nbd->lock);
}

/* How many bytes to ask for, with so many up to the end. */
static uint64_t next_question(struct nbd *nbd, uint64_t rest)
{
    uint64_t bytes;

    pthread_mutex_lock(&nbd->lock);
    if (nbd->status_bytes < STATUS_LEAST)
        nbd->status_bytes = STATUS_LEAST;
    if (nbd->status_bytes > STATUS_MOST)
        nbd->status_bytes = STATUS_MOST;
    bytes = nbd->status_bytes;
    pthread_mutex_unlock(&nbd->lock);
    return rest < bytes ? rest : bytes;
}

int remote_next_extent(void *state, uint64_t offset, struct image_extent *ret_extent,
                       struct error *err)
{
    struct nbd *nbd = state;
    struct asking asking = {.answer = {.start = offset, .end = offset},
                            .depth = {.start = offset, .end = offset}};
    uint64_t rest = nbd->size - offset;
    struct connection *connection;
    int rc;

    if (!nbd->tells_status) {
        *ret_extent = (struct image_extent){offset, rest, IMAGE_DATA};
        return 0;
    }
    if (find_known(nbd, offset, ret_extent))
        return 0;
    asking.limit = offset + next_question(nbd, rest);
    connection_take(nbd, &connection);
    rc = ask(nbd, connection, &asking, err);
    connection_give(nbd, connection);
    free(asking.depth.extents);
    if (rc < 0) {
        free(asking.answer.extents);
        return rc;
    }
    find_in(&asking.answer, offset, ret_extent);
    keep_answer(nbd, &asking.answer);
    return 0;
}

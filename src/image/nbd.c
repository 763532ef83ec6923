/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images that QEMU has to interpret: qemu-nbd and libnbd, over several
 * connections, many requests in flight on each. A reader takes a connection
 * for the time of one call. Every wait has a bound.
 */
#include "image/backend.h"
#include "image/cache.h"
#include "image/server.h"

#include <errno.h>
#include <libnbd.h>
#include <limits.h>
#include <math.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEFAULT_CONNECTIONS 4
#define MOST_CONNECTIONS    64
#define REQUEST_BYTES       ((size_t)256 << 10)
#define IN_FLIGHT           16
#define START_S             30.0 /* until the image is open */
#define SILENCE_S           60.0 /* without any answer */
/* A server that is already dead leaves its reason so soon after its connection. */
#define LAST_WORDS_MS 200
/* Asked for at once; one answer holds so many extents at most. */
#define STATUS_BYTES   ((uint64_t)256 << 20)
#define STATUS_ANSWERS 8

/* An answer to a question for extents; together they cover [start, end). */
struct answer {
    uint64_t start, end;
    struct image_extent *extents;
    size_t count, capacity;
};

struct connection {
    struct nbd_handle *handle;
    bool busy;
};

struct nbd {
    const struct image_chain *chain;
    struct server server;
    uint64_t size;
    bool tells_status;
    pthread_mutex_t lock;
    pthread_cond_t freed;
    struct connection connections[MOST_CONNECTIONS];
    size_t count;
    int failed;        /* negative errno once the server is lost */
    struct error loss; /* why */
    struct answer answers[STATUS_ANSWERS];
    size_t next_answer;
    struct cache_guard **guards; /* of the chain's files */
};

/* ---- failing ----------------------------------------------------------------------------- */

/* The server is of no use any more; the first reason is told to all. */
static int lose(struct nbd *nbd, int code, const char *message, struct error *err)
{
    pthread_mutex_lock(&nbd->lock);
    if (nbd->failed == 0) {
        int status = 0;
        bool ended = false;

        for (int waited = 0; waited < LAST_WORDS_MS && !ended; waited++) {
            ended = server_has_ended(&nbd->server, &status);
            if (!ended)
                usleep(1000);
        }
        nbd->failed = code;
        if (ended && WIFSIGNALED(status))
            error_set(&nbd->loss, code, "%s: qemu-nbd was killed by signal %d",
                      nbd->chain->files[0].path, WTERMSIG(status));
        else
            error_set(&nbd->loss, code, "%s: %s", nbd->chain->files[0].path, message);
        server_explain(&nbd->server, code, &nbd->loss);
    }
    code = error_set(err, nbd->failed, "%s", nbd->loss.text);
    pthread_mutex_unlock(&nbd->lock);
    return code;
}

static void take_connection(struct nbd *nbd, struct connection **ret_connection)
{
    struct connection *found = NULL;

    pthread_mutex_lock(&nbd->lock);
    while (found == NULL) {
        for (size_t i = 0; i < nbd->count && found == NULL; i++) {
            if (!nbd->connections[i].busy)
                found = &nbd->connections[i];
        }
        if (found == NULL)
            pthread_cond_wait(&nbd->freed, &nbd->lock);
    }
    found->busy = true;
    pthread_mutex_unlock(&nbd->lock);
    *ret_connection = found;
}

static void give_connection(struct nbd *nbd, struct connection *connection)
{
    pthread_mutex_lock(&nbd->lock);
    connection->busy = false;
    pthread_cond_signal(&nbd->freed);
    pthread_mutex_unlock(&nbd->lock);
}

/* Closing also makes sure that no late answer is written to a buffer that is not ours any more. */
static int break_connection(struct nbd *nbd, struct connection *connection, int code,
                            const char *message, struct error *err)
{
    nbd_close(connection->handle);
    connection->handle = NULL;
    return lose(nbd, code, message, err);
}

static bool is_broken(const struct connection *connection)
{
    return nbd_aio_is_dead(connection->handle) || nbd_aio_is_closed(connection->handle);
}

/* Moves the connection on; fails when it is dead or has been silent for too long. */
static int turn(struct nbd *nbd, struct connection *connection, struct error *err)
{
    int moved = nbd_poll(connection->handle, (int)(SILENCE_S * 1000));

    if (moved == 0)
        return break_connection(nbd, connection, -ETIMEDOUT, "qemu-nbd does not answer", err);
    if (moved < 0 || is_broken(connection))
        return break_connection(nbd, connection, -EIO, "the connection to qemu-nbd broke", err);
    return 0;
}

/* ---- reading ------------------------------------------------------------------------------- */

struct reading {
    unsigned in_flight;
    int failed; /* errno of a request */
};

static int request_done(void *user_data, int *error)
{
    struct reading *reading = user_data;

    reading->in_flight--;
    if (*error != 0 && reading->failed == 0)
        reading->failed = *error;
    return 1; /* libnbd need not keep it for us */
}

static int issue(struct connection *connection, struct reading *reading, uint64_t offset,
                 size_t length, void *buffer)
{
    nbd_completion_callback done = {.callback = request_done, .user_data = reading};

    reading->in_flight++;
    if (nbd_aio_pread(connection->handle, buffer, length, offset, done, 0) < 0) {
        reading->in_flight--;
        return -EIO;
    }
    return 0;
}

static int read_pieces(struct nbd *nbd, struct connection *connection, uint64_t offset,
                       size_t length, char *buffer, struct error *err)
{
    struct reading reading = {0};
    size_t issued = 0;
    int rc;

    if (connection->handle == NULL)
        return lose(nbd, -EIO, "the connection to qemu-nbd broke", err);
    while (issued < length || reading.in_flight > 0) {
        while (issued < length && reading.in_flight < IN_FLIGHT && reading.failed == 0) {
            size_t piece = length - issued < REQUEST_BYTES ? length - issued : REQUEST_BYTES;

            if (issue(connection, &reading, offset + issued, piece, buffer + issued) < 0)
                return break_connection(nbd, connection, -EIO, "the connection to qemu-nbd broke",
                                        err);
            issued += piece;
        }
        if (reading.in_flight == 0)
            break;
        rc = turn(nbd, connection, err);
        if (rc < 0)
            return rc;
    }
    if (reading.failed == 0)
        return 0;
    if (is_broken(connection)) /* libnbd fails all requests by itself then */
        return break_connection(nbd, connection, -EIO, "the connection to qemu-nbd broke", err);
    pthread_mutex_lock(&nbd->lock);
    error_set(err, -reading.failed, "%s cannot be read at byte %llu: %s", nbd->chain->files[0].path,
              (unsigned long long)offset, strerror(reading.failed));
    server_explain(&nbd->server, -reading.failed, err);
    pthread_mutex_unlock(&nbd->lock);
    return -reading.failed;
}

static int nbd_read(void *state, uint64_t offset, size_t length, void *buffer, struct error *err)
{
    struct nbd *nbd = state;
    struct connection *connection;
    int rc;

    take_connection(nbd, &connection);
    rc = read_pieces(nbd, connection, offset, length, buffer, err);
    give_connection(nbd, connection);
    for (size_t i = 0; nbd->guards != NULL && i < nbd->chain->count; i++)
        cache_guard_after(nbd->guards[i], length);
    if (rc < 0)
        return rc;
    /* QEMU reads what a file has lost as zeroes. */
    return image_chain_check_sizes(nbd->chain, err);
}

/* ---- extents -------------------------------------------------------------------------------- */

struct asking {
    struct answer answer;
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

static int take_extents(void *user_data, const char *context, uint64_t offset, uint32_t *entries,
                        size_t count, int *error)
{
    struct asking *asking = user_data;
    struct answer *answer = &asking->answer;

    (void)error;
    if (strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0 || offset != answer->end)
        return 0;
    for (size_t i = 0; i + 1 < count && answer->end < asking->limit; i += 2) {
        struct image_extent extent = {answer->end, entries[i], kind_of(entries[i + 1])};
        struct image_extent *last = answer->count > 0 ? &answer->extents[answer->count - 1] : NULL;

        if (extent.length == 0)
            continue;
        if (extent.length > asking->limit - answer->end)
            extent.length = asking->limit - answer->end;
        if (last != NULL && last->kind == extent.kind) {
            last->length += extent.length;
        } else {
            int rc = array_reserve(&answer->extents, &answer->capacity, answer->count + 1,
                                   sizeof(extent));
            if (rc < 0) {
                asking->failed = rc;
                return 0;
            }
            answer->extents[answer->count++] = extent;
        }
        answer->end += extent.length;
    }
    return 0;
}

static int ask(struct nbd *nbd, struct connection *connection, struct asking *asking,
               struct error *err)
{
    nbd_extent_callback extents = {.callback = take_extents, .user_data = asking};
    nbd_completion_callback done = {.callback = request_done, .user_data = &asking->reading};
    uint64_t start = asking->answer.start;

    if (connection->handle == NULL)
        return lose(nbd, -EIO, "the connection to qemu-nbd broke", err);
    asking->reading.in_flight = 1;
    if (nbd_aio_block_status(connection->handle, asking->limit - start, start, extents, done, 0) <
        0)
        return break_connection(nbd, connection, -EIO, "the connection to qemu-nbd broke", err);
    while (asking->reading.in_flight > 0) {
        int rc = turn(nbd, connection, err);

        if (rc < 0)
            return rc;
    }
    if (asking->failed < 0)
        return error_set(err, asking->failed, "out of memory");
    if (asking->reading.failed != 0 && is_broken(connection))
        return break_connection(nbd, connection, -EIO, "the connection to qemu-nbd broke", err);
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
    place = &nbd->answers[nbd->next_answer];
    nbd->next_answer = (nbd->next_answer + 1) % STATUS_ANSWERS;
    free(place->extents);
    *place = *answer;
    pthread_mutex_unlock(&nbd->lock);
}

static int nbd_next_extent(void *state, uint64_t offset, struct image_extent *ret_extent,
                           struct error *err)
{
    struct nbd *nbd = state;
    struct asking asking = {.answer = {.start = offset, .end = offset}};
    uint64_t rest = nbd->size - offset;
    struct connection *connection;
    int rc;

    if (!nbd->tells_status) {
        *ret_extent = (struct image_extent){offset, rest, IMAGE_DATA};
        return 0;
    }
    if (find_known(nbd, offset, ret_extent))
        return 0;
    asking.limit = offset + (rest < STATUS_BYTES ? rest : STATUS_BYTES);
    take_connection(nbd, &connection);
    rc = ask(nbd, connection, &asking, err);
    give_connection(nbd, connection);
    if (rc < 0) {
        free(asking.answer.extents);
        return rc;
    }
    find_in(&asking.answer, offset, ret_extent);
    keep_answer(nbd, &asking.answer);
    return 0;
}

/* ---- opening ----------------------------------------------------------------------------------- */

static int make_handles(struct nbd *nbd, int *sockets, struct error *err)
{
    for (size_t i = 0; i < nbd->count; i++) {
        struct nbd_handle *handle = nbd_create();
        int socket = sockets[i];

        if (handle == NULL)
            return error_set(err, -ENOMEM, "libnbd: %s", nbd_get_error());
        nbd->connections[i].handle = handle;
        sockets[i] = -1; /* libnbd's from its call on, whether that succeeds or not */
        if (nbd_add_meta_context(handle, LIBNBD_CONTEXT_BASE_ALLOCATION) < 0 ||
            nbd_set_pread_initialize(handle, false) < 0) {
            close(socket);
            return error_set(err, -EIO, "libnbd: %s", nbd_get_error());
        }
        if (nbd_aio_connect_socket(handle, socket) < 0)
            return lose(nbd, -EIO, "qemu-nbd cannot open it", err);
    }
    return 0;
}

/* Until the server, which has opened the image by then, has answered on that connection. */
static int wait_for_server(struct nbd *nbd, struct nbd_handle *handle, double until_s,
                           struct error *err)
{
    while (!nbd_aio_is_ready(handle)) {
        double left_s = until_s - clock_monotonic_s();
        int moved;

        if (nbd_aio_is_dead(handle) || nbd_aio_is_closed(handle))
            return lose(nbd, -EIO, "qemu-nbd cannot open it", err);
        moved = left_s > 0 ? nbd_poll(handle, (int)ceil(left_s * 1000)) : 0;
        if (moved == 0)
            return lose(nbd, -ETIMEDOUT, "qemu-nbd did not open it in time", err);
        if (moved < 0)
            return lose(nbd, -EIO, "qemu-nbd cannot open it", err);
    }
    return 0;
}

static int connect_handles(struct nbd *nbd, struct error *err)
{
    double until_s = clock_monotonic_s() + START_S;
    struct nbd_handle *first = nbd->connections[0].handle;
    int64_t size;

    for (size_t i = 0; i < nbd->count; i++) {
        int rc = wait_for_server(nbd, nbd->connections[i].handle, until_s, err);

        if (rc < 0)
            return rc;
    }
    size = nbd_get_size(first);
    if (size < 0 || (uint64_t)size > IMAGE_MAX_SIZE)
        return error_set(err, -EFBIG, "%s: its size is absurd", nbd->chain->files[0].path);
    nbd->size = (uint64_t)size;
    nbd->tells_status = nbd_can_meta_context(first, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1;
    return 0;
}

static int start_server(struct nbd *nbd, struct error *err)
{
    CLEANUP(cleanup_free) char *description = NULL;
    CLEANUP(cleanup_free) int *fds = NULL;
    const struct image_chain *chain = nbd->chain;
    int sockets[MOST_CONNECTIONS];
    size_t fd_count = chain->count;
    int rc;

    rc = image_chain_describe(chain, &description);
    fds = calloc(chain->count + chain->node_count, sizeof(*fds));
    if (rc < 0 || fds == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    memcpy(fds, chain->fds, chain->count * sizeof(*fds));
    for (size_t i = 0; i < chain->node_count; i++) {
        if (chain->nodes[i].descriptor_fd >= 0)
            fds[fd_count++] = chain->nodes[i].descriptor_fd;
    }
    rc = server_start(description, fds, fd_count, sockets, nbd->count, &nbd->server, err);
    if (rc < 0)
        return error_prefix(err, rc, "%s", chain->files[0].path);
    rc = make_handles(nbd, sockets, err);
    for (size_t i = 0; i < nbd->count; i++)
        cleanup_close(&sockets[i]);
    return rc < 0 ? rc : connect_handles(nbd, err);
}

static void watch_cache(struct nbd *nbd)
{
    nbd->guards = calloc(nbd->chain->count, sizeof(struct cache_guard *));
    for (size_t i = 0; nbd->guards != NULL && i < nbd->chain->count; i++)
        nbd->guards[i] = cache_guard_new_whole(nbd->chain->fds[i], nbd->chain->files[i].size);
}

static void nbd_end(void *state)
{
    struct nbd *nbd = state;

    for (size_t i = 0; i < nbd->count; i++)
        nbd_close(nbd->connections[i].handle);
    server_stop(&nbd->server);
    for (size_t i = 0; nbd->guards != NULL && i < nbd->chain->count; i++)
        cache_guard_free(nbd->guards[i]);
    free(nbd->guards);
    for (size_t i = 0; i < STATUS_ANSWERS; i++)
        free(nbd->answers[i].extents);
    pthread_cond_destroy(&nbd->freed);
    pthread_mutex_destroy(&nbd->lock);
    free(nbd);
}

static int nbd_begin(const struct image_chain *chain, const struct image_options *options,
                     void **ret_state, uint64_t *ret_size, struct error *err)
{
    struct nbd *nbd = calloc(1, sizeof(*nbd));
    int rc;

    if (nbd == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    nbd->chain = chain;
    nbd->server.messages = -1;
    nbd->count = options->connections != 0 ? options->connections : DEFAULT_CONNECTIONS;
    if (nbd->count > MOST_CONNECTIONS)
        nbd->count = MOST_CONNECTIONS;
    pthread_mutex_init(&nbd->lock, NULL);
    pthread_cond_init(&nbd->freed, NULL);
    if (!options->keep_cache)
        watch_cache(nbd);
    rc = start_server(nbd, err);
    if (rc < 0) {
        nbd_end(nbd);
        return rc;
    }
    *ret_state = nbd;
    *ret_size = nbd->size;
    return 0;
}

const struct image_backend image_backend_nbd = {
    .name = "nbd",
    .open = nbd_begin,
    .close = nbd_end,
    .next_extent = nbd_next_extent,
    .read = nbd_read,
};

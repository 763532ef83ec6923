/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `setmov choose`: sketches of many hosts on their way into a merged index. */
#include "choose.h"
#include "setmov/catalog_merged.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Digests are written in pieces of about so many bytes. */
#define BUFFER_BYTES ((size_t)1 << 20)

/* One image: where its digests lie, which become pointers in the end. */
struct spooled {
    struct fingerprint_view view;
    size_t sketch_at, frequent_at;
};

struct spooled_host {
    const char *name;
    uint64_t mark;
    size_t first, count; /* of the images */
};

struct choose_spool {
    int fd;
    char *directory;
    struct spooled *images;
    size_t image_count, image_capacity;
    struct spooled_host *hosts;
    size_t host_count, host_capacity;
    uint8_t *buffer;
    size_t used;    /* of the buffer */
    size_t written; /* to the file */
    void *mapped;   /* NULL: not yet, or nothing */
};

void choose_spool_free(struct choose_spool *spool)
{
    if (spool == NULL)
        return;
    if (spool->mapped != NULL)
        munmap(spool->mapped, spool->written);
    cleanup_close(&spool->fd);
    free(spool->directory);
    free(spool->images);
    free(spool->hosts);
    free(spool->buffer);
    free(spool);
}

static const char *temporary_directory(const char *temporary)
{
    const char *environment = secure_getenv("TMPDIR");

    if (temporary != NULL)
        return temporary;
    return environment != NULL && environment[0] != '\0' ? environment : "/var/tmp";
}

/* A file that nobody else sees; where the file system cannot make one, its name goes at once. */
static int open_nameless(const char *directory)
{
    int fd = open(directory, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
    char path[4096];

    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
        return fd;
    if (!string_format(path, sizeof(path), "%s/setmov-XXXXXX", directory)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

int choose_spool_new(const char *temporary, struct choose_spool **ret_spool, struct error *err)
{
    struct choose_spool *spool = calloc(1, sizeof(*spool));
    int rc = 0;

    temporary = temporary_directory(temporary);
    if (spool == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    spool->fd = open_nameless(temporary);
    if (spool->fd < 0)
        rc = error_set(err, -errno, "temporary file in %s: %s", temporary, strerror(errno));
    spool->directory = strdup(temporary);
    spool->buffer = malloc(BUFFER_BYTES);
    if (rc == 0 && (spool->directory == NULL || spool->buffer == NULL))
        rc = error_set(err, -ENOMEM, "out of memory");
    if (rc < 0)
        choose_spool_free(spool);
    else
        *ret_spool = spool;
    return rc;
}

static int flush(struct choose_spool *spool, struct error *err)
{
    for (size_t done = 0; done < spool->used;) {
        ssize_t wrote = write(spool->fd, spool->buffer + done, spool->used - done);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return error_set(err, -errno, "temporary file in %s: %s", spool->directory,
                             strerror(errno));
        done += (size_t)wrote;
    }
    spool->written += spool->used;
    spool->used = 0;
    return 0;
}

static int append(struct choose_spool *spool, const struct digest *digests, size_t count,
                  struct error *err)
{
    const uint8_t *bytes = (const uint8_t *)digests;
    size_t left = count * sizeof(*digests);

    while (left > 0) {
        size_t piece = BUFFER_BYTES - spool->used;

        if (piece > left)
            piece = left;
        memcpy(spool->buffer + spool->used, bytes, piece);
        spool->used += piece;
        bytes += piece;
        left -= piece;
        if (spool->used == BUFFER_BYTES) {
            int rc = flush(spool, err);

            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

int choose_spool_add(struct choose_spool *spool, const struct fingerprint_view *view,
                     struct error *err)
{
    struct spooled *image;
    int rc = array_reserve(&spool->images, &spool->image_capacity, spool->image_count + 1,
                           sizeof(*spool->images));

    if (rc < 0)
        return error_set(err, rc, "out of memory");
    image = &spool->images[spool->image_count++];
    *image = (struct spooled){.view = *view, .sketch_at = spool->written + spool->used};
    rc = append(spool, view->digests, view->sketch_count, err);
    image->frequent_at = spool->written + spool->used;
    if (rc == 0)
        rc = append(spool, view->frequent, view->frequent_count, err);
    /* What the file held goes with it. */
    image->view.digests = image->view.frequent = NULL;
    image->view.places = image->view.bloom = NULL;
    image->view.frequent_multiplicity = NULL;
    image->view.owned_layers = NULL;
    image->view.identity.layers = NULL;
    image->view.identity.layer_count = 0;
    return rc;
}

int choose_spool_end_host(struct choose_spool *spool, const char *name, uint64_t mark,
                          struct error *err)
{
    struct spooled_host host = {.name = name, .mark = mark};
    int rc = array_reserve(&spool->hosts, &spool->host_capacity, spool->host_count + 1,
                           sizeof(*spool->hosts));

    if (rc < 0)
        return error_set(err, rc, "out of memory");
    if (spool->host_count > 0)
        host.first =
            spool->hosts[spool->host_count - 1].first + spool->hosts[spool->host_count - 1].count;
    host.count = spool->image_count - host.first;
    spool->hosts[spool->host_count++] = host;
    return 0;
}

/* All that was written, in memory; the file has no name, so nobody cuts it short. */
static int map(struct choose_spool *spool, struct error *err)
{
    void *bytes;
    int rc = flush(spool, err);

    if (rc < 0 || spool->written == 0)
        return rc;
    bytes = mmap(NULL, spool->written, PROT_READ, MAP_SHARED, spool->fd, 0);
    if (bytes == MAP_FAILED)
        return error_set(err, -errno, "temporary file in %s: %s", spool->directory,
                         strerror(errno));
    spool->mapped = bytes;
    return 0;
}

/* Views and hosts as catalog_merged_encode() takes them. */
static int encode(struct choose_spool *spool, const struct fingerprint_view **views,
                  struct catalog_merged_host *hosts, uint8_t **ret_bytes, size_t *ret_length,
                  struct error *err)
{
    const uint8_t *base = spool->mapped;

    for (size_t i = 0; i < spool->image_count; i++) {
        struct spooled *image = &spool->images[i];

        if (image->view.sketch_count > 0)
            image->view.digests = (const struct digest *)(base + image->sketch_at);
        if (image->view.frequent_count > 0)
            image->view.frequent = (const struct digest *)(base + image->frequent_at);
        views[i] = &image->view;
    }
    for (size_t i = 0; i < spool->host_count; i++)
        hosts[i] = (struct catalog_merged_host){
            .name = spool->hosts[i].name,
            .views = views + spool->hosts[i].first,
            .count = spool->hosts[i].count,
            .mark = spool->hosts[i].mark,
        };
    return catalog_merged_encode(hosts, spool->host_count, ret_bytes, ret_length, err);
}

int choose_spool_encode(struct choose_spool *spool, uint8_t **ret_bytes, size_t *ret_length,
                        struct error *err)
{
    const struct fingerprint_view **views = calloc(spool->image_count + 1, sizeof(*views));
    struct catalog_merged_host *hosts = calloc(spool->host_count + 1, sizeof(*hosts));
    int rc;

    if (views != NULL && hosts != NULL) {
        rc = map(spool, err);
        if (rc == 0)
            rc = encode(spool, views, hosts, ret_bytes, ret_length, err);
    } else {
        rc = error_set(err, -ENOMEM, "out of memory");
    }
    free(views);
    free(hosts);
    return rc;
}

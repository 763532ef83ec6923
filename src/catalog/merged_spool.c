/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sketches of many hosts on their way into a merged index. */
#include "catalog/merged_spool.h"
#include "setmov/base_new_file.h"

#include <errno.h>
#include <sys/mman.h>

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

struct merged_spool {
    struct new_file file;
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

void merged_spool_free(struct merged_spool *spool)
{
    if (spool == NULL)
        return;
    if (spool->mapped != NULL)
        munmap(spool->mapped, spool->written);
    new_file_release(&spool->file);
    free(spool->directory);
    free(spool->images);
    free(spool->hosts);
    free(spool->buffer);
    free(spool);
}

int merged_spool_new(const char *temporary, struct merged_spool **ret_spool, struct error *err)
{
    struct merged_spool *spool = calloc(1, sizeof(*spool));
    int rc = 0;

    if (spool == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    spool->file = NEW_FILE_NONE;
    spool->directory = strdup(new_file_directory(temporary));
    spool->buffer = malloc(BUFFER_BYTES);
    if (spool->directory == NULL || spool->buffer == NULL)
        rc = error_set(err, -ENOMEM, "out of memory");
    if (rc == 0)
        rc = new_file_nameless(spool->directory, &spool->file, err);
    if (rc < 0)
        merged_spool_free(spool);
    else
        *ret_spool = spool;
    return rc;
}

static int flush(struct merged_spool *spool, struct error *err)
{
    int rc = new_file_write(&spool->file, spool->buffer, spool->used, spool->written, err);

    if (rc < 0)
        return rc;
    spool->written += spool->used;
    spool->used = 0;
    return 0;
}

/* What was copied is looked at, since the file may change under the eyes. */
static bool ascends(const struct digest *digests, size_t count, bool sampled,
                    const struct digest *before)
{
    for (size_t i = 0; i < count; i++) {
        if ((before != NULL && digest_compare(before, &digests[i]) >= 0) ||
            (sampled && digests[i].bytes[0] != 0))
            return false;
        before = &digests[i];
    }
    return true;
}

/* Clears *ret_good where these are no sampled, or frequent, digests. */
static int append(struct merged_spool *spool, const struct digest *digests, size_t count,
                  bool sampled, bool *ret_good, struct error *err)
{
    struct digest last;

    for (size_t done = 0; done < count;) {
        struct digest *copy = (struct digest *)(spool->buffer + spool->used);
        size_t piece = (BUFFER_BYTES - spool->used) / sizeof(*digests);

        if (piece > count - done)
            piece = count - done;
        memcpy(copy, digests + done, piece * sizeof(*digests));
        *ret_good = *ret_good && ascends(copy, piece, sampled, done > 0 ? &last : NULL);
        last = copy[piece - 1];
        spool->used += piece * sizeof(*digests);
        done += piece;
        if (spool->used == BUFFER_BYTES) {
            int rc = flush(spool, err);

            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

/* What the file held goes with it. */
static struct fingerprint_view without_parts(struct fingerprint_view view)
{
    view.digests = view.frequent = NULL;
    view.places = view.bloom = NULL;
    view.frequent_multiplicity = NULL;
    view.owned_layers = NULL;
    view.identity.layers = NULL;
    view.identity.layer_count = 0;
    return view;
}

int merged_spool_add(struct merged_spool *spool, const struct fingerprint_file *file,
                     struct error *ret_why, struct error *err)
{
    const struct fingerprint_view *view = &file->view;
    struct spooled image = {.view = without_parts(*view)};
    bool sampled_good = true, frequent_good = true;
    int rc = array_reserve(&spool->images, &spool->image_capacity, spool->image_count + 1,
                           sizeof(*spool->images));

    if (rc < 0)
        return error_set(err, rc, "out of memory");
    ret_why->text[0] = '\0';
    image.sketch_at = spool->written + spool->used;
    rc = append(spool, view->digests, view->sketch_count, true, &sampled_good, err);
    image.frequent_at = spool->written + spool->used;
    if (rc == 0)
        rc = append(spool, view->frequent, view->frequent_count, false, &frequent_good, err);
    if (rc < 0)
        return rc;
    if (fingerprint_file_check(file, ret_why) == 0 && (!sampled_good || !frequent_good))
        error_set(ret_why, -EINVAL, "%s: its %s digests are not in ascending order", file->path,
                  sampled_good ? "frequent" : "sampled");
    if (ret_why->text[0] == '\0')
        spool->images[spool->image_count++] = image;
    return 0;
}

int merged_spool_end_host(struct merged_spool *spool, const char *name, uint64_t mark,
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
static int map(struct merged_spool *spool, struct error *err)
{
    void *bytes;
    int rc = flush(spool, err);

    if (rc < 0 || spool->written == 0)
        return rc;
    bytes = mmap(NULL, spool->written, PROT_READ, MAP_SHARED, spool->file.fd, 0);
    if (bytes == MAP_FAILED)
        return error_set(err, -errno, "%s: cannot map a temporary file there: %s", spool->directory,
                         strerror(errno));
    spool->mapped = bytes;
    return 0;
}

/* Views and hosts as catalog_merged_encode() takes them. */
static int encode(struct merged_spool *spool, const struct fingerprint_view **views,
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

int merged_spool_encode(struct merged_spool *spool, uint8_t **ret_bytes, size_t *ret_length,
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

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Was an image file cut short? Its tables are read, each once and in the order
 * in which they lie; never more than the file holds, whatever they say.
 */
#include "image/backend.h"
#include "image/map.h"

#include <errno.h>
#include <unistd.h>

#define PIECE_BYTES ((size_t)256 << 10)

struct search {
    const struct image_layer *file;
    const struct image_layer *data; /* where the clusters lie */
    int fd;
    struct image_stop *stop;
    struct image_map map;
    uint8_t *piece;
    uint64_t *tables; /* offsets */
    size_t count, capacity;
};

static int tell_cut(const struct image_layer *file, const char *what, uint64_t offset,
                    struct error *err)
{
    return error_set(err, -EBADMSG, "%s: cut short: a %s at %llu lies behind its end at %llu",
                     file->path, what, (unsigned long long)offset, (unsigned long long)file->size);
}

/* A table of so many bytes must be there from end to end. */
static int check_table(const struct search *search, uint64_t offset, uint64_t length,
                       struct error *err)
{
    if (length > search->file->size || offset > search->file->size - length)
        return tell_cut(search->file, "table", offset, err);
    return 0;
}

/* All of it: one that is shorter by now was cut while we looked. */
static int read_piece(const struct search *search, uint64_t offset, size_t length,
                      struct error *err)
{
    size_t done = 0;

    while (done < length) {
        ssize_t got =
            pread(search->fd, search->piece + done, length - done, (off_t)(offset + done));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set(err, -errno, "%s cannot be read at byte %llu: %s", search->file->path,
                             (unsigned long long)offset, strerror(errno));
        if (got == 0)
            return error_set(err, -ESTALE, "%s was cut short while it was read",
                             search->file->path);
        done += (size_t)got;
    }
    return 0;
}

/* The first byte from `offset` on that is not in a hole; `end` where there is none. */
static uint64_t skip_hole(const struct search *search, uint64_t offset, uint64_t end)
{
    off_t found;

    if (search->file->is_block_device)
        return offset;
    found = lseek(search->fd, (off_t)offset, SEEK_DATA);
    if (found < 0)
        return errno == ENXIO ? end : offset;
    return (uint64_t)found < end ? (uint64_t)found : end;
}

/* Calls `take` for the pieces of a table; an entry in a hole names nothing. */
static int walk_table(struct search *search, uint64_t offset, uint64_t length, size_t entry_bytes,
                      int (*take)(struct search *search, size_t length, struct error *err),
                      struct error *err)
{
    uint64_t done = 0;

    while (done < length) {
        size_t piece;
        int rc;

        if (image_stop_is_set(search->stop))
            return error_set(err, -ECANCELED, "%s: stopped", search->file->path);
        done = skip_hole(search, offset + done, offset + length) - offset;
        done -= done % entry_bytes;
        piece = length - done < PIECE_BYTES ? (size_t)(length - done) : PIECE_BYTES;
        rc = read_piece(search, offset + done, piece, err);
        if (rc == 0)
            rc = take(search, piece, err);
        if (rc < 0)
            return rc;
        done += piece;
    }
    return 0;
}

static int take_clusters(struct search *search, size_t length, struct error *err)
{
    uint64_t reach = image_map_reach(&search->map, search->piece, length);

    return reach > search->data->size ? tell_cut(search->data, "cluster", reach - 1, err) : 0;
}

static int take_directory(struct search *search, size_t length, struct error *err)
{
    size_t step = search->map.directory_entry_bytes;

    for (size_t at = 0; at + step <= length; at += step) {
        uint64_t table = search->map.table(&search->map, search->piece + at);
        int rc;

        if (table == 0)
            continue;
        rc = check_table(search, table, search->map.table_bytes, err);
        if (rc < 0)
            return rc;
        if (search->count >= IMAGE_MAP_MOST_TABLES)
            return error_set(err, -EFBIG, "%s: it has too many tables", search->file->path);
        rc = array_reserve(&search->tables, &search->capacity, search->count + 1,
                           sizeof(*search->tables));
        if (rc < 0)
            return error_set(err, rc, "out of memory");
        search->tables[search->count++] = table;
    }
    return 0;
}

static int compare_offsets(const void *a, const void *b)
{
    uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;

    return (one > other) - (one < other);
}

/* Sound tables do not overlap; those that do would be read again and again. */
static int walk_tables(struct search *search, struct error *err)
{
    uint64_t end = 0;

    if (search->count > 0)
        qsort(search->tables, search->count, sizeof(*search->tables), compare_offsets);
    for (size_t i = 0; i < search->count; i++) {
        uint64_t table = search->tables[i];
        int rc;

        if (i > 0 && table == search->tables[i - 1])
            continue;
        if (table < end)
            return error_set(err, -EBADMSG, "%s is damaged: its tables at %llu and %llu overlap",
                             search->file->path, (unsigned long long)search->tables[i - 1],
                             (unsigned long long)table);
        end = table + search->map.table_bytes;
        rc = walk_table(search, table, search->map.table_bytes, search->map.table_entry_bytes,
                        take_clusters, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int look_through(struct search *search, struct error *err)
{
    const struct image_map *map = &search->map;
    int rc = check_table(search, map->directory_at, map->directory_bytes, err);

    if (rc == 0 && map->refcounts_at >= search->file->size)
        rc = tell_cut(search->file, "table", map->refcounts_at, err);
    if (rc == 0)
        rc = walk_table(search, map->directory_at, map->directory_bytes, map->directory_entry_bytes,
                        map->table != NULL ? take_directory : take_clusters, err);
    return rc == 0 ? walk_tables(search, err) : rc;
}

static const struct image_layer *find_data(const struct image_chain *chain, size_t file)
{
    for (size_t i = 0; i < chain->node_count; i++) {
        if (chain->nodes[i].file == file && chain->nodes[i].data_file >= 0)
            return &chain->files[chain->nodes[i].data_file];
    }
    return &chain->files[file];
}

static int check_file(const struct image_chain *chain, size_t file, struct error *err)
{
    struct search search = {.file = &chain->files[file],
                            .data = find_data(chain, file),
                            .fd = chain->fds[file],
                            .stop = chain->stop};
    size_t header = IMAGE_MAP_HEADER_BYTES;
    int rc;

    if (header > search.file->size)
        header = (size_t)search.file->size;
    search.piece = malloc(PIECE_BYTES);
    if (search.piece == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    rc = read_piece(&search, 0, header, err);
    if (rc == 0 && image_map_parse(search.file->format, search.piece, header, &search.map))
        rc = look_through(&search, err);
    free(search.tables);
    free(search.piece);
    return rc;
}

int image_chain_check_whole(const struct image_chain *chain, struct error *err)
{
    for (size_t i = 0; i < chain->count; i++) {
        int rc;

        if (image_file_is_locked(chain->fds[i]))
            continue;
        rc = check_file(chain, i, err);
        /* Whoever writes it meanwhile makes tables and file differ for a moment. */
        if (rc == -EBADMSG && image_file_is_locked(chain->fds[i]))
            rc = 0;
        if (rc == -EBADMSG && image_file_check(&chain->files[i], false, err) < 0)
            rc = -ESTALE;
        if (rc < 0)
            return rc;
    }
    return 0;
}

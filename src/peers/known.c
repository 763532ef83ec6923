/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes what the hook looks into: `known` of all hosts, and a merged index of each kind. */
#include "peers/internal.h"
#include "setmov/catalog_merged_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A peer may make up any number of kinds: those that most hosts have count. */
#define MOST_KINDS 16

static char *join(const char *directory, const char *name)
{
    size_t size = strlen(directory) + strlen(name) + 2;
    char *path = malloc(size);

    if (path != NULL)
        string_format(path, size, "%s/%s", directory, name);
    return path;
}

/* ---- known ----------------------------------------------------------------------- */

/* What is damaged or missing is not there; false: no memory. */
static bool read_manifest(const struct config *config, const struct peers_member *member,
                          struct catalog_manifest *ret_manifest)
{
    CLEANUP(file_buffer_release) struct file_buffer buffer = {NULL, 0, 0};
    CLEANUP(cleanup_free)
    char *path =
        join(member->is_self ? config->setmov.index : member->about, CATALOG_MANIFEST_NAME);

    if (path == NULL)
        return false;
    if (file_read(AT_FDCWD, path, &buffer) == 0 &&
        catalog_manifest_parse(text_of(buffer.bytes, buffer.length), path, ret_manifest, NULL) ==
            -ENOMEM)
        return false;
    return true;
}

static double load_of(const struct config *config, const struct peers_member *member)
{
    CLEANUP(catalog_load_release) struct catalog_load load = {0};
    CLEANUP(file_buffer_release) struct file_buffer buffer = {NULL, 0, 0};
    CLEANUP(cleanup_free) char *path = join(member->about, CATALOG_LOAD_NAME);

    if (path != NULL && file_read(AT_FDCWD, path, &buffer) == 0)
        (void)catalog_load_parse(text_of(buffer.bytes, buffer.length), &load, NULL);
    return catalog_load_percent(&load, time(NULL), config->sync.load_window_s);
}

/* Of all members; `manifests` is zeroed. */
static int gather(const struct config *config, const struct peers_member *members, size_t count,
                  struct catalog_manifest *manifests, struct catalog_known_source *sources)
{
    for (size_t i = 0; i < count; i++) {
        const struct peers_member *member = &members[i];
        const struct peers_state *state = &member->state;
        bool has_manifest;

        if (!read_manifest(config, member, &manifests[i]))
            return -ENOMEM;
        has_manifest = manifests[i].host != NULL;
        sources[i].manifest = has_manifest ? &manifests[i] : NULL;
        sources[i].host = (struct catalog_known_host){
            .name = member->name,
            .directory = member->directory,
            .problem = state->problem.text[0] != '\0' ? state->problem.text : NULL,
            .is_self = member->is_self,
            .read_s = state->read_s,
            .made_s = has_manifest ? manifests[i].made_s : 0,
            .cpu_percent = load_of(config, member),
            .cpus = state->cpus,
            .memory_free_bytes = state->memory_free_bytes,
            .memory_bytes = state->memory_bytes,
            .pool_free_bytes = state->pool_free_bytes,
        };
    }
    return 0;
}

static int write_known(const char *cache, const uint8_t *bytes, size_t length, struct error *err)
{
    CLEANUP(cleanup_free) char *path = join(cache, CATALOG_KNOWN_NAME);

    if (path == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    return new_file_replace(path, bytes, length, true, err);
}

static int make_known(const struct config *config, const struct peers_member *members, size_t count,
                      struct error *err)
{
    CLEANUP(cleanup_free)
    struct catalog_manifest *manifests = calloc(count + 1, sizeof(*manifests));
    CLEANUP(cleanup_free)
    struct catalog_known_source *sources = calloc(count + 1, sizeof(*sources));
    CLEANUP(cleanup_free) uint8_t *bytes = NULL;
    size_t length = 0;
    int rc = manifests != NULL && sources != NULL ? 0 : -ENOMEM;

    if (rc == 0)
        rc = gather(config, members, count, manifests, sources);
    if (rc < 0)
        error_set(err, rc, "out of memory");
    else
        rc = catalog_known_encode(sources, count, time(NULL), &bytes, &length, err);
    for (size_t i = 0; manifests != NULL && i < count; i++)
        catalog_manifest_release(&manifests[i]);
    return rc == 0 ? write_known(config->sync.cache, bytes, length, err) : rc;
}

/* ---- which kinds ------------------------------------------------------------------- */

struct kinds {
    struct kind_seen {
        struct catalog_kind kind;
        size_t hosts;
        bool is_own;
    } * seen;
    size_t count, capacity;
};

static int add_kind(struct kinds *kinds, const struct catalog_kind *kind, bool is_own)
{
    for (size_t i = 0; i < kinds->count; i++) {
        struct kind_seen *seen = &kinds->seen[i];

        if (seen->kind.block_size != kind->block_size || !catalog_kind_fits(&seen->kind, kind))
            continue;
        seen->hosts++;
        seen->is_own |= is_own;
        return 0;
    }
    if (array_reserve(&kinds->seen, &kinds->capacity, kinds->count + 1, sizeof(*kinds->seen)) < 0)
        return -ENOMEM;
    kinds->seen[kinds->count++] = (struct kind_seen){*kind, 1, is_own};
    return 0;
}

/* This host's own first, then what most hosts have. */
static int compare_kinds(const void *left, const void *right)
{
    const struct kind_seen *a = left, *b = right;

    if (a->is_own != b->is_own)
        return a->is_own ? -1 : 1;
    if (a->hosts != b->hosts)
        return a->hosts > b->hosts ? -1 : 1;
    return memcmp(&a->kind.block_size, &b->kind.block_size, sizeof(a->kind.block_size));
}

static int find_kinds(const struct peers_member *members, size_t count, struct kinds *kinds)
{
    int rc = 0;

    for (size_t i = 0; i < count && rc == 0; i++) {
        CLEANUP(cleanup_free) struct catalog_kind *found = NULL;
        size_t found_count = 0;

        if (catalog_kinds(members[i].directory, &found, &found_count, NULL) < 0)
            continue;
        /* One host is not asked for more than would be taken. */
        if (found_count > MOST_KINDS)
            found_count = MOST_KINDS;
        for (size_t j = 0; j < found_count && rc == 0; j++)
            rc = add_kind(kinds, &found[j], members[i].is_self);
    }
    if (kinds->count > 0)
        qsort(kinds->seen, kinds->count, sizeof(*kinds->seen), compare_kinds);
    if (kinds->count > MOST_KINDS)
        kinds->count = MOST_KINDS;
    return rc;
}

/* ---- merged indexes ------------------------------------------------------------------ */

struct merging {
    const struct peers_member *members;
    const struct peers_options *options;
};

static bool is_stopped(void *context)
{
    const struct merging *merging = context;

    return merging->options->stopped != NULL &&
           merging->options->stopped(merging->options->context);
}

/* A file of the cache that went bad is read from the peer again, by the next run. */
static int drop_damaged(void *context, size_t host, const char *path, const struct error *error)
{
    const struct merging *merging = context;
    const struct peers_member *member = &merging->members[host];
    size_t length = strlen(member->directory);

    (void)error;
    if (!member->is_self && strncmp(path, member->directory, length) == 0 && path[length] == '/')
        unlink(path);
    return 0;
}

static int merge(const char *cache, const struct catalog_kind *kind,
                 const struct catalog_merged_source *sources, size_t count, struct merging *merging,
                 struct error *err)
{
    const struct catalog_merged_options options = {
        .stopped = is_stopped,
        .problem = drop_damaged,
        .context = merging,
    };
    struct catalog_merged_file *file = NULL;
    CLEANUP(cleanup_free) char *path = NULL;
    char name[CATALOG_NAME_BYTES];
    int rc;

    catalog_merged_name(kind, name);
    path = join(cache, name);
    if (path == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    rc = catalog_merged_file_open(path, sources, count, kind, &options, &file, err);
    if (rc == 0)
        catalog_merged_file_close(file);
    return rc;
}

static bool is_kept(const struct kinds *kinds, const char *name)
{
    char kept[CATALOG_NAME_BYTES];

    for (size_t i = 0; i < kinds->count; i++) {
        catalog_merged_name(&kinds->seen[i].kind, kept);
        if (strcmp(name, kept) == 0)
            return true;
    }
    return false;
}

/* Of kinds that nobody has any more. */
static void remove_other_merged(const char *cache, const struct kinds *kinds)
{
    size_t suffix = strlen(CATALOG_MERGED_SUFFIX);
    const struct dirent *entry;
    DIR *entries = opendir(cache);

    while (entries != NULL && (entry = readdir(entries)) != NULL) {
        size_t length = strlen(entry->d_name);

        if (length > suffix && entry->d_name[0] != '.' &&
            strcmp(entry->d_name + length - suffix, CATALOG_MERGED_SUFFIX) == 0 &&
            !is_kept(kinds, entry->d_name))
            unlinkat(dirfd(entries), entry->d_name, 0);
    }
    if (entries != NULL)
        closedir(entries);
}

static int merge_all(const struct config *config, const struct peers_member *members, size_t count,
                     const struct peers_options *options, struct error *err)
{
    CLEANUP(cleanup_free)
    struct catalog_merged_source *sources = calloc(count + 1, sizeof(*sources));
    struct merging merging = {members, options};
    struct kinds kinds = {0};
    int rc = sources != NULL ? find_kinds(members, count, &kinds) : -ENOMEM;

    if (rc < 0)
        error_set(err, rc, "out of memory");
    for (size_t i = 0; i < count && rc == 0; i++)
        sources[i] = (struct catalog_merged_source){members[i].name, members[i].directory};
    for (size_t i = 0; i < kinds.count && rc == 0; i++)
        rc = merge(config->sync.cache, &kinds.seen[i].kind, sources, count, &merging, err);
    if (rc == 0)
        remove_other_merged(config->sync.cache, &kinds);
    free(kinds.seen);
    return rc;
}

int peers_make_known(const struct config *config, const struct peers_member *members, size_t count,
                     const struct peers_options *options, struct error *err)
{
    struct error second;
    int merged = merge_all(config, members, count, options, err);
    /* Small, and of use by itself: who has the VM, and how old is what is known? */
    int known =
        merged == -ECANCELED ? 0 : make_known(config, members, count, merged < 0 ? &second : err);

    return merged < 0 ? merged : known;
}

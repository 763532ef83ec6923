/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is an image in use? Answered from what is known; knowing is gc_use.c's. */
#include "peers/gc.h"

#include "setmov/transfer_plan.h"

#include <errno.h>

int gc_uses_add(struct gc_uses *uses, const struct gc_use *use)
{
    struct gc_use copy = *use;

    copy.path = strdup(use->path);
    copy.user = use->user != NULL ? strdup(use->user) : NULL;
    if (copy.path == NULL || (use->user != NULL && copy.user == NULL) ||
        array_reserve(&uses->uses, &uses->capacity, uses->count + 1, sizeof(*uses->uses)) < 0) {
        free(copy.path);
        free(copy.user);
        return -ENOMEM;
    }
    uses->uses[uses->count++] = copy;
    return 0;
}

void gc_uses_release(struct gc_uses *uses)
{
    for (size_t i = 0; i < uses->count; i++) {
        free(uses->uses[i].path);
        free(uses->uses[i].user);
    }
    free(uses->uses);
    *uses = (struct gc_uses){NULL, 0, 0};
}

static bool lies_in(const char *path, const char *directory)
{
    size_t length = strlen(directory);

    while (length > 0 && directory[length - 1] == '/')
        length--;
    return strncmp(path, directory, length) == 0 && path[length] == '/';
}

static bool is_named(const struct gc_use *use, const char *path)
{
    return strcmp(path, use->path) == 0 || (use->is_directory && lies_in(path, use->path));
}

const struct gc_use *gc_uses_find(const struct gc_uses *uses, const struct gc_suspect *suspect)
{
    for (size_t i = 0; i < uses->count; i++) {
        const struct gc_use *use = &uses->uses[i];

        if (use->inode != 0 && use->inode == suspect->inode && use->device == suspect->device)
            return use;
        if (is_named(use, suspect->path) || is_named(use, suspect->resolved))
            return use;
    }
    return NULL;
}

bool gc_lies_below(const char *path, const char *const *directories, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (lies_in(path, directories[i]))
            return true;
    }
    return false;
}

bool gc_is_unfinished(const char *name)
{
    size_t length = strlen(name), end = strlen(".XXXXXX.tmp");

    return name[0] == '.' && length > end + 1 && name[length - end] == '.' &&
           strcmp(name + length - strlen(".tmp"), ".tmp") == 0;
}

/* ---- old images ---------------------------------------------------------------------- */

/* What goes in any case counts for nothing, and what is twice in the list counts once. */
static uint64_t counted_bytes(const struct gc_old *images, size_t at, int64_t now_s)
{
    const struct gc_old *image = &images[at];

    if (image->inode == 0 || image->expires_s <= now_s)
        return 0;
    for (size_t i = 0; i < at; i++) {
        if (images[i].inode == image->inode && images[i].device == image->device &&
            images[i].expires_s > now_s)
            return 0;
    }
    return image->bytes;
}

void gc_old_over_quota(const struct gc_old *images, size_t count, int64_t now_s,
                       uint64_t quota_bytes, bool *ret_over)
{
    uint64_t sum = 0;

    memset(ret_over, 0, count * sizeof(*ret_over));
    for (size_t i = 0; i < count; i++)
        sum += counted_bytes(images, i, now_s);
    while (quota_bytes > 0 && sum > quota_bytes) {
        size_t oldest = count;

        for (size_t i = 0; i < count; i++) {
            if (!ret_over[i] && counted_bytes(images, i, now_s) > 0 &&
                (oldest == count || images[i].made_s < images[oldest].made_s))
                oldest = i;
        }
        ret_over[oldest] = true;
        sum -= counted_bytes(images, oldest, now_s);
    }
}

/* ---- what was sent --------------------------------------------------------------------- */

enum gc_sent gc_sent_kind(const char *name, char ret_plan[GC_PLAN_BYTES])
{
    static const char *const suffixes[] = {TRANSFER_PLAN_SUFFIX, TRANSFER_PROGRESS_SUFFIX,
                                           TRANSFER_FAILED_SUFFIX, TRANSFER_CANCEL_SUFFIX};
    uint8_t sha256[TRANSFER_HASH_BYTES];

    if (transfer_part_name_parse(name, sha256))
        return GC_SENT_PART;
    for (size_t i = 0; i < ARRAY_LENGTH(suffixes); i++) {
        size_t length = strlen(name);

        if (!string_ends_with(name, suffixes[i]) || length >= GC_PLAN_BYTES)
            continue;
        string_copy(ret_plan, GC_PLAN_BYTES, name);
        ret_plan[length - strlen(suffixes[i])] = '\0';
        if (transfer_name_is_valid(ret_plan))
            return GC_SENT_PLAN;
    }
    return GC_SENT_NONE;
}

bool gc_is_blocks(const char *name)
{
    size_t digits = strspn(name, "0123456789abcdef");

    return digits == 2 * (size_t)TRANSFER_HASH_BYTES && strcmp(name + digits, ".blocks") == 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A plan against the XML of the VM that it came with, and against what this host
 * allows: nothing is built but the VM's own disks and their layers. Pure.
 */
#include "gate/apply.h"
#include "gate/gate.h"
#include "setmov/placement_words.h"

#include <errno.h>

/* The path is one that leads nowhere else, and of that image alone: transfer_plan_decode() saw to it. */
static int check_path(const struct config *config, const struct transfer_image *image,
                      struct error *err)
{
    if (gate_is_allowed(config, image->path))
        return 0;
    return error_set(err, -EACCES,
                     "an image of its plan, %s, does not lie in the directories of [hook] in %s's "
                     "setmov.conf",
                     words_path(image->path).text, config->setmov.name);
}

/* ---- disks and layers ------------------------------------------------------------------ */

/* The image of that path before `end`; `end`: there is none. */
static size_t find_image(const struct transfer_plan *plan, const char *path, size_t end)
{
    for (size_t i = 0; i < end; i++) {
        if (strcmp(plan->images[i].path, path) == 0)
            return i;
    }
    return end;
}

static int take_disk(const struct transfer_plan *plan, const struct vm_incoming_disk *disk,
                     bool *wanted, struct error *err)
{
    size_t image = find_image(plan, disk->path, plan->image_count);

    if (image == plan->image_count || disk->is_block)
        return error_set(err, -EINVAL, "its disk %s, %s, is no image of its plan", disk->target,
                         words_path(disk->path).text);
    if (strcmp(plan->images[image].format, disk->format) != 0)
        return error_set(err, -EINVAL, "its disk %s, %s, is %s, but %.20s in its plan",
                         disk->target, words_path(disk->path).text, disk->format,
                         plan->images[image].format);
    if (plan->images[image].may_exist)
        return error_set(err, -EINVAL,
                         "its disk %s, %s, may be one that is there already, by its plan: the VM "
                         "would write to another one's",
                         disk->target, words_path(disk->path).text);
    wanted[image] = true;
    return 0;
}

/* Wants the image below. A file that is only there would show the guest what is another's. */
static int take_backing(const struct transfer_plan *plan, size_t above, bool *wanted,
                        struct error *err)
{
    const struct transfer_image *image = &plan->images[above];
    size_t below;

    if (image->backing == NULL)
        return 0;
    below = find_image(plan, image->backing, above);
    if (below == above)
        return error_set(err, -EINVAL, "the backing image of %s is no image of its plan before it",
                         words_path(image->path).text);
    wanted[below] = true;
    return 0;
}

static int check_images(const struct config *config, const struct vm_incoming *vm,
                        const struct transfer_plan *plan, bool *wanted, struct error *err)
{
    int rc = 0;

    for (size_t i = 0; i < plan->image_count && rc == 0; i++)
        rc = check_path(config, &plan->images[i], err);
    for (size_t i = 0; i < vm->disk_count && rc == 0; i++) {
        if (!vm->disks[i].read_only)
            rc = take_disk(plan, &vm->disks[i], wanted, err);
    }
    for (size_t i = plan->image_count; i-- > 0 && rc == 0;) {
        if (wanted[i])
            rc = take_backing(plan, i, wanted, err);
        else
            rc = error_set(err, -EINVAL, "an image of its plan, %s, is none of its disks",
                           words_path(plan->images[i].path).text);
    }
    return rc;
}

int apply_check(const struct config *config, const struct vm_incoming *vm,
                const struct transfer_plan *plan, struct error *err)
{
    const struct vm_incoming_disk *astray = gate_astray(config, vm);
    CLEANUP(cleanup_free) bool *wanted = NULL;

    if (memcmp(plan->vm.bytes, vm->uuid.bytes, UUID_BYTES) != 0)
        return error_set(err, -EINVAL, "its plan is that of another VM");
    if (astray != NULL)
        return error_set(err, -EACCES,
                         "its disk %s, %s, does not lie in the directories of [hook] in %s's "
                         "setmov.conf",
                         astray->target, words_path(astray->path).text, config->setmov.name);
    wanted = calloc(plan->image_count + 1, sizeof(*wanted));
    if (wanted == NULL)
        return error_set(err, -ENOMEM, "out of memory");
    return check_images(config, vm, plan, wanted, err);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Leaves a request in this host's index directory, where `setmov requests` finds
 * it. (Effects: writes a file.)
 */
#include "gate/gate.h"
#include "setmov/base_new_file.h"
#include "setmov/catalog_request.h"

#include <errno.h>

int gate_request(const struct gate_facts *facts, size_t better, int64_t now_s, struct error *err)
{
    const struct gate_ranking *ranking = facts->ranking;
    const struct placement_candidate *here = &ranking->candidates[ranking->here],
                                     *there = &ranking->candidates[better];
    /* Strings of others, which stay theirs. */
    const struct catalog_request request = {
        .vm = facts->vm->uuid,
        .vm_name = facts->vm->name,
        .holder = (char *)ranking->holder,
        .refuser = facts->config->setmov.name,
        .target = (char *)there->name,
        .made_s = now_s,
        .expires_s = now_s + (int64_t)facts->config->hook.request_expiry_s,
        .refuser_bytes = here->figures.likely.bytes_to_send,
        .target_bytes = there->figures.likely.bytes_to_send,
    };
    CLEANUP(cleanup_free) char *text = NULL, *path = NULL;
    char uuid[UUID_TEXT_BYTES];
    size_t length;
    int rc = catalog_request_encode(&request, &text, &length, err);

    if (rc < 0)
        return rc;
    uuid_format(&facts->vm->uuid, uuid);
    if (asprintf(&path, "%s/%s" CATALOG_REQUEST_SUFFIX, facts->config->setmov.index, uuid) < 0) {
        path = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    return new_file_replace(path, text, length, false, err);
}

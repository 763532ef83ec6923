/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What requests need of libvirt, here and elsewhere, each in a thread that may be given up. */
#include "peers/requests.h"
#include "setmov/vm_move.h"

#include <errno.h>

struct requests_visit {
    enum requests_visit_kind kind;
    char *own_uri, *uri, *migrate_uri, *pool; /* of this host; of the other one */
    struct uuid uuid;
    uint64_t bandwidth_bits_per_s;
    char *name, *bytes; /* what is sent */
    size_t length;
    enum requests_found found;
    char obstacle[256];
};

/* True: it is there, or there was nothing to copy. */
static bool copy(const char *from, char **to)
{
    *to = from != NULL ? strdup(from) : NULL;
    return from == NULL || *to != NULL;
}

struct requests_visit *requests_visit_new(enum requests_visit_kind kind,
                                          const struct config *config,
                                          const struct config_host *host, const struct uuid *uuid)
{
    struct requests_visit *visit = calloc(1, sizeof(*visit));

    if (visit == NULL)
        return NULL;
    visit->kind = kind;
    visit->uuid = *uuid;
    visit->bandwidth_bits_per_s = config->migrate.bandwidth_bits_per_s;
    if (!copy(config->setmov.connect, &visit->own_uri) || !copy(host->uri, &visit->uri) ||
        !copy(host->migrate_uri, &visit->migrate_uri) || !copy(host->setmov_pool, &visit->pool)) {
        requests_visit_free(visit);
        return NULL;
    }
    return visit;
}

int requests_visit_text(struct requests_visit *visit, const char *name, const char *bytes,
                        size_t length)
{
    visit->length = length;
    visit->bytes = strndup(bytes, length);
    return copy(name, &visit->name) && visit->bytes != NULL ? 0 : -ENOMEM;
}

void requests_visit_free(void *context)
{
    struct requests_visit *visit = context;

    if (visit == NULL)
        return;
    free(visit->own_uri);
    free(visit->uri);
    free(visit->migrate_uri);
    free(visit->pool);
    free(visit->name);
    free(visit->bytes);
    free(visit);
}

static int send_text(const struct requests_visit *visit, struct error *err)
{
    struct vm_peer *peer = NULL;
    int rc = vm_peer_open(visit->uri, &peer, err);

    if (rc == 0)
        rc = vm_peer_write(peer, visit->pool, visit->name, visit->bytes, visit->length, err);
    vm_peer_close(peer);
    return rc;
}

static void note_found(struct requests_visit *visit, const struct vm_move *vm)
{
    visit->found = REQUESTS_HERE;
    if (memcmp(vm->uuid.bytes, visit->uuid.bytes, sizeof(vm->uuid.bytes)) != 0) {
        visit->found = REQUESTS_GONE; /* another VM is called by the UUID of this one */
    } else if (!vm->active) {
        visit->found = REQUESTS_OFF;
    } else if (vm->obstacles.count > 0) {
        visit->found = vm->obstacles.count > vm->passing ? REQUESTS_STUCK : REQUESTS_BUSY;
        string_copy(visit->obstacle, sizeof(visit->obstacle), vm->obstacles.lines[0]);
    }
}

static int look(struct requests_visit *visit, struct error *err)
{
    struct vm_move vm = {.name = NULL};
    struct vm_peer *peer = NULL;
    char uuid[UUID_TEXT_BYTES];
    int rc = vm_peer_open(visit->own_uri, &peer, err);

    uuid_format(&visit->uuid, uuid);
    if (rc == 0) {
        rc = vm_move_read(peer, uuid, &vm, err);
        if (rc == 0) {
            note_found(visit, &vm);
            vm_move_release(&vm);
        } else if (rc == -ENOENT) {
            visit->found = REQUESTS_GONE;
            rc = 0;
        }
    }
    vm_peer_close(peer);
    return rc;
}

static int move(const struct requests_visit *visit, struct error *err)
{
    struct vm_peer *here = NULL, *there = NULL;
    int rc = vm_peer_open(visit->own_uri, &here, err);

    if (rc == 0)
        rc = vm_peer_open(visit->uri, &there, err);
    if (rc == 0)
        rc = vm_move_plain(here, there, &visit->uuid, visit->migrate_uri,
                           visit->bandwidth_bits_per_s, err);
    vm_peer_close(there);
    vm_peer_close(here);
    return rc;
}

int requests_visit_run(void *context, struct error *err)
{
    struct requests_visit *visit = context;

    switch (visit->kind) {
    case REQUESTS_VISIT_SEND:
        return send_text(visit, err);
    case REQUESTS_VISIT_LOOK:
        return look(visit, err);
    default:
        return move(visit, err);
    }
}

enum requests_found requests_visit_found(const struct requests_visit *visit)
{
    return visit->found;
}

const char *requests_visit_obstacle(const struct requests_visit *visit)
{
    return visit->obstacle;
}

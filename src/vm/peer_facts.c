/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a host says of itself: identity, processors, memory, room in a pool. */
#include "vm/peer.h"

#include "setmov/base_uuid.h"
#include "vm/xml.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <string.h>

#define MAX_PARAMETERS 64

static bool is_alive(const struct vm_peer *peer)
{
    return virConnectIsAlive(peer->connection) != 0; /* -1: the driver cannot tell */
}

/* ---- identity ---------------------------------------------------------------------- */

static void read_uuid(const struct vm_peer *peer, struct vm_peer_facts *facts)
{
    CLEANUP(cleanup_free) char *xml = virConnectGetCapabilities(peer->connection);
    CLEANUP(xml_cleanup) xmlDocPtr tree = NULL;
    char text[64];
    struct uuid uuid;
    const xmlNode *host;

    if (!xml ||
        xml_parse(text_of(xml, strlen(xml)), "capabilities", "capabilities", &tree, NULL) < 0)
        return;
    host = xml_child(xmlDocGetRootElement(tree), "host");
    if (xml_content(xml_child(host, "uuid"), text, sizeof(text)) && uuid_parse(text, &uuid) == 0)
        uuid_format(&uuid, facts->uuid);
}

/* ---- processors --------------------------------------------------------------------- */

static bool add(uint64_t *sum, uint64_t value)
{
    return !__builtin_add_overflow(*sum, value, sum);
}

/* Counters of a kind that is not known here are not counted. */
static void sum_cpu(const virNodeCPUStats *counters, int count, struct vm_peer_facts *facts)
{
    uint64_t busy = 0, total = 0;
    unsigned known = 0;

    for (int i = 0; i < count; i++) {
        const char *field = counters[i].field;
        bool is_busy = strcmp(field, VIR_NODE_CPU_STATS_KERNEL) == 0 ||
                       strcmp(field, VIR_NODE_CPU_STATS_USER) == 0 ||
                       strcmp(field, VIR_NODE_CPU_STATS_INTR) == 0;

        if (!is_busy && strcmp(field, VIR_NODE_CPU_STATS_IDLE) != 0 &&
            strcmp(field, VIR_NODE_CPU_STATS_IOWAIT) != 0)
            continue;
        if ((is_busy && !add(&busy, counters[i].value)) || !add(&total, counters[i].value))
            return;
        known++;
    }
    if (known < 2 || total == UNKNOWN_U64)
        return;
    facts->busy_ns = busy;
    facts->total_ns = total;
}

static void read_cpu(const struct vm_peer *peer, struct vm_peer_facts *facts)
{
    virNodeCPUStats counters[MAX_PARAMETERS];
    int count = 0, all = VIR_NODE_CPU_STATS_ALL_CPUS;

    if (virNodeGetCPUStats(peer->connection, all, NULL, &count, 0) < 0 || count <= 0 ||
        count > MAX_PARAMETERS)
        return;
    memset(counters, 0, sizeof(counters));
    if (virNodeGetCPUStats(peer->connection, all, counters, &count, 0) < 0 || count < 0 ||
        count > MAX_PARAMETERS)
        return;
    sum_cpu(counters, count, facts);
}

/* ---- memory -------------------------------------------------------------------------- */

static uint64_t bytes_of_kib(uint64_t kib)
{
    uint64_t bytes;

    return __builtin_mul_overflow(kib, (uint64_t)1024, &bytes) ? UNKNOWN_U64 : bytes;
}

static void sum_memory(const virNodeMemoryStats *values, int count, struct vm_peer_facts *facts)
{
    uint64_t free_kib = 0, total_kib = UNKNOWN_U64;
    bool told = false;

    for (int i = 0; i < count; i++) {
        const char *field = values[i].field;

        if (strcmp(field, VIR_NODE_MEMORY_STATS_TOTAL) == 0) {
            total_kib = values[i].value;
            continue;
        }
        if (strcmp(field, VIR_NODE_MEMORY_STATS_FREE) == 0)
            told = true;
        else if (strcmp(field, VIR_NODE_MEMORY_STATS_BUFFERS) != 0 &&
                 strcmp(field, VIR_NODE_MEMORY_STATS_CACHED) != 0)
            continue;
        if (!add(&free_kib, values[i].value))
            return;
    }
    if (total_kib != UNKNOWN_U64)
        facts->memory_bytes = bytes_of_kib(total_kib);
    if (told)
        facts->memory_free_bytes = bytes_of_kib(free_kib < total_kib ? free_kib : total_kib);
}

static void read_memory(const struct vm_peer *peer, struct vm_peer_facts *facts)
{
    virNodeMemoryStats values[MAX_PARAMETERS];
    int count = 0, all = VIR_NODE_MEMORY_STATS_ALL_CELLS;

    if (virNodeGetMemoryStats(peer->connection, all, NULL, &count, 0) < 0 || count <= 0 ||
        count > MAX_PARAMETERS)
        return;
    memset(values, 0, sizeof(values));
    if (virNodeGetMemoryStats(peer->connection, all, values, &count, 0) < 0 || count < 0 ||
        count > MAX_PARAMETERS)
        return;
    sum_memory(values, count, facts);
}

/* ---- the pool ------------------------------------------------------------------------- */

static void read_pool(const struct vm_peer *peer, const char *name, struct vm_peer_facts *facts)
{
    CLEANUP(cleanup_pool)
    virStoragePoolPtr pool = virStoragePoolLookupByName(peer->connection, name);
    virStoragePoolInfo info;

    if (!pool || virStoragePoolGetInfo(pool, &info) < 0) {
        string_copy(facts->pool_problem, sizeof(facts->pool_problem), peer_last_message());
    } else if (info.state != VIR_STORAGE_POOL_RUNNING) {
        string_format(facts->pool_problem, sizeof(facts->pool_problem), "pool \"%s\" is not active",
                      name);
    } else {
        facts->pool_free_bytes = info.available;
        return;
    }
    text_make_one_line(facts->pool_problem);
}

/* ---- all of it --------------------------------------------------------------------------- */

int vm_peer_facts(struct vm_peer *peer, const char *pool, struct vm_peer_facts *ret_facts,
                  struct error *err)
{
    struct vm_peer_facts facts = {.busy_ns = UNKNOWN_U64,
                                  .total_ns = UNKNOWN_U64,
                                  .memory_bytes = UNKNOWN_U64,
                                  .memory_free_bytes = UNKNOWN_U64,
                                  .pool_free_bytes = UNKNOWN_U64};
    struct error why;
    virNodeInfo node;

    if (virNodeGetInfo(peer->connection, &node) == 0) {
        facts.cpus = node.cpus;
        facts.memory_bytes = bytes_of_kib(node.memory);
    } else {
        int r = peer_error(&why, "facts about the host");

        if (!is_alive(peer)) /* which forgets libvirt's error */
            return error_set(err, r, "%s", why.text);
    }
    read_uuid(peer, &facts);
    read_cpu(peer, &facts);
    read_memory(peer, &facts);
    read_pool(peer, pool, &facts);
    if (!is_alive(peer))
        return error_set(err, -EIO, "the connection broke while the host was asked for facts");
    *ret_facts = facts;
    return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads a VM as it is here, for a move. */
#include "vm/domain.h"
#include "vm/move_state.h"
#include "vm/move_xml.h"

#include <errno.h>
#include <libvirt/virterror.h>

static int no_memory(struct error *err)
{
    return error_set(err, -ENOMEM, "out of memory");
}

/* ---- which one ------------------------------------------------------------------------------ */

static int find_domain(struct vm_peer *peer, const char *name_or_uuid, virDomainPtr *ret_domain,
                       struct error *err)
{
    virDomainPtr domain = virDomainLookupByName(peer->connection, name_or_uuid);
    struct uuid uuid;

    if (!domain && virGetLastErrorCode() == VIR_ERR_NO_DOMAIN &&
        uuid_parse(name_or_uuid, &uuid) == 0)
        domain = virDomainLookupByUUID(peer->connection, uuid.bytes);
    if (!domain && virGetLastErrorCode() == VIR_ERR_NO_DOMAIN)
        return error_set(err, -ENOENT, "libvirt has no VM '%.200s' here (virsh list --all)",
                         name_or_uuid);
    if (!domain)
        return peer_error(err, "%.200s", name_or_uuid);
    *ret_domain = domain;
    return 0;
}

static int read_identity(virDomainPtr domain, struct vm_move *vm, struct error *err)
{
    const char *name = virDomainGetName(domain);
    int active = virDomainIsActive(domain);

    if (!name || active < 0 || domain_uuid(domain, &vm->uuid) < 0)
        return peer_error(err, "'%.200s'", name ? name : "?");
    vm->active = active == 1;
    vm->name = strdup(name);
    return vm->name ? 0 : no_memory(err);
}

/* ---- disks ----------------------------------------------------------------------------------- */

/* A volume's path in place of its name; a volume that is not there is an obstacle. */
static int look_up(struct vm_peer *peer, struct disk_facts *disk, struct vm_move *vm,
                   struct error *err)
{
    struct error why = {""};
    int r;

    if (disk->path || !disk->pool || !disk->volume)
        return 0;
    r = volume_path(peer, disk->pool, disk->volume, &disk->path, &why);
    if (r == -ENOMEM)
        return no_memory(err);
    if (r < 0 && vm_lines_add(&vm->obstacles, "disk '%s': %s", disk->target, why.text) < 0)
        return no_memory(err);
    return 0;
}

static uint64_t add_known(uint64_t sum, uint64_t more)
{
    return more == UNKNOWN_U64 || sum > UINT64_MAX - 1 - more ? sum : sum + more;
}

/* Sizes, and what lies below where the XML does not say. */
static int measure(struct vm_peer *peer, virDomainPtr domain, struct disk_facts *disk,
                   struct vm_move_disk *into, struct vm_move *vm, struct error *err)
{
    const char *problem = "";

    if (!disk->has_chain && volume_layers(peer, disk->path, &disk->layers) < 0)
        return no_memory(err);
    into->layers = 1 + disk->layers.count;
    if (!disk_size(peer, domain, disk, &into->capacity_bytes, &into->allocated_bytes, &problem)) {
        into->allocated_bytes = 0;
        if (vm_lines_add(&vm->obstacles, "disk '%s': %s", disk->target, problem) < 0)
            return no_memory(err);
    }
    for (size_t i = 0; i < disk->layers.count; i++)
        into->allocated_bytes =
            add_known(into->allocated_bytes, file_allocated(peer, disk->layers.lines[i]));
    return 0;
}

static int take_disk(struct vm_peer *peer, virDomainPtr domain, struct disk_facts *disk,
                     struct vm_move *vm, struct error *err)
{
    struct vm_move_disk *into;
    int r = look_up(peer, disk, vm, err);

    if (r < 0 || !disk->path || disk->is_empty)
        return r;
    if (!disk_goes_along(disk)) {
        bool is_asked = !disk->shareable && strcmp(disk->type, "block") != 0;

        return is_asked && lines_add_once(&vm->files, disk->path) < 0 ? no_memory(err) : 0;
    }
    if (array_reserve(&vm->disks, &vm->disk_capacity, vm->disk_count + 1, sizeof(*vm->disks)) < 0)
        return no_memory(err);
    into = &vm->disks[vm->disk_count++];
    *into = (struct vm_move_disk){
        .target = strdup(disk->target),
        .path = strdup(disk->path),
        .format = strdup(disk->format),
    };
    if (!into->target || !into->path || !into->format)
        return no_memory(err);
    return measure(peer, domain, disk, into, vm, err);
}

/* ---- all of it --------------------------------------------------------------------------------- */

static const struct disk_facts *find_disk(const struct disk_list *disks, const char *target)
{
    for (size_t i = 0; i < disks->count; i++)
        if (strcmp(disks->disks[i].target, target) == 0)
            return &disks->disks[i];
    return NULL;
}

/*
 * Disks that it gets at its next start only: nobody builds them there, and its
 * definition would name what is not there.
 */
static int check_definition(virDomainPtr domain, const struct disk_list *now, struct vm_move *vm,
                            struct error *err)
{
    CLEANUP(disk_list_release) struct disk_list disks = {NULL, 0, 0};
    CLEANUP(cleanup_free) char *xml = NULL;
    int persistent = virDomainIsPersistent(domain), r;

    if (persistent == 1)
        xml = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE);
    if (persistent < 0 || (persistent == 1 && !xml))
        return peer_error(err, "'%s'", vm->name);
    if (!xml)
        return 0;
    r = disk_list_parse(text_of(xml, strlen(xml)), &disks, err);
    if (r < 0)
        return error_prefix(err, r, "'%s'", vm->name);
    for (size_t i = 0; i < disks.count; i++) {
        const struct disk_facts *disk = &disks.disks[i], *same = find_disk(now, disk->target);

        if (!disk_goes_along(disk) || (same && !disk->path) ||
            (same && same->path && strcmp(same->path, disk->path) == 0))
            continue;
        if (vm_lines_add(&vm->obstacles,
                         "disk '%s' (%.300s) is in its definition only, for its next start, and "
                         "would stay here",
                         disk->target, disk->path ? disk->path : disk->type) < 0)
            return no_memory(err);
    }
    return 0;
}

static int read_xml(struct vm_peer *peer, virDomainPtr domain, struct vm_move *vm,
                    struct disk_list *ret_disks, struct error *err)
{
    CLEANUP(cleanup_free) char *live = NULL, *host = NULL;
    char host_uuid[UUID_TEXT_BYTES];
    int r;

    vm->xml = virDomainGetXMLDesc(domain,
                                  vm->active ? VIR_DOMAIN_XML_MIGRATABLE : VIR_DOMAIN_XML_INACTIVE);
    /* The migratable one does not tell of layers that libvirt found by itself, nor of jobs. */
    live = vm->xml && vm->active ? virDomainGetXMLDesc(domain, 0) : NULL;
    if (!vm->xml || (vm->active && !live))
        return peer_error(err, "'%s'", vm->name);
    r = vm->active ? move_xml_read(text_of(live, strlen(live)), vm, ret_disks, err)
                   : move_xml_read(text_of(vm->xml, strlen(vm->xml)), vm, ret_disks, err);
    if (r < 0)
        return error_prefix(err, r, "'%s'", vm->name);
    r = vm->active ? check_definition(domain, ret_disks, vm, err) : 0;
    if (r < 0 || !vm->cpu_is_of_host)
        return r;
    host = virConnectGetCapabilities(peer->connection);
    if (!host)
        return peer_error(err, "what this host's CPU is cannot be told");
    return move_capabilities_read(text_of(host, strlen(host)), host_uuid, &vm->cpu, err);
}

int vm_move_read(struct vm_peer *peer, const char *name_or_uuid, struct vm_move *ret_vm,
                 struct error *err)
{
    CLEANUP(cleanup_domain) virDomainPtr domain = NULL;
    CLEANUP(disk_list_release) struct disk_list disks = {NULL, 0, 0};
    CLEANUP(vm_move_release) struct vm_move vm = {.name = NULL};
    int r = find_domain(peer, name_or_uuid, &domain, err);

    if (r == 0)
        r = read_identity(domain, &vm, err);
    if (r == 0)
        r = read_xml(peer, domain, &vm, &disks, err);
    for (size_t i = 0; i < disks.count && r == 0; i++)
        r = take_disk(peer, domain, &disks.disks[i], &vm, err);
    if (r == 0)
        r = move_state_read(domain, &disks, &vm, err);
    if (r == 0 && move_state_files(peer, &disks, &vm) < 0)
        r = no_memory(err);
    if (r < 0)
        return r;
    *ret_vm = vm;
    memset(&vm, 0, sizeof(vm));
    return 0;
}

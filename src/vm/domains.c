/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads every domain of a host, with its disks. */
#include "vm/domain.h"
#include "vm/move_xml.h"

#include <errno.h>
#include <libvirt/virterror.h>

static void domain_release(struct vm_domain *domain)
{
    for (size_t i = 0; i < domain->disk_count; i++) {
        free(domain->disks[i].target);
        free(domain->disks[i].path);
    }
    free(domain->disks);
    free(domain->name);
}

void vm_domains_release(struct vm_domains *domains)
{
    if (!domains)
        return;
    for (size_t i = 0; i < domains->count; i++)
        domain_release(&domains->domains[i]);
    free(domains->domains);
    vm_lines_release(&domains->problems);
    memset(domains, 0, sizeof(*domains));
}

static int no_memory(struct error *err)
{
    return error_set(err, -ENOMEM, "out of memory");
}

static int take_disk(struct vm_peer *peer, virDomainPtr domain, struct disk_facts *disk,
                     struct vm_domain *into, struct error *err)
{
    struct vm_domain_disk found = {.target = NULL};
    const char *problem;
    uint64_t allocated;

    if (!disk_goes_along(disk))
        return 0;
    if (!disk->path && disk->pool && disk->volume &&
        volume_path(peer, disk->pool, disk->volume, &disk->path, err) == -ENOMEM)
        return -ENOMEM;
    if (!disk->path)
        return 0; /* not of this host, or nobody knows where it lies */
    if (array_reserve(&into->disks, &into->disk_capacity, into->disk_count + 1, sizeof(found)) < 0)
        return no_memory(err);
    disk_size(peer, domain, disk, &found.capacity_bytes, &allocated, &problem); /* or unknown */
    found.target = strdup(disk->target);
    found.path = strdup(disk->path);
    into->disks[into->disk_count++] = found;
    return found.target && found.path ? 0 : no_memory(err);
}

static int read_domain(struct vm_peer *peer, virDomainPtr domain, struct vm_domain *into,
                       struct error *err)
{
    CLEANUP(disk_list_release) struct disk_list disks = {NULL, 0, 0};
    CLEANUP(vm_move_release) struct vm_move facts = {.name = NULL};
    CLEANUP(cleanup_free) char *xml = NULL;
    int active = virDomainIsActive(domain), r;

    xml = active < 0 ? NULL : virDomainGetXMLDesc(domain, 0);
    if (!xml || domain_uuid(domain, &into->uuid) < 0)
        return peer_error(err, "cannot be asked");
    into->active = facts.active = active == 1;
    into->name = strdup(virDomainGetName(domain));
    facts.name = into->name ? strdup(into->name) : NULL;
    if (!facts.name)
        return no_memory(err);
    r = move_xml_read(text_of(xml, strlen(xml)), &facts, &disks, err);
    if (r < 0)
        return r;
    into->memory_bytes = facts.memory_bytes;
    into->vcpus = facts.vcpus;
    for (size_t i = 0; i < disks.count && r == 0; i++)
        r = take_disk(peer, domain, &disks.disks[i], into, err);
    return r;
}

/* One that has gone meanwhile is none; one that cannot be asked is a problem. */
static int take_domain(struct vm_peer *peer, virDomainPtr domain, struct vm_domains *domains,
                       struct error *err)
{
    struct vm_domain found = {.name = NULL};
    struct error why = {""};
    int r = read_domain(peer, domain, &found, &why);

    if (r == 0)
        r = array_reserve(&domains->domains, &domains->capacity, domains->count + 1, sizeof(found));
    if (r == 0) {
        domains->domains[domains->count++] = found;
        return 0;
    }
    domain_release(&found);
    if (r != -ENOMEM && r != -ENOENT)
        r = vm_lines_add(&domains->problems, "VM '%.200s': %s", virDomainGetName(domain), why.text);
    return r == -ENOMEM ? no_memory(err) : 0;
}

static int compare_domains(const void *left, const void *right)
{
    const struct vm_domain *a = left, *b = right;

    return memcmp(a->uuid.bytes, b->uuid.bytes, UUID_BYTES);
}

int vm_domains_read(struct vm_peer *peer, struct vm_domains *ret_domains, struct error *err)
{
    CLEANUP(cleanup_domain_array) struct domain_array array = {NULL, 0};
    CLEANUP(vm_domains_release) struct vm_domains domains = {.domains = NULL};
    int r = domain_array_read(peer, &array, err);

    for (int i = 0; i < array.count && r == 0; i++)
        r = take_domain(peer, array.domains[i], &domains, err);
    if (r < 0)
        return r;
    if (domains.count > 0)
        qsort(domains.domains, domains.count, sizeof(*domains.domains), compare_domains);
    *ret_domains = domains;
    memset(&domains, 0, sizeof(domains));
    return 0;
}

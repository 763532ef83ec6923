/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds the domain that migrates, and what its disks are made of. */
#include "vm/migrate_inside.h"
#include "vm/migrate_xml.h"

#include "setmov/image.h"

#include <errno.h>
#include <libvirt/virterror.h>

int migrate_domain(struct vm_peer *peer, const struct uuid *uuid, virDomainPtr *ret_domain,
                   struct error *err)
{
    char text[UUID_TEXT_BYTES];

    uuid_format(uuid, text);
    *ret_domain = virDomainLookupByUUID(peer->connection, uuid->bytes);
    if (*ret_domain)
        return 0;
    if (virGetLastErrorCode() == VIR_ERR_NO_DOMAIN)
        return error_set(err, -ENOENT, "no VM has the UUID %s there", text);
    return peer_error(err, "%s", text);
}

int migrate_read_xml(virDomainPtr domain, unsigned flags, char **ret_xml, struct error *err)
{
    *ret_xml = virDomainGetXMLDesc(domain, flags);
    return *ret_xml ? 0 : domain_error(err, domain, NULL);
}

void migrate_parameters_release(struct migrate_parameters *parameters)
{
    virTypedParamsFree(parameters->list, parameters->count);
    *parameters = (struct migrate_parameters){NULL, 0, 0};
}

/* ---- chains ------------------------------------------------------------------------------ */

const struct vm_chain *migrate_chain_of(const struct vm_chains *chains, const char *target)
{
    for (size_t i = 0; i < chains->count; i++)
        if (strcmp(chains->chains[i].target, target) == 0)
            return &chains->chains[i];
    return NULL;
}

static int no_memory(struct error *err)
{
    return error_set(err, -ENOMEM, "out of memory");
}

/*
 * The layers of a VM that is off are what its images say: its definition names
 * but the top one. The top's path stays as the definition has it.
 */
static int look_below(struct vm_chain *chain, struct error *err)
{
    const struct image_options options = {.format = chain->layers[0].format,
                                          .follow_backing_outside = true};
    struct image_layer *layers = NULL;
    size_t count = 0;
    int r = image_look(chain->layers[0].path, &options, &layers, &count, err);

    if (r < 0)
        return error_prefix(err, r == -ENOMEM ? r : -EIO, "disk '%s'", chain->target);
    for (; chain->count > 1; chain->count--)
        migrate_layer_release(&chain->layers[chain->count - 1]);
    if (array_reserve(&chain->layers, &chain->capacity, count, sizeof(*chain->layers)) < 0)
        r = no_memory(err);
    for (size_t i = 1; i < count && r == 0; i++) {
        struct vm_layer *layer = &chain->layers[chain->count++];

        *layer =
            (struct vm_layer){.path = strdup(layers[i].path), .format = strdup(layers[i].format)};
        if (!layer->path || !layer->format)
            r = no_memory(err);
    }
    image_layers_free(layers, count);
    return r;
}

/* Volumes by their pool and name, which only a definition of a VM that is off has. */
static int is_known(const struct vm_chain *chain, const char *name, struct error *err)
{
    if (chain->count > 0)
        return 0;
    return error_set(err, -ENOTSUP,
                     "'%.200s': disk '%s' is given by its pool and volume, or is on the network; "
                     "only disks that are given by their file are moved",
                     name, chain->target);
}

int vm_chains_read(struct vm_peer *peer, const struct uuid *uuid, struct vm_chains *ret_chains,
                   struct error *err)
{
    CLEANUP(vm_chains_release) struct vm_chains chains = {NULL, 0, 0};
    CLEANUP(cleanup_domain) virDomainPtr domain = NULL;
    CLEANUP(cleanup_free) char *xml = NULL;
    int r = migrate_domain(peer, uuid, &domain, err), active = 0;

    if (r == 0)
        active = virDomainIsActive(domain);
    if (active < 0)
        r = domain_error(err, domain, NULL);
    if (r == 0)
        r = migrate_read_xml(domain, active ? 0 : VIR_DOMAIN_XML_INACTIVE, &xml, err);
    if (r == 0)
        r = migrate_chains_parse(text_of(xml, strlen(xml)), &chains, err);
    for (size_t i = 0; i < chains.count && r == 0; i++) {
        r = is_known(&chains.chains[i], virDomainGetName(domain), err);
        if (r == 0 && !active && peer_is_local(peer))
            r = look_below(&chains.chains[i], err);
    }
    if (r < 0)
        return r;
    *ret_chains = chains;
    chains = (struct vm_chains){NULL, 0, 0};
    return 0;
}

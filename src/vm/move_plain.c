/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Moves a VM by libvirt alone, disks included. */
#include "vm/hook_line.h"
#include "vm/move_left.h"
#include "vm/move_xml.h"

#include <errno.h>
#include <libvirt/virterror.h>

/* libvirt takes MiB a second, and nothing below one. */
static unsigned long long mebibytes_a_second(uint64_t bits_a_second)
{
    uint64_t rate = bits_a_second / 8 >> 20;

    return rate > 0 ? rate : 1;
}

struct parameters {
    virTypedParameterPtr list;
    int count, room;
};

static void cleanup_parameters(struct parameters *parameters)
{
    virTypedParamsFree(parameters->list, parameters->count);
}

static int add_string(struct parameters *parameters, const char *name, const char *value)
{
    return virTypedParamsAddString(&parameters->list, &parameters->count, &parameters->room, name,
                                   value) < 0
               ? -ENOMEM
               : 0;
}

/*
 * A disk arrives as one file with all that it had in its layers, so the XML must
 * not name them any more: libvirt would look for their files.
 */
static int add_flat_xml(virDomainPtr domain, unsigned flags, const char *parameter,
                        struct parameters *parameters, struct error *err)
{
    CLEANUP(cleanup_free) char *xml = NULL, *flat = NULL;
    bool changed = false;
    int r;

    xml = virDomainGetXMLDesc(domain, flags | VIR_DOMAIN_XML_SECURE | VIR_DOMAIN_XML_MIGRATABLE);
    if (!xml)
        return domain_error(err, domain, NULL);
    r = move_xml_flatten(text_of(xml, strlen(xml)), &flat, &changed, err);
    if (r == 0 && changed && add_string(parameters, parameter, flat) < 0)
        r = error_set(err, -ENOMEM, "out of memory");
    return r;
}

static int fill_parameters(virDomainPtr domain, unsigned migrate_flags, const char *migrate_uri,
                           uint64_t bandwidth_bits_per_s, struct parameters *parameters,
                           struct error *err)
{
    int r = add_flat_xml(domain, 0, VIR_MIGRATE_PARAM_DEST_XML, parameters, err);

    if (r == 0 && migrate_flags & VIR_MIGRATE_PERSIST_DEST)
        r = add_flat_xml(domain, VIR_DOMAIN_XML_INACTIVE, VIR_MIGRATE_PARAM_PERSIST_XML, parameters,
                         err);
    if (r < 0)
        return r;
    if ((migrate_uri && add_string(parameters, VIR_MIGRATE_PARAM_URI, migrate_uri) < 0) ||
        (bandwidth_bits_per_s > 0 &&
         virTypedParamsAddULLong(&parameters->list, &parameters->count, &parameters->room,
                                 VIR_MIGRATE_PARAM_BANDWIDTH,
                                 mebibytes_a_second(bandwidth_bits_per_s)) < 0))
        return error_set(err, -ENOMEM, "out of memory");
    return 0;
}

/* A VM that is off goes as a definition; its disks would stay. */
static int check_no_disks(virDomainPtr domain, const struct disk_list *disks, struct error *err)
{
    for (size_t i = 0; i < disks->count; i++)
        if (disk_goes_along(&disks->disks[i]))
            return error_set(err, -ENOTSUP,
                             "'%.200s' is off, and libvirt does not take the disks of such a VM "
                             "along",
                             virDomainGetName(domain));
    return 0;
}

static int read_disks(virDomainPtr domain, struct disk_list *ret_disks, struct error *err)
{
    CLEANUP(cleanup_free) char *xml = virDomainGetXMLDesc(domain, 0);

    if (!xml)
        return domain_error(err, domain, NULL);
    return disk_list_parse(text_of(xml, strlen(xml)), ret_disks, err);
}

static int read_flags(virDomainPtr domain, const struct disk_list *disks, unsigned *ret_flags,
                      struct error *err)
{
    int active = virDomainIsActive(domain), persistent = virDomainIsPersistent(domain);
    unsigned flags = active ? VIR_MIGRATE_LIVE | VIR_MIGRATE_NON_SHARED_DISK : VIR_MIGRATE_OFFLINE;

    if (active < 0 || persistent < 0)
        return domain_error(err, domain, NULL);
    if (persistent)
        flags |= VIR_MIGRATE_PERSIST_DEST | VIR_MIGRATE_UNDEFINE_SOURCE;
    *ret_flags = flags;
    return active ? 0 : check_no_disks(domain, disks, err);
}

/* What went wrong, in libvirt's words or in those of a hook there, which end with a line's end. */
static void read_failure(struct error *ret_why)
{
    const char *message = peer_last_message(), *said = hook_line(message);
    size_t length;

    if (said)
        error_set(ret_why, -EIO, "refused there: %s",
                  said[0] != '\0' ? said : "by a hook, without a word");
    else
        error_set(ret_why, -EIO, "%s", message);
    length = strlen(ret_why->text);
    while (length > 0 && ret_why->text[length - 1] == ' ')
        ret_why->text[--length] = '\0';
}

static int move(virDomainPtr domain, struct vm_peer *to, const struct disk_list *disks,
                const struct parameters *parameters, unsigned flags, struct error *err)
{
    CLEANUP(vm_lines_release) struct vm_lines missing = {NULL, 0, 0};
    CLEANUP(cleanup_domain) virDomainPtr moved = NULL;
    struct error why;

    if (flags & VIR_MIGRATE_NON_SHARED_DISK && move_left_expect(to, disks, &missing) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    moved = virDomainMigrate3(domain, to->connection, parameters->list, (unsigned)parameters->count,
                              flags);
    if (moved)
        return 0;
    read_failure(&why);
    move_left_remove(to, &missing, &why);
    return error_set(err, -EIO, "%s", why.text);
}

int vm_move_plain(struct vm_peer *from, struct vm_peer *to, const struct uuid *uuid,
                  const char *migrate_uri, uint64_t bandwidth_bits_per_s, struct error *err)
{
    CLEANUP(cleanup_domain) virDomainPtr domain = NULL;
    CLEANUP(disk_list_release) struct disk_list disks = {NULL, 0, 0};
    CLEANUP(cleanup_parameters) struct parameters parameters = {NULL, 0, 0};
    char uuid_text[UUID_TEXT_BYTES];
    unsigned flags = 0;
    int r;

    uuid_format(uuid, uuid_text);
    domain = virDomainLookupByUUID(from->connection, uuid->bytes);
    if (!domain && virGetLastErrorCode() == VIR_ERR_NO_DOMAIN)
        return error_set(err, -ENOENT, "no VM has the UUID %s here", uuid_text);
    if (!domain)
        return peer_error(err, "%s", uuid_text);
    r = read_disks(domain, &disks, err);
    if (r == 0)
        r = read_flags(domain, &disks, &flags, err);
    if (r == 0)
        r = fill_parameters(domain, flags, migrate_uri, bandwidth_bits_per_s, &parameters, err);
    return r < 0 ? r : move(domain, to, &disks, &parameters, flags, err);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The migration by libvirt, peer to peer: the daemon here speaks with the one
 * there, so that what has begun goes on, and ends in order, when we die.
 */
#include "vm/hook_line.h"
#include "vm/migrate_inside.h"
#include "vm/migrate_xml.h"

#include <errno.h>
#include <libvirt/virterror.h>

struct migration {
    virDomainPtr domain;
    const struct vm_migrate_options *options;
    struct migrate_parameters parameters;
    unsigned flags;
};

static int no_memory(struct error *err)
{
    return error_set(err, -ENOMEM, "out of memory");
}

/* ---- parameters ---------------------------------------------------------------------------- */

/* libvirt takes MiB a second, and nothing below one. */
static unsigned long long mebibytes_a_second(uint64_t bits_a_second)
{
    uint64_t rate = bits_a_second / 8 >> 20;

    return rate > 0 ? rate : 1;
}

static int add_string(struct migrate_parameters *to, const char *name, const char *value)
{
    if (!value)
        return 0;
    return virTypedParamsAddString(&to->list, &to->count, &to->room, name, value) < 0 ? -ENOMEM : 0;
}

static int add_rate(struct migrate_parameters *to, const char *name, uint64_t bits_a_second)
{
    if (bits_a_second == 0)
        return 0;
    return virTypedParamsAddULLong(&to->list, &to->count, &to->room, name,
                                   mebibytes_a_second(bits_a_second)) < 0
               ? -ENOMEM
               : 0;
}

static int add_port(struct migrate_parameters *to, unsigned port)
{
    if (port == 0)
        return 0;
    return virTypedParamsAddInt(&to->list, &to->count, &to->room, VIR_MIGRATE_PARAM_DISKS_PORT,
                                (int)port) < 0
               ? -ENOMEM
               : 0;
}

static int add_plain(struct migration *migration)
{
    const struct vm_migrate_options *options = migration->options;
    struct migrate_parameters *to = &migration->parameters;
    bool live = !options->offline;

    if (add_string(to, VIR_MIGRATE_PARAM_URI, options->migrate_uri) < 0)
        return -ENOMEM;
    if (!live)
        return 0;
    if (add_string(to, VIR_MIGRATE_PARAM_DISKS_URI, options->disks_uri) < 0 ||
        add_port(to, options->disks_port) < 0 ||
        add_string(to, VIR_MIGRATE_PARAM_LISTEN_ADDRESS, options->listen_address) < 0 ||
        add_rate(to, VIR_MIGRATE_PARAM_BANDWIDTH, options->bandwidth_bits_per_s) < 0 ||
        (options->post_copy &&
         add_rate(to, VIR_MIGRATE_PARAM_BANDWIDTH_POSTCOPY, options->bandwidth_bits_per_s) < 0))
        return -ENOMEM;
    for (size_t i = 0; i < options->disk_count; i++)
        if (add_string(to, VIR_MIGRATE_PARAM_MIGRATE_DISKS, options->disks[i].target) < 0)
            return -ENOMEM;
    return 0;
}

/*
 * Of a VM that is off it is the definition there, plan and all: libvirt takes no other
 * one (VIR_MIGRATE_PARAM_PERSIST_XML) then.
 */
static int add_xml(struct migration *migration, struct error *err)
{
    const struct vm_migrate_options *options = migration->options;
    const unsigned flags = VIR_DOMAIN_XML_SECURE | VIR_DOMAIN_XML_MIGRATABLE;
    CLEANUP(cleanup_free) char *now = NULL, *there = NULL;
    int r = migrate_read_xml(migration->domain,
                             options->offline ? flags | VIR_DOMAIN_XML_INACTIVE : flags, &now, err);

    if (r == 0)
        r = (options->offline ? migrate_xml_define : vm_migrate_xml)(
            text_of(now, strlen(now)), options->disks, options->disk_count, options->plan_name,
            options->plan_sha256, &there, err);
    if (r < 0)
        return r;
    return add_string(&migration->parameters, VIR_MIGRATE_PARAM_DEST_XML, there) < 0
               ? no_memory(err)
               : 0;
}

/* Without a definition of its own the one there would be the live one, plan and all. */
static int add_definition(struct migration *migration, struct error *err)
{
    const struct vm_migrate_options *options = migration->options;
    CLEANUP(cleanup_free) char *now = NULL, *there = NULL;
    int r;

    if (!options->persistent || options->offline)
        return 0;
    r = migrate_read_xml(
        migration->domain,
        VIR_DOMAIN_XML_SECURE | VIR_DOMAIN_XML_MIGRATABLE | VIR_DOMAIN_XML_INACTIVE, &now, err);
    if (r == 0)
        r = migrate_xml_define(text_of(now, strlen(now)), options->disks, options->disk_count, NULL,
                               NULL, &there, err);
    if (r < 0)
        return r;
    return add_string(&migration->parameters, VIR_MIGRATE_PARAM_PERSIST_XML, there) < 0
               ? no_memory(err)
               : 0;
}

static unsigned flags_of(const struct vm_migrate_options *options)
{
    const struct {
        bool wanted;
        unsigned flag;
    } flags[] = {
        {true, VIR_MIGRATE_PEER2PEER},
        {options->offline, VIR_MIGRATE_OFFLINE},
        {!options->offline, VIR_MIGRATE_LIVE},
        {!options->offline && options->disk_count > 0, VIR_MIGRATE_NON_SHARED_INC},
        {options->persistent, VIR_MIGRATE_PERSIST_DEST | VIR_MIGRATE_UNDEFINE_SOURCE},
        {!options->offline && options->paused, VIR_MIGRATE_PAUSED},
        {!options->offline && options->tls, VIR_MIGRATE_TLS},
        {!options->offline && options->auto_converge, VIR_MIGRATE_AUTO_CONVERGE},
        {!options->offline && options->post_copy, VIR_MIGRATE_POSTCOPY},
    };
    unsigned sum = 0;

    for (size_t i = 0; i < ARRAY_LENGTH(flags); i++)
        if (flags[i].wanted)
            sum |= flags[i].flag;
    return sum;
}

/* ---- going ------------------------------------------------------------------------------------ */

static void cut_blanks(char *text)
{
    size_t length = strlen(text);

    while (length > 0 && text[length - 1] == ' ')
        text[--length] = '\0';
}

static int errno_of(int code)
{
    switch (code) {
    case VIR_ERR_OPERATION_ABORTED:
        return -ECANCELED;
    case VIR_ERR_MIGRATE_UNSAFE:
    case VIR_ERR_OPERATION_INVALID:
        return -EINVAL;
    case VIR_ERR_ARGUMENT_UNSUPPORTED:
    case VIR_ERR_CONFIG_UNSUPPORTED:
    case VIR_ERR_OPERATION_UNSUPPORTED:
    case VIR_ERR_NO_SUPPORT:
        return -ENOTSUP;
    default:
        return -EIO;
    }
}

/* What went wrong, in libvirt's words or in those of a hook there, which end with a line's end. */
static int failure(struct error *err)
{
    const char *message = peer_last_message(), *said = hook_line(message);
    int r = errno_of(virGetLastErrorCode());

    if (said) {
        r = error_set(err, -EPERM, "%s",
                      said[0] != '\0' ? said : "a hook there refused, without a word");
    } else {
        error_set(err, r, "%s", message);
    }
    if (err)
        cut_blanks(err->text);
    return r;
}

static int go(struct migration *migration, struct error *err)
{
    const struct vm_migrate_options *options = migration->options;

    if (!options->offline && options->downtime_ms > 0 &&
        virDomainMigrateSetMaxDowntime(migration->domain, options->downtime_ms, 0) < 0)
        return peer_error(err, "a downtime of %llu ms cannot be set",
                          (unsigned long long)options->downtime_ms);
    if (virDomainMigrateToURI3(migration->domain, options->destination_uri,
                               migration->parameters.list, (unsigned)migration->parameters.count,
                               migration->flags) == 0)
        return 0;
    return failure(err);
}

int vm_migrate(struct vm_peer *peer, const struct uuid *uuid,
               const struct vm_migrate_options *options, struct error *err)
{
    struct migration migration = {.options = options, .flags = flags_of(options)};
    int r = migrate_domain(peer, uuid, &migration.domain, err);

    if (r == 0)
        r = add_xml(&migration, err);
    if (r == 0)
        r = add_definition(&migration, err);
    if (r == 0 && add_plain(&migration) < 0)
        r = no_memory(err);
    if (r == 0)
        r = go(&migration, err);
    migrate_parameters_release(&migration.parameters);
    cleanup_domain(&migration.domain);
    return r;
}

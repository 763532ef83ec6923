/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sees to it that a host has a directory as a pool, and does not touch what others made. */
#include "vm/peer.h"

#include "vm/storage_xml.h"
#include "vm/xml_escape.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <string.h>

/* ---- a pool of that name that is there ------------------------------------------- */

/* libvirt keeps paths without double slashes and without one at the end. */
static bool same_directory(const char *a, const char *b)
{
    for (;;) {
        while (a[0] == '/' && (a[1] == '/' || a[1] == '\0'))
            a++;
        while (b[0] == '/' && (b[1] == '/' || b[1] == '\0'))
            b++;
        if (*a != *b)
            return false;
        if (*a == '\0')
            return true;
        a++;
        b++;
    }
}

static int check_pool(virStoragePoolPtr pool, const char *name, const char *directory,
                      struct error *err)
{
    CLEANUP(cleanup_free) char *xml = virStoragePoolGetXMLDesc(pool, 0);
    struct storage_pool found;
    int r;

    if (!xml)
        return peer_error(err, "pool \"%s\"", name);
    r = storage_pool_parse(text_of(xml, strlen(xml)), &found, err);
    if (r < 0)
        return error_prefix(err, -EIO, "pool \"%s\"", name);
    if (found.directory[0] == '\0')
        return error_set(err, -EEXIST,
                         "there is a pool \"%s\" already, of type \"%s\", not a directory", name,
                         found.type);
    if (!same_directory(found.directory, directory))
        return error_set(err, -EEXIST, "there is a pool \"%s\" already, on %s, not on %s", name,
                         found.directory, directory);
    return 0;
}

static int start_with_libvirtd(virStoragePoolPtr pool, const char *name, struct error *err)
{
    if (virStoragePoolCreate(pool, 0) < 0)
        return peer_error(err, "starting pool \"%s\"", name);
    if (virStoragePoolSetAutostart(pool, 1) < 0)
        return peer_error(err, "pool \"%s\" cannot be made to start with libvirtd", name);
    return 0;
}

static int use_pool(virStoragePoolPtr pool, const char *name, const char *directory,
                    struct error *err)
{
    int r = check_pool(pool, name, directory, err);

    if (r < 0)
        return r;
    switch (virStoragePoolIsActive(pool)) {
    case 1:
        return 0;
    case 0:
        return start_with_libvirtd(pool, name, err);
    default:
        return peer_error(err, "pool \"%s\"", name);
    }
}

/* ---- a new one ---------------------------------------------------------------------- */

static int pool_xml(const char *name, const char *directory, char **ret_xml)
{
    static const char format[] =
        "<pool type='dir'><name>%s</name><target><path>%s</path></target></pool>";
    CLEANUP(cleanup_free) char *escaped_name = NULL, *escaped_directory = NULL;
    size_t size;
    char *xml;
    int r = xml_escape(name, &escaped_name);

    if (r < 0)
        return r;
    r = xml_escape(directory, &escaped_directory);
    if (r < 0)
        return r;
    size = strlen(escaped_name) + strlen(escaped_directory) + sizeof(format);
    xml = malloc(size);
    if (!xml)
        return -ENOMEM;
    string_format(xml, size, format, escaped_name, escaped_directory);
    *ret_xml = xml;
    return 0;
}

static int define_pool(const struct vm_peer *peer, const char *name, const char *directory,
                       struct error *err)
{
    CLEANUP(cleanup_pool) virStoragePoolPtr pool = NULL;
    CLEANUP(cleanup_free) char *xml = NULL;
    int r = pool_xml(name, directory, &xml);

    if (r == -EINVAL)
        return error_set(err, r, "pool \"%s\" on \"%s\": XML cannot have such a name", name,
                         directory);
    if (r < 0)
        return error_set(err, r, "out of memory");
    pool = virStoragePoolDefineXML(peer->connection, xml, 0);
    if (!pool)
        return peer_error(err, "defining pool \"%s\" on %s", name, directory);
    r = start_with_libvirtd(pool, name, err);
    if (r < 0) { /* nothing half-made stays */
        virStoragePoolDestroy(pool);
        virStoragePoolUndefine(pool);
    }
    return r;
}

int vm_peer_pool_ensure(struct vm_peer *peer, const char *name, const char *directory,
                        struct error *err)
{
    CLEANUP(cleanup_pool) virStoragePoolPtr pool = NULL;

    if (directory[0] != '/')
        return error_set(err, -EINVAL, "pool \"%s\": \"%s\" is no absolute path", name, directory);
    pool = virStoragePoolLookupByName(peer->connection, name);
    if (pool)
        return use_pool(pool, name, directory, err);
    if (virGetLastErrorCode() != VIR_ERR_NO_STORAGE_POOL)
        return peer_error(err, "pool \"%s\"", name);
    return define_pool(peer, name, directory, err);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asks libvirt of single domains, and of the volumes that are their disks. */
#include "vm/domain.h"

#include "vm/storage_xml.h"
#include "vm/xml.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <limits.h>
#include <sys/stat.h>

#define MAX_LAYERS 256

void cleanup_domain(virDomainPtr *domain)
{
    if (*domain)
        virDomainFree(*domain);
}

int domain_error(struct error *err, virDomainPtr domain, const char *what)
{
    struct error message = {""};
    int r = what ? peer_error(&message, "%s", what)
                 : error_set(&message, peer_error(NULL, "%s", ""), "%s", peer_last_message());

    return error_set(err, r, "'%.200s': %s", virDomainGetName(domain), message.text);
}

void cleanup_domain_array(struct domain_array *array)
{
    for (int i = 0; i < array->count; i++)
        virDomainFree(array->domains[i]);
    free(array->domains);
}

int domain_array_read(struct vm_peer *peer, struct domain_array *ret_array, struct error *err)
{
    int count = virConnectListAllDomains(peer->connection, &ret_array->domains, 0);

    if (count < 0) {
        ret_array->domains = NULL;
        return peer_error(err, "the domains cannot be listed");
    }
    ret_array->count = count;
    return 0;
}

int domain_uuid(virDomainPtr domain, struct uuid *ret_uuid)
{
    return virDomainGetUUID(domain, ret_uuid->bytes) < 0 ? -EIO : 0;
}

bool peer_is_local(struct vm_peer *peer)
{
    CLEANUP(cleanup_free) char *uri = virConnectGetURI(peer->connection);
    const char *authority = uri ? strstr(uri, "://") : NULL;

    return authority && authority[3] == '/';
}

/* ---- volumes ----------------------------------------------------------------------------- */

/* A file that a directory pool has not noticed yet: where it would be. */
static int unseen_path(virStoragePoolPtr pool, const char *volume, char **ret_path,
                       struct error *err)
{
    CLEANUP(cleanup_free) char *xml = virStoragePoolGetXMLDesc(pool, 0);
    struct storage_pool found;
    char *path = NULL;

    if (!xml) {
        int r = peer_error(err, "its XML");

        return error_prefix(err, r, "pool '%s'", virStoragePoolGetName(pool));
    }
    if (storage_pool_parse(text_of(xml, strlen(xml)), &found, err) < 0)
        return -EIO;
    if (found.directory[0] == '\0' || strchr(volume, '/'))
        return error_set(err, -ENOENT, "pool '%s' has no volume '%.200s'",
                         virStoragePoolGetName(pool), volume);
    if (asprintf(&path, "%s/%s", found.directory, volume) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    *ret_path = path;
    return 0;
}

int volume_path(struct vm_peer *peer, const char *pool, const char *volume, char **ret_path,
                struct error *err)
{
    CLEANUP(cleanup_pool) virStoragePoolPtr found_pool = NULL;
    CLEANUP(cleanup_volume) virStorageVolPtr found = NULL;
    char *path;

    found_pool = virStoragePoolLookupByName(peer->connection, pool);
    if (!found_pool)
        return peer_error(err, "pool '%.200s'", pool);
    found = virStorageVolLookupByName(found_pool, volume);
    if (!found)
        return unseen_path(found_pool, volume, ret_path, err);
    path = virStorageVolGetPath(found);
    if (!path)
        return peer_error(err, "volume '%.200s' of pool '%.200s'", volume, pool);
    *ret_path = path;
    return 0;
}

bool volume_look(struct vm_peer *peer, const char *path, virStorageVolPtr *ret_volume)
{
    CLEANUP(cleanup_pool) virStoragePoolPtr pool = NULL;
    char directory[PATH_MAX];
    char *slash;

    *ret_volume = NULL;
    if (!string_copy(directory, sizeof(directory), path))
        return false;
    slash = strrchr(directory, '/');
    if (!slash || slash == directory)
        return false;
    *slash = '\0';
    pool = virStoragePoolLookupByTargetPath(peer->connection, directory);
    if (!pool || virStoragePoolRefresh(pool, 0) < 0)
        return false;
    *ret_volume = virStorageVolLookupByName(pool, slash + 1);
    return *ret_volume || virGetLastErrorCode() == VIR_ERR_NO_STORAGE_VOL;
}

/* The path that the volume's XML says it lies on; NULL. A raw one lies on nothing. */
static int layer_below(struct vm_peer *peer, const char *path, char **ret_below, bool *ret_is_raw)
{
    CLEANUP(cleanup_volume) virStorageVolPtr volume = NULL;
    CLEANUP(cleanup_free) char *xml = NULL;
    CLEANUP(xml_cleanup) xmlDocPtr tree = NULL;
    xmlNode *backing;
    char format[16];

    *ret_below = NULL;
    *ret_is_raw = false;
    volume = virStorageVolLookupByPath(peer->connection, path);
    xml = volume ? virStorageVolGetXMLDesc(volume, 0) : NULL;
    if (!xml || xml_parse(text_of(xml, strlen(xml)), "volume XML", "volume", &tree, NULL) < 0)
        return 0;
    backing = xml_child(xmlDocGetRootElement(tree), "backingStore");
    xml_attribute(xml_child(backing, "format"), "type", format, sizeof(format));
    *ret_is_raw = strcmp(format, "raw") == 0;
    return xml_content_dup(xml_child(backing, "path"), ret_below);
}

int volume_layers(struct vm_peer *peer, const char *path, struct vm_lines *layers)
{
    const char *above = path;
    bool is_raw = false;

    /* A chain that bites its own tail ends as well. */
    while (layers->count < MAX_LAYERS && !is_raw) {
        CLEANUP(cleanup_free) char *below = NULL;

        if (layer_below(peer, above, &below, &is_raw) < 0)
            return -ENOMEM;
        if (!below || below[0] != '/' || strcmp(below, path) == 0 || lines_have(layers, below))
            return 0;
        if (lines_add_exactly(layers, below) < 0)
            return -ENOMEM;
        above = layers->lines[layers->count - 1];
    }
    return 0;
}

uint64_t file_allocated(struct vm_peer *peer, const char *path)
{
    CLEANUP(cleanup_volume) virStorageVolPtr volume = NULL;
    virStorageVolInfo info;
    struct stat stat_of;

    volume = virStorageVolLookupByPath(peer->connection, path);
    if (volume && virStorageVolGetInfo(volume, &info) == 0)
        return info.allocation;
    if (peer_is_local(peer) && stat(path, &stat_of) == 0 && S_ISREG(stat_of.st_mode))
        return (uint64_t)stat_of.st_blocks * 512;
    return UNKNOWN_U64;
}

static bool volume_size(struct vm_peer *peer, const char *path, uint64_t *ret_capacity,
                        uint64_t *ret_allocated)
{
    CLEANUP(cleanup_volume)
    virStorageVolPtr volume = virStorageVolLookupByPath(peer->connection, path);
    virStorageVolInfo info;

    if (!volume || virStorageVolGetInfo(volume, &info) < 0)
        return false;
    *ret_capacity = info.capacity;
    *ret_allocated = info.allocation;
    return true;
}

/* libvirtd opens whatever lies there, and waits for ever where that is a FIFO. */
static bool is_no_disk(struct vm_peer *peer, const char *path)
{
    struct stat status;

    return peer_is_local(peer) && path && stat(path, &status) == 0 && !S_ISREG(status.st_mode) &&
           !S_ISBLK(status.st_mode);
}

/*
 * A disk of a VM that is off and named by pool and volume is known to its pool
 * alone. Nothing is freed behind the last question, which would forget its error.
 */
bool disk_size(struct vm_peer *peer, virDomainPtr domain, const struct disk_facts *disk,
               uint64_t *ret_capacity, uint64_t *ret_allocated, const char **ret_problem)
{
    virDomainBlockInfo block;

    *ret_capacity = *ret_allocated = UNKNOWN_U64;
    if (is_no_disk(peer, disk->path)) {
        *ret_problem = "it is neither a file nor a block device";
        return false;
    }

    if (disk->pool && volume_size(peer, disk->path, ret_capacity, ret_allocated))
        return true;
    if (virDomainGetBlockInfo(domain, disk->target, &block, 0) == 0) {
        *ret_capacity = block.capacity;
        *ret_allocated = block.allocation;
        return true;
    }
    *ret_capacity = *ret_allocated = UNKNOWN_U64;
    *ret_problem = peer_last_message();
    return false;
}

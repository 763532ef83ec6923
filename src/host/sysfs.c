/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What only /sys tells of disks and interfaces: kinds and MAC addresses (effects: open, read). */

#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define SHORTEST_REFRESH_S 30
#define REFRESH_SPREAD_S   30

/*
 * Everything is looked up again after a minute at the latest. The moments
 * are spread, so that a host of thousands of interfaces does not pay for
 * all of them in the same second.
 */
static double next_look_up_s(const struct name_entry *entry, double now_s)
{
    return now_s + SHORTEST_REFRESH_S + entry->hash % (REFRESH_SPREAD_S + 1);
}

/*
 * Formats "folder/name/leaf". False for a name that leads elsewhere. A '/'
 * in a disk's name (cciss/c0d0) is a '!' in sysfs.
 */
static bool make_path(char *path, size_t size, const char *folder, const char *name,
                      const char *leaf)
{
    char *start = path + strlen(folder) + 1;

    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
        !string_format(path, size, "%s/%s/%s", folder, name, leaf))
        return false;
    for (char *c = start; c < start + strlen(name); c++) {
        if (*c == '/')
            *c = '!';
    }
    return true;
}

static bool exists(int directory, const char *path)
{
    return faccessat(directory, path, F_OK, 0) == 0;
}

static bool has_entries(int directory, const char *path)
{
    int fd = openat(directory, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const struct dirent *item;
    bool found = false;
    DIR *stream;

    if (fd < 0)
        return false;
    stream = fdopendir(fd);
    if (stream == NULL) {
        close(fd);
        return false;
    }
    while (!found && (item = readdir(stream)) != NULL)
        found = item->d_name[0] != '.';
    closedir(stream);
    return found;
}

static bool look_up_kind(int sys_directory, const char *name, enum disk_kind *ret_kind)
{
    char path[DISK_NAME_BYTES + 64];
    enum disk_kind kind;

    if (!make_path(path, sizeof(path), "class/block", name, "partition"))
        return false;
    if (exists(sys_directory, path)) {
        *ret_kind = DISK_PARTITION;
        return true;
    }
    /* Partitions are not in <sys>/block. */
    if (!make_path(path, sizeof(path), "block", name, "") || !exists(sys_directory, path))
        return false;
    kind = disk_kind_of_family(name);
    make_path(path, sizeof(path), "block", name, "slaves");
    if (kind == DISK_WHOLE && has_entries(sys_directory, path))
        kind = DISK_STACKED;
    *ret_kind = kind;
    return true;
}

void sysfs_refine_disks(int sys_directory, struct name_cache *cache, double now_s,
                        struct host_disks *disks)
{
    if (sys_directory < 0)
        return;
    for (size_t i = 0; i < disks->count; i++) {
        struct host_disk *disk = &disks->disks[i];
        struct name_entry *entry = name_cache_get(cache, disk->name);

        if (entry == NULL)
            continue;
        if (now_s >= entry->look_up_again_s || entry->major != disk->major ||
            entry->minor != disk->minor) {
            entry->major = disk->major;
            entry->minor = disk->minor;
            entry->kind_is_known = look_up_kind(sys_directory, disk->name, &entry->kind);
            entry->look_up_again_s = next_look_up_s(entry, now_s);
        }
        if (entry->kind_is_known)
            disk->kind = entry->kind;
    }
    name_cache_end_round(cache);
}

static bool read_mac(int sys_directory, const char *name, struct file_buffer *buffer, char *ret_mac)
{
    char path[INTERFACE_NAME_BYTES + 64];
    struct text line, text;

    if (!make_path(path, sizeof(path), "class/net", name, "address") ||
        file_read(sys_directory, path, buffer) < 0)
        return false;
    text = text_of(buffer->bytes, buffer->length);
    if (!text_next_line(&text, &line))
        return false;
    for (const char *at = line.at; at < line.end; at++) {
        if (*at == '\0' || strchr("0123456789abcdefABCDEF:", *at) == NULL)
            return false;
    }
    return text_length(line) < MAC_BYTES && text_copy(line, ret_mac, MAC_BYTES);
}

static void look_up_mac(int sys_directory, struct file_buffer *buffer, struct name_entry *entry)
{
    char base[INTERFACE_NAME_BYTES];
    char *colon;

    entry->mac[0] = '\0';
    if (read_mac(sys_directory, entry->name, buffer, entry->mac))
        return;
    /* An alias (eth0:1) has its interface's address. */
    string_copy(base, sizeof(base), entry->name);
    colon = strchr(base, ':');
    if (colon != NULL) {
        *colon = '\0';
        read_mac(sys_directory, base, buffer, entry->mac);
    }
}

/* An interface that was removed and made again since the last sample starts at 0. */
static bool went_backwards(const struct name_entry *entry, const struct net_counters *now)
{
    return now->rx_bytes < entry->rx_bytes || now->rx_packets < entry->rx_packets ||
           now->tx_bytes < entry->tx_bytes || now->tx_packets < entry->tx_packets;
}

void sysfs_fill_macs(int sys_directory, struct name_cache *cache, double now_s,
                     struct file_buffer *buffer, struct host_interfaces *interfaces)
{
    if (sys_directory < 0)
        return;
    for (size_t i = 0; i < interfaces->count; i++) {
        struct host_interface *interface = &interfaces->interfaces[i];
        const struct net_counters *counters = &interface->counters;
        struct name_entry *entry = name_cache_get(cache, interface->name);

        if (entry == NULL)
            continue;
        if (now_s >= entry->look_up_again_s || went_backwards(entry, counters)) {
            look_up_mac(sys_directory, buffer, entry);
            entry->look_up_again_s = next_look_up_s(entry, now_s);
        }
        entry->rx_bytes = counters->rx_bytes;
        entry->rx_packets = counters->rx_packets;
        entry->tx_bytes = counters->tx_bytes;
        entry->tx_packets = counters->tx_packets;
        memcpy(interface->mac, entry->mac, sizeof(interface->mac));
    }
    name_cache_end_round(cache);
}

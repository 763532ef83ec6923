/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of stage host/ share among themselves. */
#ifndef SETMOV_HOST_INTERNAL_H
#define SETMOV_HOST_INTERNAL_H

#include "setmov/host.h"

/* ---- pure ------------------------------------------------------------------ */

/*
 * Takes one line that ends with a newline. The kernel ends every line with
 * one, so what is behind the last was cut somewhere: perhaps inside of a
 * number, which would then look like a good one.
 */
static inline bool next_whole_line(struct text *text, struct text *ret_line)
{
    const char *line_end;

    if (text->at >= text->end)
        return false;
    line_end = memchr(text->at, '\n', text_length(*text));
    if (line_end == NULL)
        return false;
    *ret_line = (struct text){text->at, line_end};
    text->at = line_end + 1;
    return true;
}

static inline bool rest_is_blank(struct text text)
{
    struct text word;

    return !text_next_word(&text, &word);
}

/*
 * Copies a device's name. False for one that does not fit (cut, it could be
 * another device's) and for one with control characters in it, which the
 * kernel allows and which would end up in terminals and file names.
 */
static inline bool copy_name(struct text name, char *buffer, size_t size)
{
    for (const char *at = name.at; at < name.end; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return false;
    }
    return name.at < name.end && text_copy(name, buffer, size);
}

/* What a disk's name says of it when it is no partition. */
enum disk_kind disk_kind_of_family(const char *name);

/* The interface of the best default route in /proc/net/route or /proc/net/ipv6_route. */
bool route_default_interface(struct text proc_net_route, char *ret_name, size_t size);
bool route6_default_interface(struct text proc_net_ipv6_route, char *ret_name, size_t size);

/*
 * The first of this host's own addresses (/proc/net/fib_trie) that lies in a
 * network which /proc/net/route says is on that interface.
 */
bool route_find_address(struct text proc_net_fib_trie, struct text proc_net_route,
                        const char *interface, char *ret_address, size_t size);

/* An address of the interface in /proc/net/if_inet6; global ones are preferred. */
bool route6_find_address(struct text proc_net_if_inet6, const char *interface, char *ret_address,
                         size_t size);

/*
 * What was looked up for a name, remembered. Entries that were not asked for
 * in a round are forgotten at its end, so that a device that comes back is
 * looked up again. Pointers are good until the next call that adds.
 */
struct name_entry {
    char name[DISK_NAME_BYTES];
    uint32_t hash;
    uint32_t next; /* in the chain: index + 1, 0 at its end */
    uint32_t round;
    double look_up_again_s; /* CLOCK_MONOTONIC */
    union {
        struct {
            char mac[MAC_BYTES];
            uint64_t rx_bytes, rx_packets, tx_bytes, tx_packets;
        };
        struct {
            unsigned major, minor;
            bool kind_is_known; /* sysfs has the disk */
            enum disk_kind kind;
        };
    };
};

struct name_cache {
    struct name_entry *entries;
    size_t count, capacity;
    uint32_t *chains; /* index + 1 of the first entry, 0: none */
    size_t chain_count, chain_capacity;
    uint32_t round;
    size_t asked; /* entries asked for in this round */
};

/*
 * The entry of a name shorter than DISK_NAME_BYTES; a new one is zeroed but
 * for its name, so its time to be looked up is in the past. NULL: no memory.
 */
struct name_entry *name_cache_get(struct name_cache *cache, const char *name);
void name_cache_end_round(struct name_cache *cache);
void name_cache_release(struct name_cache *cache);

/* ---- effects: sysfs.c, identity.c -------------------------------------------- */

/* Corrects the kinds that host_classify_disks set, from <sys>/class/block. */
void sysfs_refine_disks(int sys_directory, struct name_cache *cache, double now_s,
                        struct host_disks *disks);

/* Fills in the MAC addresses from <sys>/class/net. */
void sysfs_fill_macs(int sys_directory, struct name_cache *cache, double now_s,
                     struct file_buffer *buffer, struct host_interfaces *interfaces);

/*
 * Host name and address; `own` when the tree is this process's own /proc.
 * `net` is the folder of the network files in it. "" where nothing is known.
 */
void identity_host_name(int proc_directory, bool own, struct file_buffer *buffer, char *ret_name,
                        size_t size);
void identity_address(int proc_directory, const char *net, bool own, char *ret_address,
                      size_t size);

#endif

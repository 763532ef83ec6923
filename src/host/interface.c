/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parser of /proc/net/dev. Pure. */

#include "internal.h"

#include <errno.h>

#define NET_NUMBERS 16

static bool parse_counters(struct text text, struct net_counters *ret_counters)
{
    uint64_t n[NET_NUMBERS];

    for (size_t i = 0; i < NET_NUMBERS; i++) {
        if (!text_next_u64(&text, &n[i]))
            return false;
    }
    *ret_counters = (struct net_counters){
        .rx_bytes = n[0],
        .rx_packets = n[1],
        .rx_errors = n[2],
        .rx_dropped = n[3],
        .rx_fifo = n[4],
        .rx_frame = n[5],
        .rx_compressed = n[6],
        .rx_multicast = n[7],
        .tx_bytes = n[8],
        .tx_packets = n[9],
        .tx_errors = n[10],
        .tx_dropped = n[11],
        .tx_fifo = n[12],
        .tx_collisions = n[13],
        .tx_carrier = n[14],
        .tx_compressed = n[15],
    };
    return true;
}

static bool parse_line(struct text line, struct host_interface *ret_interface)
{
    struct text name = {line.at, line.end};

    while (name.at < name.end && (*name.at == ' ' || *name.at == '\t'))
        name.at++;
    /*
     * Names may hold colons: the last one that counters follow ends the name.
     * A try stops at the next colon at the latest, so all of them together
     * look at each byte a bounded number of times.
     */
    for (;;) {
        const char *colon = name.at == name.end ? NULL : memrchr(name.at, ':', text_length(name));

        if (colon == NULL || colon == name.at)
            return false;
        name.end = colon;
        if (parse_counters((struct text){colon + 1, line.end}, &ret_interface->counters))
            break;
    }
    ret_interface->mac[0] = '\0';
    return copy_name(name, ret_interface->name, sizeof(ret_interface->name));
}

static bool is_header(struct text line)
{
    return text_length(line) > 0 && memchr(line.at, '|', text_length(line)) != NULL;
}

int host_parse_net_dev(struct text text, struct host_interfaces *interfaces, struct error *err)
{
    struct text line;

    interfaces->count = 0;
    for (int i = 0; i < 2; i++) {
        if (!next_whole_line(&text, &line) || !is_header(line))
            return error_set(err, -EBADMSG, "/proc/net/dev: the two header lines are not there");
    }
    while (next_whole_line(&text, &line)) {
        int rc = array_reserve(&interfaces->interfaces, &interfaces->capacity,
                               interfaces->count + 1, sizeof(*interfaces->interfaces));

        if (rc < 0) {
            interfaces->count = 0;
            return error_set(err, rc, "/proc/net/dev: no memory for the interfaces");
        }
        if (parse_line(line, &interfaces->interfaces[interfaces->count]))
            interfaces->count++;
    }
    return 0;
}

const struct host_interface *host_find_interface(const struct host_interfaces *interfaces,
                                                 const char *name, size_t *hint)
{
    size_t first = hint != NULL && *hint < interfaces->count ? *hint : 0;

    for (size_t n = 0, i = first; n < interfaces->count; n++) {
        if (strcmp(interfaces->interfaces[i].name, name) == 0) {
            if (hint != NULL)
                *hint = i + 1;
            return &interfaces->interfaces[i];
        }
        i = i + 1 < interfaces->count ? i + 1 : 0;
    }
    return NULL;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Remembers, for each device of a VM or of the host, what its type instance is
 * and whether the filters select it, so that neither is worked out again in
 * every cycle. An entry is made anew when another device is at its place.
 */
#ifndef SETMOV_PLUGIN_DEVICES_H
#define SETMOV_PLUGIN_DEVICES_H

#include "setmov_emit.h"

#include "setmov/vm.h"

struct device {
    char key[VM_PATH_BYTES]; /* what it was made from */
    bool selected;
    struct label label; /* points to text */
    char text[DATA_MAX_NAME_LEN];
    char mac[MAC_BYTES]; /* what `meta` says */
    meta_data_t *meta;   /* owned; NULL: none */
};

/* Entries are allocated one by one, their labels point into themselves. */
struct device_list {
    struct device **devices;
    size_t count, capacity;
};

struct device_query {
    const char *key; /* name, path or address of the device; "": not known yet */
    const struct filter *filter;
    const char *vm; /* NULL: a device of the host */
    bool basename;
};

/*
 * The device at that place (places are asked in order, from 0 on), or NULL
 * where it is not to be collected: its key is not known yet, the filter leaves
 * it out, a device at a place before it has the same label (then a warning is
 * logged once), or memory is short.
 */
struct device *device_list_at(struct device_list *list, size_t place,
                              const struct device_query *query);

/* Makes the device's values carry its MAC address; "" for none. */
void device_set_mac(struct device *device, const char *mac);

void device_list_release(struct device_list *list);

#endif

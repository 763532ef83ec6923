/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which VMs and devices are collected: lists of exact names and of regular
 * expressions, with the meaning that users of collectd's virt plugin know
 * (collectd.conf(5)). collectd's own ignorelist is not exported to plugins.
 *
 * Pure. A filter is changed while the configuration is read and only asked
 * afterwards; asking is safe from several threads.
 */
#ifndef SETMOV_PLUGIN_FILTER_H
#define SETMOV_PLUGIN_FILTER_H

#include "setmov/base.h"

struct filter_entry;

struct filter {
    struct filter_entry *entries; /* owned */
    size_t count, capacity;
    bool ignore_selected; /* false: only what is listed; true: all but what is listed */
};

/*
 * Adds a name, or a POSIX extended regular expression where the text is
 * "/.../". -EINVAL for an empty text or a bad expression; then `err` holds
 * why, in the words of the regular expression compiler.
 */
int filter_add(struct filter *filter, const char *pattern, struct error *err);

/* An empty filter selects everything. */
bool filter_selects(const struct filter *filter, const char *text);

/* The text that is compared is "VM:DEVICE", as with the virt plugin. */
bool filter_selects_device(const struct filter *filter, const char *vm, const char *device);

void filter_release(struct filter *filter); /* leaves it zeroed */

#endif

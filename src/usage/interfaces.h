/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Usage of network interfaces, of the host as of a VM (formulas 5 to 7). */
#ifndef SETMOV_USAGE_INTERFACES_H
#define SETMOV_USAGE_INTERFACES_H

#include "match.h"

#include "setmov/usage.h"

/* What the formulas need of an interface, whosever it is. */
struct interface_counters {
    const char *name, *mac;
    uint64_t rx_bytes, rx_packets, rx_errors, rx_dropped;
    uint64_t tx_bytes, tx_packets, tx_errors, tx_dropped;
};

/* A list of a sample. */
struct interface_list {
    const void *interfaces;
    size_t count;
    double time_s;
    struct interface_counters (*at)(const void *interfaces, size_t index);
};

/*
 * Makes `*usages` (grown as needed) the usage of each interface of `after`;
 * `earlier` finds those of `before`. Returns 0 or -ENOMEM.
 */
int fill_interfaces(const struct interface_list *before, const struct interface_list *after,
                    struct name_matcher *earlier, double overhead_bits,
                    struct interface_usage **usages, size_t *capacity);

#endif

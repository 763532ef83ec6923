/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Usage of network interfaces (see interfaces.h). */
#include "interfaces.h"
#include "rate.h"

#include <errno.h>
#include <math.h>

static struct interface_usage interface_between(const struct interface_counters *before,
                                                const struct interface_counters *after,
                                                double elapsed_s, double overhead_bits)
{
    return (struct interface_usage){
        .name = after->name,
        .mac = after->mac,
        .rx = usage_packets(before->rx_packets, after->rx_packets, before->rx_bytes,
                            after->rx_bytes, elapsed_s, overhead_bits),
        .tx = usage_packets(before->tx_packets, after->tx_packets, before->tx_bytes,
                            after->tx_bytes, elapsed_s, overhead_bits),
        .rx_errors_per_s = usage_rate(before->rx_errors, after->rx_errors, elapsed_s),
        .tx_errors_per_s = usage_rate(before->tx_errors, after->tx_errors, elapsed_s),
        .rx_dropped_per_s = usage_rate(before->rx_dropped, after->rx_dropped, elapsed_s),
        .tx_dropped_per_s = usage_rate(before->tx_dropped, after->tx_dropped, elapsed_s),
    };
}

int fill_interfaces(const struct interface_list *before, const struct interface_list *after,
                    struct name_matcher *earlier, double overhead_bits,
                    struct interface_usage **usages, size_t *capacity)
{
    double elapsed_s = elapsed_between(before->time_s, after->time_s);

    if (array_reserve(usages, capacity, after->count, sizeof(**usages)) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < after->count; i++) {
        struct interface_counters now = after->at(after->interfaces, i), then = now;
        size_t index = SIZE_MAX;
        if (name_matcher_find(earlier, now.name, &index) < 0)
            return -ENOMEM;
        if (index < before->count)
            then = before->at(before->interfaces, index);
        /* Against itself over an unknown time: everything about a new device is unknown. */
        (*usages)[i] =
            interface_between(&then, &now, index < before->count ? elapsed_s : NAN, overhead_bits);
    }
    return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Formulas 5 to 7: packets, packet size and bits of one direction. */
#include "rate.h"

#include <math.h>

struct packet_usage usage_packets(uint64_t packets_before, uint64_t packets_after,
                                  uint64_t bytes_before, uint64_t bytes_after, double elapsed_s,
                                  double overhead_bits)
{
    struct packet_usage usage = {NAN, NAN, NAN};
    double packets = counter_difference(packets_before, packets_after);
    double bytes = counter_difference(bytes_before, bytes_after);
    if (!(elapsed_s > 0) || isnan(packets))
        return usage;

    usage.packets_per_s = finite_or_nan(packets / elapsed_s);
    if (isnan(bytes))
        return usage;
    if (packets > 0) {
        usage.packet_bits = bytes * 8.0 / packets + overhead_bits;
        usage.bits_per_s = finite_or_nan(usage.packets_per_s * usage.packet_bits);
    } else {
        usage.bits_per_s = 0;
    }
    return usage;
}

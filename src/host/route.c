/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The interface with the default route and its address, out of /proc/net. Pure. */

#include "internal.h"

#include <arpa/inet.h>

#define ROUTE_UP      0x0001
#define ROUTE_REJECT  0x0200
#define MOST_NETWORKS 16 /* of one interface; more are not needed to find an address */

#define SCOPE_LINK 0x20
#define SCOPE_HOST 0x10
#define ADDRESS_UNSUITABLE                                                                         \
    (0x01 | 0x08 | 0x20 | 0x40) /* temporary, failed, deprecated, tentative */

/* The next word as a hexadecimal number of at most 8 digits. */
static bool next_hex(struct text *text, uint32_t *ret_value)
{
    struct text word;
    uint32_t value = 0;

    if (!text_next_word(text, &word) || text_length(word) > 8)
        return false;
    for (const char *at = word.at; at < word.end; at++) {
        int digit = hexadecimal_digit(*at);

        if (digit < 0)
            return false;
        value = value << 4 | (uint32_t)digit;
    }
    *ret_value = value;
    return true;
}

/* The next word as 32 hexadecimal digits. */
static bool next_address6(struct text *text, struct in6_addr *ret_address)
{
    struct text word;

    if (!text_next_word(text, &word) || text_length(word) != 32)
        return false;
    for (size_t i = 0; i < 16; i++) {
        int high = hexadecimal_digit(word.at[2 * i]), low = hexadecimal_digit(word.at[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        ret_address->s6_addr[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

struct route {
    struct text interface;
    uint32_t destination, gateway, mask; /* bytes as on the wire, as the kernel printed them */
    uint32_t flags;
    uint64_t metric;
};

static bool parse_route(struct text line, struct route *ret_route)
{
    uint64_t ignored;

    return text_next_word(&line, &ret_route->interface) &&
           next_hex(&line, &ret_route->destination) && next_hex(&line, &ret_route->gateway) &&
           next_hex(&line, &ret_route->flags) && text_next_u64(&line, &ignored) &&
           text_next_u64(&line, &ignored) && text_next_u64(&line, &ret_route->metric) &&
           next_hex(&line, &ret_route->mask);
}

bool route_default_interface(struct text proc_net_route, char *ret_name, size_t size)
{
    uint64_t best = UINT64_MAX;
    bool found = false;
    struct text line;

    while (next_whole_line(&proc_net_route, &line)) {
        struct route route;

        if (!parse_route(line, &route) || route.destination != 0 || route.mask != 0 ||
            !(route.flags & ROUTE_UP) || (route.flags & ROUTE_REJECT) || route.metric >= best)
            continue;
        if (copy_name(route.interface, ret_name, size)) {
            best = route.metric;
            found = true;
        }
    }
    return found;
}

bool route6_default_interface(struct text proc_net_ipv6_route, char *ret_name, size_t size)
{
    uint64_t best = UINT64_MAX;
    bool found = false;
    struct text line;

    while (next_whole_line(&proc_net_ipv6_route, &line)) {
        struct in6_addr destination, source, gateway;
        uint32_t length, source_length, metric, references, uses, flags;
        struct text name;

        if (!next_address6(&line, &destination) || !next_hex(&line, &length) ||
            !next_address6(&line, &source) || !next_hex(&line, &source_length) ||
            !next_address6(&line, &gateway) || !next_hex(&line, &metric) ||
            !next_hex(&line, &references) || !next_hex(&line, &uses) || !next_hex(&line, &flags) ||
            !text_next_word(&line, &name))
            continue;
        if (length != 0 || !IN6_IS_ADDR_UNSPECIFIED(&destination) || !(flags & ROUTE_UP) ||
            (flags & ROUTE_REJECT) || text_equals(name, "lo") || metric >= best)
            continue;
        if (copy_name(name, ret_name, size)) {
            best = metric;
            found = true;
        }
    }
    return found;
}

struct networks {
    struct route routes[MOST_NETWORKS];
    size_t count;
};

static void find_networks(struct text proc_net_route, const char *interface,
                          struct networks *ret_networks)
{
    struct text line;

    ret_networks->count = 0;
    while (ret_networks->count < MOST_NETWORKS && next_whole_line(&proc_net_route, &line)) {
        struct route *route = &ret_networks->routes[ret_networks->count];

        if (parse_route(line, route) && route->mask != 0 && route->gateway == 0 &&
            text_equals(route->interface, interface))
            ret_networks->count++;
    }
}

static bool is_in(const struct networks *networks, struct in_addr address)
{
    for (size_t i = 0; i < networks->count; i++) {
        const struct route *route = &networks->routes[i];

        if ((address.s_addr & route->mask) == route->destination)
            return true;
    }
    return false;
}

bool route_find_address(struct text proc_net_fib_trie, struct text proc_net_route,
                        const char *interface, char *ret_address, size_t size)
{
    struct in_addr address = {0};
    struct networks networks;
    struct text line, word;

    find_networks(proc_net_route, interface, &networks);
    /* "|-- 192.0.2.1", and on the next line "/32 host LOCAL" if it is our own */
    while (networks.count > 0 && next_whole_line(&proc_net_fib_trie, &line)) {
        char text[INET_ADDRSTRLEN];

        if (!text_next_word(&line, &word))
            continue;
        if (text_equals(word, "|--")) {
            if (!text_next_word(&line, &word) || !text_copy(word, text, sizeof(text)) ||
                inet_pton(AF_INET, text, &address) != 1)
                address.s_addr = 0;
            continue;
        }
        if (!text_equals(word, "/32") || !text_next_word(&line, &word) ||
            !text_equals(word, "host") || !text_next_word(&line, &word) ||
            !text_equals(word, "LOCAL") || address.s_addr == 0 || !is_in(&networks, address))
            continue;
        return inet_ntop(AF_INET, &address, ret_address, (socklen_t)size) != NULL;
    }
    return false;
}

bool route6_find_address(struct text proc_net_if_inet6, const char *interface, char *ret_address,
                         size_t size)
{
    struct in6_addr best;
    int best_rank = 0;
    struct text line;

    while (next_whole_line(&proc_net_if_inet6, &line)) {
        uint32_t number, length, scope, flags;
        struct in6_addr address;
        struct text name;
        int rank;

        if (!next_address6(&line, &address) || !next_hex(&line, &number) ||
            !next_hex(&line, &length) || !next_hex(&line, &scope) || !next_hex(&line, &flags) ||
            !text_next_word(&line, &name) || !text_equals(name, interface))
            continue;
        rank = 1;
        if (scope != SCOPE_LINK && scope != SCOPE_HOST)
            rank = (flags & ADDRESS_UNSUITABLE) ? 2 : 3;
        if (rank > best_rank) {
            best = address;
            best_rank = rank;
        }
    }
    return best_rank > 0 && inet_ntop(AF_INET6, &best, ret_address, (socklen_t)size) != NULL;
}

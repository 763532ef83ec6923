/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: the files of /proc/net that tell this host's address. The
 * input is two files with a byte 0 between them: routes, and addresses.
 */

#include "../../src/host/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool found, const char *text, size_t size)
{
    if (found && (text[0] == '\0' || memchr(text, '\0', size) == NULL))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *split = size > 0 ? memchr(data, '\0', size) : NULL;
    struct text routes = text_of((const char *)data, size), addresses = routes;
    char interface[INTERFACE_NAME_BYTES] = "", address[64] = "";

    if (split != NULL) {
        routes.end = (const char *)split;
        addresses.at = (const char *)split + 1;
    }
    if (route_default_interface(routes, interface, sizeof(interface))) {
        check(true, interface, sizeof(interface));
        check(route_find_address(addresses, routes, interface, address, sizeof(address)), address,
              sizeof(address));
    }
    if (route6_default_interface(routes, interface, sizeof(interface))) {
        check(true, interface, sizeof(interface));
        check(route6_find_address(addresses, interface, address, sizeof(address)), address,
              sizeof(address));
    }
    return 0;
}

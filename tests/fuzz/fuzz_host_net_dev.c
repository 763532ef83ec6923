/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fuzz target: /proc/net/dev. */

#include "setmov/host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct host_interfaces interfaces = {0};
    struct error err;
    size_t hint = 0;

    for (int i = 0; i < 2; i++) {
        if (host_parse_net_dev(text_of((const char *)data, size), &interfaces, &err) < 0 &&
            (interfaces.count != 0 || err.text[0] == '\0'))
            abort();
    }
    for (size_t i = 0; i < interfaces.count; i++) {
        const char *name = interfaces.interfaces[i].name;

        if (name[0] == '\0' || memchr(name, '\0', INTERFACE_NAME_BYTES) == NULL ||
            host_find_interface(&interfaces, name, &hint) == NULL)
            abort();
    }
    free(interfaces.interfaces);
    return 0;
}

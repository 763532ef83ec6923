/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fuzz target: domain XML, parsed into devices that hold those of another domain. */

#include "vm/domain_xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool truth)
{
    if (!truth)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char other[] = "<domain><devices><disk><target dev='x'/></disk><interface/>"
                                "<memballoon model='virtio'/></devices></domain>";
    struct domain_devices devices = {.disks = NULL};
    struct error err = {""};
    int r;

    check(domain_devices_parse(text_of(other, sizeof(other) - 1), &devices, NULL) == 0);
    r = domain_devices_parse(text_of((const char *)data, size), &devices, &err);
    if (r < 0)
        check(devices.disk_count == 0 && devices.interface_count == 0 && !devices.has_balloon &&
              err.text[0] != '\0' && strchr(err.text, '\n') == NULL);
    for (size_t i = 0; i < devices.disk_count; i++) {
        const struct domain_disk *disk = &devices.disks[i];

        check(memchr(disk->target, '\0', sizeof(disk->target)) != NULL);
        check(memchr(disk->source, '\0', sizeof(disk->source)) != NULL);
    }
    for (size_t i = 0; i < devices.interface_count; i++) {
        const struct domain_interface *interface = &devices.interfaces[i];

        check(memchr(interface->target, '\0', sizeof(interface->target)) != NULL);
        check(memchr(interface->mac, '\0', sizeof(interface->mac)) != NULL);
        check(memchr(interface->type, '\0', sizeof(interface->type)) != NULL);
    }
    domain_devices_release(&devices);
    return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fuzz target: VMDK descriptors; what is written again must mean the same and name nothing else. */

#include "image/vmdk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vmdk_descriptor first, second;
    struct error err = {0};
    int fds[VMDK_MOST_EXTENTS];
    char *text;

    if (vmdk_descriptor_parse(text_of((const char *)data, size), &first, &err) < 0) {
        if (err.text[0] == '\0')
            abort();
        return 0;
    }
    for (int i = 0; i < VMDK_MOST_EXTENTS; i++)
        fds[i] = INT32_MAX - i;
    if (vmdk_descriptor_write(&first, fds, &text) < 0)
        abort();
    if (vmdk_descriptor_parse(text_of(text, strlen(text)), &second, &err) < 0 ||
        second.count != first.count || second.parent[0] != '\0' || second.id != first.id)
        abort();
    for (size_t i = 0; i < first.count; i++) {
        const struct vmdk_extent *one = &first.extents[i], *other = &second.extents[i];

        if (one->sectors != other->sectors || strcmp(one->kind, other->kind) != 0 ||
            (strcmp(one->kind, "FLAT") == 0 && one->offset != other->offset))
            abort();
        if (other->name[0] != '\0' && strncmp(other->name, "/proc/self/fd/", 14) != 0)
            abort();
    }
    free(text);
    vmdk_descriptor_release(&first);
    vmdk_descriptor_release(&second);
    return 0;
}

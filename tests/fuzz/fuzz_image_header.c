/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fuzz target: headers of image files. */

#include "image/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const formats[] = {"qcow2", "qcow", "qed", "vmdk", "vdi", "luks", "raw"};
    const char *probed = image_header_probe(data, size);

    if (image_format_find(probed) == NULL)
        abort();
    for (size_t i = 0; i < ARRAY_LENGTH(formats); i++) {
        struct image_header header;
        struct error err = {0};
        int rc = image_header_parse(formats[i], data, size, &header, &err);

        if (rc == 0) {
            if (header.size != UNKNOWN_U64 && header.size > IMAGE_MAX_SIZE)
                abort();
            if (memchr(header.backing, '\0', sizeof(header.backing)) == NULL ||
                memchr(header.data_file, '\0', sizeof(header.data_file)) == NULL)
                abort();
            (void)image_name_check(header.backing, &err);
        } else if (err.text[0] == '\0' && size >= IMAGE_HEADER_MOST) {
            abort(); /* that many bytes are always enough to say what is wrong */
        }
    }
    return 0;
}

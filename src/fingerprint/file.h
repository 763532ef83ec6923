/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Mapped files, and the guard over mappings that somebody cuts short. Private to fingerprint/. */
#ifndef FINGERPRINT_FILE_H
#define FINGERPRINT_FILE_H

#include "setmov/fingerprint_file.h"

enum file_trust {
    FILE_TRUSTED,  /* made by this process a moment ago: no checksums */
    FILE_CHECKED,  /* checksums of what is asked for */
    FILE_VERIFIED, /* the order of digests as well */
};

/* Maps an open file, which may be closed afterwards. `path` may be NULL. */
int file_map(int fd, const char *path, unsigned parts, enum file_trust trust,
             struct fingerprint_file **ret_file, struct error *err);

/* ---- the guard; adding to it is public ---- */

bool file_guard_is_installed(void);
size_t file_guard_page_bytes(void);

#endif

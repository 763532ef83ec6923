/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The two ways to put chunks of 64 bytes into SHA-256's state. Private to digest/ and its tests. */
#ifndef SETMOV_DIGEST_CONTENT_H
#define SETMOV_DIGEST_CONTENT_H

#include "setmov/digest.h"

void digest_content_portable(uint32_t state[8], const uint8_t *bytes, size_t chunks);

/* With the SHA extensions of x86; only where the CPU has them. */
bool digest_content_has_shani(void);
void digest_content_shani(uint32_t state[8], const uint8_t *bytes, size_t chunks);

#endif

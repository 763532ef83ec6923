/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SHA-256 by plain words: one block at a time. */

#define WORD_ORDER(v) vector_swap_bytes(v)
#include "digest/lanes_portable.h"

#ifdef LANES
#define WAYS        1
#define SHA256_NAME digest_sha256_portable
#include "digest/sha256_lanes.h"
#endif

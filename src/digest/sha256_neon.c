/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SHA-256 by NEON: 8 blocks at once. */

#define WORD_ORDER(v) vector_swap_bytes(v)
#include "digest/lanes_neon.h"

#ifdef LANES
#define WAYS        2
#define SHA256_NAME digest_sha256_neon
#include "digest/sha256_lanes.h"
#endif

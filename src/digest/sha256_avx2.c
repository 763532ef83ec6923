/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SHA-256 by AVX2: 8 blocks at once. */

#define WORD_ORDER(v) vector_swap_bytes(v)
#include "digest/lanes_avx2.h"

#ifdef LANES
#define WAYS        1
#define SHA256_NAME digest_sha256_avx2
#include "digest/sha256_lanes.h"
#endif

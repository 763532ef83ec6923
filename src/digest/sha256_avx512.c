/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SHA-256 by AVX-512: 32 blocks at once. */

#define WORD_ORDER(v) vector_swap_bytes(v)
#include "digest/lanes_avx512.h"

#ifdef LANES
#define WAYS        2
#define SHA256_NAME digest_sha256_avx512
#include "digest/sha256_lanes.h"
#endif

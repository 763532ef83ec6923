/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MD5 by AVX-512: 64 blocks at once. */

#define WORD_ORDER(v) (v)
#include "digest/lanes_avx512.h"

#ifdef LANES
#define WAYS     4
#define MD5_NAME digest_md5_avx512
#include "digest/md5_lanes.h"
#endif

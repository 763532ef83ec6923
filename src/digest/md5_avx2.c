/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MD5 by AVX2: 32 blocks at once. */

#define WORD_ORDER(v) (v)
#include "digest/lanes_avx2.h"

#ifdef LANES
#define WAYS     4
#define MD5_NAME digest_md5_avx2
#include "digest/md5_lanes.h"
#endif

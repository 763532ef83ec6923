/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MD5 by SSE2: 16 blocks at once. */

#define WORD_ORDER(v) (v)
#include "digest/lanes_sse2.h"

#ifdef LANES
#define WAYS     4
#define MD5_NAME digest_md5_sse2
#include "digest/md5_lanes.h"
#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MD5 by NEON: 16 blocks at once. */

#define WORD_ORDER(v) (v)
#include "digest/lanes_neon.h"

#ifdef LANES
#define WAYS     4
#define MD5_NAME digest_md5_neon
#include "digest/md5_lanes.h"
#endif

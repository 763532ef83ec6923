/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MD5 by plain words: two blocks at once. */

#define WORD_ORDER(v) (v)
#include "digest/lanes_portable.h"

#ifdef LANES
#define WAYS     2
#define MD5_NAME digest_md5_portable
#include "digest/md5_lanes.h"
#endif

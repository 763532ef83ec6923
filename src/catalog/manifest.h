/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What writer and parser of a manifest share: what may stand in it. */
#ifndef CATALOG_MANIFEST_H
#define CATALOG_MANIFEST_H

#include "setmov/catalog_manifest.h"

#define MANIFEST_NOUN    "manifest"
#define MANIFEST_VERSION 1

/* Of a fingerprint's file; with what a file has while it is written, one name of a directory. */
#define MANIFEST_FINGERPRINT_NAME_MAX 240

/* No slash, not hidden, with the suffix: a name below any directory, and nothing else. */
bool manifest_is_fingerprint_name(const char *name);
/* 32 hexadecimal digits, in small letters. */
bool manifest_is_image(const char *image);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the files that an image names may lie: beside it, and where the caller allows it. */
#ifndef SETMOV_IMAGE_PLACES_H
#define SETMOV_IMAGE_PLACES_H

#include "setmov/image.h"

struct image_places {
    const struct image_options *options;
    char *directories[2]; /* of the top image: as it was named, and resolved */
};

/* The top image, as it was named and as it was found. -ENOMEM. */
int image_places_begin(struct image_places *places, const char *name, const char *path);
void image_places_release(struct image_places *places);

/* For struct image_permit; `context` is a struct image_places, `path` a resolved one. */
bool image_places_allow(const void *context, const char *path);

/* A name in an image is meant from the image's directory, as the image was named. -ENOMEM. */
int image_places_resolve(const char *image_name, const char *name, char **ret_name);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Removes a directory that a test has made, with all that is in it. */
#ifndef REMOVE_TREE_H
#define REMOVE_TREE_H

#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

static inline int remove_tree_one(const char *path, const struct stat *status, int type,
                                  struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

/* 0; anything else: something of it is left. Follows no links. */
static inline int remove_tree(const char *path)
{
    return nftw(path, remove_tree_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif

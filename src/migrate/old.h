/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images of VMs that left: kept under another name as donors for who comes (back)
 * here, with a record (a lease of catalog_request.h) in old/ of `state`, by which
 * `setmov gc` keeps to their quota and their expiry.
 */
#ifndef MIGRATE_OLD_H
#define MIGRATE_OLD_H

#include "setmov/base_uuid.h"
#include "setmov/catalog.h"
#include "setmov/config.h"

/*
 * Renames one, after its record was written. `ret_path`: its new name, the
 * caller frees; NULL: there is no such file any more.
 */
int migrate_old_keep(const struct config *config, const struct uuid *vm, const char *path,
                     char **ret_path, struct error *err);

/* Takes them into this host's index, and tells the peers: they are donors from then on. */
int migrate_old_index(const struct config *config, const struct catalog_images *images,
                      bool (*stopped)(void *context), void *context, struct error *err);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fills a struct vm_storage. Pure. All return 0 or -ENOMEM. */
#ifndef SETMOV_VM_STORAGE_LIST_H
#define SETMOV_VM_STORAGE_LIST_H

#include "setmov/vm_storage.h"

/* `format` may be NULL or "". `kind`: "domain" or "pool". */
int storage_list_add_disk(struct vm_storage *storage, const char *path, const char *format,
                          const char *kind, const char *name);
int storage_list_add_directory(struct vm_storage *storage, const char *path);
int storage_list_add_problem(struct vm_storage *storage, const char *line);

/* Each path once, in ascending order; of those that are there twice, what a domain says. */
void storage_list_finish(struct vm_storage *storage);

#endif

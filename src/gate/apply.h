/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of gate_apply(). Private to gate/. */
#ifndef SETMOV_GATE_APPLY_PARTS_H
#define SETMOV_GATE_APPLY_PARTS_H

#include "setmov/config.h"
#include "setmov/transfer_plan.h"
#include "setmov/vm_incoming.h"

/* ---- the plan against XML and configuration (apply_check.c; pure) ------------------- */

/*
 * Is it the VM's plan, are its images the VM's disks with their layers, and does
 * all of it lie where disks may lie? The message goes on from "setmov refuses
 * NAME: ". -EACCES, -EINVAL.
 */
int apply_check(const struct config *config, const struct vm_incoming *vm,
                const struct transfer_plan *plan, struct error *err);

/* ---- the files of a plan (apply_files.c) ----------------------------------------------- */

#define APPLY_NAME_BYTES 128 /* of a file: of a plan's name, and an ending */

/* In the directory `incoming`. */
struct apply_files {
    const char *path; /* of the directory; not owned */
    const char *name; /* of the plan; not owned */
    int directory;    /* -1: none */
    int plan;         /* its file, locked; -1: none */
    int progress;     /* -1: nobody wants to see any */
};
#define APPLY_FILES_NONE ((struct apply_files){.directory = -1, .plan = -1, .progress = -1})

/* Opens the directory, and opens and locks the plan. -EBUSY: somebody has it. */
int apply_files_open(const char *path, const char *name, struct apply_files *ret_files,
                     struct error *err);
void apply_files_close(struct apply_files *files);

/* All of the plan, if its SHA-256 is that one. -EBADMSG: it is not. */
int apply_files_plan(const struct apply_files *files, const uint8_t sha256[TRANSFER_HASH_BYTES],
                     struct transfer_plan *ret_plan, struct error *err);

void apply_files_tell(const struct apply_files *files, const struct transfer_progress *progress);
bool apply_files_cancelled(const struct apply_files *files);
/* Leaves the list of what did not hold. */
int apply_files_failed(const struct apply_files *files, const struct transfer_failed *failed,
                       struct error *err);

#endif

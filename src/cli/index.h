/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of `setmov index` share. */
#ifndef SETMOV_CLI_INDEX_H
#define SETMOV_CLI_INDEX_H

#include "blocks.h"
#include "setmov/catalog.h"
#include "setmov/config.h"

#define INDEX_COMMAND "index"

struct index_report;
struct peers_offering;

struct index_options {
    struct blocks_settings blocks;
    const char *directory;       /* of the index; NULL: not given */
    const char *config;          /* path; NULL: not given */
    const struct config *offers; /* the host that setmov.conf describes; NULL: no such run */
    bool connect;
    const char *uri;       /* NULL: libvirt's default */
    const char **excludes; /* patterns */
    size_t exclude_count, exclude_capacity;
    char **operands;
    int operand_count;
    bool json, list, reread, no_wait, verbose;
};

/* ---- the host of setmov.conf (index_configured.c) ------------------------------------- */

/* Is all as the configuration says: no images, no connection, no index directory given? */
bool index_is_configured(const struct index_options *options);

/* Takes index directory, connection, block sizes, digest and key; prints its errors. */
int index_configure(struct index_options *options, const struct config *config);

/* In front of a run: libvirt looks at the pool of disk images; if not, a note says so. */
void index_look_around(const struct index_options *options);

/* Behind a run: pool and manifest for the peers. What is wrong becomes one of the problems. */
void index_offer(const struct index_options *options, struct index_report *report);

/* ---- what there is (index_find.c) --------------------------------------------------- */

/*
 * All images that the options name; those of libvirt that went behind its back
 * too. What could not be looked at is among their problems. Backing files below
 * libvirt's directory pools are allowed from here on. Prints its errors.
 */
int index_find(struct index_options *options, struct catalog_images *images);

/* ---- what came of it (index_report.c) ------------------------------------------------- */

struct index_report *index_report_new(const struct index_options *options); /* NULL: no memory */
void index_report_free(struct index_report *report);

/* For catalog_update(): shows progress, prints what failed as it comes. `context`: the report. */
void index_report_event(void *context, const struct catalog_report *event);
void index_report_progress(void *context, const struct fingerprint_progress *progress);

/* Ends the progress bar of an image that was given up. */
void index_report_pause(struct index_report *report);

/* Something went wrong that concerns no image. */
void index_report_problem(struct index_report *report, const char *error);
/* What is offered to peers. */
void index_report_offering(struct index_report *report, const struct peers_offering *offering);

/* Prints the line at the end, or the JSON. The program's exit status. */
int index_report_print(struct index_report *report, const struct catalog_images *images,
                       const struct catalog_summary *summary);

/* ---- what the index holds (index_list.c) ----------------------------------------------- */

int index_list(const struct index_options *options);

#endif

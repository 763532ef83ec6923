/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of `setmov choose` share: the hosts, the question, and ways to answer it. */
#ifndef SETMOV_CLI_CHOOSE_H
#define SETMOV_CLI_CHOOSE_H

#include "blocks.h"
#include "setmov/catalog.h"
#include "setmov/placement.h"

struct json_object;

#define CHOOSE_NAME "choose"

/* BLOCKS_PROVISIONAL of several images. */
#define CHOOSE_PROVISIONAL                                                                         \
    "were held for writing by other processes (running VMs?) while they were read"

/* ---- the hosts (choose_hosts.c) ------------------------------------------------ */

#define CHOOSE_MOST_HOSTS 65535

struct choose_host {
    char *name, *directory;
    size_t line;                 /* of the hosts file; 0: of the command line */
    struct placement_host facts; /* its strings are the host's own, below */
    char *unusable, *donor;
    char *notes[PLACEMENT_MAX_REASONS];
    size_t note_count;
    char **problems; /* what was passed over, one line each */
    size_t problem_count, problem_capacity;
    size_t problems_left_out; /* too many to keep */
};

struct choose_hosts {
    struct choose_host *hosts;
    size_t count, capacity;
};

/* Adds the host of "NAME=DIR". -EINVAL: it is none. */
int choose_hosts_add(struct choose_hosts *hosts, const char *assignment, size_t line,
                     struct error *err);

/* Adds those of a file: one a line, empty lines and comments (#) between. -EINVAL with the line. */
int choose_hosts_read(struct choose_hosts *hosts, const char *path, struct error *err);

/* -EINVAL: two hosts of one name. */
int choose_hosts_check(const struct choose_hosts *hosts, const char *hosts_file, struct error *err);
void choose_hosts_release(struct choose_hosts *hosts);

/* What becomes known of a host; each takes a copy. 0 or -ENOMEM. */
int choose_host_set_unusable(struct choose_host *host, const char *why);
int choose_host_set_unreadable(struct choose_host *host, int code); /* its directory */
int choose_host_unusable_by_problem(struct choose_host *host);      /* that it has, the first */
int choose_host_set_donor(struct choose_host *host, const char *path,
                          const struct similarity_figures *figures);
int choose_host_add_note(struct choose_host *host, const char *note);
int choose_host_add_problem(struct choose_host *host, const char *path, const struct error *error);

/* ---- the question --------------------------------------------------------------- */

struct choose_query {
    const struct fingerprint_file *image;
    enum similarity_engine engine;
    const struct blocks_settings *settings; /* for images of hosts */
};

/* What is read of the image, and of what it is compared with. */
unsigned choose_image_parts(enum similarity_engine engine);
struct catalog_kind choose_kind_of(const struct fingerprint_view *image);

/* What the image would be if nothing of it were known at the target: bytes to send. */
uint64_t choose_image_bytes(const struct fingerprint_view *image);

/*
 * For an image that has no kind of its own: takes into the settings, where no
 * option says it, the digest and block size that most hosts' indexes hold: of
 * several the smallest block size, of these the stronger digest. Without
 * indexes the settings stay. Directories that cannot be read are passed over.
 * -ENOMEM, -ECANCELED.
 */
int choose_adopt_kind(const struct choose_hosts *hosts, struct blocks_settings *settings,
                      struct error *err);

/* ---- answers ---------------------------------------------------------------------- */

/*
 * Compares the image with all that a host holds, fingerprints and images, and
 * fills in its facts. What cannot be read is a problem of the host; -ENOMEM and
 * -ECANCELED are errors.
 */
int choose_judge(struct choose_host *host, const struct choose_query *query, struct error *err);

/* Only names the host's best donor, from the sketches of its fingerprints. */
int choose_find_donor(struct choose_host *host, const struct choose_query *query,
                      struct error *err);

/* ---- by a merged index (choose_merged.c) -------------------------------------------- */

/* Hosts beyond so many have no best donor then. */
#define CHOOSE_MERGED_DONORS 5

/*
 * The facts of all hosts from the merged index in the file `path`
 * (catalog_merged_file.h). Only fingerprints count. -EEXIST: the file is
 * something else and stays as it is.
 */
int choose_merged(struct choose_hosts *hosts, const char *path, const struct choose_query *query,
                  struct error *err);

/* ---- what is printed (choose_report.c) ---------------------------------------------- */

struct choose_report {
    const char *path; /* of the image, as it was given */
    const struct fingerprint_view *image;
    enum similarity_engine engine;
    const struct choose_hosts *hosts;
    const struct placement_rank *ranks; /* as many as hosts */
    size_t eligible;
    uint64_t image_bytes;
    bool explain;
};

void choose_report_print(const struct choose_report *report);
struct json_object *choose_report_json(const struct choose_report *report);

#endif

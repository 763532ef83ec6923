/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of requests share. */
#ifndef SETMOV_PEERS_REQUESTS_INTERNAL_H
#define SETMOV_PEERS_REQUESTS_INTERNAL_H

#include "setmov/peers_requests.h"

/* What cannot be read may still be on its way in: it is left alone for so long. */
#define REQUESTS_DAMAGED_S 60
/* No request is believed for longer, whatever it says: the most that request-expiry takes. */
#define REQUESTS_LONGEST_S (INT64_C(7) * 86400)
/* So much may the clocks of hosts differ. */
#define REQUESTS_CLOCK_S 300

#define REQUESTS_DIRECTORY        "requests" /* below `state` */
#define REQUESTS_DONE_SUFFIX      ".done"
#define REQUESTS_FORWARDED_SUFFIX ".forwarded"

/* ---- what is to be done (requests_judge.c; pure) ---------------------------------- */

struct requests_facts {
    const struct config *config;
    int64_t now_s;
    bool was_begun;     /* a move of this VM, within request-expiry or since the request was made */
    bool was_forwarded; /* from here, though this host was said to have it; alike */
};

enum requests_action { REQUESTS_DROP, REQUESTS_FORWARD, REQUESTS_MOVE };

struct requests_verdict {
    enum requests_action action;
    const struct config_host *host; /* to which it is forwarded, or the VM moves */
    char reason[256];               /* REQUESTS_DROP */
};

/* `name`: of the file. */
void requests_judge(const struct catalog_request *request, const char *name,
                    const struct requests_facts *facts, struct requests_verdict *ret_verdict);

/* The VM is not here, though the request says so; `holder`: who is known to have it; NULL: nobody. */
void requests_judge_gone(const struct catalog_request *request, const char *holder,
                         const struct requests_facts *facts, struct requests_verdict *ret_verdict);

/* May VMs be moved between this host and that one? NULL: it is not configured, or of another domain. */
const struct config_host *requests_partner(const struct config *config, const char *name);

/* Is that of a request? Then the UUID that it has. */
bool requests_is_name(const char *name, struct uuid *ret_uuid);

/* ---- files (requests_files.c) ------------------------------------------------------- */

/* The directory of notes, made, with its lock held. */
struct requests_state {
    char *path;
    int lock; /* -1: none */
};
/* -EBUSY: another run has it. */
int requests_state_open(const struct config *config, struct requests_state *ret_state,
                        struct error *err);
void requests_state_release(struct requests_state *state);

/*
 * Is there a note for the VM that is younger than `within_s`, or than the
 * request? How long that is believed its refuser says, not this host.
 */
bool requests_was_noted(const struct requests_state *state, const struct catalog_request *request,
                        const char *suffix, uint64_t within_s);
/* Leaves one, over an older one: a line for who looks there. */
int requests_note(const struct requests_state *state, const struct uuid *uuid, const char *suffix,
                  const char *text, struct error *err);
/* Removes notes that are older than any request; returns how many (there are, with `dry_run`). */
size_t requests_forget(const struct requests_state *state, bool dry_run);

/* Names in the index directory that end as requests do, ascending; at most PEERS_REQUESTS_MAX. */
struct requests_names {
    char **names;
    size_t count, capacity;
};
/* None, too, where the directory is missing. */
int requests_list(const char *index, struct requests_names *ret_names, struct error *err);
void requests_names_release(struct requests_names *names);

/*
 * Reads one. -ENOENT: it is gone; -EISDIR: it is a directory, which nobody can
 * have meant, and stays; -EINVAL and the like: damaged, with its age in
 * `ret_age_s`, which is there in any case but -ENOENT.
 */
int requests_read(const char *index, const char *name, struct catalog_request *ret_request,
                  int64_t *ret_age_s, struct error *err);
int requests_remove(const char *index, const char *name, struct error *err);

/* ---- listing, and what the others share (requests_list.c) ----------------------------- */

struct requests_facts requests_facts_of(const struct config *config,
                                        const struct requests_state *state,
                                        const struct catalog_request *request);

void requests_report(const struct peers_requests_options *options, const char *name,
                     const struct catalog_request *request, enum peers_request_result result,
                     const char *format, ...) PRINTF_LIKE(5, 6);

int requests_list_all(const struct config *config, const struct peers_requests_options *options,
                      struct error *err);

/* ---- moving (requests_move.c) ------------------------------------------------------------ */

struct requests_move {
    const struct uuid *vm;
    const struct config_host *host;
    double timeout_s;
};
/*
 * options->move, in a thread; `stopped` is asked about ten times a second. -ETIMEDOUT: it was
 * told to end when `timeout_s` were over, and came to nothing.
 */
int requests_move(const struct peers_requests_options *options, const struct requests_move *move,
                  bool (*stopped)(void *context), void *context, char *ret_text, size_t size,
                  struct error *err);

/* ---- libvirt (requests_libvirt.c) ----------------------------------------------------- */

/* One visit to a libvirt, in a thread: it owns what it is told, until it has returned. */
struct requests_visit;

enum requests_visit_kind {
    REQUESTS_VISIT_SEND, /* writes `bytes` as volume `name` of the host's setmov pool */
    REQUESTS_VISIT_LOOK, /* is the VM here, does it run, can it move? */
    REQUESTS_VISIT_MOVE,
};

/* What a look found; STUCK: it cannot move; BUSY: only now, for a job that will end. */
enum requests_found {
    REQUESTS_HERE,
    REQUESTS_OFF,
    REQUESTS_GONE,
    REQUESTS_STUCK,
    REQUESTS_BUSY,
};

/* `host`: the other one. NULL: no memory. */
struct requests_visit *requests_visit_new(enum requests_visit_kind kind,
                                          const struct config *config,
                                          const struct config_host *host, const struct uuid *uuid);
int requests_visit_text(struct requests_visit *visit, const char *name, const char *bytes,
                        size_t length);  /* for REQUESTS_VISIT_SEND; -ENOMEM */
void requests_visit_free(void *context); /* the visit; NULL is fine */
int requests_visit_run(void *context, struct error *err);
enum requests_found requests_visit_found(const struct requests_visit *visit);
const char *requests_visit_obstacle(const struct requests_visit *visit); /* REQUESTS_STUCK, _BUSY */

#endif

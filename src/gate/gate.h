/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of the gate. Private to gate/. */
#ifndef SETMOV_GATE_PARTS_H
#define SETMOV_GATE_PARTS_H

#include "setmov/catalog_known.h"
#include "setmov/config.h"
#include "setmov/gate.h"
#include "setmov/placement_move.h"
#include "setmov/vm_incoming.h"

#define GATE_PROGRAM "setmov-hook" /* in the log */

/* ---- what the catalog says (catalog.c, candidates.c) ------------------------------ */

/* Hosts and figures of a VM. Strings are the catalog's and the configuration's. */
struct gate_ranking {
    struct catalog_known *known;
    struct catalog_known_vm *vms; /* where the catalog has the VM; the first is the holder's */
    size_t vm_count;
    const char *holder; /* host that has the VM, as far as is known; may be this one */
    int64_t age_s;      /* of the catalog */
    size_t here;        /* this host among the candidates */
    uint64_t image_bytes, space_bytes;
    size_t disks, left_out;                 /* disks that count; of them, those without figures */
    struct placement_candidate *candidates; /* as the catalog's hosts */
    const char **obstacles;                 /* one a candidate */
    char **texts;                           /* that these point to */
    size_t count, text_count, text_capacity;
    struct placement_move move;
};

/*
 * What a move of the VM to each host would send. -ENOMEM, or a reason why
 * nothing is known, as a message that goes on from "the catalog cannot tell: ".
 */
int gate_rank(const struct config *config, const struct vm_incoming *vm, int64_t now_s,
              struct gate_ranking *ret_ranking, struct error *err);
void gate_ranking_release(struct gate_ranking *ranking);

/* Pure: facts of the catalog's hosts, all but figures. -ENOMEM. */
int gate_candidates(const struct config *config, const struct vm_incoming *vm, int64_t now_s,
                    struct gate_ranking *ranking);
/* Keeps a text with the ranking; NULL: no memory. */
const char *gate_keep(struct gate_ranking *ranking, const char *format, ...) PRINTF_LIKE(2, 3);

/* ---- the decision (decide.c, texts.c; pure) ---------------------------------------- */

enum gate_verdict { GATE_PASS, GATE_REFUSE, GATE_REDIRECT };

/* What is known when it is decided. */
struct gate_facts {
    const struct config *config;
    const struct vm_incoming *vm;
    const char *override;                  /* by what it is let pass; NULL */
    bool override_here;                    /* by this host's administrator, not by the XML */
    const struct vm_incoming_disk *astray; /* first disk outside the allowed directories; NULL */
    const struct gate_ranking *ranking;    /* NULL: nothing is known, because of */
    const char *unknown;                   /* this */
};

struct gate_decision {
    enum gate_verdict verdict;
    int priority;  /* syslog's */
    size_t better; /* candidate that is better; those of the ranking: none */
    struct gate_answer answer;
};

/* Does the path, which has no "." and ".." in it, lie in one of [hook] directories? */
bool gate_is_allowed(const struct config *config, const char *path);

/* First disk that is written to and lies outside [hook] directories. NULL: none. */
const struct vm_incoming_disk *gate_astray(const struct config *config,
                                           const struct vm_incoming *vm);

void gate_decide(const struct gate_facts *facts, struct gate_decision *ret_decision);

/* The same, when the request of a GATE_REDIRECT was left, or (with why) could not be. */
void gate_requested(const struct gate_facts *facts, const char *why_not,
                    struct gate_decision *decision);

/* ---- the rest ------------------------------------------------------------------------ */

/*
 * The file in the directory of overrides that lets the VM pass. NULL: none. The
 * caller frees.
 */
char *gate_override_file(const struct config *config, const struct vm_incoming *vm);

/* Leaves the request to move the VM to `better`. */
int gate_request(const struct gate_facts *facts, size_t better, int64_t now_s, struct error *err);

/*
 * Runs `work` in a child whose output goes nowhere, within limits, until it has
 * given its answer and ended. False, with one line: it gave none.
 */
typedef void gate_work(void *context, int answer_fd);
bool gate_guard(gate_work *work, void *context, unsigned timeout_s, struct gate_answer *ret_answer,
                struct error *err);
/*
 * Starts the program that builds disks, with the XML (a file, from its beginning)
 * on its stdin, and waits for its end: a refusal has its line. Failure: there is
 * no answer of its own. It ends with this process, and this one with its parent.
 */
int gate_start(const struct gate_call *call, int xml, struct gate_answer *ret_answer,
               struct error *err);
/* For the child: gives the answer. It may go on, for a second. */
void gate_give(int answer_fd, const struct gate_answer *answer);

#endif

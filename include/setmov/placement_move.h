/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a VM should go: candidates that are out, with the reason, and a ranking
 * of the others by what a move sends and by their headroom. Pure; the same
 * input gives the same order. For `setmov choose VM` and for the hook.
 *
 * Score: each property of the eligible hosts is brought to 0..1 (the best is 1,
 * the worst 0; all 1 where they are equal, 0 where it is not known), multiplied
 * with its weight, and added, as Nova's weighers do (normalised by minimum and
 * maximum). Where the worst is less than a quarter behind the best, 0 stands for
 * a quarter behind: loads and free memory change all the time, and what is as
 * good as equal must not decide. Bytes: fewer are better; they are
 * normalised between 0 and what a host without anything would get, so that small
 * differences between hosts that have the same stay small. Equal scores: fewer
 * bytes, then the name.
 */
#ifndef SETMOV_PLACEMENT_MOVE_H
#define SETMOV_PLACEMENT_MOVE_H

#include "setmov/similarity.h"

/* The VM. Strings are kept by the caller. */
struct placement_vm {
    const char *name, *uuid;
    const char *host;         /* where it is; NULL: not known */
    const char *trust_domain; /* of where it is */
    uint64_t memory_bytes, vcpus;
    uint64_t space_bytes;         /* that its disks take in a pool: what is allocated */
    uint64_t image_bytes;         /* sent to a host that holds nothing */
    const char *const *obstacles; /* why it can move nowhere */
    size_t obstacle_count;
};

struct placement_candidate {
    const char *name;
    const char *unusable; /* why nothing can be said of its images; NULL */
    const char *trust_domain;
    bool maintenance;
    bool has_vm;                  /* the VM is there */
    const char *const *obstacles; /* what stands against the VM there, a line each */
    size_t obstacle_count;
    const char *const *notes; /* what should be told, but keeps no host out */
    size_t note_count;
    struct similarity_estimate figures; /* sums over the VM's disks, against all that it holds */
    uint64_t wire_bytes;                /* estimate of what crosses the line; UNKNOWN_U64 */
    uint64_t bandwidth_bits_per_s;      /* 0: not known */
    double cpu_percent;                 /* load; NaN: not known */
    uint64_t memory_free_bytes, pool_free_bytes; /* UNKNOWN_U64 */
};

struct placement_rules {
    double weight_bytes, weight_cpu, weight_memory, weight_space; /* their sum is 1 */
    double max_cpu_percent;
    uint64_t memory_reserve_bytes, space_reserve_bytes;
};

struct placement_move_rank {
    size_t candidate; /* index into the candidates */
    bool eligible;
    double score;   /* 0 to 1; 0 of those that are out */
    double seconds; /* the transfer at the line's bandwidth; NaN */
    char **
        reasons; /* why it is out, or stands where it does, a line each; the first is the verdict */
    size_t reason_count, reason_capacity;
};

struct placement_move {
    struct placement_move_rank *ranks; /* eligible ones first, best first; the others by name */
    size_t count, eligible;
    bool stay; /* nowhere to go; `stay_reason` says why */
    char *stay_reason;
};

int placement_move(const struct placement_vm *vm, const struct placement_candidate *candidates,
                   size_t count, const struct placement_rules *rules,
                   struct placement_move *ret_move, struct error *err);
void placement_move_release(struct placement_move *move);

/* Adds the figures of one disk to those of a VM: bounds are summed too, which covers more, never less. */
void placement_add(struct similarity_estimate *sum, const struct similarity_estimate *disk);

#endif

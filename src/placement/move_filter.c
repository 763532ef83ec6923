/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What keeps a VM from a host, in a line each; the hardest first. */
#include "placement/move.h"

#include "placement/words.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

int move_say(struct placement_move_rank *rank, const char *format, ...)
{
    va_list arguments;
    char *text = NULL;
    int length;

    if (array_reserve(&rank->reasons, &rank->reason_capacity, rank->reason_count + 1,
                      sizeof(*rank->reasons)) < 0)
        return -ENOMEM;
    va_start(arguments, format);
    length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0)
        return -ENOMEM;
    text_make_one_line(text); /* names and answers come from outside */
    rank->reasons[rank->reason_count++] = text;
    return 0;
}

/* What makes all else about the candidate idle: the VM may or can not go there at all. */
static int filter_place(const struct placement_vm *vm, const struct placement_candidate *candidate,
                        struct placement_move_rank *rank)
{
    bool is_here = vm->host != NULL && strcmp(vm->host, candidate->name) == 0;
    int rc = 0;

    for (size_t i = 0; i < vm->obstacle_count && rc == 0; i++)
        rc = move_say(rank, "the VM cannot move: %s", vm->obstacles[i]);
    if (rc == 0 && is_here)
        rc = move_say(rank, "the VM is on this host");
    if (rc == 0 && candidate->has_vm && !is_here)
        rc = move_say(rank, "the host has a VM of this name or UUID");
    if (rc == 0 && vm->trust_domain != NULL && candidate->trust_domain != NULL &&
        strcmp(vm->trust_domain, candidate->trust_domain) != 0)
        rc = move_say(rank, "trust domain %s, the VM is in %s", candidate->trust_domain,
                      vm->trust_domain);
    if (rc == 0 && candidate->maintenance)
        rc = move_say(rank, "in maintenance, takes in no VMs");
    if (rc == 0 && candidate->unusable != NULL)
        rc = move_say(rank, "%s", candidate->unusable);
    for (size_t i = 0; i < candidate->obstacle_count && rc == 0; i++)
        rc = move_say(rank, "%s", candidate->obstacles[i]);
    return rc;
}

/* Does what is free suffice, with a reserve that stays? What is not known does not keep it out. */
static int filter_amount(const char *what, uint64_t there, uint64_t needed, uint64_t reserve,
                         struct placement_move_rank *rank)
{
    struct words left = words_there(there), need = words_needed(needed);

    if (there == UNKNOWN_U64 || (there >= needed && there - needed >= reserve))
        return 0;
    if (reserve == 0)
        return move_say(rank, "%s %s, needs %s", what, left.text, need.text);
    return move_say(rank, "%s %s, needs %s and %s in reserve", what, left.text, need.text,
                    words_needed(reserve).text);
}

int move_filter(const struct placement_vm *vm, const struct placement_candidate *candidate,
                const struct placement_rules *rules, struct placement_move_rank *rank)
{
    int rc = filter_place(vm, candidate, rank);

    if (rc == 0)
        rc = filter_amount("free memory", candidate->memory_free_bytes, vm->memory_bytes,
                           rules->memory_reserve_bytes, rank);
    if (rc == 0)
        rc = filter_amount("free space in its pool", candidate->pool_free_bytes, vm->space_bytes,
                           rules->space_reserve_bytes, rank);
    if (rc == 0 && candidate->cpu_percent > rules->max_cpu_percent) /* never of NaN */
        rc = move_say(rank, "CPU load %.1f %%, at most %.4g %%",
                      fmax(candidate->cpu_percent, rules->max_cpu_percent + 0.1),
                      rules->max_cpu_percent);
    return rc;
}

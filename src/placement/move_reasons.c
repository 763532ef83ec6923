/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why a VM goes to a host rather than another, and why it stays, in sentences. */
#include "placement/move.h"

#include "placement/words.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

/* Hosts whose reason is in the line that says why a VM stays. */
#define STAY_HOSTS 3

static bool is_estimated(const struct placement_candidate *candidate)
{
    return candidate->figures.low.bytes_to_send != candidate->figures.high.bytes_to_send;
}

/* "CPU 12.5 % busy, 5.2 GiB of memory and 100 GiB in its pool free" */
static int say_headroom(const struct placement_candidate *candidate,
                        struct placement_move_rank *rank)
{
    struct words cpu = {"CPU load not known"}, memory = {"free memory not known"};
    struct words space = {"free space in its pool not known"};

    if (!isnan(candidate->cpu_percent))
        string_format(cpu.text, sizeof(cpu.text), "CPU load %.1f %%", candidate->cpu_percent);
    if (candidate->memory_free_bytes != UNKNOWN_U64)
        string_format(memory.text, sizeof(memory.text), "free memory %s",
                      words_there(candidate->memory_free_bytes).text);
    if (candidate->pool_free_bytes != UNKNOWN_U64)
        string_format(space.text, sizeof(space.text), "free space in its pool %s",
                      words_there(candidate->pool_free_bytes).text);
    return move_say(rank, "%s, %s, %s", cpu.text, memory.text, space.text);
}

/* Others that may have as few bytes to send, by what is known. */
static size_t count_level(const struct move_context *context)
{
    const struct placement_move *move = context->move;
    const struct placement_candidate *leader = &context->candidates[move->ranks[0].candidate];
    size_t level = 0;

    for (size_t i = 1; i < move->eligible; i++)
        level += context->candidates[move->ranks[i].candidate].figures.low.bytes_to_send <=
                 leader->figures.high.bytes_to_send;
    return level;
}

static int say_about_leader(const struct move_context *context, struct placement_move_rank *rank)
{
    const struct placement_candidate *leader = &context->candidates[rank->candidate];
    uint64_t image_bytes = context->vm->image_bytes;
    size_t level = count_level(context);
    bool saves_nothing = false;
    int rc = 0;

    if (context->move->eligible == 1)
        return move_say(rank, "the only host that can take it");
    if (image_bytes > 0) {
        saves_nothing = true;
        for (size_t i = 0; i < context->move->eligible; i++)
            saves_nothing &= context->candidates[context->move->ranks[i].candidate]
                                 .figures.likely.bytes_to_send >= image_bytes;
    }
    if (saves_nothing)
        return move_say(rank, "no host saves anything, so the headroom decided");
    if (level > 0 && is_estimated(leader))
        rc = move_say(rank, "%zu other host%s cannot be told from it within the estimate's error",
                      level, level == 1 ? "" : "s");
    return rc;
}

/* In what it differs from the first. */
static int say_about_other(const struct move_context *context, struct placement_move_rank *rank)
{
    const struct placement_candidate *leader =
        &context->candidates[context->move->ranks[0].candidate];
    const struct placement_candidate *other = &context->candidates[rank->candidate];
    uint64_t mine = other->figures.likely.bytes_to_send;
    uint64_t best = leader->figures.likely.bytes_to_send;
    struct words name = words_path(leader->name);

    if (mine > best && other->figures.low.bytes_to_send <= leader->figures.high.bytes_to_send)
        return move_say(rank, "%s more to send than to %s, within the estimate's error",
                        words_bytes(mine - best).text, name.text);
    if (mine > best)
        return move_say(rank, "%s more to send than to %s", words_bytes(mine - best).text,
                        name.text);
    if (mine < best)
        return move_say(rank, "%s less to send than to %s, but less headroom",
                        words_bytes(best - mine).text, name.text);
    if (rank->score < context->move->ranks[0].score)
        return move_say(rank, "as much to send as to %s, but less headroom", name.text);
    return move_say(rank, "level with %s; the name decided", name.text);
}

int move_explain(const struct move_context *context, size_t place)
{
    struct placement_move_rank *rank = &context->move->ranks[place];
    const struct placement_candidate *candidate = &context->candidates[rank->candidate];
    int rc = move_say(
        rank, "%s",
        words_holdings(&candidate->figures, WORDS_IMAGES_UNKNOWN, context->vm->image_bytes).text);

    if (rc == 0)
        rc = say_headroom(candidate, rank);
    if (rc < 0)
        return rc;
    return place == 0 ? say_about_leader(context, rank) : say_about_other(context, rank);
}

/* Puts another piece behind the text. -ENOMEM. */
static int append(char **text, const char *format, ...) PRINTF_LIKE(2, 3);
static int append(char **text, const char *format, ...)
{
    CLEANUP(cleanup_free) char *piece = NULL;
    va_list arguments;
    char *both = NULL;
    int length;

    va_start(arguments, format);
    length = vasprintf(&piece, format, arguments);
    va_end(arguments);
    if (length < 0) {
        piece = NULL;
        return -ENOMEM;
    }
    if (asprintf(&both, "%s%s", *text != NULL ? *text : "", piece) < 0)
        return -ENOMEM;
    free(*text);
    *text = both;
    return 0;
}

static bool is_here(const struct move_context *context, size_t place)
{
    const char *host = context->vm->host;
    const char *name = context->candidates[context->move->ranks[place].candidate].name;

    return host != NULL && strcmp(host, name) == 0;
}

/* "no host can take it: beta: in maintenance, takes in no VMs; gamma: ...; and 2 more" */
static int say_all_out(const struct move_context *context, char **text)
{
    const struct placement_move *move = context->move;
    size_t others = 0;
    int rc = 0;

    for (size_t i = 0; i < move->count && rc == 0; i++) {
        const struct placement_move_rank *rank = &move->ranks[i];

        if (is_here(context, i) || ++others > STAY_HOSTS)
            continue;
        rc = append(text, "%s %s: %s", others == 1 ? "no host can take it:" : ";",
                    words_path(context->candidates[rank->candidate].name).text, rank->reasons[0]);
    }
    if (others > STAY_HOSTS && rc == 0)
        rc = append(text, "; and %zu more", others - STAY_HOSTS);
    return others == 0 ? append(text, "there is no other host") : rc;
}

int move_stay(const struct move_context *context, struct placement_move *move)
{
    const struct placement_vm *vm = context->vm;
    char *text = NULL;
    int rc;

    if (move->eligible > 0)
        return 0;
    if (vm->obstacle_count > 0) {
        rc = append(&text, "it cannot move:");
        for (size_t i = 0; i < vm->obstacle_count && rc == 0; i++)
            rc = append(&text, "%s %s", i == 0 ? "" : ";", vm->obstacles[i]);
    } else {
        rc = say_all_out(context, &text);
    }
    if (rc < 0) {
        free(text);
        return rc;
    }
    text_make_one_line(text);
    move->stay = true;
    move->stay_reason = text;
    return 0;
}

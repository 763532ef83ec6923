/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why a host stands where it does, in sentences that a person understands. */
#include "placement/reasons.h"

#include "placement/words.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static void add(struct placement_rank *rank, const char *format, ...) PRINTF_LIKE(2, 3);
static void add(struct placement_rank *rank, const char *format, ...)
{
    va_list arguments;
    char *text = NULL;

    if (rank->reason_count == PLACEMENT_MAX_REASONS)
        return;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    if (text != NULL)
        text_make_one_line(text); /* names and paths come from outside */
    rank->reasons[rank->reason_count++].text = text;
}

static void add_holdings(const struct placement_host *host, uint64_t image_bytes,
                         struct placement_rank *rank)
{
    add(rank, "%s", words_holdings(&host->all, host->images, image_bytes).text);
}

static void add_donor(const struct placement_host *host, struct placement_rank *rank)
{
    struct words path, share;

    if (host->donor == NULL)
        return;
    path = words_path(host->donor);
    share = words_percent(similarity_share_distinct(&host->donor_figures));
    if (host->donor_figures.bytes_to_send > host->all.likely.bytes_to_send)
        add(rank, "best single donor %s has %s and alone leaves %s to send", path.text, share.text,
            words_bytes(host->donor_figures.bytes_to_send).text);
    else
        add(rank, "best single donor %s has %s", path.text, share.text);
}

static void add_about_leader(const struct reasons_input *input, struct placement_rank *rank)
{
    const struct placement_host *leader = input->host, *donor = input->donor;
    bool estimated = leader->all.low.bytes_to_send != leader->all.high.bytes_to_send;

    if (leader->all.likely.bytes_to_send >= input->image_bytes && input->image_bytes > 0)
        add(rank, "no host saves anything, so any is as good");
    if (input->level_with_leader > 0 && estimated)
        add(rank, "%zu other host%s cannot be told from it within the estimate's error",
            input->level_with_leader, input->level_with_leader == 1 ? "" : "s");
    else if (input->level_with_leader > 0)
        add(rank, "level with %zu other host%s: the larger share, then the name decided",
            input->level_with_leader, input->level_with_leader == 1 ? "" : "s");
    if (donor != NULL && donor != leader &&
        donor->donor_figures.identical_distinct > leader->donor_figures.identical_distinct)
        add(rank, "%s has a better single donor (%s), but its images together leave no less",
            words_path(donor->name).text,
            words_percent(similarity_share_distinct(&donor->donor_figures)).text);
}

bool reasons_level(const struct placement_host *leader, const struct placement_host *host)
{
    return host->all.low.bytes_to_send <= leader->all.high.bytes_to_send;
}

static void add_about_other(const struct reasons_input *input, struct placement_rank *rank)
{
    const struct placement_host *leader = input->leader, *host = input->host;
    struct words name = words_path(leader->name);

    if (!reasons_level(leader, host))
        return;
    if (leader->all.low.bytes_to_send != leader->all.high.bytes_to_send ||
        host->all.low.bytes_to_send != host->all.high.bytes_to_send)
        add(rank, "same as %s within the estimate's error", name.text);
    else
        add(rank, "as many bytes to send as to %s", name.text);
}

int reasons_write(const struct reasons_input *input, struct placement_rank *rank)
{
    const struct placement_host *host = input->host;

    rank->reason_count = 0;
    if (host->unusable != NULL) {
        add(rank, "unusable: %s", host->unusable);
    } else {
        add_holdings(host, input->image_bytes, rank);
        add_donor(host, rank);
        if (host == input->leader)
            add_about_leader(input, rank);
        else
            add_about_other(input, rank);
    }
    for (size_t i = 0; i < PLACEMENT_MAX_REASONS && host->notes[i] != NULL; i++)
        add(rank, "%s", host->notes[i]);
    for (size_t i = 0; i < rank->reason_count; i++) {
        if (rank->reasons[i].text == NULL)
            return -ENOMEM;
    }
    return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why a host stands where it does, in sentences that a person understands. */
#include "placement/reasons.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

/* Of a path; the sentence around it and its figures take what is left. */
#define PATH_ROOM 80

struct words {
    char text[96];
};

/* "34.6M": three digits, in steps of 1024, as the tables have them. */
static struct words bytes_in_words(uint64_t bytes)
{
    static const char *const units[] = {"", "k", "M", "G", "T", "P", "E"};
    double value = (double)bytes;
    size_t unit = 0;
    struct words words = {""};

    while (value >= 999.5 && unit + 1 < ARRAY_LENGTH(units)) {
        value /= 1024;
        unit++;
    }
    string_format(words.text, sizeof(words.text), "%.*f%s",
                  unit == 0 || value >= 99.95 ? 0
                  : value >= 9.995            ? 1
                                              : 2,
                  value, units[unit]);
    return words;
}

/* Two decimals; what is not quite nothing, or not quite all, does not look as if it were. */
static struct words percent_in_words(double percent)
{
    struct words words = {""};

    if (percent > 0 && percent < 100)
        percent = fmin(fmax(percent, 0.01), 99.99);
    string_format(words.text, sizeof(words.text), "%.2f %%", percent);
    return words;
}

/* "in 12 images"; nothing where their number is unknown. */
static struct words images_in_words(size_t images)
{
    struct words words = {""};

    if (images > 0)
        string_format(words.text, sizeof(words.text), " in %zu image%s", images,
                      images == 1 ? "" : "s");
    return words;
}

/* The end of a path is what tells one image from the next. */
static struct words path_in_words(const char *path)
{
    size_t length = strlen(path);
    struct words words = {""};

    if (length <= PATH_ROOM) {
        string_copy(words.text, sizeof(words.text), path);
        return words;
    }
    path += length - (PATH_ROOM - 3);
    while (((unsigned char)*path & 0xc0) == 0x80) /* no half a character of UTF-8 */
        path++;
    string_format(words.text, sizeof(words.text), "...%s", path);
    return words;
}

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

static struct words to_send_in_words(const struct placement_host *host)
{
    uint64_t low = host->all.low.bytes_to_send, high = host->all.high.bytes_to_send;
    struct words words = bytes_in_words(host->all.likely.bytes_to_send);

    if (low != high) {
        struct words best = words;

        string_format(words.text, sizeof(words.text), "%s (%s to %s)", best.text,
                      bytes_in_words(low).text, bytes_in_words(high).text);
    }
    return words;
}

/* What the host has, and what is left to send. */
static void add_holdings(const struct placement_host *host, uint64_t image_bytes,
                         struct placement_rank *rank)
{
    const struct similarity_figures *likely = &host->all.likely;
    struct words all = bytes_in_words(image_bytes), images = images_in_words(host->images);
    struct words distinct = percent_in_words(similarity_share_distinct(likely));
    struct words blocks = percent_in_words(similarity_share_with_duplicates(likely));

    if (host->images == 0 && likely->identical_distinct == 0)
        add(rank, "holds no images; all of %s to send", all.text);
    else if (likely->identical_distinct == 0 && image_bytes > 0)
        add(rank, "holds none of the blocks%s; all of %s to send", images.text, all.text);
    else if (likely->bytes_to_send >= image_bytes && image_bytes > 0)
        add(rank, "holds nothing but zero blocks of it%s; all of %s to send", images.text,
            all.text);
    else if (host->all.high.bytes_to_send == 0)
        add(rank, "holds %s of the blocks (%s with duplicates)%s; nothing to send", distinct.text,
            blocks.text, images.text);
    else
        add(rank, "holds %s of the blocks (%s with duplicates)%s; %s to send instead of %s",
            distinct.text, blocks.text, images.text, to_send_in_words(host).text, all.text);
}

static void add_donor(const struct placement_host *host, struct placement_rank *rank)
{
    struct words path, share;

    if (host->donor == NULL)
        return;
    path = path_in_words(host->donor);
    share = percent_in_words(similarity_share_distinct(&host->donor_figures));
    if (host->donor_figures.bytes_to_send > host->all.likely.bytes_to_send)
        add(rank, "best single donor %s has %s and alone leaves %s to send", path.text, share.text,
            bytes_in_words(host->donor_figures.bytes_to_send).text);
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
            path_in_words(donor->name).text,
            percent_in_words(similarity_share_distinct(&donor->donor_figures)).text);
}

bool reasons_level(const struct placement_host *leader, const struct placement_host *host)
{
    return host->all.low.bytes_to_send <= leader->all.high.bytes_to_send;
}

static void add_about_other(const struct reasons_input *input, struct placement_rank *rank)
{
    const struct placement_host *leader = input->leader, *host = input->host;
    struct words name = path_in_words(leader->name);

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

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Figures as they stand in sentences: sizes, shares, paths, what a host holds. */
#include "placement/words.h"

#include <math.h>

/* Of a path; the sentence around it and its figures take what is left. */
#define PATH_ROOM 80

struct words words_bytes(uint64_t bytes)
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

static struct words size_in_words(uint64_t bytes, double round_to_whole(double))
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes, scale;
    size_t unit = 0;
    struct words words = {""};
    int decimals;

    while (value >= 1024 && unit + 1 < ARRAY_LENGTH(units)) {
        value /= 1024;
        unit++;
    }
    scale = value >= 100 ? 1 : value >= 10 ? 10 : 100;
    value = round_to_whole(value * scale) / scale;
    if (value >= 1024 && unit + 1 < ARRAY_LENGTH(units)) { /* rounded up to the next unit */
        value /= 1024;
        unit++;
    }
    for (decimals = 0; decimals < 2; decimals++) {
        double shifted = value * (decimals == 0 ? 1 : 10);

        if (fabs(shifted - rint(shifted)) < 1e-6)
            break;
    }
    string_format(words.text, sizeof(words.text), "%.*f %s", decimals, value, units[unit]);
    return words;
}

struct words words_there(uint64_t bytes)
{
    return size_in_words(bytes, floor);
}

struct words words_needed(uint64_t bytes)
{
    return size_in_words(bytes, ceil);
}

struct words words_percent(double percent)
{
    struct words words = {""};

    if (percent > 0 && percent < 100)
        percent = fmin(fmax(percent, 0.01), 99.99);
    string_format(words.text, sizeof(words.text), "%.2f %%", percent);
    return words;
}

struct words words_path(const char *path)
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

/* " in 12 images"; nothing where their number is unknown. */
static struct words images_in_words(size_t images)
{
    struct words words = {""};

    if (images > 0 && images != WORDS_IMAGES_UNKNOWN)
        string_format(words.text, sizeof(words.text), " in %zu image%s", images,
                      images == 1 ? "" : "s");
    return words;
}

static struct words to_send_in_words(const struct similarity_estimate *all)
{
    uint64_t low = all->low.bytes_to_send, high = all->high.bytes_to_send;
    struct words words = words_bytes(all->likely.bytes_to_send);

    if (low != high) {
        struct words best = words;

        string_format(words.text, sizeof(words.text), "%s (%s to %s)", best.text,
                      words_bytes(low).text, words_bytes(high).text);
    }
    return words;
}

struct words_line words_holdings(const struct similarity_estimate *all, size_t images,
                                 uint64_t image_bytes)
{
    const struct similarity_figures *likely = &all->likely;
    struct words whole = words_bytes(image_bytes), in = images_in_words(images);
    struct words distinct = words_percent(similarity_share_distinct(likely));
    struct words blocks = words_percent(similarity_share_with_duplicates(likely));
    struct words_line line = {""};

    if (images == 0 && likely->identical_distinct == 0)
        string_format(line.text, sizeof(line.text), "holds no images; all of %s to send",
                      whole.text);
    else if (likely->identical_distinct == 0 && image_bytes > 0)
        string_format(line.text, sizeof(line.text), "holds none of the blocks%s; all of %s to send",
                      in.text, whole.text);
    else if (likely->bytes_to_send >= image_bytes && image_bytes > 0)
        string_format(line.text, sizeof(line.text),
                      "holds nothing but zero blocks of it%s; all of %s to send", in.text,
                      whole.text);
    else if (all->high.bytes_to_send == 0)
        string_format(line.text, sizeof(line.text),
                      "holds %s of the blocks (%s with duplicates)%s; nothing to send",
                      distinct.text, blocks.text, in.text);
    else
        string_format(line.text, sizeof(line.text),
                      "holds %s of the blocks (%s with duplicates)%s; %s to send instead of %s",
                      distinct.text, blocks.text, in.text, to_send_in_words(all).text, whole.text);
    return line;
}

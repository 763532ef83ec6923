/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How names and counts are shown by the commands about images (see blocks.h). */
#include "blocks.h"
#include "utf8.h"

struct blocks_shown blocks_show(const char *path)
{
    struct blocks_shown shown = {""};

    (void)string_copy(shown.text, sizeof(shown.text), path);
    utf8_make_fit(shown.text);
    return shown;
}

struct blocks_count blocks_count(uint64_t count)
{
    struct blocks_count shown = {""};
    char digits[24];
    size_t length, used = 0;

    string_format(digits, sizeof(digits), "%llu", (unsigned long long)count);
    length = strlen(digits);
    for (size_t i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            shown.text[used++] = ',';
        shown.text[used++] = digits[i];
    }
    shown.text[used] = '\0';
    return shown;
}

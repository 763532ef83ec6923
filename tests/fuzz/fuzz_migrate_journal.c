/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: journals of migrations, as they come and with the checksum that
 * they should have. What is refused says why; what is taken has plain paths, and
 * is the same when it is written and read again.
 */

#include "migrate/journal.h"
#include "sealed.h"
#include "setmov/catalog_lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct journal *journal)
{
    must(journal->vm_name[0] != '\0' && journal->uri[0] != '\0' && journal->phase < MIGRATE_PHASES);
    must(journal->made_s >= 0 && journal->disk_count <= JOURNAL_DISKS_MAX);
    for (size_t i = 0; i < journal->disk_count; i++) {
        const struct journal_disk *disk = &journal->disks[i];

        must(disk->layer_count > 0 && disk->target[0] != '\0');
        must(disk->overlay == NULL || lines_path_is_plain(disk->overlay));
        for (size_t j = 0; j < disk->layer_count; j++)
            must(lines_path_is_plain(disk->layers[j].path) &&
                 lines_path_is_plain(disk->layers[j].there) && disk->layers[j].format[0] != '\0');
    }
}

static void try_text(struct text text)
{
    struct journal journal = {.vm_name = NULL}, again;
    struct error err = {""};
    char *written, *rewritten;
    size_t length, relength;

    if (journal_parse(text, "j", &journal, &err) < 0) {
        must(journal.vm_name == NULL && strncmp(err.text, "j: ", 3) == 0);
        return;
    }
    check(&journal);
    must(journal_encode(&journal, &written, &length, NULL) == 0);
    must(journal_parse(text_of(written, length), "j", &again, NULL) == 0);
    must(journal_encode(&again, &rewritten, &relength, NULL) == 0);
    must(length == relength && memcmp(written, rewritten, length) == 0);
    journal_release(&again);
    journal_release(&journal);
    free(written);
    free(rewritten);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t length;
    char *text = fuzz_seal(data, size, &length);

    try_text(text_of((const char *)data, size));
    try_text(text_of(text, length));
    free(text);
    return 0;
}

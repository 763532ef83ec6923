/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Journals as text: a few lines, in this order and no other; some may be missing. */
#include "migrate/journal.h"
#include "setmov/catalog_lines.h"
#include "setmov/transfer_plan.h"

#include <errno.h>

#define NOUN    "migration"
#define VERSION 1

/* Each is what it says at its place: the first one for false, the second one for true. */
static const char *const active_words[] = {"off", "active", "paused", NULL};
static const char *const persistent_words[] = {"transient", "persistent", "autostart", NULL};
static const char *const old_words[] = {"remove", "keep", NULL};
static const char *const handed_words[] = {"prepared", "handed", "standing", NULL};
static const char *const shared_words[] = {"own", "shared", NULL};

/* ---- writing --------------------------------------------------------------------------- */

static void write_path(struct lines_writer *writer, const char *name, const char *path)
{
    if (!lines_path_is_plain(path))
        lines_write_fail(writer, -EINVAL, "%s '%.200s' is not a plain path", name,
                         path != NULL ? path : "");
    lines_write_string(writer, name, path, LINES_PATH_MAX);
}

static void write_disk(struct lines_writer *writer, const struct journal_disk *disk)
{
    lines_write_key(writer, "disk");
    lines_write_string(writer, "a disk's target", disk->target, LINES_NAME_MAX);
    if (disk->overlay != NULL) {
        lines_write_key(writer, "overlay");
        write_path(writer, "the overlay's path", disk->overlay);
    }
    if (disk->layer_count == 0)
        lines_write_fail(writer, -EINVAL, "disk %.100s has no image", disk->target);
    for (size_t i = 0; i < disk->layer_count; i++) {
        const struct journal_layer *layer = &disk->layers[i];

        lines_write_key(writer, "layer");
        write_path(writer, "an image's path", layer->path);
        lines_write_string(writer, "an image's format", layer->format, LINES_NAME_MAX);
        write_path(writer, "an image's path at the destination", layer->there);
        lines_write_word(writer, shared_words[layer->is_shared]);
    }
}

static void write_destination(struct lines_writer *writer, const struct journal *journal)
{
    lines_write_key(writer, "destination");
    lines_write_string(writer, "the destination's URI", journal->uri, LINES_PATH_MAX);
    lines_write_string(writer, "its pool for what arrives", journal->incoming_pool, LINES_NAME_MAX);
    if (journal->host != NULL) {
        lines_write_key(writer, "host");
        lines_write_host(writer, "the destination", journal->host);
    }
    if (journal->plan == NULL)
        return;
    lines_write_key(writer, "plan");
    if (!transfer_name_is_valid(journal->plan))
        lines_write_fail(writer, -EINVAL, "'%.100s' cannot be a plan's name", journal->plan);
    lines_write_word(writer, journal->plan);
}

int journal_encode(const struct journal *journal, char **ret_text, size_t *ret_length,
                   struct error *err)
{
    struct lines_writer writer;

    lines_write_head(&writer, NOUN, VERSION, err);
    lines_write_key(&writer, "vm");
    lines_write_uuid(&writer, &journal->vm);
    lines_write_string(&writer, "the VM's name", journal->vm_name, LINES_NAME_MAX);
    lines_write_key(&writer, "was");
    lines_write_word(&writer, active_words[journal->was_active ? 1 + journal->was_paused : 0]);
    lines_write_word(&writer,
                     persistent_words[journal->was_persistent ? 1 + journal->was_autostart : 0]);
    lines_write_key(&writer, "phase");
    if ((unsigned)journal->phase >= MIGRATE_PHASES)
        lines_write_fail(&writer, -EINVAL, "%u is no phase", (unsigned)journal->phase);
    else
        lines_write_word(&writer, migrate_phase_name(journal->phase));
    lines_write_word(&writer, handed_words[journal->is_handed ? 1 + journal->stands_still : 0]);
    lines_write_key(&writer, "old");
    lines_write_word(&writer, old_words[journal->keeps_old]);
    lines_write_key(&writer, "time");
    lines_write_time(&writer, "when it was made", journal->made_s);
    lines_write_time(&writer, "when it was changed", journal->changed_s);
    lines_write_key(&writer, "process");
    lines_write_u64(&writer, journal->pid);
    lines_write_uuid(&writer, &journal->boot);
    write_destination(&writer, journal);
    for (size_t i = 0; i < journal->disk_count; i++)
        write_disk(&writer, &journal->disks[i]);
    return lines_write_end(&writer, JOURNAL_BYTES_MAX, ret_text, ret_length);
}

/* ---- reading --------------------------------------------------------------------------- */

/* The place of the word that stands there. */
static unsigned read_one_of(struct lines_reader *reader, const char *name, const char *const *words)
{
    struct text word = {NULL, NULL};

    lines_read_word(reader, name, &word);
    for (unsigned i = 0; reader->rc == 0 && words[i] != NULL; i++) {
        if (text_equals(word, words[i]))
            return i;
    }
    if (reader->rc == 0)
        lines_read_fail(reader, -EINVAL, "%s is neither '%s' nor '%s'", name, words[0], words[1]);
    return 0;
}

static void read_active(struct lines_reader *reader, struct journal *journal)
{
    unsigned place = read_one_of(reader, "whether it ran", active_words);

    journal->was_active = place >= 1;
    journal->was_paused = place >= 2;
}

static void read_handed(struct lines_reader *reader, struct journal *journal)
{
    unsigned place = read_one_of(reader, "whether libvirt has it", handed_words);

    journal->is_handed = place >= 1;
    journal->stands_still = place >= 2;
}

static void read_persistent(struct lines_reader *reader, struct journal *journal)
{
    unsigned word = read_one_of(reader, "whether it was defined", persistent_words);

    journal->was_persistent = word > 0;
    journal->was_autostart = word == 2;
}

static void read_phase(struct lines_reader *reader, enum migrate_phase *ret_phase)
{
    struct text word = {NULL, NULL};

    lines_read_word(reader, "a phase", &word);
    for (unsigned phase = 0; reader->rc == 0 && phase < MIGRATE_PHASES; phase++) {
        if (text_equals(word, migrate_phase_name((enum migrate_phase)phase))) {
            *ret_phase = (enum migrate_phase)phase;
            return;
        }
    }
    lines_read_fail(reader, -EINVAL, "a phase that is none");
}

static void read_path(struct lines_reader *reader, const char *name, char **ret_path)
{
    lines_read_string(reader, name, LINES_PATH_MAX, ret_path);
    if (reader->rc == 0 && !lines_path_is_plain(*ret_path))
        lines_read_fail(reader, -EINVAL, "%s '%.200s' is not a plain path", name, *ret_path);
}

static void read_layer(struct lines_reader *reader, struct journal_disk *disk)
{
    struct journal_layer *layer = journal_add_layer(disk);

    if (layer == NULL) {
        lines_read_fail(reader, -ENOMEM, "out of memory");
        return;
    }
    read_path(reader, "an image's path", &layer->path);
    lines_read_string(reader, "an image's format", LINES_NAME_MAX, &layer->format);
    read_path(reader, "an image's path at the destination", &layer->there);
    layer->is_shared = read_one_of(reader, "whose an image is", shared_words) == 1;
}

/* A line of a disk, or the first one of a disk. */
static void read_disk_line(struct lines_reader *reader, struct text key, struct journal *journal)
{
    struct journal_disk *disk =
        journal->disk_count > 0 ? &journal->disks[journal->disk_count - 1] : NULL;

    if (text_equals(key, "disk") && (disk == NULL || disk->layer_count > 0)) {
        disk = journal_add_disk(journal);
        if (disk == NULL)
            lines_read_fail(reader, -ENOMEM, "out of memory, or more than %d disks",
                            JOURNAL_DISKS_MAX);
        else
            lines_read_string(reader, "a disk's target", LINES_NAME_MAX, &disk->target);
    } else if (text_equals(key, "overlay") && disk != NULL && disk->overlay == NULL &&
               disk->layer_count == 0) {
        read_path(reader, "the overlay's path", &disk->overlay);
    } else if (text_equals(key, "layer") && disk != NULL) {
        read_layer(reader, disk);
    } else {
        lines_read_fail(reader, -EINVAL, "'%.*s' where it should not be",
                        text_length(key) < 40 ? (int)text_length(key) : 40, key.at);
    }
    lines_read_line_end(reader);
}

static void read_plan(struct lines_reader *reader, char **ret_plan)
{
    lines_read_string(reader, "a plan's name", LINES_NAME_MAX, ret_plan);
    if (reader->rc == 0 && !transfer_name_is_valid(*ret_plan))
        lines_read_fail(reader, -EINVAL, "'%.100s' cannot be a plan's name", *ret_plan);
    lines_read_line_end(reader);
}

/* What follows the lines that are always there. */
static void read_rest(struct lines_reader *reader, struct journal *journal)
{
    struct text key;

    while (lines_read_next(reader, &key)) {
        if (text_equals(key, "host") && journal->host == NULL && journal->plan == NULL &&
            journal->disk_count == 0) {
            lines_read_host(reader, "the destination", &journal->host);
            lines_read_line_end(reader);
        } else if (text_equals(key, "plan") && journal->plan == NULL && journal->disk_count == 0) {
            read_plan(reader, &journal->plan);
        } else {
            read_disk_line(reader, key, journal);
        }
    }
    if (reader->rc == 0 && journal->disk_count > 0 &&
        journal->disks[journal->disk_count - 1].layer_count == 0)
        lines_read_fail(reader, -EINVAL, "a disk without an image");
}

static void read_first(struct lines_reader *reader, struct journal *journal)
{
    lines_read_key(reader, "vm");
    lines_read_uuid(reader, &journal->vm);
    lines_read_string(reader, "the VM's name", LINES_NAME_MAX, &journal->vm_name);
    lines_read_line_end(reader);
    lines_read_key(reader, "was");
    read_active(reader, journal);
    read_persistent(reader, journal);
    lines_read_line_end(reader);
    lines_read_key(reader, "phase");
    read_phase(reader, &journal->phase);
    read_handed(reader, journal);
    lines_read_line_end(reader);
    lines_read_key(reader, "old");
    journal->keeps_old = read_one_of(reader, "what becomes of old images", old_words) == 1;
    lines_read_line_end(reader);
    lines_read_key(reader, "time");
    lines_read_time(reader, "when it was made", &journal->made_s);
    lines_read_time(reader, "when it was changed", &journal->changed_s);
    lines_read_line_end(reader);
    lines_read_key(reader, "process");
    lines_read_u64(reader, "the process", &journal->pid);
    lines_read_uuid(reader, &journal->boot);
    lines_read_line_end(reader);
    lines_read_key(reader, "destination");
    lines_read_string(reader, "the destination's URI", LINES_PATH_MAX, &journal->uri);
    lines_read_string(reader, "its pool for what arrives", LINES_NAME_MAX, &journal->incoming_pool);
    lines_read_line_end(reader);
}

int journal_parse(struct text text, const char *what, struct journal *ret_journal,
                  struct error *err)
{
    struct journal journal = {.vm_name = NULL};
    struct lines_reader reader;

    if (lines_read_head(&reader, text, what, NOUN, VERSION, JOURNAL_BYTES_MAX, err) < 0)
        return reader.rc;
    read_first(&reader, &journal);
    read_rest(&reader, &journal);
    if (lines_read_end(&reader) < 0)
        journal_release(&journal);
    else
        *ret_journal = journal;
    return reader.rc;
}

/* ---- the structure --------------------------------------------------------------------- */

static void layer_release(struct journal_layer *layer)
{
    free(layer->path);
    free(layer->format);
    free(layer->there);
}

static void disk_release(struct journal_disk *disk)
{
    for (size_t i = 0; i < disk->layer_count; i++)
        layer_release(&disk->layers[i]);
    free(disk->layers);
    free(disk->target);
    free(disk->overlay);
}

void journal_release(struct journal *journal)
{
    for (size_t i = 0; i < journal->disk_count; i++)
        disk_release(&journal->disks[i]);
    free(journal->disks);
    free(journal->vm_name);
    free(journal->host);
    free(journal->uri);
    free(journal->incoming_pool);
    free(journal->plan);
    *journal = (struct journal){.vm_name = NULL};
}

struct journal_disk *journal_add_disk(struct journal *journal)
{
    struct journal_disk *disk;

    if (journal->disk_count >= JOURNAL_DISKS_MAX ||
        array_reserve(&journal->disks, &journal->disk_capacity, journal->disk_count + 1,
                      sizeof(*journal->disks)) < 0)
        return NULL;
    disk = &journal->disks[journal->disk_count++];
    *disk = (struct journal_disk){.target = NULL};
    return disk;
}

struct journal_layer *journal_add_layer(struct journal_disk *disk)
{
    struct journal_layer *layer;

    if (array_reserve(&disk->layers, &disk->layer_capacity, disk->layer_count + 1,
                      sizeof(*disk->layers)) < 0)
        return NULL;
    layer = &disk->layers[disk->layer_count++];
    *layer = (struct journal_layer){.path = NULL};
    return layer;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The end of a migration: what may take long comes last, and can be stopped. And one that is not known. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "migrate/end.h"
#include "remove_tree.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define UUID "01234567-89ab-cdef-0fed-cba987654321"

static char work[] = "/tmp/setmov-test-XXXXXX";

static char *path_of(const char *name)
{
    char *path = NULL;

    assert_true(asprintf(&path, "%s/%s", work, name) > 0);
    return path;
}

static bool exists(const char *name)
{
    CLEANUP(cleanup_free) char *path = path_of(name);

    return access(path, F_OK) == 0;
}

static struct config config_made(void)
{
    struct config config;
    struct error err = {""};
    char text[512];

    string_format(text, sizeof(text),
                  "[setmov]\nconnect = test:///default\nstate = %s\nindex = %s/index\n", work,
                  work);
    if (config_parse(text, strlen(text), "c", "alpha", &config, &err) < 0)
        fail_msg("%s", err.text);
    return config;
}

/* A VM with one disk, whose image is kept. */
static struct journal journal_made(void)
{
    struct journal journal = {.vm_name = strdup("web1"),
                              .was_active = true,
                              .keeps_old = true,
                              .is_handed = true,
                              .was_autostart = true,
                              .uri = strdup("test:///default"),
                              .incoming_pool = strdup("incoming")};
    struct journal_layer *layer;
    struct journal_disk *disk = journal_add_disk(&journal);
    FILE *image;

    assert_int_equal(uuid_parse(UUID, &journal.vm), 0);
    assert_non_null(disk);
    disk->target = strdup("vda");
    layer = journal_add_layer(disk);
    assert_non_null(layer);
    layer->path = path_of("web1.img");
    layer->there = path_of("web1.img");
    layer->format = strdup("raw");
    image = fopen(layer->path, "w");
    assert_non_null(image);
    assert_int_equal(ftruncate(fileno(image), 1 << 20), 0);
    fclose(image);
    return journal;
}

struct asked {
    const struct vm_lines *left;
    size_t left_then; /* lines, when it was asked first */
    unsigned times;
    bool had_journal, had_image;
};

static bool stops(void *context)
{
    struct asked *asked = context;

    if (asked->times++ == 0) {
        asked->left_then = asked->left->count;
        asked->had_journal = exists("migrations/" UUID ".journal");
        asked->had_image = exists("web1.img");
    }
    return true;
}

static void test_indexing_is_last_and_can_be_stopped(void **state)
{
    struct config config = config_made();
    struct journal journal = journal_made();
    struct vm_lines left = {NULL, 0, 0};
    struct asked asked = {.left = &left};
    struct migrate_end end = {
        .config = &config, .left = &left, .stopped = stops, .context = &asked};
    struct error err = {""};

    (void)state;
    assert_int_equal(journal_save(work, &journal, &err), 0);
    assert_int_equal(vm_peer_open("test:///default", &end.here, &err), 0);
    assert_int_equal(vm_peer_open("test:///default", &end.there, &err), 0);
    if (migrate_finish(&end, &journal, NULL, &err) < 0)
        fail_msg("%s", err.text);
    /* All else was done by then: libvirt's VM has been asked for, and is not there. */
    assert_true(asked.times > 0);
    assert_false(asked.had_journal || asked.had_image);
    assert_int_equal(asked.left_then, 2);
    assert_int_equal(left.count, 3);
    assert_string_equal(left.lines[2],
                        "the old images are not indexed until setmov index runs: stopped");
    vm_lines_release(&left);
    vm_peer_close(end.here);
    vm_peer_close(end.there);
    journal_release(&journal);
    config_release(&config);
}

/* ---- a destination that cannot be asked -------------------------------------------------- */

struct told {
    unsigned times;
    enum migrate_recovered result;
    char text[512];
};

static void take_event(void *context, const struct migrate_recover_event *event)
{
    struct told *told = context;

    told->times++;
    told->result = event->result;
    string_copy(told->text, sizeof(told->text), event->text);
}

static void test_why_the_destination_cannot_be_reached_is_said(void **state)
{
    static const char start[] =
        "where it is cannot be known, nothing was undone (here: not known there; "
        "at none:///system: it cannot be reached: none:///system: ";
    struct config config = config_made();
    struct journal journal = journal_made();
    struct told told = {.times = 0};
    const struct migrate_recover_options options = {.event = take_event, .context = &told};
    struct error err = {""};

    (void)state;
    free(journal.uri);
    journal.uri = strdup("none:///system");
    assert_int_equal(journal_save(work, &journal, &err), 0);
    if (migrate_recover(&config, &options, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(told.times, 1);
    assert_int_equal(told.result, MIGRATE_RECOVERED_UNKNOWN);
    /* With libvirt's words behind it, whatever they are. */
    if (strncmp(told.text, start, strlen(start)) != 0 || strlen(told.text) < strlen(start) + 5)
        fail_msg("%s", told.text);
    journal_release(&journal);
    config_release(&config);
}

static int make_work(void **state)
{
    CLEANUP(cleanup_free) char *migrations = NULL;

    (void)state;
    if (mkdtemp(work) == NULL)
        return -1;
    migrations = path_of("migrations");
    return mkdir(migrations, 0700);
}

static int remove_work(void **state)
{
    (void)state;
    return remove_tree(work);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_indexing_is_last_and_can_be_stopped),
        cmocka_unit_test(test_why_the_destination_cannot_be_reached_is_said),
    };

    return cmocka_run_group_tests(tests, make_work, remove_work);
}

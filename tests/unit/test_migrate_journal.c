/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Journals of migrations: their text, the lock, and files that are whole or not there. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "migrate/journal.h"
#include "sealed_text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define UUID "01234567-89ab-cdef-0fed-cba987654321"
#define BOOT "aaaaaaaa-89ab-cdef-0fed-cba987654321"
#define HEAD "setmov-migration 1\nvm " UUID " web%201\n"
#define LINES                                                                                      \
    "was active persistent\nphase sending prepared\nold keep\ntime 1700000000 1700000005\n"        \
    "process 77 " BOOT "\ndestination qemu+ssh://beta/system incoming\n"
#define HOST "host beta\nplan web-1-0\n"
#define DISK                                                                                       \
    "disk vda\noverlay /i/a.setmov-Xy12Zz\nlayer /i/a qcow2 /i/a own\n"                            \
    "layer /i/golden raw /i/golden shared\n"

static int parse(struct text text, struct error *err)
{
    struct journal journal = {.vm_name = NULL}, untouched = {.vm_name = NULL};
    int rc = journal_parse(text, "j", &journal, err);

    if (rc == 0)
        journal_release(&journal);
    assert_memory_equal(&journal, &untouched, sizeof(journal));
    return rc;
}

static bool is_taken(struct text text)
{
    return parse(text, NULL) == 0;
}

static void refused(const char *lines, int code, const char *message)
{
    char *text = sealed_text(lines);
    struct error err = {""};

    assert_int_equal(parse(text_of(text, strlen(text)), &err), code);
    if (strstr(err.text, message) == NULL)
        fail_msg("'%s' has no '%s'", err.text, message);
    free(text);
}

static struct journal parsed(const char *lines)
{
    char *text = sealed_text(lines);
    struct journal journal;
    struct error err = {""};

    if (journal_parse(text_of(text, strlen(text)), "j", &journal, &err) < 0)
        fail_msg("%s", err.text);
    free(text);
    return journal;
}

static void test_words_for_a_guest_that_stands_still(void **state)
{
    (void)state;
    for (int paused = 0; paused <= 1; paused++) {
        for (int still = 0; still <= 1; still++) {
            struct journal journal = parsed(HEAD LINES);
            struct journal again;
            char *text;
            size_t length;

            journal.was_paused = paused;
            journal.is_handed = true;
            journal.stands_still = still;
            assert_int_equal(journal_encode(&journal, &text, &length, NULL), 0);
            assert_int_equal(journal_parse(text_of(text, length), "j", &again, NULL), 0);
            assert_true(again.was_active && again.is_handed);
            assert_true(again.was_paused == paused && again.stands_still == still);
            journal_release(&again);
            journal_release(&journal);
            free(text);
        }
    }
}

static void test_every_field_is_read_and_written(void **state)
{
    struct journal journal = parsed(HEAD LINES HOST DISK "disk vdb\nlayer /i/b raw /j/b own\n");
    char *whole = sealed_text(HEAD LINES HOST DISK "disk vdb\nlayer /i/b raw /j/b own\n");
    char *text;
    size_t length;

    (void)state;
    assert_string_equal(journal.vm_name, "web 1");
    assert_true(journal.was_active && journal.was_persistent && journal.keeps_old);
    assert_false(journal.is_handed);
    assert_int_equal(journal.phase, MIGRATE_SENDING);
    assert_int_equal(journal.made_s, 1700000000);
    assert_int_equal(journal.changed_s, 1700000005);
    assert_int_equal(journal.pid, 77);
    assert_int_equal(journal.boot.bytes[0], 0xaa);
    assert_string_equal(journal.host, "beta");
    assert_string_equal(journal.uri, "qemu+ssh://beta/system");
    assert_string_equal(journal.incoming_pool, "incoming");
    assert_string_equal(journal.plan, "web-1-0");
    assert_int_equal(journal.disk_count, 2);
    assert_string_equal(journal.disks[0].overlay, "/i/a.setmov-Xy12Zz");
    assert_int_equal(journal.disks[0].layer_count, 2);
    assert_true(journal.disks[0].layers[1].is_shared);
    assert_null(journal.disks[1].overlay);
    assert_string_equal(journal.disks[1].layers[0].there, "/j/b");
    assert_int_equal(journal_encode(&journal, &text, &length, NULL), 0);
    assert_string_equal(text, whole);
    free(text);
    free(whole);
    journal_release(&journal);
}

static void test_who_starts_with_the_host_is_known(void **state)
{
    static const char lines[] = "was off autostart\nphase sending handed\nold keep\ntime 1 2\n"
                                "process 77 " BOOT "\ndestination u incoming\n";
    struct journal journal = parsed(HEAD LINES);
    CLEANUP(cleanup_free) char *text = NULL, *whole = NULL, *all = NULL;
    size_t length;

    (void)state;
    assert_false(journal.was_autostart);
    journal_release(&journal);
    assert_true(asprintf(&all, "%s%s", HEAD, lines) > 0);
    journal = parsed(all);
    assert_true(journal.was_autostart && journal.was_persistent && !journal.was_active);
    whole = sealed_text(all);
    assert_int_equal(journal_encode(&journal, &text, &length, NULL), 0);
    assert_string_equal(text, whole);
    journal_release(&journal);
    refused(HEAD "was off sometimes\n", -EINVAL, "neither 'transient' nor 'persistent'");
}

static void test_what_is_not_whole_is_none(void **state)
{
    char *text = sealed_text(HEAD LINES HOST DISK);

    (void)state;
    assert_true(is_taken(text_of(text, strlen(text))));
    sealed_text_must_be_whole(text, strlen(text), is_taken);
    free(text);
}

static void test_refusals_say_why(void **state)
{
    (void)state;
    refused("setmov-migration 2\n", -ENOTSUP, "version 2");
    refused("setmov-lease 1\n", -EINVAL, "no migration");
    refused(HEAD "was there persistent\n", -EINVAL, "neither 'off' nor 'active'");
    refused(HEAD LINES "plan ../x\n", -EINVAL, "cannot be a plan's name");
    refused(HEAD LINES HOST "host beta\n", -EINVAL, "'host' where it should not be");
    refused(HEAD LINES "host -b\n", -EINVAL, "host");
    refused(HEAD LINES "disk vda\n", -EINVAL, "without an image");
    refused(HEAD LINES "disk vda\ndisk vdb\n", -EINVAL, "'disk' where");
    refused(HEAD LINES "layer /i/b raw /j/b own\n", -EINVAL, "'layer' where");
    refused(HEAD LINES "disk vda\nlayer /i/../b raw /j/b own\n", -EINVAL, "not a plain path");
    refused(HEAD LINES "disk vda\nlayer /i/b raw b own\n", -EINVAL, "not a plain path");
    refused(HEAD LINES "disk vda\noverlay b\nlayer /i/b raw /b own\n", -EINVAL, "not a plain path");
    refused(HEAD LINES "disk vda\nlayer /i/b raw /b mine\n", -EINVAL, "neither 'own' nor");
    refused(HEAD LINES DISK "overlay /i/c\n", -EINVAL, "'overlay' where");
    refused(HEAD "was off persistent\nphase dancing prepared\n", -EINVAL, "a phase that is none");
}

/* ---- files -------------------------------------------------------------------------------- */

static char directory[] = "/tmp/test_migrate_journal.XXXXXX";

static char *file(const char *name)
{
    static char path[200];

    string_format(path, sizeof(path), "%s/migrations/%s", directory, name);
    return path;
}

static void test_a_saved_journal_is_found_read_and_removed(void **state)
{
    struct journal journal = parsed(HEAD LINES HOST DISK), again;
    struct journal_list list;
    struct stat status;
    struct error err = {""};

    (void)state;
    assert_int_equal(journal_list(directory, &list, &err), 0);
    assert_int_equal(list.count, 0);
    assert_int_equal(journal_load(directory, &journal.vm, &again, &err), -ENOENT);
    assert_int_equal(journal_save(directory, &journal, &err), 0);
    assert_int_equal(journal.pid, getpid());
    assert_int_not_equal(journal.boot.bytes[0], 0xaa);
    assert_int_equal(stat(file(UUID ".journal"), &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(journal_list(directory, &list, &err), 0);
    assert_int_equal(list.count, 1);
    assert_int_equal(journal_load(directory, &list.vms[0], &again, &err), 0);
    assert_string_equal(again.plan, "web-1-0");
    journal_release(&again);
    journal_list_release(&list);
    assert_int_equal(journal_remove(directory, &journal.vm, &err), 0);
    assert_int_equal(journal_remove(directory, &journal.vm, &err), 0);
    assert_int_equal(journal_load(directory, &journal.vm, &again, &err), -ENOENT);
    journal_release(&journal);
}

static void test_a_journal_under_another_vms_name_is_refused(void **state)
{
    struct journal journal = parsed(HEAD LINES), again;
    struct uuid other = {{9}};
    char from[200], text[UUID_TEXT_BYTES], name[100];
    struct error err = {""};

    (void)state;
    assert_int_equal(journal_save(directory, &journal, &err), 0);
    string_copy(from, sizeof(from), file(UUID ".journal"));
    uuid_format(&other, text);
    string_format(name, sizeof(name), "%s.journal", text);
    assert_int_equal(rename(from, file(name)), 0);
    assert_int_equal(journal_load(directory, &other, &again, &err), -EINVAL);
    assert_non_null(strstr(err.text, "of another VM"));
    assert_int_equal(symlink("/dev/zero", from), 0);
    assert_int_equal(journal_load(directory, &journal.vm, &again, &err), -ELOOP);
    assert_int_equal(unlink(from), 0);
    assert_int_equal(unlink(file(name)), 0);
    journal_release(&journal);
}

static void test_only_one_has_the_lock(void **state)
{
    struct journal_lock lock = JOURNAL_LOCK_NONE, other = JOURNAL_LOCK_NONE;
    struct uuid vm;
    struct error err = {""};

    (void)state;
    assert_int_equal(uuid_parse(UUID, &vm), 0);
    assert_int_equal(journal_lock(directory, &vm, &lock, &err), 0);
    assert_int_equal(journal_lock(directory, &vm, &other, &err), -EBUSY);
    assert_non_null(strstr(err.text, "another process is at work"));
    journal_unlock(&lock);
    assert_int_equal(access(file(UUID ".lock"), F_OK), -1);
    assert_int_equal(journal_lock(directory, &vm, &other, &err), 0);
    journal_unlock(&lock); /* none: nothing happens */
    assert_int_equal(access(file(UUID ".lock"), F_OK), 0);
    journal_unlock(&other);
}

static int make_place(void **state)
{
    (void)state;
    return mkdtemp(directory) == NULL;
}

static int remove_place(void **state)
{
    (void)state;
    rmdir(file(""));
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field_is_read_and_written),
        cmocka_unit_test(test_words_for_a_guest_that_stands_still),
        cmocka_unit_test(test_who_starts_with_the_host_is_known),
        cmocka_unit_test(test_what_is_not_whole_is_none),
        cmocka_unit_test(test_refusals_say_why),
        cmocka_unit_test(test_a_saved_journal_is_found_read_and_removed),
        cmocka_unit_test(test_a_journal_under_another_vms_name_is_refused),
        cmocka_unit_test(test_only_one_has_the_lock),
    };

    return cmocka_run_group_tests(tests, make_place, remove_place);
}

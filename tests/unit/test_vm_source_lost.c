/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sources whose server is not there, comes later, hangs up or never answers.
 * A cycle that does not return is ended by the bound of the test runner.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "thread_count.h"
#include "vm_source_test.h"

#include <errno.h>
#include <math.h>
#include <sys/socket.h>
#include <sys/un.h>

/* ---- no server ------------------------------------------------------------------------ */

static void options_that_make_no_sense_are_refused(void **state)
{
    const double deadlines[] = {0, -1, NAN, INFINITY, -INFINITY};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(deadlines); i++) {
        struct vm_source_options options = {.deadline_s = deadlines[i]};
        struct vm_source *source = NULL;
        struct error err = {""};

        assert_int_equal(vm_source_new(&options, &source, &err), -EINVAL);
        assert_null(source);
        assert_true(err.text[0] != '\0');
    }
    vm_source_free(NULL, 1);
}

static void a_server_that_is_not_there_is_told_once(void **state)
{
    char missing[600], socket_path[600];
    const char *const uris[] = {missing, socket_path, "no-such-driver:///", "://", "%%%"};

    (void)state;
    string_format(missing, sizeof(missing), "test://%s/no-such-machine.xml", directory);
    string_format(socket_path, sizeof(socket_path), "qemu+unix:///system?socket=%s/none",
                  directory);
    for (size_t i = 0; i < ARRAY_LENGTH(uris); i++) {
        CLEANUP(vm_set_release) struct vm_set set = {.vms = NULL};
        struct vm_source *source = new_source(uris[i], PATIENT_S);
        unsigned lost = 0;

        for (unsigned n = 0; n < 5; n++) {
            assert_int_equal(vm_source_sample(source, NULL, &set), 0);
            assert_false(set.connected || set.complete);
            assert_int_equal(set.count, 0);
            assert_true(set.error.text[0] != '\0' && !strchr(set.error.text, '\n'));
            assert_int_equal(set.event_count, n == 0);
            lost += count_events(&set, VM_EVENT_SOURCE_LOST);
        }
        assert_int_equal(lost, 1);
        vm_source_free(source, PATIENT_S);
    }
}

static void a_server_that_comes_is_told_once(void **state)
{
    CLEANUP(vm_set_release) struct vm_set set = {.vms = NULL};
    struct vm_source *source;
    char uri[600];

    (void)state;
    string_format(uri, sizeof(uri), "test://%s/machine.xml", directory);
    source = new_source(uri, PATIENT_S);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(vm_source_sample(source, NULL, &set), 0);
        assert_int_equal(count_events(&set, VM_EVENT_SOURCE_LOST), i == 0);
    }
    write_machine(uri, sizeof(uri));
    cycle(source, &set); /* the next cycle has it all */
    assert_int_equal(set.count, 3);
    assert_int_equal(set.event_count, 1); /* and no VM "started" */
    assert_int_equal(set.events[0].kind, VM_EVENT_SOURCE_RETURNED);
    assert_string_equal(set.events[0].name, "");
    cycle(source, &set);
    assert_int_equal(set.event_count, 0);
    vm_source_free(source, PATIENT_S);
}

/* ---- a server that never answers -------------------------------------------------------- */

/* A socket whose connections nobody ever accepts or serves. */
static int listen_deaf(char *uri, size_t size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_true(string_format(address.sun_path, sizeof(address.sun_path), "%s/deaf", directory));
    unlink(address.sun_path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 16), 0);
    string_format(uri, size, "qemu+unix:///system?socket=%s", address.sun_path);
    return fd;
}

static void a_server_that_never_answers_holds_up_nobody(void **state)
{
    CLEANUP(vm_set_release) struct vm_set set = {.vms = NULL};
    struct vm_source *source;
    unsigned lost = 0, threads;
    char uri[600];
    int fd = listen_deaf(uri, sizeof(uri));

    (void)state;
    source = new_source(uri, SHORT_S);
    threads = thread_count();
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(vm_source_sample(source, NULL, &set), 0);
        assert_false(set.connected || set.complete);
        assert_int_equal(set.count, 0);
        lost += count_events(&set, VM_EVENT_SOURCE_LOST);
        assert_int_equal(set.event_count, count_events(&set, VM_EVENT_SOURCE_LOST));
    }
    assert_int_equal(lost, 1);
    assert_in_range(thread_count(), threads, threads + 2); /* one hangs, not one a cycle */
    vm_source_free(source, SHORT_S);
    /* What still hangs cleans up after itself once it may. */
    close(fd);
    for (unsigned i = 0; i < 6000 && thread_count() > threads; i++)
        usleep(10000);
    assert_in_range(thread_count(), 1, threads);
}

/* It hangs up: that is a reason, told once, and every cycle tries again. */
static void a_server_that_hangs_up_is_lost(void **state)
{
    CLEANUP(vm_set_release) struct vm_set set = {.vms = NULL};
    struct vm_source *source;
    char uri[600];
    int fd = listen_deaf(uri, sizeof(uri));

    (void)state;
    source = new_source(uri, SHORT_S);
    assert_int_equal(vm_source_sample(source, NULL, &set), 0);
    assert_int_equal(set.event_count, 0); /* late, not lost */
    close(fd);
    for (unsigned i = 0; i < 600 && set.event_count == 0; i++)
        assert_int_equal(vm_source_sample(source, NULL, &set), 0);
    assert_int_equal(count_events(&set, VM_EVENT_SOURCE_LOST), 1);
    vm_source_free(source, PATIENT_S);
}

static void a_source_is_freed_before_its_first_cycle(void **state)
{
    (void)state;
    vm_source_free(new_source("test:///default", 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_that_make_no_sense_are_refused),
        cmocka_unit_test(a_source_is_freed_before_its_first_cycle),
        WITH_DIRECTORY(a_server_that_is_not_there_is_told_once),
        WITH_DIRECTORY(a_server_that_comes_is_told_once),
        WITH_DIRECTORY(a_server_that_never_answers_holds_up_nobody),
        WITH_DIRECTORY(a_server_that_hangs_up_is_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is done about a request: only what the configuration has, and nothing twice. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../src/peers/requests.h"

#include <errno.h>
#include <time.h>

#define UUID  "01234567-89ab-cdef-0fed-cba987654321"
#define FILE_ UUID ".request"
#define NOW   1700000000

static const char text[] = "[host alpha]\nuri = test:///a\n"
                           "[host beta]\nuri = test:///b\n"
                           "[host gamma]\nuri = test:///c\n"
                           "[host resting]\nuri = test:///d\nmaintenance = yes\n"
                           "[host foreign]\nuri = test:///e\ntrust-domain = other\n";

static struct config config;

static int setup(void **state)
{
    (void)state;
    return config_parse(text, sizeof(text) - 1, "c", "alpha", &config, NULL);
}

static int teardown(void **state)
{
    (void)state;
    config_release(&config);
    return 0;
}

struct row {
    const char *holder, *refuser, *target;
    enum requests_action action;
    const char *host;   /* REQUESTS_FORWARD, REQUESTS_MOVE */
    const char *reason; /* REQUESTS_DROP: is in it */
    int64_t made_s, expires_s;
    bool was_begun;
    const char *file;
};

#define ASKS(who, not_there, to) .holder = (who), .refuser = (not_there), .target = (to)
#define MOVE(to)                 .action = REQUESTS_MOVE, .host = (to)
#define FORWARD(to)              .action = REQUESTS_FORWARD, .host = (to)
#define DROP(why)                .action = REQUESTS_DROP, .reason = (why)

static struct catalog_request request_of(const struct row *row)
{
    struct catalog_request request = {.vm_name = (char *)"web1",
                                      .holder = (char *)row->holder,
                                      .refuser = (char *)row->refuser,
                                      .target = (char *)row->target,
                                      .made_s = row->made_s != 0 ? row->made_s : NOW - 10,
                                      .expires_s = row->expires_s != 0 ? row->expires_s : NOW + 10};

    assert_int_equal(uuid_parse(UUID, &request.vm), 0);
    return request;
}

static void judge_row(const struct row *row, size_t i)
{
    const struct requests_facts facts = {
        .config = &config, .now_s = NOW, .was_begun = row->was_begun};
    struct catalog_request request = request_of(row);
    struct requests_verdict verdict = {.host = NULL};

    requests_judge(&request, row->file != NULL ? row->file : FILE_, &facts, &verdict);
    if (verdict.action != row->action ||
        (row->host != NULL && strcmp(verdict.host->name, row->host) != 0) ||
        (row->reason != NULL && strstr(verdict.reason, row->reason) == NULL))
        fail_msg("row %zu: action %d, host %s, reason '%s'", i, (int)verdict.action,
                 verdict.host != NULL ? verdict.host->name : "-", verdict.reason);
}

static void a_request_is_judged_by_the_configuration(void **state)
{
    static const struct row rows[] = {
        {ASKS("alpha", "beta", "gamma"), MOVE("gamma")},
        {ASKS("beta", "alpha", "gamma"), FORWARD("beta")},
        /* The target is for the holder to judge. */
        {ASKS("beta", "alpha", "elsewhere"), FORWARD("beta")},
        {ASKS("alpha", "beta", "elsewhere"), DROP("names elsewhere, which is no")},
        {ASKS("alpha", "beta", "foreign"), DROP("names foreign, which is no")},
        {ASKS("alpha", "beta", "resting"), DROP("resting is in maintenance")},
        {ASKS("alpha", "beta", "alpha"), DROP("from alpha to the same host")},
        {ASKS("alpha", "beta", "beta"), DROP("to beta, which refused the VM")},
        {ASKS("alpha", "alpha", "gamma"), DROP("said to have the VM and to have refused")},
        {ASKS("alpha", "elsewhere", "gamma"), DROP("from elsewhere, which is no")},
        {ASKS("alpha", "foreign", "gamma"), DROP("from foreign, which is no")},
        {ASKS("elsewhere", "alpha", "gamma"), DROP("elsewhere is said to have the VM")},
        {ASKS("foreign", "alpha", "gamma"), DROP("foreign is said to have the VM")},
        {ASKS("beta", "gamma", "alpha"), DROP("gamma left it here, but beta")},
        {ASKS("alpha", "beta", "gamma"), DROP("another one for this VM"), .was_begun = true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        judge_row(&rows[i], i);
}

static void a_request_has_its_time(void **state)
{
    static const struct row rows[] = {
        {ASKS("alpha", "beta", "gamma"), MOVE("gamma"), .expires_s = NOW + 1},
        {ASKS("alpha", "beta", "gamma"), DROP("expired 0 s ago"), .expires_s = NOW},
        {ASKS("beta", "alpha", "gamma"), DROP("expired 7 s ago"), .expires_s = NOW - 7},
        /* Clocks differ; but not that much. */
        {ASKS("alpha", "beta", "gamma"), MOVE("gamma"), .made_s = NOW + REQUESTS_CLOCK_S,
         .expires_s = NOW + 1000},
        {ASKS("alpha", "beta", "gamma"), DROP("the clocks of the hosts differ"),
         .made_s = NOW + REQUESTS_CLOCK_S + 1, .expires_s = NOW + 1000},
        /* It may say what it likes: */
        {ASKS("alpha", "beta", "gamma"), MOVE("gamma"), .made_s = NOW - REQUESTS_LONGEST_S,
         .expires_s = INT64_MAX},
        {ASKS("alpha", "beta", "gamma"), DROP("older than a week"),
         .made_s = NOW - REQUESTS_LONGEST_S - 1, .expires_s = INT64_MAX},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        judge_row(&rows[i], i);
}

static void a_file_has_the_name_of_its_vm(void **state)
{
    static const char *const names[] = {
        "01234567-89ab-cdef-0fed-cba987654322.request",
        "01234567-89AB-CDEF-0FED-CBA987654321.request",
        "web1.request",
        UUID ".request.request",
        UUID,
        UUID ".lease",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        const struct row row = {ASKS("alpha", "beta", "gamma"),
                                DROP("its name is not the VM's UUID"), .file = names[i]};

        judge_row(&row, i);
    }
}

static void judge_gone(const char *holder, bool was_forwarded, const char *host, const char *reason)
{
    const struct row row = {ASKS("alpha", "beta", "gamma")};
    const struct requests_facts facts = {
        .config = &config, .now_s = NOW, .was_forwarded = was_forwarded};
    struct catalog_request request = request_of(&row);
    struct requests_verdict verdict = {.host = NULL};

    requests_judge_gone(&request, holder, &facts, &verdict);
    if (host != NULL) {
        assert_int_equal(verdict.action, REQUESTS_FORWARD);
        assert_string_equal(verdict.host->name, host);
    } else {
        assert_int_equal(verdict.action, REQUESTS_DROP);
        assert_non_null(strstr(verdict.reason, reason));
    }
}

static void a_vm_that_left_is_followed_once(void **state)
{
    (void)state;
    judge_gone(NULL, false, NULL, "not known to be elsewhere");
    judge_gone("foreign", false, NULL, "not known to be elsewhere");
    judge_gone("alpha", false, NULL, "not known to be elsewhere");
    judge_gone("gamma", false, NULL, "is on gamma already");
    judge_gone("beta", false, NULL, "but on beta");
    judge_gone("resting", false, "resting", NULL);
    judge_gone("resting", true, NULL, "forwarded a short time ago");
}

/* ---- moving ------------------------------------------------------------------------------ */

/* Ends only when it is told to, with the result that the context says. */
static int move_until_stopped(void *context, const struct uuid *vm, const struct config_host *host,
                              bool (*stopped)(void *context), void *stopped_context, char *ret_text,
                              size_t size, struct error *err)
{
    const int *result = context;

    (void)vm;
    (void)host;
    string_copy(ret_text, size, "some words");
    while (!stopped(stopped_context))
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    return *result < 0 ? error_set(err, *result, "as it was told") : 0;
}

static bool says(void *context)
{
    return *(const bool *)context;
}

static int moved(int result, double timeout_s, bool stopped, struct error *err)
{
    const struct peers_requests_options options = {.move = move_until_stopped, .context = &result};
    const struct requests_move move = {.timeout_s = timeout_s};
    char words[40];

    return requests_move(&options, &move, says, &stopped, words, sizeof(words), err);
}

static void a_move_that_does_not_end_is_ended(void **state)
{
    struct error err = {""};

    (void)state;
    assert_int_equal(moved(-ECANCELED, 0.01, false, &err), -ETIMEDOUT);
    assert_string_equal(err.text, "it did not end within 0.01 s");
    /* It was told too late, or has more to say. */
    assert_int_equal(moved(0, 0.01, false, &err), 0);
    assert_int_equal(moved(-EREMOTEIO, 0.01, false, &err), -EREMOTEIO);
    assert_string_equal(err.text, "as it was told");
    /* Who stops it says so himself. */
    assert_int_equal(moved(-ECANCELED, 1e6, true, &err), -ECANCELED);
    assert_int_equal(moved(-ECANCELED, 0, true, &err), -ECANCELED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_judged_by_the_configuration),
        cmocka_unit_test(a_request_has_its_time),
        cmocka_unit_test(a_file_has_the_name_of_its_vm),
        cmocka_unit_test(a_vm_that_left_is_followed_once),
        cmocka_unit_test(a_move_that_does_not_end_is_ended),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}

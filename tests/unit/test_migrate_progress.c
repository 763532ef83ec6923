/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A hook's record that is read while it is written, and a hook that is told to end. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "migrate/end.h"

#include <errno.h>

/* What the pool there gives out, a record each time; the last one stays. */
static struct {
    struct {
        struct transfer_progress progress;
        bool is_torn;
        int result;
    } records[8];
    size_t count, reads;
    unsigned cancels;
} pool;

int __wrap_vm_peer_read(struct vm_peer *peer, const char *name, const char *volume, uint64_t offset,
                        void *ret_bytes, size_t size, size_t *ret_length, struct error *err);
int __wrap_vm_peer_write(struct vm_peer *peer, const char *name, const char *volume,
                         const void *bytes, size_t length, struct error *err);

int __wrap_vm_peer_read(struct vm_peer *peer, const char *name, const char *volume, uint64_t offset,
                        void *ret_bytes, size_t size, size_t *ret_length, struct error *err)
{
    size_t i = pool.reads < pool.count ? pool.reads : pool.count - 1;
    uint8_t bytes[TRANSFER_PROGRESS_BYTES];

    (void)peer;
    assert_string_equal(name, "incoming");
    assert_string_equal(volume, "web1-0.progress");
    assert_true(offset == 0 && size == sizeof(bytes));
    pool.reads++;
    if (pool.records[i].result < 0)
        return error_set(err, pool.records[i].result, "no such volume");
    transfer_progress_encode(&pool.records[i].progress, bytes);
    if (pool.records[i].is_torn)
        bytes[20] ^= 1;
    memcpy(ret_bytes, bytes, sizeof(bytes));
    *ret_length = sizeof(bytes);
    return 0;
}

int __wrap_vm_peer_write(struct vm_peer *peer, const char *name, const char *volume,
                         const void *bytes, size_t length, struct error *err)
{
    (void)peer;
    (void)name;
    (void)bytes;
    (void)length;
    (void)err;
    assert_string_equal(volume, "web1-0.cancel");
    pool.cancels++;
    return 0;
}

static const struct journal journal = {.plan = (char *)"web1-0",
                                       .incoming_pool = (char *)"incoming"};
/* Somebody who is asked only through the above. */
static struct vm_peer *const there = (struct vm_peer *)&pool;

static void give(enum transfer_phase phase, bool is_torn, int result)
{
    pool.records[pool.count].progress = (struct transfer_progress){.phase = phase};
    pool.records[pool.count].is_torn = is_torn;
    pool.records[pool.count++].result = result;
}

static int empty(void **state)
{
    (void)state;
    memset(&pool, 0, sizeof(pool));
    return 0;
}

static void test_a_torn_record_is_read_again(void **state)
{
    struct transfer_progress progress = {.phase = TRANSFER_WAITING};

    (void)state;
    give(TRANSFER_BUILDING, true, 0);
    give(TRANSFER_BUILDING, true, 0);
    give(TRANSFER_BUILDING, false, 0);
    assert_int_equal(migrate_read_progress(there, &journal, &progress, NULL), 0);
    assert_int_equal(progress.phase, TRANSFER_BUILDING);
    assert_int_equal(pool.reads, 3);
}

static void test_one_that_stays_torn_is_given_up(void **state)
{
    struct transfer_progress progress = {.phase = TRANSFER_WAITING};
    struct error err = {""};

    (void)state;
    give(TRANSFER_BUILDING, true, 0);
    assert_int_equal(migrate_read_progress(there, &journal, &progress, &err), -EINVAL);
    assert_string_equal(err.text, "web1-0.progress cannot be read");
    assert_int_equal(progress.phase, TRANSFER_WAITING);
}

static void test_what_is_not_there_is_not_read_again(void **state)
{
    struct transfer_progress progress;

    (void)state;
    give(TRANSFER_WAITING, false, -ENOENT);
    assert_int_equal(migrate_read_progress(there, &journal, &progress, NULL), -ENOENT);
    assert_int_equal(pool.reads, 1);
}

static void test_a_hook_is_waited_for_though_its_record_is_torn(void **state)
{
    const struct migrate_end end = {.there = there};

    (void)state;
    give(TRANSFER_BUILDING, true, 0);
    give(TRANSFER_BUILDING, false, 0);
    give(TRANSFER_BUILDING, true, 0);
    give(TRANSFER_REFUSED, false, 0);
    migrate_end_hook(&end, &journal);
    assert_int_equal(pool.cancels, 1);
    assert_int_equal(pool.reads, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_torn_record_is_read_again, empty),
        cmocka_unit_test_setup(test_one_that_stays_torn_is_given_up, empty),
        cmocka_unit_test_setup(test_what_is_not_there_is_not_read_again, empty),
        cmocka_unit_test_setup(test_a_hook_is_waited_for_though_its_record_is_torn, empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The load of a candidate: what `setmov sync` keeps of it, and what the host has just told. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/choose_vm.h"
#include "setmov/catalog_load.h"

#include <math.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HOURS  3600
#define SEC_NS UINT64_C(1000000000)

static char cache[64], about[96], host_about[128], load_path[160];
static char name[] = "alpha", domain[] = "default", here[] = "here";
static struct config_host configured = {.name = name, .trust_domain = domain};
static struct config config = {.hosts = &configured, .host_count = 1};

/* Two readings, 100 s and 10 s ago; between them the host was busy a third of the time. */
static void keep_load(int64_t now_s)
{
    const struct catalog_load_reading first = {now_s - 100, 10 * SEC_NS, 1000 * SEC_NS},
                                      second = {now_s - 10, 40 * SEC_NS, 1090 * SEC_NS};
    struct catalog_load load = {0};
    size_t length;
    char *text;
    FILE *file = fopen(load_path, "we");

    assert_non_null(file);
    assert_int_equal(catalog_load_add(&load, &first, HOURS), 0);
    assert_int_equal(catalog_load_add(&load, &second, HOURS), 0);
    assert_int_equal(catalog_load_encode(&load, &text, &length), 0);
    assert_int_equal(fwrite(text, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    free(text);
    catalog_load_release(&load);
}

static double load_with(uint64_t busy_ns, uint64_t total_ns)
{
    struct choose_vm_shared shared = {.is_vm = true};
    struct choose_vm_host host = {.config = &configured,
                                  .domain = domain,
                                  .cpu_percent = NAN,
                                  .busy_ns = busy_ns,
                                  .total_ns = total_ns};
    struct choose_vm vm = {.config = &config, .shared = &shared, .hosts = &host, .host_count = 1};
    struct error err = {""};

    if (choose_vm_facts(&vm, &err) < 0)
        fail_msg("%s", err.text);
    free(host.unusable);
    vm_lines_release(&host.notes);
    vm_lines_release(&vm.notes);
    return host.cpu_percent;
}

static void load_is_that_of_what_was_kept(void **state)
{
    (void)state;
    assert_true(isnan(load_with(UNKNOWN_U64, UNKNOWN_U64)));
    keep_load(time(NULL));
    assert_true(fabs(load_with(UNKNOWN_U64, UNKNOWN_U64) - 100.0 / 3) < 0.01);
}

/* Since the first reading: 80 s of 100. */
static void load_reaches_up_to_what_the_host_tells_now(void **state)
{
    (void)state;
    keep_load(time(NULL));
    assert_true(fabs(load_with(90 * SEC_NS, 1100 * SEC_NS) - 80) < 0.01);
}

static int make_cache(void **state)
{
    (void)state;
    string_copy(cache, sizeof(cache), "/tmp/setmov-facts.XXXXXX");
    if (mkdtemp(cache) == NULL)
        return 1;
    string_format(about, sizeof(about), "%s/" CATALOG_ABOUT_NAME, cache);
    string_format(host_about, sizeof(host_about), "%s/%s", about, name);
    string_format(load_path, sizeof(load_path), "%s/" CATALOG_LOAD_NAME, host_about);
    config.sync.cache = cache;
    config.sync.load_window_s = HOURS;
    config.setmov.name = here;
    config.setmov.trust_domain = domain;
    return mkdir(about, 0700) | mkdir(host_about, 0700);
}

static int remove_cache(void **state)
{
    (void)state;
    unlink(load_path);
    return rmdir(host_about) | rmdir(about) | rmdir(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(load_is_that_of_what_was_kept),
        cmocka_unit_test(load_reaches_up_to_what_the_host_tells_now),
    };

    return cmocka_run_group_tests(tests, make_cache, remove_cache);
}

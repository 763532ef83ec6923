/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The examples of docs/catalog-format.md are what the parsers take and the writers write. */
#include "host_data.h"

#include "setmov/catalog_load.h"
#include "setmov/catalog_manifest.h"
#include "setmov/catalog_request.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define FENCE "```\n"

static struct file_buffer document;

/* The example that begins so. */
static struct text example(const char *first_line)
{
    char start[64], path[512];
    const char *at, *end;

    string_format(path, sizeof(path), "%s/../../docs/catalog-format.md", test_data_folder());
    if (file_read(AT_FDCWD, path, &document) < 0)
        fail_msg("%s cannot be read", path);
    string_format(start, sizeof(start), FENCE "%s\n", first_line);
    at = strstr(document.bytes, start);
    end = at != NULL ? strstr(at + strlen(FENCE), FENCE) : NULL;
    if (end == NULL)
        fail_msg("there is no example of '%s'", first_line);
    return (struct text){at + strlen(FENCE), end};
}

static void same(struct text text, int rc, char *written, size_t length)
{
    assert_int_equal(rc, 0);
    assert_int_equal(length, text_length(text));
    assert_memory_equal(written, text.at, length);
    free(written);
}

static void the_manifest(void **state)
{
    struct text text = example("setmov-manifest 1");
    struct catalog_manifest manifest;
    struct error err = {""};
    char *written = NULL;
    size_t length = 0;
    int rc;

    (void)state;
    if (catalog_manifest_parse(text, "example", &manifest, &err) < 0)
        fail_msg("%s", err.text);
    rc = catalog_manifest_encode(&manifest, &written, &length, &err);
    same(text, rc, written, length);
    catalog_manifest_release(&manifest);
}

static void the_load(void **state)
{
    struct text text = example("setmov-load 1");
    struct catalog_load load;
    struct error err = {""};
    char *written = NULL;
    size_t length = 0;
    int rc;

    (void)state;
    if (catalog_load_parse(text, &load, &err) < 0)
        fail_msg("%s", err.text);
    rc = catalog_load_encode(&load, &written, &length);
    same(text, rc, written, length);
    catalog_load_release(&load);
}

static void the_request(void **state)
{
    struct text text = example("setmov-request 1");
    struct catalog_request request;
    struct error err = {""};
    char *written = NULL;
    size_t length = 0;
    int rc;

    (void)state;
    if (catalog_request_parse(text, "example", &request, &err) < 0)
        fail_msg("%s", err.text);
    rc = catalog_request_encode(&request, &written, &length, &err);
    same(text, rc, written, length);
    catalog_request_release(&request);
}

static void the_lease(void **state)
{
    struct text text = example("setmov-lease 1");
    struct catalog_lease lease;
    struct error err = {""};
    char *written = NULL;
    size_t length = 0;
    int rc;

    (void)state;
    if (catalog_lease_parse(text, "example", &lease, &err) < 0)
        fail_msg("%s", err.text);
    rc = catalog_lease_encode(&lease, &written, &length, &err);
    same(text, rc, written, length);
    catalog_lease_release(&lease);
}

static int release(void **state)
{
    (void)state;
    file_buffer_release(&document);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_manifest),
        cmocka_unit_test(the_load),
        cmocka_unit_test(the_request),
        cmocka_unit_test(the_lease),
    };

    return cmocka_run_group_tests(tests, NULL, release);
}
